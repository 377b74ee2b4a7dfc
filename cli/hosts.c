/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/hosts.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "lib/fields.h"
#include "lib/store.h"

#define FILE_NAME "hosts.json"
#define VERSION 1

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

static int take(const json_t *entry, const char *given, struct peer *e, struct failure *f)
{
	const char *fingerprint = json_string_value(json_object_get(entry, "fingerprint"));
	const char *token = json_string_value(json_object_get(entry, "token"));

	if (fingerprint && !peer_decode_fingerprint(fingerprint, e->fingerprint))
		return fail(f, -EINVAL,
			    "the fingerprint of %s in " FILE_NAME " is not 64 hexadecimal digits",
			    e->name);
	if (given && *given)
		token = given;
	if (!token)
		return 0;
	if (!peer_token_allowed(token))
		return fail(f, -EINVAL, "the token for %s is none: it has blanks or is too long",
			    e->name);
	snprintf(e->token, sizeof(e->token), "%s", token);
	return 0;
}

static int find(const char *where, const char *given, struct peer *ret_entry, struct failure *f)
{
	struct peer e;
	char folder[PATH_MAX];
	json_t *root = NULL;
	int r = peer_decode_name(where, &e, f);

	if (r == 0)
		r = folder_path(folder, f);
	if (r == 0)
		r = read_file(folder, &root, f);
	if (r == 0)
		r = take(json_object_get(json_object_get(root, "hosts"), e.name), given, &e, f);
	json_decref(root);
	if (r == 0)
		*ret_entry = e;
	return r;
}

int hosts_find(const char *where, struct peer *ret_entry, struct failure *f)
{
	return find(where, getenv("OYA_TOKEN"), ret_entry, f);
}

int hosts_find_other(const char *where, struct peer *ret_entry, struct failure *f)
{
	return find(where, NULL, ret_entry, f);
}

void hosts_each(void (*each)(void *ctx, const char *name), void *ctx)
{
	char folder[PATH_MAX];
	const char *name;
	struct failure f;
	json_t *root, *entry;

	if (folder_path(folder, &f) < 0 || read_file(folder, &root, &f) < 0)
		return;
	json_object_foreach(json_object_get(root, "hosts"), name, entry)
	{
		each(ctx, name);
	}
	json_decref(root);
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

int hosts_pin(const struct peer *entry, const char *fingerprint, struct failure *f)
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
