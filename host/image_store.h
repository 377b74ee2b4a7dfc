/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store of images: raw images below the host's state, on which disks of new VMs are based. An
 * image is a file NAME.raw of the folder `images`; there is nothing else to it.
 *
 * Threads: the pool's, but for the first two.
 */
#ifndef OYA_HOST_IMAGE_STORE_H
#define OYA_HOST_IMAGE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/fail.h"

/* As those of VMs. */
bool image_name_allowed(const char *name);

/* Where it is, or would be. 0, or -ENAMETOOLONG. */
int image_path(const char *state, const char *name, char *ret_path, size_t room);

/* By name: objects with `name`, `bytes` and `allocated_bytes`. */
int images_list(const char *state, json_t **ret_list, struct failure *f);

/* The file becomes the image, which must not be there. */
int image_add(const char *state, const char *name, const char *file, struct failure *f);
int image_remove(const char *state, const char *name, struct failure *f);

#endif
