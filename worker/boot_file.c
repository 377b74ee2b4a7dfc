/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "lib/parallel.h"
#include "worker/boot_priv.h"

#define FILE_MAX (UINT64_C(1) << 32)
#define PIECE (UINT64_C(4) << 20)

int boot_file_len(const struct boot_file *file, uint64_t *ret_len, struct failure *f)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return fail(f, -errno, "cannot read the %s %s: %s", file->role, file->path,
			    strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(f, -EINVAL, "the %s %s is not a regular file", file->role, file->path);
	if (st.st_size == 0)
		return fail(f, -EINVAL, "the %s %s is empty; copy it anew", file->role, file->path);
	if ((uint64_t)st.st_size > FILE_MAX)
		return fail(f, -EFBIG, "the %s %s is larger than 4 GiB", file->role, file->path);
	*ret_len = (uint64_t)st.st_size;
	return 0;
}

struct reading {
	int fd;
	uint64_t at, len;
	uint8_t *to;
};

static int read_piece(void *ctx, size_t i)
{
	const struct reading *all = ctx;
	uint64_t done = i * PIECE, end = min_u64(done + PIECE, all->len);

	while (done < end) {
		ssize_t n = pread(all->fd, all->to + done, end - done, (off_t)(all->at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		done += (uint64_t)n;
	}
	return 0;
}

int boot_file_read(const struct boot_file *file, uint64_t at, uint8_t *to, uint64_t len,
		   struct failure *f)
{
	struct reading all = {file->fd, at, len, to};
	int r = parallel_do((len + PIECE - 1) / PIECE, read_piece, &all);

	if (r == -ENODATA)
		return fail(f, -EIO, "the %s %s became shorter while it was read", file->role,
			    file->path);
	if (r < 0)
		return fail(f, r, "cannot read the %s %s: %s", file->role, file->path,
			    strerror(-r));
	return 0;
}

int boot_too_small(const struct gmem *gm, const char *what, struct failure *f)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < gm->count; i++)
		bytes += gm->region[i].len;
	return fail(f, -ENOSPC,
		    "the %s does not fit into the VM's %llu MiB of memory; give it more", what,
		    (unsigned long long)(bytes >> 20));
}
