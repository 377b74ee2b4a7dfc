/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The folder of a VM that takes its disks along to a host with which it has no folder in common
 * (docs/design/live.md): looked at by the source; made anew, with empty images, by the destination.
 *
 * Each host has a lease file of its own then. The destination's is born as an offer of the source
 * at the epoch to which the source raises its own when it gives that away; so the destination takes
 * it by the same word as any other, and the source knows that it is not its any more.
 *
 * Trust: the settings and numbers are an offer's, decoded: images are names within the folder, made
 * where there was none, and as large as the offer says.
 *
 * Threads: the pool's; all of these wait for disks.
 */
#ifndef OYA_HOST_LUGGAGE_H
#define OYA_HOST_LUGGAGE_H

#include <jansson.h>
#include <stdint.h>

#include "host/offer.h"

/* The source: whether all of the folder can come along, and the epoch of its lease. 0, or -errno
 * and the sentence. */
int luggage_look(const char *folder, const struct settings *s, const struct guid *me,
		 uint64_t *ret_epoch, struct failure *f);
/* The destination: what stands in the way on this host; sentences are added to the list. */
void luggage_judge(const struct offer *o, const char *folder, json_t *reasons);
/* Makes the folder, its vm.json last. 0; or -errno and the sentence, and what was made is left for
 * luggage_remove(), but of -EEXIST: the folder is somebody's. */
int luggage_make(const struct offer *o, const struct settings *s, const char *folder,
		 const struct guid *me, struct failure *f);

/* The folder goes, or what a link of this name leads to and the link: one without a vm.json yet, or
 * whose lease, which goes last, says that the VM never came here; or (`gone`) one that another host
 * has. Fine when there is none. 0, or -errno and the sentence. */
int luggage_remove(const char *folder, const struct guid *vm, const struct guid *me, bool gone,
		   struct failure *f);

#endif
