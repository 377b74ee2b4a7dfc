/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cluster/witness/region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guid.h"
#include "lib/random.h"
#include "lib/store.h"

/* NULL: no memory. */
static uint8_t *new_blocks(void)
{
	void *blocks;

	if (posix_memalign(&blocks, WITNESS_BLOCK_BYTES, WITNESS_REGION_BYTES) != 0)
		return NULL;
	memset(blocks, 0, WITNESS_REGION_BYTES);
	return blocks;
}

static int open_direct(const char *path, int flags, int *ret_fd, struct failure *f)
{
	int fd = open(path, O_RDWR | O_DIRECT | O_SYNC | O_CLOEXEC | O_NOCTTY | flags, 0600);
	struct stat st;

	if (fd < 0 && errno == EINVAL)
		return fail(f, -EINVAL,
			    "cannot use %s as a witness: its file system has no direct I/O, and a "
			    "cache would hide what other nodes write; take a disk or a file on NFS",
			    path);
	if (fd < 0)
		return fail(f, -errno, "cannot open the witness %s: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
		close(fd);
		return fail(f, -EINVAL,
			    "cannot use %s as a witness: it is neither a block device nor a file",
			    path);
	}
	*ret_fd = fd;
	return 0;
}

/* Up to len bytes from the region's beginning; how many there are, or -errno. */
static ssize_t read_blocks(int fd, uint8_t *blocks, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, blocks + done, len - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
		if (n == 0 || done % WITNESS_BLOCK_BYTES)
			break; /* its end */
	}
	return (ssize_t)done;
}

static int write_blocks(int fd, const uint8_t *blocks, size_t len, off_t at)
{
	ssize_t n;

	do
		n = pwrite(fd, blocks, len, at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO; /* a part is no record */
}

static int read_whole(struct region *r, struct failure *f)
{
	ssize_t n = read_blocks(r->fd, r->blocks, WITNESS_REGION_BYTES);

	if (n < 0)
		return fail(f, (int)n, "cannot read the witness %s: %s", r->path,
			    strerror((int)-n));
	if (n < (ssize_t)WITNESS_REGION_BYTES)
		return fail(f, -ENODATA,
			    "%s is no witness: it has %zd bytes, not %u; make one there with "
			    "'oya-witness --init %s'",
			    r->path, n, WITNESS_REGION_BYTES, r->path);
	return 0;
}

void region_close(struct region *r)
{
	if (r->fd >= 0)
		close(r->fd);
	free(r->blocks);
	*r = (struct region){.fd = -1};
}

static int begin(struct region *r, const char *path, int flags, struct failure *f)
{
	*r = (struct region){.fd = -1, .path = path, .blocks = new_blocks()};
	if (!r->blocks)
		return fail(f, -ENOMEM, "cannot open the witness %s: no memory", path);
	return open_direct(path, flags, &r->fd, f);
}

int region_open(struct region *r, const char *path, struct failure *f)
{
	int error = begin(r, path, 0, f);

	if (error == 0)
		error = read_whole(r, f);
	if (error == 0)
		error = witness_decode_head(path, r->blocks, &r->id, r->cluster, f);
	if (error < 0)
		region_close(r);
	return error;
}

/* ---- a new one ---- */

/* 1: to be made; 0: it is there. */
static int look(struct region *r, const char *cluster, struct failure *f)
{
	ssize_t n = read_blocks(r->fd, r->blocks, WITNESS_REGION_BYTES);
	struct stat st;

	if (n < 0)
		return fail(f, (int)n, "cannot read %s: %s", r->path, strerror((int)-n));
	if (n == (ssize_t)WITNESS_REGION_BYTES &&
	    witness_decode_head(r->path, r->blocks, &r->id, r->cluster, f) == 0) {
		if (strcmp(r->cluster, cluster) == 0)
			return 0;
		return fail(f, -EEXIST,
			    "%s is the witness of the cluster %s already; name another disk, or, "
			    "if that cluster is no more, zero its first %u bytes",
			    r->path, r->cluster, WITNESS_REGION_BYTES);
	}
	for (ssize_t i = 0; i < n; i++) {
		if (r->blocks[i])
			return fail(f, -EEXIST,
				    "%s is not empty; name another disk or file, or, if nothing on "
				    "it is needed, zero its first %u bytes",
				    r->path, WITNESS_REGION_BYTES);
	}
	if (n < (ssize_t)WITNESS_REGION_BYTES && fstat(r->fd, &st) == 0 && S_ISBLK(st.st_mode))
		return fail(f, -ENOSPC, "%s is too small for a witness: it has %zd bytes, not %u",
			    r->path, n, WITNESS_REGION_BYTES);
	return 1;
}

int region_make(const char *path, const char *cluster, struct failure *f)
{
	struct witness_head head;
	struct region r;
	int error;

	if (!cluster[0] || strlen(cluster) >= WITNESS_CLUSTER_MAX)
		return fail(f, -EINVAL, "a cluster's name has 1 to %u characters",
			    WITNESS_CLUSTER_MAX - 1);
	error = begin(&r, path, O_CREAT, f);
	if (error == 0)
		error = look(&r, cluster, f);
	if (error > 0) {
		/* Slots first: without the head nobody believes them. */
		error = write_blocks(r.fd, r.blocks, WITNESS_REGION_BYTES, 0);
		if (error == 0)
			error = random_uuid(&r.id);
		witness_encode_head(&r.id, cluster, &head);
		memcpy(r.blocks, &head, sizeof(head));
		if (error == 0)
			error = write_blocks(r.fd, r.blocks, WITNESS_BLOCK_BYTES, 0);
		if (error == 0)
			error = store_flush_parent(path);
		if (error < 0)
			fail(f, error, "cannot make a witness of %s: %s", path, strerror(-error));
	}
	region_close(&r);
	return error;
}

/* ---- slots ---- */

int region_write(struct region *r, const struct witness_record *record, struct failure *f)
{
	size_t at = (1 + witness_slot_of(record->node, record->count)) * WITNESS_BLOCK_BYTES;
	uint8_t *block = r->blocks + at;
	struct witness_slot slot;
	int error;

	witness_encode_slot(&r->id, record, &slot);
	memset(block, 0, WITNESS_BLOCK_BYTES);
	memcpy(block, &slot, sizeof(slot));
	error = write_blocks(r->fd, block, WITNESS_BLOCK_BYTES, (off_t)at);
	if (error < 0)
		fail(f, error, "cannot write the witness %s: %s", r->path, strerror(-error));
	return error;
}

int region_read(struct region *r, struct witness_seen ret_seen[WITNESS_SLOTS_MAX],
		struct failure *f)
{
	char cluster[WITNESS_CLUSTER_MAX];
	struct guid id;
	int error = read_whole(r, f);

	if (error == 0)
		error = witness_decode_head(r->path, r->blocks, &id, cluster, f);
	if (error == 0 && !guid_equal(&id, &r->id))
		error = fail(f, -ESTALE, "the witness %s was made anew; start oya-witness again",
			     r->path);
	if (error < 0)
		return error;
	for (uint32_t i = 0; i < WITNESS_SLOTS_MAX; i++)
		witness_decode_slot(&r->id, 1 + i / 2,
				    r->blocks + (size_t)(1 + i) * WITNESS_BLOCK_BYTES,
				    &ret_seen[i]);
	return 0;
}
