/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log of the cluster: what all its hosts have recorded, told by one of them. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "base/util.h"
#include "cli/format.h"
#include "cli/verbs.h"

#define US_PER_S INT64_C(1000000)
#define PAUSE_MS 1000
/* By which clocks of hosts may differ: what is older has been told by all that answer. */
#define SETTLE_US (2 * US_PER_S)

/* "30m": so long ago; false: it is written otherwise. */
static bool take_since(const char *text, int64_t *ret_us)
{
	static const struct {
		char letter;
		unsigned seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	unsigned count;
	char letter, more;

	if (sscanf(text, "%6u%c%c", &count, &letter, &more) != 2)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (letter == units[i].letter) {
			*ret_us = (time(NULL) - (int64_t)count * units[i].seconds) * US_PER_S;
			return *ret_us >= 0;
		}
	}
	return false;
}

static void print_entry(struct command_call *c, const json_t *entry)
{
	const char *words = json_string_value(json_object_get(entry, "text"));
	int64_t at_us = json_integer_value(json_object_get(entry, "at_us"));
	time_t at = (time_t)(at_us / US_PER_S);
	char text[32] = "-";
	struct tm tm;

	if (c->json) {
		command_print_json(c, entry, true);
		return;
	}
	if (localtime_r(&at, &tm))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	fprintf(c->out, "%s.%03d  ", text, (int)(at_us % US_PER_S / 1000));
	format_put(c->out, words ? words : "-");
	fputc('\n', c->out);
}

/* Hosts that do not answer, when they are other ones than before. */
static void tell_missing(struct command_call *c, const json_t *answer, json_t **told)
{
	json_t *missing = json_object_get(answer, "missing"), *one;
	size_t i;

	if (json_equal(missing, *told))
		return;
	json_decref(*told);
	*told = json_incref(missing);
	json_array_foreach(missing, i, one)
	{
		fputs("oya: ", c->err);
		format_put(c->err, json_string_value(one) ? json_string_value(one) : "-");
		fputs(" does not answer: what it has recorded is missing\n", c->err);
	}
}

static void print_until(struct command_call *c, const json_t *answer, int64_t until_us)
{
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(answer, "entries"), i, entry)
	{
		if (json_integer_value(json_object_get(entry, "at_us")) <= until_us)
			print_entry(c, entry);
	}
	fflush(c->out);
}

/* What is new and told by all, again and again. */
static void follow(struct command_call *c, int64_t since_us)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "GET", .target = target};
	struct api_answer answer;
	json_t *told = json_array();

	for (;;) {
		int64_t until_us;

		snprintf(target, sizeof(target), "/v1/cluster/log?since=%" PRId64, since_us);
		if (!command_ask(c, &request, &answer))
			break;
		until_us = json_integer_value(json_object_get(answer.body, "now_us")) - SETTLE_US;
		tell_missing(c, answer.body, &told);
		print_until(c, answer.body, until_us);
		json_decref(answer.body);
		since_us = until_us > since_us ? until_us : since_us;
		(void)poll(NULL, 0, PAUSE_MS);
	}
	json_decref(told);
}

void cluster_log(struct command_call *c)
{
	const char *since = command_value(c, "since");
	char target[API_TARGET_MAX];
	const struct api_request request = {
		.method = "GET", .target = target, .absent = "'oya cluster create' makes one"};
	json_t *told = json_array();
	struct api_answer answer;
	int64_t since_us = 0;

	if (since && !take_since(since, &since_us)) {
		command_refuse(c, "--since is '%.32s', not how long ago, such as 30m, 12h or 7d",
			       since);
	} else if (command_value(c, "follow")) {
		follow(c, since_us);
	} else {
		snprintf(target, sizeof(target), "/v1/cluster/log?since=%" PRId64, since_us);
		if (command_ask(c, &request, &answer)) {
			tell_missing(c, answer.body, &told);
			if (c->json)
				command_print_json(c, answer.body, false);
			else
				print_until(c, answer.body, INT64_MAX);
			json_decref(answer.body);
		}
	}
	json_decref(told);
}
