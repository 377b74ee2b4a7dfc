/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Role, trust, threads: see ioapic.h.
 *
 * Invariants:
 *  1. remote IRR is set only on level-triggered pins, from the message to the EOI;
 *  2. a level pin that is asserted, unmasked and has no remote IRR does not exist between calls:
 *     its message was sent.
 */
#include "devices/chipset/ioapic.h"

#include <errno.h>
#include <stdlib.h>

#include "abi/machine.h"

#define OFFSET_SELECT 0x00u
#define OFFSET_WINDOW 0x10u
#define OFFSET_EOI 0x40u

#define REG_ID 0x00u
#define REG_VERSION 0x01u
#define REG_ARBITRATION 0x02u
#define REG_ENTRIES 0x10u

#define IOAPIC_VERSION 0x20u
#define ID_MASK 0x0F000000u

/* Redirection table entry. */
#define ENTRY_VECTOR UINT64_C(0xFF)
#define ENTRY_DELIVERY_SHIFT 8
#define ENTRY_LOGICAL (UINT64_C(1) << 11)
#define ENTRY_SENDING (UINT64_C(1) << 12)
#define ENTRY_REMOTE_IRR (UINT64_C(1) << 14)
#define ENTRY_LEVEL (UINT64_C(1) << 15)
#define ENTRY_MASKED (UINT64_C(1) << 16)
#define ENTRY_DEST_SHIFT 56
#define ENTRY_READ_ONLY (ENTRY_SENDING | ENTRY_REMOTE_IRR)
#define ENTRY_WRITABLE (UINT64_C(0xFF0000000001FFFF) & ~ENTRY_READ_ONLY)

enum delivery_mode {
	DELIVERY_FIXED = 0,
	DELIVERY_LOWEST = 1,
	DELIVERY_SMI = 2,
	DELIVERY_NMI = 4,
	DELIVERY_INIT = 5,
	DELIVERY_EXTINT = 7,
};

#define VECTOR_FIRST 16u /* local APICs refuse lower ones */

/* Message address and data of the x86 architecture. */
#define MSI_DEST_SHIFT 12
#define MSI_REDIRECTION_HINT (UINT64_C(1) << 3)
#define MSI_LOGICAL (UINT64_C(1) << 2)
#define MSI_DELIVERY_SHIFT 8
#define MSI_ASSERT (UINT32_C(1) << 14)
#define MSI_LEVEL (UINT32_C(1) << 15)

struct ioapic {
	struct ioapic_host host;
	uint32_t id;
	uint8_t select;
	uint32_t lines; /* a bit for each pin that is asserted */
	uint64_t entry[MACHINE_IOAPIC_PINS];
};

static enum delivery_mode delivery_of(uint64_t entry)
{
	return (enum delivery_mode)(entry >> ENTRY_DELIVERY_SHIFT & 7);
}

static bool can_deliver(uint64_t entry)
{
	switch (delivery_of(entry)) {
	case DELIVERY_FIXED:
	case DELIVERY_LOWEST:
		return (entry & ENTRY_VECTOR) >= VECTOR_FIRST;
	case DELIVERY_NMI:
	case DELIVERY_INIT:
	case DELIVERY_EXTINT:
		return true;
	case DELIVERY_SMI: /* there is no system management mode */
	default:
		return false;
	}
}

/* Only these modes take part in the handshake of level and EOI; the others act as edges. */
static bool is_level(uint64_t entry)
{
	enum delivery_mode mode = delivery_of(entry);

	return (entry & ENTRY_LEVEL) && (mode == DELIVERY_FIXED || mode == DELIVERY_LOWEST);
}

bool ioapic_route(const struct ioapic *ia, unsigned pin, uint64_t *ret_address, uint32_t *ret_data)
{
	uint64_t entry, address;
	uint32_t data;

	if (pin >= MACHINE_IOAPIC_PINS)
		return false;
	entry = ia->entry[pin];
	if ((entry & ENTRY_MASKED) || !can_deliver(entry))
		return false;
	address = MACHINE_LAPIC_BASE | entry >> ENTRY_DEST_SHIFT << MSI_DEST_SHIFT;
	if (entry & ENTRY_LOGICAL)
		address |= MSI_LOGICAL;
	if (delivery_of(entry) == DELIVERY_LOWEST)
		address |= MSI_REDIRECTION_HINT;
	data = (uint32_t)(entry & ENTRY_VECTOR);
	data |= (uint32_t)delivery_of(entry) << MSI_DELIVERY_SHIFT | MSI_ASSERT;
	if (is_level(entry))
		data |= MSI_LEVEL;
	*ret_address = address;
	*ret_data = data;
	return true;
}

static bool send(struct ioapic *ia, unsigned pin)
{
	uint64_t address;
	uint32_t data;

	if (!ioapic_route(ia, pin, &address, &data))
		return false;
	ia->host.irq->msi(ia->host.irq_ctx, address, data);
	return true;
}

static void serve_level(struct ioapic *ia, unsigned pin)
{
	uint64_t entry = ia->entry[pin];

	if (!is_level(entry) || (entry & ENTRY_REMOTE_IRR) || !(ia->lines >> pin & 1))
		return;
	if (send(ia, pin))
		ia->entry[pin] |= ENTRY_REMOTE_IRR;
}

void ioapic_set_irq(struct ioapic *ia, unsigned pin, bool level)
{
	uint32_t bit;
	bool rises;

	if (pin >= MACHINE_IOAPIC_PINS)
		return;
	bit = UINT32_C(1) << pin;
	rises = level && !(ia->lines & bit);
	ia->lines = level ? ia->lines | bit : ia->lines & ~bit;
	if (is_level(ia->entry[pin]))
		serve_level(ia, pin);
	else if (rises)
		send(ia, pin); /* an edge on a masked pin is lost, as on the chip */
}

void ioapic_eoi(struct ioapic *ia, uint8_t vector)
{
	for (unsigned pin = 0; pin < MACHINE_IOAPIC_PINS; pin++) {
		uint64_t entry = ia->entry[pin];

		if (!(entry & ENTRY_REMOTE_IRR) || (entry & ENTRY_VECTOR) != vector)
			continue;
		ia->entry[pin] &= ~ENTRY_REMOTE_IRR;
		serve_level(ia, pin);
	}
}

static void write_entry(struct ioapic *ia, unsigned pin, bool high, uint32_t value)
{
	uint64_t old = ia->entry[pin];
	uint64_t entry = high ? (old & UINT32_MAX) | (uint64_t)value << 32
			      : (old & ~UINT64_C(0xFFFFFFFF)) | value;

	entry = (entry & ENTRY_WRITABLE) | (old & ENTRY_READ_ONLY);
	/* Guests without the EOI register end an interrupt by a turn to edge mode and back. */
	if (!is_level(entry))
		entry &= ~ENTRY_REMOTE_IRR;
	ia->entry[pin] = entry;
	if (((entry ^ old) & ~ENTRY_READ_ONLY) && ia->host.route_changed)
		ia->host.route_changed(ia->host.ctx, pin);
	serve_level(ia, pin);
}

static uint32_t read_register(const struct ioapic *ia)
{
	unsigned pin = (ia->select - REG_ENTRIES) / 2u;

	switch (ia->select) {
	case REG_ID:
	case REG_ARBITRATION:
		return ia->id;
	case REG_VERSION:
		return (MACHINE_IOAPIC_PINS - 1) << 16 | IOAPIC_VERSION;
	default:
		break;
	}
	if (ia->select < REG_ENTRIES || pin >= MACHINE_IOAPIC_PINS)
		return 0;
	return (uint32_t)(ia->select & 1 ? ia->entry[pin] >> 32 : ia->entry[pin]);
}

static void write_register(struct ioapic *ia, uint32_t value)
{
	unsigned pin = (ia->select - REG_ENTRIES) / 2u;

	if (ia->select == REG_ID)
		ia->id = value & ID_MASK;
	else if (ia->select >= REG_ENTRIES && pin < MACHINE_IOAPIC_PINS)
		write_entry(ia, pin, ia->select & 1, value);
}

uint64_t ioapic_read(struct ioapic *ia, uint64_t offset, unsigned len_bytes)
{
	uint32_t value = 0;

	if (offset == OFFSET_SELECT)
		value = ia->select;
	else if (offset == OFFSET_WINDOW)
		value = read_register(ia);
	return len_bytes >= 4 ? value : value & ((UINT32_C(1) << len_bytes * 8) - 1);
}

void ioapic_write(struct ioapic *ia, uint64_t offset, unsigned len_bytes, uint64_t value)
{
	if (offset == OFFSET_SELECT)
		ia->select = (uint8_t)value;
	else if (offset == OFFSET_WINDOW && len_bytes >= 4)
		write_register(ia, (uint32_t)value);
	else if (offset == OFFSET_EOI)
		ioapic_eoi(ia, (uint8_t)value);
}

void ioapic_reset(struct ioapic *ia)
{
	ia->id = 0;
	ia->select = 0;
	for (unsigned pin = 0; pin < MACHINE_IOAPIC_PINS; pin++) {
		ia->entry[pin] = ENTRY_MASKED;
		if (ia->host.route_changed)
			ia->host.route_changed(ia->host.ctx, pin);
	}
}

/* ---- saved state ---- */

static void check_pin(const struct ioapic *ia, unsigned pin, struct record *r)
{
	uint64_t entry = ia->entry[pin], address;
	bool asserted = ia->lines >> pin & 1, waits = entry & ENTRY_REMOTE_IRR;
	uint32_t data;

	if (entry & ~(ENTRY_WRITABLE | ENTRY_REMOTE_IRR))
		record_refuse(r, "the entry of pin %u has bits that none has", pin);
	else if (waits && !is_level(entry))
		record_refuse(r, "pin %u is an edge and waits for an end of interrupt", pin);
	else if (asserted && is_level(entry) && !waits && ioapic_route(ia, pin, &address, &data))
		record_refuse(r, "pin %u is asserted and has sent nothing", pin);
}

static void fields(struct ioapic *ia, struct record *r)
{
	record_u32(r, "id", &ia->id);
	record_u8(r, "select", &ia->select);
	record_u32(r, "lines", &ia->lines);
	record_u64s(r, "entries", ia->entry, MACHINE_IOAPIC_PINS);
	if (ia->id & ~ID_MASK)
		record_refuse(r, "the IOAPIC's id is 0x%x", ia->id);
	if (ia->lines >> MACHINE_IOAPIC_PINS)
		record_refuse(r, "the IOAPIC has no such pins as 0x%x", ia->lines);
	for (unsigned pin = 0; pin < MACHINE_IOAPIC_PINS; pin++)
		check_pin(ia, pin, r);
}

void ioapic_state(struct ioapic *ia, struct record *r)
{
	struct ioapic copy = *ia;

	fields(&copy, r);
	if (!r->reads || record_end(r) < 0)
		return;
	*ia = copy;
	for (unsigned pin = 0; ia->host.route_changed && pin < MACHINE_IOAPIC_PINS; pin++)
		ia->host.route_changed(ia->host.ctx, pin);
}

int ioapic_new(const struct ioapic_host *host, struct ioapic **ret_ioapic)
{
	struct ioapic *ia = calloc(1, sizeof(*ia));

	if (!ia)
		return -ENOMEM;
	ia->host = *host;
	for (unsigned pin = 0; pin < MACHINE_IOAPIC_PINS; pin++)
		ia->entry[pin] = ENTRY_MASKED;
	*ret_ioapic = ia;
	return 0;
}

void ioapic_free(struct ioapic *ia)
{
	free(ia);
}
