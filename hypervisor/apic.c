/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/apic.h"

#include <stddef.h>

#include "base/util.h"
#include "hypervisor/cpu.h"
#include "hypervisor/log.h"
#include "hypervisor/memory.h"
#include "hypervisor/virt.h"
#include "hypervisor/x86.h"

#define REGISTER_ID 0x20u
#define REGISTER_PRIORITY 0x80u
#define REGISTER_END 0xB0u
#define REGISTER_SPURIOUS 0xF0u
#define SPURIOUS_VECTOR 0xFFu
#define SPURIOUS_ENABLED (1u << 8)
#define REGISTER_LVT_TIMER 0x320u
#define REGISTER_LVT_0 0x350u
#define REGISTER_LVT_1 0x360u
#define REGISTER_TIMER_COUNT 0x380u
#define LVT_MASKED (1u << 16)
#define X2APIC_FIRST 0x800u
#define REGISTER_ICR_LOW 0x300u
#define REGISTER_ICR_HIGH 0x310u
#define APIC_BASE_X2 (1u << 10)
#define APIC_BASE_ADDRESS UINT64_C(0x000FFFFFFFFFF000)
#define ICR_PENDING (1u << 12)
#define ICR_LEVEL_ASSERT (1u << 14)
#define ICR_LEVEL_TRIGGERED (1u << 15)
#define ICR_LOGICAL (1u << 11)
#define ICR_MODE(icr) ((uint32_t)(icr) >> 8 & 7)
#define ICR_SHORTHAND(icr) ((uint32_t)(icr) >> 18 & 3)
#define MODE_NMI 4u
#define MODE_INIT 5u
#define MODE_STARTUP 6u
#define SHORTHAND_SELF 1u
#define SHORTHAND_ALL 2u
#define SHORTHAND_OTHERS 3u
#define BROADCAST 0xFFu /* not in x2APIC mode, where all have a number of 32 bits */
#define PENDING_TRIES 1000000u

static volatile uint32_t *reg(uint32_t offset)
{
	return physical_to_pointer(APIC_PAGE + offset);
}

static bool is_x2(void)
{
	return x86_rdmsr(MSR_APIC_BASE) & APIC_BASE_X2;
}

uint32_t apic_id(void)
{
	return is_x2() ? (uint32_t)x86_rdmsr(X2APIC_FIRST + REGISTER_ID / 16)
		       : *reg(REGISTER_ID) >> 24;
}

/* Our own commands leave the parent's upper half as it was: it may be between its two writes. */
static void send(uint32_t apic, uint32_t command)
{
	uint32_t high;

	if (is_x2()) {
		x86_wrmsr(MSR_X2APIC_ICR, (uint64_t)apic << 32 | command);
		return;
	}
	high = *reg(REGISTER_ICR_HIGH);
	for (unsigned i = 0; i < PENDING_TRIES && (*reg(REGISTER_ICR_LOW) & ICR_PENDING); i++)
		x86_pause();
	*reg(REGISTER_ICR_HIGH) = apic << 24;
	*reg(REGISTER_ICR_LOW) = command;
	for (unsigned i = 0; i < PENDING_TRIES && (*reg(REGISTER_ICR_LOW) & ICR_PENDING); i++)
		x86_pause();
	*reg(REGISTER_ICR_HIGH) = high;
}

void apic_init(uint32_t apic)
{
	send(apic, MODE_INIT << 8 | ICR_LEVEL_ASSERT);
}

void apic_start(uint32_t apic, uint8_t page)
{
	apic_init(apic);
	send(apic, MODE_STARTUP << 8 | ICR_LEVEL_ASSERT | page);
}

void apic_nmi(uint32_t apic)
{
	send(apic, MODE_NMI << 8 | ICR_LEVEL_ASSERT);
}

void apic_interrupt(uint32_t apic, uint8_t vector)
{
	send(apic, ICR_LEVEL_ASSERT | vector);
}

static void write_own(uint32_t offset, uint32_t value)
{
	if (is_x2())
		x86_wrmsr(X2APIC_FIRST + offset / 16, value);
	else
		*reg(offset) = value;
}

void apic_quiet(void)
{
	static const uint32_t local[] = {REGISTER_LVT_TIMER, REGISTER_LVT_0, REGISTER_LVT_1};

	for (size_t i = 0; i < ARRAY_LEN(local); i++)
		write_own(local[i], LVT_MASKED);
	write_own(REGISTER_TIMER_COUNT, 0);
	write_own(REGISTER_PRIORITY, 0);
	/* One that is switched off keeps what waits. */
	write_own(REGISTER_SPURIOUS, SPURIOUS_VECTOR | SPURIOUS_ENABLED);
	virt->take_all();
	write_own(REGISTER_SPURIOUS, SPURIOUS_VECTOR);
}

void apic_end_interrupt(void)
{
	write_own(REGISTER_END, 0);
}

static void command_one(uint32_t apic, uint64_t icr)
{
	if (ICR_MODE(icr) == MODE_INIT)
		cpu_take_init(apic);
	else
		cpu_take_sipi(apic, (uint8_t)icr);
}

static bool is_for_others(uint64_t icr, uint32_t apic)
{
	uint32_t shorthand = ICR_SHORTHAND(icr);

	return shorthand == SHORTHAND_OTHERS || shorthand == SHORTHAND_ALL ||
	       (shorthand == 0 && apic == BROADCAST && !is_x2());
}

/* Told once: there is no end to how many come. */
static void drop_logical(void)
{
	static bool told; /* atomic */

	if (!__atomic_test_and_set(&told, __ATOMIC_RELAXED))
		log_line("INITs and SIPIs of the parent to logical destinations are dropped");
}

/* True when the command is one that must not go out; then it has been carried out here. */
static bool take_command(uint64_t icr, uint32_t apic)
{
	uint32_t mode = ICR_MODE(icr);

	if (mode != MODE_INIT && mode != MODE_STARTUP)
		return false;
	/* The INIT that only synchronises arbitration does nothing on any processor of ours. */
	if (mode == MODE_INIT && (icr & ICR_LEVEL_TRIGGERED) && !(icr & ICR_LEVEL_ASSERT))
		return true;
	if (is_for_others(icr, apic)) {
		for (uint32_t i = 0; i < CPU_MAX; i++) {
			if (cpu_find(i) && cpu_find(i) != cpu_this())
				command_one(i, icr);
		}
	} else if (ICR_SHORTHAND(icr) == SHORTHAND_SELF) {
		return true; /* no processor does either to itself */
	} else if (icr & ICR_LOGICAL) {
		drop_logical();
	} else {
		command_one(apic, icr);
	}
	return true;
}

bool apic_base_allowed(uint64_t value)
{
	return (value & APIC_BASE_ADDRESS) == APIC_PAGE;
}

void apic_write(uint32_t offset, uint32_t value)
{
	if (offset == REGISTER_ICR_LOW && take_command(value, *reg(REGISTER_ICR_HIGH) >> 24))
		return;
	*reg(offset) = value;
}

void apic_write_icr(uint64_t value)
{
	if (!take_command(value, (uint32_t)(value >> 32)))
		x86_wrmsr(MSR_X2APIC_ICR, value);
}
