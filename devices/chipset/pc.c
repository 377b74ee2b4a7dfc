/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Role, trust, threads, spec: see pc.h. */
#include "devices/chipset/pc.h"

#include <stdlib.h>

#include "abi/machine.h"
#include "base/bytes.h"
#include "base/util.h"

#define A20_ON 0x02u
#define A20_RESET 0x01u
#define DEBUG_PRESENT 0xE9u
#define PM_TIMER_HZ 3579545u
#define PM_TIMER_MASK 0xFFFFFFu
#define PM_ENABLE 2u /* offsets */
#define PM_CONTROL 4u
#define PM_CONTROL_END 6u
#define PM_CONTROL_ACPI 0x0001u
#define PM_CONTROL_WRITABLE ((0xFFu & ~MACHINE_SLEEP_ENABLE) << 8)
#define NS_PER_S 1000000000u

/* ---- interrupts ---- */

static void look_at_pic(struct pc *pc)
{
	bool before = pc->interrupts, now = pic_pending(&pc->pic);

	__atomic_store_n(&pc->interrupts, now, __ATOMIC_SEQ_CST);
	if (now && !before)
		pc->host.interrupt(pc->host.ctx);
}

void pc_set_line(struct pc *pc, unsigned line, bool level)
{
	pic_set_irq(&pc->pic, line, level);
	look_at_pic(pc);
}

bool pc_interrupts(const struct pc *pc)
{
	return __atomic_load_n(&pc->interrupts, __ATOMIC_SEQ_CST);
}

int pc_take_interrupt(struct pc *pc)
{
	int vector = pic_pending(&pc->pic) ? pic_acknowledge(&pc->pic) : -1;

	__atomic_store_n(&pc->interrupts, pic_pending(&pc->pic), __ATOMIC_SEQ_CST);
	return vector;
}

/* The counter's output falls and rises. */
static void on_tick(void *ctx)
{
	struct pc *pc = ctx;

	pc->host.pin(pc->host.ctx, MACHINE_PIT_GSI, false);
	pc->host.pin(pc->host.ctx, MACHINE_PIT_GSI, true);
	pic_set_irq(&pc->pic, MACHINE_PIT_LINE, false);
	pc_set_line(pc, MACHINE_PIT_LINE, true);
}

static bool is_heard(void *ctx)
{
	const struct pc *pc = ctx;

	return !pic_is_masked(&pc->pic, MACHINE_PIT_LINE) ||
	       !pc->host.pin_masked(pc->host.ctx, MACHINE_PIT_GSI);
}

void pc_pin_changed(struct pc *pc)
{
	pit_wake(&pc->pit);
}

/* ---- power management ---- */

/* Wraps once in centuries, or when the state that was read says so. */
static uint64_t pm_now_ns(const struct pc *pc)
{
	return pc->host.clock->monotonic_ns(pc->host.clock_ctx) + pc->pm_ahead_ns;
}

static uint32_t pm_timer(const struct pc *pc)
{
	return (uint32_t)((unsigned __int128)pm_now_ns(pc) * PM_TIMER_HZ / NS_PER_S) &
	       PM_TIMER_MASK;
}

static uint32_t pm_read(const struct pc *pc, unsigned offset, unsigned bytes)
{
	uint8_t regs[MACHINE_PM_PORTS + 4] = {0};
	uint32_t value;

	le16_store(regs + PM_ENABLE, pc->pm_enable);
	le16_store(regs + PM_CONTROL, pc->pm_control | PM_CONTROL_ACPI);
	le32_store(regs + MACHINE_PM_TIMER, pm_timer(pc));
	value = le32_load(regs + offset);
	return bytes == 4 ? value : value & ((1u << bytes * 8) - 1);
}

static void pm_write_control(struct pc *pc, uint8_t value)
{
	if (value == MACHINE_SLEEP_S5)
		pc->host.event(pc->host.ctx, PC_POWER_OFF);
	else
		pc->pm_control = (uint16_t)((value & ~MACHINE_SLEEP_ENABLE) << 8);
}

/* Status has no bit that is ever set; the upper byte of the control is that of a sleep. */
static void pm_write(struct pc *pc, unsigned offset, unsigned bytes, uint32_t value)
{
	for (unsigned i = 0; i < bytes; i++, value >>= 8) {
		unsigned at = offset + i;

		if (at == PM_ENABLE)
			pc->pm_enable = (uint16_t)((pc->pm_enable & 0xFF00) | (value & 0xFF));
		else if (at == PM_ENABLE + 1)
			pc->pm_enable = (uint16_t)((pc->pm_enable & 0xFF) | (value & 0xFF) << 8);
		else if (at == PM_CONTROL + 1)
			pm_write_control(pc, (uint8_t)value);
	}
}

/* ---- ports ---- */

static bool within(uint16_t port, unsigned first, unsigned count)
{
	return port >= first && port < first + count;
}

/* Which IDE channel has the port among its registers, or -1. */
static int ide_channel(const struct pc *pc, uint16_t port, unsigned bytes)
{
	int channel = -1;

	if (within(port, MACHINE_IDE_FIRST_PORT, MACHINE_IDE_PORTS))
		channel = 0;
	else if (within(port, MACHINE_IDE_SECOND_PORT, MACHINE_IDE_PORTS))
		channel = 1;
	return pc->ide && (bytes == 1 || !(port & 7)) ? channel : -1;
}

/* Registers of one byte. */
static bool byte_in(struct pc *pc, uint16_t port, uint32_t *ret_value)
{
	if (within(port, MACHINE_PIC_FIRST_PORT, MACHINE_PIC_PORTS))
		*ret_value = pic_read(&pc->pic, 0, port & 1);
	else if (within(port, MACHINE_PIC_SECOND_PORT, MACHINE_PIC_PORTS))
		*ret_value = pic_read(&pc->pic, 1, port & 1);
	else if (within(port, MACHINE_PIC_EDGE_PORT, MACHINE_PIC_EDGE_PORTS))
		*ret_value = pic_read_edge(&pc->pic, port & 1);
	else if (within(port, MACHINE_PIT_PORT, MACHINE_PIT_PORTS))
		*ret_value = pit_read(&pc->pit, port & 3);
	else if (port == MACHINE_SPEAKER_PORT)
		*ret_value = pit_read_speaker(&pc->pit);
	else if (port == MACHINE_A20_PORT)
		*ret_value = pc->a20;
	else if (pc->ide && port == MACHINE_IDE_FIRST_CONTROL)
		*ret_value = ide_read_control(pc->ide, 0);
	else if (pc->ide && port == MACHINE_IDE_SECOND_CONTROL)
		*ret_value = ide_read_control(pc->ide, 1);
	else if (port == MACHINE_DEBUG_PORT)
		*ret_value = DEBUG_PRESENT;
	else if (port == MACHINE_FWCFG_DATA_PORT)
		*ret_value = fwcfg_read(&pc->fwcfg);
	else
		return false;
	return true;
}

bool pc_in(struct pc *pc, uint16_t port, unsigned bytes, uint32_t *ret_value)
{
	int channel = ide_channel(pc, port, bytes);

	if (channel >= 0)
		*ret_value = ide_read(pc->ide, (unsigned)channel, port & 7, bytes);
	else if (within(port, MACHINE_PCI_DATA_PORT, MACHINE_PCI_DATA_PORTS))
		*ret_value = pci_read_data(&pc->pci, port & 3, bytes);
	else if (port == MACHINE_PCI_ADDRESS_PORT && bytes == 4)
		*ret_value = pci_read_address(&pc->pci);
	else if (within(port, MACHINE_PM_BASE, PM_CONTROL_END) ||
		 within(port, MACHINE_PM_BASE + MACHINE_PM_TIMER, 4))
		*ret_value = pm_read(pc, port - MACHINE_PM_BASE, bytes);
	else
		return bytes == 1 && byte_in(pc, port, ret_value);
	return true;
}

static void write_a20(struct pc *pc, uint8_t value)
{
	pc->a20 = A20_ON; /* the line is always open */
	if (value & A20_RESET)
		pc->host.event(pc->host.ctx, PC_RESET);
}

static bool byte_out(struct pc *pc, uint16_t port, uint8_t value)
{
	if (within(port, MACHINE_PIC_FIRST_PORT, MACHINE_PIC_PORTS))
		pic_write(&pc->pic, 0, port & 1, value);
	else if (within(port, MACHINE_PIC_SECOND_PORT, MACHINE_PIC_PORTS))
		pic_write(&pc->pic, 1, port & 1, value);
	else if (within(port, MACHINE_PIC_EDGE_PORT, MACHINE_PIC_EDGE_PORTS))
		pic_write_edge(&pc->pic, port & 1, value);
	else if (within(port, MACHINE_PIT_PORT, MACHINE_PIT_PORTS))
		pit_write(&pc->pit, port & 3, value);
	else if (port == MACHINE_SPEAKER_PORT)
		pit_write_speaker(&pc->pit, value);
	else if (port == MACHINE_A20_PORT)
		write_a20(pc, value);
	else if (pc->ide && port == MACHINE_IDE_FIRST_CONTROL)
		ide_write_control(pc->ide, 0, value);
	else if (pc->ide && port == MACHINE_IDE_SECOND_CONTROL)
		ide_write_control(pc->ide, 1, value);
	else if (port == MACHINE_DEBUG_PORT)
		pc->host.debug(pc->host.ctx, value);
	else
		return false;
	look_at_pic(pc);
	pit_wake(&pc->pit);
	return true;
}

bool pc_out(struct pc *pc, uint16_t port, unsigned bytes, uint32_t value)
{
	int channel = ide_channel(pc, port, bytes);

	if (channel >= 0)
		ide_write(pc->ide, (unsigned)channel, port & 7, bytes, value);
	else if (within(port, MACHINE_PCI_DATA_PORT, MACHINE_PCI_DATA_PORTS))
		pci_write_data(&pc->pci, port & 3, bytes, value);
	else if (port == MACHINE_PCI_ADDRESS_PORT && bytes == 4)
		pci_write_address(&pc->pci, value);
	else if (port == MACHINE_FWCFG_SELECT_PORT && bytes == 2)
		fwcfg_select(&pc->fwcfg, (uint16_t)value);
	else if (within(port, MACHINE_PM_BASE, PM_CONTROL_END))
		pm_write(pc, port - MACHINE_PM_BASE, bytes, value);
	else
		return bytes == 1 && byte_out(pc, port, (uint8_t)value);
	return true;
}

bool pc_string_in(struct pc *pc, uint16_t port, unsigned bytes, void *data, uint32_t len)
{
	int channel = port & 7 ? -1 : ide_channel(pc, port, bytes);

	if (channel >= 0)
		ide_read_string(pc->ide, (unsigned)channel, data, len);
	return channel >= 0;
}

bool pc_string_out(struct pc *pc, uint16_t port, unsigned bytes, const void *data, uint32_t len)
{
	int channel = port & 7 ? -1 : ide_channel(pc, port, bytes);

	if (channel >= 0)
		ide_write_string(pc->ide, (unsigned)channel, data, len);
	return channel >= 0;
}

/* ---- life ---- */

void pc_reset(struct pc *pc)
{
	pic_reset(&pc->pic);
	pit_reset(&pc->pit);
	pci_reset(&pc->pci);
	fwcfg_reset(&pc->fwcfg);
	if (pc->ide)
		ide_reset(pc->ide);
	pc->a20 = A20_ON;
	pc->pm_enable = pc->pm_control = 0;
	pc->pm_ahead_ns = 0;
	look_at_pic(pc);
}

/* ---- saved state ---- */

struct saved {
	struct pic pic;
	struct pit_saved pit;
	struct pci pci;
	struct fwcfg_place place;
	uint16_t pm_enable, pm_control;
	uint64_t pm_ns;
};

static void fields(struct saved *s, struct record *r)
{
	pic_fields(&s->pic, r);
	pit_fields(&s->pit, r);
	pci_fields(&s->pci, r);
	fwcfg_fields(&s->place, r);
	record_u16(r, "pm_enable", &s->pm_enable);
	record_u16(r, "pm_control", &s->pm_control);
	record_u64(r, "pm_timer_ns", &s->pm_ns);
	if (s->pm_control & (uint16_t)~PM_CONTROL_WRITABLE)
		record_refuse(r, "the control of power management is 0x%x", s->pm_control);
}

/* The port of A20 reads as one value ever. */
void pc_state(struct pc *pc, struct record *r)
{
	struct saved s = {
		.pic = pc->pic,
		.pci = pc->pci,
		.place = pc->fwcfg.place,
		.pm_enable = pc->pm_enable,
		.pm_control = pc->pm_control,
		.pm_ns = pm_now_ns(pc),
	};

	pit_save(&pc->pit, &s.pit);
	fields(&s, r);
	if (!r->reads || record_end(r) < 0)
		return;
	pc->pic = s.pic;
	pit_load(&pc->pit, &s.pit);
	pc->pci = s.pci;
	pc->fwcfg.place = s.place;
	pc->pm_enable = s.pm_enable;
	pc->pm_control = s.pm_control;
	pc->pm_ahead_ns += s.pm_ns - pm_now_ns(pc);
	look_at_pic(pc);
	pit_wake(&pc->pit);
}

struct pc *pc_new(const struct pc_host *host)
{
	struct pc *pc = calloc(1, sizeof(*pc));
	struct pit_host pit = {
		.clock = host->clock,
		.clock_ctx = host->clock_ctx,
		.timers = host->timers,
		.tick = on_tick,
		.heard = is_heard,
		.ctx = pc,
	};

	if (!pc)
		return NULL;
	pc->host = *host;
	pit_init(&pc->pit, &pit);
	pc_reset(pc);
	return pc;
}

void pc_free(struct pc *pc)
{
	if (pc)
		pit_done(&pc->pit);
	free(pc);
}
