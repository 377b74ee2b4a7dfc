/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Linux on an ext2, ext3 or ext4 file system within a raw image: its newest kernel, and whether
 * that finds a disk of Hyper-V's.
 *
 * Trust: the file system is a foreign guest's. libext2fs decodes it, for reading only.
 */
#ifndef OYA_IMPORT_LINUX_DISK_H
#define OYA_IMPORT_LINUX_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "import/initrd.h"

#define KERNEL_VERSION_MAX 127u

enum driver_kind { DRIVER_UNKNOWN, DRIVER_NONE, DRIVER_MODULE, DRIVER_BUILT_IN };

struct linux_disk {
	bool kernel;                          /* there is one, and the rest is about it */
	char version[KERNEL_VERSION_MAX + 1]; /* any bytes but NUL and '/' */
	enum driver_kind storage, bus;        /* by the kernel's configuration */
	bool initrd;                          /* there is one */
	bool dracut;                          /* and it has the name that dracut gives it */
	int initrd_error;                     /* why it could not be looked into, or 0 */
	struct drivers drivers;               /* that are in it */
	bool old_names; /* its fstab names disks as they are called only on the old system */
};

/* The file system `offset` bytes into the image. 0 or -errno: it cannot be read. */
int linux_disk_look(const char *path, uint64_t offset, struct linux_disk *ret_disk);

/* Pure: what the text of a kernel's configuration, and of an fstab, says. */
enum driver_kind kernel_config_says(const char *text, const char *option);
bool fstab_has_old_names(const char *text);

#endif
