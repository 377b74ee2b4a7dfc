/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A run of oya-import (docs/format/import.md), which alone reads what other systems have written.
 *
 * Trust: what it prints is as hostile as what it reads; lines and their number are bounded here,
 * and who asked decodes the last one.
 * Threads: the loop's.
 */
#ifndef OYA_HOST_IMPORTER_H
#define OYA_HOST_IMPORTER_H

#include <systemd/sd-event.h>

#include "lib/fail.h"

#define IMPORTER_LINE_MAX (1u << 20)

struct importer;

struct importer_events {
	void (*progress)(void *ctx, unsigned percent);
	/* It has ended, and is freed on return. r: 0, and the last line that it printed; else
	 * -errno and the sentence, -ECANCELED when it was cancelled. */
	void (*ended)(void *ctx, int r, const char *line, const struct failure *f);
	void *ctx;
};

/* Starts it with arguments, a list that ends with NULL. 0: ended() follows. Else -errno and the
 * sentence. */
int importer_start(sd_event *event, const char *program, const char *const *arguments,
		   const struct importer_events *events, struct importer **ret, struct failure *f);

/* Asks it to end; ended() follows. */
void importer_cancel(struct importer *i);

/* Ends it at once; ended() does not follow. NULL is fine. */
void importer_kill(struct importer *i);

#endif
