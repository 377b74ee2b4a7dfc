/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The least that runs the guest of ./bench hv: monitor DEVICE GUEST. DEVICE speaks KVM's interface;
 * the local APIC is its own, all else is answered here.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_BYTES 0x90000u
#define GUEST_BYTES 0x10000u
#define GUEST_LOW 0xF0000u
#define GUEST_HIGH 0xFFFF0000u
#define TEXT_PORT 0x402
#define END_PORT 0x501
#define READ_BACK 0xE9 /* as QEMU's port answers */
#define LEAVES 100u
#define PINS 24
#define DEADLINE_TIMER (1u << 24) /* of CPUID 1, ECX: the monitor's to offer */

static int must(int r, const char *what)
{
	if (r < 0)
		err(1, "%s", what);
	return r;
}

static uint8_t *memory(size_t bytes)
{
	uint8_t *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (at == MAP_FAILED)
		err(1, "memory");
	return at;
}

static void add_slot(int vm, unsigned slot, uint64_t at, const uint8_t *from, size_t bytes)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = at,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)from,
	};

	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "a memory slot");
}

static void load(int vm, const char *path)
{
	uint8_t *guest = memory(GUEST_BYTES);
	int file = must(open(path, O_RDONLY | O_CLOEXEC), path);

	if (read(file, guest, GUEST_BYTES) != GUEST_BYTES)
		errx(1, "%s is not of 64 KiB", path);
	close(file);
	add_slot(vm, 0, 0, memory(RAM_BYTES), RAM_BYTES);
	add_slot(vm, 1, GUEST_LOW, guest, GUEST_BYTES);
	add_slot(vm, 2, GUEST_HIGH, guest, GUEST_BYTES);
}

static void set_cpuid(int device, int cpu)
{
	struct kvm_cpuid2 *leaves =
		calloc(1, sizeof(*leaves) + LEAVES * sizeof(leaves->entries[0]));

	if (!leaves)
		err(1, "memory");
	leaves->nent = LEAVES;
	must(ioctl(device, KVM_GET_SUPPORTED_CPUID, leaves), "what CPUID may say");
	for (uint32_t i = 0; i < leaves->nent; i++) {
		if (leaves->entries[i].function == 1)
			leaves->entries[i].ecx |= DEADLINE_TIMER;
	}
	must(ioctl(cpu, KVM_SET_CPUID2, leaves), "CPUID");
	free(leaves);
}

static void run(int cpu, struct kvm_run *kvm)
{
	for (;;) {
		uint8_t *data;

		must(ioctl(cpu, KVM_RUN, 0), "running");
		if (kvm->exit_reason != KVM_EXIT_IO)
			errx(1, "exit %u", kvm->exit_reason);
		data = (uint8_t *)kvm + kvm->io.data_offset;
		if (kvm->io.port == END_PORT)
			return;
		if (kvm->io.direction == KVM_EXIT_IO_IN)
			*data = READ_BACK;
		else if (kvm->io.port == TEXT_PORT)
			putchar(*data);
	}
}

int main(int argc, char **argv)
{
	struct kvm_enable_cap apic = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {PINS}};
	struct kvm_run *kvm;
	int device, vm, cpu, bytes;

	if (argc != 3)
		errx(2, "usage: monitor DEVICE GUEST");
	device = must(open(argv[1], O_RDWR | O_CLOEXEC), argv[1]);
	vm = must(ioctl(device, KVM_CREATE_VM, 0), "a VM");
	must(ioctl(vm, KVM_ENABLE_CAP, &apic), "a local APIC");
	load(vm, argv[2]);
	cpu = must(ioctl(vm, KVM_CREATE_VCPU, 0), "a processor");
	set_cpuid(device, cpu);
	bytes = must(ioctl(device, KVM_GET_VCPU_MMAP_SIZE, 0), "the size of kvm_run");
	kvm = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	if (kvm == MAP_FAILED)
		err(1, "kvm_run");
	run(cpu, kvm);
	return 0;
}
