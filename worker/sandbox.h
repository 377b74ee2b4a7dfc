/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox: what the worker gives up once everything is open and before the guest's first
 * instruction, so that a guest that broke out of the devices finds nothing to reach for.
 *
 * In this order: namespaces without network and with an empty root (where the rights for it are
 * there), no capabilities and no way to new ones, no files (landlock), and per thread the system
 * calls of the table in sandbox.c, where any other ends the process.
 *
 * Threads: sandbox_enter() while there is only one; sandbox_thread() on each one made later.
 */
#ifndef OYA_WORKER_SANDBOX_H
#define OYA_WORKER_SANDBOX_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/fail.h"

enum sandbox_role { SANDBOX_LOOP, SANDBOX_VCPU };

/* folders: descriptors of folders from which files may be removed (sockets, at the end); -1 are
 * passed over. On return the calling thread is the loop's. 0, or -errno and the sentence. */
int sandbox_enter(const int *folders, unsigned count, struct failure *f);

/* Narrows the calling thread to a processor's system calls; nothing when no sandbox was entered.
 * 0 or -errno. */
int sandbox_thread(void);

/* Writes the table of system calls with the reason of each. */
void sandbox_print(FILE *to);

#endif
