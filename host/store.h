/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files and folders of the host's and of VMs, so that what was said to be done is on the disk. What
 * begins with STORE_NEW is of something that did not come to its end.
 *
 * Threads: any of the pool's; all of these may wait for the disk.
 */
#ifndef OYA_HOST_STORE_H
#define OYA_HOST_STORE_H

#include "lib/fail.h"
#include "lib/store.h"

/* Makes a folder for root alone, unless it is there. */
int store_make_folder(const char *path, struct failure *f);

/* Makes a symbolic link, for good. -EEXIST when there is something of its name. */
int store_link(const char *target, const char *path, struct failure *f);

/* Renames within a folder, for good; what has the new name is not replaced. On failure it has the
 * old name, unless the disk does not even take that. */
int store_rename(const char *from, const char *to, struct failure *f);

/* Exchanges two names of a folder, for good. On failure they are as they were, unless the disk does
 * not even take that. */
int store_exchange(const char *one, const char *other, struct failure *f);

/* Removes a file of a folder, for good. Fine when there is none. */
int store_remove(const char *folder, const char *name, struct failure *f);

/* Removes a folder with all that is in it, on its own file system only, links not followed. */
int store_remove_folder(const char *path, struct failure *f);

#endif
