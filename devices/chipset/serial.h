/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 16550A UART with 16-byte FIFOs and no notion of speed: a byte is sent the moment that it is
 * written, so the transmitter is always empty.
 *
 * Role: one per COM port, owned by the worker, which routes its 8 ports here and moves bytes to
 * and from a console.
 *
 * Trust: register values come from a hostile guest; there are no lengths in them.
 *
 * Threads: all calls with the lock of the devices held. The host's functions are called from
 * within serial_read(), serial_write() and serial_input(); input_room may call serial_input().
 *
 * Spec: National Semiconductor PC16550D data sheet.
 */
#ifndef OYA_DEVICES_CHIPSET_SERIAL_H
#define OYA_DEVICES_CHIPSET_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/record.h"

struct serial;

struct serial_host {
	/* Bytes that the guest sent; they are only read during the call. */
	void (*output)(void *ctx, const uint8_t *bytes, size_t n);
	/* The interrupt line; called on changes only. */
	void (*irq)(void *ctx, bool level);
	/* The guest has read all input, after serial_input() had taken less than it was given. */
	void (*input_room)(void *ctx);
};

/* host is kept by reference. 0 and *ret_serial, or -ENOMEM. */
int serial_new(const struct serial_host *host, void *ctx, struct serial **ret_serial);
void serial_free(struct serial *s);

/* The state after power-on; input that the guest has not read is lost. */
void serial_reset(struct serial *s);

/* A byte access to register reg, the port's offset 0..7. */
uint8_t serial_read(struct serial *s, unsigned reg);
void serial_write(struct serial *s, unsigned reg, uint8_t value);

/*
 * A saved state: registers, input that the guest has not read, and what it was not told yet; not
 * what the host has for it. Written, or read into a port that is new, whose own input is lost; a
 * record that is refused changes nothing. Then the host is told of a line that is high, and of room
 * that it waits for.
 */
void serial_state(struct serial *s, struct record *r);

/* Gives the guest input; returns how many bytes were taken. */
size_t serial_input(struct serial *s, const uint8_t *bytes, size_t n);

#endif
