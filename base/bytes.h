/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads and stores of fixed-width integers at any alignment, by name of their byte order.
 * Freestanding; x86-64 hosts only, so little endian is the machine's own order.
 */
#ifndef OYA_BASE_BYTES_H
#define OYA_BASE_BYTES_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bytes.h is written for x86-64");

#define OYA_LE_ACCESS(bits)                                            \
	static inline uint##bits##_t le##bits##_load(const void *p)    \
	{                                                              \
		uint##bits##_t v;                                      \
		memcpy(&v, p, sizeof(v));                              \
		return v;                                              \
	}                                                              \
	static inline void le##bits##_store(void *p, uint##bits##_t v) \
	{                                                              \
		memcpy(p, &v, sizeof(v));                              \
	}
OYA_LE_ACCESS(16)
OYA_LE_ACCESS(32)
OYA_LE_ACCESS(64)
#undef OYA_LE_ACCESS

static inline uint16_t be16_load(const void *p)
{
	return __builtin_bswap16(le16_load(p));
}

static inline uint32_t be32_load(const void *p)
{
	return __builtin_bswap32(le32_load(p));
}

static inline uint64_t be64_load(const void *p)
{
	return __builtin_bswap64(le64_load(p));
}

static inline void be16_store(void *p, uint16_t v)
{
	le16_store(p, __builtin_bswap16(v));
}

static inline void be32_store(void *p, uint32_t v)
{
	le32_store(p, __builtin_bswap32(v));
}

static inline void be64_store(void *p, uint64_t v)
{
	le64_store(p, __builtin_bswap64(v));
}

#endif
