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

#include "lib/loop.h"
#include "lib/process.h"
#include "lib/xml.h"

#define PROGRAM "/usr/sbin/crm_mon"
#define BYTES_MAX XML_BYTES_MAX
#define PATIENCE_MS 15000
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

static void on_begin(void *ctx, const char *path, const char **attributes)
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
		l->view.unclean |= !xml_attribute(attributes, "unclean") ||
				  is_true(attributes, "unclean");
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
	static const struct xml_calls calls = {.begin = on_begin, .end = on_end};
	struct look l = {.host = host};
	int r = xml_parse(text, len, &calls, &l, "the status of the cluster", f);

	if (r == 0)
		*ret_view = l.view;
	return r;
}

int crm_judge(const struct crm_view *view, const char *host, struct failure *f)
{
	if (!view->decides)
		return fail(f, -EBUSY, "the cluster has no quorum or no coordinator here");
	if (!view->fences)
		return fail(f, -EBUSY,
			    "fencing is off in the cluster (stonith-enabled), so that nobody knows "
			    "what %s does",
			    host);
	if (!view->known)
		return fail(f, -EBUSY, "the cluster knows no host %s", host);
	if (view->online)
		return fail(f, -EBUSY, "%s is online", host);
	if (view->unclean)
		return fail(f, -EBUSY, "%s is silent and has not been fenced", host);
	return 0;
}

/* ---- the program ---- */

/* All that comes until its end; -ETIMEDOUT. */
static int read_all(int fd, char **ret_text, size_t *ret_len)
{
	uint64_t end = loop_now_ns() / 1000000 + PATIENCE_MS, now;
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

static int run(char **ret_text, size_t *ret_len)
{
	static const char *const arguments[] = {"--one-shot", "--output-as=xml",
						"--include=none,summary,nodes", NULL};
	struct process_wish wish = {
		.program = PROGRAM, .arguments = arguments, .in = -1, .errors = -1};
	int pair[2], status, r;
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	wish.out = pair[1];
	r = process_start(&wish, &pid);
	close(pair[1]);
	if (r == 0) {
		r = read_all(pair[0], ret_text, ret_len);
		if (r < 0)
			kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	close(pair[0]);
	return r;
}

int crm_ask(const char *host, struct crm_view *ret_view, struct failure *f)
{
	char *text = NULL;
	size_t len = 0;
	int r = run(&text, &len);

	if (r < 0)
		return fail(f, r, "the cluster's engine cannot be asked by " PROGRAM ": %s",
			    strerror(-r));
	r = crm_decode(text, len, host, ret_view, f);
	free(text);
	return r;
}
