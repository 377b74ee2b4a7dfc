/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/iommu.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "abi/ivrs.h"
#include "base/util.h"
#include "hypervisor/cpu.h"
#include "hypervisor/ivrs.h"
#include "hypervisor/log.h"
#include "hypervisor/memory.h"
#include "hypervisor/panic.h"
#include "hypervisor/x86.h"

#define RING_ENTRIES (PAGE_BYTES / sizeof(struct iommu_ring_entry))
#define DOMAIN 1u
#define LEVELS 4u
#define WAIT_TRIES 100000000u
#define TOLD_ALWAYS 8u
#define NAME_OFFSET 0u
#define CHECKSUM_OFFSET 9u

static struct ivrs found;
static bool lock; /* atomic, of all below: see lock_take */
static struct {
	struct iommu_ring_entry *commands;
	volatile struct iommu_ring_entry *events;
	unsigned tail, event;
} units[IVRS_IOMMUS_MAX];
static volatile uint64_t done; /* written by an IOMMU */
static uint64_t waits;
static uint32_t faults;
static bool started;

static uint8_t *map(void *ctx, uint64_t physical, size_t len)
{
	(void)ctx;
	return range_within(physical, len, PHYSICAL_BYTES) ? physical_to_pointer(physical) : NULL;
}

/* The parent's kernel would program what is ours: the table has a name that it passes over. */
static void hide(uint8_t *table)
{
	static const char name[] = "OYAI";
	uint8_t more = 0;

	for (unsigned i = 0; i < 4; i++) {
		more = (uint8_t)(more + (uint8_t)name[i] - table[NAME_OFFSET + i]);
		table[NAME_OFFSET + i] = (uint8_t)name[i];
	}
	table[CHECKSUM_OFFSET] = (uint8_t)(table[CHECKSUM_OFFSET] - more);
}

uint64_t iommu_find(const struct boot_info *info)
{
	size_t len = 0;
	uint8_t *table = acpi_find(info->rsdp, info->rsdp_len, "IVRS", map, NULL, &len);
	int r = table ? ivrs_decode(table, len, &found) : 0;

	for (unsigned i = 0; r == 0 && i < found.count; i++) {
		if (!range_within(found.base[i], IOMMU_REGISTERS_BYTES, PHYSICAL_BYTES))
			r = -ERANGE;
	}
	if (r < 0) {
		log_line("the firmware's table of IOMMUs is not understood: error %u",
			 (unsigned)-r);
		found.count = 0;
	}
	if (!found.count) {
		log_line("no IOMMU protects from the devices of the parent");
		return 0;
	}
	hide(table);
	return IOMMU_DEVICES * sizeof(struct iommu_device);
}

unsigned iommu_count(void)
{
	return found.count;
}

uint64_t iommu_registers(unsigned i)
{
	return found.base[i];
}

static volatile uint64_t *reg(unsigned i, uint32_t offset)
{
	return physical_to_pointer(found.base[i] + offset);
}

static void command(unsigned i, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	units[i].commands[units[i].tail] = (struct iommu_ring_entry){{a, b, c, d}};
	units[i].tail = (units[i].tail + 1) % RING_ENTRIES;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	*reg(i, IOMMU_COMMANDS_TAIL) = units[i].tail * sizeof(struct iommu_ring_entry);
}

static void wait(unsigned i)
{
	uint64_t at = pointer_to_physical((const void *)(uintptr_t)&done);

	waits++;
	command(i, (uint32_t)at | IOMMU_WAIT_STORES, (uint32_t)(at >> 32) | IOMMU_COMMAND_WAIT,
		(uint32_t)waits, (uint32_t)(waits >> 32));
	for (unsigned n = 0; done != waits; n++) {
		if (n == WAIT_TRIES)
			panic("the IOMMU at %lx does not answer", found.base[i]);
		x86_pause();
	}
}

static void forget_pages(unsigned i)
{
	command(i, 0, DOMAIN | IOMMU_COMMAND_FORGET_PAGES, IOMMU_FORGET_ALL_LOW,
		IOMMU_FORGET_ALL_HIGH);
	wait(i);
}

void iommu_flush(void)
{
	if (!started)
		return;
	lock_take(&lock);
	for (unsigned i = 0; i < found.count; i++)
		forget_pages(i);
	lock_release(&lock);
}

static void switch_on_events(unsigned i, uint64_t control)
{
	*reg(i, IOMMU_CONTROL) = control & ~(uint64_t)IOMMU_CONTROL_EVENTS;
	*reg(i, IOMMU_EVENTS_HEAD) = 0;
	*reg(i, IOMMU_EVENTS_TAIL) = 0;
	*reg(i, IOMMU_STATUS) = IOMMU_STATUS_EVENTS_LOST;
	*reg(i, IOMMU_CONTROL) = control;
	units[i].event = 0;
}

static int start(unsigned i, uint64_t devices_at)
{
	const uint64_t table_pages = IOMMU_DEVICES * sizeof(struct iommu_device) / PAGE_BYTES;
	void *commands = pool_take(1), *events = pool_take(1);

	if (!commands || !events)
		return -ENOMEM;
	units[i].commands = commands;
	units[i].events = events;
	/* As the firmware leaves it: perhaps on, with an excluded range that all may reach. */
	*reg(i, IOMMU_CONTROL) = 0;
	*reg(i, IOMMU_EXCLUSION_BASE) = 0;
	*reg(i, IOMMU_EXCLUSION_LIMIT) = 0;
	*reg(i, IOMMU_DEVICE_TABLE) = devices_at | (table_pages - 1);
	*reg(i, IOMMU_COMMANDS) = pointer_to_physical(commands) | IOMMU_RING_256;
	*reg(i, IOMMU_EVENTS) = pointer_to_physical(events) | IOMMU_RING_256;
	*reg(i, IOMMU_COMMANDS_HEAD) = 0;
	*reg(i, IOMMU_COMMANDS_TAIL) = 0;
	switch_on_events(i, IOMMU_CONTROL_ON | IOMMU_CONTROL_COHERENT | IOMMU_CONTROL_COMMANDS |
				    IOMMU_CONTROL_EVENTS);
	for (uint32_t device = 0; device < IOMMU_DEVICES; device++) {
		command(i, device, IOMMU_COMMAND_FORGET_DEVICE, 0, 0);
		if (device % (RING_ENTRIES / 2) == 0)
			wait(i);
	}
	forget_pages(i);
	return 0;
}

int iommu_start(uint64_t devices_at, uint64_t tables)
{
	struct iommu_device *devices = physical_to_pointer(devices_at);
	int r = 0;

	if (!found.count)
		return 0;
	for (uint32_t i = 0; i < IOMMU_DEVICES; i++)
		devices[i] =
			(struct iommu_device){{IOMMU_DEVICE_VALID | IOMMU_DEVICE_TRANSLATED |
						       (uint64_t)LEVELS << IOMMU_NEXT_LEVEL_AT |
						       tables | IOMMU_READ | IOMMU_WRITE,
					       DOMAIN, 0, 0}};
	for (unsigned i = 0; r == 0 && i < found.count; i++)
		r = start(i, devices_at);
	started = r == 0;
	if (started)
		log_line("%u IOMMU keeps the parent's devices out of what is ours, from %lx on",
			 found.count, devices_at);
	return r;
}

/* The first few, then those whose number is a power of two: a device can go on for ever. */
static void tell(struct iommu_ring_entry e)
{
	faults++;
	if (faults > TOLD_ALWAYS && (faults & (faults - 1)))
		return;
	log_line("IOMMU: event %lx of device %lx at %lx, %u so far", (uint64_t)e.word[1] >> 28,
		 (uint64_t)e.word[0] & UINT16_MAX, (uint64_t)e.word[3] << 32 | e.word[2], faults);
}

static bool is_empty(unsigned i)
{
	const volatile struct iommu_ring_entry *e = &units[i].events[units[i].event];

	return !(e->word[0] | e->word[1]);
}

/* What is read is zeroed, so that the entries themselves tell where the log ends. */
static void take_events(unsigned i)
{
	for (unsigned n = 0; n < RING_ENTRIES && !is_empty(i); n++) {
		volatile struct iommu_ring_entry *e = &units[i].events[units[i].event];
		struct iommu_ring_entry copy;

		for (unsigned w = 0; w < ARRAY_LEN(copy.word); w++) {
			copy.word[w] = e->word[w];
			e->word[w] = 0;
		}
		tell(copy);
		units[i].event = (units[i].event + 1) % RING_ENTRIES;
		*reg(i, IOMMU_EVENTS_HEAD) = units[i].event * sizeof(copy);
	}
	if (*reg(i, IOMMU_STATUS) & IOMMU_STATUS_EVENTS_LOST)
		switch_on_events(i, *reg(i, IOMMU_CONTROL));
}

void iommu_tell_faults(void)
{
	for (unsigned i = 0; started && i < found.count; i++) {
		if (is_empty(i))
			continue;
		lock_take(&lock);
		take_events(i);
		lock_release(&lock);
	}
}
