/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware is told of the machine: items of bytes by number and files by name, read through
 * two ports. QEMU's interface without its DMA, since SeaBIOS speaks it.
 *
 * Role: part of the machine that boots by firmware (pc.h). The worker fills it before each run.
 *
 * Trust: a hostile guest chooses an item and reads on; it can write nothing, and reads zeros behind
 * an item's end. Threads: with the lock of the devices.
 * Spec: QEMU, docs/specs/fw_cfg; SeaBIOS, docs/Runtime_config.
 */
#ifndef OYA_DEVICES_CHIPSET_FWCFG_H
#define OYA_DEVICES_CHIPSET_FWCFG_H

#include <stddef.h>
#include <stdint.h>

#include "base/record.h"

#define FWCFG_FILES_MAX 16u
#define FWCFG_NAME_MAX 56u
#define FWCFG_BYTES_MAX 32768u /* of all items together */

struct fwcfg_item {
	uint16_t key;
	uint32_t at, len;          /* within bytes */
	char name[FWCFG_NAME_MAX]; /* of a file, else empty */
};

/* What the guest reads next. */
struct fwcfg_place {
	uint16_t key;
	uint32_t offset;
};

struct fwcfg {
	unsigned count, files;
	uint32_t used;
	struct fwcfg_item item[FWCFG_FILES_MAX + 8];
	uint8_t directory[4 + FWCFG_FILES_MAX * 64];
	uint8_t bytes[FWCFG_BYTES_MAX];
	struct fwcfg_place place;
};

/* Numbers of items. */
#define FWCFG_KEY_CPUS 0x05u     /* u16: processors that are there */
#define FWCFG_KEY_CPUS_MAX 0x0Fu /* u16 */

/* An interface without files that tells who it is. */
void fwcfg_reset(struct fwcfg *f);

/* Adds an item or a file; the bytes are copied. 0; -ENOSPC; -EINVAL for a name that is too long. */
int fwcfg_add(struct fwcfg *f, uint16_t key, const void *bytes, size_t len);
int fwcfg_add_file(struct fwcfg *f, const char *name, const void *bytes, size_t len);

void fwcfg_select(struct fwcfg *f, uint16_t key);
uint8_t fwcfg_read(struct fwcfg *f);

/* The fields of a saved state, in the record of the PC: any place will do. Items are no part of it,
 * they are the worker's. */
void fwcfg_fields(struct fwcfg_place *place, struct record *r);

#endif
