/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a file is, by the numbers at its begin (and, of a fixed VHD, its end), and whether a disk
 * image stands for itself: one that needs other files, a key, or that is not whole is refused here,
 * before qemu-img sees it.
 *
 * Trust: all bytes are hostile. A raw image holds what a guest wrote, which may look like any other
 * format; so who knows the format says it, and what looks like another is refused or read, never
 * followed to other files.
 *
 * Spec: QEMU docs/interop/qcow2.txt; VMware "Virtual Disk Format 5.0"; Microsoft "VHDX Format
 * Specification" 1.00 (MS-VHDX) and "Virtual Hard Disk Image Format Specification".
 */
#ifndef OYA_IMPORT_FORMAT_H
#define OYA_IMPORT_FORMAT_H

#include <stdbool.h>

#include "import/source.h"
#include "lib/fail.h"

enum format {
	FORMAT_NONE, /* not said, not known */
	FORMAT_RAW,
	FORMAT_QCOW2,
	FORMAT_VMDK,
	FORMAT_VHDX,
	FORMAT_VPC,
	FORMAT_OVA,
	FORMAT_OVF,
	FORMAT_LIBVIRT,
	FORMAT_XML, /* one of the two before it, which its first element tells */
};

/* The word for it, as options and results have it. */
const char *format_word(enum format format);
/* FORMAT_NONE: there is no such word. */
enum format format_of_word(const char *word);
bool format_is_image(enum format format);

/* What it is: FORMAT_RAW when nothing is known of it. 0, or -errno and the sentence: it cannot be
 * read, or is known and not one that can be taken over. `name` is for sentences. */
int format_of(const struct source *s, const char *name, enum format *ret_format, struct failure *f);

#define FORMAT_EXTENTS_MAX 256u
#define FORMAT_EXTENT_NAME_MAX 255u

struct extent {
	char name[FORMAT_EXTENT_NAME_MAX + 1]; /* of a file in the image's own folder */
	bool sparse;                           /* has a header of its own */
};

struct inspection {
	bool snapshots; /* within it, which are not taken over */
	unsigned extent_count;
	struct extent extents[FORMAT_EXTENTS_MAX]; /* of a VMDK that is a text */
};

/* Whether an image of that format stands for itself. 0, or -errno and the sentence why not. */
int format_inspect(const struct source *s, enum format format, const char *name,
		   struct inspection *ret_inspection, struct failure *f);

/* The parts of it that are files of their own. */
int vmdk_inspect(const struct source *s, const char *name, struct inspection *ret_inspection,
		 struct failure *f);
/* Whether a sparse extent is one and nothing that leads elsewhere. 0, or -errno. */
int vmdk_extent_check(const struct source *s);
int vhdx_inspect(const struct source *s, const char *name, struct failure *f);

#endif
