/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which hosts the cluster has, as far as others here need it: of the file cluster.json. */
#ifndef OYA_HOST_MEMBERS_H
#define OYA_HOST_MEMBERS_H

#include "base/guid.h"
#include "lib/fail.h"

#define MEMBER_NAME_MAX 64u

/* The name by which the engine knows the host of that UUID. 0; -ENOENT and the sentence when it is
 * no member, or -errno and the sentence. Waits for the disk. */
int members_name(const char *state, const struct guid *host, char ret_name[MEMBER_NAME_MAX + 1],
		 struct failure *f);

#endif
