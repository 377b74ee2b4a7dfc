/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What settings.c leaves to settings_disks.c and settings_nics.c. Nobody else includes it. */
#ifndef OYA_HOST_SETTINGS_PARTS_H
#define OYA_HOST_SETTINGS_PARTS_H

#include "host/settings.h"

/* What the worker does not check: their number, and where their files are. */
int disks_check(const struct settings *s, struct failure *f);

/* As the worker has them; NULL: no memory. */
struct json_t *disks_for_worker(const struct settings *s, const char *folder);

/* Settings with another list of this name, which is taken. 0, or -errno and the sentence. */
int settings_with_list(const struct settings *s, const char *name, struct json_t *list,
		       struct settings **ret_settings, struct failure *f);

/* What the worker does not check: their number, and what those on switches ask of the switch. */
int nics_check(const struct settings *s, struct failure *f);

/* Addresses for those that have none, in the settings. 0 or -errno. */
int nics_give_addresses(struct json_t *root);

/* As the worker has them; NULL: no memory. */
struct json_t *nics_for_worker(const struct settings *s);

#endif
