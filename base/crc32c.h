/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CRC-32C (Castagnoli), which finds what was changed by chance. Freestanding.
 * Spec: RFC 3720, 12.1.
 */
#ifndef OYA_BASE_CRC32C_H
#define OYA_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The sum of `len` more bytes behind those of `crc`; 0 begins. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
