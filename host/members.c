/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/members.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/store.h"

#define FILE_NAME "cluster.json"
#define BYTES_MAX (256u << 10)

static const char *name_in(const json_t *root, const char *uuid)
{
	const json_t *member;
	size_t n;

	json_array_foreach(json_object_get(root, "members"), n, member)
	{
		const char *own = json_string_value(json_object_get(member, "uuid"));

		if (own && strcmp(own, uuid) == 0)
			return json_string_value(json_object_get(member, "name"));
	}
	return NULL;
}

int members_name(const char *state, const struct guid *host, char ret_name[MEMBER_NAME_MAX + 1],
		 struct failure *f)
{
	char path[PATH_MAX], uuid[GUID_TEXT_LEN], *text;
	const char *name;
	json_t *root;
	size_t len;
	int r;

	if (snprintf(path, sizeof(path), "%s/" FILE_NAME, state) >= (int)sizeof(path))
		return fail(f, -ENAMETOOLONG, "the path of %s is too long", state);
	guid_format(host, uuid);
	r = store_read(path, BYTES_MAX, &text, &len, f);
	if (r == -ENOENT)
		return fail(f, r, "this host is in no cluster");
	if (r < 0)
		return r;
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	name = name_in(root, uuid);
	if (!root)
		r = fail(f, -EBADMSG, "%s cannot be read", path);
	else if (!name || strlen(name) > MEMBER_NAME_MAX)
		r = fail(f, -ENOENT, "the host %s is no member of the cluster", uuid);
	else
		strcpy(ret_name, name); /* looked at above */
	json_decref(root);
	return r;
}
