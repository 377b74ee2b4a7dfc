/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `oya-import plan` and `oya-import look` have printed (docs/format/import.md), decoded.
 *
 * Trust: hostile, as the files that it was read from.
 */
#ifndef OYA_HOST_INTAKE_PLAN_H
#define OYA_HOST_INTAKE_PLAN_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/fail.h"

#define INTAKE_SOURCES_MAX 64u

/* An image that is to be brought. */
struct intake_source {
	char path[PATH_MAX];
	char format[16];         /* of oya-import; empty: to be found out */
	uint64_t offset, length; /* of a member of an archive; else 0 */
	uint64_t bytes;          /* of the disk that is in it */
	uint64_t grow;           /* to these bytes at least; 0: as it is */
};

/* Its object. 0 and *ret_plan, or -EPROTO and the sentence. */
int intake_plan_decode(const char *line, json_t **ret_plan, struct failure *f);

/* 0, or -EINVAL and the first of its refusals. */
int intake_plan_refused(const json_t *plan, struct failure *f);

/* The nth disk of a plan; `grow` of it stays. 0, or -EPROTO and the sentence. */
int intake_plan_disk(const json_t *plan, size_t n, struct intake_source *source, struct failure *f);

/* Settings of a VM as the plan has it, on the switch `default`. NULL: no memory. */
json_t *intake_plan_settings(const json_t *plan);

#endif
