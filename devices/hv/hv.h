/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Microsoft hypervisor's interface to a guest, done outside of any hypervisor: a partition
 * with virtual processors, their MSRs, hypercalls and synthetic interrupt controllers.
 *
 * The program that runs the processors calls hv_msr_read/write and hv_hypercall for the exits
 * that it gets, and hv_cpuid_leaf for the CPUID table; VMBus posts and signals through it.
 *
 * Threads: every call with the lock of the devices held.
 * Trust: MSR values, hypercall registers and all pages are the guest's.
 * Spec: abi/hv.h.
 */
#ifndef OYA_DEVICES_HV_HV_H
#define OYA_DEVICES_HV_HV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/hv.h"
#include "base/gmem.h"
#include "base/guestlog.h"
#include "base/irq.h"
#include "base/record.h"
#include "base/timerq.h"

#define HV_VPS_MAX 64u
#define HV_CRASH_TEXT_MAX 4096u

struct hv;

struct hv_crash {
	uint64_t parameter[5];
	char text[HV_CRASH_TEXT_MAX]; /* lines of printable ASCII; "" when the guest gave none */
};

struct hv_world_ops {
	/* The partition's reference time, in 100 ns since its start. */
	uint64_t (*reference_time)(void *ctx);
	/* The guest posted a message (a private copy). 0; -EINVAL; -ENOENT: no such connection. */
	int (*message)(void *ctx, uint32_t connection_id, const void *payload, size_t len);
	/* The guest signalled an event of a connection. 0 or -ENOENT. */
	int (*event)(void *ctx, uint32_t connection_id);
	/* A message slot of SINT `sint` may be free, or a VP's SynIC was switched on. */
	void (*slot_free)(void *ctx, unsigned sint);
	/* The guest tells that it crashed. */
	void (*crash)(void *ctx, const struct hv_crash *crash);
};

struct hv_config {
	unsigned vp_count; /* 1..HV_VPS_MAX; the APIC id of a VP is its index */
	uint64_t tsc_hz;
	uint64_t apic_hz;
	bool apic_msrs;     /* EOI, ICR, TPR and the assist page are somebody else's, and offered */
	bool reference_tsc; /* the guest's TSC is one clock on all VPs: offer the TSC page */
	uint64_t tsc_offset;          /* of the TSC page: reference time = tsc * scale + offset */
	uint8_t kick_port, call_port; /* of the hypercall page: 4-byte OUTs */
	const struct gmem *gmem;
	const struct irq_ops *irq;
	void *irq_ctx;
	struct timerq *timers;  /* in the time of clock->monotonic_ns; NULL: no synthetic timers */
	bool timers_by_message; /* they have no direct mode */
	const struct clock_ops *clock;
	void *clock_ctx;
	const struct guestlog *log;
	const struct hv_world_ops *world;
	void *world_ctx;
};

struct hv_leaf {
	uint32_t function, eax, ebx, ecx, edx;
};

/* 0 and *ret_hv, -EINVAL for a config out of range, -ENOMEM. */
int hv_new(const struct hv_config *config, struct hv **ret_hv);
void hv_free(struct hv *hv);

/* The partition is reset: every register as after hv_new(). */
void hv_reset(struct hv *hv);

/* The nth (from 0) CPUID leaf that a guest sees; false behind the last. */
bool hv_cpuid_leaf(const struct hv *hv, unsigned n, struct hv_leaf *ret_leaf);

/* MSRs HV_MSR_FIRST .. +HV_MSR_COUNT. 0, or -EPERM: the guest gets a #GP. */
int hv_msr_read(struct hv *hv, unsigned vp, uint32_t msr, uint64_t *ret_value);
int hv_msr_write(struct hv *hv, unsigned vp, uint32_t msr, uint64_t value);

/* Carries out a hypercall: registers RCX, RDX (R8 is not used by any that we know); the status
 * for RAX. */
uint64_t hv_hypercall(struct hv *hv, uint64_t control, uint64_t input);

/* Puts a message into a VP's slot and raises its SINT. 0; -EAGAIN while the slot is taken;
 * -ENXIO while the VP's SynIC or its message page is off. len <= HV_MESSAGE_PAYLOAD. */
int hv_post(struct hv *hv, unsigned vp, unsigned sint, uint32_t type, const void *payload,
	    size_t len);

/* Sets an event flag of a VP's SINT and raises it when the flag was clear. 0; -ENXIO; -EINVAL
 * for a SINT or flag out of range. */
int hv_signal(struct hv *hv, unsigned vp, unsigned sint, unsigned flag);

/* The partition in a saved state. Read into one that no guest has used, with its memory as it was
 * and the reference counter going on from where it stood: timers run on, the TSC page is written
 * anew. */
void hv_state(struct hv *hv, struct record *r);

/* The reference counter moves: it is the guest's TSC, scaled, and this offset from now on. A guest
 * that is in the middle of reading the TSC page notices. */
void hv_move_reference(struct hv *hv, uint64_t tsc_offset);

/* What the guest said it is (MSR 4000_0000); 0 before it did. */
uint64_t hv_guest_os_id(const struct hv *hv);

#endif
