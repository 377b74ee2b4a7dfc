/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * passt back end: frames over the stream socket (net_passt.h).
 *
 * Towards passt: a frame goes out whole or not at all. When the socket takes only a part of one,
 * the rest is kept and goes first; while there is a rest, further frames are dropped as a wire
 * does.
 * From passt: bytes collect in a buffer that holds at least one longest frame; frames are given
 * on from it, and the one that the NIC has no room for stays there.
 *
 * Invariants:
 *  1. in_at <= in_end <= IN_BYTES; the bytes between are not given on yet;
 *  2. out_at < out_end exactly while the rest of a frame waits;
 *  3. after the end (`dead`) the socket is neither read nor written.
 */
#include "worker/net_passt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "worker/net_passt_internal.h"

#define LENGTH_BYTES 4u
#define FRAME_BYTES (LENGTH_BYTES + NETPORT_FRAME_MAX)
#define IN_BYTES (2 * FRAME_BYTES)
#define IOV_MAX_FRAME 512u /* pieces of one frame */

struct net_passt {
	struct netport port;
	struct net_passt_config config;
	struct passt_child child;
	bool wanted; /* by the NIC */
	bool dead;
	bool told_read, told_write; /* what the event loop knows */
	size_t in_at, in_end;
	size_t out_at, out_end;
	uint8_t in[IN_BYTES];
	uint8_t out[FRAME_BYTES];
};

bool net_passt_wants_read(const struct net_passt *p)
{
	return p->wanted && !p->dead;
}

bool net_passt_wants_write(const struct net_passt *p)
{
	return p->out_at < p->out_end && !p->dead;
}

static void tell_changes(struct net_passt *p)
{
	bool r = net_passt_wants_read(p), w = net_passt_wants_write(p);

	if (r == p->told_read && w == p->told_write)
		return;
	p->told_read = r;
	p->told_write = w;
	p->config.poll_changed(p->config.ctx);
}

/* Sends the rest; true when none is left. A broken socket is noticed by the reader. */
static bool flush_rest(struct net_passt *p)
{
	while (p->out_at < p->out_end) {
		ssize_t n = send(p->child.fd, p->out + p->out_at, p->out_end - p->out_at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		p->out_at += (size_t)n;
	}
	p->out_at = p->out_end = 0;
	return true;
}

/* Keeps what of the length and the frame is behind `sent`. */
static void keep_rest(struct net_passt *p, const struct iovec *iov, unsigned count, size_t sent)
{
	size_t at = 0;

	for (unsigned i = 0; i < count; i++) {
		memcpy(p->out + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	p->out_at = sent;
	p->out_end = at;
}

static int passt_send(void *ctx, const struct iovec *iov, unsigned iov_count, size_t len,
		      const struct netport_facts *facts)
{
	struct net_passt *p = ctx;
	struct iovec all[IOV_MAX_FRAME + 1];
	uint8_t length[LENGTH_BYTES];
	struct msghdr msg = {.msg_iov = all, .msg_iovlen = iov_count + 1};
	ssize_t n;

	(void)facts; /* the port has no features */
	if (len > NETPORT_FRAME_MAX || iov_count > IOV_MAX_FRAME)
		return -EMSGSIZE;
	if (p->dead)
		return -EPIPE;
	if (!flush_rest(p))
		return -EAGAIN;
	be32_store(length, (uint32_t)len);
	all[0] = (struct iovec){.iov_base = length, .iov_len = sizeof(length)};
	memcpy(&all[1], iov, iov_count * sizeof(*iov));
	do {
		n = sendmsg(p->child.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		int error = errno;

		tell_changes(p);
		return -error;
	}
	if ((size_t)n < LENGTH_BYTES + len)
		keep_rest(p, all, iov_count + 1, (size_t)n);
	tell_changes(p);
	return 0;
}

static void passt_end(struct net_passt *p, const char *what)
{
	char sentence[PASST_SENTENCE_MAX];

	p->dead = true;
	p->in_at = p->in_end = 0;
	shutdown(p->child.fd, SHUT_RDWR);
	passt_reap(&p->child, what, sentence, sizeof(sentence));
	tell_changes(p);
	if (p->config.ended)
		p->config.ended(p->config.ctx, sentence);
}

/* Gives the NIC the whole frames that came while it takes them; -EPROTO for a wild length. */
static int deliver(struct net_passt *p)
{
	const struct netport_sink *sink = &p->port.sink;

	while (p->wanted && p->in_end - p->in_at >= LENGTH_BYTES) {
		uint32_t len = be32_load(p->in + p->in_at);
		size_t at = p->in_at;

		if (len > NETPORT_FRAME_MAX)
			return -EPROTO;
		if (p->in_end - p->in_at - LENGTH_BYTES < len)
			break;
		p->in_at += LENGTH_BYTES + len;
		if (sink->receive &&
		    sink->receive(sink->owner, p->in + at + LENGTH_BYTES, len, NULL) == -EAGAIN) {
			p->in_at = at;
			break;
		}
	}
	if (p->in_at == p->in_end)
		p->in_at = p->in_end = 0;
	if (sink->flush)
		sink->flush(sink->owner);
	return 0;
}

static void passt_want(void *ctx, bool on)
{
	struct net_passt *p = ctx;
	bool before = p->wanted;

	p->wanted = on;
	/* What waits in the buffer causes no event, so it goes now. A wild length stays in the
	 * buffer, where the next event finds it: the NIC is not to hear of the end in here. */
	if (on && !before && !p->dead)
		(void)deliver(p);
	tell_changes(p);
}

static const struct netport_ops passt_ops = {.send = passt_send, .want = passt_want};

void net_passt_readable(struct net_passt *p)
{
	ssize_t n;

	if (p->dead)
		return;
	if (deliver(p) == 0 && p->wanted) {
		/* Less than a frame is left: room for at least one more. */
		memmove(p->in, p->in + p->in_at, p->in_end - p->in_at);
		p->in_end -= p->in_at;
		p->in_at = 0;
		n = recv(p->child.fd, p->in + p->in_end, sizeof(p->in) - p->in_end, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			passt_end(p, "passt ended");
			return;
		}
		p->in_end += (size_t)n;
		if (deliver(p) == 0)
			return;
	} else if (!p->wanted) {
		return;
	}
	passt_end(p, "passt was stopped, since it sent a frame of an impossible length");
}

void net_passt_writable(struct net_passt *p)
{
	if (p->dead)
		return;
	(void)flush_rest(p);
	tell_changes(p);
}

static struct net_passt *passt_alloc(const struct net_passt_config *config)
{
	struct net_passt *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->config = *config;
	p->config.forwards = NULL; /* used only at the start */
	p->config.forward_count = 0;
	p->child = (struct passt_child){.fd = -1, .stderr_fd = -1, .pid_fd = -1};
	p->port = (struct netport){.ops = &passt_ops, .ctx = p};
	return p;
}

int net_passt_attach(const struct net_passt_config *config, int fd, struct net_passt **ret)
{
	struct net_passt *p = passt_alloc(config);

	if (!p)
		return -ENOMEM;
	p->child.fd = fd;
	*ret = p;
	return 0;
}

int net_passt_open(const struct net_passt_config *config, struct net_passt **ret, char *err,
		   size_t err_len)
{
	struct net_passt *p = passt_alloc(config);
	int r;

	if (!p) {
		snprintf(err, err_len, "cannot start passt: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	r = passt_spawn(config, &p->child, err, err_len);
	if (r < 0) {
		free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void net_passt_close(struct net_passt *p)
{
	char sentence[PASST_SENTENCE_MAX];

	if (!p)
		return;
	close(p->child.fd);
	passt_reap(&p->child, "", sentence, sizeof(sentence));
	free(p);
}

struct netport *net_passt_port(struct net_passt *p)
{
	return &p->port;
}

int net_passt_fd(const struct net_passt *p)
{
	return p->child.fd;
}

int net_passt_pid(const struct net_passt *p)
{
	return p->child.pid;
}
