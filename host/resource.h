/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM as the cluster's engine is told of it: a primitive and its constraints, as XML for cibadmin.
 * Pure.
 *
 * Trust: what a client wants is hostile until it is decoded here.
 */
#ifndef OYA_HOST_RESOURCE_H
#define OYA_HOST_RESOURCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "host/settings.h"
#include "lib/fail.h"

#define RESOURCE_HOSTS_MAX 16u
#define RESOURCE_RESTARTS_MAX 1000u
#define RESOURCE_WITHIN_MAX_S 604800u

enum resource_priority { RESOURCE_LOW, RESOURCE_NORMAL, RESOURCE_HIGH };

struct resource_hosts {
	char name[RESOURCE_HOSTS_MAX][VM_NAME_MAX + 1]; /* those that the engine knows */
	unsigned count;
};

/* Where it may run, and what becomes of it. */
struct resource_wish {
	struct resource_hosts preferred; /* the first most */
	struct resource_hosts possible;  /* none: all */
	struct resource_hosts needs;     /* tags in place of hosts: all of them, of its host */
	unsigned priority;               /* enum resource_priority: who starts first, and stays */
	bool live;                       /* how it moves; else it is stopped, as its settings say */
	bool failback;                   /* to a host that is preferred, as soon as it is back */
	uint64_t restarts, within_s;     /* on one host, before another one gets it */
};

/* What a client wants. 0, or -EINVAL and the sentence. */
int resource_decode(json_t *body, struct resource_wish *ret_wish, struct failure *f);

/* The XML, to be freed; NULL: no memory. */
struct resource {
	const char *name, *uuid, *folder;
	unsigned stop_s; /* that its stop may take */
	uint64_t memory_mib, cpus;
};
char *resource_encode(const struct resource *r, const struct resource_wish *w);

/* What the VM takes of a host, as an element of its primitive. */
void resource_put_needs(FILE *to, const char *name, uint64_t memory_mib, uint64_t cpus);

#endif
