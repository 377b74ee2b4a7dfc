/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logical units that reservations are asked of: devices of this host (/dev/sdX, /dev/sgN, links to
 * them) by SG_IO, and units of iSCSI targets by a URL, iscsi://HOST[:PORT]/TARGET/LUN, through
 * libiscsi.
 *
 * The registration belongs to the session: the kernel's for a device, so that it holds for all that
 * the host writes there; for a URL one of this process alone.
 *
 * Trust: what targets send is hostile. libiscsi parses the protocol; here only its length is
 * believed, and bounded.
 */
#ifndef OYA_CLUSTER_FENCE_UNIT_H
#define OYA_CLUSTER_FENCE_UNIT_H

#include "lib/reservation.h"

#define UNIT_NAME_MAX 256u

struct unit;

/* Opens it, within `timeout_s`, which is that of each command too. 0 or -errno and a sentence. */
int unit_open(const char *name, const char *initiator, unsigned timeout_s, struct unit **ret,
	      struct failure *f);
/* NULL is fine. */
void unit_close(struct unit *u);

struct reservation_unit *unit_reservation(struct unit *u);
/* Whether its session is of this process alone. */
bool unit_is_session(const struct unit *u);

#endif
