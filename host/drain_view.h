/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the engine's programs say of VMs while a host is drained (docs/design/drain.md): where they
 * are, what the engine would do with them, and what has failed.
 *
 * Trust: their words are bounded by who reads them, and decoded as foreign ones. Pure.
 */
#ifndef OYA_HOST_DRAIN_VIEW_H
#define OYA_HOST_DRAIN_VIEW_H

#include <jansson.h>
#include <stddef.h>

#include "lib/fail.h"

#define DRAIN_VMS_MAX 1024u
#define DRAIN_FAILURES_MAX 1024u

/*
 * The XML of crm_simulate --run, as to one host:
 *
 *	{"online": bool, "standby": bool, "vms": [
 *		{"name": "web", "host": "n1"|null, "moving": bool, "failed": bool, "to": "n2"|null,
 *		 "way": ...}]}
 *
 * A VM that is on the host and another one is on the host. `way` is how the engine would change it:
 * "live", "stopped" and started, "nowhere" (it would stop it for good); null: it leaves it as it
 * is. 0, or -errno and the sentence.
 */
int drain_view_decode(const char *text, size_t len, const char *host, json_t **ret_view,
		      struct failure *f);

/* The XML of crm_mon with failures: [{"key", "problem"}], a key for each that is new, and a
 * sentence. The same. */
int drain_failures_decode(const char *text, size_t len, json_t **ret_list, struct failure *f);

/* The object of that `name` in a list; NULL: there is none. */
json_t *drain_find(const json_t *list, const char *name);

#endif
