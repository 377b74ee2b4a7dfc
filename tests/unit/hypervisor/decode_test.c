/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loads and stores of every form: how long they are, and what they do to the registers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "hypervisor/decode.h"

#define HIGH 0x100u /* of `reg`: its second byte */

struct known {
	uint8_t code[15];
	unsigned bits, len;
	bool write;
	unsigned bytes, wide, reg;
};

static const struct known known[] = {
	{{0x89, 0x07}, 64, 2, true, 4, 4, 0},                               /* mov %eax,(%rdi) */
	{{0x44, 0x89, 0x0f}, 64, 3, true, 4, 4, 9},                         /* mov %r9d,(%rdi) */
	{{0x48, 0x89, 0x07}, 64, 3, true, 8, 8, 0},                         /* mov %rax,(%rdi) */
	{{0x66, 0x89, 0x07}, 64, 3, true, 2, 2, 0},                         /* mov %ax,(%rdi) */
	{{0x88, 0x07}, 64, 2, true, 1, 1, 0},                               /* mov %al,(%rdi) */
	{{0x88, 0x27}, 64, 2, true, 1, 1, 0 | HIGH},                        /* mov %ah,(%rdi) */
	{{0x40, 0x88, 0x37}, 64, 3, true, 1, 1, 6},                         /* mov %sil,(%rdi) */
	{{0x89, 0x87, 0, 0xc0, 0x5f, 0xff}, 64, 6, true, 4, 4, 0},          /* ...(%rdi) */
	{{0x89, 0x04, 0x25, 0x80, 0xb0, 0x5f, 0xff}, 64, 7, true, 4, 4, 0}, /* absolute */
	{{0x89, 0x05, 1, 2, 3, 4}, 64, 6, true, 4, 4, 0},                   /* (%rip) */
	{{0x41, 0x89, 0x54, 0x24, 0x10}, 64, 5, true, 4, 4, 2},             /* 16(%r12) */
	{{0x67, 0x8b, 0x07}, 64, 3, false, 4, 4, 0},                        /* mov (%edi),%eax */
	{{0x65, 0x8b, 0x47, 0x20}, 64, 4, false, 4, 4, 0},       /* mov %gs:32(%rdi),%eax */
	{{0x8a, 0x1f}, 64, 2, false, 1, 1, 3},                   /* mov (%rdi),%bl */
	{{0xa1, 1, 2, 3, 4, 5, 6, 7, 8}, 64, 9, false, 4, 4, 0}, /* movabs */
	{{0xa2, 1, 2, 3, 4}, 32, 5, true, 1, 1, 0},
	{{0x0f, 0xb6, 0x07}, 64, 3, false, 1, 4, 0},       /* movzbl (%rdi),%eax */
	{{0x0f, 0xb7, 0x07}, 64, 3, false, 2, 4, 0},       /* movzwl (%rdi),%eax */
	{{0x48, 0x0f, 0xbe, 0x07}, 64, 4, false, 1, 8, 0}, /* movsbq (%rdi),%rax */
	{{0x66, 0x0f, 0xbe, 0x27}, 64, 4, false, 1, 2, 4}, /* movsbw (%rdi),%sp */
	{{0x8b, 0x0d, 0xb0, 0, 0xe0, 0xfe}, 32, 6, false, 4, 4, 1},
	{{0x8b, 0x07}, 16, 2, false, 2, 2, 0},                   /* mov (%bx),%ax */
	{{0x8b, 0x0e, 1, 2}, 16, 4, false, 2, 2, 1},             /* mov 0x201,%cx */
	{{0x66, 0x8b, 0x44, 0x10}, 16, 4, false, 4, 4, 0},       /* mov 16(%si),%eax */
	{{0x67, 0x66, 0x8b, 0x04, 0x24}, 16, 5, false, 4, 4, 0}, /* mov (%esp),%eax */
	{{0xf3, 0x89, 0x07}, 64, 3, true, 4, 4, 0},       /* a repetition that means nothing */
	{{0x4f, 0x66, 0x89, 0x07}, 64, 4, true, 2, 2, 0}, /* nor do REX but the last */
	{{0x4f, 0x41, 0x8a, 0x27}, 64, 4, false, 1, 1, 4},
};

static void loads_and_stores_are_told_apart_with_their_lengths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		const struct known *k = &known[i];
		struct access a = access_decode(k->code, sizeof(k->code), k->bits);

		assert_int_equal(a.len, k->len);
		assert_int_equal(a.write, k->write);
		assert_int_equal(a.bytes, k->bytes);
		assert_int_equal(a.wide, k->wide);
		assert_int_equal(a.reg | (a.high ? HIGH : 0), k->reg);
		assert_false(a.constant);
		/* Cut short it is none, and nothing behind it is read. */
		for (unsigned len = 0; len < a.len; len++) {
			uint8_t *cut = malloc(len ? len : 1);

			assert_non_null(cut);
			memcpy(cut, k->code, len);
			assert_int_equal(access_decode(cut, len, k->bits).len, 0);
			free(cut);
		}
	}
}

static const struct {
	uint8_t code[12];
	unsigned bits, len;
	struct access want;
} placed[] = {
	/* movb $0xfe,16(%rax,%rcx,4) */
	{{0xc6, 0x44, 0x88, 0x10, 0xfe},
	 64,
	 5,
	 {.write = true,
	  .constant = true,
	  .bytes = 1,
	  .value = 0xfe,
	  .segment = ACCESS_DS,
	  .base = 0,
	  .index = 1,
	  .scale = 2,
	  .displacement = 16}},
	/* mov -8(%rbp),%rdx */
	{{0x48, 0x8b, 0x55, 0xf8},
	 64,
	 4,
	 {.bytes = 8, .reg = 2, .segment = ACCESS_SS, .base = 5, .index = 16, .displacement = -8}},
	/* mov %fs:(%bx,%si),%al */
	{{0x64, 0x8a, 0x00}, 16, 3, {.bytes = 1, .segment = ACCESS_FS, .base = 3, .index = 6}},
	/* mov %r9,0x100(%rip): CS means nothing, and does not take GS away */
	{{0x65, 0x2e, 0x4c, 0x89, 0x0d, 0, 1, 0, 0},
	 64,
	 9,
	 {.write = true,
	  .bytes = 8,
	  .reg = 9,
	  .segment = ACCESS_GS,
	  .base = ACCESS_RIP,
	  .index = 16,
	  .displacement = 256}},
	/* rep movsl, rep insw, repne stosb, cs outsb, rex.w stos, rex.w outs */
	{{0xf3, 0xa5},
	 64,
	 2,
	 {.op = ACCESS_MOVE_STRING,
	  .write = true,
	  .bytes = 4,
	  .segment = ACCESS_DS,
	  .base = 16,
	  .index = 16,
	  .repeat = true}},
	{{0xf3, 0x6d},
	 16,
	 2,
	 {.op = ACCESS_IN_STRING,
	  .write = true,
	  .bytes = 2,
	  .segment = ACCESS_DS,
	  .base = 16,
	  .index = 16,
	  .repeat = true}},
	{{0xf2, 0xaa},
	 32,
	 2,
	 {.op = ACCESS_STORE_STRING,
	  .write = true,
	  .bytes = 1,
	  .segment = ACCESS_DS,
	  .base = 16,
	  .index = 16,
	  .repeat = true}},
	{{0x2e, 0x6e},
	 16,
	 2,
	 {.op = ACCESS_OUT_STRING, .bytes = 1, .segment = ACCESS_CS, .base = 16, .index = 16}},
	{{0x48, 0xab},
	 64,
	 2,
	 {.op = ACCESS_STORE_STRING,
	  .write = true,
	  .bytes = 8,
	  .segment = ACCESS_DS,
	  .base = 16,
	  .index = 16}},
	{{0x48, 0x6f},
	 64,
	 2,
	 {.op = ACCESS_OUT_STRING, .bytes = 4, .segment = ACCESS_DS, .base = 16, .index = 16}},
};

static void each_tells_what_it_does_and_where(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(placed); i++) {
		struct access a =
			access_decode(placed[i].code, sizeof(placed[i].code), placed[i].bits);
		const struct access *w = &placed[i].want;

		assert_int_equal(a.len, placed[i].len);
		assert_int_equal(a.op, w->op);
		assert_int_equal(a.write, w->write);
		assert_int_equal(a.constant, w->constant);
		assert_int_equal(a.bytes, w->bytes);
		assert_int_equal(a.reg, w->reg);
		assert_int_equal(a.value, w->value);
		assert_int_equal(a.repeat, w->repeat);
		assert_int_equal(a.segment, w->segment);
		assert_int_equal(a.base, w->base);
		assert_int_equal(a.index, w->index);
		assert_int_equal(a.scale, w->scale);
		assert_int_equal(a.displacement, w->displacement);
		for (unsigned len = 0; len < a.len; len++)
			assert_int_equal(access_decode(placed[i].code, len, placed[i].bits).len, 0);
	}
}

static void constants_are_stored_as_wide_as_memory(void **state)
{
	static const struct {
		uint8_t code[12];
		unsigned len, bytes;
		uint64_t value;
	} c[] = {
		{{0xc7, 0x07, 1, 2, 3, 4}, 6, 4, 0x04030201},
		{{0xc7, 0x04, 0x25, 0xb0, 0xb0, 0x5f, 0xff, 0, 0, 0, 0x80}, 11, 4, 0x80000000},
		{{0x48, 0xc7, 0x07, 0xfe, 0xff, 0xff, 0xff}, 7, 8, UINT64_MAX - 1},
		{{0x66, 0xc7, 0x07, 0xfe, 0xff}, 5, 2, 0xfffe},
		{{0xc6, 0x07, 0xfe}, 3, 1, 0xfe},
	};
	const uint64_t general[16] = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(c); i++) {
		struct access a = access_decode(c[i].code, sizeof(c[i].code), 64);

		assert_int_equal(a.len, c[i].len);
		assert_int_equal(a.bytes, c[i].bytes);
		assert_int_equal(access_stored(&a, general), c[i].value);
		assert_int_equal(access_decode(c[i].code, a.len - 1, 64).len, 0);
	}
}

static void other_instructions_are_not_known(void **state)
{
	static const uint8_t other[][4] = {
		{0x89, 0xc8},             /* between registers */
		{0xf0, 0x89, 0x07},       /* it cannot be locked */
		{0xf0, 0xab},             /* nor can STOS */
		{0x01, 0x07},             /* those that change flags */
		{0x87, 0x07},             /* xchg */
		{0xa7},                   /* cmps */
		{0xad},                   /* lods */
		{0xf7, 0x27},             /* mul */
		{0x0f, 0x10, 0x07},       /* movups */
		{0x0f, 0xb1, 0x07},       /* cmpxchg */
		{0x0f, 0xba, 0x07, 0x01}, /* 0F BA /0 */
		{0xc7, 0x4f, 0x10, 0x00}, /* C7 /1 */
		{0xc6, 0x27, 0x10, 0x00}, /* C6 /4 */
		{0x0f, 0x05},
		{0x66, 0x66, 0x66, 0x66},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(other); i++)
		assert_int_equal(access_decode(other[i], 4, 64).len, 0);
}

static uint64_t loaded(struct access a, uint64_t before, uint64_t value)
{
	uint64_t general[16] = {before};

	access_load(&a, general, value);
	return general[0];
}

static void registers_are_filled_as_wide_as_the_instruction_says(void **state)
{
	const uint64_t old = UINT64_C(0x1122334455667788), v = UINT64_C(0xa1a2a3a4a5a6a7a8);

	(void)state;
	assert_int_equal(loaded((struct access){.bytes = 1, .wide = 1}, old, v),
			 0x11223344556677a8);
	assert_int_equal(loaded((struct access){.bytes = 1, .wide = 1, .high = true}, old, v),
			 0x112233445566a888);
	assert_int_equal(loaded((struct access){.bytes = 2, .wide = 2}, old, v),
			 0x112233445566a7a8);
	assert_int_equal(loaded((struct access){.bytes = 4, .wide = 4}, old, v), 0xa5a6a7a8);
	assert_int_equal(loaded((struct access){.bytes = 8, .wide = 8}, old, v), v);
	assert_int_equal(loaded((struct access){.bytes = 1, .wide = 4}, old, v), 0xa8);
	assert_int_equal(loaded((struct access){.bytes = 1, .wide = 8, .sign = true}, old, v),
			 UINT64_C(0xffffffffffffffa8));
	assert_int_equal(loaded((struct access){.bytes = 2, .wide = 4, .sign = true}, old, v),
			 0xffffa7a8);
}

static void what_is_stored_is_of_the_register(void **state)
{
	const uint64_t general[16] = {UINT64_C(0x1122334455667788)};

	(void)state;
	assert_int_equal(access_stored(&(struct access){.bytes = 1}, general), 0x88);
	assert_int_equal(access_stored(&(struct access){.bytes = 1, .high = true}, general), 0x77);
	assert_int_equal(access_stored(&(struct access){.bytes = 4}, general), 0x55667788);
	assert_int_equal(access_stored(&(struct access){.bytes = 8}, general), general[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_and_stores_are_told_apart_with_their_lengths),
		cmocka_unit_test(each_tells_what_it_does_and_where),
		cmocka_unit_test(constants_are_stored_as_wide_as_memory),
		cmocka_unit_test(other_instructions_are_not_known),
		cmocka_unit_test(registers_are_filled_as_wide_as_the_instruction_says),
		cmocka_unit_test(what_is_stored_is_of_the_register),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
