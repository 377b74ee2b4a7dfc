/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine that the processors find themselves in: chipset, Hyper-V interface and VMBus, and
 * the dispatch of every exit to them.
 *
 * Threads: the exits come on the processors' threads and take `lock`, which guards all devices.
 * Order of locks: `lock`, then a processor's run_lock (vcpu.c).
 */
#ifndef OYA_WORKER_MACHINE_H
#define OYA_WORKER_MACHINE_H

#include <pthread.h>

#include "devices/chipset/ioapic.h"
#include "devices/chipset/pc.h"
#include "devices/chipset/rtc.h"
#include "devices/chipset/serial.h"
#include "devices/hv/hv.h"
#include "devices/vmbus/bus.h"
#include "lib/fail.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "worker/config.h"
#include "worker/firmware.h"
#include "worker/kicks.h"
#include "worker/partition.h"
#include "worker/vcpu.h"

enum machine_event {
	MACHINE_POWER_OFF,
	MACHINE_RESET,
	MACHINE_TRIPLE_FAULT,
	MACHINE_BROKEN,
};

struct machine_host {
	/* The guest ends its run; called with the lock held, from a processor's thread. */
	void (*event)(void *ctx, enum machine_event event, const char *text);
	/* The guest reports a crash. */
	void (*crash)(void *ctx, const struct hv_crash *crash);
	void *ctx;
	/* What the guest writes to its serial port, and its wish for more input. */
	struct serial_host console;
	void *console_ctx;
};

struct machine {
	pthread_mutex_t *lock;
	struct loop *loop;
	const struct gmem *gmem;
	struct machine_host host;
	struct partition *partition; /* of the current run */
	struct vcpus *vcpus;
	struct hv *hv; /* of the current run; NULL between runs */
	struct vmbus *bus;
	struct kicks kicks;
	struct serial *serial;
	struct rtc *rtc;
	struct ioapic *ioapic;
	struct pc *pc; /* with firmware only, as the next two */
	struct ide *ide;
	const struct firmware *firmware; /* the owner sets it before the first run */
	char debug[128];                 /* a line of the firmware's */
	unsigned debug_len;
	struct guestlog log;
	struct log_limit log_limit;
	struct serial_host serial_host;
	uint64_t tsc_scale, tsc_offset, tsc_base, started_ns;
	bool tsc_common, host_tsc_trusted;
	bool stimer, stimer_direct; /* what the guest is offered of synthetic timers */
	bool deferred, routes_changed;
	unsigned cpus;
};

extern const struct clock_ops machine_clock;
extern const struct vcpu_ops machine_vcpu_ops;

/* The parts that live as long as the VM. 0, or -errno and the sentence. */
int machine_init(struct machine *m, const struct config *config, pthread_mutex_t *lock,
		 struct loop *loop, const struct gmem *gmem, const struct machine_host *host,
		 struct failure *f);
void machine_done(struct machine *m);

/* A run of the guest begins: tables are written, the Hyper-V interface is made anew.
 * *ret_rsdp is what the kernel is told. */
int machine_begin(struct machine *m, const struct config *config, struct partition *partition,
		  struct vcpus *vcpus, uint64_t *ret_rsdp, struct failure *f);

/* The run is over and the processors are gone: devices as after power-on. */
void machine_end(struct machine *m);

/* The reference counter goes on from here, where the host's TSC is that; the TSC of the processors
 * has been set. */
void machine_continue(struct machine *m, uint64_t host_tsc, uint64_t reference_100ns);

/* The guest's reference counter, in 100 ns. */
uint64_t machine_reference_time(const struct machine *m);

/* Work that was put off until no device is in the middle of something; the loop calls it with
 * the lock held before it waits. */
void machine_run_deferred(struct machine *m);

#endif
