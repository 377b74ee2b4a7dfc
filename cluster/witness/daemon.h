/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The quorum device: runs until it is told to end, or corosync has gone. */
#ifndef OYA_CLUSTER_WITNESS_DAEMON_H
#define OYA_CLUSTER_WITNESS_DAEMON_H

#include "lib/fail.h"

/* path: of the region; NULL: corosync.conf says it. 0 once it was told to end, or -errno and the
 * sentence. SIGTERM and SIGINT are blocked. */
int daemon_run(const char *path, struct failure *f);

#endif
