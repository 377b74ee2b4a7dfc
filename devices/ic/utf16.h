/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Texts between the UTF-16LE of guests and our UTF-8. Pure functions.
 *
 * Trust: the input may be hostile: any bytes are read as some text, what is no valid character
 * becomes U+FFFD.
 */
#ifndef OYA_DEVICES_IC_UTF16_H
#define OYA_DEVICES_IC_UTF16_H

#include <stddef.h>
#include <stdint.h>

/* Longest UTF-8 text, closing NUL included, of src_bytes of UTF-16. */
#define UTF8_BYTES_OF_UTF16(src_bytes) ((src_bytes) / 2 * 3 + 1)

/* Writes the text, up to a NUL or the end of src, as UTF-8 with a closing NUL. An odd last byte is
 * ignored. Its length without NUL, or -ENOSPC with dst empty. */
int utf8_from_utf16(const uint8_t *src, size_t src_bytes, char *dst, size_t dst_bytes);

/* Writes the text as UTF-16LE with a closing NUL, cut between characters where dst is full.
 * Bytes written, NUL included; 0 when dst has no room for a NUL. */
size_t utf16_from_utf8(const char *src, uint8_t *dst, size_t dst_bytes);

#endif
