/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC by its memory window or by MSRs, start of a processor, routes of the IOAPIC. */
#include "abi/machine.h"
#include "tests/system/guest/guest.h"

#define MSR_APIC_BASE 0x1bu
#define APIC_BASE_X2APIC (1u << 10)
#define MSR_X2APIC 0x800u
#define MSR_X2APIC_ICR 0x830u
#define APIC_ID 0x20u
#define APIC_EOI 0xB0u
#define APIC_SPURIOUS 0xF0u
#define APIC_ICR_LOW 0x300u
#define APIC_ICR_HIGH 0x310u
#define SPURIOUS_ENABLE 0x1FFu
#define ICR_INIT 0x4500u
#define ICR_STARTUP 0x4600u
#define ICR_FIXED 0x4000u

#define IOAPIC_SELECT MACHINE_IOAPIC_BASE
#define IOAPIC_WINDOW (MACHINE_IOAPIC_BASE + 0x10)
#define IOAPIC_ENTRIES 0x10u
#define IOAPIC_LEVEL (1u << 15)

static bool x2apic;

static void apic_write(uint32_t offset, uint32_t value)
{
	if (x2apic)
		msr_write(MSR_X2APIC + offset / 16, value);
	else
		mmio_write32(MACHINE_LAPIC_BASE + offset, value);
}

void apic_use_x2apic(void)
{
	msr_write(MSR_APIC_BASE, msr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
	x2apic = true;
}

void apic_enable(void)
{
	apic_write(APIC_SPURIOUS, SPURIOUS_ENABLE);
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

uint32_t apic_id(void)
{
	if (x2apic)
		return (uint32_t)msr(MSR_X2APIC + APIC_ID / 16);
	return mmio_read32(MACHINE_LAPIC_BASE + APIC_ID) >> 24;
}

static void send(uint32_t id, uint32_t command)
{
	if (x2apic) {
		msr_write(MSR_X2APIC_ICR, (uint64_t)id << 32 | command);
		return;
	}
	apic_write(APIC_ICR_HIGH, id << 24);
	apic_write(APIC_ICR_LOW, command);
}

void apic_send(uint32_t id, uint8_t vector)
{
	send(id, ICR_FIXED | vector);
}

void apic_start_processor(uint32_t id, uint8_t page)
{
	uint64_t until = reference_time() + UNITS_PER_S / 100;

	send(id, ICR_INIT);
	while (reference_time() < until)
		;
	send(id, ICR_STARTUP | page);
}

void ioapic_route(unsigned pin, uint8_t vector, bool level)
{
	mmio_write32(IOAPIC_SELECT, IOAPIC_ENTRIES + 2 * pin + 1);
	mmio_write32(IOAPIC_WINDOW, 0); /* to the first processor */
	mmio_write32(IOAPIC_SELECT, IOAPIC_ENTRIES + 2 * pin);
	mmio_write32(IOAPIC_WINDOW, vector | (level ? IOAPIC_LEVEL : 0));
}
