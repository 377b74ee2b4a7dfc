/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/parent.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "abi/ivrs.h"
#include "abi/oya.h"
#include "base/util.h"
#include "hypervisor/apic.h"
#include "hypervisor/calls.h"
#include "hypervisor/emulate.h"
#include "hypervisor/iommu.h"
#include "hypervisor/log.h"
#include "hypervisor/npt.h"
#include "hypervisor/panic.h"
#include "hypervisor/svm.h"
#include "hypervisor/virt.h"
#include "hypervisor/x86.h"

#define PARENT_ASID 1u
#define EXCEPTION_UD 6u
#define EXCEPTION_GP 13u
#define VECTOR_NMI 2u
#define CPUID_1_OSXSAVE (1u << 27) /* of ECX */
#define CPUID_7_OSPKE (1u << 4)
#define CPUID_HYPERVISOR_FIRST 0x40000000u
#define CPUID_HYPERVISOR_LAST 0x400000FFu
#define FIRST_SELECTOR 0x10u
#define FOUR_GIB (UINT64_C(4) << 30)
#define ALL_RIGHTS (NPT_WRITE | NPT_DEVICES)

static struct npt npt;
static uint8_t *msr_bitmap;
static uint64_t empty_page;   /* physical: what the parent reads where we are */
static uint64_t *empty_table; /* the same for 2 MiB */
static uint64_t log_at, log_len;
static uint64_t mapped_end; /* all below is; what is ours lies there */
static bool panic_wanted;

/* MSRs that the parent does not reach by itself: those by which it could reach us. All others are
 * its own, for the machine is: a list of what it may have would take drivers for power, errors,
 * performance and microcode from it with each new processor, and keep nothing out that this does
 * not. MTRRs are its own too: types of memory make us slow or not, and the bits of fixed ones that
 * turn memory into devices are dead while SYSCFG stays as the firmware set it. */
static const struct {
	uint32_t msr;
	bool read, write;
} trapped[] = {
	{MSR_EFER, true, true},        /* SVME is ours: hidden, and kept on */
	{SVM_MSR_VM_CR, true, true},   /* SVM reads as switched off by the firmware */
	{SVM_MSR_HSAVE, true, true},   /* where a VMRUN saves us */
	{MSR_APIC_BASE, false, true},  /* elsewhere its registers would be out of our sight */
	{MSR_X2APIC_ICR, false, true}, /* INIT and SIPI */
	/* What address is memory and what a device: ours must stay memory, the same for all. */
	{MSR_SYSCFG, false, true},
	{MSR_IO_RANGE_FIRST, false, true},
	{MSR_IO_RANGE_FIRST + 1, false, true},
	{MSR_IO_RANGE_LAST - 1, false, true},
	{MSR_IO_RANGE_LAST, false, true},
	{MSR_TOP_MEM, false, true},
	{MSR_TOP_MEM2, false, true},
	/* Where an SMI goes to, which is above us: at our memory it would run what lies there. */
	{MSR_SMM_BASE, false, true},
	{MSR_SMM_ADDRESS, false, true},
	{MSR_SMM_MASK, false, true},
};

static void *take_table(void *ctx)
{
	(void)ctx;
	return pool_take(1);
}

int parent_hide_chunk(uint64_t at)
{
	return npt_map_table(&npt, at, empty_table);
}

void parent_show_chunk(uint64_t at)
{
	/* Where a chunk was hidden there are tables down to it. */
	(void)npt_map(&npt, at, at, PAGE_2M, ALL_RIGHTS);
}

uint64_t parent_tables(void)
{
	return npt_physical(&npt);
}

/* Our own pages read as zeros and cannot be written; the log can be read. */
static int hide(uint64_t start, uint64_t len)
{
	int r = 0;

	for (uint64_t at = start; r == 0 && at < start + len; at += PAGE_BYTES) {
		bool shown = at >= log_at && at < log_at + log_len;

		r = npt_map(&npt, at, shown ? at : empty_page, PAGE_BYTES, NPT_NO_EXECUTE);
	}
	return r;
}

/* The table of whose pages are whose: by chunks as far as they go. */
static int hide_frames(const struct load *load)
{
	uint64_t at = load->frames_at, end = at + load->frames_len;
	int r = 0;

	for (; r == 0 && end - at >= PAGE_2M; at += PAGE_2M)
		r = parent_hide_chunk(at);
	return r == 0 ? hide(at, end - at) : r;
}

static int map_gib(uint64_t at)
{
	uint64_t bytes = memory_has_large_pages() ? PAGE_1G : PAGE_2M;
	int r = 0;

	for (uint64_t i = at; r == 0 && i < at + PAGE_1G; i += bytes)
		r = npt_map(&npt, i, i, bytes, ALL_RIGHTS);
	return r;
}

int parent_init(const struct load *load, void *log, uint32_t log_bytes)
{
	void *empty = pool_take(1);
	int r = npt_init(&npt, take_table, NULL);

	msr_bitmap = pool_take(SVM_MSR_BITMAP_BYTES / PAGE_BYTES);
	empty_table = pool_take(1);
	if (!empty || !empty_table || !msr_bitmap || r < 0)
		return -ENOMEM;
	empty_page = pointer_to_physical(empty);
	for (unsigned i = 0; i < PAGE_2M / PAGE_BYTES; i++)
		empty_table[i] = npt_entry(empty_page, NPT_NO_EXECUTE);
	log_at = pointer_to_physical(log);
	log_len = log_bytes;
	for (size_t i = 0; i < ARRAY_LEN(trapped); i++)
		svm_trap_msr(msr_bitmap, trapped[i].msr, trapped[i].read, trapped[i].write);
	/* All memory at once, for devices too. */
	mapped_end = memory_has_large_pages() ? PHYSICAL_BYTES : FOUR_GIB;
	if (load->memory_top > mapped_end)
		mapped_end = align_up(load->memory_top, PAGE_1G);
	for (uint64_t at = 0; r == 0 && at < mapped_end; at += PAGE_1G)
		r = map_gib(at);
	for (unsigned i = 0; r == 0 && i < iommu_count(); i++)
		r = hide(iommu_registers(i), IOMMU_REGISTERS_BYTES);
	if (r == 0)
		r = hide(hv_physical_start(), HV_BYTES);
	if (r == 0)
		r = hide(load->low_page, PAGE_BYTES);
	r = r == 0 ? hide_frames(load) : r;
	/* In reach for reads; writes come here. */
	if (r == 0)
		r = npt_map(&npt, APIC_PAGE, APIC_PAGE, PAGE_BYTES, NPT_NO_EXECUTE);
	return r;
}

void parent_want_panic(void)
{
	panic_wanted = true;
}

/* As after INIT, but for what the vector of a SIPI decides. */
static void set_reset(struct cpu *cpu)
{
	struct svm_vmcb *v = cpu->vmcb;

	memset(v, 0, sizeof(*v));
	v->intercept_1 = SVM_INTERCEPT_NMI | SVM_INTERCEPT_INIT | SVM_INTERCEPT_CPUID |
			 SVM_INTERCEPT_INVD | SVM_INTERCEPT_INVLPGA | SVM_INTERCEPT_MSR |
			 SVM_INTERCEPT_SHUTDOWN;
	v->intercept_2 = SVM_INTERCEPT_VMRUN | SVM_INTERCEPT_VMMCALL | SVM_INTERCEPT_VMLOAD |
			 SVM_INTERCEPT_VMSAVE | SVM_INTERCEPT_STGI | SVM_INTERCEPT_CLGI |
			 SVM_INTERCEPT_SKINIT;
	v->msr_permissions = pointer_to_physical(msr_bitmap);
	v->asid = PARENT_ASID;
	v->tlb_control = SVM_TLB_FLUSH_ALL;
	v->nested_paging = 1;
	v->nested_cr3 = npt_physical(&npt);
	svm_set_reset(v, &cpu->registers);
	cpu->nmi_masked = cpu->nmi_wanted = false;
}

void parent_set_entry(struct cpu *cpu, uint32_t entry, uint32_t zero_page)
{
	const uint16_t data = SVM_SEGMENT_PRESENT | SVM_SEGMENT_USER | SVM_SEGMENT_WRITE |
			      SVM_SEGMENT_ACCESSED | SVM_SEGMENT_32 | SVM_SEGMENT_PAGES;
	struct svm_vmcb *v = cpu->vmcb;

	set_reset(cpu);
	v->cs = svm_segment(FIRST_SELECTOR, data | SVM_SEGMENT_CODE, UINT32_MAX);
	v->ds = v->es = v->fs = v->gs = v->ss = svm_segment(FIRST_SELECTOR + 8, data, UINT32_MAX);
	v->cr0 = CR0_PE | CR0_ET;
	v->rip = entry;
	cpu->registers.rsi = zero_page;
	cpu->registers.rdx = 0;
}

static void enter_sipi(struct cpu *cpu)
{
	cpu_wait_for_sipi(cpu);
	set_reset(cpu);
	cpu->vmcb->cs.selector = (uint16_t)(cpu->sipi << 8);
	cpu->vmcb->cs.base = (uint64_t)cpu->sipi << 12;
	cpu->sipi = -1;
	__atomic_store_n(&cpu->state, CPU_RUNNING, __ATOMIC_RELEASE);
}

static void exit_cpuid(struct cpu *cpu)
{
	uint32_t leaf = (uint32_t)cpu->vmcb->rax, sub = (uint32_t)cpu->registers.rcx;
	struct cpuid c = x86_cpuid(leaf, sub);

	if (leaf == OYA_CPUID && panic_wanted)
		panic("asked for by the boot loader");
	if (leaf == OYA_CPUID)
		c = (struct cpuid){OYA_INTERFACE_VERSION, OYA_CPUID_EBX, OYA_CPUID_ECX,
				   OYA_CPUID_EDX};
	else if (leaf == 1) /* what CR4 has switched on: the parent's, not ours */
		c.ecx = (c.ecx & ~CPUID_1_OSXSAVE) |
			(cpu->vmcb->cr4 & CR4_OSXSAVE ? CPUID_1_OSXSAVE : 0);
	else if (leaf == 7 && sub == 0)
		c.ecx = (c.ecx & ~CPUID_7_OSPKE) | (cpu->vmcb->cr4 & CR4_PKE ? CPUID_7_OSPKE : 0);
	else if (leaf >= CPUID_HYPERVISOR_FIRST && leaf <= CPUID_HYPERVISOR_LAST)
		c = (struct cpuid){0}; /* a hypervisor below us, whose calls would end here */
	cpu->vmcb->rax = c.eax;
	cpu->registers.rbx = c.ebx;
	cpu->registers.rcx = c.ecx;
	cpu->registers.rdx = c.edx;
	svm_skip(cpu->vmcb, 2);
	/* With each program that starts: often enough. */
	iommu_tell_faults();
}

static bool read_msr(struct cpu *cpu, uint32_t msr, uint64_t *ret_value)
{
	switch (msr) {
	case MSR_EFER:
		*ret_value = cpu->vmcb->efer & ~EFER_SVME;
		return true;
	case SVM_MSR_VM_CR:
		*ret_value = SVM_VM_CR_LOCK | SVM_VM_CR_DISABLED;
		return true;
	case SVM_MSR_HSAVE:
		*ret_value = 0;
		return true;
	default:
		return cpu_rdmsr(msr, ret_value);
	}
}

static bool write_msr(struct cpu *cpu, uint32_t msr, uint64_t value)
{
	uint64_t now;

	switch (msr) {
	case MSR_EFER:
		/* LMA is the processor's; with SVM switched off SVME cannot be set. */
		if (value & EFER_SVME)
			return false;
		cpu->vmcb->efer = (value & ~EFER_LMA) | (cpu->vmcb->efer & EFER_LMA) | EFER_SVME;
		cpu->vmcb->tlb_control = SVM_TLB_FLUSH_ALL;
		return true;
	case SVM_MSR_VM_CR:
		return false;
	case SVM_MSR_HSAVE: /* Linux clears it on its way down */
		return value == 0;
	case MSR_APIC_BASE:
		return apic_base_allowed(value) && cpu_wrmsr(msr, value);
	case MSR_X2APIC_ICR:
		apic_write_icr(value);
		return true;
	case MSR_SYSCFG:
	case MSR_IO_RANGE_FIRST ... MSR_IO_RANGE_LAST:
	case MSR_TOP_MEM:
	case MSR_TOP_MEM2:
	case MSR_SMM_BASE:
	case MSR_SMM_ADDRESS:
	case MSR_SMM_MASK: /* Linux writes some back as they are */
		return cpu_rdmsr(msr, &now) && now == value;
	default:
		return cpu_wrmsr(msr, value);
	}
}

static void exit_msr(struct cpu *cpu)
{
	struct svm_vmcb *v = cpu->vmcb;
	struct cpu_registers *r = &cpu->registers;
	uint32_t msr = (uint32_t)r->rcx;
	uint64_t value = r->rdx << 32 | (uint32_t)v->rax;
	bool write = v->exit_info_1 & 1;

	if (!(write ? write_msr(cpu, msr, value) : read_msr(cpu, msr, &value))) {
		svm_inject(cpu->vmcb, EXCEPTION_GP, true);
		return;
	}
	if (!write) {
		v->rax = (uint32_t)value;
		r->rdx = value >> 32;
	}
	svm_skip(cpu->vmcb, 2);
}

struct parent_log parent_log(void)
{
	return (struct parent_log){log_at, log_len};
}

static void exit_call(struct cpu *cpu)
{
	struct svm_vmcb *v = cpu->vmcb;
	struct cpu_registers *r = &cpu->registers;

	if (v->cpl != 0) {
		svm_inject(cpu->vmcb, EXCEPTION_UD, false);
		return;
	}
	/* A child may run meanwhile, and exits of its own come before our next. */
	svm_skip(cpu->vmcb, 3);
	v->rax = (uint64_t)call(v->rax, &r->rbx, r->rcx, r->rdx, r->rsi);
}

/* Ours, for a flush or to take an INIT; else the parent's. */
void parent_take_nmi(struct cpu *cpu)
{
	virt->take_nmi();
	if (!cpu_flush_if_asked(cpu) && !__atomic_load_n(&cpu->init, __ATOMIC_SEQ_CST))
		cpu->nmi_wanted = true;
}

static void exit_apic_write(struct cpu *cpu)
{
	struct svm_vmcb *v = cpu->vmcb;
	struct access a = emulate_access_again(&npt, v, &cpu->memo);
	uint64_t general[16];

	if (!a.len || a.op != ACCESS_MOVE || !a.write || a.bytes != 4) {
		log_line("a write to the local APIC at %lx was not understood", v->rip);
		svm_inject(cpu->vmcb, EXCEPTION_GP, true);
		return;
	}
	svm_get_general(v, &cpu->registers, general);
	apic_write((uint32_t)(v->exit_info_2 - APIC_PAGE), (uint32_t)access_stored(&a, general));
	svm_skip(cpu->vmcb, a.len);
}

static void exit_page_fault(struct cpu *cpu)
{
	struct svm_vmcb *v = cpu->vmcb;
	uint64_t gpa = v->exit_info_2, at = gpa & ~(PAGE_1G - 1);

	if (range_within(gpa - APIC_PAGE, 1, PAGE_BYTES) && (v->exit_info_1 & SVM_NPF_WRITE)) {
		exit_apic_write(cpu);
	} else if (v->exit_info_1 & SVM_NPF_PRESENT) {
		svm_inject(cpu->vmcb, EXCEPTION_GP,
			   true); /* a write to what is ours, or a jump there */
	} else if (gpa >= mapped_end) {
		/* A device far above memory. Two processors may do this at once. */
		if (map_gib(at) < 0)
			panic("no memory to map %lx for the parent", at);
	}
}

static void handle(struct cpu *cpu)
{
	switch (cpu->vmcb->exit_code) {
	case SVM_EXIT_NMI:
		emulate_pass_halt(&npt, cpu->vmcb);
		parent_take_nmi(cpu);
		break;
	case SVM_EXIT_INIT:
		break;
	case SVM_EXIT_CPUID:
		exit_cpuid(cpu);
		break;
	case SVM_EXIT_MSR:
		exit_msr(cpu);
		break;
	case SVM_EXIT_VMMCALL:
		exit_call(cpu);
		break;
	case SVM_EXIT_NPF:
		exit_page_fault(cpu);
		break;
	case SVM_EXIT_INVD: /* what is in the caches is ours too, so it is not lost */
		__asm__ volatile("wbinvd" : : : "memory");
		svm_skip(cpu->vmcb, 2);
		break;
	case SVM_EXIT_IRET:
		/* It is about to be done: one NMI may be nested on its last instruction, which
		 * Linux is made for. */
		cpu->nmi_masked = false;
		cpu->vmcb->intercept_1 &= ~SVM_INTERCEPT_IRET;
		break;
	case SVM_EXIT_SHUTDOWN:
		/* A triple fault is how some kernels reset the machine. */
		log_line("the parent's processor has shut down: reset");
		reset_machine();
	case SVM_EXIT_INVALID:
		panic("the parent's state on processor %u is not one that can run: CR0 %lx, EFER %lx, "
		      "RIP %lx",
		      cpu->apic, cpu->vmcb->cr0, cpu->vmcb->efer, cpu->vmcb->rip);
	default: /* the instructions of SVM */
		svm_inject(cpu->vmcb, EXCEPTION_UD, false);
	}
}

/* What was to be delivered when the exit came is delivered at the next entry. */
static void prepare_event(struct cpu *cpu)
{
	struct svm_vmcb *v = cpu->vmcb;

	if (!(v->event & SVM_EVENT_VALID) && (v->exit_event & SVM_EVENT_VALID))
		v->event = v->exit_event;
	if (cpu->nmi_wanted && !cpu->nmi_masked && !(v->event & SVM_EVENT_VALID)) {
		v->event = SVM_EVENT_VALID | SVM_EVENT_NMI | VECTOR_NMI;
		v->intercept_1 |= SVM_INTERCEPT_IRET;
		cpu->nmi_wanted = false;
		cpu->nmi_masked = true;
	}
}

_Noreturn void parent_run(struct cpu *cpu)
{
	uint64_t vmcb = pointer_to_physical(cpu->vmcb);

	if (cpu->state == CPU_WAITING)
		enter_sipi(cpu);
	/* FS, GS, TR and the MSRs of system calls are the parent's from here on, also while we run:
	 * we use none of them. */
	virt->load(vmcb);
	for (;;) {
		/* Also behind the run of a child, which takes the NMI of who panics. */
		if (panicked())
			panic("processor %u stops", cpu->apic);
		virt->run(vmcb, &cpu->registers);
		cpu->vmcb->tlb_control = SVM_TLB_KEEP;
		cpu->vmcb->event = 0;
		handle(cpu);
		if (__atomic_load_n(&cpu->init, __ATOMIC_SEQ_CST)) {
			enter_sipi(cpu);
			virt->load(vmcb);
		}
		prepare_event(cpu);
	}
}
