/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/child.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/util.h"
#include "hypervisor/child_priv.h"
#include "hypervisor/emulate.h"
#include "hypervisor/fpu.h"
#include "hypervisor/frames.h"
#include "hypervisor/memory.h"
#include "hypervisor/panic.h"
#include "hypervisor/parent.h"
#include "hypervisor/svm.h"
#include "hypervisor/virt.h"
#include "hypervisor/x86.h"

#define FIRST_ASID 2u /* 1 is the parent's */
#define PORT_BITMAP_PAGES 3u
#define EXCEPTION_DB 1u
#define DR6_STEP (1u << 14)
#define EXCEPTION_BP 3u
#define EXCEPTION_OF 4u
#define EXCEPTION_UD 6u
#define EXCEPTION_GP 13u
#define EXCEPTION_AC 17u
#define EXCEPTION_MC 18u
#define RFLAGS_CHANGED UINT64_C(0x003F7FD7)
#define CPUID_SIZES 0x80000008u
#define CPUID_BARRIER (1u << 12) /* of EBX */
#define FORGET_PREDICTIONS 1u
#define IO_IN (1u << 0)
#define IO_STRING (1u << 2)
#define IO_BYTES(info) ((uint8_t)((info) >> 4 & 7))
#define IO_PORT_AT 16

static uint8_t *all_ports, *msr_bitmap;
static uint32_t asid_end;
static bool has_barrier;

/* Those that VMLOAD and VMRUN exchange: a child reaches them by itself. */
static const uint32_t own_msrs[] = {
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_STAR,    MSR_LSTAR,
	MSR_CSTAR,       MSR_SFMASK,       MSR_FS_BASE,      MSR_GS_BASE, MSR_KERNEL_GS_BASE,
};

int child_init(void)
{
	all_ports = pool_take(PORT_BITMAP_PAGES);
	msr_bitmap = pool_take(SVM_MSR_BITMAP_BYTES / PAGE_BYTES);
	if (!all_ports || !msr_bitmap)
		return -ENOMEM;
	memset(all_ports, 0xFF, PORT_BITMAP_PAGES * PAGE_BYTES);
	memset(msr_bitmap, 0xFF, SVM_MSR_BITMAP_BYTES);
	for (unsigned i = 0; i < ARRAY_LEN(own_msrs); i++)
		svm_trap_msr(msr_bitmap, own_msrs[i], false, false);
	asid_end = virt->address_spaces();
	has_barrier = x86_cpuid(CPUID_SIZES, 0).ebx & CPUID_BARRIER;
	return asid_end > FIRST_ASID ? 0 : -ENOMEM;
}

static void set_intercepts(struct child *c)
{
	struct svm_vmcb *v = c->vmcb;

	/* The delivery of the first two can fault for ever, which no interrupt ends. The third
	 * tells of the machine, which is the parent's. */
	v->intercept_exceptions = 1u << EXCEPTION_DB | 1u << EXCEPTION_AC | 1u << EXCEPTION_MC;
	v->intercept_1 = SVM_INTERCEPT_INTR | SVM_INTERCEPT_NMI | SVM_INTERCEPT_SMI |
			 SVM_INTERCEPT_INIT | SVM_INTERCEPT_RDPMC | SVM_INTERCEPT_CPUID |
			 SVM_INTERCEPT_INVD | SVM_INTERCEPT_HLT | SVM_INTERCEPT_INVLPGA |
			 SVM_INTERCEPT_IO | SVM_INTERCEPT_MSR | SVM_INTERCEPT_SHUTDOWN;
	v->intercept_2 = SVM_INTERCEPT_RDTSCP | SVM_INTERCEPT_VMRUN | SVM_INTERCEPT_VMMCALL |
			 SVM_INTERCEPT_VMLOAD | SVM_INTERCEPT_VMSAVE | SVM_INTERCEPT_STGI |
			 SVM_INTERCEPT_CLGI | SVM_INTERCEPT_SKINIT | SVM_INTERCEPT_WBINVD |
			 SVM_INTERCEPT_MONITOR | SVM_INTERCEPT_MWAIT | SVM_INTERCEPT_XSETBV;
	v->io_permissions = pointer_to_physical(all_ports);
	v->msr_permissions = pointer_to_physical(msr_bitmap);
	v->vintr = SVM_VINTR_MASKING;
	v->nested_paging = 1;
	v->nested_cr3 = npt_physical(&c->partition->npt);
}

int child_create(struct partition *p, uint64_t number, uint64_t shared)
{
	unsigned pages = (unsigned)(align_up(sizeof(struct child), PAGE_BYTES) / PAGE_BYTES);
	bool has_apic = shared & OYA_PROCESSOR_APIC;
	struct child *c;
	int r = 0;

	shared &= ~(uint64_t)OYA_PROCESSOR_APIC;
	if (number >= PROCESSORS_MAX || shared % PAGE_BYTES)
		return -EINVAL;
	lock_take(&p->lock);
	if (p->ends)
		r = -ENOENT;
	else if (p->child[number])
		r = -EEXIST;
	/* All at once, so that nothing is half made. */
	c = r == 0 ? partition_take(p, pages + 1 + fpu_pages()) : NULL;
	if (r == 0 && !c)
		r = -ENOMEM;
	if (r == 0)
		r = frames_lend(shared, PAGE_BYTES, p->number);
	if (r == 0) {
		c->partition = p;
		c->number = (uint32_t)number;
		c->vmcb = (void *)((uint8_t *)c + pages * PAGE_BYTES);
		c->fpu = (uint8_t *)c->vmcb + PAGE_BYTES;
		c->shared = physical_to_pointer(shared);
		c->xcr0 = FPU_X87;
		fpu_reset(c->fpu);
		set_intercepts(c);
		child_init_interrupts(c, has_apic);
		__atomic_store_n(&p->child[number], c, __ATOMIC_RELEASE);
		if (number >= p->child_end)
			__atomic_store_n(&p->child_end, (unsigned)number + 1, __ATOMIC_RELEASE);
	}
	lock_release(&p->lock);
	return r;
}

uint64_t child_shared(const struct child *c)
{
	return pointer_to_physical(c->shared);
}

struct child *child_take(struct partition *p, uint64_t number)
{
	struct child *c = number < PROCESSORS_MAX
				  ? __atomic_load_n(&p->child[number], __ATOMIC_ACQUIRE)
				  : NULL;

	return c && !p->ends && !__atomic_test_and_set(&c->taken, __ATOMIC_ACQUIRE) ? c : NULL;
}

void child_release(struct child *c)
{
	__atomic_clear(&c->taken, __ATOMIC_RELEASE);
}

static void inject(struct child *c, unsigned exception, bool has_error)
{
	svm_inject(c->vmcb, exception, has_error);
}

static void skip(struct child *c, unsigned bytes)
{
	svm_skip(c->vmcb, bytes);
}

/* True: the child goes on. Else `exit` and what belongs to it are in the shared page. */
static bool leave(struct child *c, enum oya_exit exit)
{
	c->shared->exit = exit;
	return false;
}

static bool exit_port(struct child *c)
{
	struct svm_vmcb *v = c->vmcb;
	uint64_t info = v->exit_info_1;

	c->shared->port = (uint32_t)(info >> IO_PORT_AT);
	c->shared->bytes = IO_BYTES(info);
	c->shared->write = !(info & IO_IN);
	if (info & IO_STRING)
		return child_exit_port_string(c);
	c->shared->value = v->rax & access_mask(IO_BYTES(info));
	c->access.bytes = IO_BYTES(info);
	c->unfinished = info & IO_IN ? CHILD_IN : CHILD_DONE;
	v->rip = v->exit_info_2;
	v->interrupt_shadow = 0;
	return leave(c, OYA_EXIT_PORT);
}

static bool exit_memory(struct child *c)
{
	struct svm_vmcb *v = c->vmcb;
	const struct access *a = &c->access;
	uint64_t gpa = v->exit_info_2, general[16];
	bool write = v->exit_info_1 & SVM_NPF_WRITE, on;
	bool apic = child_has_apic_page(c) && range_within(gpa - LAPIC_PAGE, 1, PAGE_BYTES);

	c->shared->address = gpa;
	c->shared->bytes = 0;
	c->shared->write = write;
	/* In the delivery of an event the access is none of the instruction's. */
	if ((v->exit_info_1 & (SVM_NPF_FETCH | SVM_NPF_WALK)) || (v->exit_event & SVM_EVENT_VALID))
		return leave(c, OYA_EXIT_MEMORY);
	child_decode(c);
	if ((a->op == ACCESS_MOVE_STRING || a->op == ACCESS_STORE_STRING) && !apic)
		return child_exit_memory_string(c, gpa, write);
	svm_get_general(v, &c->registers, general);
	if (!a->len || a->op != ACCESS_MOVE || a->write != write ||
	    !child_is_whole(c, a->segment, access_offset(a, general, v->rip + a->len), gpa))
		return leave(c, OYA_EXIT_MEMORY);
	if (apic) {
		on = child_reach_apic(c, a, gpa - LAPIC_PAGE);
		skip(c, a->len);
		return on;
	}
	c->shared->bytes = a->bytes;
	c->shared->value = write ? access_stored(a, general) : 0;
	c->unfinished = write ? CHILD_DONE : CHILD_LOAD;
	skip(c, a->len);
	return leave(c, OYA_EXIT_MEMORY);
}

static void set_msr_value(struct child *c, uint64_t value)
{
	c->vmcb->rax = (uint32_t)value;
	c->registers.rdx = value >> 32;
}

static bool exit_msr(struct child *c)
{
	struct svm_vmcb *v = c->vmcb;
	uint32_t msr = (uint32_t)c->registers.rcx;
	uint64_t value = c->registers.rdx << 32 | (uint32_t)v->rax;
	bool write = v->exit_info_1 & 1;
	enum child_msr done =
		write ? child_write_msr(c, msr, value) : child_read_msr(c, msr, &value);

	switch (done) {
	case CHILD_MSR_REFUSED:
		inject(c, EXCEPTION_GP, true);
		return true;
	case CHILD_MSR_OTHER:
		c->shared->port = msr;
		c->shared->write = write;
		c->shared->value = write ? value : 0;
		c->refused_rip = v->rip;
		c->unfinished = write ? CHILD_WRMSR : CHILD_RDMSR;
		skip(c, 2);
		return leave(c, OYA_EXIT_MSR);
	case CHILD_MSR_DONE:
	case CHILD_MSR_LEAVES:
		if (!write)
			set_msr_value(c, value);
		skip(c, 2);
	}
	return done == CHILD_MSR_DONE;
}

/* What the parent has found for the instruction of the last exit. */
static void finish(struct child *c)
{
	const volatile struct oya_processor *from = c->shared;
	uint64_t value = from->value, general[16];
	bool fault = from->fault;

	switch (c->unfinished) {
	case CHILD_DONE:
		break;
	case CHILD_IN:
		general[0] = c->vmcb->rax;
		access_set_register(general, c->access.bytes, value);
		c->vmcb->rax = general[0];
		break;
	case CHILD_LOAD:
		svm_get_general(c->vmcb, &c->registers, general);
		access_load(&c->access, general, value);
		svm_set_general(c->vmcb, &c->registers, general);
		break;
	case CHILD_STRING:
		child_finish_string(c, value);
		break;
	case CHILD_RDMSR:
	case CHILD_WRMSR:
		if (fault) {
			c->vmcb->rip = c->refused_rip;
			inject(c, EXCEPTION_GP, true);
		} else if (c->unfinished == CHILD_RDMSR) {
			set_msr_value(c, value);
		}
		break;
	}
	c->unfinished = CHILD_DONE;
}

/* Registers that the parent has changed, before what is unfinished. */
static void take_registers(struct child *c)
{
	const volatile struct oya_processor *from = c->shared;
	uint64_t general[16];

	if (!from->changed)
		return;
	for (unsigned i = 0; i < ARRAY_LEN(general); i++)
		general[i] = from->general[i];
	svm_set_general(c->vmcb, &c->registers, general);
	c->vmcb->rip = from->rip;
	c->vmcb->rflags = (from->rflags & RFLAGS_CHANGED) | RFLAGS_FIXED;
	c->shared->changed = 0;
}

static void tell(struct child *c)
{
	uint8_t *shared = (uint8_t *)c->shared;

	c->shared->exits = c->exits;
	c->shared->deadline = c->told = c->lapic.deadline;
	child_tell_interrupts(c);
	if (c->shared->exit == OYA_EXIT_INTERRUPT)
		return;
	svm_get_general(c->vmcb, &c->registers,
			(void *)(shared + offsetof(struct oya_processor, general)));
	c->shared->rip = c->vmcb->rip;
	c->shared->rflags = c->vmcb->rflags;
}

static void exit_xsetbv(struct child *c)
{
	uint64_t value = c->registers.rdx << 32 | (uint32_t)c->vmcb->rax;

	if (!(c->vmcb->cr4 & CR4_OSXSAVE)) {
		inject(c, EXCEPTION_UD, false);
		return;
	}
	if (c->vmcb->cpl != 0 || (uint32_t)c->registers.rcx != 0 || !fpu_xcr0_allowed(value)) {
		inject(c, EXCEPTION_GP, true);
		return;
	}
	c->xcr0 = value;
	x86_write_xcr0(value);
	skip(c, 3);
}

static bool leave_debug(struct child *c, unsigned vector)
{
	c->shared->port = vector;
	return leave(c, OYA_EXIT_DEBUG);
}

static bool exit_exception(struct child *c, struct cpu *cpu)
{
	uint64_t vector = c->vmcb->exit_code - SVM_EXIT_EXCEPTION;

	if (vector == EXCEPTION_MC) {
		svm_inject(cpu->vmcb, EXCEPTION_MC, false);
		return leave(c, OYA_EXIT_INTERRUPT);
	}
	if ((vector == EXCEPTION_DB && (c->watch & OYA_DEBUG_STEP)) || vector == EXCEPTION_BP)
		return leave_debug(c, (unsigned)vector);
	inject(c, (unsigned)vector, vector == EXCEPTION_AC);
	return true;
}

static bool handle(struct child *c, struct cpu *cpu)
{
	struct svm_vmcb *v = c->vmcb;

	switch (v->exit_code) {
	case SVM_EXIT_INTR:
		emulate_pass_halt(&c->partition->npt, v);
		return leave(c, OYA_EXIT_INTERRUPT);
	case SVM_EXIT_NMI:
		emulate_pass_halt(&c->partition->npt, v);
		parent_take_nmi(cpu);
		return leave(c, OYA_EXIT_INTERRUPT);
	case SVM_EXIT_SMI:
	case SVM_EXIT_INIT:
		return true;
	case SVM_EXIT_CPUID:
		child_cpuid(c);
		skip(c, 2);
		return true;
	case SVM_EXIT_MSR:
		return exit_msr(c);
	case SVM_EXIT_IO:
		return exit_port(c);
	case SVM_EXIT_HLT:
		skip(c, 1);
		return child_halt(c);
	case SVM_EXIT_NPF:
		return exit_memory(c);
	case SVM_EXIT_VINTR:
		return child_window_open(c);
	case SVM_EXIT_IRET:
		child_end_nmi(c);
		return true;
	case SVM_EXIT_INVD: /* without what it would lose */
	case SVM_EXIT_WBINVD:
		skip(c, 2);
		return true;
	case SVM_EXIT_XSETBV:
		exit_xsetbv(c);
		return true;
	case SVM_EXIT_RDPMC:
		inject(c, EXCEPTION_GP, true);
		return true;
	case SVM_EXIT_EXCEPTION + EXCEPTION_DB:
	case SVM_EXIT_EXCEPTION + EXCEPTION_BP:
	case SVM_EXIT_EXCEPTION + EXCEPTION_AC:
	case SVM_EXIT_EXCEPTION + EXCEPTION_MC:
		return exit_exception(c, cpu);
	case SVM_EXIT_SHUTDOWN:
		return leave(c, OYA_EXIT_SHUTDOWN);
	case SVM_EXIT_INVALID:
		c->shared->address = v->exit_code;
		return leave(c, OYA_EXIT_BROKEN);
	default: /* instructions that are not offered */
		inject(c, EXCEPTION_UD, false);
		return true;
	}
}

/* Translations of this processor's are told apart by a number; those of an era that has ended are
 * no longer there. */
static void choose_asid(struct child *c, struct cpu *cpu)
{
	if (c->asid_cpu == cpu->apic && c->asid_era == cpu->asid_era)
		return;
	if (cpu->asid_next >= asid_end) {
		cpu->asid_era++;
		cpu->asid_next = 0;
	}
	if (cpu->asid_next < FIRST_ASID) {
		cpu->asid_next = FIRST_ASID;
		c->vmcb->tlb_control = SVM_TLB_FLUSH_ALL;
	}
	c->vmcb->asid = cpu->asid_next++;
	c->asid_cpu = cpu->apic;
	c->asid_era = cpu->asid_era;
}

static void exchange_debug(uint64_t *from, const uint64_t *to)
{
	__asm__ volatile("mov %%db0, %0" : "=r"(from[0]));
	__asm__ volatile("mov %%db1, %0" : "=r"(from[1]));
	__asm__ volatile("mov %%db2, %0" : "=r"(from[2]));
	__asm__ volatile("mov %%db3, %0" : "=r"(from[3]));
	__asm__ volatile("mov %0, %%db0" : : "r"(to[0]));
	__asm__ volatile("mov %0, %%db1" : : "r"(to[1]));
	__asm__ volatile("mov %0, %%db2" : : "r"(to[2]));
	__asm__ volatile("mov %0, %%db3" : : "r"(to[3]));
}

/* FS, GS, TR, LDTR and the MSRs of system calls. */
static void exchange_segments(const struct svm_vmcb *from, const struct svm_vmcb *to)
{
	virt->save(pointer_to_physical(from));
	virt->load(pointer_to_physical(to));
}

/* An event whose delivery was interrupted comes again; but an instruction's own, which is carried
 * out anew. */
static uint64_t interrupted_event(const struct svm_vmcb *v)
{
	uint64_t type = v->exit_event & SVM_EVENT_TYPE, vector = v->exit_event & UINT8_MAX;
	bool by_instruction =
		type == SVM_EVENT_SOFTWARE ||
		(type == SVM_EVENT_EXCEPTION && (vector == EXCEPTION_BP || vector == EXCEPTION_OF));

	return (v->exit_event & SVM_EVENT_VALID) && !by_instruction ? v->exit_event : 0;
}

/* The trap flag is the parent's while the child is stepped. */
static void begin_debug(struct child *c)
{
	struct svm_vmcb *v = c->vmcb;

	c->own_trap = v->rflags & RFLAGS_TF;
	c->own_dr6 = v->dr6;
	if (c->watch & OYA_DEBUG_STEP)
		v->rflags |= RFLAGS_TF;
	if (c->watch & OYA_DEBUG_BREAKPOINTS)
		v->intercept_exceptions |= 1u << EXCEPTION_BP;
}

static void end_debug(struct child *c)
{
	struct svm_vmcb *v = c->vmcb;

	if (c->watch & OYA_DEBUG_STEP) {
		v->rflags = (v->rflags & ~RFLAGS_TF) | c->own_trap;
		if (v->exit_code == SVM_EXIT_EXCEPTION + EXCEPTION_DB)
			v->dr6 = c->own_dr6;
	}
	v->intercept_exceptions &= ~(1u << EXCEPTION_BP);
}

static void enter(struct child *c, struct cpu *cpu)
{
	struct svm_vmcb *v = c->vmcb;

	choose_asid(c, cpu);
	if (c->watch)
		begin_debug(c);
	/* An interrupt of the parent's ends the run, though GIF is clear until then. */
	__asm__ volatile("sti" : : : "memory");
	virt->run(pointer_to_physical(v), &c->registers);
	__asm__ volatile("cli" : : : "memory");
	c->stopped_rip = v->rip;
	if (c->watch)
		end_debug(c);
	child_after_entry(c);
	v->tlb_control = SVM_TLB_KEEP;
	v->event = interrupted_event(v);
	c->exits++;
}

/* The trap of an instruction that was carried out here, for a child that steps itself. */
static void trap_step(struct child *c)
{
	struct svm_vmcb *v = c->vmcb;

	if (v->rip == c->stopped_rip || (v->event & SVM_EVENT_VALID))
		return;
	v->dr6 |= DR6_STEP;
	inject(c, EXCEPTION_DB, false);
}

/* An instruction that was carried out here raised no trap. */
static bool after_step(struct child *c, bool on)
{
	bool done = c->vmcb->rip != c->stopped_rip;

	if (on && done)
		return leave_debug(c, EXCEPTION_DB);
	c->stepped = done && c->shared->exit != OYA_EXIT_DEBUG;
	return on;
}

/* One partition does not steer what the processor guesses for the next. Between a partition and the
 * parent's thread that runs it there is none, as with KVM: that is Linux's own business. */
static void forget_predictions(const struct child *c, struct cpu *cpu)
{
	if (!has_barrier || cpu->predicted == c->partition->serial)
		return;
	x86_wrmsr(MSR_PREDICTION, FORGET_PREDICTIONS);
	cpu->predicted = c->partition->serial;
}

static void run(struct child *c)
{
	struct cpu *cpu = cpu_this();
	uint64_t parent_debug[4], parent_xcr0 = 0, parent_xss;
	bool on = true;

	exchange_segments(cpu->vmcb, c->vmcb);
	exchange_debug(parent_debug, c->debug);
	fpu_exchange(cpu->fpu, &parent_xcr0, c->fpu, c->xcr0);
	parent_xss = fpu_hide_supervisor_states();
	forget_predictions(c, cpu);
	while (on && child_before_entry(c, cpu->apic)) {
		enter(c, cpu);
		on = handle(c, cpu) && !panicked();
		if (c->watch & OYA_DEBUG_STEP)
			on = after_step(c, on);
		else if (c->vmcb->rflags & RFLAGS_TF)
			trap_step(c);
	}
	fpu_show_supervisor_states(parent_xss);
	fpu_exchange(c->fpu, &c->xcr0, cpu->fpu, parent_xcr0);
	exchange_debug(c->debug, parent_debug);
	exchange_segments(c->vmcb, cpu->vmcb);
}

void child_run(struct child *c, bool finish_only)
{
	c->watch = ((const volatile struct oya_processor *)c->shared)->debug;
	take_registers(c);
	finish(c);
	if (finish_only)
		leave(c, OYA_EXIT_INTERRUPT);
	else if (c->stepped && (c->watch & OYA_DEBUG_STEP))
		leave_debug(c, EXCEPTION_DB);
	else if (child_may_run(c))
		run(c);
	c->stepped = c->stepped && c->shared->exit != OYA_EXIT_DEBUG;
	tell(c);
}
