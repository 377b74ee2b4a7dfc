/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw images that are made with a VM: disks of a request that have `size_mib`, and those whose
 * content is `from` elsewhere. That has been brought into a folder of intake's (host/intake.h)
 * before, as the files 0, 1 and so on.
 */
#ifndef OYA_HOST_IMAGES_H
#define OYA_HOST_IMAGES_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/fail.h"

#define IMAGE_MIB_MAX (64u << 20) /* 64 TiB */

/* Takes `size_mib` and `from` out of the disks of settings that a client sent. brought: the folder
 * of what is brought from elsewhere, or NULL: nothing can be. *ret_images: what is to be made, for
 * images_make(); 0, or -EINVAL and the sentence. */
int images_take(json_t *settings, const char *brought, json_t **ret_images, struct failure *f);

/* Whether any disk of settings is `from` elsewhere. */
bool images_are_brought(const json_t *settings);

/* Makes them in a folder, or moves them there: sparse, and on the disk on return. 0, or -errno and
 * the sentence, with none left; -EEXIST when there is such a file. Waits: for the pool. */
int images_make(const json_t *images, const char *folder, struct failure *f);

/* Removes them again. Waits: for the pool. */
void images_remove(const json_t *images, const char *folder);

#endif
