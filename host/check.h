/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether the worker can use a configuration, by the worker's own decoder. */
#ifndef OYA_HOST_CHECK_H
#define OYA_HOST_CHECK_H

#include "lib/fail.h"
#include "lib/processor.h"

struct json_t;

/* Runs `worker --check` on it. 0, or -errno and the worker's sentence. Waits: for the pool. */
int check_config(const char *worker, const struct json_t *config, struct failure *f);

/* What this host's processor and kernel offer a guest: `worker --processor`. The same. */
int check_processor(const char *worker, struct processor *ret, struct failure *f);

#endif
