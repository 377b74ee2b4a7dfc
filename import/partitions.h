/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The partition table of a raw image, MBR or GPT, and whether there is something in it that a BIOS
 * starts. Sectors of 512 bytes.
 *
 * Trust: the bytes are those of a foreign guest. What comes out lies within the image.
 *
 * Spec: UEFI 2.10, 5 "GUID Partition Table (GPT) Disk Layout".
 */
#ifndef OYA_IMPORT_PARTITIONS_H
#define OYA_IMPORT_PARTITIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "import/source.h"

#define PARTITIONS_MAX 128u

enum partition_use { PARTITION_OTHER, PARTITION_ESP, PARTITION_BIOS_BOOT };

struct partition {
	uint64_t offset, length; /* bytes */
	enum partition_use use;
	bool active; /* a BIOS starts it */
};

enum partition_table { TABLE_NONE, TABLE_MBR, TABLE_GPT };

struct partitions {
	enum partition_table table;
	bool boot_code; /* the first sector has some */
	bool grub;      /* and it is GRUB's */
	bool damaged;   /* a part of the table was left out */
	unsigned count;
	struct partition list[PARTITIONS_MAX];
};

/* 0 or -errno: it cannot be read. A table that makes no sense is no table, and `damaged`. */
int partitions_decode(const struct source *s, struct partitions *ret_partitions);

enum boots { BOOTS_NO, BOOTS_BIOS, BOOTS_UEFI, BOOTS_UNKNOWN };

/* Pure. */
enum boots partitions_boot(const struct partitions *p);

#endif
