/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processors: each has a stack, at whose start its struct cpu lies; a control block for the
 * parent's virtual processor; and a state, for INIT and SIPI must not reach it from the parent.
 *
 * A processor that is not the first is started when the parent starts it. INIT takes it out of the
 * parent by an NMI of ours; it then waits for its SIPI in here.
 */
#ifndef OYA_HYPERVISOR_CPU_H
#define OYA_HYPERVISOR_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/svm.h"
#include "hypervisor/emulate.h"
#include "hypervisor/memory.h"

#define CPU_MAX 256u /* by the number of its local APIC */

enum cpu_state {
	CPU_OFF,     /* never started */
	CPU_WAITING, /* in here, for a SIPI */
	CPU_RUNNING, /* the parent's */
};

/* A guest's, in the order of their encoding, which svm_run.S knows; the control block holds two. */
struct cpu_registers {
	uint64_t no_rax, rcx, rdx, rbx, no_rsp, rbp, rsi, rdi;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
};

struct cpu {
	uint32_t apic;
	unsigned state;  /* enum cpu_state; atomic */
	unsigned init;   /* atomic: an INIT waits to be taken */
	int sipi;        /* atomic: the vector, -1 none */
	bool nmi_taken;  /* by our own handler, with GIF set for a moment */
	unsigned flush;  /* atomic: another waits until all translations are forgotten here */
	bool nmi_wanted; /* one waits to be given to the parent */
	bool nmi_masked; /* the parent handles one */
	struct svm_vmcb *vmcb;
	struct cpu_registers registers;
	uint64_t asid_era; /* address-space numbers of before are no longer valid */
	uint32_t asid_next;
	uint64_t predicted; /* the partition whose branches were predicted here last: its serial */
	void *fpu;          /* the parent's, while a child runs */
	struct emulate_memo memo; /* of the parent's last access to its local APIC */
	uint64_t fixup; /* where an exception of our own goes on; 0: it is a fault of ours */
};

/* Registers and stack of an exception, as entry.S leaves them. */
struct exception_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

static inline struct cpu *cpu_this(void)
{
	uint64_t sp;

	__asm__("mov %%rsp, %0" : "=r"(sp));
	return (struct cpu *)(uintptr_t)(sp & ~(uint64_t)(STACK_BYTES - 1));
}

/* The processor that runs this is made ready for guests: tables, exceptions, SVM on. NULL: no
 * memory. */
struct cpu *cpu_init_first(void);

/* By number; NULL when there is no such processor or it was never met. */
struct cpu *cpu_find(uint32_t apic);

/* The page below 1 MiB that other processors start in. */
void cpu_set_start_page(uint32_t physical);

/* What INIT and SIPI of the parent do: see apic.c. */
void cpu_take_init(uint32_t apic);
void cpu_take_sipi(uint32_t apic, uint8_t vector);

/* Every processor forgets translations of the parent and of all partitions; on return none uses an
 * old one. No lock may be held but those of lock_take. */
void cpu_flush_everywhere(void);

/* On an NMI: true when another processor's wish for a flush was its cause. */
bool cpu_flush_if_asked(struct cpu *cpu);

/* Held for long, and while others are waited for: who waits for the lock goes on serving them. */
void lock_take(bool *lock);
void lock_release(bool *lock);

/* In the parent's stead, until a SIPI comes. */
void cpu_wait_for_sipi(struct cpu *cpu);

/* MSRs that may not be there: false when the processor objects. */
bool cpu_rdmsr(uint32_t msr, uint64_t *ret_value);
bool cpu_wrmsr(uint32_t msr, uint64_t value);

/* From the assembler. */
void cpu_entered(void);
void exception_taken(struct exception_frame *frame);

#endif
