/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/crm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "lib/loop.h"
#include "lib/process.h"
#include "lib/xml.h"

#define PROGRAM "/usr/sbin/crm_mon"
#define BYTES_MAX XML_BYTES_MAX
#define PATIENCE_MS 15000u
#define ROOM 65536u

/* ---- its words ---- */

struct look {
	const char *host;
	struct crm_view view;
};

static bool is_true(const char **attributes, const char *name)
{
	const char *value = xml_attribute(attributes, name);

	return value && strcmp(value, "true") == 0;
}

static void on_element(void *ctx, const char *path, const char **attributes)
{
	struct look *l = ctx;
	const char *name;

	if (strcmp(path, "/pacemaker-result/summary/current_dc") == 0) {
		l->view.decides =
			is_true(attributes, "present") && is_true(attributes, "with_quorum");
	} else if (strcmp(path, "/pacemaker-result/summary/cluster_options") == 0) {
		l->view.fences = is_true(attributes, "stonith-enabled");
	} else if (strcmp(path, "/pacemaker-result/nodes/node") == 0) {
		name = xml_attribute(attributes, "name");
		if (!name || strcmp(name, l->host) != 0)
			return;
		l->view.known = true;
		/* What is on its way in or out is there. */
		l->view.online |= !xml_attribute(attributes, "online") ||
				  is_true(attributes, "online") || is_true(attributes, "pending");
		l->view.unclean |=
			!xml_attribute(attributes, "unclean") || is_true(attributes, "unclean");
	}
}

static void on_end(void *ctx, const char *path, const char *text)
{
	(void)ctx;
	(void)path;
	(void)text;
}

int crm_decode(const char *text, size_t len, const char *host, struct crm_view *ret_view,
	       struct failure *f)
{
	static const struct xml_calls calls = {.begin = on_element, .end = on_end};
	struct look l = {.host = host};
	int r = xml_parse(text, len, &calls, &l, "the status of the cluster", f);

	if (r == 0)
		*ret_view = l.view;
	return r;
}

int crm_judge(const struct crm_view *view, struct failure *f)
{
	if (!view->decides)
		return fail(f, -EBUSY, "the cluster has no quorum or no coordinator here");
	if (!view->fences)
		return fail(f, -EBUSY,
			    "fencing is off in the cluster (stonith-enabled), so that nobody knows "
			    "what it does");
	if (!view->known)
		return fail(f, -EBUSY, "the cluster knows no host of this name");
	if (view->online)
		return fail(f, -EBUSY, "it is online");
	if (view->unclean)
		return fail(f, -EBUSY, "it is silent and has not been fenced");
	return 0;
}

/* ---- the program ---- */

/* All that comes until its end; -ETIMEDOUT. */
static int read_all(int fd, unsigned patience_ms, char **ret_text, size_t *ret_len)
{
	uint64_t end = loop_now_ns() / 1000000 + patience_ms, now;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t len = 0, room = 0;
	char *text = NULL, *more;
	ssize_t n = 1;
	int r = 0;

	while (n > 0 && r == 0) {
		if (len == room) {
			more = room < BYTES_MAX ? realloc(text, room + ROOM) : NULL;
			if (!more) {
				r = room < BYTES_MAX ? -ENOMEM : -EFBIG;
				break;
			}
			text = more;
			room += ROOM;
		}
		now = loop_now_ns() / 1000000;
		if (now >= end || poll(&p, 1, (int)(end - now)) == 0)
			r = -ETIMEDOUT;
		else if ((n = read(fd, text + len, room - len)) > 0)
			len += (size_t)n;
		else if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			r = -errno;
	}
	if (r < 0) {
		free(text);
		return r;
	}
	*ret_text = text;
	*ret_len = len;
	return 0;
}

static size_t line_length(const char *text, size_t len)
{
	const char *end = len ? memchr(text, '\n', len) : NULL;

	return end ? (size_t)(end - text) : len < FAIL_TEXT_MAX ? len : FAIL_TEXT_MAX;
}

/* Its words, and those of its errors when they are wanted, to be freed; how it ended. */
static int run(const struct process_wish *program, bool errors, unsigned patience_ms,
	       char **ret_text, size_t *ret_len, int *ret_status)
{
	struct process_wish wish = *program;
	int pair[2], r;
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	wish.in = -1;
	wish.out = pair[1];
	wish.errors = errors ? pair[1] : -1;
	r = process_start(&wish, &pid);
	close(pair[1]);
	if (r == 0) {
		r = read_all(pair[0], patience_ms, ret_text, ret_len);
		if (r < 0)
			kill(pid, SIGKILL);
		while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
			;
	}
	close(pair[0]);
	return r;
}

int crm_run(const char *program, const char *const *arguments, unsigned patience_ms,
	    struct failure *f)
{
	const struct process_wish wish = {.program = program, .arguments = arguments};
	char *text = NULL;
	size_t len = 0;
	int status = 0, r = run(&wish, true, patience_ms, &text, &len, &status);

	if (r < 0)
		return fail(f, r, "%s cannot be run: %s", program, strerror(-r));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		r = fail(f, -EIO, "%s refuses: %.*s", program, (int)line_length(text, len),
			 text ? text : "");
	free(text);
	return r;
}

/* ---- questions ---- */

static void ask(struct pool_work *w)
{
	struct crm *crm = CONTAINER_OF(w, struct crm, work);
	static const char *const arguments[] = {"--one-shot", "--output-as=xml",
						"--include=none,summary,options,nodes", NULL};
	const struct process_wish wish = {.program = PROGRAM, .arguments = arguments};
	int status;

	crm->r = run(&wish, false, PATIENCE_MS, &crm->text, &crm->len, &status);
}

static void answer(const struct crm *crm, struct crm_question *q)
{
	struct crm_view view;
	struct failure f;
	int r = crm->r;

	if (r < 0)
		fail(&f, r, "the cluster's engine cannot be asked by " PROGRAM ": %s",
		     strerror(-r));
	else
		r = crm_decode(crm->text, crm->len, q->host, &view, &f);
	q->done(q, r, &view, &f);
}

static void begin(struct crm *crm);

static void on_told(struct pool_work *w)
{
	struct crm *crm = CONTAINER_OF(w, struct crm, work);

	while (!list_empty(&crm->asked)) {
		struct crm_question *q = CONTAINER_OF(crm->asked.next, struct crm_question, link);

		list_remove(&q->link);
		answer(crm, q);
	}
	free(crm->text);
	crm->text = NULL;
	crm->runs = false;
	if (!list_empty(&crm->waiting))
		begin(crm);
}

static void begin(struct crm *crm)
{
	while (!list_empty(&crm->waiting)) {
		struct list *first = crm->waiting.next;

		list_remove(first);
		list_append(&crm->asked, first);
	}
	crm->runs = true;
	crm->work = (struct pool_work){.work = ask, .done = on_told};
	pool_submit(crm->pool, &crm->work);
}

void crm_init(struct crm *crm, struct pool *pool)
{
	*crm = (struct crm){.pool = pool};
	list_init(&crm->waiting);
	list_init(&crm->asked);
}

void crm_ask(struct crm *crm, struct crm_question *q)
{
	list_append(&crm->waiting, &q->link);
	if (!crm->runs)
		begin(crm);
}
