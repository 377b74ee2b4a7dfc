/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OVF: the description of a VM in an XML envelope, and OVA: a tar file with one and its disks.
 *
 * Spec: DMTF DSP0243 (OVF 1.1 and 2.1), DSP0004 (units), resource types of CIM; POSIX (ustar, pax).
 */
#ifndef OYA_IMPORT_OVF_H
#define OYA_IMPORT_OVF_H

#include "import/plan.h"
#include "import/source.h"

/* Pure. Disks' sources are references as they stand in it, each checked to be a relative path that
 * does not climb. 0, or -errno and the sentence when it is no envelope. */
int ovf_decode(const char *text, size_t len, struct plan *p, struct failure *f);

struct tar_member {
	char name[256];
	uint64_t offset, length; /* of its data in the tar file */
	bool regular;
};

/* The member at *at, which is moved to the next one. 1; 0 at the end; -EBADMSG, or -errno. */
int tar_next(const struct source *s, uint64_t *at, struct tar_member *ret_member);

/* Disks' sources are names of members; offset and length are where those are. */
int ova_decode(const struct source *s, struct plan *p, struct failure *f);

#endif
