/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a machine that boots by firmware has beside the others: the parts that a PC's BIOS expects,
 * behind one pair of calls for their ports.
 *
 * Role: made by the worker for such a machine only. The IDE channels belong to the worker, since
 * storage puts units on them.
 *
 * Trust: ports and values are a hostile guest's. Threads: with the lock of the devices held, but
 * for pc_interrupts().
 *
 * Spec: abi/machine.h has the ports; ACPI 6.3, chapter 4.8.3 for power management.
 */
#ifndef OYA_DEVICES_CHIPSET_PC_H
#define OYA_DEVICES_CHIPSET_PC_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/chipset/fwcfg.h"
#include "devices/chipset/pci.h"
#include "devices/chipset/pic.h"
#include "devices/chipset/pit.h"
#include "devices/storage/ide.h"

enum pc_event { PC_POWER_OFF, PC_RESET };

struct pc_host {
	const struct clock_ops *clock;
	void *clock_ctx;
	struct timerq *timers;
	/* A pin of the IOAPIC, for interrupts that have their beginning here. */
	void (*pin)(void *ctx, unsigned pin, bool level);
	bool (*pin_masked)(void *ctx, unsigned pin);
	/* The first processor has an interrupt of the PIC to take. */
	void (*interrupt)(void *ctx);
	void (*event)(void *ctx, enum pc_event event);
	/* A byte of the firmware's for who debugs it. */
	void (*debug)(void *ctx, uint8_t byte);
	void *ctx;
};

struct pc {
	struct pc_host host;
	struct ide *ide; /* NULL: none; not owned */
	struct pic pic;
	struct pit pit;
	struct pci pci;
	struct fwcfg fwcfg;
	uint8_t a20;
	uint16_t pm_enable, pm_control;
	uint64_t pm_ahead_ns; /* by so much is the PM timer's time ahead of the clock's */
	uint8_t interrupts;   /* atomic: the PIC's output */
};

/* NULL when there is no memory. */
struct pc *pc_new(const struct pc_host *host);
void pc_free(struct pc *pc);

/* As after power-on; what firmware is told is forgotten. */
void pc_reset(struct pc *pc);

/*
 * A saved state of all parts but IDE, which has a record of its own: timers go on from where they
 * stood. Written, or read into a PC that is new and whose fwcfg has been filled; a record that is
 * refused changes nothing. Then the first processor is told of an interrupt that it has to take;
 * levels of the IOAPIC's pins are the IOAPIC's to restore, before.
 */
void pc_state(struct pc *pc, struct record *r);

/* Accesses of 1, 2 or 4 bytes. False when no part has the port. */
bool pc_in(struct pc *pc, uint16_t port, unsigned bytes, uint32_t *ret_value);
bool pc_out(struct pc *pc, uint16_t port, unsigned bytes, uint32_t value);

/* A string instruction: the same as many accesses to a port, at once. False, with nothing done,
 * where there is no gain in that. */
bool pc_string_in(struct pc *pc, uint16_t port, unsigned bytes, void *data, uint32_t len);
bool pc_string_out(struct pc *pc, uint16_t port, unsigned bytes, const void *data, uint32_t len);

/* The IOAPIC's pin of the timer may be heard again. */
void pc_pin_changed(struct pc *pc);

/* A line of the PIC pair. */
void pc_set_line(struct pc *pc, unsigned line, bool level);

/* Whether the PIC has an interrupt for the first processor; from any thread, without the lock. */
bool pc_interrupts(const struct pc *pc);

/* The vector of the interrupt that the processor takes now; -1 when there is none any more. */
int pc_take_interrupt(struct pc *pc);

#endif
