/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile guest at the ports of a machine with firmware: PIC, timer, PCI configuration, power
 * management, fw_cfg, and IDE channels with a disk, a drive and an empty drive, whose media fail,
 * hang and change. Input: records of 8 bytes: operation, width, port (u16), value (u32).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/machine.h"
#include "base/cursor.h"
#include "devices/chipset/pc.h"
#include "tests/lib/memdisk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DISK_BYTES (256u << 10)

static const struct scsi_identity identity = {
	.vendor = "Msft", .product = "Virtual Disk", .revision = "1.0", .serial = "one"};

struct machine {
	struct pc *pc;
	struct ide *ide;
	struct memdisk *disk, *disc;
	struct timerq timers;
	uint64_t now_ns;
	bool line[IDE_CHANNELS];
};

static void check(bool ok)
{
	if (!ok)
		abort();
}

static uint64_t now(void *ctx)
{
	const struct machine *m = ctx;

	return m->now_ns;
}

static void on_pin(void *ctx, unsigned pin, bool level)
{
	(void)ctx;
	(void)level;
	check(pin < MACHINE_IOAPIC_PINS);
}

static bool pin_masked(void *ctx, unsigned pin)
{
	const struct machine *m = ctx;

	check(pin < MACHINE_IOAPIC_PINS);
	return m->now_ns & 1;
}

static void on_interrupt(void *ctx)
{
	(void)ctx;
}

static void on_event(void *ctx, enum pc_event event)
{
	(void)ctx;
	check(event == PC_RESET || event == PC_POWER_OFF);
}

static void on_debug(void *ctx, uint8_t byte)
{
	(void)ctx;
	(void)byte;
}

static void on_irq(void *ctx, unsigned channel, bool level)
{
	struct machine *m = ctx;

	check(m->line[channel] != level);
	m->line[channel] = level;
	if (m->pc)
		pc_set_line(m->pc, MACHINE_IDE_FIRST_GSI + channel, level);
}

static const struct clock_ops clock_ops = {.monotonic_ns = now};

static void read_port(struct machine *m, uint16_t port, unsigned bytes)
{
	uint32_t value = 0;

	if (pc_in(m->pc, port, bytes, &value) && bytes < 4)
		check(value >> 8 * bytes == 0);
}

static void change_disc(struct machine *m, uint32_t value)
{
	int r = ide_set_medium(m->ide, 2, value & 1 ? &m->disc->dev : NULL);

	check(r == 0 || (r == -EBUSY && m->disc->inflight));
}

static void step(struct machine *m, uint8_t op, uint8_t width, uint16_t port, uint32_t value)
{
	static const unsigned widths[] = {1, 2, 4};
	unsigned bytes = widths[width % 3], times = 1u + (width >> 4) * 64u;
	uint8_t string[4096];

	switch (op % 8) {
	case 0:
		if (times > 1 && pc_string_in(m->pc, port, bytes, string, times * bytes))
			break;
		for (unsigned i = 0; i < times; i++)
			read_port(m, port, bytes);
		break;
	case 1:
	case 2:
		memset(string, (int)value, sizeof(string));
		if (times > 1 && pc_string_out(m->pc, port, bytes, string, times * bytes))
			break;
		for (unsigned i = 0; i < times; i++)
			pc_out(m->pc, port, bytes,
			       bytes == 4 ? value : value & ((1u << 8 * bytes) - 1));
		break;
	case 3:
		if (m->disk->inflight)
			memdisk_complete(m->disk, 0, value & 1 ? -EIO : 0);
		if (m->disc->inflight)
			memdisk_complete(m->disc, 0, value & 2 ? -EIO : 0);
		break;
	case 4:
		m->now_ns += value;
		timerq_run(&m->timers, m->now_ns);
		break;
	case 5:
		if (pc_interrupts(m->pc))
			check(pc_take_interrupt(m->pc) >= 0);
		break;
	case 6:
		change_disc(m, value);
		break;
	case 7:
		m->disk->refuse = value & 1 ? -EAGAIN : 0;
		if (value & 2)
			pc_reset(m->pc);
		break;
	}
}

static void make(struct machine *m)
{
	struct pc_host host = {
		.clock = &clock_ops,
		.clock_ctx = m,
		.timers = &m->timers,
		.pin = on_pin,
		.pin_masked = pin_masked,
		.interrupt = on_interrupt,
		.event = on_event,
		.debug = on_debug,
		.ctx = m,
	};
	struct ide_host ide_host = {.irq = on_irq, .ctx = m};

	timerq_init(&m->timers);
	m->disk = memdisk_new(DISK_BYTES, 512);
	m->disc = memdisk_new(DISK_BYTES, 2048);
	m->disc->dev.read_only = true;
	m->ide = ide_new(&ide_host);
	m->pc = pc_new(&host);
	check(m->ide && m->pc);
	m->pc->ide = m->ide;
	check(ide_attach(m->ide, 0, SCSI_UNIT_DISK, &m->disk->dev, &identity) == 0);
	check(ide_attach(m->ide, 2, SCSI_UNIT_DVD, &m->disc->dev, &identity) == 0);
	check(ide_attach(m->ide, 3, SCSI_UNIT_DVD, NULL, &identity) == 0);
	pc_reset(m->pc);
	check(fwcfg_add_file(&m->pc->fwcfg, "file", "text", 5) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine m = {.now_ns = 1};
	struct cursor c = cursor_of(data, size);

	make(&m);
	while (c.left >= 8) {
		uint8_t op = cursor_u8(&c);
		uint8_t width = cursor_u8(&c);
		uint16_t port = cursor_u16(&c);

		step(&m, op, width, port, cursor_u32(&c));
	}
	check(m.disk->broken == 0 && m.disc->broken == 0);
	memdisk_complete_all(m.disk);
	memdisk_complete_all(m.disc);
	pc_free(m.pc);
	ide_free(m.ide);
	memdisk_free(m.disk);
	memdisk_free(m.disc);
	return 0;
}
