/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole machine without a hypervisor: Hyper-V interface, bus, disk, NIC, integration services
 * and chipset, wired as worker/machine.c wires them, in virtual time. One machine for all inputs;
 * whole_reset() puts it back.
 *
 * Guest memory: WHOLE_PAGES pages at GPA 0. Each relid below WHOLE_RELIDS has an area of
 * WHOLE_AREA pages for its rings: half of them per direction, the first of each half its control
 * page.
 */
#ifndef OYA_FUZZ_WHOLE_H
#define OYA_FUZZ_WHOLE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/machine.h"
#include "abi/storvsc.h"
#include "base/bytes.h"
#include "base/cursor.h"
#include "base/util.h"
#include "devices/chipset/ioapic.h"
#include "devices/chipset/rtc.h"
#include "devices/chipset/serial.h"
#include "devices/hv/hv.h"
#include "devices/ic/heartbeat.h"
#include "devices/ic/kvp.h"
#include "devices/ic/shutdown.h"
#include "devices/ic/timesync.h"
#include "devices/net/netvsp.h"
#include "devices/storage/storvsp.h"
#include "devices/vmbus/bus.h"
#include "fuzz/harness.h"
#include "tests/lib/memdisk.h"

#define WHOLE_VPS 2u
#define WHOLE_PAGES 80u
#define WHOLE_RAM (WHOLE_PAGES * 4096u)
#define WHOLE_RELIDS 8u /* relids 1..7: disk, NIC, four services, the sub-channel of the disk */
#define WHOLE_ANY_RELID 512u /* a sub-channel gets a new one while the old is not released */
#define WHOLE_AREA 6u
#define WHOLE_AREA_FIRST 32u
#define WHOLE_RING ((WHOLE_AREA / 2 - 1) * 4096u)
#define WHOLE_DISK (64u << 10)
#define WHOLE_ROUNDS 64u /* of deferred work, within which it must come to an end */
#define WHOLE_SECOND UINT64_C(1000000000)

struct whole {
	uint8_t *ram;
	struct gmem gmem;
	struct guestlog log;
	struct timerq timers;
	uint64_t now_ns;
	struct hv *hv;
	struct vmbus *bus;
	struct memdisk *disk;
	struct storvsp *sp;
	struct netport port;
	struct netvsp *nic;
	bool want;
	struct heartbeat *hb;
	struct shutdown *sd;
	struct timesync *ts;
	struct kvp *kvp;
	struct serial *serial;
	struct rtc *rtc;
	struct ioapic *ioapic;
	bool line, deferred;
	/* What happened, for the checks: since the input began, but for bound. */
	uint64_t interrupts, frames, crashes, log_lines, answers, requests;
	bool bound[WHOLE_ANY_RELID];
};

static uint64_t whole_now(void *ctx)
{
	return ((struct whole *)ctx)->now_ns;
}

static uint64_t whole_wall(void *ctx)
{
	return UINT64_C(1700000000) * WHOLE_SECOND + whole_now(ctx);
}

static uint64_t whole_reference(void *ctx)
{
	return whole_now(ctx) / 100;
}

/* Fixed address bits, a processor, delivery modes and vectors: nothing else may come out. */
static void whole_msi(void *ctx, uint64_t address, uint32_t data)
{
	struct whole *w = ctx;

	must((address & ~UINT64_C(0xFF00C)) == MACHINE_LAPIC_BASE && !(data & ~UINT32_C(0xC7FF)));
	w->interrupts++;
}

static int whole_message(void *ctx, uint32_t connection, const void *payload, size_t len)
{
	struct whole *w = ctx;

	must(len <= HV_MESSAGE_PAYLOAD);
	if (connection != VMBUS_CONNECTION_ID && connection != VMBUS_CONNECTION_ID_V5)
		return -ENOENT;
	return vmbus_message(w->bus, connection, payload, len);
}

static int whole_event(void *ctx, uint32_t connection)
{
	return vmbus_signal(((struct whole *)ctx)->bus, connection);
}

static void whole_slot_free(void *ctx, unsigned sint)
{
	must(sint < HV_SINTS);
	if (sint == VMBUS_SINT)
		vmbus_slot_free(((struct whole *)ctx)->bus);
}

static void whole_crash(void *ctx, const struct hv_crash *crash)
{
	must(memchr(crash->text, '\0', sizeof(crash->text)) != NULL);
	((struct whole *)ctx)->crashes++;
}

static int whole_post(void *ctx, uint32_t vp, const void *message, size_t len)
{
	struct whole *w = ctx;

	must(vp < WHOLE_VPS && len <= VMBUS_MESSAGE_MAX);
	return hv_post(w->hv, vp, VMBUS_SINT, VMBUS_MESSAGE_TYPE, message, len);
}

static void whole_signal(void *ctx, uint32_t vp, uint32_t flag)
{
	must(vp < WHOLE_VPS && flag > 0 && flag < WHOLE_ANY_RELID);
	hv_signal(((struct whole *)ctx)->hv, vp, VMBUS_SINT, flag);
}

static bool *whole_binding(struct whole *w, uint32_t connection)
{
	must(connection > VMBUS_SIGNAL_CONNECTION_BASE);
	must(connection - VMBUS_SIGNAL_CONNECTION_BASE < ARRAY_LEN(w->bound));
	return &w->bound[connection - VMBUS_SIGNAL_CONNECTION_BASE];
}

static int whole_bind(void *ctx, uint32_t connection)
{
	bool *bound = whole_binding(ctx, connection);

	must(!*bound);
	*bound = true;
	return 0;
}

static void whole_unbind(void *ctx, uint32_t connection)
{
	bool *bound = whole_binding(ctx, connection);

	must(*bound);
	*bound = false;
}

static void whole_defer(void *ctx)
{
	((struct whole *)ctx)->deferred = true;
}

static void whole_log(void *ctx, const char *device, const char *text)
{
	must(device[0] && text[0]);
	((struct whole *)ctx)->log_lines++;
}

static int whole_send(void *ctx, const struct iovec *iov, unsigned count, size_t len,
		      const struct netport_facts *facts)
{
	struct whole *w = ctx;
	size_t sum = 0;

	for (unsigned i = 0; i < count; i++) {
		const uint8_t *base = iov[i].iov_base;

		sum += iov[i].iov_len;
		if (iov[i].iov_len)
			(void)*(const volatile uint8_t *)(base + iov[i].iov_len - 1);
	}
	must(sum == len && len <= NETPORT_FRAME_MAX);
	must(facts->header_len <= len);
	must(!facts->checksum_missing ||
	     (size_t)facts->checksum_start + facts->checksum_offset + 2 <= len);
	must(!facts->segments || facts->segment_bytes);
	w->frames++;
	return 0;
}

static void whole_want(void *ctx, bool on)
{
	((struct whole *)ctx)->want = on;
}

static void whole_answered(void *ctx, int result, uint32_t status)
{
	struct whole *w = ctx;

	(void)result;
	(void)status;
	must(++w->answers <= w->requests);
}

static void whole_output(void *ctx, const uint8_t *bytes, size_t n)
{
	(void)ctx;
	must(n == 1 && bytes);
}

static void whole_line(void *ctx, bool level)
{
	struct whole *w = ctx;

	must(w->line != level);
	w->line = level;
	ioapic_set_irq(w->ioapic, MACHINE_COM1_GSI, level);
}

static void whole_room(void *ctx)
{
	(void)ctx;
}

static const struct clock_ops whole_clock = {.monotonic_ns = whole_now, .wall_ns = whole_wall};
static const struct irq_ops whole_irq = {.msi = whole_msi};
static const struct hv_world_ops whole_hv_world = {
	.reference_time = whole_reference,
	.message = whole_message,
	.event = whole_event,
	.slot_free = whole_slot_free,
	.crash = whole_crash,
};
static const struct vmbus_world_ops whole_bus_world = {
	.post = whole_post,
	.signal = whole_signal,
	.bind_kick = whole_bind,
	.unbind_kick = whole_unbind,
	.defer = whole_defer,
};
static const struct netport_ops whole_net = {.send = whole_send, .want = whole_want};
static const struct serial_host whole_serial = {whole_output, whole_line, whole_room};
static const struct shutdown_host whole_shutdown = {.answered = whole_answered};
static const struct timesync_host whole_timesync = {.reference_100ns = whole_reference};
static const struct scsi_identity whole_unit = {"Oya", "Virtual Disk", "1.0", "whole"};

static inline void whole_make_hv(struct whole *w)
{
	struct hv_config config = {
		.vp_count = WHOLE_VPS,
		.tsc_hz = 2600000000,
		.apic_hz = 1000000000,
		.reference_tsc = true,
		.kick_port = MACHINE_HYPERCALL_KICK_PORT,
		.call_port = MACHINE_HYPERCALL_CALL_PORT,
		.gmem = &w->gmem,
		.irq = &whole_irq,
		.irq_ctx = w,
		.timers = &w->timers,
		.clock = &whole_clock,
		.clock_ctx = w,
		.log = &w->log,
		.world = &whole_hv_world,
		.world_ctx = w,
	};
	struct vmbus_config bus = {
		.world = &whole_bus_world,
		.world_ctx = w,
		.gmem = &w->gmem,
		.log = &w->log,
		.vp_count = WHOLE_VPS,
	};

	must(hv_new(&config, &w->hv) == 0 && vmbus_new(&bus, &w->bus) == 0);
}

/* What is made anew for each input: the NIC counts the generations of its sections on, the
 * integration services keep what a guest told them, and the clock its registers. */
static inline void whole_begin(struct whole *w)
{
	struct ic_env env = {
		.bus = w->bus, .timers = &w->timers, .clock = &whole_clock, .clock_ctx = w};
	struct netvsp_config net = {
		.instance = {.b = {2}}, .mac = {0, 0x15, 0x5d, 1, 2, 3}, .queues = 2};

	w->now_ns = 0;
	w->interrupts = w->frames = w->crashes = w->log_lines = w->answers = w->requests = 0;
	must(storvsp_attach(w->sp, 0, 0, &w->disk->dev, &whole_unit) == 0);
	w->want = false;
	w->nic = netvsp_new(w->bus, &net, &w->port);
	must(w->nic != NULL);
	must(heartbeat_new(&env, NULL, NULL, &w->hb) == 0);
	must(shutdown_new(&env, &whole_shutdown, w, &w->sd) == 0);
	must(timesync_new(&env, &whole_timesync, w, &w->ts) == 0);
	must(kvp_new(&env, &w->kvp) == 0);
	must(rtc_new(&whole_clock, w, &w->rtc) == 0);
}

static inline struct whole *whole_get(void)
{
	static struct whole w;
	struct storvsp_config scsi = {.instance = {.b = {1}}, .sub_channels_max = 1};
	struct ioapic_host host = {.irq = &whole_irq, .irq_ctx = &w};

	if (!w.ram) {
		w.ram = aligned_alloc(4096, WHOLE_RAM);
		must(w.ram && gmem_add(&w.gmem, 0, WHOLE_RAM, w.ram) == 0);
		memset(w.ram, 0, WHOLE_RAM);
		w.log = (struct guestlog){.write = whole_log, .ctx = &w};
		w.port = (struct netport){
			.ops = &whole_net, .ctx = &w, .features = NETPORT_CHECKSUM | NETPORT_TCP4};
		timerq_init(&w.timers);
		whole_make_hv(&w);
		w.disk = memdisk_new(WHOLE_DISK, 512);
		w.sp = storvsp_new(w.bus, &scsi);
		must(w.sp && serial_new(&whole_serial, &w, &w.serial) == 0 &&
		     ioapic_new(&host, &w.ioapic) == 0);
	}
	whole_begin(&w);
	return &w;
}

static inline void whole_run_deferred(struct whole *w)
{
	unsigned rounds = 0;

	while (w->deferred) {
		w->deferred = false;
		vmbus_run_deferred(w->bus);
		if (++rounds == WHOLE_ROUNDS)
			return; /* a guest may keep it going; nobody has to wait for the end */
	}
}

/* As at a reset of the VM: what the guest set up is gone, the devices stay. */
static inline void whole_power_cycle(struct whole *w)
{
	vmbus_reset(w->bus);
	serial_reset(w->serial);
	ioapic_reset(w->ioapic);
	hv_reset(w->hv);
	w->deferred = false;
	for (unsigned i = 0; i < ARRAY_LEN(w->bound); i++)
		must(!w->bound[i]);
}

static inline void whole_end(struct whole *w)
{
	whole_power_cycle(w);
	w->disk->refuse = 0;
	memdisk_complete_all(w->disk);
	must(storvsp_inflight(w->sp) == 0 && w->disk->broken == 0);
	must(storvsp_detach(w->sp, 0, 0) == 0);
	netvsp_free(w->nic);
	heartbeat_free(w->hb);
	shutdown_free(w->sd);
	timesync_free(w->ts);
	kvp_free(w->kvp);
	rtc_free(w->rtc);
	must(timerq_next(&w->timers) == TIMERQ_NEVER);
	must(w->requests - w->answers <= 1);
	fuzz_tell(w->ram, WHOLE_RAM);
	fuzz_tell(&w->interrupts, sizeof(w->interrupts));
	memdisk_reset(w->disk);
	memset(w->ram, 0, WHOLE_RAM);
}

/* Behind whole_end(): the next machine is made anew. */
static inline void whole_forget(struct whole *w)
{
	storvsp_free(w->sp);
	serial_free(w->serial);
	ioapic_free(w->ioapic);
	vmbus_free(w->bus);
	hv_free(w->hv);
	memdisk_free(w->disk);
	free(w->ram);
	*w = (struct whole){0};
}

#endif
