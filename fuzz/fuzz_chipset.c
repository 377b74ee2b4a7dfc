/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Register accesses of a hostile guest to the UART, the clock and the IOAPIC, mixed with the
 * events of the host. Input: records of 8 bytes: operation, register or pin, 2 bytes unused,
 * value (u32).
 */
#include <stdlib.h>

#include "abi/machine.h"
#include "base/cursor.h"
#include "devices/chipset/ioapic.h"
#include "devices/chipset/rtc.h"
#include "devices/chipset/serial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct machine {
	struct serial *serial;
	struct rtc *rtc;
	struct ioapic *ioapic;
	uint64_t now_ns;
	bool line;
};

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void on_output(void *ctx, const uint8_t *bytes, size_t n)
{
	(void)ctx;
	check(n == 1);
	(void)*(const volatile uint8_t *)bytes;
}

static void on_line(void *ctx, bool level)
{
	struct machine *m = ctx;

	check(m->line != level);
	m->line = level;
	if (m->ioapic)
		ioapic_set_irq(m->ioapic, MACHINE_COM1_GSI, level);
}

static void on_room(void *ctx)
{
	struct machine *m = ctx;
	static const uint8_t more[3] = {1, 2, 3};

	check(serial_input(m->serial, more, sizeof(more)) >= 1);
}

static void on_msi(void *ctx, uint64_t address, uint32_t data)
{
	(void)ctx;
	check((address & ~UINT64_C(0xFF00C)) == MACHINE_LAPIC_BASE);
	check((data & ~UINT32_C(0xC7FF)) == 0);
}

static uint64_t wall(void *ctx)
{
	const struct machine *m = ctx;

	return m->now_ns;
}

static const struct serial_host serial_host = {
	.output = on_output,
	.irq = on_line,
	.input_room = on_room,
};
static const struct irq_ops irq_ops = {.msi = on_msi};
static const struct clock_ops clock_ops = {.wall_ns = wall};

static void step(struct machine *m, uint8_t op, uint8_t at, uint32_t value)
{
	static const uint8_t input[32] = "the quick brown fox jumps over.";

	switch (op % 10) {
	case 0:
		serial_read(m->serial, at);
		break;
	case 1:
		serial_write(m->serial, at, (uint8_t)value);
		break;
	case 2:
		check(serial_input(m->serial, input, at % 33) <= 16);
		break;
	case 3:
		rtc_read(m->rtc, at);
		break;
	case 4:
		rtc_write(m->rtc, at, (uint8_t)value);
		break;
	case 5:
		m->now_ns += (uint64_t)value << at % 24;
		break;
	case 6:
		ioapic_read(m->ioapic, value & 0xFFF, UINT32_C(1) << at % 4);
		break;
	case 7:
		ioapic_write(m->ioapic, (at & 0x3F) << 4 & 0xFF, 4, value);
		break;
	case 8:
		ioapic_set_irq(m->ioapic, at, value & 1);
		break;
	case 9:
		ioapic_eoi(m->ioapic, (uint8_t)value);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine m = {.now_ns = UINT64_C(1700000000) * 1000000000};
	struct ioapic_host host = {.irq = &irq_ops};
	struct cursor c = cursor_of(data, size);

	if (serial_new(&serial_host, &m, &m.serial) == 0 && rtc_new(&clock_ops, &m, &m.rtc) == 0 &&
	    ioapic_new(&host, &m.ioapic) == 0) {
		while (c.left >= 8) {
			uint8_t op = cursor_u8(&c);
			uint8_t at = cursor_u8(&c);

			cursor_u16(&c);
			step(&m, op, at, cursor_u32(&c));
		}
	}
	serial_free(m.serial);
	rtc_free(m.rtc);
	ioapic_free(m.ioapic);
	return 0;
}
