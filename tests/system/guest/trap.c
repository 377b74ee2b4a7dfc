/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts and exceptions. A #GP of the two MSR instructions in start.S is an answer; every
 * other exception is the end of the test.
 */
#include "tests/system/guest/guest.h"

#define VECTOR_NMI 2u
#define VECTOR_GP 13u
#define VECTOR_FIRST_INTERRUPT 32u
#define CODE_SELECTOR 0x10u
#define GATE_INTERRUPT 0x8Eu

struct gate {
	uint16_t low, selector;
	uint8_t ist, type;
	uint16_t middle;
	uint32_t high, reserved;
};

struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

extern const uint8_t trap_entries[256][16];
extern const uint8_t msr_read_at[], msr_write_at[], msr_faulted[], user_gate[], user_return[];

static struct gate gates[256];
static void (*handlers[256])(void);
volatile uint64_t trap_count[256];

void trap_dispatch(struct trap_frame *f);

void trap_dispatch(struct trap_frame *f)
{
	__atomic_fetch_add(&trap_count[f->vector & 0xff], 1, __ATOMIC_SEQ_CST);
	if (f->vector == VECTOR_GP &&
	    (f->rip == (uintptr_t)msr_read_at || f->rip == (uintptr_t)msr_write_at)) {
		f->rip = (uintptr_t)msr_faulted;
		return;
	}
	if (f->vector == VECTOR_GP && f->rip == (uintptr_t)user_gate) {
		user_asked();
		f->rip = (uintptr_t)user_return;
		return;
	}
	if (f->vector < VECTOR_FIRST_INTERRUPT && f->vector != VECTOR_NMI) {
		uint64_t cr2;

		__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
		print("FAIL exception %u, error %x, rip %x, cr2 %x\n", f->vector, f->error, f->rip,
		      cr2);
		power_off();
	}
	if (handlers[f->vector & 0xff])
		handlers[f->vector & 0xff]();
	if (f->vector >= VECTOR_FIRST_INTERRUPT)
		apic_eoi();
}

void trap_handle(uint8_t vector, void (*fn)(void))
{
	handlers[vector] = fn;
}

void trap_load(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) table = {sizeof(gates) - 1, (uintptr_t)gates};

	__asm__ volatile("lidt %0" : : "m"(table));
}

void trap_init(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint64_t at = (uintptr_t)trap_entries[i];

		gates[i] = (struct gate){
			.low = (uint16_t)at,
			.selector = CODE_SELECTOR,
			.type = GATE_INTERRUPT,
			.middle = (uint16_t)(at >> 16),
			.high = (uint32_t)(at >> 32),
		};
	}
	trap_load();
}
