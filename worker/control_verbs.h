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
#include "worker/descriptors.h"

struct vm;

/* What a request makes of its client's connection, besides that it is answered. */
enum control_turn { CONTROL_STAYS, CONTROL_BECOMES_CONSOLE, CONTROL_WATCHES };

/* Carries out one request (a line without its newline). The answer, always an object; the caller
 * owns it. `given` are descriptors that the client has sent; a verb that takes them leaves none. */
json_t *control_answer(struct vm *vm, const char *line, size_t len, struct descriptors *given,
		       enum control_turn *ret_turn);

/* What the verb `status` gives; NULL: no memory. */
json_t *control_status(const struct vm *vm);

#endif
