/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a foreign VM is to become: filled by the decoders (ovf.c, libvirt.c), completed by disks.c,
 * printed as JSON (docs/format/import.md). It has no pointers: it comes out of a confined process
 * by shared memory, and is hostile until plan_check() has gone over it.
 *
 * Invariants, which plan_check() makes true: texts end within their fields and are UTF-8 without
 * control characters, but for lines and tabs in notes; counts are within their limits.
 */
#ifndef OYA_IMPORT_PLAN_H
#define OYA_IMPORT_PLAN_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "import/format.h"
#include "lib/fail.h"

#define PLAN_NAME_MAX 63u
#define PLAN_NOTES_MAX 4096u
#define PLAN_DISKS_MAX 64u
#define PLAN_NICS_MAX 64u
#define PLAN_SENTENCES_MAX 64u
#define PLAN_CPUS_MAX 64u
#define PLAN_MEMORY_MIN_MIB 32u
#define PLAN_MEMORY_MAX_MIB (4u << 20)

enum plan_kind { PLAN_IMAGE, PLAN_OVA, PLAN_OVF, PLAN_LIBVIRT };

struct plan_disk {
	char source[PATH_MAX]; /* as the description has it, until it is resolved */
	enum format format;    /* FORMAT_NONE: to be found out */
	uint64_t offset, length, bytes;
};

struct plan_nic {
	char mac[18]; /* "": any */
};

struct sentences {
	unsigned count;
	char texts[PLAN_SENTENCES_MAX][FAIL_TEXT_MAX];
};

struct plan {
	enum plan_kind kind;
	char name[PLAN_NAME_MAX + 1];
	char notes[PLAN_NOTES_MAX + 1];
	uint64_t cpus, memory_mib; /* 0: it does not say */
	unsigned disk_count, nic_count;
	struct plan_disk disks[PLAN_DISKS_MAX];
	struct plan_nic nics[PLAN_NICS_MAX];
	struct sentences warnings, refusals;
};

/* A sentence more; one that is there already, or for which there is no room, is left out. */
__attribute__((format(printf, 2, 3))) void sentences_add(struct sentences *s, const char *format,
							 ...);
#define plan_warn(p, ...) sentences_add(&(p)->warnings, __VA_ARGS__)
#define plan_refuse(p, ...) sentences_add(&(p)->refusals, __VA_ARGS__)
/* A new array; NULL: out of memory. */
struct json_t *sentences_json(const struct sentences *s);

/* A name that a VM may have, as near as can be. */
void plan_set_name(struct plan *p, const char *text);
/* Within what a VM may have, with a warning where that changes it. */
void plan_set_cpus(struct plan *p, uint64_t cpus);
void plan_set_memory(struct plan *p, uint64_t bytes);
void plan_set_notes(struct plan *p, const char *text);
/* NULL: there are too many, which was refused. `source` is told too when it is too long. */
struct plan_disk *plan_add_disk(struct plan *p, const char *source);
/* With an address that a NIC can have, or any. */
void plan_add_nic(struct plan *p, const char *mac);
void plan_drop_disk(struct plan *p, unsigned index);

/* Control characters and what is no UTF-8 become question marks. */
void text_clean(char *text);

/* Makes the invariants true, whatever the bytes are. */
void plan_check(struct plan *p);

/* A new object; NULL: out of memory, or a path is no UTF-8. */
struct json_t *plan_json(const struct plan *p);

#endif
