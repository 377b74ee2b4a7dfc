/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a processor that starts finds in its page, behind its code: for cpu.c and entry.S. */
#ifndef OYA_HYPERVISOR_CPU_START_H
#define OYA_HYPERVISOR_CPU_START_H

#define CPU_START_AT 0x200 /* in the page */
#define CPU_START_GDT 0
#define CPU_START_TARGET 8
#define CPU_START_PAGE 16
#define CPU_START_CR3 20
#define CPU_START_STACK 24

#ifndef __ASSEMBLER__
#include <stdint.h>

#include "abi/packed.h"

struct cpu_start {
	uint16_t gdt_limit;
	uint32_t gdt_base;
	uint16_t pad;
	uint32_t target; /* of 64-bit mode, in the page, with its selector */
	uint16_t target_selector, pad2;
	uint32_t page, cr3;
	uint64_t stack;
} OYA_PACKED;
OYA_OFFSET(struct cpu_start, gdt_limit, CPU_START_GDT);
OYA_OFFSET(struct cpu_start, target, CPU_START_TARGET);
OYA_OFFSET(struct cpu_start, page, CPU_START_PAGE);
OYA_OFFSET(struct cpu_start, cr3, CPU_START_CR3);
OYA_OFFSET(struct cpu_start, stack, CPU_START_STACK);
#endif
#endif
