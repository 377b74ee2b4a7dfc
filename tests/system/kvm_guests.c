/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the guests of hypervisor/guests on a device that speaks KVM's interface: kvm_guests DEVICE
 * [CASE...]. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#define MEMORY (8u << 20)
#define CODE_AT 0x1000u
#define CODE_BYTES 64u /* more than a guest has */
#define HANDLERS_AT 0x2000u
#define HANDLER_BYTES 16u
#define IDT_AT 0x3000u
#define GDT_AT 0x4000u
#define TSS_AT 0x4100u
#define COMMANDS_AT 0x5000u
#define STACK_AT 0x8000u
#define KERNEL_STACK_AT 0x9000u
#define OTHER_AT 0x10000u /* of SIPI's vector 0x10 */
#define TABLES_AT 0x100000u
#define FAR_AT 0x40000000u
#define FAR_BYTES (2u << 20)
#define HIGH_AT 0x8000000000u /* linear: step i leads to 1 << (HIGH_FIRST + i) */
#define HIGH_FIRST 32u
#define HIGH_COUNT 20u
#define STEP (2u << 20)
#define FAULT_PORT 0x98u
#define DONE_PORT 0x99u
#define RING_3 3u
#define VECTOR 0x40u
#define PROCESSORS 64u
#define STORM_SECONDS 3u

/* How a guest ends, beside the vector of its exception. */
#define DONE (-1)
#define HALT (-2)
#define OTHER (-3)

#define GUEST(name) extern const uint8_t guest_##name[], guest_##name##_end[]
#define CODE(name) guest_##name, guest_##name##_end
GUEST(cpuid);
GUEST(rdmsr);
GUEST(wrmsr);
GUEST(halt);
GUEST(in);
GUEST(invd);
GUEST(wbinvd);
GUEST(rdpmc);
GUEST(monitor);
GUEST(mwait);
GUEST(xsetbv);
GUEST(xsetbv_value);
GUEST(vmrun);
GUEST(vmload);
GUEST(vmsave);
GUEST(stgi);
GUEST(clgi);
GUEST(skinit);
GUEST(invlpga);
GUEST(vmmcall);
GUEST(svme);
GUEST(mask);
GUEST(fault_by_store);
GUEST(invalid);
GUEST(sweep);
GUEST(reload);
GUEST(traps);
GUEST(watch);
GUEST(again);
GUEST(calls_of_nobody);
GUEST(waits);
GUEST(storm);
GUEST(other);

struct machine {
	int fd, vm, cpu;
	uint8_t *memory;
	struct kvm_run *run;
	size_t run_bytes;
};

static const struct simple {
	const char *name;
	const uint8_t *start, *end;
	uint64_t rsi;
	unsigned ring;
	int ends, or_ends;
} simple[] = {
	{"cpuid", CODE(cpuid), 0, 0, DONE, DONE},
	{"rdmsr-efer", CODE(rdmsr), 0xC0000080, 0, DONE, DONE},
	{"rdmsr-unknown", CODE(rdmsr), 0x12345, 0, 13, 13},
	{"rdmsr-outside", CODE(rdmsr), 0x80000000, 0, 13, 13},
	{"rdmsr-hsave", CODE(rdmsr), 0xC0010117, 0, 13, 13},
	{"wrmsr-unknown", CODE(wrmsr), 0x12345, 0, 13, 13},
	{"wrmsr-efer", CODE(wrmsr), 0xC0000080, 0, 13, 13},
	{"wrmsr-pat", CODE(wrmsr), 0x277, 0, 13, 13},
	{"wrmsr-hsave", CODE(wrmsr), 0xC0010117, 0, 13, 13},
	{"wrmsr-vm-cr", CODE(wrmsr), 0xC0010114, 0, 13, DONE}, /* without an effect */
	{"wrmsr-apic", CODE(wrmsr), 0x830, 0, 13, 13},
	{"svme", CODE(svme), 0, 0, 13, 13},
	{"hlt", CODE(halt), 0, 0, HALT, HALT},
	{"invd", CODE(invd), 0, 0, DONE, DONE},
	{"wbinvd", CODE(wbinvd), 0, 0, DONE, DONE},
	{"rdpmc", CODE(rdpmc), 0, 0, 13, 13},
	{"monitor", CODE(monitor), 0, 0, 6, 6},
	{"mwait", CODE(mwait), 0, 0, 6, 6},
	{"xsetbv-off", CODE(xsetbv), 0, 0, 6, 6},
	/* #UD where the processor has no XSAVE. */
	{"xsetbv-good", CODE(xsetbv_value), 1, 0, DONE, 6},
	{"xsetbv-no-x87", CODE(xsetbv_value), 2, 0, 13, 6},
	{"xsetbv-unknown", CODE(xsetbv_value), 0xFFFFFFFF, 0, 13, 6},
	{"vmrun", CODE(vmrun), 0, 0, 6, 6},
	{"vmload", CODE(vmload), 0, 0, 6, 6},
	{"vmsave", CODE(vmsave), 0, 0, 6, 6},
	{"stgi", CODE(stgi), 0, 0, 6, 6},
	{"clgi", CODE(clgi), 0, 0, 6, 6},
	{"skinit", CODE(skinit), 0, 0, 6, 6},
	{"invlpga", CODE(invlpga), 0, 0, 6, 6},
	{"vmmcall", CODE(vmmcall), 0, 0, 6, 6},
	{"mask", CODE(mask), 0, 0, DONE, DONE},
	{"user-cpuid", CODE(cpuid), 0, RING_3, 13, 13}, /* of the OUT behind it */
	{"user-rdmsr", CODE(rdmsr), 0xC0000080, RING_3, 13, 13},
	{"user-in", CODE(in), 0, RING_3, 13, 13},
	{"user-hlt", CODE(halt), 0, RING_3, 13, 13},
	{"user-invd", CODE(invd), 0, RING_3, 13, 13},
	{"user-rdpmc", CODE(rdpmc), 0, RING_3, 13, 13},
	/* #UD where the processor has no SVM, #GP where ring 3 is found first. */
	{"user-vmrun", CODE(vmrun), 0, RING_3, 6, 13},
	{"user-vmload", CODE(vmload), 0, RING_3, 6, 13},
	{"user-stgi", CODE(stgi), 0, RING_3, 6, 13},
	{"user-clgi", CODE(clgi), 0, RING_3, 6, 13},
	{"user-skinit", CODE(skinit), 0, RING_3, 6, 13},
	{"user-invlpga", CODE(invlpga), 0, RING_3, 6, 13},
	{"user-vmmcall", CODE(vmmcall), 0, RING_3, 6, 6},
	{"user-monitor", CODE(monitor), 0, RING_3, 6, 6},
};

static const char *device, *now;
static bool failed;

__attribute__((format(printf, 1, 2))) static void differs(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("%s: ", now);
	vprintf(format, args);
	va_end(args);
	puts("");
	failed = true;
}

static int call(int fd, unsigned long number, unsigned long argument, const char *what)
{
	int r = ioctl(fd, number, argument);

	if (r < 0) {
		printf("%s: %s: %s\n", now, what, strerror(errno));
		exit(1);
	}
	return r;
}

static uint8_t *add_slot(const struct machine *m, unsigned slot, uint64_t at, size_t bytes)
{
	uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = at,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)memory,
	};

	call(m->vm, KVM_SET_USER_MEMORY_REGION, (uintptr_t)&region, "a memory slot");
	return memory;
}

static int add_processor(const struct machine *m, unsigned number, struct kvm_run **ret_run)
{
	int cpu = call(m->vm, KVM_CREATE_VCPU, number, "a processor");

	*ret_run = mmap(NULL, m->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	if (*ret_run == MAP_FAILED)
		exit(1);
	return cpu;
}

static struct machine make(bool has_apics)
{
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
	struct machine m = {.fd = open(device, O_RDWR | O_CLOEXEC)};

	m.run_bytes = (size_t)call(m.fd, KVM_GET_VCPU_MMAP_SIZE, 0, "the size of kvm_run");
	m.vm = call(m.fd, KVM_CREATE_VM, 0, "a VM");
	if (has_apics)
		call(m.vm, KVM_ENABLE_CAP, (uintptr_t)&split, "split irqchip");
	m.memory = add_slot(&m, 0, 0, MEMORY);
	m.cpu = add_processor(&m, 0, &m.run);
	return m;
}

static void unmake(const struct machine *m)
{
	munmap(m->run, m->run_bytes);
	close(m->cpu);
	close(m->vm);
	close(m->fd);
	munmap(m->memory, MEMORY);
}

static void set_gate(uint8_t *idt, unsigned vector, uint32_t handler)
{
	const uint64_t gate[2] = {(handler & 0xFFFF) | UINT64_C(8) << 16 | UINT64_C(0x8E) << 40 |
				  (uint64_t)(handler >> 16) << 48};

	memcpy(idt + (size_t)vector * sizeof(gate), gate, sizeof(gate));
}

/* Exceptions tell their vector; the interrupts of x2APIC mode end and go back. */
static void put_handlers(const struct machine *m)
{
	static const uint8_t end[] = {0x50, 0x51, 0x52, 0xB9, 0x0B, 0x08, 0,    0,    0x31, 0xC0,
				      0x31, 0xD2, 0x0F, 0x30, 0x5A, 0x59, 0x58, 0x48, 0xCF};
	const uint32_t end_at = HANDLERS_AT + 0x800;

	memcpy(m->memory + end_at, end, sizeof(end));
	for (unsigned i = 0; i < 256; i++)
		set_gate(m->memory + IDT_AT, i, i < 32 ? HANDLERS_AT + i * HANDLER_BYTES : end_at);
	for (unsigned i = 0; i <= VECTOR; i++) {
		/* mov $i, %al; mov $FAULT_PORT, %edx; out %al, %dx; iretq */
		const uint8_t tell[] = {0xB0, (uint8_t)i, 0xBA, FAULT_PORT, 0,
					0,    0,          0xEE, 0x48,       0xCF};

		memcpy(m->memory + HANDLERS_AT + i * HANDLER_BYTES, tell, sizeof(tell));
	}
}

static void put_tables(const struct machine *m)
{
	uint64_t *top = (uint64_t *)(void *)(m->memory + TABLES_AT), *gib = top + 512;
	uint64_t *high = gib + 5 * 512, *gdt = (uint64_t *)(void *)(m->memory + GDT_AT);
	const uint64_t kernel_stack = KERNEL_STACK_AT;

	top[0] = (TABLES_AT + 0x1000) | 7;
	top[1] = (TABLES_AT + 0x6000) | 7;
	for (uint64_t i = 0; i < 4; i++)
		gib[i] = (TABLES_AT + 0x2000 + i * 0x1000) | 7;
	for (uint64_t i = 0; i < 2048; i++)
		gib[512 + i] = i << 21 | 0x87;
	high[0] = (TABLES_AT + 0x7000) | 7;
	for (uint64_t i = 0; i < HIGH_COUNT; i++)
		high[512 + i] = UINT64_C(1) << (HIGH_FIRST + i) | 0x87;
	gdt[1] = 0x00209B0000000000;
	gdt[2] = 0x0000930000000000;
	gdt[3] = 0x0020FB0000000000;
	gdt[4] = 0x0000F30000000000;
	memcpy(m->memory + TSS_AT + 4, &kernel_stack, sizeof(kernel_stack));
}

static void set_registers(const struct machine *m, unsigned ring, const struct kvm_regs *regs)
{
	struct kvm_segment code = {.selector = ring ? 0x1B : 8,
				   .type = 0xB,
				   .present = 1,
				   .s = 1,
				   .l = 1,
				   .g = 1,
				   .limit = UINT32_MAX,
				   .dpl = (uint8_t)ring};
	struct kvm_segment data = {.selector = ring ? 0x23 : 16,
				   .type = 3,
				   .present = 1,
				   .s = 1,
				   .g = 1,
				   .db = 1,
				   .limit = UINT32_MAX,
				   .dpl = (uint8_t)ring};
	struct kvm_sregs sregs;

	call(m->cpu, KVM_GET_SREGS, (uintptr_t)&sregs, "reading segments");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.tr = (struct kvm_segment){
		.selector = 0x28, .type = 0xB, .present = 1, .limit = 0x67, .base = TSS_AT};
	sregs.gdt = (struct kvm_dtable){.base = GDT_AT, .limit = 0x37};
	sregs.idt = (struct kvm_dtable){.base = IDT_AT, .limit = 0xFFF};
	sregs.cr0 = 0x80010033;
	sregs.cr3 = TABLES_AT;
	sregs.cr4 = 0x620;
	sregs.efer = 0x500;
	call(m->cpu, KVM_SET_SREGS, (uintptr_t)&sregs, "setting segments");
	call(m->cpu, KVM_SET_REGS, (uintptr_t)regs, "setting registers");
}

static void set(const struct machine *m, const uint8_t *start, const uint8_t *end, uint64_t rsi,
		unsigned ring)
{
	const struct kvm_regs regs = {.rip = CODE_AT, .rflags = 2, .rsp = STACK_AT, .rsi = rsi};

	memcpy(m->memory + CODE_AT, start, (uintptr_t)end - (uintptr_t)start);
	put_handlers(m);
	put_tables(m);
	set_registers(m, ring, &regs);
}

static void set_idt(const struct machine *m, uint64_t at)
{
	struct kvm_sregs sregs;

	call(m->cpu, KVM_GET_SREGS, (uintptr_t)&sregs, "reading segments");
	sregs.idt.base = at;
	call(m->cpu, KVM_SET_SREGS, (uintptr_t)&sregs, "setting segments");
}

/* How it ends: a vector, DONE, HALT, or OTHER with the reason in kvm_run. */
static int run(const struct machine *m)
{
	call(m->cpu, KVM_RUN, 0, "running");
	if (m->run->exit_reason == KVM_EXIT_HLT)
		return HALT;
	if (m->run->exit_reason != KVM_EXIT_IO)
		return OTHER;
	if (m->run->io.port == DONE_PORT)
		return DONE;
	return m->run->io.port == FAULT_PORT ? *((uint8_t *)m->run + m->run->io.data_offset)
					     : OTHER;
}

static void expect(const struct machine *m, int ends, const char *what)
{
	int how = run(m);

	if (how != ends)
		differs("%s: ends with %d (reason %u), not %d", what, how, m->run->exit_reason,
			ends);
}

static void run_simple(const struct simple *s)
{
	struct machine m = make(false);
	int how;

	now = s->name;
	set(&m, s->start, s->end, s->rsi, s->ring);
	how = run(&m);
	if (how != s->ends && how != s->or_ends)
		differs("ends with %d (reason %u), not %d", how, m.run->exit_reason, s->ends);
	unmake(&m);
}

/* From `at` on up to `end`, where there is no memory: each load comes out, and nothing else. */
static void sweep(const struct machine *m, uint64_t at, uint64_t end, uint64_t step, uint64_t first)
{
	const struct kvm_regs regs = {
		.rip = CODE_AT, .rflags = 2, .rsp = STACK_AT, .rsi = at, .rdi = end, .rbx = step};
	const uint64_t one = 1;

	set(m, CODE(sweep), 0, 0);
	call(m->cpu, KVM_SET_REGS, (uintptr_t)&regs, "setting registers");
	for (; at < end; at += step) {
		uint64_t gpa = first ? first << (at - HIGH_AT) / STEP : at;
		int how = run(m);

		if (first && how == 14)
			return; /* more than the processor's addresses have */
		if (m->run->exit_reason != KVM_EXIT_MMIO || m->run->mmio.phys_addr != gpa) {
			differs("a load from %#llx ends with %d (reason %u)",
				(unsigned long long)gpa, how, m->run->exit_reason);
			return;
		}
		memcpy(m->run->mmio.data, &one, sizeof(one));
	}
	expect(m, DONE, "the end of the sweep");
}

static void test_memory(void)
{
	struct machine m = make(false);

	sweep(&m, MEMORY, 16u << 20, 4096, 0);
	sweep(&m, MEMORY, UINT64_C(1) << 32, STEP, 0);
	sweep(&m, HIGH_AT, HIGH_AT + HIGH_COUNT * STEP, STEP, UINT64_C(1) << HIGH_FIRST);
	unmake(&m);
}

/* The delivery of an exception meets a stack without memory, at an instruction that itself would be
 * a store: it must not be taken for one. Once there is memory the exception is delivered. */
static void test_stack(void)
{
	struct machine m = make(false);
	uint64_t rip;
	uint8_t *far;

	set(&m, CODE(fault_by_store), FAR_AT + 0x1000, 0);
	expect(&m, OTHER, "the delivery");
	if (m.run->exit_reason == KVM_EXIT_MMIO)
		differs("a push of the delivery is taken for the instruction");
	far = add_slot(&m, 1, FAR_AT, FAR_BYTES);
	expect(&m, 13, "the delivery with memory");
	memcpy(&rip, far + 0x1000 - 40, sizeof(rip));
	if (rip <= CODE_AT || rip >= CODE_AT + CODE_BYTES)
		differs("the frame's RIP is %#llx", (unsigned long long)rip);
	unmake(&m);
	munmap(far, FAR_BYTES);
}

static void test_idt(void)
{
	struct machine m = make(false);
	uint8_t *far;

	set(&m, CODE(invalid), STACK_AT, 0);
	set_idt(&m, FAR_AT);
	expect(&m, OTHER, "the delivery");
	far = add_slot(&m, 1, FAR_AT, FAR_BYTES);
	memcpy(far, m.memory + IDT_AT, 4096);
	expect(&m, 6, "the delivery with memory");
	unmake(&m);
	munmap(far, FAR_BYTES);
}

/* The same with an interrupt, which nothing would bring a second time. */
static void deliver_interrupt(uint64_t stack, uint64_t idt)
{
	struct kvm_msi msi = {.address_lo = 0xFEE00000, .data = VECTOR};
	struct machine m = make(true);
	uint8_t *far;

	set(&m, CODE(waits), stack, 0);
	set_gate(m.memory + IDT_AT, VECTOR, HANDLERS_AT + VECTOR * HANDLER_BYTES);
	set_idt(&m, idt);
	expect(&m, DONE, "the APIC");
	call(m.vm, KVM_SIGNAL_MSI, (uintptr_t)&msi, "an interrupt");
	expect(&m, OTHER, "the delivery");
	far = add_slot(&m, 1, FAR_AT, FAR_BYTES);
	memcpy(far, m.memory + IDT_AT, 4096);
	expect(&m, VECTOR, "the delivery with memory");
	unmake(&m);
	munmap(far, FAR_BYTES);
}

static void test_interrupt(void)
{
	deliver_interrupt(STACK_AT, FAR_AT);
	deliver_interrupt(FAR_AT + 0x1000, IDT_AT);
}

static void on_alarm(int number)
{
	(void)number;
}

/* What never ends by itself is ended by a signal, and again. */
static void run_for_ever(const uint8_t *start, const uint8_t *end, unsigned vector)
{
	const struct itimerval soon = {.it_value = {0, 200000}}, never = {0};
	struct machine m = make(false);

	set(&m, start, end, TABLES_AT + 8 * 511, 0);
	/* The handler is the IRET alone. */
	set_gate(m.memory + IDT_AT, vector, HANDLERS_AT + vector * HANDLER_BYTES + 8);
	for (unsigned i = 0; i < 3; i++) {
		setitimer(ITIMER_REAL, &soon, NULL);
		if (ioctl(m.cpu, KVM_RUN, 0) == 0 || errno != EINTR)
			differs("it ends with reason %u", m.run->exit_reason);
		setitimer(ITIMER_REAL, &never, NULL);
	}
	unmake(&m);
}

static void test_for_ever(void)
{
	run_for_ever(CODE(reload), 1);
	run_for_ever(CODE(traps), 1);
	run_for_ever(CODE(watch), 1);
	run_for_ever(CODE(again), 6);
	run_for_ever(CODE(calls_of_nobody), 6);
}

static void *run_processor(void *arg)
{
	/* Whatever it ends with, it goes on. */
	for (;;) {
		if (ioctl(*(int *)arg, KVM_RUN, 0) < 0 && errno != EINTR && errno != EAGAIN)
			usleep(1000);
	}
	return NULL;
}

static void start(int *cpu)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run_processor, cpu) != 0)
		exit(1);
}

/* All go on for a while; the process ends with them running. */
static void test_storm(void)
{
	static const uint32_t commands[] = {0xC4500, 0xC4610, 0xC4610, 0xC4040, 0xC4400, 0x84041,
					    0xC4500, 0xC4500, 0xC4610, 0x4C040, 0xC4400, 0xC4610};
	static struct machine m;
	static int cpus[PROCESSORS];
	struct kvm_regs regs = {.rip = CODE_AT,
				.rflags = 2,
				.rsp = STACK_AT,
				.r8 = COMMANDS_AT,
				.r9 = sizeof(commands) / sizeof(commands[0])};
	volatile uint64_t *sent;
	volatile uint32_t *others;
	struct kvm_run *run;

	m = make(true);
	set(&m, CODE(storm), 0, 0);
	call(m.cpu, KVM_SET_REGS, (uintptr_t)&regs, "setting registers");
	memcpy(m.memory + COMMANDS_AT, commands, sizeof(commands));
	memcpy(m.memory + OTHER_AT, guest_other,
	       (uintptr_t)guest_other_end - (uintptr_t)guest_other);
	sent = (volatile uint64_t *)(void *)(m.memory + 0x530);
	others = (volatile uint32_t *)(void *)(m.memory + OTHER_AT + 0x100);
	cpus[0] = m.cpu;
	for (unsigned i = 1; i < PROCESSORS; i++) {
		cpus[i] = add_processor(&m, i, &run);
		start(&cpus[i]);
	}
	start(&cpus[0]);
	sleep(STORM_SECONDS);
	if (!*sent || !*others)
		differs("%llu commands, %u steps of the others", (unsigned long long)*sent,
			*others);
	printf("storm: %llu commands, %u steps of the others\n", (unsigned long long)*sent,
	       *others);
}

/* Two threads on one processor; numbers that no processor has. */
static void test_numbers(void)
{
	static struct machine m;

	m = make(false);
	if (ioctl(m.vm, KVM_CREATE_VCPU, 0) >= 0 || ioctl(m.vm, KVM_CREATE_VCPU, 4096) >= 0 ||
	    ioctl(m.vm, KVM_CREATE_VCPU, UINT32_MAX) >= 0)
		differs("a processor that there is not, or that there is already");
	set(&m, CODE(calls_of_nobody), 0, 0);
	start(&m.cpu);
	start(&m.cpu);
	usleep(300000);
}

static bool chosen(int argc, char **argv, const char *name)
{
	bool found = argc < 3;

	for (int i = 2; i < argc; i++)
		found |= !strcmp(argv[i], name);
	return found;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(void);
	} tests[] = {
		{"memory", test_memory},     {"stack", test_stack},
		{"idt", test_idt},           {"interrupt", test_interrupt},
		{"for-ever", test_for_ever}, {"numbers", test_numbers},
		{"storm", test_storm},
	};
	const struct sigaction action = {.sa_handler = on_alarm};
	unsigned count = 0;

	if (argc < 2)
		return 2;
	device = argv[1];
	sigaction(SIGALRM, &action, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(simple) / sizeof(simple[0]); i++) {
		if (chosen(argc, argv, simple[i].name)) {
			run_simple(&simple[i]);
			count++;
		}
	}
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		now = tests[i].name;
		if (chosen(argc, argv, now)) {
			tests[i].test();
			count++;
		}
	}
	printf("%u cases%s\n", count, failed ? ", and not all as they should be" : "");
	return failed || !count;
}
