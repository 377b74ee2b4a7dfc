/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox: what the worker gives up once everything is open and before the guest's first
 * instruction, so that a guest that broke out of the devices finds nothing to reach for.
 *
 * In this order: namespaces without network and with an empty root (where the host permits it),
 * lower limits, a user of its own (where one is named), no capabilities and no way to new ones, no
 * files and no network (landlock), and per thread the system calls of the table in sandbox.c, where
 * any other ends the process.
 *
 * Threads: sandbox_enter() while there is only one; sandbox_thread() on each one made later.
 */
#ifndef OYA_WORKER_SANDBOX_H
#define OYA_WORKER_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/fail.h"

enum sandbox_role { SANDBOX_LOOP, SANDBOX_VCPU };

/* folders: descriptors of folders from which files may be removed (sockets, at the end); -1 are
 * passed over. user: the user and group to become, which only root can; 0 stays who one is. On
 * return the calling thread is the loop's. 0, or -errno and the sentence. */
int sandbox_enter(const int *folders, unsigned count, uint32_t user, struct failure *f);

/* Narrows the calling thread to a processor's system calls; nothing when no sandbox was entered.
 * 0 or -errno. */
int sandbox_thread(void);

/* How many system calls a thread may make. */
unsigned sandbox_calls(enum sandbox_role role);

/* Writes the tables of system calls and of requests of ioctl, with the reason of each. */
void sandbox_print(FILE *to);

#endif
