/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this host has for VMs, and what its VMs of the cluster need, kept true in the engine's
 * configuration: it is compared, and only what differs is written (docs/design/placement.md).
 *
 * Threads: the loop's; programs are run in the pool.
 */
#ifndef OYA_HOST_CAPACITY_H
#define OYA_HOST_CAPACITY_H

#include <stdint.h>
#include <stdio.h>

#include "host/scene.h"

#define CAPACITY_CPUS 8u /* virtual processors to one of the host's, at most */

/* Set by who starts the daemon, or left to it. */
struct capacity {
	uint64_t memory_mib; /* that VMs may take; 0: by capacity_default_mib() */
	const char *tag[SCENE_TAGS_MAX];
	unsigned tags;
};

/* False: it is no tag, or one too many. */
bool capacity_add_tag(struct capacity *c, const char *tag);
/* MiB, 1 to SCENE_NUMBER_MAX. */
bool capacity_take_memory(struct capacity *c, const char *text);

/* Of a host with so much memory: all but a sixteenth and 512 MiB, and half at least. */
uint64_t capacity_default_mib(uint64_t memory_mib);

/* What is to be written: XML for cibadmin, to be freed; "" when all is as the engine has it.
 * `name`: of this host, with `host`; `vm`: VMs that run here. NULL: no memory. Pure. */
char *capacity_encode(const struct scene *s, const struct scene_host *host,
		      const struct scene_vm *vm, unsigned vms);

/* Compares, and writes. What fails is tried with the next call. */
struct host;
void capacity_tell(struct host *h);

#endif
