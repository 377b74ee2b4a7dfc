/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = read(fd, text + at, len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO; /* it has become shorter */
		at += (size_t)n;
	}
	return 0;
}

int store_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct failure *f)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r = 0;
	char *text = NULL;
	struct stat st;

	if (fd < 0)
		return fail(f, -errno, "cannot open %s: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0)
		r = fail(f, -errno, "cannot look at %s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		r = fail(f, -EINVAL, "%s is not a regular file", path);
	else if ((uint64_t)st.st_size > max)
		r = fail(f, -EFBIG, "%s is longer than %zu bytes", path, max);
	if (r == 0) {
		text = malloc((size_t)st.st_size + 1);
		r = text ? read_all(fd, text, (size_t)st.st_size) : -ENOMEM;
		if (r < 0)
			fail(f, r, "cannot read %s: %s", path, strerror(-r));
	}
	close(fd);
	if (r < 0) {
		free(text);
		return r;
	}
	text[st.st_size] = '\0';
	*ret_text = text;
	*ret_len = (size_t)st.st_size;
	return 0;
}

static int write_all(int fd, const char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, text + at, len - at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int store_write(const char *folder, const char *name, const char *text, size_t len,
		struct failure *f)
{
	int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1, r;
	char new[NAME_MAX + 1];

	snprintf(new, sizeof(new), STORE_NEW "%s", name);
	if (at >= 0)
		fd = openat(at, new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = fd < 0 ? -errno : write_all(fd, text, len);
	if (fd >= 0)
		close(fd);
	if (r == 0 && renameat(at, new, at, name) < 0)
		r = -errno;
	if (r == 0 && fsync(at) < 0)
		r = -errno;
	else if (r < 0 && at >= 0)
		unlinkat(at, new, 0);
	if (at >= 0)
		close(at);
	return r < 0 ? fail(f, r, "cannot write %s/%s: %s", folder, name, strerror(-r)) : 0;
}

int store_flush_parent(const char *path)
{
	char parent[PATH_MAX];
	char *slash;
	int fd, r = 0;

	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (!slash)
		return 0;
	slash[slash == parent] = '\0';
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	return r;
}
