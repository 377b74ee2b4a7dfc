/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Route netlink: messages to the kernel's networking, and its answers.
 *
 * Messages are built and read attribute by attribute, so that an address or a route can be given
 * to another interface with all that the kernel told of it, known here or not.
 *
 * Blocking: a call waits for the kernel's answer, which takes microseconds, or milliseconds when
 * the kernel loads a module or another process changes the network at the same time.
 * Threads: one call at a time on a socket. It belongs to the network namespace in which it was
 * opened.
 * Trust: the kernel's; lengths are checked all the same.
 */
#ifndef OYA_HOST_RTNL_H
#define OYA_HOST_RTNL_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTNL_MESSAGE_MAX 4096u
#define RTNL_WHY_MAX 128u

struct rtnl {
	int fd;
	uint32_t seq;
	uint8_t *in;            /* what is received */
	char why[RTNL_WHY_MAX]; /* the kernel's own words on the last error, or "" */
};

struct rtnl_message {
	_Alignas(struct nlmsghdr) uint8_t bytes[RTNL_MESSAGE_MAX];
	bool full; /* something did not fit: it cannot be sent */
};

/* Messages of an answer, one behind the other: for NLMSG_OK and NLMSG_NEXT. */
struct rtnl_answer {
	uint8_t *bytes;
	size_t len;
};

/* 0 or -errno; a socket that is closed or all zero with fd -1 may be closed again. */
int rtnl_open(struct rtnl *n);
void rtnl_close(struct rtnl *n);

/* Begins a message with the fixed header of its type; attributes follow. */
void rtnl_begin(struct rtnl_message *m, uint16_t type, uint16_t flags, const void *header,
		size_t header_len);
void rtnl_put(struct rtnl_message *m, uint16_t type, const void *data, size_t len);
/* A fixed header within an attribute, before that one's own attributes. */
void rtnl_put_header(struct rtnl_message *m, const void *header, size_t len);
void rtnl_put_u8(struct rtnl_message *m, uint16_t type, uint8_t value);
void rtnl_put_u16(struct rtnl_message *m, uint16_t type, uint16_t value);
void rtnl_put_u32(struct rtnl_message *m, uint16_t type, uint32_t value);
void rtnl_put_text(struct rtnl_message *m, uint16_t type, const char *text);
/* Attributes within an attribute: what rtnl_nest() returned goes to rtnl_nest_end(). */
size_t rtnl_nest(struct rtnl_message *m, uint16_t type);
void rtnl_nest_end(struct rtnl_message *m, size_t nest);

/* Has the kernel carry m out. 0, or -errno with n->why. */
int rtnl_call(struct rtnl *n, struct rtnl_message *m);

/* Asks. 0 and the messages of the answer, for rtnl_answer_done(); or -errno with n->why. A list
 * (NLM_F_DUMP) that changed while it was read is asked for again. */
int rtnl_ask(struct rtnl *n, struct rtnl_message *m, struct rtnl_answer *ret);
void rtnl_answer_done(struct rtnl_answer *a);

/* The messages of an answer in turn: begin with NULL; NULL at the end. */
const struct nlmsghdr *rtnl_next(const struct rtnl_answer *a, const struct nlmsghdr *h);

/* The first attribute `type` of a message behind its header, or among those within another; NULL
 * when there is none or it holds less than min_len bytes. */
const struct rtattr *rtnl_find(const struct nlmsghdr *h, size_t header_len, uint16_t type,
			       size_t min_len);
const struct rtattr *rtnl_find_within(const struct rtattr *nest, uint16_t type, size_t min_len);
/* The attributes among len bytes in turn: begin with NULL; NULL at the end. */
const struct rtattr *rtnl_attribute(const void *begin, size_t len, const struct rtattr *a);
uint32_t rtnl_u32(const struct rtattr *a); /* of an attribute that has 4 bytes */

#endif
