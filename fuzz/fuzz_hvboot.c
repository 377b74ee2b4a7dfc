/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the hypervisor decodes: the boot loader's tags, and instructions of the parent's. Checked:
 * what comes out lies within what went in.
 */
#include <string.h>

#include "fuzz/harness.h"
#include "hypervisor/boot_info.h"
#include "hypervisor/decode.h"

static void try_tags(const uint8_t *data, size_t size)
{
	static struct boot_info info;

	if (boot_info_decode(data, size, &info) < 0)
		return;
	must(info.range_count <= BOOT_RANGES_MAX && info.module_count <= BOOT_MODULES_MAX);
	must(memchr(info.line, '\0', sizeof(info.line)) != NULL);
	for (unsigned i = 0; i < info.module_count; i++)
		must(memchr(info.module[i].line, '\0', BOOT_LINE_MAX) != NULL);
	for (unsigned i = 0; i < info.range_count; i++)
		must(info.range[i].len &&
		     info.range[i].start + info.range[i].len > info.range[i].start);
	must(info.rsdp_len <= sizeof(info.rsdp) && info.efi_map_len <= sizeof(info.efi_map));
}

static void try_access(const uint8_t *data, size_t size, unsigned code_bits)
{
	struct access a = access_decode(data, size, code_bits);
	uint64_t general[16] = {0};

	must(a.len <= size && a.len <= INSTRUCTION_MAX && a.reg < 16);
	if (!a.len)
		return;
	must(a.bytes == 1 || a.bytes == 2 || a.bytes == 4 || a.bytes == 8);
	(void)access_offset(&a, general, size);
	(void)access_stored(&a, general);
	if (!a.write)
		access_load(&a, general, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (unsigned bits = 16; bits <= 64; bits *= 2)
		try_access(data, size, bits);
	try_tags(data, size);
	return 0;
}
