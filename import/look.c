/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "import/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "import/confine.h"
#include "import/linux_disk.h"
#include "import/partitions.h"

#define LOOK_CPU_S 180u
#define HEAD_BYTES (65536u + 4096u)

struct look {
	const char *path;
	struct source s;
	struct partitions parts;
	struct linux_disk newest; /* the newest kernel of all file systems */
	struct sentences warnings, refusals;
};

enum file_system { FS_NONE, FS_EXT, FS_OTHER };

/* What stands at a place within a partition. */
static const struct {
	uint32_t at, len;
	const char *bytes;
	const char *name; /* NULL: ext2, ext3, ext4 */
} systems[] = {
	{1024 + 56, 2, "\x53\xef", NULL},
	{0, 4, "XFSB", "XFS"},
	{65536 + 64, 8, "_BHRfS_M", "btrfs"},
	{512, 8, "LABELONE", "LVM"},
	{0, 8, "LABELONE", "LVM"},
	{0, 6, "LUKS\xba\xbe", "LUKS, encrypted"},
	{3, 8, "NTFS    ", "NTFS"},
	{4096, 4, "\xfc\x4e\x2b\xa9", "MD RAID"},
	{0, 4, "hsqs", "squashfs"},
};

static enum file_system which(const struct look *l, uint64_t offset, uint64_t length,
			      const char **ret_name)
{
	uint8_t *head = calloc(1, HEAD_BYTES);
	enum file_system found = FS_NONE;

	/* A partition that is shorter leaves zeros. */
	if (!head || source_read(&l->s, offset, head, (size_t)min_u64(length, HEAD_BYTES)) < 0) {
		free(head);
		return FS_NONE;
	}
	for (size_t i = 0; found == FS_NONE && i < ARRAY_LEN(systems); i++) {
		if (memcmp(head + systems[i].at, systems[i].bytes, systems[i].len) != 0)
			continue;
		found = systems[i].name ? FS_OTHER : FS_EXT;
		*ret_name = systems[i].name;
	}
	free(head);
	return found;
}

static void look_at(struct look *l, uint64_t offset, uint64_t length, unsigned number)
{
	struct linux_disk d;
	const char *name = NULL;
	enum file_system fs = which(l, offset, length, &name);

	if (fs == FS_NONE)
		return;
	if (fs == FS_OTHER && strcmp(name, "NTFS") == 0) {
		sentences_add(
			&l->warnings,
			"partition %u has a file system of Windows (NTFS): guests with Windows were "
			"not tried",
			number);
		return;
	}
	if (fs == FS_OTHER) {
		sentences_add(
			&l->warnings,
			"partition %u (%s) could not be looked into: see on the old system that its "
			"kernel has hv_storvsc in its initramfs",
			number, name);
		return;
	}
	if (linux_disk_look(l->path, offset, &d) < 0) {
		sentences_add(
			&l->warnings,
			"the file system of partition %u is damaged or newer than is known: look "
			"at it by fsck on the old system",
			number);
		return;
	}
	if (d.old_names)
		sentences_add(
			&l->warnings,
			"/etc/fstab on partition %u names disks as /dev/vda or the like, which are "
			"/dev/sda here: write UUID=... in their place on the old system first",
			number);
	if (d.kernel && (!l->newest.kernel || strverscmp(d.version, l->newest.version) > 0))
		l->newest = d;
}

#define KERNEL_LACKS                                                                \
	"the kernel %s has no driver for disks of Hyper-V (hv_storvsc): install a " \
	"kernel with CONFIG_HYPERV_STORAGE on the old system first"

static void judge_initrd(struct look *l)
{
	const struct linux_disk *k = &l->newest;
	bool storage = k->drivers.storage || k->storage == DRIVER_BUILT_IN,
	     bus = k->drivers.bus || k->bus == DRIVER_BUILT_IN;

	if (k->initrd && k->initrd_error < 0)
		sentences_add(
			&l->warnings,
			"the initramfs of the kernel %s could not be looked into: see on the old "
			"system that hv_vmbus and hv_storvsc are in it",
			k->version);
	else if (!k->initrd)
		sentences_add(
			&l->warnings,
			"the kernel %s has no initramfs, and the drivers hv_vmbus and hv_storvsc "
			"are not known to be within it: see that on the old system",
			k->version);
	else if ((!storage || !bus) && k->dracut)
		sentences_add(
			&l->warnings,
			"the initramfs of the kernel %s lacks %s, so it would not find its disk: "
			"run 'dracut -f --add-drivers \"hv_vmbus hv_storvsc hv_netvsc\"' on the "
			"old system first",
			k->version, storage ? "hv_vmbus" : "hv_storvsc");
	else if (!storage || !bus)
		sentences_add(
			&l->warnings,
			"the initramfs of the kernel %s lacks %s, so it would not find its disk: "
			"add the lines hv_vmbus, hv_storvsc and hv_netvsc to "
			"/etc/initramfs-tools/modules and run 'update-initramfs -u -k all' on the "
			"old system first",
			k->version, storage ? "hv_vmbus" : "hv_storvsc");
}

static void judge(struct look *l, enum boots boots)
{
	const struct linux_disk *k = &l->newest;

	if (boots == BOOTS_UEFI)
		sentences_add(
			&l->refusals,
			"the disk boots by UEFI only, which Oya does not have yet: make it boot by "
			"BIOS on the old system first, or install it anew");
	if (l->parts.damaged)
		sentences_add(&l->warnings,
			      "the partition table is damaged, or names places behind "
			      "the disk's end: look at it by fdisk on the old system");
	if (!k->kernel)
		return;
	if (k->storage == DRIVER_NONE || k->bus == DRIVER_NONE)
		sentences_add(&l->refusals, KERNEL_LACKS, k->version);
	else if (k->storage != DRIVER_BUILT_IN || k->bus != DRIVER_BUILT_IN)
		judge_initrd(l);
}

static int tell(const struct look *l, enum boots boots, struct failure *f)
{
	static const char *const words[] = {[BOOTS_NO] = "no",
					    [BOOTS_BIOS] = "bios",
					    [BOOTS_UEFI] = "uefi",
					    [BOOTS_UNKNOWN] = "unknown"};
	json_t *o =
		json_pack("{s:s, s:o, s:o}", "boots", words[boots], "warnings",
			  sentences_json(&l->warnings), "refusals", sentences_json(&l->refusals));

	if (!o)
		return fail(f, -ENOMEM, "cannot tell what is in %s: out of memory", l->path);
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
	return 0;
}

static int look_into(struct look *l, struct failure *f)
{
	enum boots boots;
	int r = partitions_decode(&l->s, &l->parts);

	if (r < 0)
		return fail(f, r, "cannot read %s: %s", l->path, strerror(-r));
	for (unsigned i = 0; i < l->parts.count; i++)
		look_at(l, l->parts.list[i].offset, l->parts.list[i].length, i + 1);
	/* A file system without a table, as a disk for data may be. */
	if (l->parts.count == 0)
		look_at(l, 0, l->s.size, 0);
	boots = partitions_boot(&l->parts);
	judge(l, boots);
	return tell(l, boots, f);
}

/* In the confined process. */
static int inside(void *ctx, struct failure *f)
{
	const char *path = ctx;
	struct look *l = calloc(1, sizeof(*l));
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r;

	if (!l)
		r = fail(f, -ENOMEM, "cannot look into %s: out of memory", path);
	else if (fd < 0)
		r = fail(f, -errno, "cannot open %s: %s", path, strerror(errno));
	else
		r = source_of_file(fd, 0, 0, &l->s);
	if (r == 0) {
		l->path = path;
		r = look_into(l, f);
	} else if (!f->text[0]) {
		fail(f, r, "cannot read %s: %s", path, strerror(-r));
	}
	if (fd >= 0)
		close(fd);
	free(l);
	return r;
}

int verb_look(const char *raw, struct failure *f)
{
	char path[PATH_MAX];
	struct confine_rules rules = {.read = {path}, .read_count = 1, .cpu_s = LOOK_CPU_S};

	if (!realpath(raw, path))
		return fail(f, -errno, "cannot find %s: %s", raw, strerror(errno));
	return confined_run(&rules, inside, path, f);
}
