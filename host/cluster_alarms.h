/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is wrong in a cluster, of its state as the API shows it (host/cluster_status.h): a list of
 * {"kind", "about", "text"} with a sentence each, which says what to do where that is known. Pure.
 */
#ifndef OYA_HOST_CLUSTER_ALARMS_H
#define OYA_HOST_CLUSTER_ALARMS_H

#include <jansson.h>

#define CLUSTER_ALARMS_MAX 256u

/* Every kind there is; NULL at the end. */
extern const char *const cluster_alarm_kinds[];

/* NULL: no memory. */
json_t *cluster_alarms(const json_t *status);

#endif
