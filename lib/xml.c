/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/xml.h"

#include <errno.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64u
#define PATH_BYTES_MAX 1024u
#define SEPARATOR '|' /* between the name of a namespace and a local name */

struct parse {
	XML_Parser parser;
	const struct xml_calls *calls;
	void *ctx;
	char path[PATH_BYTES_MAX];
	size_t path_len, ends[DEPTH_MAX]; /* of the path before each element */
	unsigned depth;
	char text[XML_TEXT_MAX + 1];
	size_t text_len;
	const char *refusal;
};

static const char *local(const char *name)
{
	const char *at = strrchr(name, SEPARATOR);

	return at ? at + 1 : name;
}

const char *xml_attribute(const char **attributes, const char *name)
{
	for (; *attributes; attributes += 2) {
		if (strcmp(local(attributes[0]), name) == 0)
			return attributes[1];
	}
	return NULL;
}

bool xml_is_true(const char **attributes, const char *name)
{
	const char *value = xml_attribute(attributes, name);

	return value && strcmp(value, "true") == 0;
}

bool xml_path_ends(const char *path, const char *with)
{
	size_t len = strlen(path), tail = strlen(with);

	return len >= tail && strcmp(path + len - tail, with) == 0;
}

static void stop(struct parse *p, const char *refusal)
{
	if (!p->refusal)
		p->refusal = refusal;
	XML_StopParser(p->parser, XML_FALSE);
}

static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid,
			       const XML_Char *pubid, int internal)
{
	(void)name;
	(void)sysid;
	(void)pubid;
	(void)internal;
	stop(ctx, "has a document type, which such a file needs not and may not have");
}

static void XMLCALL on_begin(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
	struct parse *p = ctx;
	size_t len;

	if (p->refusal)
		return;
	name = local(name);
	len = strlen(name);
	if (p->depth == DEPTH_MAX || len + 2 > sizeof(p->path) - p->path_len) {
		stop(p, "has elements nested too deeply");
		return;
	}
	p->ends[p->depth++] = p->path_len;
	p->path[p->path_len] = '/';
	memcpy(p->path + p->path_len + 1, name, len + 1);
	p->path_len += len + 1;
	p->text_len = 0;
	p->calls->begin(p->ctx, p->path, attributes);
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
	struct parse *p = ctx;
	const char *text = p->text;

	(void)name;
	if (p->refusal || p->depth == 0)
		return;
	while (p->text_len > 0 && strchr(" \t\r\n", p->text[p->text_len - 1]))
		p->text_len--;
	p->text[p->text_len] = '\0';
	text += strspn(text, " \t\r\n");
	p->calls->end(p->ctx, p->path, text);
	p->path_len = p->ends[--p->depth];
	p->path[p->path_len] = '\0';
	p->text_len = 0;
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int len)
{
	struct parse *p = ctx;
	size_t room = XML_TEXT_MAX - p->text_len, n = (size_t)len;

	if (n > room)
		n = room;
	memcpy(p->text + p->text_len, text, n);
	p->text_len += n;
}

static void parse(struct parse *p, const char *text, size_t len, const char *what, int *ret,
		  struct failure *f)
{
	enum XML_Status status;

	XML_SetUserData(p->parser, p);
	XML_SetElementHandler(p->parser, on_begin, on_end);
	XML_SetCharacterDataHandler(p->parser, on_text);
	XML_SetStartDoctypeDeclHandler(p->parser, on_doctype);
	/* A secret salt would make a fuzzer's runs differ; the length bounds what none costs. */
	XML_SetHashSalt(p->parser, 1);
	status = XML_Parse(p->parser, text, (int)len, XML_TRUE);
	if (p->refusal)
		*ret = fail(f, -EINVAL, "%s %s", what, p->refusal);
	else if (status != XML_STATUS_OK)
		*ret = fail(f, -EINVAL, "%s is no XML that can be read: %s in line %lu", what,
			    XML_ErrorString(XML_GetErrorCode(p->parser)),
			    (unsigned long)XML_GetCurrentLineNumber(p->parser));
}

int xml_parse(const char *text, size_t len, const struct xml_calls *calls, void *ctx,
	      const char *what, struct failure *f)
{
	struct parse *p;
	int r = 0;

	if (len > XML_BYTES_MAX)
		return fail(f, -EFBIG, "%s is longer than %u bytes", what, XML_BYTES_MAX);
	p = calloc(1, sizeof(*p)); /* too large for a stack */
	if (p)
		p->parser = XML_ParserCreateNS(NULL, SEPARATOR);
	if (!p || !p->parser) {
		free(p);
		return fail(f, -ENOMEM, "cannot read %s: out of memory", what);
	}
	p->calls = calls;
	p->ctx = ctx;
	parse(p, text, len, what, &r, f);
	XML_ParserFree(p->parser);
	free(p);
	return r;
}
