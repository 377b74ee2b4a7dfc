/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tiny guest that tries the machine from within: what all its files share.
 *
 * Role: the worker loads it as a kernel; the word test= of its command line picks one test. It
 * tells PASS or FAIL on the serial port and powers off. tests/system/run.py starts it, and looks
 * at the VM from outside meanwhile.
 * Threads: the first processor runs the test; interrupts only note what came. The second one runs
 * in the test of several processors only.
 */
#ifndef OYA_TESTS_SYSTEM_GUEST_GUEST_H
#define OYA_TESTS_SYSTEM_GUEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096u
#define UNITS_PER_S UINT64_C(10000000)  /* of the reference counter */
#define GPA_NOWHERE (UINT64_C(1) << 40) /* no RAM there */

/* A test returns NULL, or why it failed. */
#define REQUIRE(condition, why)     \
	do {                        \
		if (!(condition))   \
			return why; \
	} while (0)

const char *test_hello(void);
const char *test_cpuid(void);
const char *test_features(void);
const char *test_identity(void);
const char *test_hypercalls(void);
const char *test_clock(void);
const char *test_msr(void);
const char *test_crash(void);
const char *test_random(void);
const char *test_synic(void);
const char *test_contact(void);
const char *test_heartbeat(void);
const char *test_shutdown(void);
const char *test_kick(void);
const char *test_cost(void);
const char *test_storm(void);
const char *test_idle(void);
const char *test_disk(void);
const char *test_disk_read_only(void);
const char *test_disk_load(void);
const char *test_disk_count(void);
const char *test_disk_churn(void);
const char *test_wild_ring(void);
const char *test_smp(void);
const char *test_x2apic(void);
const char *test_count(void);
const char *test_rtc(void);
const char *test_echo(void);
const char *test_serial(void);
const char *test_flood(void);
const char *test_nmi(void);
const char *test_reset(void);
const char *test_ticks(void);
const char *test_triple(void);
const char *test_halted(void);
const char *test_blind(void);
const char *test_recall(void);

/* ---- the processor ---- */

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t in32(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t mmio_read32(uint64_t at)
{
	uint32_t value;

	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(at) : "memory");
	return value;
}

static inline void mmio_write32(uint64_t at, uint32_t value)
{
	__asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(at) : "memory");
}

static inline uint64_t tsc_read(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf)
{
	struct cpuid c;

	__asm__ volatile("cpuid"
			 : "=a"(c.eax), "=b"(c.ebx), "=c"(c.ecx), "=d"(c.edx)
			 : "a"(leaf), "c"(0));
	return c;
}

static inline void interrupts_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}

static inline void interrupts_on(void)
{
	__asm__ volatile("sti" : : : "memory");
}

/* Waits for an interrupt; call with interrupts off, and they are off again afterwards. */
static inline void interrupt_wait(void)
{
	__asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
}

/* start.S: 0, or -1 when the processor answered with #GP. */
int msr_read(uint32_t msr, uint64_t *ret_value);
int msr_write(uint32_t msr, uint64_t value);

/* The value of an MSR that is known to be there; else all ones. */
static inline uint64_t msr(uint32_t number)
{
	uint64_t value = UINT64_MAX;

	msr_read(number, &value);
	return value;
}

/* ---- text.c ---- */

/* %s text, %u decimal, %x hexadecimal; numbers are uint64_t. */
void print(const char *format, ...);

/* The value of NAME=VALUE on the command line, up to the next space, or NULL. */
const char *argument(const char *name);
bool word_equal(const char *word, const char *with); /* word ends with a space or the text */

extern const uint8_t *zero_page;

/* ---- trap.c ---- */

void trap_init(void);
void trap_load(void); /* on a further processor */

/* fn runs with interrupts off, before the end of interrupt is told. NULL: count only. */
void trap_handle(uint8_t vector, void (*fn)(void));
extern volatile uint64_t trap_count[256];

/* ---- user.c ---- */

/* Goes on in ring 3 with interrupts off: what runs there is native where ring 0 is emulated. All
 * memory may be used. fn must not return. */
void user_enter(void (*fn)(void)) __attribute__((noreturn));
/* From ring 3: fn(a, b) in ring 0. */
uint64_t user_ask(uint64_t (*fn)(uint64_t a, uint64_t b), uint64_t a, uint64_t b);
void user_asked(void); /* by trap.c */

/* ---- apic.c ---- */

void apic_enable(void); /* of this processor */
void apic_eoi(void);
uint32_t apic_id(void);
void apic_start_processor(uint32_t id, uint8_t page);
void apic_use_x2apic(void); /* instead of the memory window; of all later calls */
void apic_send(uint32_t id, uint8_t vector);
void ioapic_route(unsigned pin, uint8_t vector, bool level);

/* ---- smp.c ---- */

bool smp_start(void); /* the second processor; false when it does not come within 3 s */
/* What the second processor does once an interrupt has woken it; NULL: wait for more. */
extern void (*volatile second_work)(void);
#define BLIND_WAKE_VECTOR 0x43u

/* ---- chipset.c ---- */

void console_input_on(void); /* by interrupt */
/* Whether a key has come since, and was not read. */
bool console_has_input(void);
uint8_t console_read(void); /* waits */
bool console_pending(void);
void power_off(void) __attribute__((noreturn));

/* ---- hv.c ---- */

void hv_identify(void); /* operating system's identity and hypercall page */
uint64_t hypercall(uint64_t control, uint64_t input);
uint64_t reference_time(void);
uint64_t random(void); /* the same numbers in each run, but for seed= */

#endif
