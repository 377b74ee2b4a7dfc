/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process uses of the host, by its files in /proc, which wait for no disk.
 *
 * Threads: any.
 */
#ifndef OYA_HOST_USAGE_H
#define OYA_HOST_USAGE_H

#include <stdint.h>

struct usage {
	uint64_t cpu_us;         /* of all its threads, since it began */
	uint64_t resident_bytes; /* a VM's memory is part of it, as far as it was touched */
};

/* Of the process that the descriptor stands for. 0, or -errno: -ESRCH when it has ended. */
int usage_read(int pidfd, struct usage *ret_usage);

/* Pure: of the text of /proc/PID/stat. 0 or -EBADMSG. */
int usage_decode(const char *stat, uint64_t ticks_per_s, uint64_t page_bytes,
		 struct usage *ret_usage);

#endif
