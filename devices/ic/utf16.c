/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Role and trust: see utf16.h. Spec: RFC 2781, RFC 3629. */
#include "devices/ic/utf16.h"

#include <errno.h>
#include <stdbool.h>

#include "base/bytes.h"

#define REPLACEMENT 0xFFFDu

static bool is_surrogate(uint32_t c)
{
	return (c & 0xFFFFF800u) == 0xD800u;
}

/* The next character of src, whose index moves on; src_units - *at > 0. */
static uint32_t utf16_next(const uint8_t *src, size_t src_units, size_t *at)
{
	uint32_t c = le16_load(src + 2 * (*at)++);
	uint32_t low;

	if (!is_surrogate(c))
		return c;
	if (c >= 0xDC00 || *at == src_units)
		return REPLACEMENT;
	low = le16_load(src + 2 * *at);
	if ((low & 0xFC00) != 0xDC00)
		return REPLACEMENT;
	(*at)++;
	return 0x10000 + ((c & 0x3FF) << 10 | (low & 0x3FF));
}

static size_t utf8_encode(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xC0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xE0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3F));
		out[2] = (char)(0x80 | (c & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3F));
	out[2] = (char)(0x80 | (c >> 6 & 0x3F));
	out[3] = (char)(0x80 | (c & 0x3F));
	return 4;
}

int utf8_from_utf16(const uint8_t *src, size_t src_bytes, char *dst, size_t dst_bytes)
{
	size_t units = src_bytes / 2, at = 0, len = 0;

	if (!dst_bytes)
		return -ENOSPC;
	while (at < units) {
		uint32_t c = utf16_next(src, units, &at);
		char out[4];
		size_t n;

		if (!c)
			break;
		n = utf8_encode(c, out);
		if (n > dst_bytes - 1 - len) {
			dst[0] = '\0';
			return -ENOSPC;
		}
		memcpy(dst + len, out, n);
		len += n;
	}
	dst[len] = '\0';
	return (int)len;
}

/* The next character of a text that ends with NUL, which is never stepped over. */
static uint32_t utf8_next(const char **src)
{
	static const uint32_t smallest[4] = {0, 0x80, 0x800, 0x10000};
	uint8_t first = (uint8_t) * (*src)++;
	unsigned more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
	uint32_t c = first & (0x3Fu >> more);

	if (first < 0x80)
		return first;
	if (first < 0xC0 || first > 0xF4)
		return REPLACEMENT;
	for (unsigned i = 0; i < more; i++) {
		uint8_t next = (uint8_t) * *src;

		if ((next & 0xC0) != 0x80)
			return REPLACEMENT;
		c = c << 6 | (next & 0x3F);
		(*src)++;
	}
	if (c < smallest[more] || c > 0x10FFFF || is_surrogate(c))
		return REPLACEMENT;
	return c;
}

size_t utf16_from_utf8(const char *src, uint8_t *dst, size_t dst_bytes)
{
	size_t len = 0;

	if (dst_bytes < 2)
		return 0;
	while (*src) {
		uint32_t c = utf8_next(&src);
		size_t n = c >= 0x10000 ? 4 : 2;

		if (n > dst_bytes - 2 - len)
			break;
		if (n == 4) {
			le16_store(dst + len, (uint16_t)(0xD800 | (c - 0x10000) >> 10));
			le16_store(dst + len + 2, (uint16_t)(0xDC00 | (c & 0x3FF)));
		} else {
			le16_store(dst + len, (uint16_t)c);
		}
		len += n;
	}
	le16_store(dst + len, 0);
	return len + 2;
}
