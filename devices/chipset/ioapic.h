/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 24-pin IOAPIC, version 0x20, that turns its pins into message-signalled interrupts.
 *
 * Role: owned by the worker, beside local APICs in the kernel. The worker gives it the MMIO page,
 * calls ioapic_set_irq() for its devices, ioapic_eoi() when a CPU ends a level interrupt, and may
 * program routes of the kernel from ioapic_route(), told of changes by route_changed.
 *
 * Levels are logical: true asserts the pin whatever its polarity bit says, which is held for the
 * guest to read back.
 *
 * Trust: register values come from a hostile guest. They choose vector and destination of its own
 * interrupts and nothing else.
 *
 * Threads: all calls with the lock of the devices held.
 *
 * Spec: Intel 82093AA data sheet; the EOI register of version 0x20; Intel SDM volume 3, message
 * signalled interrupts.
 */
#ifndef OYA_DEVICES_CHIPSET_IOAPIC_H
#define OYA_DEVICES_CHIPSET_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/irq.h"
#include "base/record.h"

struct ioapic;

struct ioapic_host {
	const struct irq_ops *irq;
	void *irq_ctx;
	/* The message, the mask or the trigger mode of a pin may have changed; may be NULL. */
	void (*route_changed)(void *ctx, unsigned pin);
	void *ctx;
};

/* host is copied. 0 and *ret_ioapic, or -ENOMEM. */
int ioapic_new(const struct ioapic_host *host, struct ioapic **ret_ioapic);
void ioapic_free(struct ioapic *ia);

/* The state after power-on: all pins masked. Lines keep their levels. */
void ioapic_reset(struct ioapic *ia);

/* An access of len_bytes at an offset within the page. Registers are 32 bits wide and lie 16
 * bytes apart; other bytes read as 0 and take no writes. */
uint64_t ioapic_read(struct ioapic *ia, uint64_t offset, unsigned len_bytes);
void ioapic_write(struct ioapic *ia, uint64_t offset, unsigned len_bytes, uint64_t value);

void ioapic_set_irq(struct ioapic *ia, unsigned pin, bool level);

/* A CPU ended the interrupt with this vector: level-triggered pins may interrupt again. */
void ioapic_eoi(struct ioapic *ia, uint8_t vector);

/*
 * A saved state: registers, the levels of the pins, and which of them wait for an end of interrupt.
 * Written, or read into an IOAPIC that is new; a record that is refused changes nothing. What was
 * read is told by route_changed of each pin; no message is sent, since all of them were.
 */
void ioapic_state(struct ioapic *ia, struct record *r);

/* The message of a pin; false when the pin is masked or its delivery mode is none. */
bool ioapic_route(const struct ioapic *ia, unsigned pin, uint64_t *ret_address, uint32_t *ret_data);

#endif
