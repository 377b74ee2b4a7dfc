/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that reach memory where a device is: a load or a store of a register or a constant.
 * Pure. The address is not computed: who has met the access knows it.
 *
 * Trust: the bytes are hostile; none behind `len` is read.
 */
#ifndef OYA_HYPERVISOR_DECODE_H
#define OYA_HYPERVISOR_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSTRUCTION_MAX 15u

struct access {
	unsigned len; /* of the instruction; 0: it is none of those that are known */
	bool write, constant, sign;
	uint8_t bytes;  /* in memory: 1, 2, 4, 8 */
	uint8_t wide;   /* of the register that is loaded */
	uint8_t reg;    /* as encoded: 0 rax to 15 r15 */
	bool high;      /* its second byte: AH, CH, DH, BH */
	uint64_t value; /* that is stored when it is a constant */
};

/* MOV to and from memory, MOVZX and MOVSX. `code_bits`: 16, 32 or 64. */
struct access access_decode(const uint8_t *bytes, size_t len, unsigned code_bits);

/* What is stored, of the registers in their order of encoding. */
uint64_t access_stored(const struct access *a, const uint64_t general[16]);

/* Puts what was loaded into its register. */
void access_load(const struct access *a, uint64_t general[16], uint64_t value);

#endif
