/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of the API, which come page by page, and lists that are watched. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/verbs.h"

#define PAGE 1000
#define PAGES_MAX 1000u

/* Appends the page to *list. False: told, or a dry run. */
static bool add_page(struct command_call *c, const char *name, const char *target, json_t *list,
		     json_t **ret_next)
{
	const struct api_request request = {.method = "GET", .target = target};
	struct api_answer answer;
	struct failure f;
	json_t *page;

	if (!command_ask(c, &request, &answer))
		return false;
	page = json_object_get(answer.body, name);
	if (!json_is_array(page) || json_array_extend(list, page) < 0) {
		fail(&f, -EIO, "the host service does not answer with a list");
		command_fail(c, &f);
		json_decref(answer.body);
		return false;
	}
	*ret_next = json_incref(json_object_get(answer.body, "next"));
	json_decref(answer.body);
	return true;
}

bool list_all(struct command_call *c, const char *name, json_t **ret_list)
{
	char target[API_TARGET_MAX], after[API_TARGET_MAX / 2];
	json_t *list = json_array(), *next = NULL;
	bool good = true, more = true;

	snprintf(target, sizeof(target), "/v1/%s?limit=%d", name, PAGE);
	for (unsigned i = 0; good && more && i < PAGES_MAX; i++) {
		const char *text;

		json_decref(next);
		next = NULL;
		good = add_page(c, name, target, list, &next);
		text = json_string_value(next);
		more = text && ask_encode_name(text, after, sizeof(after));
		if (more)
			snprintf(target, sizeof(target), "/v1/%s?limit=%d&after=%s", name, PAGE,
				 after);
	}
	json_decref(next);
	if (good)
		*ret_list = list;
	else
		json_decref(list);
	return good;
}

/* At the top of an empty screen; elsewhere one below the other. */
static void draw_again(struct command_call *c, void (*draw)(struct command_call *c), bool first)
{
	if (!c->json && isatty(fileno(c->out)))
		fputs("\033[H\033[J", c->out);
	else if (!c->json && !first)
		fputc('\n', c->out);
	draw(c);
	fflush(c->out);
}

void list_watch(struct command_call *c, void (*draw)(struct command_call *c))
{
	struct api_events events;
	struct api_event event;
	struct failure f;
	int r;

	if (!c->watch) {
		draw(c);
		return;
	}
	/* Listening first: nothing happens between the list and the first event. */
	if (api_listen(&c->api, NULL, &events, &f) < 0) {
		command_fail(c, &f);
		return;
	}
	draw_again(c, draw, true);
	while (c->status == 0 && !c->api.dry) {
		r = api_next_event(&events, -1, &event, &f);
		while (r > 0) /* what came at once is one change */
			r = api_next_event(&events, 0, &event, &f);
		if (r < 0)
			command_fail(c, &f);
		else
			draw_again(c, draw, false);
	}
	api_events_done(&events);
}
