/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: one JSON object a line, a request and its answer in turn
 * (docs/format/control.md).
 *
 * Trust: whoever may open the socket may stop the VM; what they send is checked all the same.
 * Threads: the loop's, with the lock of the devices held.
 */
#ifndef OYA_WORKER_CONTROL_H
#define OYA_WORKER_CONTROL_H

#include "lib/fail.h"

#define CONTROL_VERSION 1
#define CONTROL_LINE_MAX 4096u
#define CONTROL_CLIENTS_MAX 8u

struct vm;
struct control;

int control_new(const char *path, struct vm *vm, struct control **ret_control, struct failure *f);
void control_free(struct control *c);

/* Its socket loses its name: the process ends as it is. Any thread. */
void control_forget(const struct control *c);

/* Descriptor of the folder of the socket. */
int control_socket_folder(const struct control *c);

#endif
