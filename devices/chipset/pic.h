/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pair of 8259A interrupt controllers, the second at line 2 of the first.
 *
 * Role: part of the machine that boots by firmware (pc.h). The processor's ExtINT takes what
 * pic_pending() tells of, by pic_acknowledge().
 *
 * Limits: fully nested mode with fixed priorities; special mask, rotation and polling are not done.
 *
 * Trust: register values are a hostile guest's; they choose vectors of its own interrupts.
 *
 * Threads: all calls with the lock of the devices held. Spec: Intel 8259A data sheet.
 */
#ifndef OYA_DEVICES_CHIPSET_PIC_H
#define OYA_DEVICES_CHIPSET_PIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/record.h"

#define PIC_LINES 16u

struct pic_chip {
	uint8_t lines, requested, in_service, mask, edge_level, vector;
	uint8_t step;     /* of the initialisation: the word that comes next, 0 for none */
	bool fourth_word; /* one comes */
	bool auto_end, read_in_service;
};

struct pic {
	struct pic_chip chip[2];
};

/* The state after power-on: all lines masked. */
void pic_reset(struct pic *p);

/* Chip 0 or 1, port 0 (command) or 1 (data). */
uint8_t pic_read(struct pic *p, unsigned chip, unsigned port);
void pic_write(struct pic *p, unsigned chip, unsigned port, uint8_t value);

/* Which lines are level triggered. */
uint8_t pic_read_edge(const struct pic *p, unsigned chip);
void pic_write_edge(struct pic *p, unsigned chip, uint8_t value);

void pic_set_irq(struct pic *p, unsigned line, bool level);

bool pic_is_masked(const struct pic *p, unsigned line);

/* Whether the output is active. */
bool pic_pending(const struct pic *p);

/* The vector of the interrupt that the processor takes; a spurious one when none is pending. */
uint8_t pic_acknowledge(struct pic *p);

/* The fields of a saved state, in the record of the PC: read into a copy, which is only good when
 * the record is. */
void pic_fields(struct pic *p, struct record *r);

#endif
