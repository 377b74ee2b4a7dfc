/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A processor of a child partition. It runs on the processor that the parent calls from, until
 * something comes up that is not ours: see enum oya_exit.
 */
#ifndef OYA_HYPERVISOR_CHILD_H
#define OYA_HYPERVISOR_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/oya.h"
#include "hypervisor/partition.h"

struct child;

/* 0 or -ENOMEM: once, before any other. */
int child_init(void);

/* `shared`: address of the parent's page, with OYA_PROCESSOR_APIC. 0, or -EINVAL, -EBUSY, -EEXIST,
 * -ENOMEM: donate more. */
int child_create(struct partition *p, uint64_t number, uint64_t shared);

/* NULL: there is no such processor, or it runs elsewhere. Taken until child_release. */
struct child *child_take(struct partition *p, uint64_t number);
void child_release(struct child *c);

/* Until its next exit, which the shared page tells. */
void child_run(struct child *c, bool finish_only);

void child_get_state(struct child *c, struct oya_state *ret_state);

/* -EINVAL: a value is one that no processor of a child may have; nothing is changed. */
int child_set_state(struct child *c, const struct oya_state *state);

/* A page of FPU state, and the page of an APIC: 0, -EINVAL, -ENOENT. */
void child_get_fpu(struct child *c, void *ret_page);
int child_set_fpu(struct child *c, const void *page);
int child_get_apic(struct child *c, void *ret_page);
int child_set_apic(struct child *c, const void *page);

int child_set_cpuid(struct child *c, const struct oya_cpuid *leaves, uint64_t count);

/* An interrupt message for processors of the partition: 0, -EINVAL or -ESRCH: nobody takes it. */
int child_message(struct partition *p, uint64_t address, uint64_t data, uint64_t *ret_wake);

/* Address of the page that it shares with the parent. */
uint64_t child_shared(const struct child *c);

#endif
