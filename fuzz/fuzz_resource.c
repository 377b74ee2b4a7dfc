/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client that wants a VM in the cluster: the input is the JSON of its request.
 *
 * Checked: what is refused comes with a sentence; what is taken becomes XML that can be read, with
 * one primitive and no element that a name has made.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/harness.h"
#include "host/resource.h"
#include "lib/xml.h"

static void on_begin(void *ctx, const char *path, const char **attributes)
{
	unsigned *primitives = ctx;

	(void)attributes;
	*primitives += strcmp(path, "/cib/configuration/resources/primitive") == 0;
}

static void on_end(void *ctx, const char *path, const char *text)
{
	(void)ctx;
	(void)path;
	must(!*text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct xml_calls calls = {.begin = on_begin, .end = on_end};
	static const struct resource resource = {
		.name = "web", .uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8", .folder = "/a<&\"b"};
	json_t *body = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	struct resource_wish w;
	struct failure f = {""};
	unsigned primitives = 0;
	char *text;

	if (!json_is_object(body)) {
		json_decref(body);
		return 0;
	}
	if (resource_decode(body, &w, &f) < 0) {
		must(f.text[0]);
	} else if ((text = resource_encode(&resource, &w))) {
		must(xml_parse(text, strlen(text), &calls, &primitives, "it", &f) == 0);
		must(primitives == 1);
		fuzz_tell(text, strlen(text));
		free(text);
	}
	json_decref(body);
	return 0;
}
