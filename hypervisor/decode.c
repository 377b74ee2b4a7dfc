/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/decode.h"

#include "base/bytes.h"
#include "base/util.h"

#define REX 0x40u
#define REX_W 0x08u
#define REX_R 0x04u
#define OPCODE_STORE 0x89u
#define OPCODE_STORE_CONSTANT 0xC7u
#define MOD_REGISTER 3u
#define RM_SIB 4u
#define RM_DISPLACEMENT 5u

/* Bytes from ModRM on up to a constant; 0: a register is meant, or they are not all there. */
static unsigned operand_len(const uint8_t *at, size_t len)
{
	unsigned mod, rm, bytes = 1;

	if (!len)
		return 0;
	mod = at[0] >> 6;
	rm = at[0] & 7;
	if (mod == MOD_REGISTER)
		return 0;
	if (rm == RM_SIB) {
		if (len < 2)
			return 0;
		bytes++;
		if (mod == 0 && (at[1] & 7) == RM_DISPLACEMENT)
			bytes += 4;
	} else if (mod == 0 && rm == RM_DISPLACEMENT) {
		bytes += 4;
	}
	if (mod == 1)
		bytes += 1;
	else if (mod == 2)
		bytes += 4;
	return bytes <= len ? bytes : 0;
}

struct store store_decode(const uint8_t *bytes, size_t len)
{
	const struct store unknown = {0};
	struct store s = {0};
	uint8_t rex = 0;
	unsigned operand;
	size_t at = 0;

	if (len && (bytes[0] & 0xF0) == REX)
		rex = bytes[at++];
	if (at >= len || (rex & REX_W))
		return unknown;
	s.constant = bytes[at] == OPCODE_STORE_CONSTANT;
	if (!s.constant && bytes[at] != OPCODE_STORE)
		return unknown;
	at++;
	operand = operand_len(bytes + at, len - at);
	if (!operand)
		return unknown;
	s.reg = (bytes[at] >> 3 & 7) | (rex & REX_R ? 8u : 0);
	at += operand;
	if (s.constant) {
		if ((s.reg & 7) != 0 || !range_within(at, 4, len))
			return unknown;
		s.value = le32_load(bytes + at);
		at += 4;
	}
	s.len = (unsigned)at;
	return s;
}
