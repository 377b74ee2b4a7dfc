/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/far.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/ask.h"

#define PROBLEM "application/problem+json"

enum step { FAR_CONNECTS, FAR_SENDS, FAR_HEAD, FAR_BODY };

/* The process of oya-tls, which is to be reaped also when nobody asks for it any more. */
struct helper {
	struct far *far; /* NULL then */
	pid_t pid;
};

struct far {
	sd_event *event;
	struct peer peer;
	enum step step;
	bool upgrades;
	int words, fd;         /* what oya-tls says; its plain side */
	struct helper *helper; /* NULL: it has ended, or goes on with the stream */
	sd_event_source *said, *stream, *timer;
	char *request;
	size_t request_len, sent;
	struct ask_head head;
	char *text; /* that has come: words, head, body */
	size_t len;
	far_done_fn *done;
	void *ctx;
};

/* ---- the helper ---- */

static int on_helper_ended(sd_event_source *source, const siginfo_t *info, void *ctx)
{
	struct helper *h = ctx;

	(void)info;
	if (h->far)
		h->far->helper = NULL;
	sd_event_source_disable_unref(source);
	free(h);
	return 0;
}

/* It ends by itself when its plain side does. */
static void let_go(struct far *a, bool at_once)
{
	if (!a->helper)
		return;
	if (at_once)
		kill(a->helper->pid, SIGKILL);
	a->helper->far = NULL;
	a->helper = NULL;
}

static int start_helper(struct far *a, const struct far_wish *w, int plain, int words,
			struct failure *f)
{
	struct helper *h = calloc(1, sizeof(*h));
	sd_event_source *source;
	int r = h ? peer_start(w->helper, &a->peer, w->pass, plain, words, &h->pid, f)
		  : fail(f, -ENOMEM, "cannot connect to %s: out of memory", a->peer.name);

	if (r < 0) {
		free(h);
		return r;
	}
	r = sd_event_add_child(a->event, &source, h->pid, WEXITED, on_helper_ended, h);
	if (r < 0) {
		kill(h->pid, SIGKILL);
		free(h);
		return fail(f, r, "cannot connect to %s: %s", a->peer.name, strerror(-r));
	}
	h->far = a;
	a->helper = h;
	return 0;
}

/* ---- the end ---- */

static void far_free(struct far *a)
{
	sd_event_source_disable_unref(a->said);
	sd_event_source_disable_unref(a->stream);
	sd_event_source_disable_unref(a->timer);
	if (a->words >= 0)
		close(a->words);
	if (a->fd >= 0)
		close(a->fd);
	if (a->request)
		explicit_bzero(a->request, a->request_len);
	explicit_bzero(&a->peer, sizeof(a->peer));
	free(a->request);
	free(a->text);
	free(a);
}

void far_cancel(struct far *a)
{
	if (!a)
		return;
	let_go(a, true);
	far_free(a);
}

static void finish(struct far *a, const struct far_answer *answer)
{
	a->done(a->ctx, answer);
	json_decref(answer->body);
	far_cancel(a);
}

static void give_up(struct far *a, int code, const char *why)
{
	struct failure f;

	fail(&f, code, "no answer from %s: %s", a->peer.name, why);
	finish(a,
	       &(struct far_answer){.code = code, .f = &f, .sent = a->step >= FAR_SENDS, .fd = -1});
}

/* The sentence of a problem (RFC 9457). */
static void take_sentence(const struct far *a, const json_t *body, struct failure *f)
{
	const char *detail = json_string_value(json_object_get(body, "detail"));
	bool problem = strncmp(a->head.type, PROBLEM, sizeof(PROBLEM) - 1) == 0;

	if (problem && detail && *detail)
		fail(f, 0, "%s", detail);
	else
		fail(f, 0, "%s refuses with status %u and says no more", a->peer.name,
		     a->head.status);
}

static void take_answer(struct far *a)
{
	struct far_answer answer = {.status = a->head.status, .sent = true, .fd = -1};
	struct failure f = {""};

	if (a->len)
		answer.body = json_loadb(a->text, a->len, JSON_REJECT_DUPLICATES, NULL);
	if (a->len && !answer.body) {
		give_up(a, -EBADMSG, "it does not speak the API of oyad");
		return;
	}
	if (answer.status >= 400)
		take_sentence(a, answer.body, &f);
	answer.f = &f;
	finish(a, &answer);
}

/* Whoever gets it may wait on it. */
static void take_stream(struct far *a)
{
	static const int bytes = PEER_STREAM_BYTES;
	struct far_answer answer = {.status = 101, .fd = a->fd};

	(void)setsockopt(a->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	a->stream = sd_event_source_disable_unref(a->stream);
	fcntl(a->fd, F_SETFL, fcntl(a->fd, F_GETFL) & ~O_NONBLOCK);
	a->fd = -1;
	let_go(a, false);
	finish(a, &answer);
}

/* ---- the answer ---- */

/* The head's end may be in the text; of a stream no byte behind it has been read. */
static int take_head(struct far *a)
{
	ssize_t n = ask_decode_head(a->text, a->len, &a->head);

	if (n <= 0)
		return (int)n;
	a->len -= (size_t)n;
	memmove(a->text, a->text + n, a->len);
	a->step = FAR_BODY;
	return 0;
}

static bool is_whole(const struct far *a)
{
	return a->head.length >= 0 && a->len >= (size_t)a->head.length;
}

/* How many bytes may come next. Of a head that a stream may follow it is one: what is behind it is
 * for who gets the stream. */
static size_t room(const struct far *a)
{
	if (a->step == FAR_BODY)
		return FAR_ANSWER_MAX - a->len;
	return a->upgrades ? 1 : ASK_HEAD_MAX - a->len;
}

/* True: there may be more. */
static bool read_some(struct far *a)
{
	ssize_t n = recv(a->fd, a->text + a->len, room(a), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n == 0 && a->step == FAR_BODY && a->head.length < 0) {
		take_answer(a);
		return false;
	}
	if (n <= 0) {
		give_up(a, n < 0 ? -errno : -ECONNRESET,
			n < 0 ? strerror(errno) : "the connection has ended without a whole one");
		return false;
	}
	a->len += (size_t)n;
	if (a->step == FAR_HEAD && take_head(a) < 0) {
		give_up(a, -EBADMSG, "it does not speak the API of oyad");
		return false;
	}
	if (a->step == FAR_BODY && a->head.status == 101 && a->upgrades) {
		take_stream(a);
		return false;
	}
	if (a->step == FAR_BODY && is_whole(a)) {
		a->len = (size_t)a->head.length;
		take_answer(a);
		return false;
	}
	if (a->step == FAR_BODY && !room(a)) {
		give_up(a, -EFBIG, "it is longer than 1 MiB");
		return false;
	}
	return true;
}

static void send_some(struct far *a)
{
	while (a->sent < a->request_len) {
		ssize_t n = send(a->fd, a->request + a->sent, a->request_len - a->sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			break; /* its refusal may be there even so */
		a->sent += (size_t)n;
	}
	a->step = FAR_HEAD;
	a->len = 0;
	sd_event_source_set_io_events(a->stream, EPOLLIN);
}

static int on_stream(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct far *a = ctx;

	(void)source;
	(void)fd;
	if (a->step == FAR_SENDS) {
		send_some(a);
		return 0;
	}
	if (events)
		while (read_some(a))
			;
	return 0;
}

/* ---- the connection ---- */

static void take_words(struct far *a)
{
	struct failure f;
	int r;

	a->text[a->len] = '\0';
	a->said = sd_event_source_disable_unref(a->said);
	r = peer_decode_words(&a->peer, a->text, &f);
	if (r < 0) {
		finish(a, &(struct far_answer){.code = r, .f = &f, .fd = -1});
		return;
	}
	a->step = FAR_SENDS;
	r = sd_event_add_io(a->event, &a->stream, a->fd, EPOLLOUT, on_stream, a);
	if (r < 0)
		give_up(a, r, strerror(-r));
}

static int on_said(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct far *a = ctx;
	ssize_t n = read(fd, a->text + a->len, PEER_WORDS_MAX - 1 - a->len);
	char *feed;

	(void)source;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	a->len += n > 0 ? (size_t)n : 0;
	feed = memchr(a->text, '\n', a->len);
	if (feed)
		a->len = (size_t)(feed - a->text);
	if (feed || n <= 0 || a->len == PEER_WORDS_MAX - 1)
		take_words(a);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t us, void *ctx)
{
	(void)source;
	(void)us;
	give_up(ctx, -ETIMEDOUT, "it takes too long");
	return 0;
}

/* ---- the begin ---- */

static int encode(struct far *a, const struct far_wish *w)
{
	char *body = w->body ? json_dumps(w->body, JSON_COMPACT) : NULL;
	const struct ask ask = {
		.method = w->method,
		.target = w->target,
		.accept = "application/json, " PROBLEM,
		.upgrade = w->upgrade,
		.token = w->peer->token[0] ? w->peer->token : NULL,
		.type = "application/json",
		.body = body,
	};

	if (!w->body || body)
		a->request = ask_encode(&ask, &a->request_len);
	free(body);
	return a->request ? 0 : -ENOMEM;
}

static int start(struct far *a, const struct far_wish *w, struct failure *f)
{
	int pair[2] = {-1, -1}, ends[2] = {-1, -1}, r = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
	    pipe2(ends, O_CLOEXEC) < 0)
		r = fail(f, -errno, "cannot connect to %s: %s", a->peer.name, strerror(errno));
	a->fd = pair[0];
	a->words = ends[0];
	if (r == 0)
		r = start_helper(a, w, pair[1], ends[1], f);
	if (pair[1] >= 0)
		close(pair[1]);
	if (ends[1] >= 0)
		close(ends[1]);
	if (r < 0)
		return r;
	if (fcntl(a->fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(a->words, F_SETFL, O_NONBLOCK) < 0 ||
	    sd_event_add_io(a->event, &a->said, a->words, EPOLLIN, on_said, a) < 0 ||
	    sd_event_add_time_relative(a->event, &a->timer, CLOCK_MONOTONIC, FAR_PATIENCE_US, 0,
				       on_timer, a) < 0)
		return fail(f, -ENOMEM, "cannot connect to %s: out of memory", a->peer.name);
	return 0;
}

int far_start(sd_event *event, const struct far_wish *w, far_done_fn *done, void *ctx,
	      struct far **ret_far, struct failure *f)
{
	struct far *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return fail(f, -ENOMEM, "cannot connect to %s: out of memory", w->peer->name);
	*a = (struct far){.event = event, .words = -1, .fd = -1, .peer = *w->peer};
	a->upgrades = w->upgrade != NULL;
	a->done = done;
	a->ctx = ctx;
	a->text = malloc(FAR_ANSWER_MAX);
	r = a->text ? encode(a, w) : -ENOMEM;
	if (r < 0)
		fail(f, r, "cannot connect to %s: out of memory", w->peer->name);
	else
		r = start(a, w, f);
	if (r < 0) {
		far_cancel(a);
		return r;
	}
	*ret_far = a;
	return 0;
}
