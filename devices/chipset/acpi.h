/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes the ACPI tables of a machine into guest memory: RSDP, XSDT, FADT, MADT, DSDT, for full
 * hardware FACS, and for a guest with nodes SRAT and SLIT.
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

#include <stdbool.h>
#include <stdint.h>

#include "base/gmem.h"

#define ACPI_NODES_MAX 8u

/* Nodes follow each other in the guest's RAM and its processors. */
struct acpi_node {
	uint64_t memory_bytes;
	unsigned cpus;
};

struct acpi_config {
	uint64_t area;       /* GPA of MACHINE_ACPI_AREA_BYTES for them; 0: MACHINE_ACPI_AREA */
	bool pc;             /* the machine that boots by firmware: full hardware, and a PIC */
	unsigned cpus;       /* 1..MACHINE_CPUS_MAX */
	unsigned node_count; /* 0..ACPI_NODES_MAX; with some, their processors are cpus together */
	struct acpi_node node[ACPI_NODES_MAX];
};

/* 0 and the address of the RSDP, or -EINVAL, or -EFAULT when there is no RAM at the area. */
int acpi_build(const struct acpi_config *config, const struct gmem *gm, uint64_t *ret_rsdp);

#endif
