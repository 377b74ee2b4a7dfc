/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/importer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/process.h"

#define PROGRESS "progress "

struct importer {
	struct importer_events events;
	sd_event_source *child, *output;
	pid_t pid;
	int out, errors; /* what it prints */
	bool cancelled, too_long;
	char *line; /* what is there of it */
	size_t len;
	char last[IMPORTER_LINE_MAX];
};

static void importer_free(struct importer *i)
{
	sd_event_source_disable_unref(i->child);
	sd_event_source_disable_unref(i->output);
	if (i->out >= 0)
		close(i->out);
	if (i->errors >= 0)
		close(i->errors);
	free(i->line);
	free(i);
}

/* ---- what it prints ---- */

static void take_line(struct importer *i)
{
	unsigned percent;
	char end;

	i->line[i->len] = '\0';
	i->len = 0;
	if (strncmp(i->line, PROGRESS, strlen(PROGRESS)) != 0)
		strcpy(i->last, i->line); /* both are as large */
	else if (sscanf(i->line, PROGRESS "%3u%c", &percent, &end) == 1 && percent <= 100)
		i->events.progress(i->events.ctx, percent);
}

static void take_bytes(struct importer *i, const char *at, size_t len)
{
	for (; len; at++, len--) {
		if (*at == '\n')
			take_line(i);
		else if (i->len + 1 < IMPORTER_LINE_MAX)
			i->line[i->len++] = *at;
		else
			i->too_long = true;
	}
}

/* False: there is nothing more, now or for good. */
static bool read_some(struct importer *i)
{
	char buf[4096];
	ssize_t n = read(i->out, buf, sizeof(buf));

	if (n > 0)
		take_bytes(i, buf, (size_t)n);
	return n > 0;
}

static int on_output(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct importer *i = ctx;

	(void)fd;
	if (!read_some(i) && (events & EPOLLHUP))
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

/* ---- its end ---- */

/* Its last line, without who says it. */
static void take_sentence(const struct importer *i, struct failure *f)
{
	ssize_t n = read(i->errors, f->text, sizeof(f->text) - 1);
	char *text = f->text, *line;

	text[n > 0 ? n : 0] = '\0';
	n = (ssize_t)strlen(text);
	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	if (strncmp(line, "oya-import: ", 12) == 0)
		line += 12;
	memmove(text, line, strlen(line) + 1);
}

static int judge(const struct importer *i, const siginfo_t *info, struct failure *f)
{
	if (i->cancelled)
		return fail(f, -ECANCELED, "it was cancelled");
	if (info->si_code == CLD_EXITED && info->si_status == 0)
		return i->too_long ? fail(f, -EPROTO, "oya-import printed a line without an end")
				   : 0;
	take_sentence(i, f);
	if (info->si_code == CLD_EXITED && f->text[0])
		return -EIO;
	return fail(f, -EIO, "oya-import ended by %s %d",
		    info->si_code == CLD_EXITED ? "status" : "signal", info->si_status);
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *ctx)
{
	struct importer *i = ctx;
	struct failure f = {""};
	int r;

	(void)source;
	i->pid = 0;
	while (read_some(i)) {
	}
	r = judge(i, info, &f);
	i->events.ended(i->events.ctx, r, i->last, &f);
	importer_free(i);
	return 0;
}

void importer_cancel(struct importer *i)
{
	i->cancelled = true;
	kill(i->pid, SIGTERM);
}

void importer_kill(struct importer *i)
{
	if (!i)
		return;
	kill(i->pid, SIGKILL);
	importer_free(i);
}

/* ---- its begin ---- */

static int start(struct importer *i, sd_event *event, const char *program,
		 const char *const *arguments)
{
	struct process_wish child = {.program = program, .arguments = arguments, .in = -1};
	int out[2] = {-1, -1}, errors[2] = {-1, -1}, r = 0;

	if (pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0 || pipe2(errors, O_CLOEXEC | O_NONBLOCK) < 0)
		r = -errno;
	i->out = out[0];
	i->errors = errors[0];
	/* Its own ends are as programs know them. */
	if (r == 0 && (fcntl(out[1], F_SETFL, 0) < 0 || fcntl(errors[1], F_SETFL, 0) < 0))
		r = -errno;
	if (r == 0)
		r = sd_event_add_io(event, &i->output, i->out, EPOLLIN, on_output, i);
	child.out = out[1];
	child.errors = errors[1];
	if (r >= 0)
		r = process_start(&child, &i->pid);
	if (out[1] >= 0)
		close(out[1]);
	if (errors[1] >= 0)
		close(errors[1]);
	if (r >= 0) {
		r = sd_event_add_child(event, &i->child, i->pid, WEXITED, on_child, i);
		if (r < 0)
			kill(i->pid, SIGKILL);
	}
	return r < 0 ? r : 0;
}

int importer_start(sd_event *event, const char *program, const char *const *arguments,
		   const struct importer_events *events, struct importer **ret, struct failure *f)
{
	struct importer *i = calloc(1, sizeof(*i));
	int r = i ? 0 : -ENOMEM;

	if (i) {
		i->events = *events;
		i->out = i->errors = -1;
		i->line = malloc(IMPORTER_LINE_MAX);
		r = i->line ? start(i, event, program, arguments) : -ENOMEM;
	}
	if (r == 0) {
		*ret = i;
		return 0;
	}
	if (i)
		importer_free(i);
	return fail(f, r, "cannot run %s: %s", program, strerror(-r));
}
