/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What monitors ask of a device that speaks KVM's interface beside running: state in and out,
 * interrupts from outside, memory that is logged, steps. state DEVICE TEST...: exits 0 when all is
 * as it should be, else says what is not. It must say the same of stock KVM and of ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define MEMORY (8u << 20)
#define CODE_AT 0x1000u
#define STACK_AT 0x8000u
#define VECTOR 0x40u
#define OTHER_VECTOR 0x41u
#define HANDLER_PORT 0x20u /* plus the number of the handler */
#define MAIN_PORT 0x10u
#define LINE 5u
#define MOST_LISTED 256u
#define RFLAGS_IF 0x200u
#define APIC_SPURIOUS 0xF0u
#define APIC_TPR 0x80u
#define APIC_TIMER 0x320u
#define APIC_LVT0 0x350u
#define APIC_LVT1 0x360u
#define APIC_COUNT 0x380u
#define APIC_COUNT_NOW 0x390u
#define APIC_DIVIDE 0x3E0u
#define MSI_ADDRESS 0xFEE00000u

struct machine {
	int device, vm, cpu;
	uint8_t *memory;
	struct kvm_run *run;
	size_t run_bytes;
};

extern const uint8_t wait_start[], wait_end[], halt_start[], halt_end[], vector_start[],
	vector_end[], write_start[], write_end[], step_start[], step_end[], handlers[],
	handlers_end[];

/* Real mode. Each handler tells a port of its own. */
__asm__(".pushsection .rodata\n"
	".code16\n"
	/* Interrupts off, one exit, on for good. */
	"wait_start:\n"
	"	cli\n"
	"	out %al, $0x10\n"
	"	sti\n"
	"1:	jmp 1b\n"
	"wait_end:\n"
	"halt_start:\n"
	"	sti\n"
	"1:	hlt\n"
	"	jmp 1b\n"
	"halt_end:\n"
	/* Vectors of 128 bits and x87 control, changed in place. */
	"vector_start:\n"
	"	paddd %xmm1, %xmm0\n"
	"	fldl 0x600\n"
	"	fstpl 0x608\n"
	"	out %al, $0x10\n"
	"vector_end:\n"
	/* A byte to each of three pages, and one to what cannot be written. */
	"write_start:\n"
	"	mov $0x2000, %ax\n"
	"	mov %ax, %ds\n"
	"	movb $1, 0x0000\n"
	"	movb $1, 0x3000\n"
	"	movb $1, 0x4fff\n"
	"	out %al, $0x10\n"
	"	movb $1, 0x8000\n"
	"	out %al, $0x10\n"
	"	jmp write_start\n"
	"write_end:\n"
	"step_start:\n"
	"	mov $3, %ax\n"
	"	inc %ax\n"
	"	jmp 1f\n"
	"	nop\n"
	"1:	int3\n"
	"	nop\n"
	"step_end:\n"
	"handlers:\n"
	"	out %al, $0x20\n" /* 3 bytes each, with its IRET */
	"	iret\n"
	"	out %al, $0x21\n"
	"	iret\n"
	"	out %al, $0x22\n"
	"	iret\n"
	"handlers_end:\n"
	".code64\n"
	".popsection\n");

static const char *device;

__attribute__((format(printf, 1, 2), noreturn)) static void wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}

static int call(int fd, unsigned long number, const void *argument, const char *what)
{
	int r = ioctl(fd, number, argument);

	if (r < 0)
		wrong("%s", what);
	return r;
}

static void refused(int fd, unsigned long number, const void *argument, int error, const char *what)
{
	if (ioctl(fd, number, argument) >= 0)
		wrong("%s is not refused", what);
	if (errno != error)
		wrong("%s: not error %d", what, error);
}

static void set_slot(const struct machine *m, unsigned slot, uint64_t at, uint64_t bytes,
		     void *memory, uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = at,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)memory,
	};

	call(m->vm, KVM_SET_USER_MEMORY_REGION, &region, "a memory slot");
}

static struct machine make(bool has_apic)
{
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
	struct machine m = {.device = open(device, O_RDWR | O_CLOEXEC)};

	if (m.device < 0)
		wrong("opening %s", device);
	m.run_bytes = (size_t)call(m.device, KVM_GET_VCPU_MMAP_SIZE, NULL, "the size of kvm_run");
	m.vm = call(m.device, KVM_CREATE_VM, NULL, "a VM");
	if (has_apic)
		call(m.vm, KVM_ENABLE_CAP, &split, "a split irqchip");
	m.memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (m.memory == MAP_FAILED)
		wrong("memory");
	set_slot(&m, 0, 0, MEMORY, m.memory, 0);
	m.cpu = call(m.vm, KVM_CREATE_VCPU, NULL, "a processor");
	m.run = mmap(NULL, m.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m.cpu, 0);
	if (m.run == MAP_FAILED)
		wrong("kvm_run");
	return m;
}

static void unmake(const struct machine *m)
{
	munmap(m->run, m->run_bytes);
	close(m->cpu);
	close(m->vm);
	close(m->device);
	munmap(m->memory, MEMORY);
}

static void put(const struct machine *m, unsigned at, const uint8_t *start, const uint8_t *end)
{
	memcpy(m->memory + at, start, (size_t)(end - start));
}

/* Real mode at CODE_AT; NMI and two vectors have the handlers. */
static void begin(const struct machine *m, const uint8_t *start, const uint8_t *end)
{
	const unsigned vectors[] = {2, VECTOR, OTHER_VECTOR};
	struct kvm_regs regs = {.rip = CODE_AT, .rflags = 2, .rsp = STACK_AT};
	uint16_t at = CODE_AT + 0x800;
	struct kvm_sregs sregs;

	put(m, CODE_AT, start, end);
	put(m, at, handlers, handlers_end);
	for (unsigned i = 0; i < 3; i++, at += 3) {
		memcpy(m->memory + vectors[i] * 4, &at, 2);
		memset(m->memory + vectors[i] * 4 + 2, 0, 2);
	}
	call(m->cpu, KVM_GET_SREGS, &sregs, "reading segments");
	sregs.cs.base = sregs.cs.selector = 0;
	call(m->cpu, KVM_SET_SREGS, &sregs, "setting segments");
	call(m->cpu, KVM_SET_REGS, &regs, "setting registers");
}

static void expect(const struct machine *m, uint32_t reason, const char *what)
{
	if (ioctl(m->cpu, KVM_RUN, 0) < 0 && errno != EINTR)
		wrong("running for %s", what);
	if (m->run->exit_reason != reason)
		wrong("exit %u in place of %u: %s", m->run->exit_reason, reason, what);
}

static void expect_port(const struct machine *m, unsigned port, const char *what)
{
	expect(m, KVM_EXIT_IO, what);
	if (m->run->io.port != port)
		wrong("port %#x in place of %#x: %s", m->run->io.port, port, what);
}

/* Runs until a signal comes. */
static void expect_nothing(const struct machine *m, const char *what)
{
	const struct itimerspec soon = {.it_value = {0, 200000000}};
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, NULL, &timer) < 0 ||
	    timer_settime(timer, 0, &soon, NULL) < 0)
		wrong("a timer");
	expect(m, KVM_EXIT_INTR, what);
	timer_delete(timer);
}

static void set_apic(const struct machine *m, unsigned at, uint32_t value)
{
	struct kvm_lapic_state apic;

	call(m->cpu, KVM_GET_LAPIC, &apic, "reading the APIC");
	memcpy(apic.regs + at, &value, sizeof(value));
	call(m->cpu, KVM_SET_LAPIC, &apic, "setting the APIC");
}

static void bring(const struct machine *m, uint32_t vector)
{
	const struct kvm_interrupt interrupt = {.irq = vector};

	call(m->cpu, KVM_INTERRUPT, &interrupt, "bringing an interrupt");
}

/* A controller of our own: what is told of when it may bring an interrupt is right, with and
 * without an APIC. */
static void test_window(bool has_apic)
{
	struct machine m = make(has_apic);

	if (has_apic)
		set_apic(&m, APIC_LVT0, 0x700);
	begin(&m, wait_start, wait_end);
	expect_port(&m, MAIN_PORT, "interrupts are off");
	if (m.run->ready_for_interrupt_injection || m.run->if_flag)
		wrong("it takes interrupts while they are off");
	m.run->request_interrupt_window = 1;
	expect(&m, KVM_EXIT_IRQ_WINDOW_OPEN, "a window");
	m.run->request_interrupt_window = 0;
	if (!m.run->ready_for_interrupt_injection || !m.run->if_flag)
		wrong("an open window takes no interrupts");
	bring(&m, VECTOR);
	expect_port(&m, HANDLER_PORT + 1, "the interrupt");
	if (m.run->ready_for_interrupt_injection || m.run->if_flag)
		wrong("its handler has interrupts on");
	m.run->request_interrupt_window = 1;
	expect(&m, KVM_EXIT_IRQ_WINDOW_OPEN, "a window behind it");
	unmake(&m);
}

static void test_nmi(bool has_apic)
{
	struct machine m = make(has_apic);
	struct kvm_vcpu_events events;

	begin(&m, wait_start, wait_end);
	expect_port(&m, MAIN_PORT, "before the NMI");
	call(m.cpu, KVM_NMI, NULL, "an NMI");
	expect_port(&m, HANDLER_PORT, "the NMI, though interrupts are off");
	call(m.cpu, KVM_GET_VCPU_EVENTS, &events, "events");
	if (!events.nmi.masked || events.nmi.pending)
		wrong("while one is served others are not masked");
	call(m.cpu, KVM_NMI, NULL, "another NMI");
	expect_port(&m, HANDLER_PORT, "the second, once the first is done");
	unmake(&m);
}

/* A processor that halts in the kernel is woken by a line, by a descriptor, from outside. */
static void test_lines(void)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} routes = {
		.head = {.nr = 1},
		.entry = {.gsi = LINE,
			  .type = KVM_IRQ_ROUTING_MSI,
			  .u.msi = {.address_lo = MSI_ADDRESS, .data = OTHER_VECTOR}},
	};
	struct kvm_irq_level line = {.irq = LINE, .level = 1};
	struct kvm_irqfd fd = {.fd = (uint32_t)eventfd(0, EFD_CLOEXEC), .gsi = LINE};
	const uint64_t one = 1;
	struct machine m = make(true);

	call(m.vm, KVM_SET_GSI_ROUTING, &routes, "routes");
	set_apic(&m, APIC_SPURIOUS, 0x1FF);
	set_apic(&m, APIC_LVT0, 0x700);
	begin(&m, halt_start, halt_end);
	expect_nothing(&m, "nothing wakes it");
	if (!m.run->ready_for_interrupt_injection)
		wrong("one that halts takes no interrupts");
	bring(&m, VECTOR);
	expect_port(&m, HANDLER_PORT + 1, "an interrupt from outside");
	call(m.vm, KVM_IRQ_LINE_STATUS, &line, "a line");
	if (line.status != 1)
		wrong("the line tells %d", (int)line.status);
	expect_port(&m, HANDLER_PORT + 2, "the line's interrupt");
	expect_nothing(&m, "it is served, so there is no other of this priority");
	set_apic(&m, 0x100 + (OTHER_VECTOR / 32) * 16, 0); /* as if EOI was written */
	call(m.vm, KVM_IRQFD, &fd, "a descriptor");
	refused(m.vm, KVM_IRQFD, &fd, EBUSY, "the same descriptor twice");
	if (write((int)fd.fd, &one, sizeof(one)) != sizeof(one))
		wrong("writing to the descriptor");
	expect_port(&m, HANDLER_PORT + 2, "the descriptor's interrupt");
	fd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	call(m.vm, KVM_IRQFD, &fd, "taking the descriptor back");
	unmake(&m);
	close((int)fd.fd);
}

static void test_apic(void)
{
	struct machine m = make(true);
	struct kvm_lapic_state apic;
	struct kvm_sregs sregs;
	struct kvm_mp_state state;
	uint32_t value;

	call(m.cpu, KVM_GET_SREGS, &sregs, "reading segments");
	if (sregs.apic_base != (MSI_ADDRESS | 0x900))
		wrong("the APIC's base is %#llx", sregs.apic_base);
	set_apic(&m, APIC_TPR, 0x50);
	set_apic(&m, APIC_SPURIOUS, 0x1F0);
	set_apic(&m, APIC_LVT1, 0x400);
	call(m.cpu, KVM_GET_LAPIC, &apic, "reading the APIC");
	memcpy(&value, apic.regs + APIC_LVT1, sizeof(value));
	if (value != 0x400)
		wrong("LVT1 is %#x", value);
	memcpy(&value, apic.regs + APIC_SPURIOUS, sizeof(value));
	if (value != 0x1F0)
		wrong("the spurious vector is %#x", value);
	call(m.cpu, KVM_GET_SREGS, &sregs, "reading segments");
	if (sregs.cr8 != 5)
		wrong("CR8 is %llu", sregs.cr8);
	call(m.cpu, KVM_GET_MP_STATE, &state, "activity");
	if (state.mp_state != KVM_MP_STATE_RUNNABLE)
		wrong("the first processor is in state %u", state.mp_state);
	state.mp_state = KVM_MP_STATE_HALTED;
	call(m.cpu, KVM_SET_MP_STATE, &state, "halting it");
	call(m.cpu, KVM_GET_MP_STATE, &state, "activity");
	if (state.mp_state != KVM_MP_STATE_HALTED)
		wrong("a halted processor is in state %u", state.mp_state);
	unmake(&m);
	m = make(false);
	refused(m.cpu, KVM_GET_LAPIC, &apic, EINVAL, "the APIC where there is none");
	unmake(&m);
}

static void test_fpu(void)
{
	const uint32_t add[4] = {1, 2, 3, 4};
	struct machine m = make(false);
	struct kvm_xsave area, again;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	double number = 1.5;

	begin(&m, vector_start, vector_end);
	call(m.cpu, KVM_GET_SREGS, &sregs, "reading segments");
	sregs.cr4 |= 0x200; /* OSFXSR */
	call(m.cpu, KVM_SET_SREGS, &sregs, "setting segments");
	call(m.cpu, KVM_GET_FPU, &fpu, "reading the FPU");
	if (fpu.fcw != 0x37F && fpu.fcw != 0x40)
		wrong("the FPU's control is %#x", fpu.fcw);
	fpu.fcw = 0x37F;
	memset(fpu.xmm[0], 0x11, 16);
	memcpy(fpu.xmm[1], add, sizeof(add));
	call(m.cpu, KVM_SET_FPU, &fpu, "setting the FPU");
	memcpy(m.memory + 0x600, &number, sizeof(number));
	expect_port(&m, MAIN_PORT, "vectors");
	call(m.cpu, KVM_GET_FPU, &fpu, "reading the FPU");
	if (((uint32_t *)(void *)fpu.xmm[0])[3] != 0x11111115)
		wrong("xmm0 is not the sum");
	if (memcmp(m.memory + 0x608, &number, sizeof(number)))
		wrong("the x87 does not calculate");
	call(m.cpu, KVM_GET_XSAVE, &area, "reading the area");
	if (area.region[160 / 4 + 3] != 0x11111115)
		wrong("the area has no xmm0");
	area.region[160 / 4] = 77;
	area.region[512 / 4] |= 3;
	call(m.cpu, KVM_SET_XSAVE, &area, "setting the area");
	call(m.cpu, KVM_GET_XSAVE, &again, "reading the area");
	if (again.region[160 / 4] != 77)
		wrong("the area is not what was set");
	area.region[24 / 4] = UINT32_MAX; /* MXCSR, with bits that none has */
	refused(m.cpu, KVM_SET_XSAVE, &area, EINVAL, "an MXCSR that cannot be");
	area = again;
	area.region[512 / 4 + 1] = 1u << 30; /* a state that none has */
	refused(m.cpu, KVM_SET_XSAVE, &area, EINVAL, "states that cannot be");
	unmake(&m);
}

/* An event on its way is told, taken back, given, and then delivered. */
static void test_events(void)
{
	struct kvm_debugregs debug = {
		.db = {0x1234, 0, 0, 0x5678}, .dr6 = 0xFFFF0FF0, .dr7 = 0x400};
	struct machine m = make(false);
	struct kvm_vcpu_events events;
	struct kvm_debugregs again;
	struct kvm_sregs sregs;

	begin(&m, wait_start, wait_end);
	expect_port(&m, MAIN_PORT, "the start");
	bring(&m, VECTOR);
	call(m.cpu, KVM_GET_VCPU_EVENTS, &events, "events");
	if (!events.interrupt.injected || events.interrupt.nr != VECTOR)
		wrong("an interrupt that was brought is not told");
	call(m.cpu, KVM_GET_SREGS, &sregs, "reading segments");
	if (!(sregs.interrupt_bitmap[VECTOR / 64] >> VECTOR % 64 & 1))
		wrong("it is not in the bitmap");
	memset(&events, 0, sizeof(events));
	call(m.cpu, KVM_SET_VCPU_EVENTS, &events, "no events");
	memset(sregs.interrupt_bitmap, 0, sizeof(sregs.interrupt_bitmap));
	sregs.interrupt_bitmap[OTHER_VECTOR / 64] = 1ull << OTHER_VECTOR % 64;
	call(m.cpu, KVM_SET_SREGS, &sregs, "an interrupt in the bitmap");
	expect_port(&m, HANDLER_PORT + 2, "the one of the bitmap");
	memset(&events, 0, sizeof(events));
	events.exception.injected = 1;
	events.exception.nr = 2;
	refused(m.cpu, KVM_SET_VCPU_EVENTS, &events, EINVAL, "an exception with the NMI's vector");
	call(m.cpu, KVM_SET_DEBUGREGS, &debug, "debug registers");
	call(m.cpu, KVM_GET_DEBUGREGS, &again, "debug registers");
	if (memcmp(&debug, &again, sizeof(debug)))
		wrong("debug registers are not what was set");
	debug.dr7 |= 1ull << 32;
	refused(m.cpu, KVM_SET_DEBUGREGS, &debug, EINVAL, "a DR7 that cannot be");
	unmake(&m);
}

/* All MSRs that are listed can be read and set to what they are, as monitors expect. */
static void test_msrs(void)
{
	struct {
		struct kvm_msr_list head;
		uint32_t indices[MOST_LISTED];
	} list = {.head = {.nmsrs = 1}};
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one = {.head = {.nmsrs = 1}};
	struct machine m = make(true);

	refused(m.device, KVM_GET_MSR_INDEX_LIST, &list, E2BIG, "a list that is too short");
	if (list.head.nmsrs < 10 || list.head.nmsrs > MOST_LISTED)
		wrong("%u MSRs", list.head.nmsrs);
	call(m.device, KVM_GET_MSR_INDEX_LIST, &list, "the list");
	for (unsigned i = 0; i < list.head.nmsrs; i++) {
		one.entry.index = list.head.indices[i];
		if (ioctl(m.cpu, KVM_GET_MSRS, &one) != 1)
			continue; /* stock KVM lists some that the processor lacks */
		if (ioctl(m.cpu, KVM_SET_MSRS, &one) != 1)
			wrong("MSR %#x cannot be set to %#llx", one.entry.index, one.entry.data);
	}
	unmake(&m);
}

/* All of a processor, in the order in which KVM gives and takes it. */
struct carried {
	struct kvm_mp_state state;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave area;
	struct kvm_debugregs debug;
	struct kvm_lapic_state apic;
	struct kvm_vcpu_events events;
};

/* Another machine in the state of this one, which is not to be run on. */
static struct machine carry(const struct machine *from)
{
	int bytes = call(from->vm, KVM_CHECK_EXTENSION, (void *)(uintptr_t)KVM_CAP_XSAVE2,
			 "how long the area is");
	struct machine to = make(true);
	struct carried c;

	if (bytes != sizeof(c.area))
		wrong("the area has %d bytes", bytes);
	from->run->immediate_exit = 1; /* what was read is put into the registers */
	if (ioctl(from->cpu, KVM_RUN, 0) == 0 || errno != EINTR)
		wrong("it runs though it is to leave at once");
	call(from->cpu, KVM_GET_MP_STATE, &c.state, "activity");
	call(from->cpu, KVM_GET_REGS, &c.regs, "reading registers");
	call(from->cpu, KVM_GET_SREGS, &c.sregs, "reading segments");
	call(from->cpu, KVM_GET_XSAVE2, &c.area, "reading the area");
	call(from->cpu, KVM_GET_DEBUGREGS, &c.debug, "debug registers");
	call(from->cpu, KVM_GET_LAPIC, &c.apic, "reading the APIC");
	call(from->cpu, KVM_GET_VCPU_EVENTS, &c.events, "events");
	memcpy(to.memory, from->memory, MEMORY);
	call(to.cpu, KVM_SET_MP_STATE, &c.state, "activity");
	call(to.cpu, KVM_SET_REGS, &c.regs, "setting registers");
	call(to.cpu, KVM_SET_SREGS, &c.sregs, "setting segments");
	call(to.cpu, KVM_SET_XSAVE, &c.area, "setting the area");
	call(to.cpu, KVM_SET_DEBUGREGS, &c.debug, "debug registers");
	call(to.cpu, KVM_SET_LAPIC, &c.apic, "setting the APIC");
	call(to.cpu, KVM_SET_VCPU_EVENTS, &c.events, "events");
	unmake(from);
	return to;
}

static void post(const struct machine *m, uint32_t vector)
{
	const struct kvm_msi msi = {.address_lo = MSI_ADDRESS, .data = vector};

	if (call(m->vm, KVM_SIGNAL_MSI, &msi, "a message") != 1)
		wrong("a message is not taken");
}

/* A processor goes on in another machine: what waited for it comes, what it serves holds back. */
static void test_carried(void)
{
	struct machine m = make(true);

	set_apic(&m, APIC_SPURIOUS, 0x1FF);
	begin(&m, wait_start, wait_end);
	expect_port(&m, MAIN_PORT, "interrupts are off");
	post(&m, VECTOR);
	m = carry(&m);
	expect_port(&m, HANDLER_PORT + 1, "the message that came before");
	post(&m, OTHER_VECTOR);
	m = carry(&m);
	expect_nothing(&m, "one of this priority is served");
	unmake(&m);

	m = make(true);
	set_apic(&m, APIC_SPURIOUS, 0x1FF);
	begin(&m, halt_start, halt_end);
	expect_nothing(&m, "nothing wakes it");
	post(&m, VECTOR);
	m = carry(&m);
	expect_port(&m, HANDLER_PORT + 1, "the message wakes it in the other machine");
	unmake(&m);

	m = make(true);
	set_apic(&m, APIC_SPURIOUS, 0x1FF);
	set_apic(&m, APIC_TPR, 0x50);
	begin(&m, halt_start, halt_end);
	expect_nothing(&m, "nothing wakes it");
	post(&m, VECTOR);
	m = carry(&m);
	expect_nothing(&m, "its priority holds the message back");
	set_apic(&m, APIC_TPR, 0x30);
	expect_port(&m, HANDLER_PORT + 1, "its priority lets the message through");
	unmake(&m);
}

/* A timer that runs goes on. */
static void test_timer(void)
{
	const uint32_t count = 400000000; /* of nanoseconds */
	struct machine m = make(true);
	struct kvm_lapic_state apic;
	uint32_t left;

	set_apic(&m, APIC_SPURIOUS, 0x1FF);
	set_apic(&m, APIC_DIVIDE, 0xB);
	set_apic(&m, APIC_TIMER, VECTOR);
	call(m.cpu, KVM_GET_LAPIC, &apic, "reading the APIC");
	memcpy(apic.regs + APIC_COUNT, &count, sizeof(count));
	memcpy(apic.regs + APIC_COUNT_NOW, &count, sizeof(count));
	call(m.cpu, KVM_SET_LAPIC, &apic, "setting the APIC");
	begin(&m, halt_start, halt_end);
	expect_nothing(&m, "its time has not come");
	m = carry(&m);
	call(m.cpu, KVM_GET_LAPIC, &apic, "reading the APIC");
	memcpy(&left, apic.regs + APIC_COUNT_NOW, sizeof(left));
	if (!left || left > count - 100000000)
		wrong("%u ns are left", left);
	expect_port(&m, HANDLER_PORT + 1, "the timer");
	unmake(&m);
}

static void expect_written(const struct machine *m, unsigned slot, uint64_t pages, const char *what)
{
	uint64_t bits[4] = {0};
	struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bits};

	call(m->vm, KVM_GET_DIRTY_LOG, &log, what);
	if (bits[0] != pages)
		wrong("%s: pages %#llx in place of %#llx", what, (unsigned long long)bits[0],
		      (unsigned long long)pages);
}

/* The log of a slot is switched on while it is in use; a slot moves, and cannot be written. */
static void test_memory(void)
{
	const uint64_t at = 0x20000, bytes = 16 * PAGE;
	struct kvm_dirty_log none = {.slot = 0};
	struct machine m = make(false);
	uint8_t *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	set_slot(&m, 0, 0, 0, NULL, 0);
	set_slot(&m, 0, 0, at, m.memory, 0);
	set_slot(&m, 1, at + MEMORY, bytes, memory, 0);
	set_slot(&m, 1, at, bytes, memory, 0); /* moves */
	begin(&m, write_start, write_end);
	expect_port(&m, MAIN_PORT, "writing");
	if (!memory[0] || !memory[0x3000] || !memory[0x4FFF])
		wrong("what was written to the slot is not there");
	refused(m.vm, KVM_GET_DIRTY_LOG, &none, ENOENT, "the log of a slot without one");
	set_slot(&m, 1, at, bytes, memory, KVM_MEM_LOG_DIRTY_PAGES);
	expect_written(&m, 1, 0, "before anything is written");
	expect_port(&m, MAIN_PORT, "writing");
	expect_written(&m, 1, 1u << 8, "one page");
	expect_port(&m, MAIN_PORT, "writing");
	expect_port(&m, MAIN_PORT, "writing");
	expect_written(&m, 1, 1u << 0 | 1u << 3 | 1u << 4 | 1u << 8, "all pages");
	expect_written(&m, 1, 0, "none since");
	set_slot(&m, 1, 0, 0, NULL, 0);
	set_slot(&m, 1, at, bytes, memory, KVM_MEM_READONLY);
	expect(&m, KVM_EXIT_MMIO, "a write to what cannot be written");
	if (!m.run->mmio.is_write || m.run->mmio.phys_addr != at || m.run->mmio.data[0] != 1)
		wrong("the write is not told");
	unmake(&m);
	munmap(memory, bytes);
}

static void test_cleared_log(void)
{
	const struct kvm_enable_cap manual = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
					      .args = {1}};
	uint64_t bits[MEMORY / PAGE / 64] = {0};
	struct kvm_dirty_log log = {.slot = 0, .dirty_bitmap = bits};
	struct kvm_clear_dirty_log clear = {.slot = 0, .num_pages = 64, .dirty_bitmap = bits};
	const uint64_t written = UINT64_C(0x19) << 32; /* pages 0x20, 0x23, 0x24 */
	struct machine m = make(false);

	call(m.vm, KVM_ENABLE_CAP, &manual, "a log that is cleared by hand");
	begin(&m, write_start, write_end);
	set_slot(&m, 0, 0, MEMORY, m.memory, KVM_MEM_LOG_DIRTY_PAGES);
	expect_port(&m, MAIN_PORT, "writing");
	for (unsigned i = 0; i < 2; i++) {
		call(m.vm, KVM_GET_DIRTY_LOG, &log, "the log");
		if ((bits[0] & ~UINT64_C(2)) != written)
			wrong("pages %#llx in place of %#llx", (unsigned long long)bits[0],
			      (unsigned long long)written);
	}
	clear.first_page = 1;
	refused(m.vm, KVM_CLEAR_DIRTY_LOG, &clear, EINVAL, "clearing from page 1 on");
	clear.first_page = 0;
	call(m.vm, KVM_CLEAR_DIRTY_LOG, &clear, "clearing it");
	call(m.vm, KVM_GET_DIRTY_LOG, &log, "the log");
	if (bits[0])
		wrong("pages %#llx though it is clear", (unsigned long long)bits[0]);
	unmake(&m);
}

static void expect_step(const struct machine *m, uint64_t pc, uint32_t exception, const char *what)
{
	expect(m, KVM_EXIT_DEBUG, what);
	if (m->run->debug.arch.pc != pc || m->run->debug.arch.exception != exception)
		wrong("%s: exception %u at %#llx", what, m->run->debug.arch.exception,
		      (unsigned long long)m->run->debug.arch.pc);
}

static void test_steps(void)
{
	struct kvm_guest_debug step = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP},
			       off = {0};
	struct machine m = make(false);
	struct kvm_regs regs;

	begin(&m, step_start, step_end);
	call(m.cpu, KVM_SET_GUEST_DEBUG, &step, "steps");
	expect_step(&m, CODE_AT + 3, 1, "mov");
	expect_step(&m, CODE_AT + 4, 1, "inc");
	expect_step(&m, CODE_AT + 7, 1, "jmp");
	call(m.cpu, KVM_GET_REGS, &regs, "registers");
	if (regs.rax != 4 || regs.rflags & 0x100)
		wrong("rax %llu, rflags %#llx", regs.rax, regs.rflags);
	call(m.cpu, KVM_SET_GUEST_DEBUG, &off, "no steps");
	begin(&m, wait_start, wait_end);
	expect_port(&m, MAIN_PORT, "no steps");
	unmake(&m);
}

/* Emulated processors of QEMU do not intercept INT3, whoever asks for it. */
static void test_breakpoints(void)
{
	const struct kvm_guest_debug stop = {.control =
						     KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP};
	struct machine m = make(false);

	begin(&m, step_start, step_end);
	call(m.cpu, KVM_SET_GUEST_DEBUG, &stop, "breakpoints");
	expect_step(&m, CODE_AT + 7, 3, "int3");
	unmake(&m);
}

static void on_signal(int number)
{
	(void)number;
}

/* A signal that is blocked but while it runs ends the run. */
static void test_signals(void)
{
	struct {
		struct kvm_signal_mask head;
		uint8_t set[8];
	} mask = {.head = {.len = 8}};
	struct machine m = make(false);
	sigset_t blocked;

	begin(&m, halt_start, halt_end);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	raise(SIGUSR1);
	expect(&m, KVM_EXIT_HLT, "the signal is blocked");
	call(m.cpu, KVM_SET_SIGNAL_MASK, &mask, "signals");
	expect(&m, KVM_EXIT_INTR, "the signal is not blocked while it runs");
	mask.head.len = 4;
	refused(m.cpu, KVM_SET_SIGNAL_MASK, &mask, EINVAL, "a short set");
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	unmake(&m);
}

static void test_windows(void)
{
	test_window(false);
	test_window(true);
	test_nmi(false);
	test_nmi(true);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} tests[] = {
		{"windows", test_windows},
		{"lines", test_lines},
		{"apic", test_apic},
		{"fpu", test_fpu},
		{"events", test_events},
		{"msrs", test_msrs},
		{"carried", test_carried},
		{"timer", test_timer},
		{"memory", test_memory},
		{"log", test_cleared_log},
		{"steps", test_steps},
		{"signals", test_signals},
		{"breakpoints", test_breakpoints},
	};
	const struct sigaction action = {.sa_handler = on_signal};

	if (argc < 3)
		return 2;
	device = argv[1];
	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	for (int n = 2; n < argc; n++) {
		bool found = false;

		for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
			if (strcmp(argv[n], tests[i].name) != 0)
				continue;
			found = true;
			tests[i].run();
		}
		if (!found)
			return 2;
	}
	return 0;
}
