/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Role: joins corosync, the arbiter and the region's cycles in one loop.
 *
 * Threads: the loop, which never waits for the disk; cycle.c has another.
 *
 * Invariants:
 *  1. the vote is cast only while arbiter_vote() says YES: the kernel ends the program when the
 * vote lapses in between, wherever it stands still;
 *  2. no slot says that the node is idle before corosync has taken that there is no vote: it may
 *     still count what a daemon cast that died.
 */
#include "cluster/witness/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "cluster/witness/arbiter.h"
#include "cluster/witness/cycle.h"
#include "cluster/witness/engine.h"
#include "lib/log.h"

#define NS_PER_US 1000u
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define RELEASE_WAIT_MS 1000u
#define DETECTION(token_ms) ((token_ms)*11 / 5) /* until corosync makes a new partition */
#define NODES_TEXT_MAX (WITNESS_NODES_MAX * 4u)

struct daemon {
	sd_event *event;
	sd_event_source *timer;
	timer_t end; /* of the program, while a vote is cast */
	struct engine engine;
	struct engine_settings settings;
	struct region region;
	struct cycle cycle;
	struct arbiter arbiter;
	uint64_t next_ns; /* when the next cycle begins */
	bool lost, leaving, overdue;
	enum arbiter_vote told;
	uint32_t told_rival;
	struct failure why; /* of the end */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 * NS_PER_MS + (uint64_t)t.tv_nsec;
}

static uint64_t since_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec > 0 ? (uint64_t)t.tv_sec : 0;
}

static int stop(struct daemon *d, int r)
{
	sd_event_exit(d->event, r);
	return 0;
}

/* ---- what is told ---- */

static void format_nodes(uint32_t members, char text[NODES_TEXT_MAX])
{
	size_t at = 0;

	text[0] = '\0';
	for (uint32_t id = 1; id <= WITNESS_NODES_MAX; id++) {
		if (members >> (id - 1) & 1)
			at += (size_t)snprintf(text + at, NODES_TEXT_MAX - at, "%s%u",
					       at ? ", " : "", id);
	}
}

static void tell_vote(struct daemon *d, enum arbiter_vote vote)
{
	const struct arbiter *a = &d->arbiter;
	char nodes[NODES_TEXT_MAX];

	if (vote == d->told && (vote == ARBITER_YES || a->rival == d->told_rival))
		return;
	d->told = vote;
	d->told_rival = a->rival;
	format_nodes(a->ring.members, nodes);
	if (vote == ARBITER_YES)
		log_line(LOG_LEVEL_INFO, "the witness votes for this partition: nodes %s", nodes);
	else if (d->lost || d->overdue)
		log_line(LOG_LEVEL_WARNING, "no vote: the witness %s is out of reach",
			 d->region.path);
	else if (a->state == ARBITER_WATCH)
		log_line(LOG_LEVEL_INFO, "no vote yet: learning what the other nodes do");
	else if (a->rival)
		log_line(LOG_LEVEL_WARNING,
			 "no vote%s for this partition, nodes %s: node %u has it or may still "
			 "have it",
			 vote == ARBITER_UNDECIDED ? " yet" : "", nodes, a->rival);
	else if (vote == ARBITER_NO)
		log_line(LOG_LEVEL_WARNING,
			 "no vote for this partition, nodes %s of a cluster of %u: it %s", nodes,
			 a->nodes,
			 a->state == ARBITER_IDLE ? "is the smaller part" : "has yet to claim it");
}

/* Once for each time that it is lost. */
static void tell_disk(struct daemon *d, const char *why)
{
	bool lost = why != NULL;

	if (lost && !d->lost)
		log_line(LOG_LEVEL_ERROR, "%s", why);
	else if (!lost && d->lost)
		log_line(LOG_LEVEL_INFO, "the witness %s answers again", d->region.path);
	d->lost = lost;
}

/* ---- the loop ---- */

/* 0: not any more. */
static void end_at(struct daemon *d, uint64_t at_ns)
{
	const struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at_ns / NS_PER_S),
						     .tv_nsec = (long)(at_ns % NS_PER_S)}};

	timer_settime(d->end, TIMER_ABSTIME, &when, NULL);
}

static int cast_vote(struct daemon *d)
{
	enum arbiter_vote vote = arbiter_vote(&d->arbiter, now_ns());
	int r = 0;

	if (d->leaving)
		vote = ARBITER_NO;
	tell_vote(d, vote);
	if (vote == ARBITER_UNDECIDED)
		return 0;
	if (vote == ARBITER_YES)
		end_at(d, arbiter_due_ns(&d->arbiter, now_ns()));
	r = engine_poll(&d->engine, vote == ARBITER_YES, &d->why);
	end_at(d, 0);
	if (r == 0 && vote == ARBITER_YES && arbiter_vote(&d->arbiter, now_ns()) != ARBITER_YES)
		r = engine_poll(&d->engine, false, &d->why);
	return r;
}

static void begin_cycle(struct daemon *d)
{
	struct witness_record record;
	uint64_t now = now_ns();

	if (d->engine.counted && arbiter_is_idle(&d->arbiter)) {
		d->next_ns = now + d->arbiter.set.period_ns; /* settle() takes the vote back */
		return;
	}
	if (d->cycle.running) {
		if (!d->overdue && now - d->arbiter.cycle_ns >= d->arbiter.set.vote_ns) {
			d->overdue = true;
			log_line(LOG_LEVEL_ERROR, "the witness %s does not answer", d->region.path);
		}
		d->next_ns = now + d->arbiter.set.period_ns;
		return;
	}
	arbiter_write(&d->arbiter, now, since_s(), &record);
	d->next_ns = now + d->arbiter.set.period_ns;
	cycle_start(&d->cycle, &record);
}

/* Sets the timer to the next cycle, or to the end of what is cast now. */
static int arm(struct daemon *d)
{
	uint64_t at = min_u64(d->next_ns, arbiter_due_ns(&d->arbiter, now_ns()));
	int r = sd_event_source_set_time(d->timer, at / NS_PER_US + 1);

	return r < 0 ? r : sd_event_source_set_enabled(d->timer, SD_EVENT_ONESHOT);
}

/* Casts what is decided, and goes on. */
static int settle(struct daemon *d)
{
	int r = cast_vote(d);

	if (r == 0)
		r = arm(d);
	return r < 0 ? stop(d, r) : 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *owner)
{
	struct daemon *d = owner;

	(void)s;
	(void)usec;
	if (now_ns() >= d->next_ns)
		begin_cycle(d);
	return settle(d);
}

static int on_cycle(sd_event_source *s, int fd, uint32_t events, void *owner)
{
	struct daemon *d = owner;
	int r = cycle_end(&d->cycle);

	(void)s;
	(void)fd;
	(void)events;
	d->overdue = false;
	tell_disk(d, r < 0 ? d->cycle.failure.text : NULL);
	if (r == 0) {
		arbiter_read(&d->arbiter, d->cycle.seen, now_ns());
		d->next_ns = d->arbiter.cycle_ns + arbiter_pause_ns(&d->arbiter);
		if (d->arbiter.own_lost)
			tell_disk(d, "the witness does not keep what this node writes: the disk "
				     "loses writes, or another node has the same id");
	}
	return settle(d);
}

static void on_partition(void *owner)
{
	struct daemon *d = owner;
	uint64_t now = now_ns();

	arbiter_members(&d->arbiter, &d->engine.ring, engine_nodes(&d->engine), now);
	d->next_ns = now;
}

static int on_engine(sd_event_source *s, int fd, uint32_t events, void *owner)
{
	struct daemon *d = owner;
	int r = engine_dispatch(&d->engine, &d->why);

	(void)s;
	(void)fd;
	(void)events;
	return r < 0 ? stop(d, r) : settle(d);
}

/* ---- begin and end ---- */

static int open_region(struct daemon *d, const char *path, struct failure *f)
{
	const struct engine_settings *s = &d->settings;
	int r;

	path = path ? path : s->path;
	if (!path[0])
		return fail(f, -ENOENT,
			    "corosync.conf does not say where the witness is; set quorum { device "
			    "{ oya { path: ... } } }, or use --path");
	r = region_open(&d->region, path, f);
	if (r == 0 && strcmp(d->region.cluster, s->cluster) != 0)
		return fail(f, -EXDEV,
			    "%s is the witness of the cluster %s, and this node is of %s; name "
			    "the right disk or file",
			    path, d->region.cluster, s->cluster);
	return r;
}

static int open_arbiter(struct daemon *d, struct failure *f)
{
	const struct engine_settings *s = &d->settings;
	struct arbiter_settings set =
		arbiter_settings_of(s->node, s->timeout_ms, s->sync_timeout_ms);
	uint64_t takeover_ms = (set.expire_ns + set.period_ns) / NS_PER_MS;
	struct witness_seen seen[WITNESS_SLOTS_MAX];
	int r = region_read(&d->region, seen, f);

	if (r < 0)
		return r;
	if (takeover_ms > (uint64_t)s->sync_timeout_ms + DETECTION((uint64_t)s->token_ms))
		log_line(LOG_LEVEL_WARNING,
			 "what is left of a cluster has no quorum for a moment when a node dies: "
			 "its vote goes over after %" PRIu64 " ms, and corosync waits %u ms behind "
			 "its token; shorten quorum.device.timeout or lengthen sync_timeout",
			 takeover_ms, s->sync_timeout_ms);
	arbiter_init(&d->arbiter, &set, &seen[witness_slot_of(s->node, 0)]);
	return 0;
}

static int open_loop(struct daemon *d, struct failure *f)
{
	struct sigevent end = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
	int fd, r = sd_event_default(&d->event);

	if (r >= 0 && timer_create(CLOCK_BOOTTIME, &end, &d->end) < 0)
		r = -errno;
	if (r >= 0)
		r = sd_event_add_signal(d->event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(d->event, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_set_watchdog(d->event, true);
	if (r >= 0)
		r = sd_event_add_time(d->event, &d->timer, CLOCK_BOOTTIME, 0, 1000, on_timer, d);
	if (r >= 0)
		r = sd_event_add_io(d->event, NULL, d->cycle.done_fd, EPOLLIN, on_cycle, d);
	if (r < 0)
		return fail(f, r, "cannot make an event loop: %s", strerror(-r));
	d->engine.changed = on_partition;
	d->engine.owner = d;
	r = engine_register(&d->engine, &fd, f);
	if (r < 0)
		return r;
	r = sd_event_add_io(d->event, NULL, fd, EPOLLIN, on_engine, d);
	return r < 0 ? fail(f, r, "cannot wait for corosync: %s", strerror(-r)) : 0;
}

/* The others need not wait for what this node will not do any more. */
static void leave(struct daemon *d)
{
	struct witness_record record;

	d->leaving = true;
	(void)cast_vote(d);
	engine_close(&d->engine);
	arbiter_members(&d->arbiter, &d->arbiter.ring, 0, now_ns());
	if (d->engine.counted)
		return;
	if (!cycle_wait(&d->cycle, RELEASE_WAIT_MS))
		return;
	arbiter_write(&d->arbiter, now_ns(), since_s(), &record);
	cycle_start(&d->cycle, &record);
	(void)cycle_wait(&d->cycle, RELEASE_WAIT_MS);
}

static int serve(struct daemon *d, struct failure *f)
{
	int r = cycle_init(&d->cycle, &d->region);

	if (r < 0)
		return fail(f, r, "cannot start a thread: %s", strerror(-r));
	d->why = (struct failure){"the event loop failed"};
	r = open_loop(d, f);
	if (r == 0) {
		log_line(LOG_LEVEL_INFO, "version " OYA_VERSION ", node %u, witness %s",
			 d->settings.node, d->region.path);
		sd_notify(0, "READY=1");
		r = sd_event_loop(d->event);
		*f = d->why;
	}
	sd_notify(0, "STOPPING=1");
	leave(d);
	sd_event_source_unref(d->timer);
	sd_event_unref(d->event);
	return r;
}

int daemon_run(const char *path, struct failure *f)
{
	struct daemon d = {.region = {.fd = -1}, .told = ARBITER_UNDECIDED};
	int r = engine_open(&d.engine, &d.settings, f);

	if (r == 0)
		r = open_region(&d, path, f);
	if (r == 0)
		r = open_arbiter(&d, f);
	if (r == 0)
		r = serve(&d, f);
	engine_close(&d.engine);
	if (!cycle_done(&d.cycle)) {
		/* Its thread still uses what is here, and ends with the program. */
		log_line(LOG_LEVEL_ERROR, "%s; the witness %s still hangs",
			 r < 0 ? f->text : "told to end", d.region.path);
		_exit(EXIT_FAILURE);
	}
	region_close(&d.region);
	return r;
}
