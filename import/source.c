/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "import/source.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

int source_of_file(int fd, uint64_t offset, uint64_t length, struct source *ret_source)
{
	struct stat st;
	uint64_t size;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(fd, BLKGETSIZE64, &size) < 0)
			return -errno;
	} else {
		size = (uint64_t)st.st_size;
	}
	if (!range_within(offset, length, size))
		return -ERANGE;
	*ret_source =
		(struct source){.fd = fd, .base = offset, .size = length ? length : size - offset};
	return 0;
}

struct source source_of_memory(const void *bytes, size_t len)
{
	return (struct source){.fd = -1, .bytes = bytes, .size = len};
}

int source_read(const struct source *s, uint64_t at, void *buf, size_t len)
{
	if (!range_within(at, len, s->size))
		return -ERANGE;
	if (s->fd < 0) {
		if (len > 0)
			memcpy(buf, s->bytes + at, len);
		return 0;
	}
	for (size_t done = 0; done < len;) {
		ssize_t n =
			pread(s->fd, (char *)buf + done, len - done, (off_t)(s->base + at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ERANGE; /* it has become shorter */
		done += (size_t)n;
	}
	return 0;
}
