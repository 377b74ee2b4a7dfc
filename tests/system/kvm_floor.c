/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The least that a kick and an exit cost on this machine's KVM: a monitor that does nothing else.
 * The peer of benchmarks/kick.py, which compiles it; prints `COST NAME LOOPS UNITS` with units of
 * 100 ns, as tests/system/guest/cost.c does for ours.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LOOPS 4000u
#define RAM_BYTES (2u << 20)
#define CODE_AT 0x1000u
#define TABLES_AT 0x2000u
#define KICK_PORT 0x501u
#define NO_PORT 0x80u
#define END_PORT 0xf4u
#define SOME_MSR 0x40000002u
#define KICK_VALUE 0x1001u

struct monitor {
	int vm, cpu, event;
	struct kvm_run *run;
	uint8_t *ram;
};

/* 1: out dx, eax; dec edi; jnz 1b; out END_PORT, al -- and the like. */
static const uint8_t code_out[] = {0xef, 0xff, 0xcf, 0x75, 0xfb, 0xe6, END_PORT};
static const uint8_t code_in[] = {0xec, 0xff, 0xcf, 0x75, 0xfb, 0xe6, END_PORT};
static const uint8_t code_msr[] = {0x0f, 0x32, 0xff, 0xcf, 0x75, 0xfa, 0xe6, END_PORT};

static int must(int r, const char *what)
{
	if (r < 0)
		err(1, "%s", what);
	return r;
}

/* Somebody waits for a kick, as in a real monitor. */
static void *reader(void *arg)
{
	struct monitor *m = arg;
	uint64_t count;

	while (read(m->event, &count, sizeof(count)) == sizeof(count))
		;
	return NULL;
}

static void set_up_vm(struct monitor *m)
{
	static uint8_t nothing[64];
	struct kvm_enable_cap msrs = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
				      .args = {KVM_MSR_EXIT_REASON_FILTER}};
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges[0] = {.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			      .base = 0x40000000,
			      .nmsrs = 512,
			      .bitmap = nothing}};
	struct kvm_userspace_memory_region slot = {.memory_size = RAM_BYTES};
	struct kvm_ioeventfd event = {.addr = KICK_PORT,
				      .len = 4,
				      .datamatch = KICK_VALUE,
				      .flags = KVM_IOEVENTFD_FLAG_PIO |
					       KVM_IOEVENTFD_FLAG_DATAMATCH};
	int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	int bytes;

	m->vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	must(ioctl(m->vm, KVM_ENABLE_CAP, &msrs), "KVM_CAP_X86_USER_SPACE_MSR");
	must(ioctl(m->vm, KVM_X86_SET_MSR_FILTER, &filter), "KVM_X86_SET_MSR_FILTER");
	m->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->ram == MAP_FAILED)
		err(1, "memory");
	slot.userspace_addr = (uintptr_t)m->ram;
	must(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
	m->event = must(eventfd(0, EFD_CLOEXEC), "eventfd");
	event.fd = m->event;
	must(ioctl(m->vm, KVM_IOEVENTFD, &event), "KVM_IOEVENTFD");
	m->cpu = must(ioctl(m->vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	bytes = must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	m->run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->cpu, 0);
	if (m->run == MAP_FAILED)
		err(1, "kvm_run");
}

/* 64-bit mode, the first 2 MiB mapped one to one. */
static void set_up_cpu(const struct monitor *m)
{
	uint64_t *tables = (uint64_t *)(void *)(m->ram + TABLES_AT);
	struct kvm_segment code = {
		.limit = ~0u, .selector = 8, .type = 0xb, .present = 1, .s = 1, .g = 1, .l = 1};
	struct kvm_segment data = {
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .g = 1, .db = 1};
	struct kvm_sregs s;

	tables[0] = (TABLES_AT + 4096) | 3;
	tables[512] = (TABLES_AT + 8192) | 3;
	tables[1024] = 0x83;
	must(ioctl(m->cpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = 0x80010033;
	s.cr3 = TABLES_AT;
	s.cr4 = 0x20;
	s.efer = 0x500;
	must(ioctl(m->cpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
}

static uint64_t now_units(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 10000000 + (uint64_t)t.tv_nsec / 100;
}

static void measure(const struct monitor *m, const char *name, const uint8_t *code, size_t len,
		    struct kvm_regs regs)
{
	uint64_t start = now_units();

	memcpy(m->ram + CODE_AT, code, len);
	regs.rip = CODE_AT;
	regs.rflags = 2;
	regs.rdi = LOOPS;
	must(ioctl(m->cpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
	do {
		must(ioctl(m->cpu, KVM_RUN, 0), "KVM_RUN");
		if (m->run->exit_reason != KVM_EXIT_IO && m->run->exit_reason != KVM_EXIT_X86_RDMSR)
			errx(1, "%s: exit %u", name, m->run->exit_reason);
	} while (m->run->exit_reason != KVM_EXIT_IO || m->run->io.port != END_PORT);
	printf("COST %s %u %llu\n", name, LOOPS, (unsigned long long)(now_units() - start));
}

int main(void)
{
	struct monitor m;
	pthread_t thread;

	set_up_vm(&m);
	set_up_cpu(&m);
	if (pthread_create(&thread, NULL, reader, &m) != 0)
		errx(1, "no thread");
	measure(&m, "kick", code_out, sizeof(code_out),
		(struct kvm_regs){.rdx = KICK_PORT, .rax = KICK_VALUE});
	measure(&m, "port", code_in, sizeof(code_in), (struct kvm_regs){.rdx = NO_PORT});
	measure(&m, "msr", code_msr, sizeof(code_msr), (struct kvm_regs){.rcx = SOME_MSR});
	return 0;
}
