/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The three verbs of oya-import. Each returns 0, or -errno and the sentence. */
#ifndef OYA_IMPORT_VERBS_H
#define OYA_IMPORT_VERBS_H

#include <stdbool.h>
#include <stdint.h>

#include "import/plan.h"
#include "import/qemu_img.h"

/* Prints what the VM or image of the file is to become. FORMAT_NONE: found out. */
int verb_plan(const char *file, enum format format, struct failure *f);

struct conversion {
	struct image image;
	const char *destination; /* made, and not there before */
	uint64_t grow;           /* how long the disk is to be at least; 0: as it is */
};

int verb_convert(const struct conversion *c, struct failure *f);

/* Prints whether a raw image boots, and whether its kernel finds its disk. */
int verb_look(const char *raw, struct failure *f);

/* Of a plan that was resolved: finds out formats and sizes, in the confined process. A disk that
 * cannot be taken over is a refusal. 0 or -errno. */
int disks_complete(struct plan *p, struct failure *f);

/* Whether an image can be converted as it stands, within the confined process. */
int disk_check(const struct image *i, struct inspection *scratch, struct failure *f);

/* The folder whose other files belong to an image; to be freed. NULL: none do, or out of memory. */
char *image_folder(const struct image *i);

#endif
