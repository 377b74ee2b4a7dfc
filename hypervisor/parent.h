/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parent partition: all memory but ours at its own addresses, all devices, all interrupts. What
 * it may not do comes out of it as an exit, and is handled here.
 */
#ifndef OYA_HYPERVISOR_PARENT_H
#define OYA_HYPERVISOR_PARENT_H

#include <stdint.h>

#include "abi/svm.h"
#include "hypervisor/cpu.h"
#include "hypervisor/load.h"

struct parent_log {
	uint64_t start, len; /* physical */
};

/* Once, before any processor enters; what of `load` is ours is hidden, `log` may be read. 0 or
 * -ENOMEM. */
int parent_init(const struct load *load, void *log, uint32_t log_bytes);
struct parent_log parent_log(void);

/* Its nested page table, physical: for its devices too. */
uint64_t parent_tables(void);

/* 2 MiB that the parent loses (it reads zeros there) and has again. To flush is the caller's
 * business. 0 or -ENOMEM. */
int parent_hide_chunk(uint64_t at);
void parent_show_chunk(uint64_t at);

/* For tests, by a word of the boot loader's: the parent's next look for us ends in a panic. */
void parent_want_panic(void);

/* An NMI has come: ours, or the parent's at its next entry. */
void parent_take_nmi(struct cpu *cpu);

/* The first processor's state for a kernel of the 32-bit boot protocol. */
void parent_set_entry(struct cpu *cpu, uint32_t entry, uint32_t zero_page);

/* Runs the parent on this processor, for ever. */
_Noreturn void parent_run(struct cpu *cpu);

#endif
