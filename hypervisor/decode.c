/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/decode.h"

#include "base/bytes.h"
#include "base/util.h"

#define REX 0x40u
#define REX_W 0x08u
#define REX_R 0x04u
#define OPERAND_SIZE 0x66u
#define ADDRESS_SIZE 0x67u
#define ESCAPE 0x0Fu
#define MOD_REGISTER 3u
#define RM_SIB 4u
#define RM_DISPLACEMENT 5u
#define RM_DISPLACEMENT_16 6u

struct cursor {
	const uint8_t *bytes;
	size_t len, at;
	unsigned code_bits, operand, address; /* bytes of both */
	uint8_t rex;
};

static bool is_segment(uint8_t prefix)
{
	return prefix == 0x26 || prefix == 0x2E || prefix == 0x36 || prefix == 0x3E ||
	       prefix == 0x64 || prefix == 0x65;
}

/* Prefixes; at the end `at` is that of the opcode. False: there is none. */
static bool take_prefixes(struct cursor *c)
{
	bool operand = false, address = false;

	for (; c->at < c->len; c->at++) {
		uint8_t byte = c->bytes[c->at];

		if (byte == OPERAND_SIZE)
			operand = true;
		else if (byte == ADDRESS_SIZE)
			address = true;
		else if (!is_segment(byte))
			break;
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

/* Bytes behind ModRM up to a constant. `sib` is looked at only where there is one. */
static unsigned address_len(unsigned address, uint8_t modrm, uint8_t sib)
{
	unsigned mod = modrm >> 6, rm = modrm & 7, bytes = 0;

	if (address == 2) {
		if (mod == 0)
			return rm == RM_DISPLACEMENT_16 ? 2 : 0;
		return mod;
	}
	if (rm == RM_SIB)
		bytes = mod == 0 && (sib & 7) == RM_DISPLACEMENT ? 5 : 1;
	else if (mod == 0 && rm == RM_DISPLACEMENT)
		bytes = 4;
	if (mod == 1)
		bytes += 1;
	else if (mod == 2)
		bytes += 4;
	return bytes;
}

/* ModRM, whose register and address follow from it. False: it means no memory, or is cut off. */
static bool take_operand(struct cursor *c, struct access *a)
{
	uint8_t modrm, sib;

	if (c->at >= c->len)
		return false;
	modrm = c->bytes[c->at++];
	sib = c->at < c->len ? c->bytes[c->at] : 0;
	if (modrm >> 6 == MOD_REGISTER)
		return false;
	a->reg = (uint8_t)((modrm >> 3 & 7) | (c->rex & REX_R ? 8 : 0));
	c->at += address_len(c->address, modrm, sib);
	return c->at <= c->len;
}

/* What is stored by C6 and C7: eight bytes have four of it, with its sign. */
static bool take_constant(struct cursor *c, struct access *a)
{
	unsigned bytes = a->bytes < 4 ? a->bytes : 4;

	if ((a->reg & 7) != 0 || !range_within(c->at, bytes, c->len))
		return false;
	if (bytes == 1)
		a->value = c->bytes[c->at];
	else if (bytes == 2)
		a->value = le16_load(c->bytes + c->at);
	else
		a->value = (uint64_t)(int32_t)le32_load(c->bytes + c->at);
	a->constant = true;
	c->at += bytes;
	return true;
}

/* Opcodes of one byte; false: another one, or cut off. */
static bool take_mov(struct cursor *c, uint8_t opcode, struct access *a)
{
	a->bytes = a->wide = (uint8_t)(opcode & 1 ? c->operand : 1);
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
		c->at += c->address;
		return c->at <= c->len;
	case 0xC6:
	case 0xC7:
		a->write = true;
		return take_operand(c, a) && take_constant(c, a);
	default:
		return false;
	}
}

/* Opcodes behind 0F: MOVZX and MOVSX. */
static bool take_extended(struct cursor *c, uint8_t opcode, struct access *a)
{
	a->bytes = opcode & 1 ? 2 : 1;
	a->wide = (uint8_t)c->operand;
	a->sign = opcode >= 0xBE;
	return (opcode == 0xB6 || opcode == 0xB7 || opcode == 0xBE || opcode == 0xBF) &&
	       take_operand(c, a);
}

struct access access_decode(const uint8_t *bytes, size_t len, unsigned code_bits)
{
	const struct access unknown = {0};
	struct access a = {0};
	struct cursor c = {.bytes = bytes, .len = len, .code_bits = code_bits};
	bool known;
	uint8_t opcode;

	if (len > INSTRUCTION_MAX)
		c.len = INSTRUCTION_MAX;
	if (!take_prefixes(&c))
		return unknown;
	opcode = c.bytes[c.at++];
	if (opcode != ESCAPE)
		known = take_mov(&c, opcode, &a);
	else
		known = c.at < c.len && take_extended(&c, c.bytes[c.at++], &a);
	if (!known)
		return unknown;
	/* Without REX the numbers 4 to 7 of a byte's register mean the second bytes of 0 to 3. */
	if ((a.write ? a.bytes : a.wide) == 1 && !a.constant && !c.rex && a.reg >= 4) {
		a.high = true;
		a.reg -= 4;
	}
	a.len = (unsigned)c.at;
	return a;
}

static uint64_t mask_of(unsigned bytes)
{
	return UINT64_MAX >> (64 - 8 * bytes);
}

uint64_t access_stored(const struct access *a, const uint64_t general[16])
{
	uint64_t value = a->constant ? a->value : general[a->reg] >> (a->high ? 8 : 0);

	return value & mask_of(a->bytes);
}

void access_load(const struct access *a, uint64_t general[16], uint64_t value)
{
	uint64_t mask = mask_of(a->wide);
	unsigned up = a->high ? 8 : 0;

	value &= mask_of(a->bytes);
	if (a->sign && value >> (8 * a->bytes - 1))
		value |= ~mask_of(a->bytes);
	if (a->wide == 4) /* the upper half is cleared, as always */
		general[a->reg] = value & mask;
	else
		general[a->reg] = (general[a->reg] & ~(mask << up)) | (value & mask) << up;
}
