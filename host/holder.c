/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/holder.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/store.h"

/* The list as it is on the disk. */
static int read_members(const char *state, struct members *ret_members, struct failure *f)
{
	char path[PATH_MAX], *text;
	size_t len;
	int r;

	if (snprintf(path, sizeof(path), "%s/" MEMBERS_FILE, state) >= (int)sizeof(path))
		return fail(f, -ENAMETOOLONG, "the path of %s is too long", state);
	r = store_read(path, MEMBERS_BYTES_MAX, &text, &len, f);
	if (r == -ENOENT)
		return fail(f, r, "this host is in no cluster");
	if (r < 0)
		return r;
	r = members_decode(text, len, ret_members, f);
	free(text);
	return r;
}

int holder_name(const char *state, const struct guid *host, char ret_name[MEMBERS_NAME_MAX + 1],
		struct failure *f)
{
	char uuid[GUID_TEXT_LEN];
	const struct member *member;
	struct members m;
	int r = read_members(state, &m, f);

	if (r < 0)
		return r;
	member = members_find_host(&m, host);
	guid_format(host, uuid);
	if (!member)
		return fail(f, -ENOENT, "the host %s is no member of the cluster", uuid);
	strcpy(ret_name, member->name);
	return 0;
}
