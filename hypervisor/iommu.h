/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AMD's IOMMUs: what devices reach of memory. Every device has the parent's own nested page table,
 * whose entries have rights for devices too (npt.h): what the parent loses its devices lose. The
 * registers are ours and ACPI's table of them is hidden from the parent. Interrupts are not
 * remapped.
 *
 * Threads: iommu_flush from any processor; the others as their lines say.
 */
#ifndef OYA_HYPERVISOR_IOMMU_H
#define OYA_HYPERVISOR_IOMMU_H

#include <stdint.h>

#include "hypervisor/boot_info.h"

/* Once, before the parent's places are chosen: bytes that the table of devices wants; 0: there is
 * no IOMMU that we can use, and the log tells why. */
uint64_t iommu_find(const struct boot_info *info);
unsigned iommu_count(void);

/* The registers of one. */
uint64_t iommu_registers(unsigned i);

/* Once, after parent_init, before the parent runs. `devices_at`: physical, so many bytes;
 * `tables`: physical, the parent's. 0 or -ENOMEM. */
int iommu_start(uint64_t devices_at, uint64_t tables);

/* After an entry of the parent's table has changed: devices use the old one no longer. */
void iommu_flush(void);

/* Accesses that were refused are told in the log. Cheap where there is nothing to tell. */
void iommu_tell_faults(void);

#endif
