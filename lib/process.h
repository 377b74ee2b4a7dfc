/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs that are run as subprocesses. They begin as from a shell: no signal blocked or ignored,
 * and of descriptors the first three alone.
 *
 * Threads: any.
 */
#ifndef OYA_LIB_PROCESS_H
#define OYA_LIB_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

struct process_wish {
	const char *program;            /* its path */
	const char *const *arguments;   /* behind its own name; NULL ends them */
	const char *const *environment; /* NULL ends it; NULL: ours */
	int in, out, errors;            /* -1: nothing, /dev/null */
	bool session;                   /* of its own, so that it outlives us */
};

#define PROCESS_ARGUMENTS_MAX 16u

/* 0, or -errno. Who called sees to its end. */
int process_start(const struct process_wish *s, pid_t *ret_pid);

#endif
