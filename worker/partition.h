/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A partition on the KVM ioctl ABI: the only file besides vcpu.c and cpuid.c that knows it. Made
 * for each start of the guest and thrown away at its end or reset, so that a reset leaves
 * nothing behind.
 *
 * Threads: partition_msi, _bind and _unbind from any; the rest by the thread that owns the VM.
 */
#ifndef OYA_WORKER_PARTITION_H
#define OYA_WORKER_PARTITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/gmem.h"
#include "base/irq.h"
#include "lib/fail.h"
#include "lib/processor.h"
#include "worker/cpuid.h"

struct cpuid_wish {
	const struct cpu_topology *topology; /* NULL: as KVM tells it */
	unsigned index;
	const struct processor *baseline; /* NULL: all that the host has */
	unsigned extra;                   /* entries that there is room for */
};

struct partition {
	int device_fd; /* not owned */
	int vm_fd;
	int run_bytes;  /* of the page shared with each virtual processor */
	bool apic_msrs; /* KVM serves Hyper-V's MSRs of the local APIC itself */
};

/* Opens the device and checks that it offers what the worker needs; -errno and the sentence. NULL:
 * the one of the hypervisor's role where this host has it, else the one of Linux. */
int partition_open_device(const char *path, int *ret_fd, struct failure *f);

/* Makes a partition with its RAM mapped and an in-kernel local APIC per processor. */
int partition_create(struct partition *p, int device_fd, const struct gmem *gmem,
		     struct failure *f);
void partition_destroy(struct partition *p);

/* Whether it gives all of its processors' state, and takes it. */
bool partition_gives_state(const struct partition *p);
/* Whether it takes pages from our mapping as they are needed; else it has had them all since it was
 * made. */
bool partition_follows_memory(const struct partition *p);

/* The pages that processors and KVM itself write are logged from now on, all marked at first, or
 * not any more. 0, or -errno: -EOPNOTSUPP where there is no such log. */
int partition_log(struct partition *p, const struct gmem *gmem, bool on);

/* The marks of a region of gmem, a bit for each page; they stay. 0 or -errno. */
int partition_log_get(const struct partition *p, unsigned region, uint64_t *ret_bits);

/* Takes the marks in `bits` away from the pages [first, first + count), of which the first is that
 * of bit 0. Both are multiples of 64, or reach the region's end. 0 or -errno. */
int partition_log_clear(const struct partition *p, unsigned region, uint64_t first, uint32_t count,
			uint64_t *bits);

/* irq_ops.msi with a struct partition as context. */
void partition_msi(void *ctx, uint64_t address, uint32_t data);

/* Connects 4-byte OUTs of `value` to `port` with an eventfd, in the kernel. 0 or -errno. */
int partition_bind(struct partition *p, uint16_t port, uint32_t value, int event_fd);
int partition_unbind(struct partition *p, uint16_t port, uint32_t value, int event_fd);

/* Tells the kernel of the message that IOAPIC pin `pin` sends, so that it reports the EOI of
 * level-triggered ones. 0 or -errno. */
struct partition_route {
	uint64_t address;
	uint32_t data;
	bool used;
};
int partition_set_routes(struct partition *p, const struct partition_route *routes, unsigned count);

/* CPUID as a processor sees it, Hyper-V's leaves aside. The caller frees it. */
int partition_cpuid(int device_fd, const struct cpuid_wish *wish, struct kvm_cpuid2 **ret_cpuid,
		    struct failure *f);

#endif
