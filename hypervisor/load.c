/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Spec: Linux Documentation/x86/boot.rst and zero-page.rst, 32-bit protocol.
 */
#include "hypervisor/load.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "abi/linux_boot.h"
#include "base/bytes.h"
#include "base/bzimage.h"
#include "base/util.h"
#include "hypervisor/frames.h"
#include "hypervisor/memory.h"
#include "hypervisor/x86.h"

#define LOW_END 0xA0000u
#define LOW_START 0x1000u
#define KERNEL_MIN 0x100000u
#define FOUR_GIB (UINT64_C(1) << 32)
#define TAKEN_MAX 8u
#define TEXT_COLUMNS 80u
#define TEXT_LINES 25u
#define TEXT_POINTS 16u

struct span {
	uint64_t start, len;
};

/* Where nothing may be put any more. */
struct places {
	const struct boot_info *info;
	unsigned count;
	struct span taken[TAKEN_MAX];
};

static bool overlap(struct span a, struct span b)
{
	return a.start < b.start + b.len && b.start < a.start + a.len;
}

static void take(struct places *p, uint64_t start, uint64_t len)
{
	p->taken[p->count++] = (struct span){start, len};
}

static const struct span *hit(const struct places *p, struct span want)
{
	for (unsigned i = 0; i < p->count; i++) {
		if (overlap(p->taken[i], want))
			return &p->taken[i];
	}
	return NULL;
}

/* Whether all of it is RAM and free. */
static bool is_free(const struct places *p, struct span want)
{
	for (unsigned i = 0; i < p->info->range_count; i++) {
		const struct boot_range *r = &p->info->range[i];

		if (r->type == E820_RAM && want.start >= r->start &&
		    range_within(want.start - r->start, want.len, r->len))
			return !hit(p, want);
	}
	return false;
}

/* The highest free place within [min, max), taken; 0: none. */
static uint64_t find(struct places *p, uint64_t len, uint64_t align, uint64_t min, uint64_t max)
{
	uint64_t best = 0;

	for (unsigned i = 0; i < p->info->range_count; i++) {
		const struct boot_range *r = &p->info->range[i];
		uint64_t low = r->start > min ? r->start : min;
		uint64_t top = min_u64(r->start + r->len, max);
		const struct span *in_the_way = NULL;

		do {
			struct span want = {0, len};

			if (in_the_way)
				top = min_u64(top, in_the_way->start);
			if (r->type != E820_RAM || top < low || top - low < len)
				break;
			want.start = (top - len) & ~(align - 1);
			if (want.start < low)
				break;
			in_the_way = hit(p, want);
			if (!in_the_way && want.start > best)
				best = want.start;
		} while (in_the_way);
	}
	if (best)
		take(p, best, len);
	return best;
}

static void add_range(uint8_t *zero_page, uint64_t start, uint64_t len, uint32_t type)
{
	uint8_t *count = zero_page + ZERO_PAGE_E820_COUNT;
	uint8_t *e = zero_page + ZERO_PAGE_E820 + *count * E820_ENTRY_BYTES;

	if (!len || *count == ZERO_PAGE_E820_MAX)
		return;
	le64_store(e, start);
	le64_store(e + 8, len);
	le32_store(e + 16, type);
	++*count;
}

/* The map of memory, with holes where we are. */
static void add_ranges(uint8_t *zero_page, const struct boot_info *info, const struct span *holes,
		       unsigned count)
{
	for (unsigned i = 0; i < info->range_count; i++) {
		const struct boot_range *r = &info->range[i];
		uint64_t at = r->start, end = r->start + r->len;

		/* The holes are in order. */
		for (unsigned h = 0; r->type == E820_RAM && h < count; h++) {
			if (!overlap(holes[h], (struct span){at, end - at}))
				continue;
			add_range(zero_page, at, holes[h].start - at, r->type);
			add_range(zero_page, holes[h].start, holes[h].len, E820_RESERVED);
			at = holes[h].start + holes[h].len;
		}
		add_range(zero_page, at, end - at, r->type);
	}
}

static void add_video(uint8_t *z, const struct multiboot2_framebuffer *f)
{
	const uint8_t colours[] = {f->red_bits, f->red_at,    f->green_bits,
				   f->green_at, f->blue_bits, f->blue_at};

	if (!f->tag.len || f->kind == MULTIBOOT2_FRAMEBUFFER_TEXT) {
		z[ZERO_PAGE_VIDEO_KIND] = VIDEO_KIND_TEXT;
		z[ZERO_PAGE_VIDEO_COLUMNS] = f->tag.len ? (uint8_t)f->width : TEXT_COLUMNS;
		z[ZERO_PAGE_VIDEO_LINES] = f->tag.len ? (uint8_t)f->height : TEXT_LINES;
		z[ZERO_PAGE_VIDEO_POINTS] = TEXT_POINTS;
	} else if (f->kind == MULTIBOOT2_FRAMEBUFFER_RGB) {
		z[ZERO_PAGE_VIDEO_KIND] = VIDEO_KIND_EFI;
		le16_store(z + ZERO_PAGE_LFB_WIDTH, (uint16_t)f->width);
		le16_store(z + ZERO_PAGE_LFB_HEIGHT, (uint16_t)f->height);
		le16_store(z + ZERO_PAGE_LFB_DEPTH, f->bits_per_pixel);
		le32_store(z + ZERO_PAGE_LFB_BASE, (uint32_t)f->address);
		le32_store(z + ZERO_PAGE_LFB_BASE_HIGH, (uint32_t)(f->address >> 32));
		le32_store(z + ZERO_PAGE_LFB_CAPABILITIES, VIDEO_LFB_64_BIT_BASE);
		le32_store(z + ZERO_PAGE_LFB_BYTES, f->pitch * f->height);
		le16_store(z + ZERO_PAGE_LFB_PITCH, (uint16_t)f->pitch);
		memcpy(z + ZERO_PAGE_LFB_COLOURS, colours, sizeof(colours));
	}
}

static void add_efi(uint8_t *z, const struct boot_info *info, uint64_t map)
{
	le32_store(z + ZERO_PAGE_EFI_SIGNATURE, EFI_SIGNATURE_64);
	le32_store(z + ZERO_PAGE_EFI_SYSTEM_TABLE, (uint32_t)info->efi_system_table);
	le32_store(z + ZERO_PAGE_EFI_SYSTEM_TABLE_HIGH, (uint32_t)(info->efi_system_table >> 32));
	le32_store(z + ZERO_PAGE_EFI_DESCRIPTOR_BYTES, info->efi_descriptor_len);
	le32_store(z + ZERO_PAGE_EFI_DESCRIPTOR_VERSION, info->efi_descriptor_version);
	le32_store(z + ZERO_PAGE_EFI_MAP, (uint32_t)map);
	le32_store(z + ZERO_PAGE_EFI_MAP_HIGH, (uint32_t)(map >> 32));
	le32_store(z + ZERO_PAGE_EFI_MAP_BYTES, info->efi_map_len);
}

/* Everything that the kernel is told lies in one run of pages: the zero page, the command line,
 * then the firmware's map, if there is one. */
#define TOLD_LINE PAGE_BYTES
#define TOLD_EFI_MAP (2 * PAGE_BYTES)
#define TOLD_BYTES (TOLD_EFI_MAP + BOOT_EFI_MAP_MAX)

static uint64_t place_kernel(struct places *p, const struct bzimage *image, const uint8_t *file)
{
	uint64_t align = le32_load(file + SETUP_ALIGNMENT);
	struct span want = {image->preferred, image->init_bytes > image->code_len
						      ? image->init_bytes
						      : image->code_len};

	if (want.start >= KERNEL_MIN && want.start + want.len <= FOUR_GIB && is_free(p, want)) {
		take(p, want.start, want.len);
		return want.start;
	}
	if (!align || (align & (align - 1)))
		align = PAGE_2M;
	return find(p, want.len, align, KERNEL_MIN, FOUR_GIB);
}

/* Where everything goes. */
struct plan {
	struct bzimage image;
	uint64_t low, kernel, initrd, told, frames, frames_len, devices_len, memory_end, memory_top;
};

/* The initrd must not be where the kernel goes; the kernel may be moved onto itself. */
static bool plan_initrd(struct places *p, struct plan *plan, const struct boot_module *initrd)
{
	uint64_t max = min_u64(FOUR_GIB, (uint64_t)plan->image.ramdisk_max + 1);
	struct span now = {initrd->start, initrd->len};

	if (hit(p, now) || now.start + now.len > max) {
		plan->initrd = find(p, now.len, PAGE_BYTES, KERNEL_MIN, max);
	} else {
		plan->initrd = now.start;
		take(p, now.start, now.len);
	}
	return plan->initrd != 0;
}

static uint64_t memory_top(const struct boot_info *info)
{
	uint64_t end = 0;

	for (unsigned i = 0; i < info->range_count; i++) {
		const struct boot_range *r = &info->range[i];

		if (r->type == E820_RAM && r->start + r->len > end)
			end = r->start + r->len;
	}
	return end;
}

/* NULL, or the sentence. */
static const char *plan_places(const struct boot_info *info, struct plan *plan)
{
	const struct boot_module *kernel = &info->module[0];
	const uint8_t *file = physical_to_pointer(kernel->start);
	struct places p = {.info = info};

	take(&p, hv_physical_start(), HV_BYTES);
	plan->low = find(&p, PAGE_BYTES, PAGE_BYTES, LOW_START, LOW_END);
	plan->kernel = place_kernel(&p, &plan->image, file);
	if (!plan->low || !plan->kernel)
		return "there is no room in memory for the parent's kernel";
	take(&p, kernel->start, kernel->len);
	if (info->module_count > 1 && !plan_initrd(&p, plan, &info->module[1]))
		return "there is no room in memory for the parent's initrd";
	plan->told = find(&p, TOLD_BYTES, PAGE_BYTES, LOW_START, FOUR_GIB);
	plan->memory_top = memory_top(info);
	plan->memory_end = min_u64(plan->memory_top, PHYSICAL_BYTES);
	plan->frames_len = align_up(frames_bytes(plan->memory_end) + plan->devices_len, PAGE_BYTES);
	plan->frames = find(&p, plan->frames_len, PAGE_2M, KERNEL_MIN, PHYSICAL_BYTES);
	if (!plan->frames)
		return "there is no room in memory for the table of its pages";
	if (!plan->told)
		return "there is no room in memory for what the parent's kernel is told";
	return NULL;
}

static void sort(struct span *spans, unsigned count)
{
	for (unsigned i = 1; i < count; i++) {
		struct span s = spans[i];
		unsigned at = i;

		for (; at > 0 && spans[at - 1].start > s.start; at--)
			spans[at] = spans[at - 1];
		spans[at] = s;
	}
}

static void tell(const struct boot_info *info, const struct plan *plan)
{
	const uint8_t *file = physical_to_pointer(info->module[0].start);
	struct span holes[] = {
		{plan->low, PAGE_BYTES},
		{hv_physical_start(), HV_BYTES},
		{plan->frames, plan->frames_len},
	};
	uint8_t *z = physical_to_pointer(plan->told);

	memset(z, 0, TOLD_BYTES);
	memcpy(z + SETUP_SECTORS, file + SETUP_SECTORS, plan->image.header_len);
	z[SETUP_LOADER_TYPE] = SETUP_LOADER_UNDEFINED;
	z[SETUP_LOAD_FLAGS] |= SETUP_LOADED_HIGH;
	le32_store(z + SETUP_CODE_AT, (uint32_t)plan->kernel);
	le32_store(z + SETUP_COMMAND_LINE, (uint32_t)(plan->told + TOLD_LINE));
	memcpy(z + TOLD_LINE, info->module[0].line, BOOT_LINE_MAX);
	if (plan->initrd) {
		le32_store(z + SETUP_RAMDISK, (uint32_t)plan->initrd);
		le32_store(z + SETUP_RAMDISK_BYTES, (uint32_t)info->module[1].len);
	}
	add_video(z, &info->framebuffer);
	if (info->efi_system_table) {
		memcpy(z + TOLD_EFI_MAP, info->efi_map, info->efi_map_len);
		add_efi(z, info, plan->told + TOLD_EFI_MAP);
	}
	sort(holes, ARRAY_LEN(holes));
	add_ranges(z, info, holes, ARRAY_LEN(holes));
}

const char *load_parent(const struct boot_info *info, uint64_t devices_len, struct load *ret_load)
{
	const uint8_t *file = physical_to_pointer(info->module[0].start);
	const char *sentence;
	struct plan plan = {.devices_len = devices_len};
	int r;

	if (!info->module_count)
		return "the boot entry names no kernel for the parent";
	r = bzimage_decode(file, info->module[0].len, &plan.image);
	if (r == -ENOTSUP)
		return "the parent's kernel is not for 64-bit x86, or older than Linux 3.8";
	if (r < 0)
		return "the parent's kernel is damaged, or the boot loader has unpacked it";
	sentence = plan_places(info, &plan);
	if (sentence)
		return sentence;
	/* The initrd first: the kernel may go where it was. */
	if (plan.initrd)
		memmove(physical_to_pointer(plan.initrd),
			physical_to_pointer(info->module[1].start), info->module[1].len);
	tell(info, &plan);
	memmove(physical_to_pointer(plan.kernel), file + plan.image.code_at, plan.image.code_len);
	*ret_load = (struct load){
		.entry = (uint32_t)plan.kernel,
		.zero_page = (uint32_t)plan.told,
		.low_page = (uint32_t)plan.low,
		.frames_at = plan.frames,
		.frames_len = plan.frames_len,
		.devices_at = plan.frames + frames_bytes(plan.memory_end),
		.memory_end = plan.memory_end,
		.memory_top = plan.memory_top,
	};
	return NULL;
}
