/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "import/format.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"

#define HEAD_BYTES 512u
#define VPC_FOOTER_BYTES 512u

static const char *const words[] = {
	[FORMAT_RAW] = "raw",   [FORMAT_QCOW2] = "qcow2",     [FORMAT_VMDK] = "vmdk",
	[FORMAT_VHDX] = "vhdx", [FORMAT_VPC] = "vpc",         [FORMAT_OVA] = "ova",
	[FORMAT_OVF] = "ovf",   [FORMAT_LIBVIRT] = "libvirt",
};

const char *format_word(enum format format)
{
	return (unsigned)format < ARRAY_LEN(words) && words[format] ? words[format] : "unknown";
}

enum format format_of_word(const char *word)
{
	for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
		if (words[i] && strcmp(word, words[i]) == 0)
			return (enum format)i;
	}
	return strcmp(word, "vhd") == 0 ? FORMAT_VPC : FORMAT_NONE;
}

bool format_is_image(enum format format)
{
	return format >= FORMAT_RAW && format <= FORMAT_VPC;
}

/* What stands at a place of the first bytes. */
struct magic {
	uint16_t at, len;
	const char *bytes;
	enum format format;
	const char *refusal; /* of what is known and not taken */
};

#define COMPRESSED "is compressed: unpack it first"
#define FOREIGN "has a format that is not taken: convert it by 'qemu-img convert -O qcow2' first"
#define LOCKED "is encrypted: decrypt it on the old system first"

static const struct magic magics[] = {
	{0, 4, "QFI\xfb", FORMAT_QCOW2, NULL},
	{0, 4, "KDMV", FORMAT_VMDK, NULL},
	{0, 21, "# Disk DescriptorFile", FORMAT_VMDK, NULL},
	{0, 8, "vhdxfile", FORMAT_VHDX, NULL},
	{0, 8, "conectix", FORMAT_VPC, NULL},
	{257, 5, "ustar", FORMAT_OVA, NULL},
	{0, 5, "<?xml", FORMAT_XML, NULL},
	{0, 8, "\xef\xbb\xbf<?xml", FORMAT_XML, NULL},
	{0, 7, "<domain", FORMAT_XML, NULL},
	{0, 9, "<Envelope", FORMAT_XML, NULL},
	{0, 13, "<ovf:Envelope", FORMAT_XML, NULL},
	{0, 4, "<!--", FORMAT_XML, NULL}, /* as files below /etc/libvirt begin */
	{0, 4, "COWD", FORMAT_NONE, FOREIGN},
	{0, 4, "QED\0", FORMAT_NONE, FOREIGN},
	{64, 4, "\x7f\x10\xda\xbe", FORMAT_NONE, FOREIGN}, /* VirtualBox's VDI */
	{0, 16, "WithoutFreeSpace", FORMAT_NONE, FOREIGN}, /* Parallels */
	{0, 16, "WithouFreSpacExt", FORMAT_NONE, FOREIGN},
	{0, 6, "LUKS\xba\xbe", FORMAT_NONE, LOCKED},
	{0, 3, "\x1f\x8b\x08", FORMAT_NONE, COMPRESSED},
	{0, 6,
	 "\xfd"
	 "7zXZ\0",
	 FORMAT_NONE, COMPRESSED},
	{0, 4, "\x28\xb5\x2f\xfd", FORMAT_NONE, COMPRESSED},
	{0, 4, "PK\x03\x04", FORMAT_NONE, COMPRESSED},
	{0, 6, "7z\xbc\xaf\x27\x1c", FORMAT_NONE, COMPRESSED},
};

static bool is_fixed_vpc(const struct source *s)
{
	char footer[8];

	return s->size > VPC_FOOTER_BYTES &&
	       source_read(s, s->size - VPC_FOOTER_BYTES, footer, sizeof(footer)) == 0 &&
	       memcmp(footer, "conectix", 8) == 0;
}

int format_of(const struct source *s, const char *name, enum format *ret_format, struct failure *f)
{
	uint8_t head[HEAD_BYTES] = {0};
	int r = source_read(s, 0, head, (size_t)min_u64(s->size, sizeof(head)));

	if (r < 0)
		return fail(f, r, "cannot read %s: %s", name, strerror(-r));
	if (s->size == 0)
		return fail(f, -EINVAL, "%s is empty", name);
	for (size_t i = 0; i < ARRAY_LEN(magics); i++) {
		const struct magic *m = &magics[i];

		if (memcmp(head + m->at, m->bytes, m->len) != 0)
			continue;
		if (m->refusal)
			return fail(f, -EINVAL, "%s %s", name, m->refusal);
		*ret_format = m->format;
		return 0;
	}
	*ret_format = is_fixed_vpc(s) ? FORMAT_VPC : FORMAT_RAW;
	return 0;
}

/*
 * qcow2, big endian
 * at  0 magic    at  4 version          at  8 where the backing file's name is    at 32 encryption
 * at 60 snapshots  at 72 features that a reader must know (version 3)
 */
#define QCOW2_BYTES 104u
#define QCOW2_CORRUPT UINT64_C(2)
#define QCOW2_DATA_FILE UINT64_C(4)

static int qcow2_inspect(const struct source *s, const char *name, struct inspection *ret,
			 struct failure *f)
{
	uint8_t h[QCOW2_BYTES] = {0};
	int r = source_read(s, 0, h, (size_t)min_u64(s->size, sizeof(h)));
	uint32_t version = be32_load(h + 4);
	uint64_t features = version >= 3 ? be64_load(h + 72) : 0;

	if (r < 0 || s->size < 72 || memcmp(h, "QFI\xfb", 4) != 0)
		return fail(f, -EINVAL, "%s is no qcow2 image", name);
	if (version != 2 && version != 3)
		return fail(f, -EINVAL,
			    "%s is a qcow image of version %u, which is not taken: convert it by "
			    "'qemu-img convert -O qcow2' first",
			    name, version);
	if (be64_load(h + 8) != 0)
		return fail(f, -EINVAL,
			    "%s has a backing file, from which it differs only: make one image of "
			    "both by 'qemu-img convert -O qcow2' on the old system first",
			    name);
	if (be32_load(h + 32) != 0)
		return fail(f, -EINVAL, "%s " LOCKED, name);
	if (features & QCOW2_DATA_FILE)
		return fail(f, -EINVAL,
			    "%s has its data in another file: make one image of both by 'qemu-img "
			    "convert -O qcow2' on the old system first",
			    name);
	if (features & QCOW2_CORRUPT)
		return fail(f, -EINVAL, "%s is marked as damaged: repair it by 'qemu-img check -r'",
			    name);
	ret->snapshots = be32_load(h + 60) != 0;
	return 0;
}

/* VHD, big endian: the footer has at 60 what it is: 2 fixed, 3 dynamic, 4 a difference. */
#define VPC_DIFFERENCING 4u

static int vpc_inspect(const struct source *s, const char *name, struct failure *f)
{
	uint8_t footer[VPC_FOOTER_BYTES] = {0};
	int r = -EINVAL;

	if (s->size >= sizeof(footer))
		r = source_read(s, 0, footer, sizeof(footer));
	if (r == 0 && memcmp(footer, "conectix", 8) != 0)
		r = source_read(s, s->size - sizeof(footer), footer, sizeof(footer));
	if (r < 0 || memcmp(footer, "conectix", 8) != 0)
		return fail(f, -EINVAL, "%s is no VHD image", name);
	if (be32_load(footer + 60) == VPC_DIFFERENCING)
		return fail(f, -EINVAL,
			    "%s is a checkpoint, which differs from another image only: merge it "
			    "on the old system first",
			    name);
	return 0;
}

int format_inspect(const struct source *s, enum format format, const char *name,
		   struct inspection *ret_inspection, struct failure *f)
{
	memset(ret_inspection, 0, sizeof(*ret_inspection));
	switch (format) {
	case FORMAT_RAW:
		return 0;
	case FORMAT_QCOW2:
		return qcow2_inspect(s, name, ret_inspection, f);
	case FORMAT_VMDK:
		return vmdk_inspect(s, name, ret_inspection, f);
	case FORMAT_VHDX:
		return vhdx_inspect(s, name, f);
	case FORMAT_VPC:
		return vpc_inspect(s, name, f);
	case FORMAT_NONE:
	case FORMAT_OVA:
	case FORMAT_OVF:
	case FORMAT_LIBVIRT:
	case FORMAT_XML:
	default:
		return fail(f, -EINVAL, "%s is no disk image", name);
	}
}
