/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verbs that reach into the guest: its keyboard and its key-value pairs.
 *
 * Threads: the loop's, with the lock of the devices held. Trust: arguments are checked here.
 * Each: 0 and *ret_result (may stay as it is), or -errno and the sentence.
 */
#ifndef OYA_WORKER_CONTROL_GUEST_H
#define OYA_WORKER_CONTROL_GUEST_H

#include <jansson.h>

#include "worker/vm.h"

int control_key(struct vm *vm, const json_t *arguments, struct failure *f);
int control_type(struct vm *vm, const json_t *arguments, struct failure *f);
int control_kvp_get(struct vm *vm, const json_t *arguments, json_t **ret_result, struct failure *f);
int control_kvp_set(struct vm *vm, const json_t *arguments, struct failure *f);
int control_kvp_delete(struct vm *vm, const json_t *arguments, struct failure *f);

#endif
