/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cluster engine of this host, Corosync and Pacemaker: its files, its start and its end, and
 * its tools. As units where systemd runs; elsewhere as processes in sessions of their own, which
 * outlive the daemon and are found by what it has noted of them.
 *
 * Threads: the pool's, one at a time: all of it may wait, for the disk and for programs.
 */
#ifndef OYA_HOST_ENGINE_H
#define OYA_HOST_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

#include "host/members.h"
#include "lib/fail.h"

#define ENGINE_KEY_BYTES 256u
#define ENGINE_KEY_TEXT (2 * ENGINE_KEY_BYTES)
#define ENGINE_TEXT_MAX (1u << 20) /* of what a tool prints */

/* Runs a tool to its end, for so many seconds at most. `command` begins with its path; NULL ends
 * it. Its output in *ret_text, to be freed, unless that is NULL. 0; -EIO when it ends otherwise; or
 * -errno; and the sentence. */
int engine_tool(const char *const *command, unsigned seconds, char **ret_text, struct failure *f);

/* Whether the engine is installed, and this host in no cluster that is not ours. 0, or -errno and
 * the sentence. */
int engine_look(struct failure *f);

/* "3.1.7-1+deb12u2", "2.1.5": of the packages or of the programs themselves. */
#define ENGINE_VERSION_MAX 63u
int engine_versions(char corosync[ENGINE_VERSION_MAX + 1], char pacemaker[ENGINE_VERSION_MAX + 1],
		    struct failure *f);

/* A key of random bytes as digits; the one that is there. */
int engine_make_key(char ret_key[ENGINE_KEY_TEXT + 1], struct failure *f);
int engine_read_key(char ret_key[ENGINE_KEY_TEXT + 1], struct failure *f);

/* Writes corosync.conf, and the key unless it is NULL. */
int engine_write(const struct members *m, const char *key, struct failure *f);
/* Removes both, and what Pacemaker knows; what was there before oyad comes back. */
int engine_clean(struct failure *f);

/* `run`: the daemon's folder for what runs. Starting what runs does nothing. */
int engine_start(const char *run, struct failure *f);
int engine_stop(const char *run, struct failure *f);
/* The program that asks the witness, which runs while corosync does and the list has one. */
#define ENGINE_WITNESS "/usr/sbin/oya-witness"
int engine_start_witness(const char *run, struct failure *f);
int engine_stop_witness(const char *run, struct failure *f);
/* All of its hosts read their corosync.conf anew. */
int engine_reload(struct failure *f);

#endif
