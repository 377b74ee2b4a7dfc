/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "import/libvirt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "lib/xml.h"

#define WORD_MAX 64u
#define UEFI                                                                       \
	"the VM boots by UEFI only, which Oya does not have yet: install it anew " \
	"for BIOS, or make its disk boot by BIOS on the old system first"

struct disk {
	char type[WORD_MAX], device[WORD_MAX], format[WORD_MAX], bus[WORD_MAX], target[WORD_MAX];
	char path[PATH_MAX];
	bool too_long, encrypted, chain;
};

struct domain {
	struct plan *plan;
	bool domain;
	uint64_t memory_unit; /* bytes */
	char mac[WORD_MAX];
	struct disk disk; /* the one that is being read */
};

static void copy(char *to, size_t room, const char *text)
{
	snprintf(to, room, "%s", text ? text : "");
}

/* What a domain may have and Oya has not. */
static const struct {
	const char *path, *sentence;
} dropped[] = {
	{"/domain/devices/sound", "sound is left out: Oya has none"},
	{"/domain/devices/audio", "sound is left out: Oya has none"},
	{"/domain/devices/hostdev", "devices of the old host that were given to the VM are left "
				    "out"},
	{"/domain/devices/redirdev", "USB is left out: Oya has none"},
	{"/domain/devices/hub", "USB is left out: Oya has none"},
	{"/domain/devices/filesystem", "folders of the old host that the VM shared are left out"},
	{"/domain/devices/tpm", "the TPM is left out, and with it the keys in it: what is "
				"encrypted by them needs its recovery key"},
	{"/domain/devices/graphics", "the screen is left out: Oya has a serial console"},
	{"/domain/devices/vsock", "vsock is left out: Oya has none"},
	{"/domain/devices/shmem", "shared memory is left out: Oya has none"},
	{"/domain/devices/smartcard", "the smart card is left out: Oya has none"},
	{"/domain/devices/watchdog", "the watchdog is left out: Oya has none"},
	{"/domain/devices/rng", "the random number device is left out; the guest has its "
				"processor's"},
	{"/domain/os/kernel", "the VM starts a kernel of the old host's; here it starts from its "
			      "disk unless 'boot' is set"},
};

static void take_loader(struct domain *d, const char **attributes)
{
	const char *type = xml_attribute(attributes, "type");

	if (type && strcmp(type, "pflash") == 0)
		plan_refuse(d->plan, UEFI);
}

static void take_arch(struct domain *d, const char **attributes)
{
	const char *arch = xml_attribute(attributes, "arch");

	if (arch && strcmp(arch, "x86_64") != 0 && strcmp(arch, "i686") != 0)
		plan_refuse(d->plan,
			    "the VM is made for processors of the kind '%.32s'; Oya has x86-64 "
			    "only: install it anew",
			    arch);
}

static uint64_t unit_bytes(const char *unit)
{
	static const struct {
		const char *word;
		uint64_t bytes;
	} units[] = {
		{"b", 1},
		{"bytes", 1},
		{"KB", 1000},
		{"MB", 1000000},
		{"GB", 1000000000},
		{"TB", UINT64_C(1000000000000)},
		{"MiB", 1u << 20},
		{"M", 1u << 20},
		{"GiB", 1u << 30},
		{"G", 1u << 30},
		{"TiB", UINT64_C(1) << 40},
		{"T", UINT64_C(1) << 40},
	};

	for (size_t i = 0; unit && i < ARRAY_LEN(units); i++) {
		if (strcmp(unit, units[i].word) == 0)
			return units[i].bytes;
	}
	return 1024;
}

/* Below /domain/devices/disk. */
static void begin_in_disk(struct domain *d, const char *path, const char **attributes)
{
	struct disk *k = &d->disk;
	const char *source;

	if (strcmp(path, "driver") == 0) {
		copy(k->format, sizeof(k->format), xml_attribute(attributes, "type"));
	} else if (strcmp(path, "target") == 0) {
		copy(k->bus, sizeof(k->bus), xml_attribute(attributes, "bus"));
		copy(k->target, sizeof(k->target), xml_attribute(attributes, "dev"));
	} else if (strcmp(path, "source") == 0) {
		source = xml_attribute(attributes, "file");
		if (!source)
			source = xml_attribute(attributes, "dev");
		k->too_long = source && strlen(source) >= sizeof(k->path);
		copy(k->path, sizeof(k->path), source);
	} else if (strcmp(path, "backingStore/source") == 0) {
		k->chain = true;
	} else if (strcmp(path, "encryption") == 0 || strcmp(path, "source/encryption") == 0) {
		k->encrypted = true;
	}
}

static void begin_device(struct domain *d, const char *path, const char **attributes)
{
	const char *value;

	if (strcmp(path, "/domain/devices/disk") == 0) {
		memset(&d->disk, 0, sizeof(d->disk));
		copy(d->disk.type, sizeof(d->disk.type), xml_attribute(attributes, "type"));
		value = xml_attribute(attributes, "device");
		copy(d->disk.device, sizeof(d->disk.device), value ? value : "disk");
	} else if (strncmp(path, "/domain/devices/disk/", 21) == 0) {
		begin_in_disk(d, path + 21, attributes);
	} else if (strcmp(path, "/domain/devices/interface") == 0) {
		d->mac[0] = '\0';
	} else if (strcmp(path, "/domain/devices/interface/mac") == 0) {
		copy(d->mac, sizeof(d->mac), xml_attribute(attributes, "address"));
	}
}

static void on_begin(void *ctx, const char *path, const char **attributes)
{
	struct domain *d = ctx;
	const char *value;

	if (strcmp(path, "/domain") == 0) {
		d->domain = true;
	} else if (strcmp(path, "/domain/memory") == 0) {
		d->memory_unit = unit_bytes(xml_attribute(attributes, "unit"));
	} else if (strcmp(path, "/domain/os") == 0) {
		value = xml_attribute(attributes, "firmware");
		if (value && strcmp(value, "efi") == 0)
			plan_refuse(d->plan, UEFI);
	} else if (strcmp(path, "/domain/os/loader") == 0) {
		take_loader(d, attributes);
	} else if (strcmp(path, "/domain/os/type") == 0) {
		take_arch(d, attributes);
	} else {
		begin_device(d, path, attributes);
	}
	for (size_t i = 0; i < ARRAY_LEN(dropped); i++) {
		if (strcmp(path, dropped[i].path) == 0)
			plan_warn(d->plan, "%s", dropped[i].sentence);
	}
}

/* A disk of which nothing stands in the way in the description. */
static void add_disk(struct domain *d)
{
	const struct disk *k = &d->disk;
	enum format format = format_of_word(k->format);
	struct plan_disk *disk;

	if (k->format[0] && !format_is_image(format)) {
		plan_refuse(d->plan,
			    "the disk '%.64s' has the format '%.64s', which is not taken: convert "
			    "it by 'qemu-img convert -O qcow2' first",
			    k->target, k->format);
		return;
	}
	disk = plan_add_disk(d->plan, k->path);
	/* What libvirt does without a format: the image is a raw one. */
	if (disk)
		disk->format = k->format[0] ? format : FORMAT_RAW;
	if (disk && strcmp(k->bus, "scsi") != 0)
		plan_warn(
			d->plan,
			"the disk '%.64s' is on the bus '%.32s' and becomes SCSI of Hyper-V: the "
			"guest needs the driver hv_storvsc, and may know the disk by another name",
			k->target, k->bus[0] ? k->bus : "unknown");
}

static void end_disk(struct domain *d)
{
	const struct disk *k = &d->disk;

	if (strcmp(k->device, "cdrom") == 0 || strcmp(k->device, "floppy") == 0)
		plan_warn(d->plan, "CD and floppy drives are left out; add one by 'oya disk add' "
				   "when it is needed");
	else if (strcmp(k->type, "file") != 0 && strcmp(k->type, "block") != 0)
		plan_refuse(
			d->plan,
			"the disk '%.64s' is of the type '%.64s', not a file of this host: copy it "
			"into a file by 'qemu-img convert' on the old system first",
			k->target, k->type);
	else if (k->chain)
		plan_refuse(d->plan,
			    "the disk '%.64s' has a backing file, from which it differs only: make "
			    "one image of both by 'virsh blockcommit' on the old system first",
			    k->target);
	else if (k->encrypted)
		plan_refuse(d->plan,
			    "the disk '%.64s' is encrypted: decrypt it on the old system first",
			    k->target);
	else if (!k->path[0] || k->too_long)
		plan_refuse(d->plan,
			    "the disk '%.64s' has no file, or one whose path is too long: name a "
			    "shorter one",
			    k->target);
	else
		add_disk(d);
}

static void take_memory(struct domain *d, const char *text)
{
	uint64_t v = strtoull(text, NULL, 10), bytes;

	if (__builtin_mul_overflow(v, d->memory_unit, &bytes))
		bytes = UINT64_MAX;
	plan_set_memory(d->plan, bytes);
}

static void on_end(void *ctx, const char *path, const char *text)
{
	struct domain *d = ctx;

	if (strcmp(path, "/domain/name") == 0) {
		plan_set_name(d->plan, text);
	} else if (strcmp(path, "/domain/description") == 0) {
		plan_set_notes(d->plan, text);
	} else if (strcmp(path, "/domain/memory") == 0) {
		take_memory(d, text);
	} else if (strcmp(path, "/domain/vcpu") == 0) {
		plan_set_cpus(d->plan, strtoull(text, NULL, 10));
	} else if (strcmp(path, "/domain/os/loader") == 0) {
		/* Without a type it may still be a firmware for UEFI. */
		if (strstr(text, "OVMF") || strstr(text, "edk2"))
			plan_refuse(d->plan, UEFI);
	} else if (strcmp(path, "/domain/devices/disk") == 0) {
		end_disk(d);
	} else if (strcmp(path, "/domain/devices/interface") == 0) {
		plan_add_nic(d->plan, d->mac);
	}
}

int libvirt_decode(const char *text, size_t len, struct plan *p, struct failure *f)
{
	static const struct xml_calls calls = {on_begin, on_end};
	struct domain *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return fail(f, -ENOMEM, "cannot read the description: out of memory");
	d->plan = p;
	d->memory_unit = 1024;
	p->kind = PLAN_LIBVIRT;
	r = xml_parse(text, len, &calls, d, "the description", f);
	if (r == 0 && !d->domain)
		r = fail(f, -EINVAL, "the description is no domain of libvirt");
	free(d);
	return r;
}
