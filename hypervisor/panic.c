/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Invariants: nothing here waits for another processor or for a lock without an end; who panics
 * second, or in here, only stops.
 */
#include "hypervisor/panic.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "hypervisor/apic.h"
#include "hypervisor/cpu.h"
#include "hypervisor/log.h"
#include "hypervisor/memory.h"
#include "hypervisor/x86.h"

#define RESET_PORT 0xCF9u
#define RESET_NOW 0x06u
#define KEYBOARD_PORT 0x64u
#define KEYBOARD_RESET 0xFEu
#define CLOCK_INDEX 0x70u
#define CLOCK_VALUE 0x71u
#define CLOCK_TRIES 10000000u
#define SECONDS_SHOWN 10u
#define SCREEN_AT 0xB8000u
#define WHITE_ON_RED 0x4F00u

#define RECORD_AT 2048u /* in its page */
#define RECORD_MAGIC UINT64_C(0x63696E6150617941)
#define RECORD_TEXT 240u

struct record {
	uint64_t magic;
	uint32_t sum;
	char text[RECORD_TEXT];
};

static bool stopped; /* atomic */
static struct record *record;

bool panicked(void)
{
	return __atomic_load_n(&stopped, __ATOMIC_SEQ_CST);
}

static uint32_t sum(const struct record *r)
{
	uint32_t total = 1;

	for (size_t i = 0; i < sizeof(r->text); i++)
		total = total * 31 + (uint8_t)r->text[i];
	return total;
}

void panic_keep_in(uint32_t page)
{
	record = physical_to_pointer(page + RECORD_AT);
	if (record->magic == RECORD_MAGIC && record->sum == sum(record)) {
		record->text[RECORD_TEXT - 1] = '\0';
		log_line("the last start ended so: %s", record->text);
	}
	record->magic = 0;
}

static void show(const char *text)
{
	volatile uint16_t *screen = physical_to_pointer(SCREEN_AT);

	for (unsigned i = 0; text[i]; i++)
		screen[i] = (uint16_t)(WHITE_ON_RED | (uint8_t)text[i]);
}

static void stop_others(void)
{
	for (uint32_t i = 0; i < CPU_MAX; i++) {
		if (cpu_find(i) && cpu_find(i) != cpu_this())
			apic_nmi(i);
	}
}

/* By the machine's clock: nothing else here is of a known speed. */
static void wait_a_second(void)
{
	uint8_t now;

	x86_outb(CLOCK_INDEX, 0);
	now = x86_inb(CLOCK_VALUE);
	for (unsigned i = 0; i < CLOCK_TRIES && x86_inb(CLOCK_VALUE) == now; i++)
		x86_pause();
}

_Noreturn static void stop(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

_Noreturn void reset_machine(void)
{
	x86_outb(RESET_PORT, RESET_NOW);
	x86_outb(KEYBOARD_PORT, KEYBOARD_RESET);
	stop();
}

_Noreturn void panic(const char *format, ...)
{
	bool first = !__atomic_exchange_n(&stopped, true, __ATOMIC_SEQ_CST);
	char text[RECORD_TEXT];
	va_list list;

	va_start(list, format);
	log_last(text, sizeof(text), format, list);
	va_end(list);
	if (!first)
		stop();
	show(text);
	stop_others();
	if (record) {
		memcpy(record->text, text, sizeof(text));
		record->sum = sum(record);
		record->magic = RECORD_MAGIC;
	}
	for (unsigned i = 0; i < SECONDS_SHOWN; i++)
		wait_a_second();
	reset_machine();
}
