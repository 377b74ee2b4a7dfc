/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages of 2 MiB and 1 GiB come from the host's pool and are all taken at once: what is only
 * reserved is a bus error for the worker when the pool of the wanted node is short.
 */
#include "worker/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/machine.h"
#include "base/util.h"

#define NODES_WITH_MEMORY "/sys/devices/system/node/has_memory"
#define NODE_BITS 1024u
#define PINNED_BESIDE (UINT64_C(16) << 20) /* rings of disks and the like */
#define WORD_BITS (8 * sizeof(unsigned long))

/* Pages of the host's pool: how to ask for them, and what the host calls them. */
struct pool {
	unsigned flags;
	uint64_t page_bytes;
	const char *name;   /* for people */
	const char *folder; /* of the pool */
};

static const struct pool pools[] = {
	[PAGES_2M] = {MFD_HUGETLB | MFD_HUGE_2MB, UINT64_C(1) << 21, "2 MiB", "hugepages-2048kB"},
	[PAGES_1G] = {MFD_HUGETLB | MFD_HUGE_1GB, UINT64_C(1) << 30, "1 GiB",
		      "hugepages-1048576kB"},
};

static bool from_pool(enum config_pages pages)
{
	return pages == PAGES_2M || pages == PAGES_1G;
}

/* The first line of a file of the kernel; "none" when there is none. */
static void read_line(const char *path, char *ret_text, size_t room)
{
	FILE *file = fopen(path, "re");

	if (!file || !fgets(ret_text, (int)room, file))
		snprintf(ret_text, room, "none");
	ret_text[strcspn(ret_text, "\n")] = '\0';
	if (file)
		fclose(file);
}

static int fail_pool(const struct memory *m, int error, struct failure *f)
{
	const struct pool *pool = &pools[m->pages];
	char path[96], available[32];

	if (error == ENODEV || error == EINVAL || error == ENOENT || error == EOPNOTSUPP)
		return fail(f, -error,
			    "cannot get memory in pages of %s: this host has no such pages; set "
			    "'memory_pages' to another size",
			    pool->name);
	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/%s/free_hugepages", pool->folder);
	read_line(path, available, sizeof(available));
	return fail(f, -error,
		    "cannot get %llu MiB of memory in pages of %s: %llu are needed and %s free; "
		    "set them aside with %s%s%s",
		    (unsigned long long)(m->bytes >> 20), pool->name,
		    (unsigned long long)(m->bytes / pool->page_bytes), available,
		    m->pages == PAGES_2M ? "the sysctl vm.nr_hugepages"
					 : "/sys/kernel/mm/hugepages/",
		    m->pages == PAGES_2M ? "" : pool->folder,
		    m->pages == PAGES_2M ? "" : "/nr_hugepages");
}

static int fail_memory(const struct memory *m, int error, struct failure *f)
{
	if (from_pool(m->pages))
		return fail_pool(m, error, f);
	return fail(f, -error, "cannot get %llu MiB of memory for the VM: %s",
		    (unsigned long long)(m->bytes >> 20), strerror(error));
}

/* The policy belongs to the file: also what io_uring or another process touches first obeys. */
static int bind_part(uint8_t *at, uint64_t bytes, unsigned index, int node, struct failure *f)
{
	unsigned long mask[NODE_BITS / WORD_BITS] = {0};
	char there[64];

	mask[(unsigned)node / WORD_BITS] |= 1ul << ((unsigned)node % WORD_BITS);
	if (syscall(SYS_mbind, at, bytes, MPOL_BIND, mask, NODE_BITS, 0) == 0)
		return 0;
	if (errno == EINVAL) {
		read_line(NODES_WITH_MEMORY, there, sizeof(there));
		return fail(f, -EINVAL,
			    "cannot place the memory of node %u on the host's node %d: the host's "
			    "nodes with memory are %s",
			    index, node, there);
	}
	return fail(f, -errno, "cannot place the memory of node %u on the host's node %d: %s",
		    index, node, strerror(errno));
}

static int bind_nodes(const struct memory *m, const struct config *c, struct failure *f)
{
	uint8_t *at = m->base;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < c->node_count; i++) {
		const struct config_node *n = &c->node[i];

		if (n->host_node >= 0)
			r = bind_part(at, n->memory_bytes, i, n->host_node, f);
		at += n->memory_bytes;
	}
	return r;
}

/* The file and its place in our address space. -errno. */
static int map(struct memory *m)
{
	unsigned flags = from_pool(m->pages) ? pools[m->pages].flags : 0;
	void *base;

	m->fd = memfd_create("guest-ram", MFD_CLOEXEC | flags);
	if (m->fd < 0 || ftruncate(m->fd, (off_t)m->bytes) < 0)
		return -errno;
	base = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE,
		    MAP_SHARED | (from_pool(m->pages) ? 0 : MAP_NORESERVE), m->fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	m->base = base;
	return 0;
}

/* The place of the firmware, which is no part of the RAM. -errno. */
static int map_rom(struct memory *m)
{
	void *rom = mmap(NULL, MACHINE_ROM_BYTES, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (rom == MAP_FAILED)
		return -errno;
	m->rom = rom;
	return 0;
}

/* Takes the pages of a pool. -errno. */
static int fill(const struct memory *m)
{
	if (from_pool(m->pages) && fallocate(m->fd, 0, 0, (off_t)m->bytes) < 0)
		return -errno;
	return 0;
}

/* The hypervisor's tables do not follow those of Linux, so its driver keeps all pages of a
 * partition in place, also of the next one, which is made when the right to lock more is gone.
 * Where this fails making the partition says so. */
static void allow_pinning(uint64_t bytes)
{
	struct rlimit limit;

	bytes += PINNED_BESIDE;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0 || limit.rlim_cur >= bytes)
		return;
	limit.rlim_cur = bytes;
	if (limit.rlim_max < limit.rlim_cur)
		limit.rlim_max = limit.rlim_cur;
	(void)setrlimit(RLIMIT_MEMLOCK, &limit);
}

int memory_init(struct memory *m, const struct config *config, struct failure *f)
{
	uint64_t low = min_u64(config->memory_bytes, MACHINE_LOW_GAP);
	int r;

	*m = (struct memory){
		.fd = -1, .bytes = config->memory_bytes, .pages = config->memory_pages};
	r = map(m);
	if (r == 0 && config->firmware)
		r = map_rom(m);
	if (r < 0) {
		r = fail_memory(m, -r, f);
	} else {
		r = bind_nodes(m, config, f);
		if (r == 0 && fill(m) < 0)
			r = fail_memory(m, errno, f);
	}
	if (r < 0) {
		memory_done(m);
		return r;
	}
	allow_pinning(m->bytes);
	/* Fewer and larger faults, where the host's administrator allows it for shared memory. */
	if (!from_pool(m->pages))
		(void)madvise(m->base, m->bytes,
			      m->pages == PAGES_4K ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	gmem_add(&m->gmem, 0, low, m->base);
	if (m->rom)
		gmem_add(&m->gmem, MACHINE_ROM, MACHINE_ROM_BYTES, m->rom);
	if (m->bytes > low)
		gmem_add(&m->gmem, MACHINE_HIGH_RAM, m->bytes - low, m->base + low);
	return 0;
}

void memory_done(struct memory *m)
{
	gmem_track_done(&m->gmem);
	if (m->base)
		munmap(m->base, m->bytes);
	if (m->rom)
		munmap(m->rom, MACHINE_ROM_BYTES);
	if (m->fd >= 0)
		close(m->fd);
	*m = (struct memory){.fd = -1};
}

int memory_drop(const struct memory *m, uint64_t from, uint64_t to)
{
	return fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
			 (off_t)(to - from)) < 0
		       ? -errno
		       : 0;
}

int memory_clear(struct memory *m)
{
	int r = memory_drop(m, 0, m->bytes);

	return r < 0 ? r : fill(m);
}

bool memory_page_is_zero(const uint8_t *page)
{
	const uint64_t *word = (const uint64_t *)(const void *)page;
	uint64_t any = 0;

	/* A page of data shows it within its first words, mostly. */
	for (unsigned i = 0; i < 8; i++)
		any |= word[i];
	if (any)
		return false;
	for (unsigned i = 8; i < GMEM_PAGE / sizeof(*word); i++)
		any |= word[i];
	return !any;
}

struct memory_piece memory_touched(const struct memory *m, uint64_t from, uint64_t to)
{
	off_t data = lseek(m->fd, (off_t)from, SEEK_DATA), hole;

	if (data < 0 && errno != ENXIO) /* such pages do not tell */
		return (struct memory_piece){from, to};
	if (data < 0 || (uint64_t)data >= to)
		return (struct memory_piece){to, to};
	hole = lseek(m->fd, data, SEEK_HOLE);
	return (struct memory_piece){(uint64_t)data, hole < 0 ? to : min_u64((uint64_t)hole, to)};
}
