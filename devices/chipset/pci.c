/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Role, trust, spec: see pci.h. */
#include "devices/chipset/pci.h"

#include <stdbool.h>
#include <string.h>

#include "abi/machine.h"
#include "base/bytes.h"

#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_WRITABLE 0x80FFFFFCu

#define REG_IDS 0x00u
#define REG_COMMAND 0x04u
#define REG_CLASS 0x08u
#define REG_HEADER 0x0Eu
#define REG_LINE 0x3Cu
#define REG_OWN 0x40u /* from here on: the function's own registers */
#define REG_PM_BASE 0x40u
#define REG_PM_BASE_END 0x44u
#define COMMAND_IO 0x01u
#define HEADER_MULTI 0x80u
#define VENDOR_INTEL 0x8086u
#define ID_POWER 0x7113u

static const struct function {
	uint8_t device, number;
	uint16_t id;
	uint32_t class; /* class, subclass, interface (0: legacy ports), revision */
	bool multi;
} functions[PCI_FUNCTIONS] = {
	{0, 0, 0x7192, 0x06000003, false},                             /* host bridge */
	{7, 0, 0x7110, 0x06010001, true},                              /* ISA bridge */
	{PCI_IDE_DEVICE, PCI_IDE_FUNCTION, 0x7111, 0x01010001, false}, /* IDE */
	{7, 3, ID_POWER, 0x06800002, false},                           /* power management */
};

/* The function that the address names, or -1. */
static int selected(const struct pci *p)
{
	if (!(p->address & ADDRESS_ENABLE) || (p->address >> 16 & 0xFF) != 0)
		return -1;
	for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
		if ((p->address >> 11 & 0x1F) == functions[i].device &&
		    (p->address >> 8 & 7) == functions[i].number)
			return (int)i;
	}
	return -1;
}

static bool is_writable(unsigned function, unsigned reg)
{
	bool power = functions[function].id == ID_POWER;

	if (power && reg >= REG_PM_BASE && reg < REG_PM_BASE_END)
		return false;
	return reg == REG_COMMAND || reg == REG_LINE || reg >= REG_OWN;
}

uint32_t pci_read_address(const struct pci *p)
{
	return p->address;
}

void pci_write_address(struct pci *p, uint32_t value)
{
	p->address = value & ADDRESS_WRITABLE;
}

uint32_t pci_read_data(const struct pci *p, unsigned offset, unsigned bytes)
{
	int function = selected(p);
	uint32_t value = 0;

	for (unsigned i = 0; i < bytes; i++) {
		unsigned reg = (p->address & 0xFC) + ((offset + i) & 3);
		uint8_t byte = function < 0 ? 0xFF : p->config[function][reg];

		value |= (uint32_t)byte << 8 * i;
	}
	return value;
}

void pci_write_data(struct pci *p, unsigned offset, unsigned bytes, uint32_t value)
{
	int function = selected(p);

	for (unsigned i = 0; function >= 0 && i < bytes; i++) {
		unsigned reg = (p->address & 0xFC) + ((offset + i) & 3);

		if (is_writable((unsigned)function, reg))
			p->config[function][reg] = (uint8_t)(value >> 8 * i);
	}
}

void pci_reset(struct pci *p)
{
	memset(p, 0, sizeof(*p));
	for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
		const struct function *f = &functions[i];
		uint8_t *config = p->config[i];

		le32_store(config + REG_IDS, VENDOR_INTEL | (uint32_t)f->id << 16);
		config[REG_COMMAND] = COMMAND_IO;
		le32_store(config + REG_CLASS, f->class);
		config[REG_HEADER] = f->multi ? HEADER_MULTI : 0;
		if (f->id == ID_POWER)
			le32_store(config + REG_PM_BASE, MACHINE_PM_BASE | 1);
	}
}

void pci_fields(struct pci *p, struct record *r)
{
	struct pci fresh;

	pci_reset(&fresh);
	record_u32(r, "pci_address", &p->address);
	record_bytes(r, "pci_config", p->config, sizeof(p->config));
	if (p->address & ~ADDRESS_WRITABLE)
		record_refuse(r, "the PCI address is 0x%x", p->address);
	for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
		for (unsigned reg = 0; reg < PCI_CONFIG_BYTES; reg++) {
			if (!is_writable(i, reg) && p->config[i][reg] != fresh.config[i][reg])
				record_refuse(r, "register 0x%x of PCI function %u is another's",
					      reg, i);
		}
	}
}
