/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watches the counter of the guest of ./bench migrate (migrate_guest.S) in the memory of both ends,
 * by the host's clock, and tells how long it stood still.
 *
 * Called with the files that are the memory of the source and of the destination, the offset of the
 * guest's page, and the schedstat file of the thread that runs its processor at the source, which
 * may end before anybody else reads it. A byte on standard input tells that the migration begins;
 * its end, that nobody waits any more. It ends by itself SETTLE_NS after the guest goes on at the
 * destination, and prints one JSON object.
 *
 * The guest stands still from the last sample in which the source's counter had changed to the
 * first in which the destination's is beyond it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS 50000
#define SETTLE_NS 500000000
#define GAP_NS 5000000 /* a gap that counts */
#define PRIORITY 50
#define THREAD_EVERY 32 /* samples */
#define NS_PER_S 1000000000

enum end { SOURCE, DESTINATION, ENDS };

/* What the guest tells. */
struct seen {
	uint64_t counter, tsc, written, phase;
};

struct moment {
	uint64_t ns, counter, written;
};

struct observer {
	int memory_fd[ENDS];
	off_t at; /* of what the guest tells */
	int thread_fd;
	uint64_t thread_ns;
	struct moment first, mark, last; /* `last` when the live counter was seen to change */
	bool marked, passed, ended;
	uint64_t stopped_ns, passed_ns;
	uint64_t longest_ns, gaps_ns;         /* of the guest, since the mark */
	uint64_t own_longest_ns, own_stop_ns; /* our own, since the mark; around the stop */
	uint64_t own_since_change_ns;
	uint64_t samples;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* By the file, not by a mapping: a page that is missing there stays so, when whoever has it is to
 * fill it in still (post-copy). */
static struct seen seen_of(const struct observer *o, enum end end)
{
	struct seen seen = {0};

	if (pread(o->memory_fd[end], &seen, sizeof(seen), o->at) != sizeof(seen))
		seen = (struct seen){0};
	return seen;
}

/* The processor time of the source's thread; what was read last stays when it has ended. */
static void read_thread(struct observer *o)
{
	char text[64];
	ssize_t n = pread(o->thread_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return;
	text[n] = '\0';
	o->thread_ns = strtoull(text, NULL, 10);
}

static void note_gap(struct observer *o, uint64_t ns)
{
	if (!o->marked)
		return;
	if (ns > o->longest_ns)
		o->longest_ns = ns;
	if (ns > GAP_NS)
		o->gaps_ns += ns;
}

static struct moment moment_of(const struct observer *o, enum end end, uint64_t ns)
{
	struct seen seen = seen_of(o, end);

	return (struct moment){ns, seen.counter, seen.written};
}

/* Pages are copied while they are looked at, so a value that is half of one and half of another is
 * asked for a second time. The destination comes first: its copy is never newer than the source. */
static bool beyond(const struct observer *o)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t there = seen_of(o, DESTINATION).counter;

		if (there <= seen_of(o, SOURCE).counter)
			return false;
	}
	return true;
}

static void look(struct observer *o, uint64_t now)
{
	enum end live = o->passed ? DESTINATION : SOURCE;
	struct moment m;

	if (!o->passed && o->marked && beyond(o)) {
		o->passed = true;
		o->stopped_ns = o->last.ns;
		o->passed_ns = now;
		o->own_stop_ns = o->own_since_change_ns;
		live = DESTINATION;
	}
	m = moment_of(o, live, now);
	if (m.counter == o->last.counter)
		return;
	note_gap(o, now - o->last.ns);
	o->last = m;
	o->own_since_change_ns = 0;
}

static void listen(struct observer *o, uint64_t now)
{
	char byte;
	ssize_t n = read(STDIN_FILENO, &byte, 1);

	if (n == 0)
		o->ended = true;
	if (n <= 0 || o->marked)
		return;
	o->mark = moment_of(o, SOURCE, now);
	o->marked = true;
}

static void sample(struct observer *o, uint64_t own_ns)
{
	uint64_t now = now_ns();

	if (o->marked && own_ns > o->own_longest_ns)
		o->own_longest_ns = own_ns;
	if (own_ns > o->own_since_change_ns)
		o->own_since_change_ns = own_ns;
	look(o, now);
	listen(o, now);
	if (o->samples++ % THREAD_EVERY == 0)
		read_thread(o);
	if (o->passed && now - o->passed_ns > SETTLE_NS)
		o->ended = true;
}

static void watch(struct observer *o)
{
	uint64_t due = now_ns(), before = due, now;

	o->first = o->last = moment_of(o, SOURCE, due);
	while (!o->ended) {
		due += PERIOD_NS;
		now = now_ns();
		if (now > due)
			due = now;
		clock_nanosleep(
			CLOCK_MONOTONIC, TIMER_ABSTIME,
			&(struct timespec){(time_t)(due / NS_PER_S), (long)(due % NS_PER_S)}, NULL);
		now = now_ns();
		sample(o, now - before);
		before = now;
	}
	note_gap(o, now_ns() - o->last.ns);
}

static double rate(struct moment from, struct moment to, uint64_t a, uint64_t b)
{
	return to.ns > from.ns ? (double)(b - a) * NS_PER_S / (double)(to.ns - from.ns) : 0;
}

static double us(uint64_t ns)
{
	return (double)ns / 1000;
}

static void tell(const struct observer *o, bool fifo)
{
	const struct moment *a = &o->first, *b = &o->mark, *c = &o->last;
	double per_s = rate(*a, *b, a->counter, b->counter);
	double lost_s = per_s > 0 ? (double)(c->ns - b->ns) / NS_PER_S -
					    (double)(c->counter - b->counter) / per_s
				  : 0;

	printf("{\"switched\": %s, \"fifo\": %s, \"samples\": %llu, ", o->passed ? "true" : "false",
	       fifo ? "true" : "false", (unsigned long long)o->samples);
	printf("\"downtime_us\": %.1f, \"total_us\": %.1f, ", us(o->passed_ns - o->stopped_ns),
	       us(o->passed ? o->passed_ns - o->mark.ns : 0));
	printf("\"longest_gap_us\": %.1f, \"gaps_us\": %.1f, ", us(o->longest_ns), us(o->gaps_ns));
	printf("\"own_gap_us\": %.1f, \"own_gap_at_stop_us\": %.1f, ", us(o->own_longest_ns),
	       us(o->own_stop_ns));
	printf("\"work_lost_us\": %.1f, \"counts_per_s\": %.0f, ", lost_s * 1e6, per_s);
	printf("\"pages_per_s_before\": %.0f, \"pages_per_s\": %.0f, \"source_processor_us\": %.1f}\n",
	       rate(*a, *b, a->written, b->written), rate(*b, *c, b->written, c->written),
	       us(o->thread_ns));
}

static int cannot_use(const char *path)
{
	fprintf(stderr, "migrate_observer: cannot use %s: %s\n", path, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	struct observer o = {0};
	bool fifo;

	if (argc != 5) {
		fprintf(stderr, "migrate_observer SOURCE DESTINATION OFFSET SCHEDSTAT\n");
		return 2;
	}
	o.at = (off_t)strtoull(argv[3], NULL, 0);
	for (int i = 0; i < ENDS; i++) {
		o.memory_fd[i] = open(argv[1 + i], O_RDONLY | O_CLOEXEC);
		if (o.memory_fd[i] < 0)
			return cannot_use(argv[1 + i]);
	}
	o.thread_fd = open(argv[4], O_RDONLY | O_CLOEXEC);
	if (o.thread_fd < 0)
		return cannot_use(argv[4]);
	if (fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) < 0 || mlockall(MCL_CURRENT) < 0)
		perror("migrate_observer");
	fifo = sched_setscheduler(0, SCHED_FIFO,
				  &(struct sched_param){.sched_priority = PRIORITY}) == 0;
	watch(&o);
	tell(&o, fifo);
	return 0;
}
