/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks that files tell. */
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/doctor.h"
#include "cli/format.h"

#define FILE_MAX 16384u
#define AVAILABLE_MIN_KIB (512u << 10)
#define STATE_FOLDER "/var/lib/oya"
#define THP "/sys/kernel/mm/transparent_hugepage/"

static void place(const struct doctor *d, const char *path, char full[PATH_MAX])
{
	snprintf(full, PATH_MAX, "%s%s", d->root, path);
}

static bool exists(const struct doctor *d, const char *path)
{
	char full[PATH_MAX];

	place(d, path, full);
	return access(full, F_OK) == 0;
}

/* Its beginning; false when it cannot be read. */
static bool read_file(const struct doctor *d, const char *path, char text[FILE_MAX])
{
	char full[PATH_MAX];
	size_t len = 0;
	FILE *file;

	place(d, path, full);
	file = fopen(full, "re");
	if (file) {
		len = fread(text, 1, FILE_MAX - 1, file);
		fclose(file);
	}
	text[len] = '\0';
	return file != NULL;
}

/* Whether a line of the file begins so; *ret_rest is what stands behind it. */
static const char *line_of(const char *text, const char *begin)
{
	size_t len = strlen(begin);

	while (text) {
		if (strncmp(text, begin, len) == 0)
			return text + len;
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return NULL;
}

/* ---- processor ---- */

static bool has_flag(const char *flags, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = flags; at && *at && *at != '\n';) {
		at += strspn(at, " \t:");
		if (strncmp(at, name, len) == 0 && !isalnum((unsigned char)at[len]) &&
		    at[len] != '_')
			return true;
		at += strcspn(at, " \t\n");
	}
	return false;
}

static void check_processor(struct doctor *d)
{
	static const char firmware[] = "switch virtualisation on in the firmware (SVM Mode, AMD-V, "
				       "VT-x); of a VM: nested virtualisation in its hypervisor";
	char text[FILE_MAX];
	const char *flags = read_file(d, "/proc/cpuinfo", text) ? line_of(text, "flags") : NULL;
	bool svm = has_flag(flags, "svm"), vmx = has_flag(flags, "vmx");

	if (!flags)
		doctor_note(d, "processor", DOCTOR_NOTE, NULL, "/proc/cpuinfo tells nothing");
	else if (svm || vmx)
		doctor_note(d, "processor", DOCTOR_OK, NULL, "it has %s",
			    svm ? "AMD's SVM" : "Intel's VMX");
	else if (exists(d, "/dev/oya"))
		doctor_note(d, "processor", DOCTOR_OK, NULL, "the hypervisor uses it");
	else if (exists(d, "/dev/kvm"))
		doctor_note(d, "processor", DOCTOR_NOTE, firmware,
			    "it shows neither SVM nor VMX, and /dev/kvm is there all the same");
	else
		doctor_note(d, "processor", DOCTOR_WRONG, firmware,
			    "it shows neither SVM nor VMX, without which no VM runs");
	if (flags && has_flag(flags, "hypervisor") && !exists(d, "/dev/oya"))
		doctor_note(d, "nesting", DOCTOR_NOTE,
			    "use a machine of its own where speed counts",
			    "this host is itself a VM: its VMs are slower than on a machine");
}

static void check_device(struct doctor *d)
{
	const char *device = exists(d, "/dev/oya") ? "/dev/oya" : "/dev/kvm";
	char full[PATH_MAX];

	place(d, device, full);
	if (!exists(d, device))
		doctor_note(d, "device", DOCTOR_WRONG,
			    "'modprobe kvm_amd' or 'modprobe kvm_intel'; 'dmesg | grep -i kvm' "
			    "tells why it does not load",
			    "there is neither /dev/kvm nor /dev/oya, on which VMs run");
	else if (access(full, R_OK | W_OK) < 0)
		doctor_note(d, "device", DOCTOR_NOTE,
			    "VMs of the host service run as root; for 'oya run' of your own join "
			    "the group of the device",
			    "%s is there, and you may not use it", device);
	else
		doctor_note(d, "device", DOCTOR_OK, NULL, "VMs run on %s", device);
}

static void check_iommu(struct doctor *d)
{
	char full[PATH_MAX];
	struct dirent *entry;
	unsigned count = 0;
	DIR *list;

	place(d, "/sys/class/iommu", full);
	list = opendir(full);
	while (list && (entry = readdir(list)))
		count += entry->d_name[0] != '.';
	if (list)
		closedir(list);
	if (count)
		doctor_note(d, "iommu", DOCTOR_OK, NULL, "%u in use", count);
	else
		doctor_note(
			d, "iommu", DOCTOR_NOTE,
			"switch it on in the firmware, and by intel_iommu=on where it is Intel's",
			"none is in use: the host's devices reach all memory");
}

/* ---- memory ---- */

/* The number of a line of /proc/meminfo, in KiB. */
static uint64_t meminfo(const char *text, const char *name)
{
	const char *rest = line_of(text, name);

	return rest ? strtoull(rest, NULL, 10) : 0;
}

static void check_memory(struct doctor *d)
{
	char text[FILE_MAX], free_text[FORMAT_SIZE_MAX];
	uint64_t available, swap, swap_free;

	if (!read_file(d, "/proc/meminfo", text))
		return;
	available = meminfo(text, "MemAvailable:");
	swap = meminfo(text, "SwapTotal:");
	swap_free = meminfo(text, "SwapFree:");
	format_bytes(available << 10, free_text);
	doctor_note(d, "memory", available < AVAILABLE_MIN_KIB ? DOCTOR_WRONG : DOCTOR_OK,
		    available < AVAILABLE_MIN_KIB ? "stop VMs or give them less memory" : NULL,
		    "%s are available", free_text);
	if (!swap)
		doctor_note(d, "swap", DOCTOR_NOTE,
			    "add some where VMs are given more than there is",
			    "there is none: when memory ends the kernel kills a VM");
	else if (swap_free < swap / 2)
		doctor_note(d, "swap", DOCTOR_WRONG, "stop VMs or give them less memory",
			    "more than half of it is in use: VMs wait for it");
	else
		doctor_note(d, "swap", DOCTOR_OK, NULL, "little of it is in use");
}

/* The word in brackets is the one that counts. */
static void check_huge_pages(struct doctor *d)
{
	char text[FILE_MAX];

	if (!read_file(d, THP "shmem_enabled", text))
		return;
	if (strstr(text, "[never]") || strstr(text, "[deny]"))
		doctor_note(d, "huge pages", DOCTOR_NOTE,
			    "'echo advise >" THP "shmem_enabled', and at each start by a file of "
			    "tmpfiles.d; or memory_pages=2m",
			    "VMs have pages of 4 KiB only, which costs speed");
	else
		doctor_note(d, "huge pages", DOCTOR_OK, NULL, "VMs may have them");
}

/* ---- programs and files ---- */

static const struct {
	const char *check, *package, *lost;
	const char *paths[3];
} needs[] = {
	{"passt",
	 "passt",
	 "NICs of the type user cannot be",
	 {"/usr/bin/passt", "/usr/local/bin/passt"}},
	{"firmware",
	 "seabios",
	 "VMs cannot boot from their disks",
	 {"/usr/share/seabios/bios-256k.bin", "/usr/share/seabios/bios.bin",
	  "/usr/share/qemu/bios-256k.bin"}},
	{"dnsmasq",
	 "dnsmasq-base",
	 "NAT switches have no addresses to give",
	 {"/usr/sbin/dnsmasq", "/usr/bin/dnsmasq"}},
};

static void check_programs(struct doctor *d)
{
	for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
		const char *found = NULL;
		char remedy[64];

		for (size_t n = 0; n < ARRAY_LEN(needs[i].paths) && needs[i].paths[n]; n++) {
			if (!found && exists(d, needs[i].paths[n]))
				found = needs[i].paths[n];
		}
		snprintf(remedy, sizeof(remedy), "'apt install %s'", needs[i].package);
		if (found)
			doctor_note(d, needs[i].check, DOCTOR_OK, NULL, "%s", found);
		else
			doctor_note(d, needs[i].check, DOCTOR_WRONG, remedy, "it is not there: %s",
				    needs[i].lost);
	}
}

static void check_group(struct doctor *d)
{
	char text[FILE_MAX];
	const char *rest = read_file(d, "/etc/group", text) ? line_of(text, "oya:") : NULL;

	if (!rest)
		doctor_note(d, "group", DOCTOR_WRONG,
			    "'systemd-sysusers', or 'groupadd --system oya'",
			    "there is no group oya: only root may use the host service");
	else
		doctor_note(d, "group", DOCTOR_OK, NULL, "members of oya administrate VMs");
}

static void check_systemd(struct doctor *d)
{
	if (exists(d, "/run/systemd/system"))
		doctor_note(d, "systemd", DOCTOR_OK, NULL, "VMs are units in oya.slice");
	else
		doctor_note(d, "systemd", DOCTOR_NOTE, "start the host by systemd",
			    "it does not run: limits of processors are not kept, and nobody stops "
			    "VMs when the host goes down");
}

static void check_space(struct doctor *d)
{
	static const char *const folders[] = {STATE_FOLDER "/vms", STATE_FOLDER, "/var/lib", "/"};
	struct statvfs s;
	char full[PATH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		place(d, folders[i], full);
		if (statvfs(full, &s) < 0)
			continue;
		doctor_space(d, folders[i], (uint64_t)s.f_bavail * s.f_frsize,
			     (uint64_t)s.f_blocks * s.f_frsize);
		return;
	}
}

/* ---- networks ---- */

static bool file_has(const struct doctor *d, const char *path, const char *word)
{
	char full[PATH_MAX], line[512];
	bool found = false;
	FILE *file;

	place(d, path, full);
	file = fopen(full, "re");
	while (file && !found && fgets(line, sizeof(line), file))
		found = strstr(line, word) != NULL;
	if (file)
		fclose(file);
	return found;
}

static void check_nftables(struct doctor *d)
{
	static const char *const lists[] = {"modules.dep", "modules.builtin"};
	struct utsname name;
	char path[256];
	bool found = file_has(d, "/proc/modules", "nf_tables ");

	uname(&name);
	for (size_t i = 0; !found && i < ARRAY_LEN(lists); i++) {
		snprintf(path, sizeof(path), "/lib/modules/%.100s/%s", name.release, lists[i]);
		found = file_has(d, path, "/nf_tables.ko");
	}
	/* Built into a kernel that has no modules. */
	found = found || file_has(d, "/proc/kallsyms", " nf_tables_newtable");
	if (found)
		doctor_note(d, "nftables", DOCTOR_OK, NULL, "the kernel has it");
	else
		doctor_note(d, "nftables", DOCTOR_WRONG,
			    "use a kernel of Debian's, or one with CONFIG_NF_TABLES",
			    "the kernel %.100s has none: virtual switches cannot be guarded",
			    name.release);
}

static void check_bridge_filter(struct doctor *d)
{
	static const char *const files[] = {"iptables", "ip6tables", "arptables"};
	char path[128], text[FILE_MAX], found[64] = "";

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "/proc/sys/net/bridge/bridge-nf-call-%s", files[i]);
		if (!read_file(d, path, text) || text[0] != '1')
			continue;
		snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s",
			 *found ? ", " : "", files[i]);
	}
	if (*found)
		doctor_note(d, "br_netfilter", DOCTOR_WRONG,
			    "'sysctl -w net.bridge.bridge-nf-call-iptables=0' and the same of the "
			    "others, for good by a file of /etc/sysctl.d; Docker and Kubernetes "
			    "switch it on for their own networks",
			    "frames of VMs on bridges pass the host's IP rules too (%s), which may "
			    "drop them",
			    found);
	else
		doctor_note(d, "br_netfilter", DOCTOR_OK, NULL,
			    "bridged frames do not pass the host's IP rules");
}

void doctor_files(struct doctor *d)
{
	check_processor(d);
	check_device(d);
	check_iommu(d);
	check_memory(d);
	check_huge_pages(d);
	check_space(d);
	check_systemd(d);
	check_group(d);
	check_programs(d);
	check_nftables(d);
	check_bridge_filter(d);
}
