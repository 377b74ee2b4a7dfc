/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM 16384u

/* One direction: what was read from its own side and is to go to the other. */
struct side {
	int fd;
	sd_event_source *source;
	size_t at, len;
	bool in_line; /* its first line is being passed over */
	uint8_t bytes[ROOM];
};

struct relay {
	struct side side[2];
	void (*ended)(void *ctx);
	void *ctx;
};

static void relay_free(struct relay *r)
{
	for (int i = 0; i < 2; i++) {
		sd_event_source_disable_unref(r->side[i].source);
		close(r->side[i].fd);
	}
	free(r);
}

void relay_stop(struct relay *r)
{
	void (*ended)(void *ctx) = r->ended;
	void *ctx = r->ctx;

	relay_free(r);
	ended(ctx);
}

/* Both may be read while there is room, and written while something waits for them. */
static void set_events(struct relay *r)
{
	for (int i = 0; i < 2; i++) {
		uint32_t events = (r->side[i].len ? 0 : EPOLLIN) | (r->side[!i].len ? EPOLLOUT : 0);

		sd_event_source_set_io_events(r->side[i].source, events);
	}
}

static void pass_line(struct side *s)
{
	const uint8_t *feed = memchr(s->bytes, '\n', s->len);

	s->in_line = !feed;
	s->at = feed ? (size_t)(feed - s->bytes) + 1 : s->len;
	s->len -= s->at;
}

/* False: it has ended. */
static bool pass_on(struct side *from, struct side *to)
{
	if (!from->len) {
		ssize_t n = recv(from->fd, from->bytes, ROOM, MSG_DONTWAIT);

		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
		from->at = 0;
		from->len = (size_t)n;
		if (from->in_line)
			pass_line(from);
	}
	while (from->len) {
		ssize_t n = send(to->fd, from->bytes + from->at, from->len,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		from->at += (size_t)n;
		from->len -= (size_t)n;
	}
	return true;
}

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct relay *r = ctx;
	bool good = true;

	(void)source;
	(void)fd;
	(void)events;
	for (int i = 0; good && i < 2; i++)
		good = pass_on(&r->side[i], &r->side[!i]);
	if (good)
		set_events(r);
	else
		relay_stop(r);
	return 0;
}

int relay_start(sd_event *event, int a, int b, const void *early, size_t early_len,
		void (*ended)(void *ctx), void *ctx, struct relay **ret_relay)
{
	struct relay *r = early_len <= ROOM ? calloc(1, sizeof(*r)) : NULL;
	int e = r ? 0 : -ENOMEM;

	if (!r) {
		close(a);
		close(b);
		return e;
	}
	r->side[0].fd = a;
	r->side[1].fd = b;
	r->side[1].in_line = true;
	if (early_len)
		memcpy(r->side[0].bytes, early, early_len);
	r->side[0].len = early_len;
	for (int i = 0; e >= 0 && i < 2; i++)
		e = sd_event_add_io(event, &r->side[i].source, r->side[i].fd, EPOLLIN, on_ready, r);
	if (e < 0) {
		relay_free(r);
		return e;
	}
	set_events(r);
	r->ended = ended;
	r->ctx = ctx;
	*ret_relay = r;
	return 0;
}
