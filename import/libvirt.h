/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The XML of a libvirt domain, as `virsh dumpxml` writes it.
 *
 * Spec: libvirt's "Domain XML format".
 */
#ifndef OYA_IMPORT_LIBVIRT_H
#define OYA_IMPORT_LIBVIRT_H

#include "import/plan.h"

/* Pure. Disks' sources are paths as they stand in it. 0, or -errno and the sentence when it is no
 * domain. */
int libvirt_decode(const char *text, size_t len, struct plan *p, struct failure *f);

#endif
