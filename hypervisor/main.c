/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oya-hv: from the boot loader to the parent partition.
 */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "abi/linux_boot.h"
#include "abi/multiboot2.h"
#include "base/bytes.h"
#include "hypervisor/boot_info.h"
#include "hypervisor/child.h"
#include "hypervisor/cpu.h"
#include "hypervisor/frames.h"
#include "hypervisor/iommu.h"
#include "hypervisor/load.h"
#include "hypervisor/log.h"
#include "hypervisor/memory.h"
#include "hypervisor/panic.h"
#include "hypervisor/parent.h"
#include "hypervisor/virt.h"
#include "hypervisor/x86.h"

#define LOG_PAGES 4u
#define INFO_BYTES_MAX (64u << 10)
#define COM1 0x3F8u

void hv_main(uint32_t magic, uint32_t info_at, uint64_t load_base);

static bool has_word(const char *line, const char *word)
{
	size_t len = 0;

	while (word[len])
		len++;
	while (*line) {
		if (memcmp(line, word, len) == 0 && (line[len] == ' ' || !line[len]))
			return true;
		while (*line && *line != ' ')
			line++;
		while (*line == ' ')
			line++;
	}
	return false;
}

/* All memory is the parent's, but ours. */
static void init_frames(const struct boot_info *info, const struct load *load)
{
	frames_init(physical_to_pointer(load->frames_at), load->memory_end);
	for (unsigned i = 0; i < info->range_count; i++) {
		if (info->range[i].type == E820_RAM)
			frames_add(info->range[i].start, info->range[i].len);
	}
	(void)frames_take(load->frames_at, load->frames_len);
	(void)frames_take(load->low_page, PAGE_BYTES);
	(void)frames_take(hv_physical_start(), HV_BYTES);
}

void hv_main(uint32_t magic, uint32_t info_at, uint64_t load_base)
{
	static struct boot_info info;
	const uint8_t *tags = physical_to_pointer(info_at);
	const char *sentence;
	struct load load;
	struct cpu *cpu;
	void *ring;
	int r;

	memory_init(load_base);
	ring = pool_take(LOG_PAGES);
	log_init(ring, LOG_PAGES * PAGE_BYTES, COM1);
	if (magic != MULTIBOOT2_BOOT_MAGIC)
		panic("not started by a boot loader that follows Multiboot2");
	r = boot_info_decode(tags, le32_load(tags) < INFO_BYTES_MAX ? le32_load(tags) : 0, &info);
	log_init(ring, LOG_PAGES * PAGE_BYTES, has_word(info.line, "serial") ? COM1 : 0);
	log_line("version " OYA_VERSION ", %u KiB at %lx", HV_BYTES >> 10, load_base);
	if (r < 0)
		panic("the boot loader's information cannot be read: error %u", (unsigned)-r);
	sentence = virt_choose();
	if (sentence)
		panic("%s", sentence);
	cpu = cpu_init_first();
	if (!cpu)
		panic("no memory for the first processor");
	sentence = load_parent(&info, iommu_find(&info), &load);
	if (sentence)
		panic("%s", sentence);
	if (memory_map(load.memory_end) < 0)
		panic("no memory for the map of it");
	if (load.memory_top > load.memory_end)
		log_line("memory above %lx is the parent's alone: children have none of it",
			 load.memory_end);
	panic_keep_in(load.low_page);
	cpu_set_start_page(load.low_page);
	if (has_word(info.line, "panic=test"))
		parent_want_panic();
	init_frames(&info, &load);
	if (child_init() < 0 || parent_init(&load, ring, LOG_PAGES * PAGE_BYTES) < 0)
		panic("no memory for the parent's tables");
	if (iommu_start(load.devices_at, parent_tables()) < 0)
		panic("no memory for what the IOMMU needs");
	parent_set_entry(cpu, load.entry, load.zero_page);
	log_line("the parent starts at %lx, %u pages are left", (uint64_t)load.entry, pool_left());
	parent_run(cpu);
}
