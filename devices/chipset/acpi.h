/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes the ACPI tables of a reduced-hardware machine into guest memory: RSDP, XSDT, FADT, MADT,
 * DSDT, and for a guest with nodes SRAT and SLIT, within MACHINE_ACPI_AREA.
 *
 * Role: called once by the worker before the guest starts, and at each reset of the guest, which
 * may have overwritten them.
 *
 * Trust: the configuration comes from the host; nothing is read from the guest.
 *
 * Spec: abi/acpi.h, abi/machine.h.
 */
#ifndef OYA_DEVICES_CHIPSET_ACPI_H
#define OYA_DEVICES_CHIPSET_ACPI_H

#include <stdint.h>

#include "base/gmem.h"

#define ACPI_NODES_MAX 8u

/* Nodes follow each other in the guest's RAM and its processors. */
struct acpi_node {
	uint64_t memory_bytes;
	unsigned cpus;
};

struct acpi_config {
	unsigned cpus;       /* 1..MACHINE_CPUS_MAX */
	unsigned node_count; /* 0..ACPI_NODES_MAX; with some, their processors are cpus together */
	struct acpi_node node[ACPI_NODES_MAX];
};

/* 0 and the address of the RSDP, or -EINVAL, or -EFAULT when there is no RAM at the area. */
int acpi_build(const struct acpi_config *config, const struct gmem *gm, uint64_t *ret_rsdp);

#endif
