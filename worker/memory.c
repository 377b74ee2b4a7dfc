/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/machine.h"
#include "base/util.h"

int memory_init(struct memory *m, uint64_t bytes, struct failure *f)
{
	uint64_t low = min_u64(bytes, MACHINE_LOW_GAP);
	void *base = MAP_FAILED;

	*m = (struct memory){.fd = memfd_create("guest-ram", MFD_CLOEXEC), .bytes = bytes};
	if (m->fd >= 0 && ftruncate(m->fd, (off_t)bytes) == 0)
		base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, m->fd,
			    0);
	if (base == MAP_FAILED) {
		int r = fail(f, -errno, "cannot get %llu MiB of memory for the VM: %s",
			     (unsigned long long)(bytes >> 20), strerror(errno));

		memory_done(m);
		return r;
	}
	m->base = base;
	/* Fewer and larger faults, where the host's administrator allows it for shared memory. */
	(void)madvise(base, bytes, MADV_HUGEPAGE);
	gmem_add(&m->gmem, 0, low, m->base);
	if (bytes > low)
		gmem_add(&m->gmem, MACHINE_HIGH_RAM, bytes - low, m->base + low);
	return 0;
}

void memory_done(struct memory *m)
{
	if (m->base)
		munmap(m->base, m->bytes);
	if (m->fd >= 0)
		close(m->fd);
	*m = (struct memory){.fd = -1};
}

int memory_clear(struct memory *m)
{
	if (fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)m->bytes) < 0)
		return -errno;
	return 0;
}
