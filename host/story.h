/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log of a cluster for people: what its members have recorded, in the order of time, each told
 * once and with its cause. Times are those of the hosts' clocks, which differ by 2 s at most
 * (host/cluster.h). Pure.
 */
#ifndef OYA_HOST_STORY_H
#define OYA_HOST_STORY_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "host/record.h"

#define STORY_RECORDS_MAX 4096u
#define STORY_CAUSE_US INT64_C(600000000) /* what is before that is no cause any more */

/* Sorts the records, of which it leaves out the oldest when there are too many, and tells those
 * that are later than that: a list of entries (docs/api: ClusterLogEntry). NULL: no memory. */
json_t *story_tell(struct record *records, size_t count, int64_t since_us);

#endif
