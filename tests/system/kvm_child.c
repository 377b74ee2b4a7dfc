/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small children on a device that speaks KVM's interface: child DEVICE TEST [COUNT]. Exits 0 when
 * all is as it should be, else says what is not.
 */
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
#include <time.h>
#include <unistd.h>

#define MEMORY (8u << 20)
#define CODE_AT 0x1000u
#define TABLES_AT 0x100000u
#define FAR_AT 0x40000000u    /* a second slot */
#define DEVICE_AT 0x40001000u /* no memory is there, but it is mapped */
#define DONE_PORT 0x99

struct machine {
	int vm, cpu;
	uint8_t *memory, *far;
	struct kvm_run *run;
};

extern const uint8_t real_start[], real_end[], long_start[], long_end[], spin_start[], spin_end[];
extern const uint8_t strings_start[], strings_end[], fault_start[], fault_end[];
extern const uint8_t device_start[], device_moves[], device_end[];

/* Real mode: a byte in, one more out, and to memory. */
__asm__(".pushsection .rodata\n"
	".code16\n"
	"real_start:\n"
	"	mov $0x10, %dx\n"
	"	in %dx, %al\n"
	"	inc %al\n"
	"	out %al, %dx\n"
	"	mov %al, 0x500\n"
	"	mov $0x1234, %ax\n"
	"	in %dx, %ax\n"
	"	mov %ax, 0x502\n"
	"	hlt\n"
	"real_end:\n"
	/* Long mode: CPUID, TSC, registers of vectors across an exit, the second slot. */
	".code64\n"
	"long_start:\n"
	"	mov $0x40000000, %eax\n"
	"	cpuid\n"
	"	mov %ebx, 0x510\n"
	"	xor %eax, %eax\n"
	"	mov $0x10, %ecx\n"
	"	rdmsr\n"
	"	mov %eax, 0x514\n"
	"	mov $0x1122334455667788, %rax\n"
	"	movq %rax, %xmm7\n"
	"	mov $0x10, %edx\n"
	"	out %al, %dx\n"
	"	movq %xmm7, %rbx\n"
	"	mov %rbx, 0x518\n"
	"	mov $0x40000000, %rdi\n"
	"	mov (%rdi), %rcx\n"
	"	mov %rcx, 0x520\n"
	"	movq $77, 8(%rdi)\n"
	"	mov $0x99, %edx\n"
	"	out %al, %dx\n"
	"	hlt\n"
	"long_end:\n"
	/* Counts for ever. */
	"spin_start:\n"
	"	incq 0x530\n"
	"	jmp spin_start\n"
	"spin_end:\n"
	/* Strings on ports: words in over the end of a page, bytes out of another segment, none. */
	".code16\n"
	"strings_start:\n"
	"	mov $0x20, %dx\n"
	"	mov $0xFFB, %di\n"
	"	mov $300, %cx\n"
	"	rep insw\n"
	"	mov %di, 0x500\n"
	"	mov $0x100, %ax\n"
	"	mov %ax, %fs\n"
	"	mov $0x2, %si\n"
	"	mov $5, %cx\n"
	"	rep outsb %fs:(%si), %dx\n"
	"	mov %si, 0x502\n"
	"	mov %cx, 0x504\n"
	"	rep outsw\n"
	"	std\n"
	"	mov $0x1004, %si\n"
	"	mov $2, %cx\n"
	"	rep outsl\n"
	"	hlt\n"
	"strings_end:\n"
	/* Long mode: what is behind 8 MiB is not mapped. */
	".code64\n"
	"fault_start:\n"
	"	mov $0x20, %edx\n"
	"	mov $0x7FFFFA, %edi\n"
	"	mov $4, %ecx\n"
	"	rep insl\n"
	"	hlt\n"
	".org fault_start + 0x20\n" /* the handler */
	"	mov %cr2, %rax\n"
	"	mov %rax, 0x540\n"
	"	pop 0x548\n"
	"	mov %rcx, 0x550\n"
	"	mov %rdi, 0x558\n"
	"	mov $0x99, %edx\n"
	"	out %al, %dx\n"
	"fault_end:\n"
	/* Strings to a device, an interrupt among them, and from there, upwards and downwards. */
	"device_start:\n"
	"	mov $0x40001000, %edi\n"
	"	mov $0x11223344, %eax\n"
	"	mov $3, %ecx\n"
	"	rep stosl\n"
	"	sti\n"
	"	mov $0x600, %esi\n"
	"	mov $5, %ecx\n"
	"device_moves:\n"
	"	rep movsb\n"
	"	cli\n"
	"	mov %rdi, 0x540\n"
	"	mov $0x40001100, %esi\n"
	"	mov $0x700, %edi\n"
	"	mov $4, %ecx\n"
	"	rep movsb\n"
	"	std\n"
	"	mov $0x40001208, %esi\n"
	"	mov $0x71C, %edi\n"
	"	mov $2, %ecx\n"
	"	rep movsq\n"
	"	mov %rsi, 0x550\n"
	"	mov %rdi, 0x558\n"
	"	mov %rcx, 0x560\n"
	"	mov $0x99, %edx\n"
	"	out %al, %dx\n"
	".org device_start + 0x80\n" /* the handler */
	"	pop 0x548\n"
	"	push 0x548\n"
	"	iretq\n"
	"device_end:\n"
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

static int call(int fd, unsigned long number, unsigned long argument, const char *what)
{
	int r = ioctl(fd, number, argument);

	if (r < 0)
		wrong("%s", what);
	return r;
}

static uint8_t *add_slot(int vm, unsigned slot, uint64_t at, size_t bytes)
{
	uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = at,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)memory,
	};

	if (memory == MAP_FAILED)
		wrong("memory");
	call(vm, KVM_SET_USER_MEMORY_REGION, (uintptr_t)&region, "a memory slot");
	return memory;
}

static struct machine make(void)
{
	int fd = open(device, O_RDWR | O_CLOEXEC);
	struct machine m;
	int bytes;

	if (fd < 0)
		wrong("opening %s", device);
	if (call(fd, KVM_GET_API_VERSION, 0, "the version") != KVM_API_VERSION)
		wrong("the version is not %d", KVM_API_VERSION);
	bytes = call(fd, KVM_GET_VCPU_MMAP_SIZE, 0, "the size of kvm_run");
	m.vm = call(fd, KVM_CREATE_VM, 0, "a VM");
	m.memory = add_slot(m.vm, 0, 0, MEMORY);
	m.far = add_slot(m.vm, 1, FAR_AT, 4096);
	m.cpu = call(m.vm, KVM_CREATE_VCPU, 0, "a processor");
	m.run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m.cpu, 0);
	if (m.run == MAP_FAILED)
		wrong("kvm_run");
	close(fd);
	return m;
}

static void unmake(const struct machine *m)
{
	munmap(m->run, 4096 * 2);
	close(m->cpu);
	close(m->vm);
	munmap(m->memory, MEMORY);
	munmap(m->far, 4096);
}

static void load_at(const struct machine *m, uint32_t at, const uint8_t *start, const uint8_t *end)
{
	memcpy(m->memory + at, start, (size_t)(end - start));
}

static void load(const struct machine *m, const uint8_t *start, const uint8_t *end)
{
	load_at(m, CODE_AT, start, end);
}

static void set_real(const struct machine *m)
{
	struct kvm_regs regs = {.rip = CODE_AT, .rflags = 2};
	struct kvm_sregs sregs;

	load(m, real_start, real_end);
	call(m->cpu, KVM_GET_SREGS, (uintptr_t)&sregs, "reading segments");
	sregs.cs.base = sregs.cs.selector = 0;
	call(m->cpu, KVM_SET_SREGS, (uintptr_t)&sregs, "setting segments");
	call(m->cpu, KVM_SET_REGS, (uintptr_t)&regs, "setting registers");
}

static void set_long(const struct machine *m)
{
	struct kvm_segment code = {.selector = 8,
				   .type = 0xB,
				   .present = 1,
				   .s = 1,
				   .l = 1,
				   .g = 1,
				   .limit = UINT32_MAX},
			   data = {.selector = 16,
				   .type = 3,
				   .present = 1,
				   .s = 1,
				   .g = 1,
				   .db = 1,
				   .limit = UINT32_MAX};
	struct kvm_regs regs = {.rip = CODE_AT, .rflags = 2, .rsp = 0x8000};
	uint64_t *top = (uint64_t *)(void *)(m->memory + TABLES_AT), *gib = top + 512;
	struct kvm_sregs sregs;

	/* 2 MiB each: the first 8 MiB, and where the second slot is. */
	top[0] = (TABLES_AT + 4096) | 3;
	gib[0] = (TABLES_AT + 2 * 4096) | 3;
	gib[1] = (TABLES_AT + 3 * 4096) | 3;
	for (uint64_t i = 0; i < 4; i++)
		gib[512 + i] = i << 21 | 0x83;
	gib[1024] = FAR_AT | 0x83;
	call(m->cpu, KVM_GET_SREGS, (uintptr_t)&sregs, "reading segments");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 = 0x80010033;
	sregs.cr3 = TABLES_AT;
	sregs.cr4 = 0x620; /* PAE, OSFXSR, OSXMMEXCPT */
	sregs.efer = 0x500;
	call(m->cpu, KVM_SET_SREGS, (uintptr_t)&sregs, "setting segments");
	call(m->cpu, KVM_SET_REGS, (uintptr_t)&regs, "setting registers");
}

static void expect(const struct machine *m, uint32_t reason)
{
	call(m->cpu, KVM_RUN, 0, "running");
	if (m->run->exit_reason != reason)
		wrong("exit %u in place of %u (%#llx)", m->run->exit_reason, reason,
		      (unsigned long long)m->run->fail_entry.hardware_entry_failure_reason);
}

static uint8_t *data_of(const struct machine *m)
{
	return (uint8_t *)m->run + m->run->io.data_offset;
}

/* What was asked for is answered, and the state is whole before anything runs on. */
static void finish_only(const struct machine *m)
{
	struct kvm_regs regs;

	m->run->immediate_exit = 1;
	if (ioctl(m->cpu, KVM_RUN, 0) == 0 || errno != EINTR)
		wrong("a run that ends at once has not ended so: %s", strerror(errno));
	m->run->immediate_exit = 0;
	call(m->cpu, KVM_GET_REGS, (uintptr_t)&regs, "reading registers");
	if ((regs.rax & 0xFF) != 41 || regs.rip != CODE_AT + 4)
		wrong("at %#llx with RAX %#llx", (unsigned long long)regs.rip,
		      (unsigned long long)regs.rax);
}

static void test_real(void)
{
	struct machine m = make();
	uint16_t word;

	set_real(&m);
	expect(&m, KVM_EXIT_IO);
	if (m.run->io.direction != KVM_EXIT_IO_IN || m.run->io.port != 0x10 || m.run->io.size != 1)
		wrong("the first exit is not the IN");
	*data_of(&m) = 41;
	finish_only(&m);
	expect(&m, KVM_EXIT_IO);
	if (m.run->io.direction != KVM_EXIT_IO_OUT || *data_of(&m) != 42)
		wrong("OUT of %u", *data_of(&m));
	expect(&m, KVM_EXIT_IO);
	memcpy(data_of(&m), "\xEF\xBE", 2);
	expect(&m, KVM_EXIT_HLT);
	memcpy(&word, m.memory + 0x502, 2);
	if (m.memory[0x500] != 42 || word != 0xBEEF)
		wrong("memory has %u and %#x", m.memory[0x500], word);
	unmake(&m);
}

static void test_long(void)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[2];
	} cpuid = {
		.head = {.nent = 2},
		.entry = {{.function = 0, .eax = 1}, {.function = 0x40000000, .ebx = 0x4179614F}}};
	struct machine m = make();
	uint64_t words[5];

	set_long(&m);
	load(&m, long_start, long_end);
	memcpy(m.far, "far away", 8);
	call(m.cpu, KVM_SET_CPUID2, (uintptr_t)&cpuid, "setting CPUID");
	expect(&m, KVM_EXIT_IO);
	/* Registers of vectors are the worker's own meanwhile. */
	__asm__ volatile("pxor %%xmm7, %%xmm7" : : : "xmm7");
	expect(&m, KVM_EXIT_IO);
	if (m.run->io.port != DONE_PORT)
		wrong("it ends at port %#x", m.run->io.port);
	memcpy(words, m.memory + 0x510, sizeof(words));
	if ((uint32_t)words[0] != cpuid.entry[1].ebx || !(words[0] >> 32))
		wrong("CPUID and TSC gave %#llx", (unsigned long long)words[0]);
	if (words[1] != 0x1122334455667788)
		wrong("its xmm7 has become %#llx", (unsigned long long)words[1]);
	if (memcmp(&words[2], "far away", 8) || m.far[8] != 77)
		wrong("the second slot is not as it was written");
	unmake(&m);
}

/* Elements of a string that goes out or comes in are asked for in any portions. */
static void expect_string(const struct machine *m, uint8_t direction, uint8_t *bytes, size_t len)
{
	for (size_t at = 0, part; at < len; at += part) {
		expect(m, KVM_EXIT_IO);
		part = (size_t)m->run->io.size * m->run->io.count;
		if (m->run->io.direction != direction || m->run->io.port != 0x20 || !part ||
		    part > len - at)
			wrong("%u elements at port %#x", m->run->io.count, m->run->io.port);
		if (direction == KVM_EXIT_IO_IN)
			memcpy(data_of(m), bytes + at, part);
		else
			memcpy(bytes + at, data_of(m), part);
	}
}

static void test_strings(void)
{
	struct machine m = make();
	uint8_t in[600], out[8];
	uint16_t words[3];

	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7);
	set_real(&m);
	/* The words end below the code. */
	load_at(&m, 0x2000, strings_start, strings_end);
	call(m.cpu, KVM_SET_REGS, (uintptr_t) & (struct kvm_regs){.rip = 0x2000, .rflags = 2},
	     "setting registers");
	expect_string(&m, KVM_EXIT_IO_IN, in, sizeof(in));
	expect_string(&m, KVM_EXIT_IO_OUT, out, 5);
	if (memcmp(m.memory + 0xFFB, in, sizeof(in)) || memcmp(m.memory + 0x1002, out, 5))
		wrong("strings are not what they were");
	expect_string(&m, KVM_EXIT_IO_OUT, out, 8);
	if (memcmp(m.memory + 0x1004, out, 4) || memcmp(m.memory + 0x1000, out + 4, 4))
		wrong("strings downwards are not what they were");
	expect(&m, KVM_EXIT_HLT);
	memcpy(words, m.memory + 0x500, sizeof(words));
	if (words[0] != 0xFFB + sizeof(in) || words[1] != 7 || words[2] != 0)
		wrong("registers are %#x, %#x, %#x", words[0], words[1], words[2]);
	unmake(&m);
}

/* A table of interrupts with one of them. */
static void set_handler(const struct machine *m, unsigned vector, uint64_t handler)
{
	const uint64_t gate[2] = {(handler & 0xFFFF) | 8u << 16 | UINT64_C(0x8E00) << 32};
	struct kvm_sregs sregs;

	memcpy(m->memory + 0x3000 + (size_t)vector * 16, gate, sizeof(gate));
	memcpy(m->memory + 0x4008, "\xFF\xFF\0\0\0\x9B\xAF\0\xFF\xFF\0\0\0\x93\xCF\0", 16);
	call(m->cpu, KVM_GET_SREGS, (uintptr_t)&sregs, "reading segments");
	sregs.idt.base = 0x3000;
	sregs.idt.limit = 0xFFF;
	sregs.gdt.base = 0x4000;
	sregs.gdt.limit = 23;
	call(m->cpu, KVM_SET_SREGS, (uintptr_t)&sregs, "setting segments");
}

/* A string that runs into what is not mapped: what was before it is there, and #PF tells where. */
static void test_fault(void)
{
	struct machine m = make();
	const uint8_t in[16] = {1, 2, 3, 4};
	uint64_t words[4];

	set_long(&m);
	load(&m, fault_start, fault_end);
	set_handler(&m, 14, CODE_AT + 0x20);
	/* It may be asked for more than there is room for. */
	for (expect(&m, KVM_EXIT_IO); m.run->io.port == 0x20; expect(&m, KVM_EXIT_IO))
		memcpy(data_of(&m), in, sizeof(in));
	memcpy(words, m.memory + 0x540, sizeof(words));
	/* KVM takes none of a portion of which one fails; the processor takes those before it. */
	if (m.run->io.port != DONE_PORT || words[0] != 0x800000 || words[1] != 2 ||
	    (words[2] != 3 && words[2] != 4) || words[3] != 0x7FFFFE - 4 * (words[2] - 3) ||
	    memcmp(m.memory + 0x7FFFFA, in, 4))
		wrong("port %#x, %#llx, error %llu, %llu left, at %#llx", m.run->io.port,
		      (unsigned long long)words[0], (unsigned long long)words[1],
		      (unsigned long long)words[2], (unsigned long long)words[3]);
	unmake(&m);
}

/* One access of a string to a device; `data`: what it writes, or finds there. */
static void expect_device(const struct machine *m, bool write, uint64_t at, unsigned len,
			  const void *data)
{
	expect(m, KVM_EXIT_MMIO);
	if (m->run->mmio.is_write != write || m->run->mmio.phys_addr != at ||
	    m->run->mmio.len != len)
		wrong("%u bytes at %#llx in place of %u at %#llx", m->run->mmio.len,
		      (unsigned long long)m->run->mmio.phys_addr, len, (unsigned long long)at);
	if (!write)
		memcpy(m->run->mmio.data, data, len);
	else if (memcmp(m->run->mmio.data, data, len))
		wrong("other bytes are written at %#llx", (unsigned long long)at);
}

static void test_device(void)
{
	const struct kvm_interrupt interrupt = {.irq = 0x20};
	struct machine m = make();
	uint64_t words[5];

	set_long(&m);
	load(&m, device_start, device_end);
	set_handler(&m, interrupt.irq, CODE_AT + 0x80);
	memcpy(m.memory + 0x600, "moved", 5);
	for (unsigned i = 0; i < 3; i++)
		expect_device(&m, true, DEVICE_AT + 4 * i, 4, "\x44\x33\x22\x11");
	for (unsigned i = 0; i < 5; i++) {
		expect_device(&m, true, DEVICE_AT + 12 + i, 1, "moved" + i);
		if (i == 1)
			call(m.cpu, KVM_INTERRUPT, (uintptr_t)&interrupt, "an interrupt");
	}
	for (unsigned i = 0; i < 4; i++)
		expect_device(&m, false, DEVICE_AT + 0x100 + i, 1, "back" + i);
	expect_device(&m, false, DEVICE_AT + 0x208, 8, "eight up");
	expect_device(&m, false, DEVICE_AT + 0x200, 8, "low down");
	expect(&m, KVM_EXIT_IO);
	if (m.run->io.port != DONE_PORT)
		wrong("it ends at port %#x", m.run->io.port);
	memcpy(words, m.memory + 0x540, sizeof(words));
	if (words[1] != CODE_AT + (uintptr_t)device_moves - (uintptr_t)device_start)
		wrong("the interrupt came at %#llx", (unsigned long long)words[1]);
	if (words[0] != DEVICE_AT + 17 || words[2] != DEVICE_AT + 0x1F8 || words[3] != 0x70C ||
	    words[4] != 0)
		wrong("it ends at %#llx, %#llx, %#llx with %llu left", (unsigned long long)words[0],
		      (unsigned long long)words[2], (unsigned long long)words[3],
		      (unsigned long long)words[4]);
	if (memcmp(m.memory + 0x700, "back", 4) || memcmp(m.memory + 0x714, "low downeight up", 16))
		wrong("memory is not what was read");
	unmake(&m);
}

static void on_alarm(int number)
{
	(void)number;
}

static uint64_t counter(const struct machine *m)
{
	return *(volatile uint64_t *)(void *)(m->memory + 0x530);
}

/* A child that never ends is interrupted, and goes on where it was. */
static void test_spin(void)
{
	struct itimerspec each = {.it_interval = {0, 20000000}, .it_value = {0, 20000000}};
	struct sigaction action = {.sa_handler = on_alarm};
	struct machine m = make();
	uint64_t last = 0;
	timer_t timer;

	set_long(&m);
	load(&m, spin_start, spin_end);
	sigaction(SIGALRM, &action, NULL);
	if (timer_create(CLOCK_MONOTONIC, NULL, &timer) < 0 ||
	    timer_settime(timer, 0, &each, NULL) < 0)
		wrong("a timer");
	for (unsigned went_on = 0, tries = 0; went_on < 20; tries++) {
		if (ioctl(m.cpu, KVM_RUN, 0) == 0 || errno != EINTR)
			wrong("exit %u in place of a signal", m.run->exit_reason);
		/* The next signal may come before the child has got anywhere. */
		if (counter(&m) < last || tries > 400)
			wrong("it does not go on");
		went_on += counter(&m) > last;
		last = counter(&m);
	}
	unmake(&m);
}

static void *spin_thread(void *arg)
{
	const struct machine *m = arg;

	while (ioctl(m->cpu, KVM_RUN, 0) < 0 && errno == EINTR)
		;
	return NULL;
}

/* Until it is killed. */
static void test_forever(void)
{
	static struct machine m[2];
	pthread_t thread;

	for (unsigned i = 0; i < 2; i++) {
		m[i] = make();
		set_long(&m[i]);
		load(&m[i], spin_start, spin_end);
		if (pthread_create(&thread, NULL, spin_thread, &m[i]) != 0)
			wrong("a thread");
	}
	while (!counter(&m[0]) || !counter(&m[1]))
		usleep(10000);
	puts("spinning");
	fflush(stdout);
	pause();
}

/* State that no processor can run: the child stops, with a reason, and nothing else. */
static void test_broken(void)
{
	struct machine m = make();
	struct kvm_sregs sregs;

	set_long(&m);
	call(m.cpu, KVM_GET_SREGS, (uintptr_t)&sregs, "reading segments");
	sregs.cr0 = 0x80000000; /* pages without protection */
	call(m.cpu, KVM_SET_SREGS, (uintptr_t)&sregs, "setting segments");
	expect(&m, KVM_EXIT_FAIL_ENTRY);
	sregs.efer |= 1u << 12; /* SVM in a child */
	if (ioctl(m.cpu, KVM_SET_SREGS, &sregs) == 0 || errno != EINVAL)
		wrong("EFER.SVME is not refused");
	unmake(&m);
	m = make();
	set_long(&m);
	memset(m.memory + CODE_AT, 0x0F,
	       2); /* an invalid instruction, and no table of interrupts */
	m.memory[CODE_AT + 1] = 0x0B;
	expect(&m, KVM_EXIT_SHUTDOWN);
	unmake(&m);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} tests[] = {
		{"real", test_real},       {"long", test_long},     {"spin", test_spin},
		{"forever", test_forever}, {"broken", test_broken}, {"strings", test_strings},
		{"fault", test_fault},     {"device", test_device},
	};
	unsigned count = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1;

	if (argc < 3)
		return 2;
	device = argv[1];
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		for (unsigned n = 0; !strcmp(argv[2], tests[i].name) && n < count; n++)
			tests[i].run();
	}
	return 0;
}
