/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instructions that are carried out here: MOV, MOVZX and MOVSX, MOVS and STOS on memory where a
 * device is, INS and OUTS on ports. Any other is not known. Pure: it tells what the bytes say.
 *
 * Trust: the bytes are hostile; none behind `len` is read.
 */
#ifndef OYA_HYPERVISOR_DECODE_H
#define OYA_HYPERVISOR_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSTRUCTION_MAX 15u

enum access_op {
	ACCESS_MOVE, /* and with zeros or the sign in front */
	/* String instructions: there is no register and no address but theirs. */
	ACCESS_MOVE_STRING,
	ACCESS_STORE_STRING, /* of `reg`, rax */
	ACCESS_IN_STRING,
	ACCESS_OUT_STRING,
};

/* In the order of their encoding, and of SVM's control block. */
enum access_segment { ACCESS_ES, ACCESS_CS, ACCESS_SS, ACCESS_DS, ACCESS_FS, ACCESS_GS };

#define ACCESS_NO_REGISTER 16u
#define ACCESS_RIP 17u /* the next instruction */

struct access {
	unsigned len; /* of the instruction; 0: it is none of those that are known */
	enum access_op op;
	bool write;    /* memory is written */
	bool constant; /* what is written is `value`, not `reg` */
	bool sign;
	uint8_t bytes; /* in memory: 1, 2, 4, 8 */
	uint8_t wide;  /* of the register that is loaded */
	uint8_t reg;   /* as encoded: 0 rax to 15 r15 */
	bool high;     /* its second byte: AH, CH, DH, BH */
	uint64_t value;
	bool repeat;                 /* of string instructions: as often as rcx says */
	enum access_segment segment; /* of what is read, of string instructions */
	uint8_t address;             /* bytes: 2, 4, 8 */
	uint8_t base, index, scale;
	int64_t displacement;
};

/* `code_bits`: 16, 32 or 64. */
struct access access_decode(const uint8_t *bytes, size_t len, unsigned code_bits);

/* Where its memory is, within the segment; `next`: of the instruction behind it. */
uint64_t access_offset(const struct access *a, const uint64_t general[16], uint64_t next);

/* What the register or constant is, of the registers in their order of encoding. */
uint64_t access_stored(const struct access *a, const uint64_t general[16]);

/* Puts what was loaded into the register. */
void access_load(const struct access *a, uint64_t general[16], uint64_t value);

/* A register of so many bytes gets a value; one of four clears the upper half, as always. */
void access_set_register(uint64_t *reg, unsigned bytes, uint64_t value);
uint64_t access_mask(unsigned bytes);

#endif
