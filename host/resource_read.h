/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the engine's configuration says of a VM, whoever has written it: as a client's wish for it
 * reads, and what no wish can say as sentences.
 *
 * Trust: its words are bounded by who asks for them, and decoded as foreign ones. Pure.
 */
#ifndef OYA_HOST_RESOURCE_READ_H
#define OYA_HOST_RESOURCE_READ_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "host/resource.h"

/* An XPath of all that names the VM, and of the group of its wish, which may be NULL; something of
 * every configuration is among it. */
#define RESOURCE_QUERY_MAX (6 * VM_NAME_MAX + 400)
void resource_query(const char *name, const struct resource_wish *w,
		    char to[RESOURCE_QUERY_MAX + 1]);

struct resource_found {
	bool known;     /* the engine has it */
	bool ours;      /* and its parts are named as resource_encode() does */
	json_t *shown;  /* an object */
	json_t *groups; /* names of VMs, by the ids of the groups */
};

/* What that finds, by cibadmin. 0, to be freed; or -errno and the sentence. */
int resource_read(const char *text, size_t len, const char *name, struct resource_found *ret_found,
		  struct failure *f);
void resource_found_done(struct resource_found *found);

#endif
