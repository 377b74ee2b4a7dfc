/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM as the cluster's engine is told of it: a primitive and its constraints, as XML for cibadmin;
 * and read back of the engine's configuration, whoever has changed that. Pure.
 *
 * Trust: what a client wants is hostile until it is decoded here. The engine's words are bounded
 * and decoded as foreign ones.
 */
#ifndef OYA_HOST_RESOURCE_H
#define OYA_HOST_RESOURCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "host/settings.h"
#include "lib/fail.h"
#include "lib/probe.h"

#define RESOURCE_HOSTS_MAX 16u
#define RESOURCE_RESTARTS_MAX 1000u
#define RESOURCE_WITHIN_MAX_S 604800u
#define RESOURCE_WINDOW_MIN 30u /* minutes: the engine looks at its rules every 15 */
#define RESOURCE_PROBE_MAX_S 3600u
#define RESOURCE_PROBE_FAILURES_MAX 1000u
#define RESOURCE_PREFERRED 1000 /* the score of the first host that is preferred */

enum resource_priority { RESOURCE_LOW, RESOURCE_NORMAL, RESOURCE_HIGH };
/* To a host that is preferred, once that is back. */
enum resource_failback { RESOURCE_STAYS, RESOURCE_RETURNS, RESOURCE_RETURNS_AT };

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
	enum resource_failback failback;
	unsigned from, until;             /* minutes of the day, RESOURCE_RETURNS_AT */
	uint64_t restarts, within_s;      /* on one host, before another one gets it */
	char apart[VM_NAME_MAX + 1];      /* a group of whose VMs a host runs one at most; or "" */
	bool rather;                      /* that is wanted, but not at the price of not running */
	char probe[PROBE_TEXT_MAX + 1];   /* what its guest has to answer; or "" */
	uint64_t probe_s, probe_failures; /* how often it is asked, and may fail */
};

/* What a client wants. 0, or -EINVAL and the sentence. */
int resource_decode(json_t *body, struct resource_wish *ret_wish, struct failure *f);

struct resource {
	const char *name, *uuid, *folder;
	unsigned stop_s; /* that its stop may take */
	uint64_t memory_mib, cpus;
};

/* The XML that makes it, and the change of one that is there in one step of the engine, with what
 * others have set left as it is. To be freed; NULL: no memory. */
char *resource_encode(const struct resource *r, const struct resource_wish *w);
char *resource_encode_change(const struct resource *r, const struct resource_wish *w);

/* The constraint of its group, which others are in too: the XML that has it in there, to be freed;
 * NULL: no memory. */
char *resource_encode_group(const char *name, const struct resource_wish *w);
/* The id of that constraint. */
#define RESOURCE_GROUP_MAX (VM_NAME_MAX + 16)
void resource_group_id(const struct resource_wish *w, char to[RESOURCE_GROUP_MAX + 1]);

/* The priority's word, by what the engine has of it; NULL: somebody has set another. */
const char *resource_priority_word(const char *value);

/* "HH:MM-HH:MM" of a window, and the date_specs of its rule as the engine has them, each as
 * "HOURS,MINUTES;" without the units that it has not. */
#define RESOURCE_WINDOW_TEXT 12u
#define RESOURCE_SPECS_MAX 96u
void resource_window_text(unsigned from, unsigned until, char to[RESOURCE_WINDOW_TEXT]);
void resource_window_specs(unsigned from, unsigned until, char to[RESOURCE_SPECS_MAX]);

/* What the VM takes of a host, as an element of its primitive. */
void resource_put_needs(FILE *to, const char *name, uint64_t memory_mib, uint64_t cpus);

#endif
