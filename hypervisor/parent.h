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

/* Once, before any processor enters; `low_page` is ours too, and `log` may be read. 0 or -ENOMEM.
 */
int parent_init(uint32_t low_page, void *log, uint32_t log_bytes);

/* The first processor's state for a kernel of the 32-bit boot protocol. */
void parent_set_entry(struct cpu *cpu, uint32_t entry, uint32_t zero_page);

/* Runs the parent on this processor, for ever. */
_Noreturn void parent_run(struct cpu *cpu);

#endif
