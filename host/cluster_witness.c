/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness of the cluster: a disk or a file on a share that votes when the hosts part evenly
 * (docs/design/witness.md). It is made where nothing is, once, by the host that is asked; then the
 * list goes round that names it, and each host starts the program that asks it.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "host/cluster_impl.h"

#define TOOL_S 60u

int cluster_run_witness(struct cluster *c, const struct members *next, struct failure *f)
{
	const struct members *old = &c->members;
	bool had = c->in && members_witness_votes(old), has = next && members_witness_votes(next);
	int r = 0;

	if (had && (!has || strcmp(old->witness, next->witness) != 0))
		r = engine_stop_witness(c->host->run, f);
	return r == 0 && has ? engine_start_witness(c->host->run, f) : r;
}

static int check_kind(bool disk, const char *path, struct failure *f)
{
	struct stat st;
	int r = stat(path, &st) < 0 ? -errno : 0;

	if (r == -ENOENT && !disk)
		return 0; /* it is made */
	if (r < 0)
		return fail(f, r, "cannot use %s as a witness: %s", path, strerror(-r));
	if (disk ? !S_ISBLK(st.st_mode) : !S_ISREG(st.st_mode))
		return fail(f, -EINVAL, "%s is no %s: name one that all hosts of the cluster reach",
			    path, disk ? "block device" : "file");
	return 0;
}

static int make(struct cluster_task *t)
{
	const char *const command[] = {ENGINE_WITNESS, "--init",     t->next.witness,
				       "--cluster",    t->next.name, NULL};
	int r = check_kind(t->force, t->next.witness, &t->f);

	return r < 0 ? r : engine_tool(command, TOOL_S, NULL, &t->f);
}

static void on_set(struct cluster_task *t)
{
	cluster_end(t, NULL);
}

static void on_made(struct cluster_task *t)
{
	if (t->r < 0)
		cluster_end(t, NULL);
	else
		cluster_change(t, on_set);
}

int cluster_set_witness(struct cluster *c, const char *kind, const char *path, struct job **ret_job,
			struct failure *f)
{
	bool disk = kind && strcmp(kind, "disk") == 0;
	struct cluster_task *t;
	struct members next;
	int r;

	if (!c->in)
		return fail(f, -ENOENT, "this host is in no cluster");
	if (kind && !disk && strcmp(kind, "share") != 0)
		return fail(f, -EINVAL, "'kind' is '%.32s', allowed are disk and share", kind);
	r = members_set_witness(&c->members, kind ? path : "", &next, f);
	if (r < 0)
		return r;
	t = cluster_begin(c, "set-witness", f);
	if (!t)
		return -EBUSY;
	t->next = next;
	t->force = disk;
	*ret_job = t->job;
	if (kind)
		cluster_in_pool(t, make, on_made);
	else
		cluster_change(t, on_set);
	return 0;
}
