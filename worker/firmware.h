/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firmware of a machine that boots from its disks: SeaBIOS as Debian's package has it, and what
 * it is told of the machine.
 *
 * Trust: the image is the host's. The guest may write to where it lies; each run has it anew.
 *
 * Threads: for the thread that owns the VM.
 */
#ifndef OYA_WORKER_FIRMWARE_H
#define OYA_WORKER_FIRMWARE_H

#include <stdint.h>

#include "base/gmem.h"
#include "devices/chipset/pc.h"
#include "devices/chipset/rtc.h"
#include "lib/fail.h"
#include "worker/config.h"

struct firmware {
	uint8_t *image; /* NULL: the VM boots a kernel */
	uint32_t bytes;
};

/* Finds and reads it. 0, or -errno and the sentence. */
int firmware_open(struct firmware *fw, struct failure *f);
void firmware_close(struct firmware *fw);

/* Puts the firmware and the tables into guest memory, and tells it of the machine. 0, or -errno
 * and the sentence. */
struct acpi_config;
struct smbios_config;
int firmware_place(const struct firmware *fw, const struct config *config, const struct gmem *gm,
		   const struct acpi_config *acpi, const struct smbios_config *smbios,
		   struct pc *pc, struct rtc *rtc, struct failure *f);

#endif
