/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A processor of a partition; it lives as long as its VM. */
#ifndef OYA_PARENT_VCPU_H
#define OYA_PARENT_VCPU_H

#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/rcuwait.h>
#include <linux/signal_types.h>

#include "abi/oya.h"
#include "parent/msrs.h"

#define OYA_RUN_PAGES 2u
#define OYA_DATA_OFFSET PAGE_SIZE /* of what ports exchange, behind struct kvm_run */

/* What the worker has been asked for, and the next run takes to the instruction. */
enum oya_question {
	OYA_ASKED_NOTHING,
	OYA_ASKED_PORT,
	OYA_ASKED_PORT_STRING,
	OYA_ASKED_MEMORY,
	OYA_ASKED_MSR,
};

struct oya_vcpu {
	struct oya_vm *vm;
	u64 number;
	struct mutex lock; /* of all below, where nothing else is said */
	struct page *shared_page, *state_page;
	struct oya_processor *shared;
	struct oya_state *state; /* valid only between get_state and set_state */
	struct kvm_run *run;     /* the worker may write it at any time */
	enum oya_question question;
	bool has_signals; /* the next is in place of the thread's while it runs */
	sigset_t signals;
	u64 msr[OYA_MSRS];

	struct hrtimer timer;
	u64 armed;    /* the deadline that it was armed for */
	int armed_on; /* the processor of the machine */
	bool expired; /* set by the timer */
	struct rcuwait wait;
};

/* vcpu.c: a file of a new processor, or a negative errno; with the VM's lock held. */
int oya_vcpu_create(struct oya_vm *vm, u64 number);
void oya_vcpu_free(struct oya_vcpu *v);
long oya_vcpu_call(struct oya_vcpu *v, u64 number, u64 d, u64 s);
long oya_vcpu_get_state(struct oya_vcpu *v);
long oya_vcpu_set_state(struct oya_vcpu *v);

/* run.c */
void oya_run_init(struct oya_vcpu *v);
void oya_run_done(struct oya_vcpu *v);
long oya_run(struct oya_vcpu *v);
void oya_wake(struct oya_vm *vm, u64 whom); /* OYA_WAKE_... */

#endif
