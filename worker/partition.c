/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/partition.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "abi/hv.h"
#include "base/util.h"

#define ROLE_DEVICE "/dev/oya"
#define KVM_DEVICE "/dev/kvm"
#define IOAPIC_PINS 24u
#define TSS_ADDRESS 0xfffbd000u /* three pages that Intel's real mode needs, in the MMIO gap */

struct need {
	int capability;
	const char *what;
};

static const struct need needs[] = {
	{KVM_CAP_USER_MEMORY, "user memory"},
	{KVM_CAP_SPLIT_IRQCHIP, "a split interrupt controller"},
	{KVM_CAP_SIGNAL_MSI, "message-signalled interrupts"},
	{KVM_CAP_IOEVENTFD, "ioeventfd"},
	{KVM_CAP_X86_USER_SPACE_MSR, "MSRs in user space"},
	{KVM_CAP_X86_MSR_FILTER, "MSR filters"},
	{KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
	{KVM_CAP_SYNC_REGS, "shared registers"},
};

static int check_device(int fd, const char *path, struct failure *f)
{
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);

	if (version != KVM_API_VERSION)
		return fail(f, -ENOTTY,
			    "%s does not speak the KVM interface (version 12); name another with "
			    "--device",
			    path);
	for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
		if (ioctl(fd, KVM_CHECK_EXTENSION, needs[i].capability) <= 0)
			return fail(f, -EOPNOTSUPP,
				    "%s does not offer %s, which Oya needs; run a kernel of "
				    "version 6.1 or later",
				    path, needs[i].what);
	}
	return 0;
}

int partition_open_device(const char *path, int *ret_fd, struct failure *f)
{
	int fd, r;

	if (!path)
		path = access(ROLE_DEVICE, F_OK) == 0 ? ROLE_DEVICE : KVM_DEVICE;
	fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return fail(f, -ENOENT,
			    "cannot make a VM: there is no %s; load the module kvm_amd or "
			    "kvm_intel, and switch virtualisation on in the firmware",
			    path);
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return fail(f, -errno,
			    "cannot make a VM: no permission for %s; run as root or join the "
			    "group that owns it (usually kvm)",
			    path);
	if (fd < 0)
		return fail(f, -errno, "cannot make a VM: opening %s failed: %s", path,
			    strerror(errno));
	r = check_device(fd, path, f);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static int enable(int vm_fd, uint32_t capability, uint64_t argument)
{
	struct kvm_enable_cap cap = {.cap = capability, .args = {argument}};

	return ioctl(vm_fd, KVM_ENABLE_CAP, &cap) < 0 ? -errno : 0;
}

static struct kvm_msr_filter_range to_us(uint32_t first, uint32_t end)
{
	static uint8_t nothing[HV_MSR_COUNT / 8];

	return (struct kvm_msr_filter_range){
		.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
		.base = first,
		.nmsrs = end - first,
		.bitmap = nothing,
	};
}

/* Sends every access to Hyper-V's MSRs to us, on a KVM that knows them too; but for those of the
 * local APIC, where KVM serves them and so can spare the guest an exit an interrupt. */
static int filter_msrs(int vm_fd, bool apic_msrs)
{
	const uint32_t end = HV_MSR_FIRST + HV_MSR_COUNT;
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges[0] = to_us(HV_MSR_FIRST, apic_msrs ? HV_MSR_EOI : end),
	};
	int r = enable(vm_fd, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER);

	if (r < 0)
		return r;
	if (apic_msrs)
		filter.ranges[1] = to_us(HV_MSR_VP_ASSIST_PAGE + 1, end);
	return ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &filter) < 0 ? -errno : 0;
}

static int map_memory(int vm_fd, const struct gmem *gmem, uint32_t flags)
{
	for (unsigned i = 0; i < gmem->count; i++) {
		struct kvm_userspace_memory_region slot = {
			.slot = i,
			.flags = flags,
			.guest_phys_addr = gmem->region[i].gpa,
			.memory_size = gmem->region[i].len,
			.userspace_addr = (uintptr_t)gmem->region[i].hva,
		};

		if (ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
			return -errno;
	}
	return 0;
}

int partition_create(struct partition *p, int device_fd, const struct gmem *gmem, struct failure *f)
{
	int r;

	*p = (struct partition){.device_fd = device_fd, .vm_fd = -1};
	p->apic_msrs = ioctl(device_fd, KVM_CHECK_EXTENSION, KVM_CAP_HYPERV) > 0;
	p->run_bytes = ioctl(device_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	p->vm_fd = ioctl(device_fd, KVM_CREATE_VM, 0);
	if (p->vm_fd < 0 || p->run_bytes <= 0)
		return fail(f, -errno,
			    "cannot make a partition: %s; another hypervisor may hold the "
			    "processor, or memory is short",
			    strerror(errno));
	/* Intel only; harmless where it is not needed. */
	(void)ioctl(p->vm_fd, KVM_SET_TSS_ADDR, (unsigned long)TSS_ADDRESS);
	r = enable(p->vm_fd, KVM_CAP_SPLIT_IRQCHIP, IOAPIC_PINS);
	if (r == 0)
		r = filter_msrs(p->vm_fd, p->apic_msrs);
	if (r == 0)
		r = map_memory(p->vm_fd, gmem, 0);
	if (r < 0) {
		partition_destroy(p);
		if (r == -ENOMEM)
			return fail(f, r,
				    "cannot give the VM its memory: this host has too little free "
				    "memory, or may not lock as much; stop another VM, or make "
				    "this one smaller");
		return fail(f, r, "cannot set up the partition: %s", strerror(-r));
	}
	return 0;
}

/* KVM of Linux 5.17 and later, and the hypervisor's driver since it gives what it had left out. */
bool partition_gives_state(const struct partition *p)
{
	return ioctl(p->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2) > 0;
}

bool partition_follows_memory(const struct partition *p)
{
	return ioctl(p->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_MMU) > 0;
}

void partition_destroy(struct partition *p)
{
	if (p->vm_fd >= 0)
		close(p->vm_fd);
	p->vm_fd = -1;
}

void partition_msi(void *ctx, uint64_t address, uint32_t data)
{
	const struct partition *p = ctx;
	struct kvm_msi msi = {
		.address_lo = (uint32_t)address,
		.address_hi = (uint32_t)(address >> 32),
		.data = data,
	};

	/* Fails only for a message that no APIC takes, as on a real bus. */
	(void)ioctl(p->vm_fd, KVM_SIGNAL_MSI, &msi);
}

static int bind_event(const struct partition *p, uint16_t port, uint32_t value, int fd,
		      uint32_t flags)
{
	struct kvm_ioeventfd event = {
		.datamatch = value,
		.addr = port,
		.len = 4,
		.fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH | flags,
	};

	return ioctl(p->vm_fd, KVM_IOEVENTFD, &event) < 0 ? -errno : 0;
}

int partition_bind(struct partition *p, uint16_t port, uint32_t value, int event_fd)
{
	return bind_event(p, port, value, event_fd, 0);
}

int partition_unbind(struct partition *p, uint16_t port, uint32_t value, int event_fd)
{
	return bind_event(p, port, value, event_fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

int partition_set_routes(struct partition *p, const struct partition_route *routes, unsigned count)
{
	size_t bytes =
		sizeof(struct kvm_irq_routing) + count * sizeof(struct kvm_irq_routing_entry);
	struct kvm_irq_routing *table = calloc(1, bytes);
	int r = 0;

	if (!table)
		return -ENOMEM;
	for (unsigned pin = 0; pin < count; pin++) {
		struct kvm_irq_routing_entry *e = &table->entries[table->nr];

		if (!routes[pin].used)
			continue;
		e->gsi = pin;
		e->type = KVM_IRQ_ROUTING_MSI;
		e->u.msi.address_lo = (uint32_t)routes[pin].address;
		e->u.msi.address_hi = (uint32_t)(routes[pin].address >> 32);
		e->u.msi.data = routes[pin].data;
		table->nr++;
	}
	if (ioctl(p->vm_fd, KVM_SET_GSI_ROUTING, table) < 0)
		r = -errno;
	free(table);
	return r;
}

/* ---- pages that processors have written ---- */

int partition_log(struct partition *p, const struct gmem *gmem, bool on)
{
	const uint64_t wanted = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
	int offered = ioctl(p->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2), r;

	/* The driver of the hypervisor's role has a log that begins empty. */
	if (on && (offered <= 0 || ((uint64_t)offered & wanted) != wanted))
		return -EOPNOTSUPP;
	r = on ? enable(p->vm_fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, wanted) : 0;
	return r < 0 ? r : map_memory(p->vm_fd, gmem, on ? KVM_MEM_LOG_DIRTY_PAGES : 0);
}

int partition_log_get(const struct partition *p, unsigned region, uint64_t *ret_bits)
{
	struct kvm_dirty_log log = {.slot = region, .dirty_bitmap = ret_bits};

	return ioctl(p->vm_fd, KVM_GET_DIRTY_LOG, &log) < 0 ? -errno : 0;
}

int partition_log_clear(const struct partition *p, unsigned region, uint64_t first, uint32_t count,
			uint64_t *bits)
{
	struct kvm_clear_dirty_log log = {
		.slot = region,
		.num_pages = count,
		.first_page = first,
		.dirty_bitmap = bits,
	};

	return ioctl(p->vm_fd, KVM_CLEAR_DIRTY_LOG, &log) < 0 ? -errno : 0;
}
