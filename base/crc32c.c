/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * By the processor's own instruction where it has one, else four bits at a time: every processor
 * that can run a VM has it, so the slow way need only be right.
 */
#include "base/crc32c.h"

#include "base/bytes.h"

#define POLYNOMIAL UINT32_C(0x82f63b78) /* reflected */

static uint32_t by_nibbles(uint32_t crc, const uint8_t *data, size_t len)
{
	uint32_t table[16];

	for (uint32_t i = 0; i < 16; i++) {
		table[i] = i;
		for (unsigned bit = 0; bit < 4; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? POLYNOMIAL : 0);
	}
	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *data,
								 size_t len)
{
	uint64_t sum = crc;

	for (; len >= 8; data += 8, len -= 8)
		sum = __builtin_ia32_crc32di(sum, le64_load(data));
	crc = (uint32_t)sum;
	for (; len; data++, len--)
		crc = __builtin_ia32_crc32qi(crc, *data);
	return crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	crc = ~crc;
	crc = __builtin_cpu_supports("sse4.2") ? by_instruction(crc, data, len)
					       : by_nibbles(crc, data, len);
	return ~crc;
}
