/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that reach memory where a device is, and the string instructions on ports. Pure: it
 * tells what the bytes say; emulate.c does it.
 *
 * Known: MOV, MOVZX, MOVSX, the eight of ADD's kind, TEST, NOT, NEG, INC, DEC, XCHG, XADD, CMPXCHG,
 * BT and its like, MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS. Any other is not, those of registers of
 * vectors among them.
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
	/* In the order of their encoding. */
	ACCESS_ADD,
	ACCESS_OR,
	ACCESS_ADC,
	ACCESS_SBB,
	ACCESS_AND,
	ACCESS_SUB,
	ACCESS_XOR,
	ACCESS_COMPARE,
	ACCESS_TEST,
	ACCESS_NOT,
	ACCESS_NEGATE,
	ACCESS_INCREMENT,
	ACCESS_DECREMENT,
	ACCESS_EXCHANGE,
	ACCESS_EXCHANGE_ADD,
	ACCESS_COMPARE_EXCHANGE,
	/* In the order of their encoding. */
	ACCESS_BIT_TEST,
	ACCESS_BIT_SET,
	ACCESS_BIT_RESET,
	ACCESS_BIT_COMPLEMENT,
	/* String instructions: from here on there is no register and no address but theirs. */
	ACCESS_MOVE_STRING,
	ACCESS_COMPARE_STRING,
	ACCESS_STORE_STRING,
	ACCESS_LOAD_STRING,
	ACCESS_SCAN_STRING,
	ACCESS_IN_STRING,
	ACCESS_OUT_STRING,
};

/* In the order of their encoding, and of SVM's control block. */
enum access_segment { ACCESS_ES, ACCESS_CS, ACCESS_SS, ACCESS_DS, ACCESS_FS, ACCESS_GS };

enum access_repeat { ACCESS_ONCE, ACCESS_WHILE_EQUAL, ACCESS_WHILE_UNEQUAL };

#define ACCESS_NO_REGISTER 16u
#define ACCESS_RIP 17u /* the next instruction */

struct access {
	unsigned len; /* of the instruction; 0: it is none of those that are known */
	enum access_op op;
	bool write;    /* memory is written */
	bool constant; /* the other operand is `value`, not `reg` */
	bool sign;
	bool to_register; /* of those with two operands: `reg` is the one that changes */
	uint8_t bytes;    /* in memory: 1, 2, 4, 8 */
	uint8_t wide;     /* of the register that is loaded */
	uint8_t reg;      /* as encoded: 0 rax to 15 r15 */
	bool high;        /* its second byte: AH, CH, DH, BH */
	uint64_t value;
	enum access_repeat repeat; /* of string instructions */
	enum access_segment segment;
	uint8_t address; /* bytes: 2, 4, 8 */
	uint8_t base, index, scale;
	int64_t displacement;
};

/* `code_bits`: 16, 32 or 64. */
struct access access_decode(const uint8_t *bytes, size_t len, unsigned code_bits);

/* Where its memory is, within the segment; `next`: of the instruction behind it. */
uint64_t access_offset(const struct access *a, const uint64_t general[16], uint64_t next);

/* What the register or constant is, of the registers in their order of encoding. */
uint64_t access_stored(const struct access *a, const uint64_t general[16]);

/* Puts what was loaded, or came out, into the register. */
void access_load(const struct access *a, uint64_t general[16], uint64_t value);

/* A register of so many bytes gets a value; one of four clears the upper half, as always. */
void access_set_register(uint64_t *reg, unsigned bytes, uint64_t value);
uint64_t access_mask(unsigned bytes);

#endif
