/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/rtnl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_MAX 65536u
#define ANSWER_MAX (16u << 20)
#define TRIES_MAX 8
#define WAIT_S 10 /* for the kernel: it answers at once unless something is badly wrong */

int rtnl_open(struct rtnl *n)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	struct timeval wait = {.tv_sec = WAIT_S};
	int on = 1;

	*n = (struct rtnl){.fd = -1};
	n->in = malloc(IN_MAX);
	if (!n->in)
		return -ENOMEM;
	n->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (n->fd < 0 || bind(n->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    setsockopt(n->fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on)) < 0 ||
	    setsockopt(n->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0) {
		int error = errno;

		rtnl_close(n);
		return -error;
	}
	/* Only for better sentences. */
	(void)setsockopt(n->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)setsockopt(n->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

void rtnl_close(struct rtnl *n)
{
	if (n->fd >= 0)
		close(n->fd);
	free(n->in);
	*n = (struct rtnl){.fd = -1};
}

static struct nlmsghdr *head(struct rtnl_message *m)
{
	return (struct nlmsghdr *)(void *)m->bytes;
}

/* Room for len bytes at the end, zeroed; NULL when there is none. */
static void *extend(struct rtnl_message *m, size_t len)
{
	size_t at = NLMSG_ALIGN(head(m)->nlmsg_len);

	if (len > sizeof(m->bytes) - at || NLMSG_ALIGN(len) > sizeof(m->bytes) - at) {
		m->full = true;
		return NULL;
	}
	memset(m->bytes + at, 0, NLMSG_ALIGN(len));
	head(m)->nlmsg_len = (uint32_t)(at + len);
	return m->bytes + at;
}

void rtnl_begin(struct rtnl_message *m, uint16_t type, uint16_t flags, const void *header,
		size_t header_len)
{
	m->full = false;
	*head(m) = (struct nlmsghdr){
		.nlmsg_len = NLMSG_HDRLEN,
		.nlmsg_type = type,
		.nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST),
	};
	memcpy(extend(m, header_len), header, header_len);
}

void rtnl_put(struct rtnl_message *m, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a;

	if (len > UINT16_MAX - RTA_LENGTH(0)) {
		m->full = true;
		return;
	}
	a = extend(m, RTA_LENGTH(len));
	if (!a)
		return;
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
}

void rtnl_put_header(struct rtnl_message *m, const void *header, size_t len)
{
	void *at = extend(m, len);

	if (at)
		memcpy(at, header, len);
}

void rtnl_put_u8(struct rtnl_message *m, uint16_t type, uint8_t value)
{
	rtnl_put(m, type, &value, sizeof(value));
}

void rtnl_put_u16(struct rtnl_message *m, uint16_t type, uint16_t value)
{
	rtnl_put(m, type, &value, sizeof(value));
}

void rtnl_put_u32(struct rtnl_message *m, uint16_t type, uint32_t value)
{
	rtnl_put(m, type, &value, sizeof(value));
}

void rtnl_put_text(struct rtnl_message *m, uint16_t type, const char *text)
{
	rtnl_put(m, type, text, strlen(text) + 1);
}

size_t rtnl_nest(struct rtnl_message *m, uint16_t type)
{
	size_t at = NLMSG_ALIGN(head(m)->nlmsg_len);

	rtnl_put(m, type, NULL, 0);
	return at;
}

void rtnl_nest_end(struct rtnl_message *m, size_t nest)
{
	struct rtattr *a = (struct rtattr *)(void *)(m->bytes + nest);

	if (m->full)
		return;
	head(m)->nlmsg_len = NLMSG_ALIGN(head(m)->nlmsg_len);
	a->rta_len = (uint16_t)(head(m)->nlmsg_len - nest);
}

static int send_message(struct rtnl *n, struct rtnl_message *m)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t sent;

	if (m->full)
		return -EMSGSIZE;
	head(m)->nlmsg_seq = ++n->seq;
	do {
		sent = sendto(n->fd, m->bytes, head(m)->nlmsg_len, 0, (struct sockaddr *)&kernel,
			      sizeof(kernel));
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

/* A datagram of the kernel's. Its length, or -errno. */
static ssize_t receive(struct rtnl *n)
{
	for (;;) {
		struct sockaddr_nl from = {0};
		socklen_t from_len = sizeof(from);
		ssize_t len = recvfrom(n->fd, n->in, IN_MAX, MSG_TRUNC, (struct sockaddr *)&from,
				       &from_len);

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (from_len != sizeof(from) || from.nl_pid != 0)
			continue; /* another process's */
		return len > (ssize_t)IN_MAX ? -EMSGSIZE : len;
	}
}

/* The kernel's words, which may follow an error. */
static void keep_words(struct rtnl *n, const struct nlmsghdr *h)
{
	const struct rtattr *words;
	size_t offset = sizeof(struct nlmsgerr);
	size_t len;

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS) || !(h->nlmsg_flags & NLM_F_CAPPED))
		return;
	words = rtnl_find(h, offset, NLMSGERR_ATTR_MSG, 1);
	if (!words)
		return;
	len = RTA_PAYLOAD(words);
	if (len > sizeof(n->why))
		len = sizeof(n->why);
	memcpy(n->why, RTA_DATA(words), len);
	n->why[len - 1] = '\0';
}

static int keep_message(struct rtnl_answer *a, const struct nlmsghdr *h)
{
	size_t len = NLMSG_ALIGN(h->nlmsg_len);
	uint8_t *more;

	if (a->len + len > ANSWER_MAX)
		return -EMSGSIZE;
	more = realloc(a->bytes, a->len + len);
	if (!more)
		return -ENOMEM;
	memcpy(more + a->len, h, h->nlmsg_len);
	memset(more + a->len + h->nlmsg_len, 0, len - h->nlmsg_len);
	a->bytes = more;
	a->len += len;
	return 0;
}

/* Takes the messages of one datagram. 1 when the answer is complete. A failure to keep one is
 * remembered in *error, and reading goes on: what is left unread would be the next answer. */
static int take_datagram(struct rtnl *n, size_t len, struct rtnl_answer *a, int *error)
{
	struct rtnl_answer datagram = {.bytes = n->in, .len = len};
	const struct nlmsghdr *h = NULL;

	while ((h = rtnl_next(&datagram, h))) {
		int code;

		if (h->nlmsg_seq != n->seq)
			continue;
		if ((h->nlmsg_flags & NLM_F_DUMP_INTR) && *error == 0)
			*error = -EAGAIN;
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) {
			if (h->nlmsg_len < NLMSG_LENGTH(sizeof(code)))
				return -EBADMSG;
			memcpy(&code, NLMSG_DATA(h), sizeof(code));
			if (code < 0) {
				*error = code;
				keep_words(n, h);
			}
			return 1;
		}
		if (a && *error == 0)
			*error = keep_message(a, h);
	}
	return 0;
}

static int exchange(struct rtnl *n, struct rtnl_message *m, struct rtnl_answer *a)
{
	int error = 0, r;

	n->why[0] = '\0';
	r = send_message(n, m);
	while (r == 0) {
		ssize_t len = receive(n);

		if (len < 0)
			return (int)len;
		r = take_datagram(n, (size_t)len, a, &error);
	}
	return r < 0 ? r : error;
}

int rtnl_call(struct rtnl *n, struct rtnl_message *m)
{
	head(m)->nlmsg_flags |= NLM_F_ACK;
	return exchange(n, m, NULL);
}

int rtnl_ask(struct rtnl *n, struct rtnl_message *m, struct rtnl_answer *ret)
{
	struct rtnl_answer a;
	int r = -EAGAIN;

	if (!(head(m)->nlmsg_flags & NLM_F_DUMP))
		head(m)->nlmsg_flags |= NLM_F_ACK;
	for (int i = 0; i < TRIES_MAX && r == -EAGAIN; i++) {
		a = (struct rtnl_answer){0};
		r = exchange(n, m, &a);
		if (r < 0)
			rtnl_answer_done(&a);
	}
	if (r == 0)
		*ret = a;
	return r;
}

void rtnl_answer_done(struct rtnl_answer *a)
{
	free(a->bytes);
	*a = (struct rtnl_answer){0};
}

const struct nlmsghdr *rtnl_next(const struct rtnl_answer *a, const struct nlmsghdr *h)
{
	size_t at = h ? (size_t)((const uint8_t *)h - a->bytes) + NLMSG_ALIGN(h->nlmsg_len) : 0;

	if (at > a->len || a->len - at < sizeof(*h))
		return NULL;
	h = (const struct nlmsghdr *)(const void *)(a->bytes + at);
	return h->nlmsg_len >= sizeof(*h) && h->nlmsg_len <= a->len - at ? h : NULL;
}

const struct rtattr *rtnl_attribute(const void *begin, size_t len, const struct rtattr *a)
{
	size_t at =
		a ? (size_t)((const uint8_t *)a - (const uint8_t *)begin) + RTA_ALIGN(a->rta_len)
		  : 0;

	if (at > len || len - at < sizeof(*a))
		return NULL;
	a = (const struct rtattr *)(const void *)((const uint8_t *)begin + at);
	return a->rta_len >= sizeof(*a) && a->rta_len <= len - at ? a : NULL;
}

static const struct rtattr *find(const void *begin, size_t len, uint16_t type, size_t min_len)
{
	const struct rtattr *a = NULL;

	while ((a = rtnl_attribute(begin, len, a)))
		if ((a->rta_type & NLA_TYPE_MASK) == type)
			return RTA_PAYLOAD(a) >= min_len ? a : NULL;
	return NULL;
}

const struct rtattr *rtnl_find(const struct nlmsghdr *h, size_t header_len, uint16_t type,
			       size_t min_len)
{
	size_t skip = NLMSG_SPACE(header_len);

	if (h->nlmsg_len < skip)
		return NULL;
	return find((const uint8_t *)h + skip, h->nlmsg_len - skip, type, min_len);
}

const struct rtattr *rtnl_find_within(const struct rtattr *nest, uint16_t type, size_t min_len)
{
	return nest ? find(RTA_DATA(nest), RTA_PAYLOAD(nest), type, min_len) : NULL;
}

uint32_t rtnl_u32(const struct rtattr *a)
{
	uint32_t value;

	memcpy(&value, RTA_DATA(a), sizeof(value));
	return value;
}
