/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What vcpu.c (threads and exits) and vcpu_record.c (a saved state) share.
 */
#ifndef OYA_WORKER_VCPU_PRIV_H
#define OYA_WORKER_VCPU_PRIV_H

#include <linux/kvm.h>
#include <pthread.h>

#include "worker/vcpu.h"

enum run { RUN_PAUSED, RUN_GOING, RUN_ENDED };

struct vcpu {
	struct vcpus *all;
	unsigned index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started, dead; /* dead: stopped for good by its own doing */
	struct vcpu_stats stats;
};

struct vcpus {
	const struct partition *partition;
	const struct vcpu_ops *ops;
	void *ctx;
	struct vcpu_layout layout;
	struct vcpu_clock clock;
	pthread_mutex_t run_lock;
	pthread_cond_t may_go;       /* waited for by processors */
	pthread_cond_t parked;       /* waited for by who pauses */
	unsigned run;                /* enum run; atomic, written under run_lock */
	bool slowed;                 /* atomic, the same: they stand still for a moment */
	unsigned running;            /* threads that do not wait for may_go and have not ended */
	struct kvm_cpuid2 *features; /* of the first */
	unsigned count;
	struct vcpu vcpu[];
};

/* 0, or -errno of a KVM that has no offset. */
int vcpu_set_tsc_offset(int fd, uint64_t offset);

/* The features of a processor, kept in place of what *keep was. 0, or -errno and the sentence. */
int vcpu_set_cpuid(const struct vcpu *c, const struct hv *hv, struct kvm_cpuid2 **keep,
		   struct failure *f);

/* Whether the guest was told of a feature: a bit of EAX (0) to EDX (3) of a leaf. */
bool vcpus_have(const struct vcpus *v, uint32_t leaf, unsigned which, unsigned bit);
/* Components of XSAVE that the guest can use, the legacy ones always. */
uint64_t vcpus_components(const struct vcpus *v);

#endif
