/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct boot: puts a kernel, a RAM disk and a command line into guest memory, and tells the
 * state in which the first processor starts.
 */
#ifndef OYA_WORKER_BOOT_H
#define OYA_WORKER_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/gmem.h"
#include "lib/fail.h"

struct boot_source {
	const char *kernel; /* path: bzImage or ELF */
	const char *initrd; /* path or NULL */
	const char *command_line;
	bool unpack;   /* decompress a bzImage here rather than in the guest */
	uint64_t rsdp; /* GPA of the ACPI root pointer */
};

/* The first processor starts in 64-bit mode with memory below 4 GiB mapped one to one. */
struct boot_entry {
	uint64_t rip;
	uint64_t rsi; /* GPA of the zero page */
	uint64_t cr3;
	uint64_t gdt;
	uint16_t gdt_limit;
};

#define BOOT_CODE_SELECTOR 0x10u
#define BOOT_DATA_SELECTOR 0x18u

/* The guest's memory must be all zeros. 0, or -errno and the sentence. */
int boot_load(const struct boot_source *source, const struct gmem *gm, struct boot_entry *ret_entry,
	      struct failure *f);

#endif
