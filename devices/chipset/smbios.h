/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes the SMBIOS entry point and structures into MACHINE_SMBIOS_AREA, where guests without
 * EFI scan for them.
 *
 * Manufacturer and product are those of Hyper-V: Linux's ata_piix and many inventory programs
 * recognise the machine by them, and the guest's drivers are Hyper-V's. The BIOS vendor tells who
 * made this machine.
 *
 * Role: called once by the worker before the guest starts, and at each reset of the guest.
 *
 * Trust: the configuration comes from the host; nothing is read from the guest.
 *
 * Spec: abi/smbios.h.
 */
#ifndef OYA_DEVICES_CHIPSET_SMBIOS_H
#define OYA_DEVICES_CHIPSET_SMBIOS_H

#include <stdint.h>

#include "base/gmem.h"
#include "base/guid.h"

#define SMBIOS_TEXT_MAX 64u /* longest text of a configuration, without the closing NUL */

struct smbios_config {
	const char *bios_version;
	const char *bios_date;        /* mm/dd/yyyy */
	const char *serial;           /* of system, board and chassis; NULL for none */
	const char *asset_tag;        /* of the chassis; NULL for none */
	const char *cpu_manufacturer; /* e.g. "AuthenticAMD"; NULL for none */
	struct guid uuid;
	unsigned cpus; /* 1..MACHINE_CPUS_MAX */
	uint64_t memory_bytes;
};

/* 0 and the address of the entry point; -EINVAL for a text that is too long, a wrong count; -EFAULT
 * when there is no RAM at the area. */
int smbios_build(const struct smbios_config *config, const struct gmem *gm, uint64_t *ret_entry);

#endif
