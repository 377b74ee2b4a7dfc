/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bounded reader over bytes that were copied in. A read past the end returns zeros and marks
 * the cursor as failed; the caller checks once, at the end, with cursor_ok().
 *
 * Trust: the bytes are hostile; the cursor never reads outside [at, at + left).
 */
#ifndef OYA_BASE_CURSOR_H
#define OYA_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct cursor {
	const uint8_t *at;
	size_t left;
	bool failed;
};

static inline struct cursor cursor_of(const void *buf, size_t len)
{
	return (struct cursor){.at = buf, .left = len};
}

static inline bool cursor_ok(const struct cursor *c)
{
	return !c->failed;
}

/* Returns the next len bytes and steps over them; NULL (and failed) when fewer are left. */
static inline const void *cursor_take(struct cursor *c, size_t len)
{
	const void *p = c->at;

	if (c->failed || len > c->left) {
		c->failed = true;
		return NULL;
	}
	c->at += len;
	c->left -= len;
	return p;
}

static inline uint8_t cursor_u8(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 1);

	return p ? *p : 0;
}

static inline uint16_t cursor_u16(struct cursor *c)
{
	const void *p = cursor_take(c, 2);

	return p ? le16_load(p) : 0;
}

static inline uint32_t cursor_u32(struct cursor *c)
{
	const void *p = cursor_take(c, 4);

	return p ? le32_load(p) : 0;
}

static inline uint64_t cursor_u64(struct cursor *c)
{
	const void *p = cursor_take(c, 8);

	return p ? le64_load(p) : 0;
}

/* Copies up to len bytes into dst, the rest zeroed; for messages that may come short. */
static inline size_t cursor_copy_padded(struct cursor *c, void *dst, size_t len)
{
	size_t n = c->failed ? 0 : (c->left < len ? c->left : len);

	memset(dst, 0, len);
	memcpy(dst, c->at, n);
	c->at += n;
	c->left -= n;
	return n;
}

#endif
