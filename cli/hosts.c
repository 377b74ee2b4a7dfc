/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/hosts.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/util.h"
#include "lib/fields.h"
#include "lib/store.h"

#define FILE_NAME "hosts.json"
#define VERSION 1

/* ---- names ---- */

static bool is_port(const char *text)
{
	size_t len = strspn(text, "0123456789");
	long port = len && len <= 5 && !text[len] ? strtol(text, NULL, 10) : 0;

	return port > 0 && port <= 65535;
}

/* A name or an address, which is handed to the resolver. */
static bool is_address(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:%_",
			    text[i]))
			return false;
	}
	return len && len <= HOSTS_NAME_MAX && text[0] != '-';
}

int hosts_decode_name(const char *where, struct host_entry *ret_entry, struct failure *f)
{
	bool bracket = where[0] == '[';
	const char *begin = where + bracket, *colon = strrchr(where, ':'), *port = HOSTS_PORT;
	const char *end = bracket ? strchr(begin, ']') : NULL;
	struct host_entry e = {.fingerprint = ""};
	size_t len;

	if (!bracket && colon && strchr(where, ':') == colon)
		end = colon;
	len = end ? (size_t)(end - begin) : strlen(begin);
	if (end)
		end += bracket;
	if (end && *end == ':')
		port = end + 1;
	else if (end && *end)
		port = "";
	if ((bracket && !end) || !is_address(begin, len) || !is_port(port))
		return fail(f, -EINVAL,
			    "'%.80s' is no ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT of a host",
			    where);
	memcpy(e.address, begin, len);
	snprintf(e.port, sizeof(e.port), "%s", port);
	snprintf(e.name, sizeof(e.name), strchr(e.address, ':') ? "[%s]:%s" : "%s:%s", e.address,
		 e.port);
	*ret_entry = e;
	return 0;
}

bool hosts_decode_fingerprint(const char *text, char ret_text[HOSTS_FINGERPRINT_LEN + 1])
{
	size_t len = 0;

	if (strncasecmp(text, "sha256", 6) == 0)
		text += 6 + strspn(text + 6, ":= ");
	for (; *text; text++) {
		if (*text == ':' || *text == ' ')
			continue;
		if (len == HOSTS_FINGERPRINT_LEN || !strchr("0123456789abcdefABCDEF", *text))
			return false;
		ret_text[len++] = *text >= 'A' && *text <= 'F' ? (char)(*text | 0x20) : *text;
	}
	ret_text[len] = '\0';
	return len == HOSTS_FINGERPRINT_LEN;
}

/* ---- the file ---- */

static int folder_path(char path[PATH_MAX], struct failure *f)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int len = -1;

	if (config && config[0] == '/')
		len = snprintf(path, PATH_MAX, "%s/oya", config);
	else if (home && home[0] == '/')
		len = snprintf(path, PATH_MAX, "%s/.config/oya", home);
	if (len < 0 || len >= PATH_MAX)
		return fail(f, -ENOENT,
			    "cannot tell where " FILE_NAME " is: HOME of the environment is not a "
			    "folder's path");
	return 0;
}

/* Who reads it could use the tokens. */
static int check_mode(const char *path, const json_t *root, struct failure *f)
{
	struct stat st;
	const char *name;
	json_t *entry;

	if (stat(path, &st) < 0 || !(st.st_mode & 077))
		return 0;
	json_object_foreach(json_object_get(root, "hosts"), name, entry)
	{
		if (json_object_get(entry, "token"))
			return fail(f, -EPERM,
				    "%s holds a token, and others may read it; 'chmod 600 %s'",
				    path, path);
	}
	return 0;
}

static int check(json_t *root, struct failure *f)
{
	static const struct field file[] = {{"version", JSON_INTEGER}, {"hosts", JSON_OBJECT}};
	static const struct field host[] = {{"fingerprint", JSON_STRING}, {"token", JSON_STRING}};
	const char *name;
	json_t *entry;
	int r = fields_check_of("the known hosts", root, "the file", file, ARRAY_LEN(file), f);

	if (r == 0 && json_integer_value(json_object_get(root, "version")) != VERSION)
		r = fail(f, -EINVAL, "cannot use the known hosts: 'version' is not %d", VERSION);
	json_object_foreach(json_object_get(root, "hosts"), name, entry)
	{
		if (r == 0)
			r = fields_check_of("the known hosts", entry, "a host", host,
					    ARRAY_LEN(host), f);
	}
	return r;
}

/* An object, empty when there is no such file. */
static int read_file(const char *folder, json_t **ret_root, struct failure *f)
{
	char path[PATH_MAX + 16], *text;
	json_error_t error;
	struct failure why;
	json_t *root;
	size_t len;
	int r;

	snprintf(path, sizeof(path), "%s/" FILE_NAME, folder);
	r = store_read(path, HOSTS_BYTES_MAX, &text, &len, f);
	if (r == -ENOENT) {
		*ret_root = json_pack("{s:i, s:{}}", "version", VERSION, "hosts");
		return *ret_root ? 0 : fail(f, -ENOMEM, "out of memory");
	}
	if (r < 0)
		return r;
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	free(text);
	if (!root)
		return fail(f, -EINVAL, "%s: line %d is not JSON: %s", path, error.line,
			    error.text);
	r = check(root, &why);
	if (r < 0)
		fail(f, r, "%s: %s", path, why.text);
	else
		r = check_mode(path, root, f);
	if (r < 0) {
		json_decref(root);
		return r;
	}
	*ret_root = root;
	return 0;
}

static int take(const json_t *entry, struct host_entry *e, struct failure *f)
{
	const char *fingerprint = json_string_value(json_object_get(entry, "fingerprint"));
	const char *token = json_string_value(json_object_get(entry, "token"));
	const char *given = getenv("OYA_TOKEN");

	if (fingerprint && !hosts_decode_fingerprint(fingerprint, e->fingerprint))
		return fail(f, -EINVAL,
			    "the fingerprint of %s in " FILE_NAME " is not 64 hexadecimal digits",
			    e->name);
	if (given && *given)
		token = given;
	if (!token)
		return 0;
	if (strlen(token) > HOSTS_TOKEN_MAX || strpbrk(token, " \t\r\n"))
		return fail(f, -EINVAL, "the token for %s is none: it has blanks or is too long",
			    e->name);
	snprintf(e->token, sizeof(e->token), "%s", token);
	return 0;
}

int hosts_find(const char *where, struct host_entry *ret_entry, struct failure *f)
{
	struct host_entry e;
	char folder[PATH_MAX];
	json_t *root = NULL;
	int r = hosts_decode_name(where, &e, f);

	if (r == 0)
		r = folder_path(folder, f);
	if (r == 0)
		r = read_file(folder, &root, f);
	if (r == 0)
		r = take(json_object_get(json_object_get(root, "hosts"), e.name), &e, f);
	json_decref(root);
	if (r == 0)
		*ret_entry = e;
	return r;
}

/* The folder and the one above it. */
static void make_folders(const char *folder)
{
	char above[PATH_MAX];

	snprintf(above, sizeof(above), "%s", folder);
	*strrchr(above, '/') = '\0';
	(void)mkdir(above, 0700);
	(void)mkdir(folder, 0700);
}

static int set_fingerprint(json_t *root, const char *name, const char *fingerprint)
{
	json_t *hosts = json_object_get(root, "hosts"), *entry;

	if (!hosts) {
		hosts = json_object();
		if (json_object_set_new(root, "hosts", hosts) < 0)
			return -ENOMEM;
	}
	entry = json_object_get(hosts, name);
	if (!entry) {
		entry = json_object();
		if (json_object_set_new(hosts, name, entry) < 0)
			return -ENOMEM;
	}
	return json_object_set_new(entry, "fingerprint", json_string(fingerprint)) < 0 ? -ENOMEM
										       : 0;
}

int hosts_pin(const struct host_entry *entry, const char *fingerprint, struct failure *f)
{
	char folder[PATH_MAX], *text = NULL;
	json_t *root = NULL;
	int r = folder_path(folder, f);

	if (r == 0)
		r = read_file(folder, &root, f);
	if (r < 0)
		return r;
	if (set_fingerprint(root, entry->name, fingerprint) == 0)
		text = json_dumps(root, JSON_INDENT(2));
	json_decref(root);
	if (!text)
		return fail(f, -ENOMEM, "out of memory");
	make_folders(folder);
	r = store_write(folder, FILE_NAME, text, strlen(text), f);
	free(text);
	return r;
}
