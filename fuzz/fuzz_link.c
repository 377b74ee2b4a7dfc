/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile worker at the daemon's link to it: the input is steps, each a byte and what it needs.
 * Its low two bits: 0 the worker sends as many bytes as the next byte says and follow (0x80: all
 * that is left; 0x40: in two parts); 1 the daemon asks something (0x04: with a descriptor, 0x08:
 * with as many as it may); 2 the
 * worker reads what has come; 3 it sends 64 KiB of blanks (0x04: it ends its half; 0x08: it
 * closes).
 *
 * Checked: the loop comes to rest; each request is answered once, in order, with a result or a
 * sentence; statuses are objects; there are no more of both than lines that were sent; the link
 * ends once, and nothing comes from it after that but the answers that are owed; no descriptor is
 * left.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/harness.h"
#include "host/link.h"

#define TURNS_MAX 10000u
#define BLANKS_BYTES 65536u
#define BLANKS_MAX 40u /* steps of an input */

struct play {
	sd_event *event;
	struct link *link; /* NULL: it has ended */
	int worker;        /* its end of the socket; -1: closed */
	int lent[2];       /* a pipe, whose writing end goes along with requests */
	unsigned asked, answered, statuses, ended, feeds, blanks;
	bool freeing;
};

/* One plays at a time; requests carry their number as the owner's context. */
static struct play *now;

static void on_answer(void *ctx, json_t *result, const char *sentence)
{
	must((uintptr_t)ctx == now->answered);
	must(!sentence || !result);
	must(now->freeing || !now->ended);
	now->answered++;
}

static int ask(struct play *p, unsigned descriptors)
{
	struct link_fds fds = {.count = 0};
	int r;

	while (fds.count < descriptors)
		fds.fd[fds.count++] = fcntl(p->lent[1], F_DUPFD_CLOEXEC, 0);
	r = link_hand(p->link, json_pack("{s:s}", "verb", "guest"), &fds, on_answer,
		      (void *)(uintptr_t)p->asked);
	must(fds.count == 0);
	must(r == 0 || r == -EBUSY || r == -ENOTCONN);
	p->asked += r == 0;
	must(p->asked - p->answered <= LINK_REQUESTS_MAX);
	return r;
}

/* As the VM does, it asks for more. */
static void on_status(void *ctx, json_t *status)
{
	struct play *p = ctx;

	must(json_is_object(status) && !p->ended);
	p->statuses++;
	ask(p, 0);
}

static void free_link(struct play *p)
{
	p->freeing = true;
	link_free(p->link);
	p->link = NULL;
	p->freeing = false;
	must(p->answered == p->asked);
}

static void on_ended(void *ctx)
{
	struct play *p = ctx;

	must(++p->ended == 1);
	free_link(p);
}

static void settle(struct play *p)
{
	unsigned turns = 0;

	while (sd_event_run(p->event, 0) > 0)
		must(++turns < TURNS_MAX);
	/* The first answer is to the link's own request to watch. */
	must(p->ended || p->statuses + p->answered <= p->feeds);
}

static void tell(struct play *p, const void *bytes, size_t len)
{
	const char *at = bytes;

	for (size_t i = 0; i < len; i++)
		p->feeds += at[i] == '\n';
	while (len && p->worker >= 0 && p->link) {
		ssize_t n = send(p->worker, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			break;
		settle(p);
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
}

static size_t tell_piece(struct play *p, const uint8_t *data, size_t size)
{
	size_t len = data[0] & 0x80 ? size - 2 : data[1], part;

	len = len < size - 2 ? len : size - 2;
	part = data[0] & 0x40 ? len / 2 : len;
	tell(p, data + 2, part);
	tell(p, data + 2 + part, len - part);
	return 2 + len;
}

static void read_all(const struct play *p)
{
	char bytes[4096];

	while (recv(p->worker, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void go_quiet(struct play *p, uint8_t how)
{
	static char blanks[BLANKS_BYTES];

	if (how & 0x08) {
		close(p->worker);
		p->worker = -1;
	} else if (how & 0x04) {
		shutdown(p->worker, SHUT_WR);
	} else if (p->blanks < BLANKS_MAX) {
		p->blanks++;
		memset(blanks, ' ', sizeof(blanks));
		tell(p, blanks, sizeof(blanks));
	}
}

static void play(struct play *p, const uint8_t *data, size_t size)
{
	while (size >= 2 && p->link && p->worker >= 0) {
		size_t len = 1;

		switch (data[0] & 3) {
		case 0:
			len = tell_piece(p, data, size);
			break;
		case 1:
			ask(p, data[0] & 0x08 ? LINK_FDS_MAX : (data[0] & 0x04) / 4);
			break;
		case 2:
			read_all(p);
			break;
		default:
			go_quiet(p, data[0]);
		}
		settle(p);
		data += len;
		size -= len;
	}
}

/* Its reading end is at its end only when nobody has the other any more. */
static void check_descriptors(const struct play *p)
{
	char byte;

	close(p->lent[1]);
	must(read(p->lent[0], &byte, 1) == 0);
	close(p->lent[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play p = {0};
	const struct link_owner owner = {on_status, on_ended, &p};
	int pair[2], least = 0;

	now = &p;
	must(pipe2(p.lent, O_CLOEXEC | O_NONBLOCK) == 0);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	/* A few requests fill it when the worker does not read. */
	must(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)) == 0);
	must(sd_event_new(&p.event) >= 0);
	p.worker = pair[1];
	must(link_new(p.event, pair[0], &owner, &p.link) == 0);
	play(&p, data, size);
	settle(&p);
	if (p.link)
		free_link(&p);
	if (p.worker >= 0)
		close(p.worker);
	sd_event_unref(p.event);
	check_descriptors(&p);
	fuzz_tell(&p.answered, sizeof(p.answered));
	fuzz_tell(&p.statuses, sizeof(p.statuses));
	fuzz_tell(&p.ended, sizeof(p.ended));
	return 0;
}
