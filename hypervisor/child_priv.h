/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of a child's processor share. */
#ifndef OYA_HYPERVISOR_CHILD_PRIV_H
#define OYA_HYPERVISOR_CHILD_PRIV_H

#include "abi/svm.h"
#include "hypervisor/child.h"
#include "hypervisor/cpu.h"
#include "hypervisor/decode.h"
#include "hypervisor/lapic.h"

#define APIC_BASE_ENABLED (1u << 11)
#define LEAVES 32u /* of each range that are found at once */

/* What the next run brings, and whereto. */
enum child_unfinished {
	CHILD_DONE,
	CHILD_IN,
	CHILD_LOAD,   /* `access` */
	CHILD_STRING, /* the same, `count` */
	CHILD_RDMSR,
	CHILD_WRMSR,
};

/* For what the processor leaves as soon as the child takes interrupts. */
enum child_window { CHILD_NO_WINDOW, CHILD_APIC, CHILD_OUTSIDE, CHILD_TPR };

struct child {
	struct partition *partition;
	uint32_t number;
	struct svm_vmcb *vmcb;
	struct cpu_registers registers;
	struct oya_processor *shared;
	void *fpu;
	uint64_t xcr0, debug[4];
	bool taken; /* atomic: a processor of ours has it */
	enum child_unfinished unfinished;
	struct access access; /* of IN: its bytes alone */
	unsigned count;       /* elements that were asked for */
	uint64_t refused_rip; /* of the MSR's instruction */
	uint32_t asid_cpu;    /* where its address-space number is valid, and in which era */
	uint64_t asid_era;
	uint64_t exits;

	bool has_apic;
	struct lapic lapic;
	enum oya_activity activity;
	bool nmi_masked;
	uint64_t told;       /* deadline of the timer that the parent knows; 0: none */
	unsigned events;     /* atomic: CHILD_NMI and others wait */
	uint8_t sipi;        /* atomic: vector of the last */
	uint32_t running_on; /* atomic: the processor, plus 1 */
	bool kicked;         /* atomic: that one is already being interrupted */
	bool waits;          /* atomic: the parent will not run it before it is told */

	enum child_window window;
	uint8_t watch; /* enum oya_debug, for this run */
	bool stepped;  /* the instruction of the last exit, which is done now */
	uint64_t own_trap, own_dr6, stopped_rip;

	unsigned leaf_count;
	uint8_t first_leaf[2][LEAVES]; /* basic and extended: index + 1 of the first entry */
	struct oya_cpuid leaf[OYA_CPUID_MAX];
};

/* `access` becomes the instruction at RIP. */
void child_decode(struct child *c);

/* Whether an access to memory came out at `gpa` with its first byte, and does not cross the end of
 * the page. Else it is one of two parts, or of an instruction that has been changed since. */
bool child_is_whole(const struct child *c, enum access_segment segment, uint64_t offset,
		    uint64_t gpa);

/* INS and OUTS; MOVS and STOS of `access`, whose destination (`write`) or source at `gpa` is a
 * device. False: the parent has something to do. The last: what it was asked for is there. */
bool child_exit_port_string(struct child *c);
bool child_exit_memory_string(struct child *c, uint64_t gpa, bool write);
void child_finish_string(struct child *c, uint64_t value);

/* CPUID, and what follows of it. */
void child_cpuid(struct child *c);

enum child_msr {
	CHILD_MSR_OTHER, /* the parent's to answer */
	CHILD_MSR_DONE,
	CHILD_MSR_REFUSED,
	CHILD_MSR_LEAVES, /* done, and the parent has something to do: told in the shared page */
};
enum child_msr child_read_msr(struct child *c, uint32_t msr, uint64_t *ret_value);
enum child_msr child_write_msr(struct child *c, uint32_t msr, uint64_t value);

/* Of those the APIC's, when there is one. */
enum child_msr child_read_apic_msr(struct child *c, uint32_t msr, uint64_t *ret_value);
enum child_msr child_write_apic_msr(struct child *c, uint32_t msr, uint64_t value);

/* An access to the APIC's page. False: the parent has something to do. */
bool child_reach_apic(struct child *c, const struct access *a, uint64_t offset);
bool child_has_apic_page(const struct child *c);

/* What child_interrupts.c asks before a run, before each entry, and tells after it. False: it must
 * not be entered; then `exit` is in the shared page. */
void child_init_interrupts(struct child *c, bool has_apic);
bool child_may_run(struct child *c);
bool child_before_entry(struct child *c, uint32_t cpu);
void child_after_entry(struct child *c);
bool child_halt(struct child *c);
void child_end_nmi(struct child *c);
bool child_window_open(struct child *c);
void child_tell_interrupts(struct child *c);

void child_settle(struct child *c); /* what was posted becomes state */
void child_get_activity(const struct child *c, struct oya_state *to);
void child_set_activity(struct child *c, const struct oya_state *from);

#endif
