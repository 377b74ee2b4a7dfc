/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two halves of ocf:oya:vm: the VM (vm.c), and its guest (vm_guest.c), which deeper levels of
 * monitoring ask: 10 by its heartbeat, 20 by a probe of a service too.
 *
 * A boot takes time, so a probe counts once the guest has answered one since its worker began or
 * was reset. That, and how many have failed one after the other, is noted beside the worker's files
 * in memory; a note of another worker, or of before a reset, counts for nothing.
 */
#ifndef OYA_CLUSTER_RESOURCE_VM_H
#define OYA_CLUSTER_RESOURCE_VM_H

#include <jansson.h>
#include <limits.h>

#include "base/guid.h"
#include "cluster/resource/ocf.h"

struct resource {
	const char *name, *folder;
	char uuid[GUID_TEXT_LEN];
};

/* A file of its worker's folder. */
void vm_run_path(const struct resource *r, const char *file, char path[PATH_MAX]);

/* Whether the parameters of the probe are some. 0, or -EINVAL and the sentence. */
int vm_guest_check(struct failure *f);

/* Of a VM that runs, as oyad tells of it: whether its guest is well, as far as the level of this
 * monitor asks; told when it is not. A probe that is none is told too, and stops no VM. */
enum ocf vm_guest_judge(const struct resource *r, const json_t *vm);

#endif
