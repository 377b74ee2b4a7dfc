/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A foreign file at the import, before qemu-img sees it: the input is taken as an image of each
 * format, as a tar file, and as one file of a VMDK. When it begins as a VHDX, its halves are what
 * stands at the places of that format's two tables.
 *
 * Checked: members of a tar lie within it; files that a VMDK names are in its own folder; what is
 * refused comes with a sentence.
 */
#include <string.h>

#include "base/util.h"
#include "fuzz/harness.h"
#include "import/ovf.h"

#define REGIONS (192u << 10)
#define METADATA (256u << 10)
#define VHDX_BYTES (384u << 10)
#define HALF_MAX (64u << 10)

static struct inspection found;
static struct plan plan;

static void inspect(const struct source *s)
{
	for (unsigned i = FORMAT_NONE; i <= FORMAT_XML; i++) {
		struct failure f = {""};

		if (format_inspect(s, (enum format)i, "it", &found, &f) < 0) {
			must(f.text[0]);
			continue;
		}
		must(format_is_image((enum format)i) && found.extent_count <= FORMAT_EXTENTS_MAX);
		for (unsigned k = 0; k < found.extent_count; k++)
			must(found.extents[k].name[0] && found.extents[k].name[0] != '.' &&
			     !strpbrk(found.extents[k].name, "/:"));
	}
}

static void read_tar(const struct source *s)
{
	struct tar_member m;
	struct failure f = {""};
	uint64_t at = 0;

	while (tar_next(s, &at, &m) == 1)
		must(range_within(m.offset, m.length, s->size) && strlen(m.name) < sizeof(m.name));
	memset(&plan, 0, sizeof(plan));
	if (ova_decode(s, &plan, &f) < 0)
		must(f.text[0]);
	for (unsigned i = 0; i < plan.disk_count && !f.text[0]; i++)
		must(plan.disks[i].length &&
		     range_within(plan.disks[i].offset, plan.disks[i].length, s->size));
}

static void read_vhdx(const uint8_t *data, size_t size)
{
	static uint8_t image[VHDX_BYTES];
	struct source s = source_of_memory(image, sizeof(image));
	size_t half = (size_t)min_u64(size / 2, HALF_MAX);
	struct failure f = {""};

	memcpy(image, "vhdxfile", 8);
	memcpy(image + REGIONS, data, half);
	memcpy(image + METADATA, data + half, half);
	if (vhdx_inspect(&s, "it", &f) < 0)
		must(f.text[0]);
	memset(image + REGIONS, 0, half);
	memset(image + METADATA, 0, half);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct source s = source_of_memory(data, size);
	struct failure f = {""};
	enum format format = FORMAT_NONE;

	if (format_of(&s, "it", &format, &f) < 0)
		must(f.text[0]);
	else
		must(format != FORMAT_NONE);
	inspect(&s);
	vmdk_extent_check(&s);
	read_tar(&s);
	if (size > 8 && memcmp(data, "vhdxfile", 8) == 0)
		read_vhdx(data + 8, size - 8);
	return 0;
}
