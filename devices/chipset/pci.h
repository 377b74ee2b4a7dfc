/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI configuration by mechanism 1: the functions of a PIIX4 that firmware looks for, on bus 0.
 *
 * Role: part of the machine that boots by firmware (pc.h). No function has a window of its own that
 * could be moved: their base addresses read as 0, and what is behind them lies at the ports of
 * abi/machine.h. The DSDT has no root of PCI, so that operating systems with ACPI see none of it.
 *
 * Trust: what a hostile guest writes is only ever read back. Threads: with the lock of the devices.
 * Spec: PCI Local Bus 3.0, chapter 3.2.2.3; Intel 82371AB data sheet.
 */
#ifndef OYA_DEVICES_CHIPSET_PCI_H
#define OYA_DEVICES_CHIPSET_PCI_H

#include <stdint.h>

#include "base/record.h"

#define PCI_FUNCTIONS 4u
#define PCI_CONFIG_BYTES 256u

/* Where the IDE function is: for the order in which firmware boots. */
#define PCI_IDE_DEVICE 7u
#define PCI_IDE_FUNCTION 1u

struct pci {
	uint32_t address;
	uint8_t config[PCI_FUNCTIONS][PCI_CONFIG_BYTES];
};

void pci_reset(struct pci *p);

/* Accesses of 1, 2 or 4 bytes to the address port, and to an offset of the data ports. */
uint32_t pci_read_address(const struct pci *p);
void pci_write_address(struct pci *p, uint32_t value);
uint32_t pci_read_data(const struct pci *p, unsigned offset, unsigned bytes);
void pci_write_data(struct pci *p, unsigned offset, unsigned bytes, uint32_t value);

/* The fields of a saved state, in the record of the PC: read into a copy, which is only good when
 * the record is. */
void pci_fields(struct pci *p, struct record *r);

#endif
