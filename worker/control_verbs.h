/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a client of the control socket may ask for: a verb a row.
 */
#ifndef OYA_WORKER_CONTROL_VERBS_H
#define OYA_WORKER_CONTROL_VERBS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/fail.h"

struct vm;

/* Carries out one request (a line without its newline). The answer, always an object; the caller
 * owns it. *fd is a descriptor that the client has sent, or -1; a verb that takes it leaves -1.
 * *ret_console is set when the client's connection is to become the console. */
json_t *control_answer(struct vm *vm, const char *line, size_t len, int *fd, bool *ret_console);

#endif
