/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which VMs' storage a rung cuts off. Power ends all that a host does. Reservations count for a VM
 * only if all disks that it writes to lie on devices with them: as they are, in a partition, or in
 * a volume whose parts all do. A file system without a device of its own (NFS, btrfs) lies on none.
 *
 * Trust: a VM's settings are hostile, and decoded as such; the kernel's words are not.
 *
 * Threads: the pool's: a share may hang.
 */
#ifndef OYA_HOST_COVERAGE_H
#define OYA_HOST_COVERAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "lib/fail.h"

#define COVERAGE_SYS "/sys"

/* Whether all that a device writes goes to the devices of the set, by the tree of sysfs. */
bool coverage_reaches(const char *sys, const dev_t *set, unsigned count, dev_t device);

/* 0: all disks that the VM of a folder writes to lie on these devices; else -errno and which does
 * not. */
int coverage_check(const json_t *devices, const char *folder, struct failure *f);

/* For each VM of rungs_decode() {"vm", "rungs": [names], "reason"}: why reservations do not count
 * for it; to be freed; NULL: no memory. */
json_t *coverage_show(const json_t *rungs);

#endif
