/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions of the parent that we must know. Pure.
 *
 * Trust: the bytes are hostile; none behind `len` is read.
 */
#ifndef OYA_HYPERVISOR_DECODE_H
#define OYA_HYPERVISOR_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSTRUCTION_MAX 15u

struct store {
	unsigned len; /* of the instruction; 0: it is none of those that are known */
	bool constant;
	unsigned reg;   /* that is stored, as encoded: 0 rax to 15 r15 */
	uint32_t value; /* that is stored when it is a constant */
};

/* MOV of 32 bits to memory, in 64-bit mode: 89 /r and C7 /0, with any prefix of REX. */
struct store store_decode(const uint8_t *bytes, size_t len);

#endif
