/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks and NICs that come and go, while the VM runs or is off. Settings and guest change together:
 * the worker first, then the file, and what failed on the way is taken back.
 *
 * Threads: the loop's; images, files and taps are opened in the pool.
 */
#ifndef OYA_HOST_HOTPLUG_H
#define OYA_HOST_HOTPLUG_H

#include "host/edit.h"
#include "host/settings.h"

/* A disk as settings have it; its image is made with `size_mib`, or, `from` elsewhere, moved from
 * the folder `brought`, else NULL (host/images.h). 0: done() follows. Else -errno and the
 * sentence. */
int hotplug_add_disk(struct vm *vm, const json_t *disk, const char *brought, edit_done_fn *done,
		     void *ctx, struct failure *f);
/* Whether that would be refused now, `from` elsewhere. 0, or -errno and the sentence. */
int hotplug_check_disk(const struct vm *vm, const json_t *disk, struct failure *f);
/* The guest is not asked; the image stays. */
int hotplug_remove_disk(struct vm *vm, struct disk_place place, edit_done_fn *done, void *ctx,
			struct failure *f);
int hotplug_add_nic(struct vm *vm, const json_t *nic, edit_done_fn *done, void *ctx,
		    struct failure *f);
/* By its address. */
int hotplug_remove_nic(struct vm *vm, const char *mac, edit_done_fn *done, void *ctx,
		       struct failure *f);

#endif
