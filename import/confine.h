/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walls around whatever decodes foreign bytes: a forked process with nothing but the files that
 * it is for. docs/design/import.md tells what stands when.
 *
 * Invariants:
 *  1. no foreign byte is decoded but within confined_run();
 *  2. when confined_run() returns, the process and all that it started have ended.
 */
#ifndef OYA_IMPORT_CONFINE_H
#define OYA_IMPORT_CONFINE_H

#include <signal.h>
#include <stddef.h>

#include "lib/fail.h"

#define CONFINE_READ_MAX 160u

struct confine_rules {
	const char *read[CONFINE_READ_MAX]; /* files, and folders with all below them */
	size_t read_count;
	const char *write; /* a file that may be written; NULL: none */
	unsigned cpu_s;    /* of processor time, for each process */
};

/* Of this process, for good: no new rights, no network, no files but those. 0, or -errno and the
 * sentence. What a kernel or a sandbox around us does not let us have is gone without, as long as
 * the rights are dropped. */
int confine(const struct confine_rules *rules, struct failure *f);

/* The memory that a process may have, where its own tools do not need more: for a program that is
 * started. */
void confine_memory(void);

/* Blocks the signals that end a program, which confined_run() takes, and ignores SIGPIPE. Once, at
 * the begin. */
void confined_prepare(void);
/* The mask before that, for programs that are started. */
const sigset_t *confined_mask(void);

/* Runs step(ctx) in a confined process. 0 when it has returned 0; otherwise -errno and the
 * sentence, its own or one about how it ended. -ECANCELED: we were told to end, and it was ended.
 */
int confined_run(const struct confine_rules *rules, int (*step)(void *ctx, struct failure *f),
		 void *ctx, struct failure *f);

#endif
