/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STAT_BYTES_MAX 1024

static int read_text(const char *path, char text[STAT_BYTES_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, STAT_BYTES_MAX - 1);
	int r = n < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return r;
}

int usage_decode(const char *stat, uint64_t ticks_per_s, uint64_t page_bytes,
		 struct usage *ret_usage)
{
	/* The name may have anything in it, blanks and parentheses too. */
	const char *rest = strrchr(stat, ')');
	uint64_t user, system, pages;

	/* From the third field on: 14 and 15 are times, 24 is the resident set. */
	if (!rest || sscanf(rest + 1,
			    " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64
			    " %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64,
			    &user, &system, &pages) != 3)
		return -EBADMSG;
	ret_usage->cpu_us = (user + system) * 1000000 / ticks_per_s;
	ret_usage->resident_bytes = pages * page_bytes;
	return 0;
}

int usage_read(int pidfd, struct usage *ret_usage)
{
	char path[64], text[STAT_BYTES_MAX];
	const char *line;
	long pid;
	int r;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	r = read_text(path, text);
	if (r < 0)
		return r;
	line = strstr(text, "\nPid:");
	pid = line ? strtol(line + 5, NULL, 10) : -1;
	if (pid <= 0)
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	r = read_text(path, text);
	if (r == 0)
		r = usage_decode(text, (uint64_t)sysconf(_SC_CLK_TCK),
				 (uint64_t)sysconf(_SC_PAGESIZE), ret_usage);
	return r;
}
