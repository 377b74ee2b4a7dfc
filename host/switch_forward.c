/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forwarding of IPv4 for NAT switches. Where the host forwards anyway there is nothing to do.
 * Elsewhere only the bridges, and the NICs of the default routes by which answers come back,
 * forward, and our rules let in by these what a VM began and nothing else: the host does not
 * become a router for others.
 *
 * Which NICs those are stands in a file until the next boot, so that they are closed again by
 * whoever finds the switch gone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/switch_priv.h"

static void path_of(const struct switches *s, const char *suffix, char ret[SWITCH_PATH_MAX])
{
	snprintf(ret, SWITCH_PATH_MAX, "%s/opened%s", s->options.run_dir, suffix);
}

static bool contains(const struct opened *o, const char *name)
{
	for (size_t i = 0; i < o->count; i++)
		if (strcmp(o->name[i], name) == 0)
			return true;
	return false;
}

static void add(struct opened *o, const char *name)
{
	if (o->count < OPENED_MAX && !contains(o, name))
		memcpy(o->name[o->count++], name, strlen(name) + 1);
}

static void read_list(const struct switches *s, struct opened *ret)
{
	char path[SWITCH_PATH_MAX], line[64];
	FILE *in;

	*ret = (struct opened){0};
	path_of(s, "", path);
	in = fopen(path, "re");
	while (in && fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] && strlen(line) < IFNAMSIZ && !strchr(line, '/'))
			add(ret, line);
	}
	if (in)
		fclose(in);
}

static int write_list(const struct switches *s, const struct opened *o)
{
	char path[SWITCH_PATH_MAX], temporary[SWITCH_PATH_MAX];
	FILE *out;
	int r = 0;

	path_of(s, "", path);
	path_of(s, ".new", temporary);
	if (!o->count)
		return unlink(path) == 0 || errno == ENOENT ? 0 : -errno;
	out = fopen(temporary, "we");
	if (!out)
		return -errno;
	for (size_t i = 0; i < o->count; i++)
		fprintf(out, "%s\n", o->name[i]);
	if (ferror(out))
		r = -EIO;
	if (fclose(out) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	return r;
}

bool forward_wanted(const struct switches *s)
{
	for (size_t i = 0; i < s->item_count; i++)
		if (s->item[i].config.kind == SWITCH_NAT)
			return true;
	return false;
}

static bool forwards(const char *ifname)
{
	int on = 0;

	return setting_read("ipv4", ifname, "forwarding", &on) == 0 && on;
}

int forward_plan(struct switches *s, struct opened *ret, struct failure *f)
{
	char uplink[OPENED_MAX][IFNAMSIZ];
	struct opened before;
	size_t count = 0;
	int r;

	*ret = (struct opened){0};
	if (!forward_wanted(s) || forwards("all"))
		return 0;
	r = routes_uplinks(&s->nl, uplink, OPENED_MAX, &count);
	if (r < 0)
		return fail(f, r, "cannot find the host's default routes for NAT: %s%s",
			    strerror(-r), switches_why(s));
	read_list(s, &before);
	for (size_t i = 0; i < count; i++)
		if (contains(&before, uplink[i]) || !forwards(uplink[i]))
			add(ret, uplink[i]);
	return 0;
}

int forward_open(struct switches *s, const struct opened *opened, struct failure *f)
{
	struct opened before;
	int r;

	read_list(s, &before);
	for (size_t i = 0; i < before.count && !forwards("all"); i++)
		if (!contains(opened, before.name[i]))
			(void)setting_write("ipv4", before.name[i], "forwarding", 0); /* or gone */
	if (before.count || opened->count) {
		r = write_list(s, opened);
		if (r < 0)
			return fail(f, r, "cannot note which NICs forward in '%s': %s",
				    s->options.run_dir, strerror(-r));
	}
	for (size_t i = 0; i < opened->count; i++)
		(void)setting_write("ipv4", opened->name[i], "forwarding", 1); /* or gone */
	for (size_t i = 0; i < s->item_count; i++) {
		char ifname[IFNAMSIZ];

		if (s->item[i].config.kind != SWITCH_NAT)
			continue;
		switch_ifname(s->item[i].config.name, ifname);
		r = setting_write("ipv4", ifname, "forwarding", 1);
		if (r < 0 && r != -ENOENT)
			return fail(f, r,
				    "cannot let the host forward for the switch '%s': %s; oyad "
				    "must be allowed to write below /proc/sys/net",
				    s->item[i].config.name, strerror(-r));
	}
	return 0;
}
