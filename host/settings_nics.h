/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What settings.c leaves to settings_nics.c: the NICs of a VM. Nobody else includes it. */
#ifndef OYA_HOST_SETTINGS_NICS_H
#define OYA_HOST_SETTINGS_NICS_H

#include "host/settings.h"

/* What the worker does not check: their number, and what those on switches ask of the switch. */
int nics_check(const struct settings *s, struct failure *f);

/* Addresses for those that have none, in the settings. 0 or -errno. */
int nics_give_addresses(struct json_t *root);

/* As the worker has them; NULL: no memory. */
struct json_t *nics_for_worker(const struct settings *s);

#endif
