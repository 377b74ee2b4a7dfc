/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs: listed, shown, followed to their end by the stream of events. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/format.h"
#include "cli/verbs.h"

#define TICK_MS 1000
#define BAR_WIDTH 20u

struct follow {
	struct command_call *c;
	const char *doing; /* "starting the VM 'web'" */
	json_int_t id;
	bool drawn;  /* a line of progress stands on the terminal */
	size_t told; /* sentences of its log */
	time_t began;
};

static json_int_t id_of(const json_t *job)
{
	return json_integer_value(json_object_get(job, "id"));
}

static bool is_running(const json_t *job)
{
	const char *state = json_string_value(json_object_get(job, "state"));

	return state && strcmp(state, "running") == 0;
}

static time_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* ---- progress ---- */

static void wipe(struct follow *w)
{
	if (w->drawn)
		fputs("\r\033[K", w->c->err);
	w->drawn = false;
	fflush(w->c->err);
}

/* What whoever asked for it should know, as it comes. */
static void tell_log(struct follow *w, const json_t *job)
{
	const json_t *log = json_object_get(job, "log");

	if (w->told < json_array_size(log))
		wipe(w);
	for (; w->told < json_array_size(log); w->told++) {
		fputs("oya: note: ", w->c->err);
		format_put(w->c->err, json_string_value(json_array_get(log, w->told)));
		fputc('\n', w->c->err);
	}
}

static bool take(const json_t *details, const char *name, uint64_t *ret)
{
	const json_t *value = json_object_get(details, name);

	*ret = json_is_integer(value) ? (uint64_t)json_integer_value(value) : 0;
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

/* Of a VM that moves: how much of it, how fast, and what the guest would feel now. */
static void put_details(FILE *to, const json_t *details)
{
	char sent[FORMAT_SIZE_MAX], total[FORMAT_SIZE_MAX], rate[FORMAT_SIZE_MAX];
	uint64_t a, b;

	if (take(details, "sent_bytes", &a) && take(details, "total_bytes", &b)) {
		format_bytes(a, sent);
		format_bytes(b, total);
		fprintf(to, ", %s sent of %s", sent, total);
	}
	if (take(details, "rate", &a)) {
		format_bytes(a, rate);
		fprintf(to, ", %s/s", rate);
	}
	if (take(details, "dirty_rate", &a))
		fprintf(to, ", %" PRIu64 " pages/s written", a);
	if (take(details, "pages_left", &a) && a)
		fprintf(to, ", %" PRIu64 " pages are to follow", a);
	if (take(details, "promised_us", &a))
		fprintf(to, ", would stand still for %.1f ms", (double)a / 1000);
}

static void put_bar(FILE *to, double percent)
{
	unsigned full = (unsigned)(percent * BAR_WIDTH / 100);

	fputs(" [", to);
	for (unsigned i = 0; i < BAR_WIDTH; i++)
		fputc(i < full ? '#' : '-', to);
	fputc(']', to);
}

/* A line on the terminal: how far it is, if that is known, and since when it runs. */
static void draw(struct follow *w, const json_t *job)
{
	const json_t *progress = json_object_get(job, "progress");
	const json_t *details = json_object_get(job, "details");

	if (w->c->json || !isatty(fileno(w->c->err)))
		return;
	fputs("\r\033[K", w->c->err);
	format_put(w->c->err, w->doing);
	if (details)
		put_bar(w->c->err, json_number_value(progress));
	if (json_is_number(progress))
		fprintf(w->c->err, ", %.0f %%", json_number_value(progress));
	put_details(w->c->err, details);
	fprintf(w->c->err, ", %lld s; Ctrl-C leaves it to go on", (long long)(now_s() - w->began));
	fflush(w->c->err);
	w->drawn = true;
}

/* ---- following ---- */

static json_t *get_job(struct command_call *c, json_int_t id)
{
	struct api_request request = {.method = "GET",
				      .absent = "'oya job list' shows those that are known"};
	struct api_answer answer = {0};
	char target[API_TARGET_MAX];

	snprintf(target, sizeof(target), "/v1/jobs/%" JSON_INTEGER_FORMAT, id);
	request.target = target;
	return command_ask(c, &request, &answer) ? answer.body : NULL;
}

/* The next state of the job that an event tells; NULL: nothing new. */
static json_t *job_of_event(struct follow *w, const struct api_event *event)
{
	json_t *job;

	if (strcmp(event->type, "gap") == 0) /* some were lost */
		return get_job(w->c, w->id);
	if (strcmp(event->type, "job") != 0)
		return NULL;
	job = json_loads(event->data, 0, NULL);
	if (id_of(job) == w->id)
		return job;
	json_decref(job);
	return NULL;
}

/* Until it has ended: *job becomes what it is then, NULL when that is not known. */
static void wait_for_end(struct follow *w, struct api_events *events, json_t **job)
{
	struct api_event event;
	struct failure f;

	while (*job && is_running(*job) && w->c->status == 0) {
		int r = api_next_event(events, TICK_MS, &event, &f);
		json_t *next = r > 0 ? job_of_event(w, &event) : NULL;

		if (r < 0)
			command_fail(w->c, &f);
		if (next) {
			json_decref(*job);
			*job = next;
		}
		if (next)
			tell_log(w, *job);
		if (r == 0 || next)
			draw(w, *job);
	}
}

/* Tells how it has ended. */
static bool ended_well(struct follow *w, const json_t *job)
{
	const char *state = json_string_value(json_object_get(job, "state"));
	const char *problem = json_string_value(json_object_get(job, "problem"));
	struct failure f;

	tell_log(w, job);
	if (state && strcmp(state, "done") == 0)
		return true;
	fail(&f, -EIO, "%s failed: %s", w->doing,
	     problem && *problem ? problem : "nobody knows why");
	command_fail(w->c, &f);
	return false;
}

bool job_follow(struct command_call *c, json_t *job, const char *doing, json_t **ret_job)
{
	struct follow w = {.c = c, .doing = doing, .id = id_of(job), .began = now_s()};
	struct api_events events;
	struct failure f;
	bool good = false;

	if (is_running(job)) {
		json_decref(job);
		job = NULL;
		if (api_listen(&c->api, NULL, &events, &f) < 0) {
			command_fail(c, &f);
			return false;
		}
		/* It may have ended before we listened. */
		job = get_job(c, w.id);
		wait_for_end(&w, &events, &job);
		wipe(&w);
		api_events_done(&events);
	}
	if (job && c->status == 0)
		good = ended_well(&w, job);
	*ret_job = job;
	return good;
}

bool job_begin(struct command_call *c, const struct api_request *request, const char *doing)
{
	json_t *job;
	bool good = job_begin_for(c, request, doing, &job);

	json_decref(job);
	return good;
}

bool job_begin_for(struct command_call *c, const struct api_request *request, const char *doing,
		   json_t **ret_job)
{
	struct api_answer answer;
	bool good;

	*ret_job = NULL;
	if (!command_ask(c, request, &answer))
		return false;
	if (c->no_wait) {
		if (c->json)
			command_print_json(c, answer.body, false);
		else
			fprintf(c->out, "%" JSON_INTEGER_FORMAT "\n", id_of(answer.body));
		json_decref(answer.body);
		return true;
	}
	good = job_follow(c, answer.body, doing, ret_job);
	if (*ret_job && c->json)
		command_print_json(c, *ret_job, false);
	return good;
}

/* ---- verbs ---- */

static void print_jobs(struct command_call *c, const json_t *list)
{
	static const char *const titles[] = {">JOB",  "WHAT",    "VM", "STATE",
					     "BEGAN", "PROBLEM", NULL};
	struct table t;
	json_t *job;
	size_t i;

	table_init(&t, titles);
	json_array_foreach((json_t *)(uintptr_t)list, i, job)
	{
		table_add_json(&t, json_object_get(job, "id"));
		table_add_json(&t, json_object_get(job, "what"));
		table_add_json(&t, json_object_get(job, "vm"));
		table_add_json(&t, json_object_get(job, "state"));
		table_add_time(&t, json_object_get(job, "began"));
		table_add_json(&t, json_object_get(job, "problem"));
	}
	table_end(&t, c->out);
}

static void print_list(struct command_call *c)
{
	json_t *list;

	if (!list_all(c, "jobs", &list))
		return;
	if (c->json)
		command_print_json(c, list, c->watch);
	else
		print_jobs(c, list);
	json_decref(list);
}

void job_list(struct command_call *c)
{
	list_watch(c, print_list);
}

/* The number of a job that the operand is; false: told. */
static bool take_number(struct command_call *c, json_int_t *ret_id)
{
	const char *text = c->operand[0];

	if (strlen(text) > 18 || text[strspn(text, "0123456789")] || !*text) {
		command_refuse(c, "'%.80s' is no number of a job", text);
		return false;
	}
	*ret_id = strtoll(text, NULL, 10);
	return true;
}

/* The job that the operand names; NULL: told, or a dry run. */
static json_t *get_operand(struct command_call *c)
{
	json_int_t id;

	return take_number(c, &id) ? get_job(c, id) : NULL;
}

static void print_job(struct command_call *c, json_t *job)
{
	json_t *list;

	if (c->json) {
		command_print_json(c, job, false);
		return;
	}
	list = json_pack("[O]", job);
	print_jobs(c, list);
	json_decref(list);
}

void job_show(struct command_call *c)
{
	json_t *job = get_operand(c);

	if (job)
		print_job(c, job);
	json_decref(job);
}

void job_wait(struct command_call *c)
{
	json_t *job = get_operand(c);
	char doing[64];

	if (!job)
		return;
	snprintf(doing, sizeof(doing), "job %" JSON_INTEGER_FORMAT, id_of(job));
	(void)job_follow(c, job, doing, &job);
	if (job)
		print_job(c, job);
	json_decref(job);
}

void job_cancel(struct command_call *c)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "DELETE",
					    .target = target,
					    .absent = "'oya job list' shows those that are known"};
	struct api_answer answer;
	json_int_t id;

	if (!take_number(c, &id))
		return;
	snprintf(target, sizeof(target), "/v1/jobs/%" JSON_INTEGER_FORMAT, id);
	if (!command_ask(c, &request, &answer))
		return;
	json_decref(answer.body);
	fprintf(c->out, "The job %" JSON_INTEGER_FORMAT " ends.\n", id);
}
