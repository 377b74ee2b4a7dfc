/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/decode.h"

#include "base/util.h"

#define REX 0x40u
#define REX_W 0x08u
#define REX_R 0x04u
#define REX_X 0x02u
#define REX_B 0x01u
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

struct cursor {
	const uint8_t *bytes;
	size_t len, at;
	bool is_long;
	unsigned operand, address; /* bytes */
	uint8_t rex;
	int segment; /* that a prefix names; -1: none does */
	bool repeat;
};

static bool take_byte(struct cursor *c, uint8_t *ret_byte)
{
	if (c->at >= c->len)
		return false;
	*ret_byte = c->bytes[c->at++];
	return true;
}

/* -1: it is no such prefix. */
static int segment_of(uint8_t prefix)
{
	static const uint8_t of[] = {0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65};

	for (int i = 0; i < (int)ARRAY_LEN(of); i++) {
		if (of[i] == prefix)
			return i;
	}
	return -1;
}

/* LOCK is none of them: nothing that is known takes it. */
static void take_prefixes(struct cursor *c, unsigned code_bits)
{
	bool operand = false, address = false;

	for (; c->at < c->len; c->at++) {
		uint8_t byte = c->bytes[c->at];
		int segment = segment_of(byte);

		if (c->is_long && (byte & 0xF0) == REX) {
			c->rex = byte;
			continue;
		}
		if (byte == OPERAND_SIZE)
			operand = true;
		else if (byte == ADDRESS_SIZE)
			address = true;
		else if (byte == REPEAT_UNEQUAL || byte == REPEAT_EQUAL)
			c->repeat = true;
		else if (segment < 0)
			break;
		/* In long mode the first four mean nothing. */
		if (segment >= (c->is_long ? ACCESS_FS : ACCESS_ES))
			c->segment = segment;
		c->rex = 0; /* it means something as the last one only */
	}
	c->operand = (code_bits == 16) == operand ? 4 : 2;
	if (c->rex & REX_W)
		c->operand = 8;
	c->address = code_bits / 8;
	if (address)
		c->address = c->address == 4 ? 2 : 4;
}

/* A number of so many bytes, with its sign. */
static bool take_number(struct cursor *c, unsigned bytes, int64_t *ret_number)
{
	unsigned unused = 64 - 8 * bytes;
	uint64_t number = 0;

	if (!range_within(c->at, bytes, c->len))
		return false;
	for (unsigned i = 0; i < bytes; i++)
		number |= (uint64_t)c->bytes[c->at++] << 8 * i;
	if (bytes)
		*ret_number = (int64_t)(number << unused) >> unused;
	return true;
}

/* Addresses of 16 bits: sums of BX, BP, SI and DI. */
static bool take_address_16(struct cursor *c, unsigned mod, unsigned rm, struct access *a)
{
	static const uint8_t base[] = {3, 3, 5, 5, 6, 7, 5, 3};
	static const uint8_t index[] = {6, 7, 6, 7};

	if (mod == 0 && rm == RM_DISPLACEMENT_16)
		return take_number(c, 2, &a->displacement);
	a->base = base[rm];
	if (rm < ARRAY_LEN(index))
		a->index = index[rm];
	return take_number(c, mod, &a->displacement);
}

static bool take_address(struct cursor *c, unsigned mod, unsigned rm, struct access *a)
{
	uint8_t sib = (uint8_t)rm, index;

	if (c->address == 2)
		return take_address_16(c, mod, rm, a);
	if (rm == RM_SIB) {
		if (!take_byte(c, &sib))
			return false;
		index = (sib >> 3 & 7) | (c->rex & REX_X ? 8 : 0);
		if (index != RSP) {
			a->index = index;
			a->scale = sib >> 6;
		}
	}
	if (mod == 0 && (sib & 7) == RM_DISPLACEMENT) {
		a->base = c->is_long && rm != RM_SIB ? ACCESS_RIP : ACCESS_NO_REGISTER;
		return take_number(c, 4, &a->displacement);
	}
	a->base = (uint8_t)((sib & 7) | (c->rex & REX_B ? 8 : 0));
	return take_number(c, mod == 2 ? 4 : mod, &a->displacement);
}

/* ModRM, whose register and address follow from it. False: it means no memory, or is cut off. */
static bool take_operand(struct cursor *c, struct access *a)
{
	uint8_t modrm;

	if (!take_byte(c, &modrm) || modrm >> 6 == MOD_REGISTER)
		return false;
	a->reg = (uint8_t)((modrm >> 3 & 7) | (c->rex & REX_R ? 8 : 0));
	if (!take_address(c, modrm >> 6, modrm & 7, a))
		return false;
	if (a->base == RSP || a->base == RBP)
		a->segment = ACCESS_SS;
	return true;
}

/* C6 and C7 /0: a constant; those of eight bytes have four of it, with its sign. */
static bool take_constant(struct cursor *c, struct access *a)
{
	int64_t number;

	if (!take_operand(c, a) || (a->reg & 7) != 0 ||
	    !take_number(c, a->bytes < 4 ? a->bytes : 4, &number))
		return false;
	a->write = a->constant = true;
	a->value = (uint64_t)number & access_mask(a->bytes);
	return true;
}

/* MOVZX and MOVSX. */
static bool take_extended(struct cursor *c, struct access *a)
{
	uint8_t opcode;

	if (!take_byte(c, &opcode) || (opcode & 0xF6) != 0xB6)
		return false;
	a->bytes = opcode & 1 ? 2 : 1;
	a->wide = (uint8_t)c->operand;
	a->sign = opcode & 8;
	return take_operand(c, a);
}

static bool take_string(const struct cursor *c, enum access_op op, struct access *a)
{
	if ((op == ACCESS_IN_STRING || op == ACCESS_OUT_STRING) && a->bytes == 8)
		a->bytes = a->wide = 4;
	a->op = op;
	a->write = op != ACCESS_OUT_STRING;
	a->repeat = c->repeat;
	return true;
}

/* The opcode and what follows it. False: another one, or cut off. */
static bool take_instruction(struct cursor *c, struct access *a)
{
	uint8_t opcode;

	if (!take_byte(c, &opcode))
		return false;
	if (opcode == ESCAPE)
		return take_extended(c, a);
	a->bytes = a->wide = (uint8_t)(opcode & 1 ? c->operand : 1);
	switch (opcode & ~1u) {
	case 0x6C:
		return take_string(c, ACCESS_IN_STRING, a);
	case 0x6E:
		return take_string(c, ACCESS_OUT_STRING, a);
	case 0x88:
	case 0x8A:
		a->write = opcode < 0x8A;
		return take_operand(c, a);
	case 0xA0: /* the address itself follows, the register is rax */
	case 0xA2:
		a->write = opcode >= 0xA2;
		return take_number(c, c->address, &a->displacement);
	case 0xA4:
		return take_string(c, ACCESS_MOVE_STRING, a);
	case 0xAA:
		return take_string(c, ACCESS_STORE_STRING, a);
	case 0xC6:
		return take_constant(c, a);
	default:
		return false;
	}
}

struct access access_decode(const uint8_t *bytes, size_t len, unsigned code_bits)
{
	struct access a = {
		.segment = ACCESS_DS, .base = ACCESS_NO_REGISTER, .index = ACCESS_NO_REGISTER};
	struct cursor c = {.bytes = bytes,
			   .len = min_u64(len, INSTRUCTION_MAX),
			   .is_long = code_bits == 64,
			   .segment = -1};

	take_prefixes(&c, code_bits);
	a.address = (uint8_t)c.address;
	if (!take_instruction(&c, &a))
		return (struct access){0};
	/* Without REX the numbers 4 to 7 of a byte's register mean the second bytes of 0 to 3. */
	if (a.wide == 1 && !a.constant && !c.rex && a.reg >= 4) {
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
