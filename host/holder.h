/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose a lease is: a member of the cluster by its host's UUID. */
#ifndef OYA_HOST_HOLDER_H
#define OYA_HOST_HOLDER_H

#include "host/members.h"

/* The name by which the engine knows the host. 0; -ENOENT and the sentence when it is no member, or
 * -errno and the sentence. Waits for the disk. */
int holder_name(const char *state, const struct guid *host, char ret_name[MEMBERS_NAME_MAX + 1],
		struct failure *f);

#endif
