/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See raw.h. Opening comes last; before it the way of a request: submit, one or more steps on
 * the ring, finish. A step is one kernel operation; short ones go on where they stopped.
 */
#include "disk/raw.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/gmem.h"
#include "base/util.h"

#define RETRIES_MAX 16u                /* of one step */
#define VECTOR_MAX ((unsigned)IOV_MAX) /* of one step */
#define SECTOR_BYTES 512u              /* of regular files */
#define PHYSICAL_BYTES 4096u           /* of regular files */

/* Data that the kernel cannot take past the page cache goes through aligned buffers. */
#define BOUNCE_BYTES (256u << 10)
#define BOUNCE_COUNT 4u
#define BOUNCE_ALIGN 4096u

struct raw_io {
	struct disk_op op;
	struct list link; /* free, or waiting for a bounce buffer */
	struct raw_disk *disk;
	struct block_request *req;
	uint64_t moved;
	struct iovec *iov; /* what is left of the request's */
	unsigned iov_count;
	unsigned retries;
	bool misaligned;
	uint8_t *bounce;
	struct iovec bounce_iov;
};

struct raw_disk {
	struct blockdev dev;
	struct disk_ring *ring;
	int fd;
	bool direct;
	bool is_device;
	int flush_error;
	unsigned inflight;
	uint64_t completed;
	struct list free;
	struct list bounce_waiting;
	struct raw_watcher watcher;
	bool held;           /* new requests wait */
	struct list waiting; /* those */
	unsigned waiting_count;
	uint8_t *bounce_memory;
	uint8_t *bounce_free[BOUNCE_COUNT];
	unsigned bounce_free_count;
	struct raw_io io[RAW_INFLIGHT_MAX];
};

static void step(struct raw_io *io);

/* Operations without an iovec, done in one step, whose result is no number of bytes. */
static bool has_no_data(enum block_op op)
{
	return op == BLOCK_FLUSH || op == BLOCK_DISCARD || op == BLOCK_ZERO;
}

/* --- requests --------------------------------------------------------------------------- */

static void release_bounce(struct raw_io *io)
{
	struct raw_disk *disk = io->disk;
	struct list *waiter;

	if (!io->bounce)
		return;
	disk->bounce_free[disk->bounce_free_count++] = io->bounce;
	io->bounce = NULL;
	waiter = list_pop(&disk->bounce_waiting);
	if (waiter)
		step(CONTAINER_OF(waiter, struct raw_io, link));
}

void raw_end(struct block_request *req, int result)
{
	struct raw_io *io = req->backend;
	struct raw_disk *disk = io->disk;

	disk->inflight--;
	disk->completed++;
	list_insert_before(disk->free.next, &io->link);
	req->done(req, result);
}

static void finish(struct raw_io *io, int result)
{
	struct raw_disk *disk = io->disk;
	struct block_request *req = io->req;

	/* A write for lack of space is refused before it is taken: nothing is lost by that. */
	if (!disk->direct && (req->op == BLOCK_FLUSH ? result < 0 : req->fua && result == -EIO))
		disk->flush_error = result;
	release_bounce(io);
	if (req->op == BLOCK_READ || !disk->watcher.ended ||
	    !disk->watcher.ended(disk->watcher.ctx, req, result))
		raw_end(req, result);
}

/* Steps over bytes of the vector, which has at least as many. */
static void advance(struct raw_io *io, uint64_t bytes)
{
	io->moved += bytes;
	while (bytes) {
		size_t n = min_u64(bytes, io->iov->iov_len);

		if (io->req->op == BLOCK_READ && io->req->gmem)
			gmem_written(io->req->gmem, io->iov->iov_base, n);
		io->iov->iov_base = (uint8_t *)io->iov->iov_base + n;
		io->iov->iov_len -= n;
		bytes -= n;
		if (io->iov->iov_len == 0) {
			io->iov++;
			io->iov_count--;
		}
	}
}

/* Copies between the bounce buffer and the next bytes of the vector. */
static void copy_bounce(struct raw_io *io, bool to_guest, uint64_t bytes)
{
	uint8_t *bounce = io->bounce;

	for (unsigned i = 0; bytes && i < io->iov_count; i++) {
		size_t n = min_u64(bytes, io->iov[i].iov_len);

		if (to_guest)
			memcpy(io->iov[i].iov_base, bounce, n);
		else
			memcpy(bounce, io->iov[i].iov_base, n);
		bounce += n;
		bytes -= n;
	}
}

/* Points the operation at a bounce buffer; false when it waits for one. */
static bool step_bounced(struct raw_io *io)
{
	struct raw_disk *disk = io->disk;

	if (!io->bounce) {
		if (!disk->bounce_free_count) {
			list_append(&disk->bounce_waiting, &io->link);
			return false;
		}
		io->bounce = disk->bounce_free[--disk->bounce_free_count];
	}
	io->bounce_iov = (struct iovec){
		.iov_base = io->bounce,
		.iov_len = min_u64(io->req->len - io->moved, BOUNCE_BYTES),
	};
	if (io->req->op == BLOCK_WRITE)
		copy_bounce(io, false, io->bounce_iov.iov_len);
	io->op.iov = &io->bounce_iov;
	io->op.iov_count = 1;
	return true;
}

/* Queues the next kernel operation of the request. */
static void step(struct raw_io *io)
{
	if (!has_no_data(io->req->op)) {
		io->op.offset = io->req->offset + io->moved;
		if (!io->misaligned) {
			io->op.iov = io->iov;
			io->op.iov_count = min_u32(io->iov_count, VECTOR_MAX);
		} else if (!step_bounced(io)) {
			return;
		}
	}
	disk_ring_queue(io->disk->ring, &io->op);
}

static void retry(struct raw_io *io)
{
	if (++io->retries > RETRIES_MAX)
		finish(io, -EIO);
	else
		step(io);
}

/* What a failed step means to the caller. */
static int error_of(struct raw_io *io, int result)
{
	enum block_op op = io->req->op;

	if (op != BLOCK_DISCARD && op != BLOCK_ZERO)
		return result;
	/* -EINVAL: a kernel whose io_uring knows no fallocate; the range has been checked. */
	if (result != -EOPNOTSUPP && result != -ENOSYS && result != -ENODEV && result != -EINVAL)
		return result;
	if (op == BLOCK_DISCARD)
		io->disk->dev.discard_bytes = 0;
	return -EOPNOTSUPP;
}

static void on_step_done(struct disk_op *op, int result)
{
	struct raw_io *io = CONTAINER_OF(op, struct raw_io, op);
	struct raw_disk *disk = io->disk;
	uint64_t moved;

	if (result == -EINTR || result == -EAGAIN) {
		retry(io);
		return;
	}
	if (result < 0 || has_no_data(io->req->op)) {
		finish(io, result < 0 ? error_of(io, result) : 0);
		return;
	}
	if (result == 0) { /* the file has become shorter than the disk */
		finish(io, -EIO);
		return;
	}
	/* Going on within a sector is not possible past the page cache. */
	moved = (uint64_t)result;
	if (disk->direct)
		moved &= ~(uint64_t)(disk->dev.sector_bytes - 1);
	if (moved == 0) {
		retry(io);
		return;
	}
	if (io->bounce && io->req->op == BLOCK_READ)
		copy_bounce(io, true, moved);
	advance(io, moved);
	io->retries = 0;
	if (io->moved == io->req->len)
		finish(io, 0);
	else
		step(io);
}

static int check_request(const struct raw_disk *disk, const struct block_request *req,
			 bool *ret_misaligned)
{
	uint64_t sector = disk->dev.sector_bytes, sum = 0;
	bool misaligned = false;

	*ret_misaligned = false;
	if ((req->op == BLOCK_FLUSH || req->fua) && disk->flush_error)
		return disk->flush_error;
	if (req->op == BLOCK_FLUSH)
		return 0;
	if (req->op != BLOCK_READ && disk->dev.read_only)
		return -EROFS;
	if (!range_within(req->offset, req->len, disk->dev.size_bytes))
		return -ERANGE;
	if (!req->len || !is_aligned(req->offset | req->len, sector))
		return -EINVAL;
	if (req->op == BLOCK_DISCARD && !disk->dev.discard_bytes)
		return -EOPNOTSUPP;
	if (has_no_data(req->op))
		return req->len <= INT64_MAX ? 0 : -EINVAL;
	for (unsigned i = 0; i < req->iov_count; i++) {
		const struct iovec *iov = &req->iov[i];

		if (__builtin_add_overflow(sum, iov->iov_len, &sum))
			return -EINVAL;
		misaligned |= !is_aligned((uintptr_t)iov->iov_base | iov->iov_len, sector);
	}
	*ret_misaligned = misaligned && disk->direct;
	return sum == req->len ? 0 : -EINVAL;
}

static int raw_submit(void *ctx, struct block_request *req)
{
	static const enum disk_op_kind kinds[] = {
		[BLOCK_READ] = DISK_OP_READ,  [BLOCK_WRITE] = DISK_OP_WRITE,
		[BLOCK_FLUSH] = DISK_OP_SYNC, [BLOCK_DISCARD] = DISK_OP_DISCARD,
		[BLOCK_ZERO] = DISK_OP_ZERO,
	};
	struct raw_disk *disk = ctx;
	struct list *link;
	struct raw_io *io;
	bool misaligned;
	int r = check_request(disk, req, &misaligned);

	if (r < 0)
		return r;
	link = list_pop(&disk->free);
	if (!link)
		return -EAGAIN;
	io = CONTAINER_OF(link, struct raw_io, link);
	*io = (struct raw_io){
		.op = {.kind = kinds[req->op],
		       .fd = disk->fd,
		       .offset = req->offset,
		       .len = req->len,
		       .done = on_step_done},
		.disk = disk,
		.req = req,
		.iov = req->iov,
		.iov_count = req->iov_count,
		.misaligned = misaligned,
	};
	if (req->op == BLOCK_WRITE && req->fua)
		io->op.rw_flags = RWF_DSYNC;
	req->backend = io;
	disk->inflight++;
	if (!disk->held) {
		step(io);
		return 0;
	}
	disk->waiting_count++;
	list_append(&disk->waiting, &io->link);
	return 0;
}

static void raw_kick(void *ctx)
{
	struct raw_disk *disk = ctx;

	disk_ring_kick(disk->ring);
}

static const struct block_ops raw_ops = {
	.submit = raw_submit,
	.kick = raw_kick,
};

/* --- opening ---------------------------------------------------------------------------- */

static int refuse(enum raw_reason *ret_reason, enum raw_reason reason, int error)
{
	*ret_reason = reason;
	return error;
}

static int shape_of_file(struct blockdev *dev, const struct stat *st)
{
	dev->size_bytes = (uint64_t)st->st_size;
	if (!dev->sector_bytes)
		dev->sector_bytes = SECTOR_BYTES;
	dev->physical_sector_bytes = PHYSICAL_BYTES;
	return 0;
}

static int shape_of_device(int fd, struct blockdev *dev, enum raw_reason *reason)
{
	unsigned physical;
	int logical, locked;

	if (ioctl(fd, BLKGETSIZE64, &dev->size_bytes) < 0 || ioctl(fd, BLKSSZGET, &logical) < 0 ||
	    ioctl(fd, BLKPBSZGET, &physical) < 0 || ioctl(fd, BLKROGET, &locked) < 0)
		return -errno;
	if (!dev->sector_bytes)
		dev->sector_bytes = (uint32_t)logical;
	/* The medium of a drive is only read, for which the page cache can mend the difference. */
	if ((logical != 512 && logical != 4096) ||
	    ((uint32_t)logical > dev->sector_bytes && !dev->read_only))
		return refuse(reason, RAW_REASON_SECTOR, -EINVAL);
	dev->physical_sector_bytes = physical < dev->sector_bytes ? dev->sector_bytes : physical;
	if (locked && !dev->read_only)
		return refuse(reason, RAW_REASON_READ_ONLY, -EROFS);
	return 0;
}

/* Whether the file system can punch holes: one past the end of the file changes nothing. */
static bool can_punch(int fd, uint64_t size_bytes)
{
	return size_bytes <= INT64_MAX - PHYSICAL_BYTES &&
	       fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)size_bytes,
			 PHYSICAL_BYTES) == 0;
}

/* A block device cannot be asked without losing data: its first discard will tell. */
static void find_discard(struct raw_disk *disk)
{
	struct blockdev *dev = &disk->dev;

	if (!dev->read_only && (disk->is_device || can_punch(disk->fd, dev->size_bytes)))
		dev->discard_bytes = dev->physical_sector_bytes;
}

static int find_shape(struct raw_disk *disk, enum raw_reason *reason)
{
	struct blockdev *dev = &disk->dev;
	int fd = disk->fd, r;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	disk->is_device = S_ISBLK(st.st_mode);
	if (S_ISREG(st.st_mode))
		r = shape_of_file(dev, &st);
	else if (disk->is_device)
		r = shape_of_device(fd, dev, reason);
	else
		r = refuse(reason, RAW_REASON_TYPE, -EINVAL);
	if (r == 0 && (!dev->size_bytes || !is_aligned(dev->size_bytes, dev->sector_bytes)))
		r = refuse(reason, RAW_REASON_SIZE, -EINVAL);
	return r;
}

/* The lock belongs to the open file, so it lives as long as the last copy of the descriptor, and
 * does not go away when another one of the same file is closed. */
static int lock_image(int fd, bool read_only, enum raw_reason *reason)
{
	struct flock whole = {
		.l_type = read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return refuse(reason, RAW_REASON_LOCKED, -EBUSY);
	return -errno;
}

/* Turns O_DIRECT on when reads past the page cache work with what guests may ask for: single
 * sectors, in memory aligned to no more than a sector. 0 whether they do or not. */
static int try_direct(struct raw_disk *disk, int flags)
{
	uint32_t sector = disk->dev.sector_bytes;
	ssize_t n;

	if (fcntl(disk->fd, F_SETFL, flags | O_DIRECT) < 0)
		return 0;
	do
		n = pread(disk->fd, disk->bounce_memory + sector, sector, 0);
	while (n < 0 && errno == EINTR);
	disk->direct = n == (ssize_t)sector;
	if (!disk->direct && fcntl(disk->fd, F_SETFL, flags) < 0)
		return -errno;
	return 0;
}

/* Sets the mode of the open file; io_uring would give -EAGAIN on O_NONBLOCK. */
static int set_mode(struct raw_disk *disk, bool direct, enum raw_reason *reason)
{
	int flags = fcntl(disk->fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (!disk->dev.read_only && (flags & O_ACCMODE) != O_RDWR)
		return refuse(reason, RAW_REASON_READ_ONLY, -EROFS);
	flags &= ~(O_NONBLOCK | O_DIRECT);
	if (fcntl(disk->fd, F_SETFL, flags) < 0)
		return -errno;
	if (!direct)
		return 0;
	disk->bounce_memory = aligned_alloc(BOUNCE_ALIGN, BOUNCE_COUNT * BOUNCE_BYTES);
	if (!disk->bounce_memory)
		return -ENOMEM;
	for (unsigned i = 0; i < BOUNCE_COUNT; i++)
		disk->bounce_free[disk->bounce_free_count++] =
			disk->bounce_memory + i * BOUNCE_BYTES;
	return try_direct(disk, flags);
}

static struct raw_disk *disk_new(struct disk_ring *ring, int fd, const struct raw_options *options)
{
	struct raw_disk *disk = calloc(1, sizeof(*disk));

	if (!disk)
		return NULL;
	disk->ring = ring;
	disk->fd = fd;
	disk->dev.ops = &raw_ops;
	disk->dev.ctx = disk;
	disk->dev.read_only = options->read_only;
	disk->dev.sector_bytes = options->sector_bytes;
	list_init(&disk->free);
	list_init(&disk->bounce_waiting);
	list_init(&disk->waiting);
	for (unsigned i = 0; i < RAW_INFLIGHT_MAX; i++)
		list_append(&disk->free, &disk->io[i].link);
	return disk;
}

int raw_open_fd(struct disk_ring *ring, int fd, const struct raw_options *options,
		struct raw_disk **ret_disk, enum raw_reason *ret_reason)
{
	enum raw_reason unused = RAW_REASON_SYSTEM, *reason = ret_reason ? ret_reason : &unused;
	struct raw_disk *disk;
	int r;

	*reason = RAW_REASON_SYSTEM;
	disk = disk_new(ring, fd, options);
	if (!disk)
		return -ENOMEM;
	r = find_shape(disk, reason);
	if (r == 0)
		r = set_mode(disk, options->direct, reason);
	if (r == 0 && !options->unlocked)
		r = lock_image(fd, options->read_only, reason);
	if (r < 0) {
		free(disk->bounce_memory);
		free(disk);
		return r;
	}
	find_discard(disk);
	*ret_disk = disk;
	return 0;
}

int raw_open(struct disk_ring *ring, const char *path, const struct raw_options *options,
	     struct raw_disk **ret_disk, enum raw_reason *ret_reason)
{
	/* O_NONBLOCK: a path that turns out to be a pipe must not block. */
	int flags = (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	int fd = open(path, flags), r;

	if (fd < 0) {
		r = -errno;
		if (ret_reason)
			*ret_reason = r == -EROFS ? RAW_REASON_READ_ONLY : RAW_REASON_SYSTEM;
		return r;
	}
	r = raw_open_fd(ring, fd, options, ret_disk, ret_reason);
	if (r < 0)
		close(fd);
	return r;
}

int raw_lock(struct raw_disk *disk)
{
	enum raw_reason reason;
	int r = lock_image(disk->fd, disk->dev.read_only, &reason);

	/* What was read while another had it may have changed. */
	if (r == 0 && !disk->direct)
		(void)posix_fadvise(disk->fd, 0, 0, POSIX_FADV_DONTNEED);
	return r;
}

void raw_unlock(struct raw_disk *disk)
{
	struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	(void)fcntl(disk->fd, F_OFD_SETLK, &whole);
}

void raw_close(struct raw_disk *disk)
{
	if (!disk)
		return;
	assert(disk->inflight == 0);
	close(disk->fd);
	free(disk->bounce_memory);
	free(disk);
}

const struct blockdev *raw_blockdev(const struct raw_disk *disk)
{
	return &disk->dev;
}

bool raw_is_direct(const struct raw_disk *disk)
{
	return disk->direct;
}

uint64_t raw_completed(const struct raw_disk *disk)
{
	return disk->completed;
}

int raw_sync(struct raw_disk *disk)
{
	/* The kernel tells of an error once. */
	if (!disk->dev.read_only && !disk->flush_error && fdatasync(disk->fd) < 0)
		disk->flush_error = -errno;
	return disk->flush_error;
}

unsigned raw_inflight(const struct raw_disk *disk)
{
	return disk->inflight;
}

int raw_fd(const struct raw_disk *disk)
{
	return disk->fd;
}

/* ---- another image in its place -------------------------------------------------------- */

void raw_watch(struct raw_disk *disk, const struct raw_watcher *watcher)
{
	disk->watcher = watcher ? *watcher : (struct raw_watcher){.ended = NULL};
}

void raw_hold(struct raw_disk *disk)
{
	disk->held = true;
}

bool raw_is_still(const struct raw_disk *disk)
{
	return disk->inflight == disk->waiting_count;
}

void raw_let_go(struct raw_disk *disk)
{
	struct list *link;

	disk->held = false;
	while ((link = list_pop(&disk->waiting))) {
		struct raw_io *io = CONTAINER_OF(link, struct raw_io, link);
		bool misaligned;

		/* The image may be another one than when it came. */
		io->op.fd = disk->fd;
		(void)check_request(disk, io->req, &misaligned);
		io->misaligned = misaligned;
		disk->waiting_count--;
		step(io);
	}
	disk_ring_kick(disk->ring);
}

void raw_replace(struct raw_disk *disk, struct raw_disk *by)
{
	uint8_t *bounce_memory = disk->bounce_memory;
	int fd = disk->fd;

	assert(raw_is_still(disk) && by->inflight == 0);
	disk->fd = by->fd;
	disk->direct = by->direct;
	disk->is_device = by->is_device;
	disk->flush_error = by->flush_error;
	disk->bounce_memory = by->bounce_memory;
	memcpy(disk->bounce_free, by->bounce_free, sizeof(disk->bounce_free));
	disk->bounce_free_count = by->bounce_free_count;
	if (!by->dev.discard_bytes)
		disk->dev.discard_bytes = 0;
	by->fd = fd;
	by->bounce_memory = bounce_memory;
	raw_close(by);
}
