/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs live: a table on the whole terminal, drawn anew each second, sorted as a key says. Rates are
 * the differences of two looks at the counters of each VM. Elsewhere than on a terminal it is two
 * looks and one table.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/format.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "lib/loop.h"

#define DELAY_MAX_S 3600.0
#define LINES_OF_HEAD 3 /* two and the titles */

/* Sums over all devices of a VM. */
struct counts {
	bool known, known_cpu;
	uint64_t at_us;
	uint64_t cpu_us, resident_bytes, operations, disk_bytes, net_bytes, exits;
};

/* A second's worth; below 0: not known. */
struct rates {
	double cpu_percent, operations, disk_mb, net_mb, exits;
};

struct row {
	const json_t *vm; /* a member of the list */
	const char *name;
	struct counts counts;
	struct rates rates;
};

/* One look at all VMs. */
struct look {
	json_t *list;
	struct row *row;
	size_t count;
};

struct top {
	struct command_call *c;
	double delay_s;
	unsigned sort;
	struct look now, before;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

/* The largest first. */
#define BY_RATE(name, what)                                    \
	static int by_##name(const void *a, const void *b)     \
	{                                                      \
		double x = ((const struct row *)a)->what;      \
		double y = ((const struct row *)b)->what;      \
                                                               \
		return x > y ? -1 : x < y ? 1 : by_name(a, b); \
	}
BY_RATE(cpu, rates.cpu_percent)
BY_RATE(disk, rates.disk_mb)
BY_RATE(net, rates.net_mb)
BY_RATE(exits, rates.exits)

static int by_memory(const void *a, const void *b)
{
	uint64_t x = ((const struct row *)a)->counts.resident_bytes;
	uint64_t y = ((const struct row *)b)->counts.resident_bytes;

	return x > y ? -1 : x < y ? 1 : by_name(a, b);
}

static const struct {
	const char *name;
	int (*compare)(const void *a, const void *b);
} sorts[] = {
	{"cpu", by_cpu}, {"memory", by_memory}, {"disk", by_disk},
	{"net", by_net}, {"exits", by_exits},   {"name", by_name},
};

static uint64_t now_us(void)
{
	return loop_now_ns() / 1000;
}

/* ---- looking ---- */

static uint64_t number(const json_t *obj, const char *name)
{
	json_int_t n = json_integer_value(json_object_get(obj, name));

	return n > 0 ? (uint64_t)n : 0;
}

static void add(const json_t *list, const char *name, uint64_t *sum)
{
	const json_t *member;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, member)
	{
		*sum += number(member, name);
	}
}

static void count(const json_t *all, struct counts *n)
{
	const json_t *disks = json_object_get(all, "disks"), *nics = json_object_get(all, "nics");
	const json_t *worker = json_object_get(all, "worker");

	n->at_us = now_us();
	n->known = true;
	n->known_cpu = json_is_integer(json_object_get(worker, "cpu_usec"));
	n->cpu_us = number(worker, "cpu_usec");
	n->resident_bytes = number(worker, "resident_bytes");
	n->exits = number(json_object_get(all, "processors"), "exits");
	add(disks, "reads", &n->operations);
	add(disks, "writes", &n->operations);
	add(disks, "read_bytes", &n->disk_bytes);
	add(disks, "written_bytes", &n->disk_bytes);
	add(nics, "received_bytes", &n->net_bytes);
	add(nics, "sent_bytes", &n->net_bytes);
}

/* A VM that has just gone off has no counters, which is no failure. */
static void ask_counters(struct command_call *c, struct row *row)
{
	char name[API_TARGET_MAX / 2], target[API_TARGET_MAX];
	const struct api_request request = {.method = "GET", .target = target};
	const char *state = json_string_value(json_object_get(row->vm, "state"));
	struct api_answer answer = {0};
	struct failure f;

	if (!state || (strcmp(state, "running") != 0 && strcmp(state, "paused") != 0) ||
	    !ask_encode_name(row->name, name, sizeof(name)))
		return;
	snprintf(target, sizeof(target), "/v1/vms/%s/statistics", name);
	if (api_call(&c->api, &request, &answer, &f) == 0 && answer.body)
		count(answer.body, &row->counts);
	json_decref(answer.body);
}

static void free_look(struct look *l)
{
	json_decref(l->list);
	free(l->row);
	*l = (struct look){0};
}

/* False: told, or a dry run. */
static bool look(struct command_call *c, struct look *l)
{
	const json_t *vm;
	size_t i;

	*l = (struct look){0};
	if (!list_all(c, "vms", &l->list))
		return false;
	l->row = calloc(json_array_size(l->list) + 1, sizeof(l->row[0]));
	json_array_foreach(l->list, i, vm)
	{
		const char *name = json_string_value(json_object_get(vm, "name"));

		if (!l->row || !name)
			continue;
		l->row[l->count] = (struct row){.vm = vm, .name = name};
		ask_counters(c, &l->row[l->count++]);
	}
	return true;
}

/* ---- rates ---- */

/* Below 0 when it went down: the VM has begun anew. */
static double rate(uint64_t now, uint64_t before, double seconds)
{
	return now >= before ? (double)(now - before) / seconds : -1;
}

static void derive(struct row *row, const struct look *before)
{
	const struct counts *now = &row->counts, *then = NULL;
	double seconds;

	row->rates = (struct rates){-1, -1, -1, -1, -1};
	for (size_t i = 0; !then && i < before->count; i++) {
		if (strcmp(before->row[i].name, row->name) == 0)
			then = &before->row[i].counts;
	}
	if (!then || !then->known || !now->known || now->at_us <= then->at_us)
		return;
	seconds = (double)(now->at_us - then->at_us) / 1e6;
	if (now->known_cpu && then->known_cpu)
		row->rates.cpu_percent = rate(now->cpu_us, then->cpu_us, seconds) / 1e4;
	row->rates.operations = rate(now->operations, then->operations, seconds);
	row->rates.disk_mb = rate(now->disk_bytes, then->disk_bytes, seconds) / 1e6;
	row->rates.net_mb = rate(now->net_bytes, then->net_bytes, seconds) / 1e6;
	row->rates.exits = rate(now->exits, then->exits, seconds);
}

static void next_look(struct top *t)
{
	free_look(&t->before);
	t->before = t->now;
	if (!look(t->c, &t->now))
		return;
	for (size_t i = 0; i < t->now.count; i++)
		derive(&t->now.row[i], &t->before);
}

/* ---- the table ---- */

static void add_rate(struct table *table, double value, int digits)
{
	char text[32];

	snprintf(text, sizeof(text), "%.*f", digits, value);
	table_add(table, value < 0 ? NULL : text);
}

static void add_row(struct table *table, const struct row *row)
{
	const json_t *mib = json_object_get(row->vm, "memory_mib");
	const json_t *cpus = json_object_get(row->vm, "cpus");
	char text[FORMAT_SIZE_MAX];

	table_add(table, row->name);
	table_add_json(table, json_object_get(row->vm, "state"));
	if (cpus && !json_is_null(cpus))
		table_add_json(table, cpus);
	else
		table_add(table, "1");
	add_rate(table, row->rates.cpu_percent, 1);
	format_bytes((uint64_t)(json_is_integer(mib) ? json_integer_value(mib) : 1024) << 20, text);
	table_add(table, text);
	format_bytes(row->counts.resident_bytes, text);
	table_add(table, row->counts.resident_bytes ? text : NULL);
	add_rate(table, row->rates.operations, 0);
	add_rate(table, row->rates.disk_mb, 1);
	add_rate(table, row->rates.net_mb, 1);
	add_rate(table, row->rates.exits, 0);
}

/* At most so many rows. */
static void put_table(struct top *t, FILE *to, size_t most)
{
	static const char *const titles[] = {"NAME",      "STATE",    ">CPUS",      ">CPU %",
					     ">MEMORY",   ">IN USE",  ">DISK IO/S", ">DISK MB/S",
					     ">NET MB/S", ">EXITS/S", NULL};
	struct table table;

	qsort(t->now.row, t->now.count, sizeof(t->now.row[0]), sorts[t->sort].compare);
	table_init(&table, titles);
	for (size_t i = 0; i < t->now.count && i < most; i++)
		add_row(&table, &t->now.row[i]);
	table_end(&table, to);
}

/* ---- once ---- */

static void wait_s(double seconds)
{
	struct timespec t = {.tv_sec = (time_t)seconds};

	t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

static void show_once(struct top *t)
{
	next_look(t);
	if (t->c->status || !t->now.list)
		return;
	wait_s(t->delay_s);
	next_look(t);
	if (t->c->status == 0)
		put_table(t, t->c->out, SIZE_MAX);
}

/* ---- live ---- */

/* Over what stood there, each line to its end, so that nothing flickers. */
static void draw(struct top *t)
{
	struct winsize size = {.ws_row = 24};
	char *text = NULL, *rest, *line;
	size_t len, most;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return;
	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	most = size.ws_row > LINES_OF_HEAD + 1 ? (size_t)size.ws_row - LINES_OF_HEAD - 1 : 1;
	fprintf(to, "%zu VMs, sorted by %s; s sorts otherwise, q ends\n\n", t->now.count,
		sorts[t->sort].name);
	put_table(t, to, most);
	if (t->now.count > most)
		fprintf(to, "and %zu more", t->now.count - most);
	fclose(to);
	fputs("\033[H", stdout);
	rest = text;
	while (rest && (line = strsep(&rest, "\n")))
		printf("%s\033[K%s", line, rest ? "\n" : "");
	fputs("\033[J", stdout);
	fflush(stdout);
	free(text);
}

/* A key, or the end of the time. False: it is to end. */
static bool take_key(struct top *t, int stop, uint64_t due_us)
{
	uint64_t now = now_us();
	struct pollfd p[] = {{.fd = STDIN_FILENO, .events = POLLIN},
			     {.fd = stop, .events = POLLIN}};
	int r = poll(p, ARRAY_LEN(p), due_us > now ? (int)((due_us - now) / 1000 + 1) : 0);
	char key;

	if (r <= 0)
		return r == 0 || errno == EINTR;
	if (p[1].revents || read(STDIN_FILENO, &key, 1) != 1 || key == 'q')
		return false;
	if (key == 's') {
		t->sort = (t->sort + 1) % ARRAY_LEN(sorts);
		draw(t);
	}
	return true;
}

static void show_live(struct top *t)
{
	struct termios before;
	sigset_t signals;
	int stop = terminal_take_signals(&signals);
	bool raw = terminal_take_keys(STDIN_FILENO, &before), more = true;
	uint64_t due = now_us();

	fputs("\033[?1049h\033[?25l\033[?7l", stdout); /* another screen, no cursor, no wrapping */
	while (more && t->c->status == 0) {
		if (now_us() >= due) {
			next_look(t);
			due = now_us() + (uint64_t)(t->delay_s * 1e6);
			if (t->c->status == 0)
				draw(t);
		}
		more = t->c->status == 0 && take_key(t, stop, due);
	}
	fputs("\033[?7h\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	terminal_give_signals(stop, &signals);
}

void top_show(struct command_call *c)
{
	const char *delay = command_value(c, "delay");
	struct top t = {.c = c, .delay_s = 1};
	char *end = NULL;

	if (delay) {
		t.delay_s = strtod(delay, &end);
		if (end == delay || *end || !(t.delay_s >= 0.1 && t.delay_s <= DELAY_MAX_S)) {
			command_refuse(c, "--delay is seconds, 0.1 to %.0f, not '%.80s'",
				       DELAY_MAX_S, delay);
			return;
		}
	}
	if (command_value(c, "once") || c->api.dry || c->out != stdout || !isatty(STDOUT_FILENO) ||
	    !isatty(STDIN_FILENO))
		show_once(&t);
	else
		show_live(&t);
	free_look(&t.now);
	free_look(&t.before);
}
