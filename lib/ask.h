/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HTTP as a client speaks it, as text: requests of the API, and the heads of its answers. Who has
 * the connection reads and writes it: lib/wire.h, which waits, and host/far.h, which does not.
 *
 * Requests are of HTTP/1.0, so that an answer is a head and then bytes up to the connection's end,
 * also of a stream; of HTTP/1.1 where the connection is to become another protocol's.
 *
 * Trust: answers are hostile; they are decoded with limits. Pure.
 */
#ifndef OYA_LIB_ASK_H
#define OYA_LIB_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ASK_HEAD_MAX 16384u
#define ASK_VALUE_MAX 128u

struct ask {
	const char *method, *target;
	const char *accept;                   /* the type of a good answer; or NULL */
	const char *upgrade;                  /* the protocol that it is to become; or NULL */
	const char *if_match, *last_event_id; /* or NULL */
	const char *token;                    /* or NULL */
	const char *type;                     /* of the body */
	const char *body;                     /* or NULL */
};

/* Of the answer. */
struct ask_head {
	unsigned status;
	int64_t length; /* of the body; -1: up to the end of the connection */
	char etag[ASK_VALUE_MAX];
	char type[ASK_VALUE_MAX];
};

/* The request as text, to be freed; its length in *ret_len. NULL: no memory. */
char *ask_encode(const struct ask *a, size_t *ret_len);

/* The bytes that the head takes; 0 when it is not whole yet; -EBADMSG. */
ssize_t ask_decode_head(const char *bytes, size_t len, struct ask_head *ret_head);

/* A name as one part of a target; false when it does not fit. */
bool ask_encode_name(const char *name, char *to, size_t room);

#endif
