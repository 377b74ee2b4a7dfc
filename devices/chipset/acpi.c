/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Role, trust, spec: see acpi.h.
 *
 * The area, each table on a 16-byte boundary:
 *   RSDP -> XSDT -> { FADT -> DSDT, FACS, MADT, and where the guest has nodes SRAT, SLIT }
 *
 * Hardware-reduced means: no PM1 and GPE blocks, no SCI, no FACS. Power-off goes through the sleep
 * control register, a restart through the reset register. With full hardware, which operating
 * systems need to silence the PIC that firmware has left on, there are PM1 and a timer; nothing
 * ever raises the SCI.
 */
#include "devices/chipset/acpi.h"

#include <errno.h>
#include <string.h>

#include "abi/acpi.h"
#include "abi/machine.h"
#include "base/util.h"
#include "devices/chipset/dsdt.h"
#include "devices/chipset/rtc.h"

#define TABLE_ALIGN 16u
#define MADT_BYTES_MAX                                                                  \
	(sizeof(struct acpi_madt) + MACHINE_CPUS_MAX * sizeof(struct acpi_madt_lapic) + \
	 sizeof(struct acpi_madt_ioapic) + 2 * sizeof(struct acpi_madt_override))
/* A node may lie on both sides of the gap below 4 GiB. */
#define SRAT_BYTES_MAX                                                                  \
	(sizeof(struct acpi_srat) + MACHINE_CPUS_MAX * sizeof(struct acpi_srat_lapic) + \
	 (ACPI_NODES_MAX + 1) * sizeof(struct acpi_srat_memory))
#define SLIT_BYTES_MAX (sizeof(struct acpi_slit) + ACPI_NODES_MAX * ACPI_NODES_MAX)
#define XSDT_TABLES_MAX 4u

static const char oem_id[6] = {'O', 'Y', 'A', ' ', ' ', ' '};

/* Where the next table goes. */
struct area {
	const struct gmem *gm;
	uint64_t start, next;
};

static uint8_t sum_of(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + p[i]);
	return sum;
}

static void header_fill(struct acpi_header *h, const char *signature, uint8_t revision, size_t len)
{
	static const char table_id[8] = {'O', 'Y', 'A', 'M', 'A', 'C', 'H', ' '};

	memcpy(h->signature, signature, sizeof(h->signature));
	h->len_bytes = (uint32_t)len;
	h->revision = revision;
	memcpy(h->oem_id, oem_id, sizeof(oem_id));
	memcpy(h->oem_table_id, table_id, sizeof(table_id));
	h->oem_revision = 1;
	memcpy(h->creator_id, oem_id, sizeof(h->creator_id));
	h->creator_revision = 1;
}

static int area_put(struct area *area, const void *bytes, size_t len, uint64_t *ret_gpa)
{
	uint64_t gpa = align_up(area->next, TABLE_ALIGN);
	int err;

	if (!range_within(gpa - area->start, len, MACHINE_ACPI_AREA_BYTES))
		return -EINVAL;
	err = gmem_write(area->gm, gpa, bytes, len);
	if (err)
		return err;
	area->next = gpa + len;
	*ret_gpa = gpa;
	return 0;
}

/* Puts a table whose header is filled in; its checksum is made here. */
static int table_put(struct area *area, struct acpi_header *h, uint64_t *ret_gpa)
{
	h->checksum = 0;
	h->checksum = (uint8_t)-sum_of(h, h->len_bytes);
	return area_put(area, h, h->len_bytes, ret_gpa);
}

static int put_dsdt(struct area *area, uint64_t *ret_gpa)
{
	size_t len;
	const uint8_t *bytes = dsdt_table(&len);

	return area_put(area, bytes, len, ret_gpa);
}

static struct acpi_address io_byte(uint16_t port)
{
	return (struct acpi_address){
		.space = ACPI_SPACE_IO,
		.bit_width = 8,
		.access = ACPI_ACCESS_BYTE,
		.address = port,
	};
}

/* FACS needs a boundary of 64 bytes. */
static int put_facs(struct area *area, uint64_t *ret_gpa)
{
	struct acpi_facs facs = {
		.signature = {'F', 'A', 'C', 'S'},
		.len_bytes = sizeof(facs),
		.version = 2,
	};

	area->next = align_up(area->next, sizeof(facs));
	return area_put(area, &facs, sizeof(facs), ret_gpa);
}

static void fill_full_hardware(struct acpi_fadt *fadt, uint64_t facs)
{
	fadt->facs = (uint32_t)facs;
	fadt->sci_interrupt = MACHINE_SCI_GSI;
	fadt->pm1a_event = MACHINE_PM_BASE;
	fadt->pm1_event_len = 4;
	fadt->pm1a_control = MACHINE_SLEEP_CONTROL_PORT;
	fadt->pm1_control_len = 2;
	fadt->pm_timer = MACHINE_PM_BASE + MACHINE_PM_TIMER;
	fadt->pm_timer_len = 4;
	fadt->c2_latency = ACPI_NO_C2;
	fadt->c3_latency = ACPI_NO_C3;
}

static int put_fadt(struct area *area, bool pc, uint64_t dsdt, uint64_t *ret_gpa)
{
	/* The vendor whose interface the hypervisor offers, as in CPUID. */
	static const uint8_t vendor[8] = {'M', 's', 'H', 'y', 'p', 'e', 'r', 'V'};
	struct acpi_fadt fadt = {
		.dsdt = (uint32_t)dsdt,
		.pm_profile = ACPI_PM_PROFILE_SERVER,
		.century = RTC_CENTURY,
		.boot_flags = ACPI_BOOT_LEGACY_DEVICES | ACPI_BOOT_NO_VGA,
		.flags = ACPI_FADT_WBINVD | ACPI_FADT_NO_FIXED_POWER_BUTTON |
			 ACPI_FADT_NO_FIXED_SLEEP_BUTTON | ACPI_FADT_RESET_REGISTER |
			 ACPI_FADT_HW_REDUCED,
		.reset = io_byte(MACHINE_RESET_PORT),
		.reset_value = MACHINE_RESET_VALUE,
		.minor_version = ACPI_FADT_MINOR,
		.x_dsdt = dsdt,
		.sleep_control = io_byte(MACHINE_SLEEP_CONTROL_PORT),
		.sleep_status = io_byte(MACHINE_SLEEP_STATUS_PORT),
	};

	if (pc) {
		uint64_t facs;
		int err = put_facs(area, &facs);

		if (err)
			return err;
		fadt.flags &= ~ACPI_FADT_HW_REDUCED;
		fadt.sleep_control = fadt.sleep_status = (struct acpi_address){0};
		fill_full_hardware(&fadt, facs);
	}
	memcpy(fadt.hypervisor_vendor, vendor, sizeof(vendor));
	header_fill(&fadt.header, "FACP", ACPI_FADT_REVISION, sizeof(fadt));
	return table_put(area, &fadt.header, ret_gpa);
}

/* The timer's line is at another pin, the SCI is level triggered. */
static size_t add_overrides(uint8_t *to)
{
	const struct acpi_madt_override overrides[] = {
		{ACPI_MADT_TYPE_OVERRIDE, sizeof(overrides[0]), 0, MACHINE_PIT_LINE,
		 MACHINE_PIT_GSI, 0},
		{ACPI_MADT_TYPE_OVERRIDE, sizeof(overrides[0]), 0, MACHINE_SCI_GSI, MACHINE_SCI_GSI,
		 ACPI_MADT_LEVEL_HIGH},
	};

	memcpy(to, overrides, sizeof(overrides));
	return sizeof(overrides);
}

static int put_madt(struct area *area, unsigned cpus, bool pc, uint64_t *ret_gpa)
{
	_Alignas(struct acpi_madt) uint8_t bytes[MADT_BYTES_MAX] = {0};
	struct acpi_madt *madt = (struct acpi_madt *)bytes;
	struct acpi_madt_ioapic ioapic = {
		.type = ACPI_MADT_TYPE_IOAPIC,
		.len_bytes = sizeof(ioapic),
		.address = (uint32_t)MACHINE_IOAPIC_BASE,
	};
	size_t len = sizeof(*madt);

	for (unsigned i = 0; i < cpus; i++) {
		struct acpi_madt_lapic lapic = {
			.type = ACPI_MADT_TYPE_LAPIC,
			.len_bytes = sizeof(lapic),
			.processor_uid = (uint8_t)i,
			.apic_id = (uint8_t)i,
			.flags = ACPI_MADT_LAPIC_ENABLED,
		};

		memcpy(bytes + len, &lapic, sizeof(lapic));
		len += sizeof(lapic);
	}
	memcpy(bytes + len, &ioapic, sizeof(ioapic));
	len += sizeof(ioapic);
	if (pc) {
		madt->flags = ACPI_MADT_PCAT_COMPAT;
		len += add_overrides(bytes + len);
	}
	madt->lapic = (uint32_t)MACHINE_LAPIC_BASE;
	header_fill(&madt->header, "APIC", ACPI_MADT_REVISION, len);
	return table_put(area, &madt->header, ret_gpa);
}

/* Appends the part of [at, at + bytes) of the guest's RAM, counted without the gap, that lies on
 * one side of the gap. */
static uint8_t *srat_memory(uint8_t *to, unsigned node, uint64_t at, uint64_t end, bool high)
{
	uint64_t first = high && at < MACHINE_LOW_GAP ? MACHINE_LOW_GAP : at;
	uint64_t last = !high && end > MACHINE_LOW_GAP ? MACHINE_LOW_GAP : end;
	struct acpi_srat_memory memory = {
		.type = ACPI_SRAT_TYPE_MEMORY,
		.len_bytes = sizeof(memory),
		.node = node,
		.base = high ? MACHINE_HIGH_RAM + first - MACHINE_LOW_GAP : first,
		.bytes = last - first,
		.flags = ACPI_SRAT_ENABLED,
	};

	if (first >= last)
		return to;
	memcpy(to, &memory, sizeof(memory));
	return to + sizeof(memory);
}

static int put_srat(struct area *area, const struct acpi_config *config, uint64_t *ret_gpa)
{
	_Alignas(struct acpi_srat) uint8_t bytes[SRAT_BYTES_MAX] = {0};
	struct acpi_srat *srat = (struct acpi_srat *)bytes;
	uint8_t *to = bytes + sizeof(*srat);
	uint64_t at = 0;
	unsigned cpu = 0;

	for (unsigned n = 0; n < config->node_count; n++) {
		uint64_t end = at + config->node[n].memory_bytes;

		for (unsigned i = 0; i < config->node[n].cpus; i++) {
			struct acpi_srat_lapic lapic = {
				.type = ACPI_SRAT_TYPE_LAPIC,
				.len_bytes = sizeof(lapic),
				.node = (uint8_t)n,
				.apic_id = (uint8_t)cpu++,
				.flags = ACPI_SRAT_ENABLED,
			};

			memcpy(to, &lapic, sizeof(lapic));
			to += sizeof(lapic);
		}
		to = srat_memory(to, n, at, end, false);
		to = srat_memory(to, n, at, end, true);
		at = end;
	}
	srat->one = 1;
	header_fill(&srat->header, "SRAT", ACPI_SRAT_REVISION, (size_t)(to - bytes));
	return table_put(area, &srat->header, ret_gpa);
}

static int put_slit(struct area *area, unsigned nodes, uint64_t *ret_gpa)
{
	_Alignas(struct acpi_slit) uint8_t bytes[SLIT_BYTES_MAX] = {0};
	struct acpi_slit *slit = (struct acpi_slit *)bytes;
	uint8_t *distance = bytes + sizeof(*slit);

	for (unsigned i = 0; i < nodes * nodes; i++)
		distance[i] = i / nodes == i % nodes ? ACPI_SLIT_SELF : ACPI_SLIT_OTHER;
	slit->nodes = nodes;
	header_fill(&slit->header, "SLIT", ACPI_SLIT_REVISION, sizeof(*slit) + nodes * nodes);
	return table_put(area, &slit->header, ret_gpa);
}

static int put_xsdt(struct area *area, const uint64_t *tables, unsigned count, uint64_t *ret_gpa)
{
	struct {
		struct acpi_header header;
		uint64_t tables[XSDT_TABLES_MAX];
	} OYA_PACKED xsdt = {0};

	memcpy(xsdt.tables, tables, count * sizeof(tables[0]));
	header_fill(&xsdt.header, "XSDT", 1, sizeof(xsdt.header) + count * sizeof(tables[0]));
	return table_put(area, &xsdt.header, ret_gpa);
}

static int put_rsdp(const struct gmem *gm, uint64_t gpa, uint64_t xsdt)
{
	struct acpi_rsdp rsdp = {
		.revision = 2,
		.len_bytes = sizeof(rsdp),
		.xsdt = xsdt,
	};

	memcpy(rsdp.signature, "RSD PTR ", sizeof(rsdp.signature));
	memcpy(rsdp.oem_id, oem_id, sizeof(oem_id));
	rsdp.checksum = (uint8_t)-sum_of(&rsdp, ACPI_RSDP_V1_BYTES);
	rsdp.extended_checksum = (uint8_t)-sum_of(&rsdp, sizeof(rsdp));
	return gmem_write(gm, gpa, &rsdp, sizeof(rsdp));
}

static bool nodes_fit(const struct acpi_config *config)
{
	uint64_t cpus = 0;

	if (!config->cpus || config->cpus > MACHINE_CPUS_MAX || config->node_count > ACPI_NODES_MAX)
		return false;
	for (unsigned i = 0; i < config->node_count; i++)
		cpus += config->node[i].cpus;
	return !config->node_count || cpus == config->cpus;
}

int acpi_build(const struct acpi_config *config, const struct gmem *gm, uint64_t *ret_rsdp)
{
	/* The RSDP comes first in the area and last in time. */
	uint64_t start = config->area ? config->area : MACHINE_ACPI_AREA;
	struct area area = {.gm = gm, .start = start, .next = start + sizeof(struct acpi_rsdp)};
	uint64_t dsdt, xsdt, tables[XSDT_TABLES_MAX];
	unsigned count = 2;
	int err;

	if (!nodes_fit(config))
		return -EINVAL;
	err = gmem_zero(gm, start, MACHINE_ACPI_AREA_BYTES);
	if (!err)
		err = put_dsdt(&area, &dsdt);
	if (!err)
		err = put_fadt(&area, config->pc, dsdt, &tables[0]);
	if (!err)
		err = put_madt(&area, config->cpus, config->pc, &tables[1]);
	if (!err && config->node_count) {
		err = put_srat(&area, config, &tables[count++]);
		if (!err)
			err = put_slit(&area, config->node_count, &tables[count++]);
	}
	if (!err)
		err = put_xsdt(&area, tables, count, &xsdt);
	if (!err)
		err = put_rsdp(gm, start, xsdt);
	if (!err)
		*ret_rsdp = start;
	return err;
}
