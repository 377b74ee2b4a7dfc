/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtual processors of a partition: a thread each, which runs the guest and hands every
 * exit to the table of calls below.
 *
 * Threads: the calls of struct vcpu_ops come on the processor's thread with no lock held. All
 * functions here are for the thread that owns the VM.
 *
 * Trust: what an exit carries comes from the guest; sizes are those that KVM checks (1, 2, 4, 8).
 */
#ifndef OYA_WORKER_VCPU_H
#define OYA_WORKER_VCPU_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/record.h"
#include "devices/hv/hv.h"
#include "lib/fail.h"
#include "worker/boot.h"
#include "worker/partition.h"

enum vcpu_stop {
	VCPU_TRIPLE_FAULT,
	VCPU_BROKEN, /* KVM cannot go on; the text tells */
};

struct vcpu_ops {
	uint32_t (*port_in)(void *ctx, uint16_t port, unsigned bytes);
	void (*port_out)(void *ctx, uint16_t port, unsigned bytes, uint32_t value);
	/* A string instruction's data, len bytes in pieces of `bytes`; false, with nothing done:
	 * the port wants them one by one. */
	bool (*port_string)(void *ctx, uint16_t port, unsigned bytes, bool out, void *data,
			    uint32_t len);
	uint64_t (*mmio_read)(void *ctx, uint64_t gpa, unsigned bytes);
	void (*mmio_write)(void *ctx, uint64_t gpa, unsigned bytes, uint64_t value);
	/* 0, or -EPERM: the guest gets a #GP. */
	int (*msr_read)(void *ctx, unsigned index, uint32_t msr, uint64_t *ret_value);
	int (*msr_write)(void *ctx, unsigned index, uint32_t msr, uint64_t value);
	uint64_t (*hypercall)(void *ctx, uint64_t control, uint64_t input);
	/* The guest ended a level-triggered interrupt of the IOAPIC. */
	void (*eoi)(void *ctx, uint8_t vector);
	/* Whether the PIC has an interrupt for the first processor; and the vector that it takes
	 * now, or -1. */
	bool (*pic_pending)(void *ctx);
	int (*pic_take)(void *ctx);
	/* The processor cannot go on; it stays parked until vcpus_free(). */
	void (*stopped)(void *ctx, unsigned index, enum vcpu_stop why, const char *text);
};

struct vcpus;

struct vcpu_layout {
	struct cpu_topology topology;
	const struct processor *baseline; /* NULL: all that the host has. By reference, too */
	const cpu_set_t *pin; /* for each processor the host's that may run it; NULL: all may.
			       * Kept by reference. */
};

struct vcpu_clock {
	uint64_t tsc_hz;
	uint64_t tsc_offset; /* guest's TSC minus the host's */
	bool common;         /* one clock on all processors, known to us: offset is valid */
};

struct vcpu_stats {
	uint64_t exits, port_exits, mmio_exits, msr_exits, hypercalls, interruptions;
};

/* Makes the processors of a layout without running them; their TSC begins near zero. */
int vcpus_new(const struct partition *p, const struct vcpu_layout *layout,
	      const struct vcpu_ops *ops, void *ctx, struct vcpus **ret_vcpus, struct failure *f);

/* Stops the threads, waits for them, frees everything. NULL is fine. Not with the lock of the
 * devices held. */
void vcpus_free(struct vcpus *v);

struct vcpu_clock vcpus_clock(const struct vcpus *v);

/* The first processor is to look at the PIC; from any thread. */
void vcpus_kick_first(struct vcpus *v);

/* CPUID with the leaves of hv, and the entry state of the first processor; NULL: as after a reset,
 * at the firmware's first instruction. */
int vcpus_set_up(struct vcpus *v, const struct hv *hv, const struct boot_entry *entry,
		 struct failure *f);

/* The features of the first processor: function, index, EAX, EBX, ECX, EDX for each leaf; how many
 * there are, at most `max`. After vcpus_set_up(). */
unsigned vcpus_cpuid(const struct vcpus *v, uint32_t *ret_words, unsigned max);

/* The processors get the features that the guest has had elsewhere, in the same form, where this
 * host has as much. 0, or -errno and the sentence. Before a processor has run. */
int vcpus_take_cpuid(struct vcpus *v, const uint32_t *words, unsigned count, struct failure *f);

/* Whether this process may run on the processors that `pin` names; 0, or -errno and the
 * sentence. */
int vcpu_check_pin(const cpu_set_t *pin, unsigned count, struct failure *f);

/* Starts the threads; the processors are paused until vcpus_resume(). 0 or -errno. */
int vcpus_start(struct vcpus *v);
void vcpus_resume(struct vcpus *v);

/* Asks every processor to stop before its next instruction; from any thread, at once. */
void vcpus_halt(struct vcpus *v);
/* While on, they stand still as well, without anybody having paused them: for a moment, so that
 * they write less. Any thread. */
void vcpus_slow(struct vcpus *v, bool on);

/* The same, and waits until all have stopped. Not with the lock of the devices held. */
void vcpus_pause(struct vcpus *v);

/* A processor in a saved state, while it is paused; read before its thread has begun, after
 * vcpus_set_up() and vcpus_set_tsc(). */
void vcpu_record(struct vcpus *v, unsigned index, struct record *r);

/* The guest's TSC becomes the host's and this offset, where KVM has offsets; else it goes on from
 * `tsc`, as near as KVM comes. */
void vcpus_set_tsc(struct vcpus *v, uint64_t offset, uint64_t tsc);

/* Sum over the processors; may lag behind while they run. */
struct vcpu_stats vcpus_stats(const struct vcpus *v);

#endif
