/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Role, trust, threads: see serial.h.
 *
 * Invariants:
 *  1. fifo_count <= the capacity in force (16, or 1 with FIFOs off);
 *  2. `cause` is what the guest would read from IIR now, and `line` is high exactly when a cause
 *     is pending;
 *  3. the line goes to an edge-triggered pin, so each change from one cause to another makes a
 *     new edge: a guest that serves one cause for each interrupt must not lose the next.
 */
#include "devices/chipset/serial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SERIAL_FIFO_BYTES 16u

enum serial_register {
	REG_DATA = 0, /* RBR, THR; divisor low with DLAB */
	REG_IER = 1,  /* divisor high with DLAB */
	REG_IIR = 2,  /* FCR when written */
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7,
};

#define IER_RX 0x01u
#define IER_TX 0x02u
#define IER_LINE 0x04u
#define IER_MODEM 0x08u
#define IER_MASK 0x0Fu

#define IIR_NONE 0x01u
#define IIR_MODEM 0x00u
#define IIR_TX 0x02u
#define IIR_RX 0x04u
#define IIR_LINE 0x06u
#define IIR_TIMEOUT 0x0Cu
#define IIR_FIFOS 0xC0u

#define FCR_ENABLE 0x01u
#define FCR_CLEAR_RX 0x02u
#define FCR_LEVEL 0xC0u /* of input that interrupts */

#define LCR_DLAB 0x80u

#define MCR_DTR 0x01u
#define MCR_RTS 0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u
#define MCR_MASK 0x1Fu

#define LSR_DATA 0x01u
#define LSR_OVERRUN 0x02u
#define LSR_TX_EMPTY 0x60u /* holding register and shifter */

#define MSR_CTS 0x10u
#define MSR_DSR 0x20u
#define MSR_RI 0x40u
#define MSR_DCD 0x80u
#define MSR_LINES 0xF0u

struct serial {
	const struct serial_host *host;
	void *ctx;
	uint8_t ier, fcr, lcr, mcr, msr, scr;
	uint8_t divisor_low, divisor_high;
	uint8_t fifo[SERIAL_FIFO_BYTES];
	unsigned fifo_head, fifo_count;
	bool overrun;
	bool tx_pending; /* the transmitter became empty and the guest has not been told */
	bool starved;    /* the host has input that found no room */
	uint8_t cause;
	bool line;
};

static unsigned fifo_capacity(const struct serial *s)
{
	return s->fcr & FCR_ENABLE ? SERIAL_FIFO_BYTES : 1;
}

static void fifo_clear(struct serial *s)
{
	s->fifo_head = 0;
	s->fifo_count = 0;
}

static bool fifo_put(struct serial *s, uint8_t byte)
{
	if (s->fifo_count >= fifo_capacity(s))
		return false;
	s->fifo[(s->fifo_head + s->fifo_count++) % SERIAL_FIFO_BYTES] = byte;
	return true;
}

static unsigned rx_trigger(const struct serial *s)
{
	static const uint8_t levels[4] = {1, 4, 8, 14};

	return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

/* The highest cause that is pending and enabled. Bytes below the trigger level count as timed
 * out at once: there is no speed by which to measure four characters. */
static uint8_t current_cause(const struct serial *s)
{
	if ((s->ier & IER_LINE) && s->overrun)
		return IIR_LINE;
	if ((s->ier & IER_RX) && s->fifo_count >= rx_trigger(s))
		return IIR_RX;
	if ((s->ier & IER_RX) && s->fifo_count)
		return IIR_TIMEOUT;
	if ((s->ier & IER_TX) && s->tx_pending)
		return IIR_TX;
	if ((s->ier & IER_MODEM) && (s->msr & (uint8_t)~MSR_LINES))
		return IIR_MODEM;
	return IIR_NONE;
}

static void set_line(struct serial *s, bool level)
{
	if (s->line == level)
		return;
	s->line = level;
	s->host->irq(s->ctx, level);
}

static void update(struct serial *s)
{
	uint8_t cause = current_cause(s);

	if (cause == s->cause)
		return;
	s->cause = cause;
	set_line(s, false);
	set_line(s, cause != IIR_NONE);
}

static void offer_room(struct serial *s)
{
	if (!s->starved || s->fifo_count || (s->mcr & MCR_LOOP))
		return;
	s->starved = false;
	s->host->input_room(s->ctx);
}

/* Modem lines: wired to a peer that is always ready, or in loopback to the outputs. */
static uint8_t modem_lines(uint8_t mcr)
{
	uint8_t lines;

	if (!(mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	lines = mcr & MCR_RTS ? MSR_CTS : 0;
	lines |= mcr & MCR_DTR ? MSR_DSR : 0;
	lines |= mcr & MCR_OUT1 ? MSR_RI : 0;
	lines |= mcr & MCR_OUT2 ? MSR_DCD : 0;
	return lines;
}

static void update_modem(struct serial *s)
{
	uint8_t lines = modem_lines(s->mcr);
	uint8_t changed;

	changed = (s->msr ^ lines) & MSR_LINES;
	if (lines & MSR_RI)
		changed &= (uint8_t)~MSR_RI; /* the ring indicator counts when it ends */
	s->msr = (uint8_t)((s->msr & ~MSR_LINES) | lines | changed >> 4);
}

static uint8_t read_data(struct serial *s)
{
	uint8_t byte = 0;

	if (s->fifo_count) {
		byte = s->fifo[s->fifo_head];
		s->fifo_head = (s->fifo_head + 1) % SERIAL_FIFO_BYTES;
		s->fifo_count--;
	}
	update(s);
	offer_room(s);
	return byte;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t value = s->cause | (s->fcr & FCR_ENABLE ? IIR_FIFOS : 0);

	if (s->cause == IIR_TX)
		s->tx_pending = false;
	update(s);
	return value;
}

static uint8_t read_lsr(struct serial *s)
{
	uint8_t value = LSR_TX_EMPTY;

	value |= s->fifo_count ? LSR_DATA : 0;
	value |= s->overrun ? LSR_OVERRUN : 0;
	s->overrun = false;
	update(s);
	return value;
}

static uint8_t read_msr(struct serial *s)
{
	uint8_t value = s->msr;

	s->msr &= MSR_LINES;
	update(s);
	return value;
}

uint8_t serial_read(struct serial *s, unsigned reg)
{
	bool dlab = (s->lcr & LCR_DLAB) != 0;

	switch ((enum serial_register)(reg & 7)) {
	case REG_DATA:
		return dlab ? s->divisor_low : read_data(s);
	case REG_IER:
		return dlab ? s->divisor_high : s->ier;
	case REG_IIR:
		return read_iir(s);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return read_lsr(s);
	case REG_MSR:
		return read_msr(s);
	case REG_SCR:
		return s->scr;
	}
	return 0xFF;
}

/* The byte leaves at once, so "became empty" follows each write. Without FIFOs the cause falls
 * and rises with each byte, as on the chip; with FIFOs it stays until IIR is read, as if the bytes
 * of a burst still were in the FIFO: one edge for a burst and not one for each byte. */
static void write_data(struct serial *s, uint8_t value)
{
	s->tx_pending = false;
	if (!(s->fcr & FCR_ENABLE))
		update(s);
	if (s->mcr & MCR_LOOP)
		s->overrun |= !fifo_put(s, value);
	else
		s->host->output(s->ctx, &value, 1);
	s->tx_pending = true;
	update(s);
}

static void write_ier(struct serial *s, uint8_t value)
{
	uint8_t risen = value & (uint8_t)~s->ier;

	s->ier = value & IER_MASK;
	if (risen & IER_TX)
		s->tx_pending = true; /* enabling it while empty is an event of its own */
	update(s);
}

static void write_fcr(struct serial *s, uint8_t value)
{
	bool toggled = ((value ^ s->fcr) & FCR_ENABLE) != 0;

	s->fcr = value & FCR_ENABLE ? value & (FCR_LEVEL | FCR_ENABLE) : 0;
	if (toggled || (value & FCR_CLEAR_RX))
		fifo_clear(s);
	update(s);
	offer_room(s);
}

static void write_mcr(struct serial *s, uint8_t value)
{
	s->mcr = value & MCR_MASK;
	update_modem(s);
	update(s);
	offer_room(s);
}

void serial_write(struct serial *s, unsigned reg, uint8_t value)
{
	bool dlab = (s->lcr & LCR_DLAB) != 0;

	switch ((enum serial_register)(reg & 7)) {
	case REG_DATA:
		if (dlab)
			s->divisor_low = value;
		else
			write_data(s, value);
		break;
	case REG_IER:
		if (dlab)
			s->divisor_high = value;
		else
			write_ier(s, value);
		break;
	case REG_IIR:
		write_fcr(s, value);
		break;
	case REG_LCR:
		s->lcr = value;
		break;
	case REG_MCR:
		write_mcr(s, value);
		break;
	case REG_LSR:
	case REG_MSR:
		break; /* read-only */
	case REG_SCR:
		s->scr = value;
		break;
	}
}

size_t serial_input(struct serial *s, const uint8_t *bytes, size_t n)
{
	size_t taken = 0;

	if (!(s->mcr & MCR_LOOP)) {
		while (taken < n && fifo_put(s, bytes[taken]))
			taken++;
	}
	if (taken < n)
		s->starved = true;
	update(s);
	return taken;
}

void serial_reset(struct serial *s)
{
	s->ier = s->fcr = s->lcr = s->mcr = s->scr = 0;
	s->divisor_low = 12; /* 9600 baud */
	s->divisor_high = 0;
	s->msr = MSR_CTS | MSR_DSR | MSR_DCD;
	s->overrun = false;
	s->tx_pending = false;
	fifo_clear(s);
	update(s);
	offer_room(s);
}

/* ---- saved state ---- */

static void check(const struct serial *s, size_t count, struct record *r)
{
	if (s->ier & ~IER_MASK)
		record_refuse(r, "the interrupt enable register is 0x%x", s->ier);
	if (s->fcr & ~(FCR_LEVEL | FCR_ENABLE) || (s->fcr && !(s->fcr & FCR_ENABLE)))
		record_refuse(r, "the FIFO control register is 0x%x", s->fcr);
	if (s->mcr & ~MCR_MASK)
		record_refuse(r, "the modem control register is 0x%x", s->mcr);
	if ((s->msr & MSR_LINES) != modem_lines(s->mcr))
		record_refuse(r, "the modem lines 0x%x are not those of its control 0x%x", s->msr,
			      s->mcr);
	if (count > fifo_capacity(s))
		record_refuse(r, "%zu bytes are more than the FIFO holds", count);
}

static void fields(struct serial *s, struct record *r)
{
	uint8_t bytes[SERIAL_FIFO_BYTES] = {0};
	size_t count = s->fifo_count;

	for (unsigned i = 0; i < s->fifo_count; i++)
		bytes[i] = s->fifo[(s->fifo_head + i) % SERIAL_FIFO_BYTES];
	record_u8(r, "ier", &s->ier);
	record_u8(r, "fcr", &s->fcr);
	record_u8(r, "lcr", &s->lcr);
	record_u8(r, "mcr", &s->mcr);
	record_u8(r, "msr", &s->msr);
	record_u8(r, "scr", &s->scr);
	record_u8(r, "divisor_low", &s->divisor_low);
	record_u8(r, "divisor_high", &s->divisor_high);
	record_some_bytes(r, "input", bytes, &count, sizeof(bytes));
	record_bool(r, "overrun", &s->overrun);
	record_bool(r, "sent_untold", &s->tx_pending);
	check(s, count, r);
	fifo_clear(s);
	memcpy(s->fifo, bytes, sizeof(bytes));
	s->fifo_count = (unsigned)count;
}

void serial_state(struct serial *s, struct record *r)
{
	struct serial copy = *s;

	fields(&copy, r);
	if (!r->reads || record_end(r) < 0)
		return;
	*s = copy;
	update(s);
	offer_room(s);
}

int serial_new(const struct serial_host *host, void *ctx, struct serial **ret_serial)
{
	struct serial *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->host = host;
	s->ctx = ctx;
	s->cause = IIR_NONE;
	serial_reset(s);
	*ret_serial = s;
	return 0;
}

void serial_free(struct serial *s)
{
	free(s);
}
