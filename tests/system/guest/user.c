/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ring 3: a GDT with its segments, a task state for the way back, page tables that let it in. The
 * way to ring 0 is an instruction that ring 3 must not do: the #GP is taken as a call (trap.c).
 * Ports go that way too: not every KVM lets ring 3 have them, whatever its level is.
 */
#include <string.h>

#include "tests/system/guest/guest.h"

#define USER_DATA 0x23u
#define USER_CODE 0x2Bu
#define TASK 0x30u
#define TASK_TYPE 0x89u
#define FLAGS_NONE 2u
#define PAGE_USER 4u
#define TABLE_ENTRIES 512u
#define PAGE_ADDRESS UINT64_C(0xffffffffff000)
#define PAGE_LARGE 0x80u
#define STACK_BYTES 16384u

static uint64_t gdt[8] = {
	0,
	0,
	0x00AF9B000000FFFF, /* 0x10: code and data of ring 0, as the loader has them */
	0x00CF93000000FFFF,
	0x00CFF3000000FFFF, /* 0x20: data of ring 3 */
	0x00AFFB000000FFFF,
};

static struct {
	uint32_t reserved;
	uint64_t rsp0;
	uint8_t rest[90];
	uint16_t io_map;
} __attribute__((packed)) task;

static uint8_t user_stack[STACK_BYTES] __attribute__((aligned(16)));
static uint8_t way_back[STACK_BYTES] __attribute__((aligned(16)));

void user_gate(void);

static struct {
	uint64_t (*fn)(uint64_t a, uint64_t b);
	uint64_t a, b, result;
} asked;

void user_asked(void)
{
	asked.result = asked.fn(asked.a, asked.b);
}

uint64_t user_ask(uint64_t (*fn)(uint64_t a, uint64_t b), uint64_t a, uint64_t b)
{
	asked.fn = fn;
	asked.a = a;
	asked.b = b;
	user_gate();
	return asked.result;
}

static void let_user_in(uint64_t *table, unsigned levels)
{
	for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
		if (!(table[i] & 1))
			continue;
		table[i] |= PAGE_USER;
		if (levels > 1 && !(table[i] & PAGE_LARGE))
			let_user_in((uint64_t *)(uintptr_t)(table[i] & PAGE_ADDRESS), levels - 1);
	}
}

void user_enter(void (*fn)(void))
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) table = {sizeof(gdt) - 1, (uintptr_t)gdt};
	uint64_t at = (uintptr_t)&task, cr3;

	task.rsp0 = (uintptr_t)way_back + sizeof(way_back);
	task.io_map = sizeof(task);
	gdt[6] = (at & 0xffffff) << 16 | (uint64_t)TASK_TYPE << 40 | (at >> 24 & 0xff) << 56 |
		 (sizeof(task) - 1);
	gdt[7] = at >> 32;
	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	let_user_in((uint64_t *)(uintptr_t)(cr3 & PAGE_ADDRESS), 3);
	__asm__ volatile("mov %0, %%cr3\n\tlgdt %1\n\tltr %w2"
			 :
			 : "r"(cr3), "m"(table), "r"(TASK)
			 : "memory");
	__asm__ volatile("pushq %0\n\tpushq %1\n\tpushq %2\n\tpushq %3\n\tpushq %4\n\tiretq"
			 :
			 : "r"((uint64_t)USER_DATA),
			   "r"((uint64_t)(uintptr_t)user_stack + sizeof(user_stack) - 8),
			   "r"((uint64_t)FLAGS_NONE), "r"((uint64_t)USER_CODE), "r"(fn)
			 : "memory");
	__builtin_unreachable();
}
