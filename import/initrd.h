/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether an initramfs has the drivers of Hyper-V's disks: archives of the kind cpio one behind the
 * other, of which those before the last are not compressed (microcode).
 *
 * Trust: a foreign guest's file. libarchive unpacks and decodes it, within limits; nothing is
 * written.
 */
#ifndef OYA_IMPORT_INITRD_H
#define OYA_IMPORT_INITRD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INITRD_BYTES_MAX (512u << 20) /* unpacked */

struct drivers {
	bool storage; /* hv_storvsc */
	bool bus;     /* hv_vmbus */
};

/* A file that is read from its begin to its end. */
struct stream {
	/* Up to len bytes, 0 at its end, or -errno. */
	long (*read)(void *ctx, void *buf, size_t len);
	void *ctx;
};

/* What of them is in it. 0; -ENOTSUP: no archive that is known; -EFBIG: longer than is looked at;
 * -EBADMSG; -ENOMEM. */
int initrd_look(const struct stream *s, struct drivers *ret_drivers);
/* The same with nothing unpacked, by our own decoder alone: what is compressed is -ENOTSUP. */
int initrd_look_plain(const struct stream *s, struct drivers *ret_drivers);

#endif
