/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "abi/oya.h"
#include "base/util.h"
#include "cli/role.h"
#include "cli/role_files.h"

#define SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define EXTENDED 0x80000001u
#define SVM_FEATURES 0x8000000Au
#define ECX_HYPERVISOR (1u << 31)
#define ECX_SVM (1u << 2)
#define EDX_LONG_MODE (1u << 29)
#define EDX_NESTED_PAGING 1u
#define ECX_AMD 0x444D4163u /* "cAMD" */
#define VM_CR 0xC0010114u
#define VM_CR_DISABLED (1u << 4)
#define ENVIRONMENT_MAX 4096

static void read_processor(struct role_host *h)
{
	unsigned a, b, c, d;

	__cpuid(0, a, b, c, d);
	h->amd = c == ECX_AMD;
	__cpuid(1, a, b, c, d);
	h->is_guest = c & ECX_HYPERVISOR;
	if (__get_cpuid(EXTENDED, &a, &b, &c, &d)) {
		h->svm = c & ECX_SVM;
		h->long_mode = d & EDX_LONG_MODE;
	}
	if (h->svm && __get_cpuid(SVM_FEATURES, &a, &b, &c, &d))
		h->nested_paging = d & EDX_NESTED_PAGING;
	__cpuid(OYA_CPUID, a, b, c, d);
	h->is_parent = b == OYA_CPUID_EBX && c == OYA_CPUID_ECX && d == OYA_CPUID_EDX;
	h->interface = h->is_parent ? a : 0;
}

/* Where the MSR cannot be read nothing is known of it, and the kernel's own message must do. */
static bool firmware_forbids(void)
{
	uint64_t value = 0;
	int fd = open("/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC);
	bool known;

	if (fd < 0)
		return false;
	known = pread(fd, &value, sizeof(value), VM_CR) == sizeof(value);
	close(fd);
	return known && (value & VM_CR_DISABLED);
}

static bool secure_boot(void)
{
	uint8_t variable[5] = {0}; /* four bytes of attributes, then the value */
	FILE *file = fopen(SECURE_BOOT, "re");
	size_t len;

	if (!file)
		return false;
	len = fread(variable, 1, sizeof(variable), file);
	fclose(file);
	return len == sizeof(variable) && variable[4] == 1;
}

void role_host_read(struct role_host *ret_host)
{
	struct role_host h = {0};

	read_processor(&h);
	/* As the parent it is what the hypervisor shows, which is in use. */
	h.firmware_forbids = !h.is_parent && h.svm && firmware_forbids();
	h.secure_boot = secure_boot();
	h.has_grub = access(ROLE_GRUB_CONFIG, F_OK) == 0 && role_command_exists("update-grub") &&
		     role_command_exists("grub-editenv");
	h.grub_cannot_write = h.has_grub && role_grub_only_reads();
	h.has_dkms = role_command_exists("dkms");
	*ret_host = h;
}

int role_host_check(const struct role_host *h, struct failure *f)
{
	static const char cannot[] = "cannot install the hypervisor's role on this host";

	if (!h->long_mode || !h->amd)
		return fail(f, -ENOTSUP,
			    "%s: its processor is not one of AMD's; Intel's are not supported yet, "
			    "and VMs run on Linux's KVM without the role",
			    cannot);
	if (!h->svm && h->is_guest)
		return fail(f, -ENOTSUP,
			    "%s: it is itself a VM whose hypervisor offers no nested "
			    "virtualisation (SVM); switch that on there",
			    cannot);
	if (!h->svm)
		return fail(f, -ENOTSUP, "%s: its processor has no SVM", cannot);
	if (h->firmware_forbids)
		return fail(f, -ENOTSUP,
			    "%s: SVM is switched off in the firmware; switch it on there (often "
			    "called SVM Mode or AMD-V)",
			    cannot);
	if (!h->nested_paging)
		return fail(f, -ENOTSUP, "%s: its processor has no nested paging", cannot);
	if (h->secure_boot)
		return fail(
			f, -ENOTSUP,
			"%s: Secure Boot is on, and the hypervisor is not signed; switch Secure "
			"Boot off in the firmware",
			cannot);
	if (!h->has_grub)
		return fail(f, -ENOTSUP,
			    "%s: it is not started by Debian's GRUB (no update-grub, or no %s); "
			    "install grub-pc or grub-efi-amd64",
			    cannot, ROLE_GRUB_CONFIG);
	if (h->grub_cannot_write)
		return fail(
			f, -ENOTSUP,
			"%s: GRUB cannot write where /boot lies (LVM, RAID, btrfs, XFS or ZFS), so a "
			"boot that fails would be tried for ever; put /boot on a partition",
			cannot);
	if (!h->has_dkms)
		return fail(f, -ENOTSUP,
			    "%s: there is no dkms, which builds the parent's driver; install dkms "
			    "and linux-headers-amd64",
			    cannot);
	return 0;
}

enum role_state role_state_decode(const char *environment)
{
	static const struct {
		const char *name;
		enum role_state state;
	} known[] = {{"good", ROLE_GOOD}, {"trying", ROLE_TRYING}, {"failed", ROLE_FAILED}};

	for (const char *line = environment; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, ROLE_VARIABLE "=", sizeof(ROLE_VARIABLE)) != 0)
			continue;
		line += sizeof(ROLE_VARIABLE);
		for (size_t i = 0; i < ARRAY_LEN(known); i++) {
			size_t len = strlen(known[i].name);

			if (strncmp(line, known[i].name, len) == 0 &&
			    (line[len] == '\n' || !line[len]))
				return known[i].state;
		}
		break;
	}
	return ROLE_NEVER_TRIED;
}

static void read_version(char *to)
{
	FILE *file = fopen(ROLE_VERSION, "re");

	if (file && fgets(to, ROLE_VERSION_MAX, file))
		to[strcspn(to, "\n")] = '\0';
	if (file)
		fclose(file);
}

void role_installed_read(struct role_installed *ret_installed)
{
	struct role_installed i = {0};
	char environment[ENVIRONMENT_MAX] = "";

	i.entry = access(ROLE_GRUB_SCRIPT, X_OK) == 0 && access(ROLE_HYPERVISOR, R_OK) == 0;
	i.driver_loaded = access("/dev/oya", F_OK) == 0;
	if (i.entry)
		read_version(i.version);
	if (role_grub_environment(environment, sizeof(environment)) == 0)
		i.state = role_state_decode(environment);
	*ret_installed = i;
}
