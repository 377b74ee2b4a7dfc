/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cluster/witness/engine.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "oya"
#define TIMEOUT_MIN_MS 1000u
#define TIMEOUT_MAX_MS 600000u

static int explain(cs_error_t error, const char *what, struct failure *f)
{
	return fail(f, -ENOTCONN, "%s: %s; is corosync running?", what, cs_strerror(error));
}

/* ---- settings ---- */

static int number(struct engine *e, const char *key, uint32_t min, uint32_t max, uint32_t *ret,
		  struct failure *f)
{
	cs_error_t error = cmap_get_uint32(e->map, key, ret);

	if (error != CS_OK)
		return fail(f, -ENOENT, "corosync does not tell %s: %s", key, cs_strerror(error));
	if (*ret < min || *ret > max)
		return fail(f, -ERANGE,
			    "corosync has %s at %u, and the witness needs %u to %u; change "
			    "corosync.conf",
			    key, *ret, min, max);
	return 0;
}

static void text(struct engine *e, const char *key, char *ret, size_t size)
{
	char *value;

	ret[0] = '\0';
	if (cmap_get_string(e->map, key, &value) != CS_OK)
		return;
	if (strlen(value) < size)
		strcpy(ret, value);
	free(value);
}

static int read_settings(struct engine *e, struct engine_settings *s, struct failure *f)
{
	static const struct {
		const char *key;
		size_t at;
		uint32_t min, max;
	} numbers[] = {
		{"runtime.votequorum.this_node_id", offsetof(struct engine_settings, node), 1,
		 WITNESS_NODES_MAX},
		{"quorum.device.timeout", offsetof(struct engine_settings, timeout_ms),
		 TIMEOUT_MIN_MS, TIMEOUT_MAX_MS},
		{"quorum.device.sync_timeout", offsetof(struct engine_settings, sync_timeout_ms),
		 TIMEOUT_MIN_MS, TIMEOUT_MAX_MS},
		{"runtime.config.totem.token", offsetof(struct engine_settings, token_ms), 1,
		 UINT32_MAX},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		r = number(e, numbers[i].key, numbers[i].min, numbers[i].max,
			   (uint32_t *)(void *)((char *)s + numbers[i].at), f);
	text(e, "totem.cluster_name", s->cluster, sizeof(s->cluster));
	text(e, "quorum.device.oya.path", s->path, sizeof(s->path));
	return r;
}

uint32_t engine_nodes(struct engine *e)
{
	char key[CMAP_KEYNAME_MAXLEN + 1];
	cmap_iter_handle_t iter;
	uint32_t count = 0;

	if (cmap_iter_init(e->map, "nodelist.node.", &iter) != CS_OK)
		return 0;
	while (cmap_iter_next(e->map, iter, key, NULL, NULL) == CS_OK) {
		unsigned place;
		int end = 0;

		if (sscanf(key, "nodelist.node.%u.nodeid%n", &place, &end) == 1 && end > 0 &&
		    !key[end])
			count++;
	}
	cmap_iter_finalize(e->map, iter);
	return count;
}

/* ---- partitions ---- */

/* An id that has no slot is no member for the witness: such a node gets no vote, and makes the
 * partition look smaller than it is. */
static void on_nodes(votequorum_handle_t handle, uint64_t context, votequorum_ring_id_t ring_id,
		     uint32_t count, uint32_t ids[])
{
	struct engine *e;

	(void)context;
	if (votequorum_context_get(handle, (void **)&e) != CS_OK)
		return;
	e->ring_id = ring_id;
	e->ring = (struct witness_ring){.seq = ring_id.seq, .node = ring_id.nodeid};
	for (uint32_t i = 0; i < count; i++) {
		if (ids[i] >= 1 && ids[i] <= WITNESS_NODES_MAX)
			e->ring.members |= UINT32_C(1) << (ids[i] - 1);
	}
	e->changed(e->owner);
}

int engine_open(struct engine *e, struct engine_settings *ret_settings, struct failure *f)
{
	votequorum_callbacks_t callbacks = {.votequorum_nodelist_notify_fn = on_nodes};
	cs_error_t error = cmap_initialize(&e->map);

	if (error != CS_OK)
		return explain(error, "cannot read corosync's settings", f);
	error = votequorum_initialize(&e->quorum, &callbacks);
	if (error != CS_OK) {
		cmap_finalize(e->map);
		return explain(error, "cannot speak to corosync's votequorum", f);
	}
	e->connected = true;
	e->counted = true;
	return read_settings(e, ret_settings, f);
}

int engine_register(struct engine *e, int *ret_fd, struct failure *f)
{
	cs_error_t error = votequorum_context_set(e->quorum, e);

	if (error == CS_OK)
		error = votequorum_qdevice_register(e->quorum, NAME);
	if (error == CS_OK)
		error = votequorum_trackstart(e->quorum, 0, CS_TRACK_CHANGES | CS_TRACK_CURRENT);
	if (error == CS_OK)
		error = votequorum_fd_get(e->quorum, ret_fd);
	if (error != CS_OK)
		return fail(f, -ENOTCONN,
			    "corosync takes no quorum device: %s; corosync.conf needs quorum { "
			    "device { model: oya ... } }, and no other device may run",
			    cs_strerror(error));
	return 0;
}

int engine_dispatch(struct engine *e, struct failure *f)
{
	cs_error_t error = votequorum_dispatch(e->quorum, CS_DISPATCH_ALL);

	return error == CS_OK || error == CS_ERR_TRY_AGAIN
		       ? 0
		       : explain(error, "lost the connection to corosync", f);
}

int engine_poll(struct engine *e, bool vote, struct failure *f)
{
	cs_error_t error;

	e->counted |= vote;
	error = votequorum_qdevice_poll(e->quorum, NAME, vote, e->ring_id);
	if (!vote && (error == CS_OK || error == CS_ERR_MESSAGE_ERROR))
		e->counted = false;
	if (error == CS_OK || error == CS_ERR_TRY_AGAIN || error == CS_ERR_MESSAGE_ERROR)
		return 0;
	return explain(error, "cannot tell corosync the vote", f);
}

void engine_close(struct engine *e)
{
	if (!e->connected)
		return;
	(void)votequorum_qdevice_unregister(e->quorum, NAME);
	votequorum_finalize(e->quorum);
	cmap_finalize(e->map);
	e->connected = false;
}
