/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has happened in the cluster, as one host has seen it: a record (docs/format/cluster.md), and
 * what the engine's alerts say, as one.
 *
 * Trust: records come from files and from other members, alerts from the engine's user: both are
 * bounded and checked. Pure.
 */
#ifndef OYA_HOST_RECORD_H
#define OYA_HOST_RECORD_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "host/members.h"
#include "host/settings.h"
#include "lib/fail.h"

#define RECORD_WHY_MAX 240u
#define RECORD_US_MAX (INT64_C(1) << 53) /* the year 2255; a number that JSON carries */

enum record_kind {
	RECORD_LEFT, /* a host: the engine has lost it */
	RECORD_BACK,
	RECORD_FENCED,
	RECORD_NOT_FENCED,
	RECORD_STARTED, /* a VM */
	RECORD_NOT_STARTED,
	RECORD_STOPPED, /* as the engine wanted it */
	RECORD_ENDED,   /* by itself */
	RECORD_CAME,    /* as it ran, from another host */
	RECORD_KINDS
};

struct record {
	int64_t at_us;                   /* since 1970 */
	unsigned kind;                   /* enum record_kind */
	char host[MEMBERS_NAME_MAX + 1]; /* that it is about; of a VM: where it is */
	char by[MEMBERS_NAME_MAX + 1];   /* who fenced it; of a start: who had the VM, and is off */
	char vm[VM_NAME_MAX + 1];        /* or empty */
	char why[RECORD_WHY_MAX + 1];    /* or empty */
};

const char *record_kind_text(unsigned kind);

/* Takes so much of it as there is room for, in whole characters. */
void record_set_why(struct record *r, const char *why);

/* NULL: no memory, or it is no UTF-8. */
json_t *record_to_json(const struct record *r);
/* 0, or -EINVAL and the sentence. */
int record_of_json(json_t *object, struct record *ret_record, struct failure *f);

/* "name=value" with a NUL behind each: what the engine's alert agent has sent (cluster/alert).
 * 0; -ENOENT: nothing that is recorded; or -EINVAL and the sentence. */
int record_of_alert(const char *bytes, size_t len, struct record *ret_record, struct failure *f);

#endif
