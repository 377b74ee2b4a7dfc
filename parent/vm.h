/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A partition as KVM's interface sees it: a VM, its memory slots, its processors.
 *
 * A VM lives until the last file of it and of its processors is closed; then all its memory is the
 * parent's again.
 */
#ifndef OYA_PARENT_VM_H
#define OYA_PARENT_VM_H

#include <linux/hashtable.h>
#include <linux/kref.h>
#include <linux/kvm.h>
#include <linux/list.h>
#include <linux/mutex.h>

#define OYA_SLOTS 64u
#define OYA_PROCESSORS 256u
#define OYA_EVENT_BITS 8
#define OYA_LOG_FLAGS (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)

struct oya_filter;
struct oya_routes;
struct oya_vcpu;

struct oya_slot {
	u64 guest, bytes; /* bytes 0: not in use */
	u64 at;           /* the worker's address */
	u32 flags;        /* KVM_MEM_... */
	unsigned long
		*written;    /* while it is logged: a bit for each page, since it was asked for */
	unsigned long count; /* pages that are pinned */
	struct page **pages;
	struct mm_struct *mm;
};

struct oya_vm {
	struct kref refs;
	u64 number;        /* the partition's */
	struct mutex lock; /* of all below, where nothing else is said */
	struct list_head chunks;
	struct page *list; /* for calls that take one */
	struct oya_slot slot[OYA_SLOTS];
	struct oya_vcpu *vcpu[OYA_PROCESSORS]; /* set once, read by all */
	bool has_apics;                        /* processors get one */
	bool clears_log;                       /* the worker, by a call of its own */
	bool log_begins_full;            /* all pages count as written when it is switched on */
	u32 msr_reasons;                 /* for which the worker is asked: KVM_MSR_EXIT_... */
	struct oya_filter __rcu *filter; /* NULL: all are allowed */
	DECLARE_HASHTABLE(events, OYA_EVENT_BITS); /* read under RCU */
	struct oya_routes __rcu *routes;           /* NULL: none */
	struct list_head descriptors;              /* that raise a line */
	unsigned int descriptor_count;
};

/* A file of a new VM, or a negative errno. */
int oya_vm_create(void);
void oya_vm_put(struct oya_vm *vm);

/* Calls that may need more memory for the partition: given as it is asked for. With the lock held.
 */
long oya_vm_call(struct oya_vm *vm, u64 number, u64 *b, u64 c, u64 d, u64 s);

/* One chunk more; 0 or a negative errno. */
int oya_vm_donate(struct oya_vm *vm);

/* memory.c; with the lock held. */
int oya_memory_set(struct oya_vm *vm, const struct kvm_userspace_memory_region *region);
void oya_memory_unpin(struct oya_slot *slot);
long oya_memory_log(struct oya_vm *vm, const struct kvm_dirty_log __user *argument);
long oya_memory_clear_log(struct oya_vm *vm, const struct kvm_clear_dirty_log __user *argument);

/* events.c: descriptors that are told of writes to ports and to memory of devices. */
int oya_event_set(struct oya_vm *vm, const struct kvm_ioeventfd *wanted); /* with the lock held */
void oya_events_free(struct oya_vm *vm);
/* Whether there is one for this write; then it has been told. */
bool oya_event_signal(struct oya_vm *vm, bool is_port, u64 address, u32 bytes, u64 value);

#endif
