/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients at the HTTP layer: the input is pieces for up to four connections, each piece a byte (low
 * two bits: the connection; then what is done before: 0x04 the oldest answer that is awaited is
 * given, 0x08 an event is published, 0x10 the connection is closed and another opened, 0x20 the
 * client only stops sending; 0x40: the piece goes in two parts), a byte of length and that many
 * bytes; of a connection's first piece 0x80 means that it takes all that is left.
 *
 * Checked: the loop comes to rest; what comes back begins with a status line; handlers are called
 * at most as often as the bytes have an empty line behind a whole one, each ended by CR and LF (or
 * by NUL and LF, which cannot be told from that); all that was opened ends with the service.
 */
#include <string.h>
#include <unistd.h>

#include "fuzz/harness.h"
#include "tests/lib/httphost.h"

#define CLIENTS 4u

struct client {
	int fd;
	bool answered;   /* something has come */
	uint8_t last[3]; /* that were sent */
};

static unsigned heads; /* that were sent, at most */

static bool ends_line(uint8_t first, uint8_t second)
{
	return (first == '\r' || !first) && second == '\n';
}

static void send_part(struct httphost *s, struct client *c, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		heads += ends_line(c->last[0], c->last[1]) && ends_line(c->last[2], bytes[i]);
		c->last[0] = c->last[1];
		c->last[1] = c->last[2];
		c->last[2] = bytes[i];
	}
	httphost_send(s, c->fd, bytes, len);
}

static void look(struct httphost *s, struct client *c)
{
	httphost_receive(s, c->fd, NULL);
	must(c->answered || !s->text[0] || strncmp(s->text, "HTTP/1.1 ", 9) == 0);
	c->answered = c->answered || s->text[0];
}

static void reopen(struct httphost *s, struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	httphost_settle(s);
	*c = (struct client){.fd = httphost_connect(s)};
}

static void before(struct httphost *s, struct client *c, uint8_t what)
{
	if (what & 0x10)
		reopen(s, c);
	if (what & 0x20)
		shutdown(c->fd, SHUT_WR);
	if (what & 0x04 && s->laters) {
		http_reply(s->later[0], &(struct http_reply){.status = 202});
		memmove(s->later, s->later + 1, --s->laters * sizeof(s->later[0]));
	}
	if (what & 0x08) {
		events_publish(s->events, "vm", json_object());
		if (s->stream)
			http_stream_send(s->stream, 1, "vm", "{}");
	}
}

static void play(struct httphost *s, struct client *client, const uint8_t *data, size_t size)
{
	while (size >= 2) {
		struct client *c = &client[data[0] % CLIENTS];
		size_t len = data[0] & 0x80 ? size - 2 : data[1], part;

		before(s, c, data[0]);
		len = len < size - 2 ? len : size - 2;
		part = data[0] & 0x40 ? len / 2 : len;
		send_part(s, c, data + 2, part);
		send_part(s, c, data + 2 + part, len - part);
		look(s, c);
		must(s->calls <= heads);
		data += 2 + len;
		size -= 2 + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct httphost *s = httphost_new(NULL);
	struct client client[CLIENTS];

	heads = 0;
	for (unsigned i = 0; i < CLIENTS; i++)
		client[i] = (struct client){.fd = httphost_connect(s)};
	play(s, client, data, size);
	for (unsigned i = 0; i < CLIENTS; i++)
		look(s, &client[i]);
	/* Two of them go before the service does, two after it. */
	close(client[0].fd);
	close(client[1].fd);
	httphost_settle(s);
	fuzz_tell(&s->calls, sizeof(s->calls));
	httphost_free(s);
	close(client[2].fd);
	close(client[3].fd);
	return 0;
}
