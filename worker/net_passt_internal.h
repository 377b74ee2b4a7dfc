/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What net_passt.c (frames) and net_passt_spawn.c (the process) share; nobody else includes this.
 */
#ifndef OYA_WORKER_NET_PASST_INTERNAL_H
#define OYA_WORKER_NET_PASST_INTERNAL_H

#include <sys/types.h>

#include "worker/net_passt.h"

#define PASST_SENTENCE_MAX 512

struct passt_child {
	pid_t pid;     /* 0: none */
	int pid_fd;    /* the same as a descriptor, for what may signal nobody else; -1 */
	int fd;        /* our end of its socket; whoever takes it closes it */
	int stderr_fd; /* read end, non-blocking; -1: none */
};

/* Starts passt and waits until it serves; 0 and *ret_child, or -errno and a sentence. */
int passt_spawn(const struct net_passt_config *config, struct passt_child *ret_child, char *err,
		size_t err_len);

/* Ends the process if it has not ended, and tells its last words: a sentence that begins with
 * `what`. The pid and the stderr are gone afterwards; fd is not touched. */
void passt_reap(struct passt_child *child, const char *what, char *sentence, size_t sentence_len);

#endif
