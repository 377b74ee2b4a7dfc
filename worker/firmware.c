/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lies where: the image ends at 4 GiB and has a copy that ends at 1 MiB, where it runs. The
 * ACPI tables lie at the end of the RAM below the gap; the firmware moves their root and the SMBIOS
 * tables to where operating systems look for them.
 */
#include "worker/firmware.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/acpi.h"
#include "abi/linux_boot.h"
#include "abi/machine.h"
#include "abi/smbios.h"
#include "base/bytes.h"
#include "base/util.h"
#include "devices/chipset/acpi.h"
#include "devices/chipset/smbios.h"

#define IMAGE_UNIT 65536u
#define MIB_1 0x100000u
#define MIB_16 0x1000000u
#define UNIT_64K 16u /* shifts */
#define UNIT_1K 10u
#define CMOS_1M_MAX 0xFC00u /* KiB above 1 MiB that fit its two bytes, up to 64 MiB */

/* Indices of CMOS memory. */
#define CMOS_EXTENDED 0x30u   /* KiB above 1 MiB */
#define CMOS_EXTENDED_2 0x34u /* 64 KiB above 16 MiB, up to the gap */
#define CMOS_HIGH 0x5Bu       /* 64 KiB above 4 GiB, three bytes */
#define CMOS_CPUS 0x5Fu       /* less one */

/* A command for the firmware: take a file into memory. */
#define LOADER_BYTES 128u
#define LOADER_ALLOCATE 1u
#define LOADER_FILE 4u /* offsets */
#define LOADER_ALIGN 60u
#define LOADER_ZONE 64u
#define LOADER_ZONE_F_SEGMENT 2u

#define RSDP_FILE "etc/acpi/rsdp"
#define BOOT_LINE_MAX 48u

static const char *const paths[] = {
	"/usr/share/seabios/bios-256k.bin",
	"/usr/share/seabios/bios.bin",
	"/usr/share/qemu/bios-256k.bin",
};

/* ---- the image ---- */

static int read_image(struct firmware *fw, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= 0 || (uint64_t)st.st_size > MACHINE_ROM_BYTES || st.st_size % IMAGE_UNIT)
		return -EINVAL;
	fw->image = malloc((size_t)st.st_size);
	if (!fw->image)
		return -ENOMEM;
	while (fw->bytes < (uint64_t)st.st_size) {
		ssize_t n = read(fd, fw->image + fw->bytes, (size_t)st.st_size - fw->bytes);

		if (n <= 0)
			return n < 0 ? -errno : -EINVAL;
		fw->bytes += (uint32_t)n;
	}
	return 0;
}

int firmware_open(struct firmware *fw, struct failure *f)
{
	const char *path = NULL;
	int fd = -1, r;

	for (size_t i = 0; fd < 0 && i < ARRAY_LEN(paths); i++) {
		path = paths[i];
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 && errno != ENOENT)
			return fail(f, -errno, "cannot open the firmware %s: %s", path,
				    strerror(errno));
	}
	if (fd < 0)
		return fail(f, -ENOENT,
			    "cannot boot from a disk: there is no firmware %s; install the package "
			    "seabios",
			    paths[0]);
	r = read_image(fw, fd);
	close(fd);
	if (r == 0)
		return 0;
	firmware_close(fw);
	return fail(f, r, "cannot use the firmware %s: %s", path,
		    r == -EINVAL ? "it is no image of a BIOS" : strerror(-r));
}

void firmware_close(struct firmware *fw)
{
	free(fw->image);
	*fw = (struct firmware){0};
}

/* ---- what it is told ---- */

static uint64_t tables_at(const struct gmem *gm)
{
	return gm->region[0].len - MACHINE_ACPI_AREA_BYTES;
}

static uint64_t high_bytes(const struct gmem *gm)
{
	const struct gmem_region *last = &gm->region[gm->count - 1];

	return last->gpa == MACHINE_HIGH_RAM ? last->len : 0;
}

static int add_memory_map(struct pc *pc, const struct gmem *gm)
{
	uint8_t map[3 * E820_ENTRY_BYTES], *to = map;
	const struct {
		uint64_t gpa, len;
		uint32_t type;
	} ranges[] = {
		{0, tables_at(gm), E820_RAM},
		{tables_at(gm), MACHINE_ACPI_AREA_BYTES, E820_RESERVED},
		{MACHINE_HIGH_RAM, high_bytes(gm), E820_RAM},
	};

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		if (!ranges[i].len)
			continue;
		le64_store(to, ranges[i].gpa);
		le64_store(to + 8, ranges[i].len);
		le32_store(to + 16, ranges[i].type);
		to += E820_ENTRY_BYTES;
	}
	return fwcfg_add_file(&pc->fwcfg, "etc/e820", map, (size_t)(to - map));
}

/* Older firmware, and boot loaders, look for the RAM in CMOS memory. */
static void set_cmos(struct rtc *rtc, const struct gmem *gm, unsigned cpus)
{
	uint64_t low = tables_at(gm), high = high_bytes(gm) >> UNIT_64K;
	uint64_t kib = min_u64((low - MIB_1) >> UNIT_1K, CMOS_1M_MAX);
	uint64_t units = low > MIB_16 ? (low - MIB_16) >> UNIT_64K : 0;

	for (unsigned i = 0; i < 2; i++) {
		(void)rtc_set_cmos(rtc, CMOS_EXTENDED + i, (uint8_t)(kib >> 8 * i));
		(void)rtc_set_cmos(rtc, CMOS_EXTENDED_2 + i, (uint8_t)(units >> 8 * i));
	}
	for (unsigned i = 0; i < 3; i++)
		(void)rtc_set_cmos(rtc, CMOS_HIGH + i, (uint8_t)(high >> 8 * i));
	(void)rtc_set_cmos(rtc, CMOS_CPUS, (uint8_t)(cpus - 1));
}

/* The tables are in place but for their root, which the firmware is to take from a file. */
static int add_acpi(struct pc *pc, const struct gmem *gm, const struct acpi_config *acpi)
{
	uint8_t command[LOADER_BYTES] = {LOADER_ALLOCATE};
	struct acpi_config config = *acpi;
	struct acpi_rsdp rsdp;
	uint64_t at;
	int r;

	config.area = tables_at(gm);
	config.pc = true;
	r = acpi_build(&config, gm, &at);
	if (r == 0)
		r = gmem_read(gm, at, &rsdp, sizeof(rsdp));
	memcpy(command + LOADER_FILE, RSDP_FILE, sizeof(RSDP_FILE));
	le32_store(command + LOADER_ALIGN, 16);
	command[LOADER_ZONE] = LOADER_ZONE_F_SEGMENT;
	if (r == 0)
		r = fwcfg_add_file(&pc->fwcfg, RSDP_FILE, &rsdp, sizeof(rsdp));
	if (r == 0)
		r = fwcfg_add_file(&pc->fwcfg, "etc/table-loader", command, sizeof(command));
	return r;
}

/* Made in guest memory, which the image then takes. */
static int add_smbios(struct pc *pc, const struct gmem *gm, const struct smbios_config *config)
{
	uint8_t tables[4096];
	struct smbios_entry entry;
	uint64_t at;
	int r = smbios_build(config, gm, &at);

	if (r == 0)
		r = gmem_read(gm, at, &entry, sizeof(entry));
	if (r == 0 && entry.table_bytes > sizeof(tables))
		r = -EINVAL;
	if (r == 0)
		r = gmem_read(gm, entry.table, tables, entry.table_bytes);
	if (r == 0)
		r = fwcfg_add_file(&pc->fwcfg, "etc/smbios/smbios-anchor", &entry, sizeof(entry));
	if (r == 0)
		r = fwcfg_add_file(&pc->fwcfg, "etc/smbios/smbios-tables", tables,
				   entry.table_bytes);
	return r;
}

/* Disks and drives of the IDE places, in the order of the configuration. */
static int add_boot_order(struct pc *pc, const struct config *config)
{
	char text[CONFIG_IDE_PLACES * BOOT_LINE_MAX];
	size_t len = 0;

	for (unsigned n = 0; n < config->disk_count; n++) {
		unsigned place = config->disk[n].controller - CONFIG_IDE_FIRST;

		if (config->disk[n].controller < CONFIG_IDE_FIRST)
			continue;
		len += (size_t)snprintf(text + len, BOOT_LINE_MAX,
					"/pci@i0cf8/ide@%u,%u/drive@%u/disk@%u\n", PCI_IDE_DEVICE,
					PCI_IDE_FUNCTION, place / 2, place % 2);
	}
	text[len++] = '\0'; /* there is room: a line is shorter than its maximum */
	return fwcfg_add_file(&pc->fwcfg, "bootorder", text, len);
}

static int add_rest(struct pc *pc, unsigned cpus)
{
	uint8_t count[2], port[2];
	int r;

	le16_store(count, (uint16_t)cpus);
	le16_store(port, MACHINE_COM1_PORT);
	r = fwcfg_add(&pc->fwcfg, FWCFG_KEY_CPUS, count, sizeof(count));
	if (r == 0)
		r = fwcfg_add(&pc->fwcfg, FWCFG_KEY_CPUS_MAX, count, sizeof(count));
	/* There is no screen: text of the firmware and of boot loaders goes to the serial port. */
	if (r == 0)
		r = fwcfg_add_file(&pc->fwcfg, "etc/sercon-port", port, sizeof(port));
	return r;
}

int firmware_place(const struct firmware *fw, const struct config *config, const struct gmem *gm,
		   const struct acpi_config *acpi, const struct smbios_config *smbios,
		   struct pc *pc, struct rtc *rtc, struct failure *f)
{
	int r;

	fwcfg_reset(&pc->fwcfg);
	set_cmos(rtc, gm, config->cpus);
	r = add_memory_map(pc, gm);
	if (r == 0)
		r = add_acpi(pc, gm, acpi);
	if (r == 0)
		r = add_smbios(pc, gm, smbios);
	if (r == 0)
		r = add_boot_order(pc, config);
	if (r == 0)
		r = add_rest(pc, config->cpus);
	if (r == 0)
		r = gmem_write(gm, MACHINE_HIGH_RAM - fw->bytes, fw->image, fw->bytes);
	if (r == 0)
		r = gmem_write(gm, MIB_1 - fw->bytes, fw->image, fw->bytes);
	return r < 0 ? fail(f, r, "cannot tell the firmware of the VM: %s", strerror(-r)) : 0;
}
