/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files that decode the configuration share. */
#ifndef OYA_WORKER_CONFIG_PRIV_H
#define OYA_WORKER_CONFIG_PRIV_H

#include <errno.h>
#include <jansson.h>

#include "worker/config.h"

#define OR_INVALID(f, ...) fail(f, -EINVAL, "cannot use the VM's configuration: " __VA_ARGS__)

struct key {
	const char *name;
	json_type type;
};

/* Every member of obj is one of the keys, with its type; unknown ones are refused, so that a
 * misspelt setting is not silently lost. */
int check_keys(json_t *obj, const char *where, const struct key *keys, size_t count,
	       struct failure *f);

/* An absent member leaves *ret as it is. */
int take_number(json_t *obj, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
		struct failure *f);

/* Pages, threads, nodes and pinning; after the sizes of the VM. */
int config_decode_layout(json_t *root, struct config *c, struct failure *f);

#endif
