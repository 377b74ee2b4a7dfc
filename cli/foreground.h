/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker in the foreground: started, its console carried to the terminal, waited for.
 */
#ifndef OYA_CLI_FOREGROUND_H
#define OYA_CLI_FOREGROUND_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/fail.h"

/* Runs a worker with config. control: path of its control socket, or NULL for a private one.
 * stdio: its console is ours. The worker's exit status, or -errno and the sentence. */
int foreground_run(json_t *config, const char *control, bool stdio, struct failure *f);

#endif
