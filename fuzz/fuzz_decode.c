/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the hypervisor decodes of a child's instruction, beside libzydis. Input: a byte that chooses
 * the mode (16, 32, 64 bits), then the instruction, or COMPOSED with choices of which one is made,
 * since few instructions of random bytes are ours. Checked: what we know is what Zydis makes of
 * it, in length, memory, register and constant; and we know all of ours that Zydis does.
 */
#include <Zydis/Zydis.h>
#include <string.h>

#include "base/util.h"
#include "fuzz/harness.h"
#include "hypervisor/decode.h"

#define COMPOSED 0x80u /* of the first byte */
#define CHOICES 3u
#define CODE_MAX 24u

struct decoded {
	ZydisDecodedInstruction instruction;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
};

static bool decode(const uint8_t *code, size_t len, unsigned code_bits, struct decoded *ret_decoded)
{
	ZydisDecoder decoder;
	ZyanStatus ok;

	if (code_bits == 64)
		ok = ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	else if (code_bits == 32)
		ok = ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	else
		ok = ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	must(ZYAN_SUCCESS(ok));
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, len, &ret_decoded->instruction,
						   ret_decoded->operand));
}

/* NULL: there is none. `actions`: one of them is among its own. */
static const ZydisDecodedOperand *find_operand(const struct decoded *d, ZydisOperandType type,
					       ZydisOperandActions actions)
{
	for (unsigned i = 0; i < d->instruction.operand_count; i++) {
		if (d->operand[i].type == type && (d->operand[i].actions & actions))
			return &d->operand[i];
	}
	return NULL;
}

static const ZydisDecodedOperand *find_memory(const struct decoded *d, bool write)
{
	return find_operand(d, ZYDIS_OPERAND_TYPE_MEMORY,
			    write ? ZYDIS_OPERAND_ACTION_MASK_WRITE
				  : ZYDIS_OPERAND_ACTION_MASK_READ);
}

/* False: it is none of the instructions that decode.h tells of. */
static bool find_op(const struct decoded *d, enum access_op *ret_op)
{
	static const struct {
		ZydisMnemonic mnemonic;
		enum access_op op;
	} ops[] = {
		{ZYDIS_MNEMONIC_MOV, ACCESS_MOVE},
		{ZYDIS_MNEMONIC_MOVZX, ACCESS_MOVE},
		{ZYDIS_MNEMONIC_MOVSX, ACCESS_MOVE},
		{ZYDIS_MNEMONIC_MOVSB, ACCESS_MOVE_STRING},
		{ZYDIS_MNEMONIC_MOVSW, ACCESS_MOVE_STRING},
		{ZYDIS_MNEMONIC_MOVSD, ACCESS_MOVE_STRING},
		{ZYDIS_MNEMONIC_MOVSQ, ACCESS_MOVE_STRING},
		{ZYDIS_MNEMONIC_STOSB, ACCESS_STORE_STRING},
		{ZYDIS_MNEMONIC_STOSW, ACCESS_STORE_STRING},
		{ZYDIS_MNEMONIC_STOSD, ACCESS_STORE_STRING},
		{ZYDIS_MNEMONIC_STOSQ, ACCESS_STORE_STRING},
		{ZYDIS_MNEMONIC_INSB, ACCESS_IN_STRING},
		{ZYDIS_MNEMONIC_INSW, ACCESS_IN_STRING},
		{ZYDIS_MNEMONIC_INSD, ACCESS_IN_STRING},
		{ZYDIS_MNEMONIC_OUTSB, ACCESS_OUT_STRING},
		{ZYDIS_MNEMONIC_OUTSW, ACCESS_OUT_STRING},
		{ZYDIS_MNEMONIC_OUTSD, ACCESS_OUT_STRING},
	};
	const ZydisDecodedOperand *reg = &d->operand[0];

	if (reg->type != ZYDIS_OPERAND_TYPE_REGISTER)
		reg = &d->operand[1];
	/* MOVSD is a move of a vector's register too, MOV one of a segment's. */
	if (reg->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	    (ZydisRegisterGetClass(reg->reg.value) == ZYDIS_REGCLASS_XMM ||
	     ZydisRegisterGetClass(reg->reg.value) == ZYDIS_REGCLASS_SEGMENT))
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(ops); i++) {
		if (ops[i].mnemonic == d->instruction.mnemonic) {
			*ret_op = ops[i].op;
			return find_memory(d, true) || find_memory(d, false);
		}
	}
	return false;
}

static unsigned number_of(ZydisRegister reg)
{
	if (reg == ZYDIS_REGISTER_NONE)
		return ACCESS_NO_REGISTER;
	if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return ACCESS_RIP;
	return (unsigned)ZydisRegisterGetId(reg);
}

/* In long mode only FS and GS are told apart from the others. */
static void compare_segment(ZydisRegister segment, const struct access *a, unsigned code_bits)
{
	unsigned theirs = (unsigned)(segment - ZYDIS_REGISTER_ES);

	if (code_bits == 64 && a->segment < ACCESS_FS)
		must(theirs < ACCESS_FS);
	else
		must(theirs == a->segment);
}

static void compare_register(const ZydisDecodedOperand *operand, const struct access *a)
{
	ZydisRegister reg = operand->reg.value;
	bool high = reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH;

	must(operand->size == 8 * (a->write ? a->bytes : a->wide));
	must(high == a->high);
	/* Of bytes without REX the identifiers go on behind the second bytes. */
	if (high)
		must((unsigned)(reg - ZYDIS_REGISTER_AH) == a->reg);
	else if (operand->size == 8)
		must((unsigned)(reg <= ZYDIS_REGISTER_BL ? reg - ZYDIS_REGISTER_AL
							 : reg - ZYDIS_REGISTER_SPL + 4) == a->reg);
	else
		must(number_of(reg) == a->reg);
}

/* Without a base but with REX.B and addresses of 32 bits Zydis 4.0 tells of r13, or none of the
 * displacement. */
static bool is_told_wrong(const ZydisDecodedInstruction *i)
{
	return i->machine_mode == ZYDIS_MACHINE_MODE_LONG_64 && i->address_width == 32 &&
	       i->raw.rex.B && i->raw.modrm.mod == 0 && i->raw.modrm.rm == 4 &&
	       i->raw.sib.base == 5;
}

static void compare_address(const struct decoded *d, const ZydisDecodedOperandMem *memory,
			    const struct access *a)
{
	uint64_t theirs = (uint64_t)memory->disp.value;

	if (is_told_wrong(&d->instruction))
		return;
	must(number_of(memory->base) == a->base && number_of(memory->index) == a->index);
	must(a->index == ACCESS_NO_REGISTER || a->address == 2 || memory->scale == 1u << a->scale);
	must(((theirs ^ (uint64_t)a->displacement) & access_mask(a->address)) == 0);
}

static void compare_move(const struct decoded *d, const struct access *a, unsigned code_bits)
{
	const ZydisDecodedOperand *memory = find_memory(d, a->write);
	const ZydisDecodedOperand *constant =
		find_operand(d, ZYDIS_OPERAND_TYPE_IMMEDIATE, ZYDIS_OPERAND_ACTION_READ);
	const ZydisDecodedOperand *reg =
		find_operand(d, ZYDIS_OPERAND_TYPE_REGISTER,
			     a->write ? ZYDIS_OPERAND_ACTION_READ : ZYDIS_OPERAND_ACTION_WRITE);
	uint64_t general[16] = {0};

	must(memory && memory->size == 8u * a->bytes);
	compare_segment(memory->mem.segment, a, code_bits);
	compare_address(d, &memory->mem, a);
	must((constant != NULL) == a->constant && (reg != NULL) == !a->constant);
	if (reg)
		compare_register(reg, a);
	else
		must((constant->imm.value.u & access_mask(a->bytes)) == access_stored(a, general));
	must(a->write || a->sign == (d->instruction.mnemonic == ZYDIS_MNEMONIC_MOVSX));
}

static void compare_string(const struct decoded *d, const struct access *a, unsigned code_bits)
{
	const ZydisDecodedOperand *to = find_memory(d, true), *from = find_memory(d, false);
	bool repeat = false;

	for (unsigned i = 0; i < d->instruction.raw.prefix_count; i++)
		repeat |= (d->instruction.raw.prefixes[i].value & 0xFE) == 0xF2;
	must(a->repeat == repeat);
	must((to != NULL) == a->write);
	must(!to || (to->size == 8u * a->bytes && to->mem.segment == ZYDIS_REGISTER_ES));
	must((from != NULL) == (a->op == ACCESS_MOVE_STRING || a->op == ACCESS_OUT_STRING));
	if (!from)
		return;
	must(from->size == 8u * a->bytes);
	compare_segment(from->mem.segment, a, code_bits);
}

static void compare(const uint8_t *code, size_t len, unsigned code_bits)
{
	struct access a = access_decode(code, len, code_bits);
	struct decoded d;
	enum access_op op;

	if (!decode(code, len, code_bits, &d) || !find_op(&d, &op)) {
		must(!a.len);
		return;
	}
	must(a.len == d.instruction.length && a.op == op);
	must(8u * a.address == d.instruction.address_width);
	if (op == ACCESS_MOVE)
		compare_move(&d, &a, code_bits);
	else
		compare_string(&d, &a, code_bits);
}

/* Three bytes choose prefixes and an opcode of those that are known; the others follow it. */
static size_t compose(const uint8_t *data, size_t size, uint8_t *ret_code)
{
	static const uint8_t prefixes[] = {0x26, 0x2E, 0x36, 0x3E, 0x64,
					   0x65, 0x66, 0x67, 0xF2, 0xF3};
	static const uint8_t opcodes[] = {0x6C, 0x6E, 0x88, 0x8A, 0xA0, 0xA2,
					  0xA4, 0xAA, 0xC6, 0xB6, 0xBE};
	const unsigned picks[] = {data[0] & 0xFu, data[0] >> 4};
	unsigned opcode = (data[2] >> 1) % ARRAY_LEN(opcodes);
	size_t len = 0;

	for (unsigned i = 0; i < ARRAY_LEN(picks); i++) {
		if (picks[i] < ARRAY_LEN(prefixes))
			ret_code[len++] = prefixes[picks[i]];
	}
	if (data[1] & 0x80)
		ret_code[len++] = 0x40 | (data[1] & 0xFu);
	if (opcode >= ARRAY_LEN(opcodes) - 2)
		ret_code[len++] = 0x0F;
	ret_code[len++] = opcodes[opcode] | (data[2] & 1);
	size = min_u64(size - CHOICES, CODE_MAX - len);
	memcpy(ret_code + len, data + CHOICES, size);
	return len + size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t code[CODE_MAX];

	if (!size)
		return 0;
	if ((data[0] & COMPOSED) && size > CHOICES)
		compare(code, compose(data + 1, size - 1, code), 16u << data[0] % 3);
	else
		compare(data + 1, size - 1, 16u << data[0] % 3);
	return 0;
}
