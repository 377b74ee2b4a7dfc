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

/* The files of a guest, opened once: a reset reads them again, when paths may be out of reach. */
struct boot_files {
	int kernel, initrd; /* descriptors; initrd is -1 when there is none */
};

struct boot_source {
	const char *kernel; /* path: bzImage or ELF */
	const char *initrd; /* path or NULL */
	struct boot_files files;
	const char *command_line;
	bool unpack;   /* decompress a bzImage here rather than in the guest */
	uint64_t rsdp; /* GPA of the ACPI root pointer; boot_finish() has its own */
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

/* Opens and checks the files that the paths name. 0, or -errno and the sentence. */
int boot_open(const char *kernel, const char *initrd, struct boot_files *ret_files,
	      struct failure *f);
void boot_close(struct boot_files *files);

/* Loading in two steps, so that reading and decompressing the kernel, most of the time that a start
 * takes, goes on while the caller makes a partition. The guest's memory must be all zeros, and the
 * caller writes there only below 1 MiB until boot_finish() has returned. boot_end() waits for what
 * still goes on; it takes NULL. What `source` points to stays until then. 0, or -errno and the
 * sentence. */
struct boot_load;
int boot_begin(const struct boot_source *source, const struct gmem *gm, struct boot_load **ret_load,
	       struct failure *f);
int boot_finish(struct boot_load *load, uint64_t rsdp, struct boot_entry *ret_entry,
		struct failure *f);
void boot_end(struct boot_load *load);

/* All of it at once; source->rsdp counts. */
int boot_load(const struct boot_source *source, const struct gmem *gm, struct boot_entry *ret_entry,
	      struct failure *f);

#endif
