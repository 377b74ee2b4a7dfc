/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/boot_info.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

#define HEAD_BYTES 8u /* total length and a reserved word come first */

/* A text that ends within len bytes. */
static int take_text(const uint8_t *from, size_t len, char *to)
{
	for (size_t i = 0; i < len; i++) {
		if (i == BOOT_LINE_MAX)
			return -E2BIG;
		to[i] = (char)from[i];
		if (!from[i])
			return 0;
	}
	return -EBADMSG;
}

static int take_module(const uint8_t *at, size_t len, struct boot_info *info)
{
	struct boot_module *module = &info->module[info->module_count];
	struct multiboot2_module m;

	if (len < sizeof(m))
		return -EBADMSG;
	if (info->module_count == BOOT_MODULES_MAX)
		return -E2BIG;
	memcpy(&m, at, sizeof(m));
	if (m.end < m.start)
		return -EBADMSG;
	module->start = m.start;
	module->len = m.end - m.start;
	info->module_count++;
	return take_text(at + sizeof(m), len - sizeof(m), module->line);
}

static int take_memory_map(const uint8_t *at, size_t len, struct boot_info *info)
{
	struct multiboot2_memory_map head;
	struct multiboot2_memory m;

	if (len < sizeof(head))
		return -EBADMSG;
	memcpy(&head, at, sizeof(head));
	if (head.entry_len < sizeof(m))
		return -EBADMSG;
	for (size_t i = sizeof(head); range_within(i, head.entry_len, len); i += head.entry_len) {
		memcpy(&m, at + i, sizeof(m));
		if (!m.len || m.base + m.len < m.base)
			continue;
		if (info->range_count == BOOT_RANGES_MAX)
			return -E2BIG;
		info->range[info->range_count++] = (struct boot_range){m.base, m.len, m.type};
	}
	return 0;
}

static int take_efi_map(const uint8_t *at, size_t len, struct boot_info *info)
{
	struct multiboot2_efi_memory_map head;

	if (len < sizeof(head))
		return -EBADMSG;
	memcpy(&head, at, sizeof(head));
	len -= sizeof(head);
	if (len > BOOT_EFI_MAP_MAX)
		return -E2BIG;
	info->efi_descriptor_len = head.descriptor_len;
	info->efi_descriptor_version = head.descriptor_version;
	info->efi_map_len = (uint32_t)len;
	memcpy(info->efi_map, at + sizeof(head), len);
	return 0;
}

static void take_rsdp(const uint8_t *at, size_t len, struct boot_info *info)
{
	/* The newer table comes after the older one and counts. */
	info->rsdp_len = (uint32_t)min_u64(len, sizeof(info->rsdp));
	memcpy(info->rsdp, at, info->rsdp_len);
}

static int take_tag(uint32_t type, const uint8_t *at, size_t len, struct boot_info *info)
{
	const size_t head = sizeof(struct multiboot2_tag);
	struct multiboot2_efi64 efi;

	switch (type) {
	case MULTIBOOT2_TAG_COMMAND_LINE:
		return take_text(at + head, len - head, info->line);
	case MULTIBOOT2_TAG_MODULE:
		return take_module(at, len, info);
	case MULTIBOOT2_TAG_MEMORY_MAP:
		return take_memory_map(at, len, info);
	case MULTIBOOT2_TAG_EFI_MEMORY_MAP:
		return take_efi_map(at, len, info);
	case MULTIBOOT2_TAG_RSDP_OLD:
	case MULTIBOOT2_TAG_RSDP_NEW:
		take_rsdp(at + head, len - head, info);
		return 0;
	case MULTIBOOT2_TAG_EFI64:
		if (len < sizeof(efi))
			return -EBADMSG;
		memcpy(&efi, at, sizeof(efi));
		info->efi_system_table = efi.system_table;
		return 0;
	case MULTIBOOT2_TAG_FRAMEBUFFER:
		memcpy(&info->framebuffer, at, min_u64(len, sizeof(info->framebuffer)));
		return 0;
	default:
		return 0;
	}
}

int boot_info_decode(const uint8_t *tags, size_t len, struct boot_info *info)
{
	struct multiboot2_tag tag;
	size_t at = HEAD_BYTES;

	memset(info, 0, sizeof(*info));
	while (range_within(at, sizeof(tag), len)) {
		int r;

		memcpy(&tag, tags + at, sizeof(tag));
		if (tag.type == MULTIBOOT2_TAG_END)
			return 0;
		if (tag.len < sizeof(tag) || !range_within(at, tag.len, len))
			return -EBADMSG;
		r = take_tag(tag.type, tags + at, tag.len, info);
		if (r < 0)
			return r;
		at += align_up(tag.len, MULTIBOOT2_TAG_ALIGN);
	}
	return -EBADMSG;
}
