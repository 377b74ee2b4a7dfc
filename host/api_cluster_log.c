/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Routes of the log of the cluster: what this host has recorded; and what all members have, merged
 * and told (host/story.h). Members that do not answer in time are named.
 *
 *	own records (pool) -> each other member, all at once -> the last answer, or the end of our
 *	patience -> told
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "host/api.h"
#include "host/cluster.h"
#include "host/cluster_log.h"
#include "host/far.h"
#include "host/story.h"

#define PATIENCE_US UINT64_C(3000000) /* with the other members */
#define TARGET_MAX 64u

struct gathering;

struct asked {
	struct gathering *g;
	struct far *far; /* NULL: it has answered */
	char name[MEMBERS_NAME_MAX + 1];
};

struct gathering {
	struct pool_work work;
	struct http_request *request;
	struct host *host;
	int64_t since_us;
	bool merged; /* with those of the others, and told */
	json_t *records, *missing;
	struct asked asked[MEMBERS_MAX];
	unsigned count, waiting;
	sd_event_source *timer;
};

static void gathering_free(struct gathering *g)
{
	for (unsigned i = 0; i < g->count; i++)
		far_cancel(g->asked[i].far);
	sd_event_source_disable_unref(g->timer);
	json_decref(g->records);
	json_decref(g->missing);
	free(g);
}

static void reply(struct gathering *g, json_t *body)
{
	struct failure f;

	if (body) {
		http_reply(g->request, &(struct http_reply){.status = 200, .body = body});
	} else {
		fail(&f, -ENOMEM, "cannot tell the log of the cluster: out of memory");
		api_fail(g->request, -ENOMEM, &f);
	}
	gathering_free(g);
}

/* ---- told ---- */

static json_t *tell(const struct gathering *g)
{
	size_t most = json_array_size(g->records), count = 0, i;
	struct record *records = calloc(most + 1, sizeof(*records));
	struct failure ignored;
	json_t *one, *list;

	if (!records)
		return NULL;
	json_array_foreach(g->records, i, one)
	{
		if (record_of_json(one, &records[count], &ignored) == 0)
			count++;
	}
	list = story_tell(records, count, g->since_us);
	free(records);
	return list;
}

static void conclude(struct gathering *g)
{
	json_t *list = tell(g);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	reply(g, list ? json_pack("{s:o, s:O, s:I}", "entries", list, "missing", g->missing,
				  "now_us", now.tv_sec * (json_int_t)1000000 + now.tv_nsec / 1000)
		      : NULL);
}

/* ---- the other members ---- */

static void miss(struct gathering *g, const char *name)
{
	json_array_append_new(g->missing, json_string(name));
}

static void on_answer(void *ctx, const struct far_answer *a)
{
	struct asked *asked = ctx;
	struct gathering *g = asked->g;
	json_t *list =
		a->code == 0 && a->status == 200 ? json_object_get(a->body, "records") : NULL;

	asked->far = NULL;
	if (!json_is_array(list) || json_array_extend(g->records, list) < 0)
		miss(g, asked->name);
	if (--g->waiting == 0)
		conclude(g);
}

static int on_patience(sd_event_source *source, uint64_t us, void *ctx)
{
	struct gathering *g = ctx;

	(void)source;
	(void)us;
	for (unsigned i = 0; i < g->count; i++) {
		if (g->asked[i].far)
			miss(g, g->asked[i].name);
	}
	conclude(g);
	return 0;
}

static void ask(struct gathering *g, const struct member *m, const char *target)
{
	struct asked *asked = &g->asked[g->count++];
	struct peer peer = m->peer;
	const struct far_wish wish = {
		.helper = g->host->connector, .peer = &peer, .method = "GET", .target = target};
	struct failure ignored;

	peer.identity = g->host->state;
	asked->g = g;
	snprintf(asked->name, sizeof(asked->name), "%s", m->name);
	if (far_start(g->host->event, &wish, on_answer, asked, &asked->far, &ignored) < 0)
		miss(g, m->name);
	else
		g->waiting++;
}

static void ask_members(struct gathering *g)
{
	const struct members *m = cluster_members(g->host->cluster);
	int64_t since_us = g->since_us > STORY_CAUSE_US ? g->since_us - STORY_CAUSE_US : 0;
	char target[TARGET_MAX];

	snprintf(target, sizeof(target), "/v1/cluster/records?since=%" PRId64, since_us);
	for (unsigned i = 0; m && i < m->count; i++) {
		if (!guid_equal(&m->member[i].host, &g->host->uuid))
			ask(g, &m->member[i], target);
	}
	if (!g->waiting || sd_event_add_time_relative(g->host->event, &g->timer, CLOCK_MONOTONIC,
						      PATIENCE_US, 0, on_patience, g) < 0)
		conclude(g);
}

/* ---- our own ---- */

static void read_own(struct pool_work *w)
{
	struct gathering *g = CONTAINER_OF(w, struct gathering, work);
	int64_t before_us = g->merged ? STORY_CAUSE_US : 0;

	g->records = cluster_log_read(g->host->state, g->since_us - before_us);
}

static void on_read(struct pool_work *w)
{
	struct gathering *g = CONTAINER_OF(w, struct gathering, work);

	if (!g->records || !g->missing)
		reply(g, NULL);
	else if (g->merged)
		ask_members(g);
	else
		reply(g, json_pack("{s:O}", "records", g->records));
}

static bool take_since(struct http_request *r, int64_t *ret_us)
{
	const char *text = http_query(r, "since");
	struct failure f;
	char *end;
	long long us = text ? strtoll(text, &end, 10) : 0;

	if (!text || (*text >= '0' && *text <= '9' && !*end && us <= RECORD_US_MAX)) {
		*ret_us = us;
		return true;
	}
	fail(&f, -EINVAL, "'since' is '%.32s', not microseconds since 1970", text);
	http_fail(r, 400, &f);
	return false;
}

static void gather(struct http_request *r, const struct api *api, bool merged)
{
	struct gathering *g;
	struct failure f;
	int64_t since_us;

	if (!cluster_members(api->host->cluster)) {
		fail(&f, -ENOENT, "this host is in no cluster");
		http_fail(r, 404, &f);
		return;
	}
	if (!take_since(r, &since_us))
		return;
	http_later(r);
	g = calloc(1, sizeof(*g));
	if (!g) {
		fail(&f, -ENOMEM, "cannot tell the log of the cluster: out of memory");
		api_fail(r, -ENOMEM, &f);
		return;
	}
	*g = (struct gathering){.request = r,
				.host = api->host,
				.since_us = since_us,
				.merged = merged,
				.missing = json_array()};
	g->work =
		(struct pool_work){.work = read_own, .done = on_read, .lane = &api->host->log_lane};
	pool_submit(api->host->pool, &g->work);
}

void api_cluster_log(struct http_request *r, void *owner)
{
	gather(r, owner, true);
}

void api_cluster_records(struct http_request *r, void *owner)
{
	gather(r, owner, false);
}
