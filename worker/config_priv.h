/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files that decode the configuration share. */
#ifndef OYA_WORKER_CONFIG_PRIV_H
#define OYA_WORKER_CONFIG_PRIV_H

#include "lib/fields.h"
#include "worker/config.h"

/* Pages, threads, nodes and pinning; after the sizes of the VM. */
int config_decode_layout(struct json_t *root, struct config *c, struct failure *f);

#endif
