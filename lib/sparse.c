/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/sparse.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

bool sparse_next(int fd, uint64_t from, uint64_t end, uint64_t *ret_from, uint64_t *ret_to)
{
	off_t data = lseek(fd, (off_t)from, SEEK_DATA), hole;

	if (from >= end || (data < 0 && errno == ENXIO))
		return false;
	hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	*ret_from = data < 0 ? from : (uint64_t)data;
	*ret_to = hole < 0 ? end : min_u64((uint64_t)hole, end);
	return *ret_from < end;
}

bool sparse_is_zero(const uint8_t *bytes, size_t len)
{
	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* What is short goes on. */
int sparse_read(int fd, uint8_t *buffer, uint64_t len, uint64_t at)
{
	while (len) {
		ssize_t n = pread(fd, buffer, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		buffer += n;
		at += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

static int write_all(int fd, const uint8_t *bytes, uint64_t len, uint64_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, bytes, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes += n;
		at += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

/* Zeros become a hole, where that can be; the kernel zeroes parts of a block. */
static int put(const struct sparse_copy *c, const uint8_t *bytes, uint64_t len, uint64_t at,
	       bool zero)
{
	if (zero && c->fresh)
		return 0;
	if (zero && fallocate(c->to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
			      (off_t)len) == 0)
		return 0;
	return write_all(c->to, bytes, len, at);
}

/* What is in the buffer, in runs of zeros and of others, which begin and end at whole steps of the
 * file where they can. */
static int put_all(const struct sparse_copy *c, uint64_t len, uint64_t at)
{
	uint64_t from = 0, to = 0;
	bool zero = false;
	int r = 0;

	while (r == 0 && to < len) {
		uint64_t next = min_u64(align_up(at + to + 1, SPARSE_ALIGN) - at, len);
		bool now = sparse_is_zero(c->buffer + to, next - to);

		if (now != zero && to > from) {
			r = put(c, c->buffer + from, to - from, at + from, zero);
			from = to;
		}
		zero = now;
		to = next;
	}
	return r < 0 || to == from ? r : put(c, c->buffer + from, to - from, at + from, zero);
}

int sparse_write(int fd, uint8_t *buffer, uint64_t len, uint64_t at)
{
	const struct sparse_copy c = {.from = -1, .to = fd, .buffer = buffer};

	return put_all(&c, len, at);
}

int sparse_copy(struct sparse_copy *c, uint64_t at, uint64_t len)
{
	int r = 0;

	while (r == 0 && len) {
		uint64_t n = min_u64(len, SPARSE_STEP_BYTES);

		r = sparse_read(c->from, c->buffer, n, at);
		c->reading = r < 0;
		if (r == 0)
			r = put_all(c, n, at);
		at += n;
		len -= n;
	}
	return r;
}
