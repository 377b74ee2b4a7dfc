/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw images that are made with a VM: disks of a request that have `size_mib`.
 */
#ifndef OYA_HOST_IMAGES_H
#define OYA_HOST_IMAGES_H

#include <jansson.h>

#include "lib/fail.h"

#define IMAGE_MIB_MAX (64u << 20) /* 64 TiB */

/* Takes `size_mib` out of the disks of settings that a client sent. *ret_images: what is to be
 * made, for images_make(); 0, or -EINVAL and the sentence. */
int images_take(json_t *settings, json_t **ret_images, struct failure *f);

/* Makes them in a folder: sparse, and on the disk on return. 0, or -errno and the sentence, with
 * none left; -EEXIST when there is such a file. Waits: for the pool. */
int images_make(const json_t *images, const char *folder, struct failure *f);

/* Removes them again. Waits: for the pool. */
void images_remove(const json_t *images, const char *folder);

#endif
