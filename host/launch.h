/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts a worker so that it outlives the daemon: a transient service of systemd's where that
 * runs, else a process in a session of its own.
 *
 * What becomes of the worker is told by its files (host/vm.c), not from here; only that it could
 * not be started at all is.
 *
 * Threads: the loop's; launch_start() forks, which takes no longer than the daemon is large.
 */
#ifndef OYA_HOST_LAUNCH_H
#define OYA_HOST_LAUNCH_H

#include <stdbool.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "base/list.h"
#include "lib/fail.h"

struct launcher {
	sd_event *event;
	bool has_systemd;
	sd_bus *bus;        /* of the system; NULL: without systemd */
	struct list units;  /* launches as units, under way */
	const char *worker; /* path of oya-worker */
};

struct launch_wish {
	const char *uuid, *name; /* of the VM */
	const char *folder;      /* with its disks */
	const char *run;         /* its folder there: worker.json, and log without systemd */
	unsigned cpu_percent;    /* 0: no limit */
	unsigned cpu_weight;
	void (*failed)(void *ctx, const char *sentence); /* later, or never */
	void *ctx;
};

/* Finds out whether systemd runs. 0, or -errno. */
int launcher_init(struct launcher *s, sd_event *event, const char *worker);
void launcher_done(struct launcher *s);

struct launch;

/* Starts it. 0 and *ret_launch, which is to be freed once the worker is up or has ended, or -errno
 * and the sentence. */
int launch_start(struct launcher *s, const struct launch_wish *wish, struct launch **ret_launch,
		 struct failure *f);

/* `failed` is not called any more. The worker goes on. NULL is fine. */
void launch_free(struct launch *s);

#endif
