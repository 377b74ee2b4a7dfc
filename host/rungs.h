/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rungs by which a cluster cuts off a silent host, and the VMs that it is about, as the
 * engine's configuration has them (cibadmin's XML); and the rung of reservations as the engine is
 * told of it.
 *
 * Trust: the configuration is the administrators'; it is bounded and decoded all the same. Pure.
 */
#ifndef OYA_HOST_RUNGS_H
#define OYA_HOST_RUNGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/members.h"
#include "lib/fail.h"

#define RUNGS_RESERVATION "fence-disks" /* the resource; there is one */
#define RUNGS_AGENT "fence_oya_reservation"
#define RUNGS_MAX 64u
#define RUNGS_VMS_MAX 1024u
#define RUNGS_DEVICES_MAX 64u
#define RUNGS_DEVICE_MAX 255u
#define RUNGS_TESTED "oya-tested" /* the attribute that has the last test */

/* {"rungs": [{"name", "kind", "agent", "devices": [], "nodes", "tested"}], "vms": [{"name",
 * "folder"}], "alone": bool}. `kind` is "reservation" or "power", which is all else; `alone`: a
 * host counts as cut off when reservations say so, whatever another rung says. 0, or -errno and the
 * sentence. */
int rungs_decode(const char *text, size_t len, json_t **ret_rungs, struct failure *f);

/* Devices of the rung of reservations, a borrowed list; NULL: there is no such rung. */
json_t *rungs_devices(const json_t *rungs);
bool rungs_has(const json_t *devices, const char *device);

/* A list of a client: names that the engine's configuration can have. 0, or -EINVAL and the
 * sentence. */
int rungs_check_devices(const json_t *devices, struct failure *f);

/* "/dev/a,/dev/b"; "n1:1;n2:2". To be freed; NULL: no memory. */
char *rungs_write_devices(const json_t *devices);
char *rungs_write_nodes(const struct members *m);

/* The rung of reservations, XML for cibadmin, to be freed; NULL: no memory. */
char *rungs_encode(const struct members *m, const json_t *devices);

/* What a test has shown, as the attribute has it, and back: {"at", "host", "passed", "reason"};
 * NULL: it is none. */
json_t *rungs_read_test(const char *text);
int rungs_write_test(char *text, size_t room, int64_t at_s, const char *host, const char *reason);

#endif
