/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/decode.h"

#include "base/bytes.h"
#include "base/util.h"

#define REX 0x40u
#define REX_W 0x08u
#define REX_R 0x04u
#define REX_X 0x02u
#define REX_B 0x01u
#define LOCK 0xF0u
#define REPEAT_UNEQUAL 0xF2u
#define REPEAT_EQUAL 0xF3u
#define OPERAND_SIZE 0x66u
#define ADDRESS_SIZE 0x67u
#define ESCAPE 0x0Fu
#define MOD_REGISTER 3u
#define RM_SIB 4u
#define RM_DISPLACEMENT 5u
#define RM_DISPLACEMENT_16 6u
#define RSP 4u
#define RBP 5u
#define GROUP_TEST 0xF6u
#define GROUP_INCREMENT 0xFEu
#define GROUP_BITS 0xBAu

struct cursor {
	const uint8_t *bytes;
	size_t len, at;
	unsigned code_bits, operand, address; /* bytes of both */
	uint8_t rex;
	int segment; /* that a prefix names; -1: none does */
	bool lock;
	enum access_repeat repeat;
};

/* -1: it is no such prefix. In long mode the first four mean nothing. */
static int segment_of(uint8_t prefix)
{
	switch (prefix) {
	case 0x26:
		return ACCESS_ES;
	case 0x2E:
		return ACCESS_CS;
	case 0x36:
		return ACCESS_SS;
	case 0x3E:
		return ACCESS_DS;
	case 0x64:
		return ACCESS_FS;
	case 0x65:
		return ACCESS_GS;
	default:
		return -1;
	}
}

/* Prefixes; at the end `at` is that of the opcode. False: there is none. */
static bool take_prefixes(struct cursor *c)
{
	bool operand = false, address = false;

	for (; c->at < c->len; c->at++) {
		uint8_t byte = c->bytes[c->at];
		int segment = segment_of(byte);

		if (byte == OPERAND_SIZE)
			operand = true;
		else if (byte == ADDRESS_SIZE)
			address = true;
		else if (byte == LOCK)
			c->lock = true;
		else if (byte == REPEAT_UNEQUAL)
			c->repeat = ACCESS_WHILE_UNEQUAL;
		else if (byte == REPEAT_EQUAL)
			c->repeat = ACCESS_WHILE_EQUAL;
		else if (segment < 0)
			break;
		if (segment >= (c->code_bits == 64 ? ACCESS_FS : ACCESS_ES))
			c->segment = segment;
	}
	if (c->at < c->len && c->code_bits == 64 && (c->bytes[c->at] & 0xF0) == REX)
		c->rex = c->bytes[c->at++];
	c->operand = (c->code_bits == 16) == operand ? 4 : 2;
	if (c->rex & REX_W)
		c->operand = 8;
	c->address = c->code_bits / 8;
	if (address)
		c->address = c->address == 4 ? 2 : 4;
	return c->at < c->len;
}

/* A number of so many bytes, with its sign. */
static bool take_number(struct cursor *c, unsigned bytes, int64_t *ret_number)
{
	const uint8_t *at = c->bytes + c->at;

	if (!range_within(c->at, bytes, c->len))
		return false;
	if (bytes == 1)
		*ret_number = (int8_t)*at;
	else if (bytes == 2)
		*ret_number = (int16_t)le16_load(at);
	else if (bytes == 4)
		*ret_number = (int32_t)le32_load(at);
	else
		*ret_number = (int64_t)le64_load(at);
	c->at += bytes;
	return true;
}

static bool take_displacement(struct cursor *c, unsigned bytes, struct access *a)
{
	return bytes == 0 || take_number(c, bytes, &a->displacement);
}

/* Addresses of 16 bits: sums of BX, BP, SI and DI. */
static bool take_address_16(struct cursor *c, unsigned mod, unsigned rm, struct access *a)
{
	static const uint8_t base[] = {3, 3, 5, 5, 6, 7, 5, 3};
	static const uint8_t index[] = {6, 7, 6, 7};

	if (mod == 0 && rm == RM_DISPLACEMENT_16)
		return take_displacement(c, 2, a);
	a->base = base[rm];
	if (rm < ARRAY_LEN(index))
		a->index = index[rm];
	return take_displacement(c, mod, a);
}

static bool take_sib(struct cursor *c, unsigned mod, struct access *a)
{
	unsigned index;
	uint8_t sib;

	if (c->at >= c->len)
		return false;
	sib = c->bytes[c->at++];
	index = (sib >> 3 & 7) | (c->rex & REX_X ? 8 : 0);
	if (index != RSP) {
		a->index = (uint8_t)index;
		a->scale = sib >> 6;
	}
	if (mod == 0 && (sib & 7) == RM_DISPLACEMENT)
		return take_displacement(c, 4, a);
	a->base = (uint8_t)((sib & 7) | (c->rex & REX_B ? 8 : 0));
	return true;
}

static bool take_address(struct cursor *c, unsigned mod, unsigned rm, struct access *a)
{
	if (c->address == 2)
		return take_address_16(c, mod, rm, a);
	if (rm == RM_SIB) {
		if (!take_sib(c, mod, a))
			return false;
	} else if (mod == 0 && rm == RM_DISPLACEMENT) {
		a->base = c->code_bits == 64 ? ACCESS_RIP : ACCESS_NO_REGISTER;
		return take_displacement(c, 4, a);
	} else {
		a->base = (uint8_t)(rm | (c->rex & REX_B ? 8 : 0));
	}
	return take_displacement(c, mod == 2 ? 4 : mod, a);
}

/* ModRM, whose register and address follow from it. False: it means no memory, or is cut off. */
static bool take_operand(struct cursor *c, struct access *a)
{
	uint8_t modrm;

	if (c->at >= c->len)
		return false;
	modrm = c->bytes[c->at++];
	if (modrm >> 6 == MOD_REGISTER)
		return false;
	a->reg = (uint8_t)((modrm >> 3 & 7) | (c->rex & REX_R ? 8 : 0));
	if (!take_address(c, modrm >> 6, modrm & 7, a))
		return false;
	if (a->base == RSP || a->base == RBP)
		a->segment = ACCESS_SS;
	return true;
}

/* The same where the register's bits tell of the instruction: they are *ret_kind. */
static bool take_group(struct cursor *c, struct access *a, unsigned *ret_kind)
{
	if (!take_operand(c, a))
		return false;
	*ret_kind = a->reg & 7;
	a->reg = 0;
	return true;
}

/* A constant operand: those of eight bytes have four of it, with its sign. */
static bool take_constant(struct cursor *c, unsigned bytes, struct access *a)
{
	int64_t number;

	if (!take_number(c, bytes < 4 ? bytes : 4, &number))
		return false;
	a->value = (uint64_t)number & access_mask(a->bytes);
	a->constant = true;
	return true;
}

/* MOV; false: another one, or cut off. */
static bool take_mov(struct cursor *c, uint8_t opcode, struct access *a)
{
	unsigned kind;

	a->op = ACCESS_MOVE;
	switch (opcode) {
	case 0x88:
	case 0x89:
		a->write = true;
		return take_operand(c, a);
	case 0x8A:
	case 0x8B:
		return take_operand(c, a);
	case 0xA0: /* the address itself follows, the register is rax */
	case 0xA1:
	case 0xA2:
	case 0xA3:
		a->write = opcode >= 0xA2;
		return take_displacement(c, c->address, a);
	default:
		a->write = true;
		return take_group(c, a, &kind) && kind == 0 && take_constant(c, a->bytes, a);
	}
}

/* 00 to 3F: eight instructions, whose two operands are in either order. */
static bool take_arithmetic(struct cursor *c, uint8_t opcode, struct access *a)
{
	a->op = ACCESS_ADD + (opcode >> 3);
	a->to_register = opcode & 2;
	a->write = !a->to_register && a->op != ACCESS_COMPARE;
	return (opcode & 7) < 4 && take_operand(c, a);
}

/* 80, 81, 83: the same with a constant. */
static bool take_arithmetic_constant(struct cursor *c, uint8_t opcode, struct access *a)
{
	unsigned kind;

	if (!take_group(c, a, &kind))
		return false;
	a->op = ACCESS_ADD + kind;
	a->write = a->op != ACCESS_COMPARE;
	return take_constant(c, opcode == 0x83 ? 1 : a->bytes, a);
}

/* F6, F7, FE, FF. */
static bool take_unary(struct cursor *c, uint8_t opcode, struct access *a)
{
	static const enum access_op ops[] = {ACCESS_TEST, ACCESS_TEST, ACCESS_NOT, ACCESS_NEGATE};
	unsigned kind;

	if (!take_group(c, a, &kind))
		return false;
	if ((opcode & ~1u) == GROUP_INCREMENT) {
		a->op = kind ? ACCESS_DECREMENT : ACCESS_INCREMENT;
		a->write = true;
		return kind < 2;
	}
	if (kind >= ARRAY_LEN(ops))
		return false;
	a->op = ops[kind];
	a->write = a->op != ACCESS_TEST;
	return a->write || take_constant(c, a->bytes, a);
}

static bool take_string(struct cursor *c, enum access_op op, struct access *a)
{
	if ((op == ACCESS_IN_STRING || op == ACCESS_OUT_STRING) && a->bytes == 8)
		a->bytes = a->wide = 4;
	a->op = op;
	a->write = op == ACCESS_MOVE_STRING || op == ACCESS_STORE_STRING || op == ACCESS_IN_STRING;
	a->repeat = c->repeat;
	return true;
}

/* Opcodes of one byte. */
static bool take_plain(struct cursor *c, uint8_t opcode, struct access *a)
{
	a->bytes = a->wide = (uint8_t)(opcode & 1 ? c->operand : 1);
	if (opcode < 0x40)
		return take_arithmetic(c, opcode, a);
	switch (opcode & ~1u) {
	case 0x6C:
		return take_string(c, ACCESS_IN_STRING, a);
	case 0x6E:
		return take_string(c, ACCESS_OUT_STRING, a);
	case 0x80:
	case 0x82:
		return opcode != 0x82 && take_arithmetic_constant(c, opcode, a);
	case 0x84:
		a->op = ACCESS_TEST;
		return take_operand(c, a);
	case 0x86:
		a->op = ACCESS_EXCHANGE;
		a->write = true;
		return take_operand(c, a);
	case 0x88:
	case 0x8A:
	case 0xA0:
	case 0xA2:
	case 0xC6:
		return take_mov(c, opcode, a);
	case 0xA4:
		return take_string(c, ACCESS_MOVE_STRING, a);
	case 0xA6:
		return take_string(c, ACCESS_COMPARE_STRING, a);
	case 0xAA:
		return take_string(c, ACCESS_STORE_STRING, a);
	case 0xAC:
		return take_string(c, ACCESS_LOAD_STRING, a);
	case 0xAE:
		return take_string(c, ACCESS_SCAN_STRING, a);
	case GROUP_TEST:
	case GROUP_INCREMENT:
		return take_unary(c, opcode, a);
	default:
		return false;
	}
}

/* BT, BTS, BTR, BTC of a register or a constant. */
static bool take_bits(struct cursor *c, uint8_t opcode, struct access *a)
{
	unsigned kind = (opcode >> 3 & 3) + 4;

	a->bytes = a->wide = (uint8_t)c->operand;
	if (opcode == GROUP_BITS ? !take_group(c, a, &kind) : !take_operand(c, a))
		return false;
	if (kind < 4)
		return false;
	a->op = ACCESS_BIT_TEST + kind - 4;
	a->write = a->op != ACCESS_BIT_TEST;
	return opcode != GROUP_BITS || take_constant(c, 1, a);
}

/* Opcodes behind 0F. */
static bool take_extended(struct cursor *c, uint8_t opcode, struct access *a)
{
	switch (opcode) {
	case 0xA3:
	case 0xAB:
	case 0xB3:
	case 0xBB:
	case GROUP_BITS:
		return take_bits(c, opcode, a);
	case 0xB0:
	case 0xB1:
	case 0xC0:
	case 0xC1:
		a->bytes = a->wide = (uint8_t)(opcode & 1 ? c->operand : 1);
		a->op = opcode < 0xC0 ? ACCESS_COMPARE_EXCHANGE : ACCESS_EXCHANGE_ADD;
		a->write = true;
		return take_operand(c, a);
	case 0xB6:
	case 0xB7:
	case 0xBE:
	case 0xBF:
		a->bytes = opcode & 1 ? 2 : 1;
		a->wide = (uint8_t)c->operand;
		a->sign = opcode >= 0xBE;
		return take_operand(c, a);
	default:
		return false;
	}
}

/* Prefixes that the processor takes with this instruction. */
static bool prefixes_fit(const struct cursor *c, const struct access *a)
{
	bool is_string = a->op >= ACCESS_MOVE_STRING;

	if (c->lock && (!a->write || is_string || a->op == ACCESS_MOVE))
		return false;
	return is_string || c->repeat == ACCESS_ONCE;
}

struct access access_decode(const uint8_t *bytes, size_t len, unsigned code_bits)
{
	const struct access unknown = {0};
	struct access a = {
		.segment = ACCESS_DS, .base = ACCESS_NO_REGISTER, .index = ACCESS_NO_REGISTER};
	struct cursor c = {.bytes = bytes, .len = len, .code_bits = code_bits, .segment = -1};
	unsigned of_register;
	bool known;
	uint8_t opcode;

	if (len > INSTRUCTION_MAX)
		c.len = INSTRUCTION_MAX;
	if (!take_prefixes(&c))
		return unknown;
	a.address = (uint8_t)c.address;
	opcode = c.bytes[c.at++];
	if (opcode != ESCAPE)
		known = take_plain(&c, opcode, &a);
	else
		known = c.at < c.len && take_extended(&c, c.bytes[c.at++], &a);
	if (!known || !prefixes_fit(&c, &a))
		return unknown;
	/* Without REX the numbers 4 to 7 of a byte's register mean the second bytes of 0 to 3. */
	of_register = a.op == ACCESS_MOVE && !a.write ? a.wide : a.bytes;
	if (of_register == 1 && !a.constant && !c.rex && a.reg >= 4) {
		a.high = true;
		a.reg -= 4;
	}
	if (c.segment >= 0)
		a.segment = (enum access_segment)c.segment;
	a.len = (unsigned)c.at;
	return a;
}

uint64_t access_mask(unsigned bytes)
{
	return UINT64_MAX >> (64 - 8 * bytes);
}

uint64_t access_offset(const struct access *a, const uint64_t general[16], uint64_t next)
{
	uint64_t offset = (uint64_t)a->displacement;

	if (a->base == ACCESS_RIP)
		offset += next;
	else if (a->base != ACCESS_NO_REGISTER)
		offset += general[a->base];
	if (a->index != ACCESS_NO_REGISTER)
		offset += general[a->index] << a->scale;
	return offset & access_mask(a->address);
}

uint64_t access_stored(const struct access *a, const uint64_t general[16])
{
	uint64_t value = a->constant ? a->value : general[a->reg] >> (a->high ? 8 : 0);

	return value & access_mask(a->bytes);
}

void access_set_register(uint64_t *reg, unsigned bytes, uint64_t value)
{
	uint64_t mask = access_mask(bytes);

	*reg = (bytes == 4 ? 0 : *reg & ~mask) | (value & mask);
}

void access_load(const struct access *a, uint64_t general[16], uint64_t value)
{
	uint64_t *reg = &general[a->reg];

	value &= access_mask(a->bytes);
	if (a->sign && value >> (8 * a->bytes - 1))
		value |= ~access_mask(a->bytes);
	if (a->high)
		*reg = (*reg & ~UINT64_C(0xFF00)) | (value & UINT8_MAX) << 8;
	else
		access_set_register(reg, a->wide, value);
}
