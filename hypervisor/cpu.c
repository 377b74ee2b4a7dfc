/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu.h"

#include <stddef.h>
#include <string.h>

#include "hypervisor/apic.h"
#include "hypervisor/cpu_start.h"
#include "hypervisor/fpu.h"
#include "hypervisor/log.h"
#include "hypervisor/panic.h"
#include "hypervisor/parent.h"
#include "hypervisor/virt.h"
#include "hypervisor/x86.h"

#define VECTORS 256u
#define EXCEPTIONS 32u
#define VECTOR_BYTES 16u
#define VECTOR_NMI 2u
#define GATE_INTERRUPT 0x8Eu
#define CODE_SELECTOR 0x08u
/* Some seconds; an emulated processor may need one. */
#define START_TRIES 4000000u

struct gate {
	uint16_t offset_0, selector;
	uint8_t stack, type;
	uint16_t offset_16;
	uint32_t offset_32, reserved;
};

extern uint8_t exception_entries[], interrupt_entry[], boot_stack[], ap_code[], gdt[];
extern const uint32_t ap_code_len, ap_code_64_offset;
extern const uint16_t gdt_limit;
extern uint64_t hv_cr3;

static struct gate gates[VECTORS];
static struct cpu *cpus[CPU_MAX];
static uint32_t start_page;
static bool start_lock;      /* one processor is started at a time; taken by lock_take */
static struct cpu *spare;    /* of one that did not start, for the next */
static bool absent[CPU_MAX]; /* did not start, and is not asked again */
static bool kick_lock;       /* atomic: one NMI of ours is under way at a time */

struct cpu *cpu_find(uint32_t apic)
{
	return apic < CPU_MAX ? __atomic_load_n(&cpus[apic], __ATOMIC_ACQUIRE) : NULL;
}

void cpu_set_start_page(uint32_t physical)
{
	start_page = physical;
}

static void make_gates(void)
{
	for (unsigned i = 0; i < VECTORS; i++) {
		uint64_t at =
			(uint64_t)(uintptr_t)(i < EXCEPTIONS ? exception_entries + i * VECTOR_BYTES
							     : interrupt_entry);

		gates[i] = (struct gate){
			.offset_0 = (uint16_t)at,
			.selector = CODE_SELECTOR,
			.type = GATE_INTERRUPT,
			.offset_16 = (uint16_t)(at >> 16),
			.offset_32 = (uint32_t)(at >> 32),
		};
	}
}

/* On the processor itself, which becomes ready to run guests. */
static void set_up(struct cpu *cpu, uint64_t host_save)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idtr = {sizeof(gates) - 1, (uint64_t)(uintptr_t)gates};

	__asm__ volatile("lidt %0" : : "m"(idtr));
	virt->enable(host_save);
	cpu->sipi = -1;
}

/* A processor's own pages: a stack with its struct cpu, control block, host save area. NULL: no
 * memory. */
static struct cpu *make(uint32_t apic, void *stack)
{
	void *fpu = pool_take(fpu_pages());
	struct svm_vmcb *vmcb = pool_take(2);
	struct cpu *cpu = stack;

	if (!vmcb || !cpu || !fpu)
		return NULL;
	*cpu = (struct cpu){.apic = apic, .vmcb = vmcb, .fpu = fpu, .asid_era = 1};
	__atomic_store_n(&cpus[apic], cpu, __ATOMIC_RELEASE);
	return cpu;
}

struct cpu *cpu_init_first(void)
{
	uint32_t apic = apic_id();
	struct cpu *cpu;

	fpu_init();
	cpu = apic < CPU_MAX ? make(apic, boot_stack) : NULL;

	if (cpu) {
		make_gates();
		set_up(cpu, pointer_to_physical(cpu->vmcb) + PAGE_BYTES);
		cpu->state = CPU_RUNNING;
	}
	return cpu;
}

void cpu_entered(void)
{
	struct cpu *cpu = cpu_this();

	fpu_init();
	set_up(cpu, pointer_to_physical(cpu->vmcb) + PAGE_BYTES);
	__atomic_store_n(&cpu->state, CPU_WAITING, __ATOMIC_RELEASE);
	parent_run(cpu);
}

static bool flush_asked(const struct cpu *cpu)
{
	return __atomic_load_n(&cpu->flush, __ATOMIC_SEQ_CST);
}

bool cpu_flush_if_asked(struct cpu *cpu)
{
	if (!flush_asked(cpu))
		return false;
	/* Both take effect with the next entry into a guest, and until then none is entered. */
	cpu->vmcb->tlb_control = SVM_TLB_FLUSH_ALL;
	cpu->asid_era++;
	__atomic_store_n(&cpu->flush, 0, __ATOMIC_SEQ_CST);
	return true;
}

/* What others wait for, also while this processor waits for them. The NMI that comes with the wish
 * must not be left for the parent. */
static void serve(void)
{
	struct cpu *cpu = cpu_this();

	if (!flush_asked(cpu))
		return;
	cpu->nmi_taken = false;
	while (!cpu->nmi_taken)
		virt->take_nmi();
	cpu_flush_if_asked(cpu);
}

void lock_take(bool *lock)
{
	while (__atomic_test_and_set(lock, __ATOMIC_ACQUIRE)) {
		serve();
		x86_pause();
	}
}

void lock_release(bool *lock)
{
	__atomic_clear(lock, __ATOMIC_RELEASE);
}

static void flush_one(struct cpu *cpu)
{
	__atomic_store_n(&cpu->flush, 1, __ATOMIC_SEQ_CST);
	if (cpu == cpu_this()) {
		cpu_flush_if_asked(cpu);
		return;
	}
	/* One that waits in here begins with a flush; it takes no NMI. */
	if (__atomic_load_n(&cpu->state, __ATOMIC_SEQ_CST) != CPU_RUNNING) {
		__atomic_store_n(&cpu->flush, 0, __ATOMIC_SEQ_CST);
		return;
	}
	apic_nmi(cpu->apic);
	while (flush_asked(cpu) && !panicked())
		x86_pause();
}

void cpu_flush_everywhere(void)
{
	lock_take(&kick_lock);
	for (uint32_t i = 0; i < CPU_MAX; i++) {
		if (cpus[i])
			flush_one(cpus[i]);
	}
	lock_release(&kick_lock);
}

void cpu_take_init(uint32_t apic)
{
	struct cpu *cpu = cpu_find(apic);

	if (!cpu || cpu == cpu_this() ||
	    __atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) != CPU_RUNNING)
		return;
	__atomic_store_n(&cpu->sipi, -1, __ATOMIC_RELAXED);
	__atomic_store_n(&cpu->init, 1, __ATOMIC_SEQ_CST);
	apic_nmi(apic);
	/* A SIPI may follow at once: it must find the processor waiting. */
	for (unsigned i = 0; i < START_TRIES; i++) {
		if (__atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) == CPU_WAITING)
			return;
		serve();
		x86_pause();
	}
	log_line("processor %u does not take its INIT", apic);
}

static struct cpu *make_or_take_spare(uint32_t apic)
{
	struct cpu *cpu = spare;

	if (!cpu)
		return make(apic, pool_take_stack());
	spare = NULL;
	cpu->apic = apic;
	__atomic_store_n(&cpus[apic], cpu, __ATOMIC_RELEASE);
	return cpu;
}

/* Numbers without a processor cost no memory, however many the parent tries. */
static void give_up(struct cpu *cpu)
{
	log_line("processor %u does not start", cpu->apic);
	apic_init(cpu->apic); /* should it be slow, it must not come upon the stack of another */
	absent[cpu->apic] = true;
	__atomic_store_n(&cpus[cpu->apic], NULL, __ATOMIC_RELEASE);
	spare = cpu;
}

static void start(uint32_t apic)
{
	uint8_t *code = physical_to_pointer(start_page);
	struct cpu *cpu = make_or_take_spare(apic);
	struct cpu_start words = {
		.gdt_limit = gdt_limit,
		.gdt_base = (uint32_t)pointer_to_physical(gdt),
		.target = start_page + ap_code_64_offset,
		.target_selector = CODE_SELECTOR,
		.page = start_page,
		.cr3 = (uint32_t)hv_cr3,
		.stack = (uintptr_t)cpu + STACK_BYTES,
	};

	if (!cpu) {
		log_line("processor %u is left out: no memory for it", apic);
		absent[apic] = true;
		return;
	}
	memcpy(code, ap_code, ap_code_len);
	memcpy(code + CPU_START_AT, &words, sizeof(words));
	apic_start(apic, (uint8_t)(start_page / PAGE_BYTES));
	for (unsigned i = 0; i < START_TRIES; i++) {
		if (__atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) != CPU_OFF)
			return;
		serve();
		x86_pause();
	}
	give_up(cpu);
}

void cpu_take_sipi(uint32_t apic, uint8_t vector)
{
	struct cpu *cpu;

	if (apic >= CPU_MAX)
		return;
	lock_take(&start_lock);
	if (!cpus[apic] && !absent[apic])
		start(apic);
	lock_release(&start_lock);
	cpu = cpu_find(apic);
	if (cpu && __atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) == CPU_WAITING)
		__atomic_store_n(&cpu->sipi, vector, __ATOMIC_RELEASE);
}

void cpu_wait_for_sipi(struct cpu *cpu)
{
	__atomic_store_n(&cpu->init, 0, __ATOMIC_RELAXED);
	apic_quiet();
	__atomic_store_n(&cpu->state, CPU_WAITING, __ATOMIC_RELEASE);
	while (__atomic_load_n(&cpu->sipi, __ATOMIC_ACQUIRE) < 0) {
		cpu_flush_if_asked(cpu);
		x86_pause();
	}
	/* An NMI of ours that came too late is not for the parent. */
	virt->take_nmi();
}

void exception_taken(struct exception_frame *frame)
{
	struct cpu *cpu = cpu_this();

	if (frame->vector == VECTOR_NMI) {
		cpu->nmi_taken = true;
		return;
	}
	if (!cpu->fixup)
		panic("exception %u of its own, error %lx, at %lx on processor %u",
		      (uint32_t)frame->vector, frame->error, frame->rip, cpu->apic);
	frame->rip = cpu->fixup;
	cpu->fixup = 0;
}

/* `failed` stays set when the instruction faults: the fixup lies behind its clearing. */
bool cpu_rdmsr(uint32_t msr, uint64_t *ret_value)
{
	struct cpu *cpu = cpu_this();
	uint64_t scratch;
	uint32_t low = 0, high = 0, failed = 1;

	__asm__ volatile(
		"lea 1f(%%rip), %[scratch]\n\t"
		"mov %[scratch], %[fixup]\n\t"
		"rdmsr\n\t"
		"xor %[failed], %[failed]\n"
		"1:"
		: [scratch] "=&r"(scratch), [fixup] "=m"(cpu->fixup), [failed] "+r"(failed),
		  "+a"(low), "+d"(high)
		: "c"(msr)
		: "memory", "cc");
	cpu->fixup = 0;
	*ret_value = (uint64_t)high << 32 | low;
	return !failed;
}

bool cpu_wrmsr(uint32_t msr, uint64_t value)
{
	struct cpu *cpu = cpu_this();
	uint64_t scratch;
	uint32_t failed = 1;

	__asm__ volatile("lea 1f(%%rip), %[scratch]\n\t"
			 "mov %[scratch], %[fixup]\n\t"
			 "wrmsr\n\t"
			 "xor %[failed], %[failed]\n"
			 "1:"
			 : [scratch] "=&r"(scratch), [fixup] "=m"(cpu->fixup), [failed] "+r"(failed)
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory", "cc");
	cpu->fixup = 0;
	return !failed;
}
