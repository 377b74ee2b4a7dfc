/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where clients come in: the API's Unix socket, and a TCP socket with TLS where one is wanted; and
 * who of them is let in (host/gate.h).
 *
 * Threads: the loop's.
 */
#ifndef OYA_HOST_DOOR_H
#define OYA_HOST_DOOR_H

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "host/api.h"
#include "lib/listen.h"

#define DOOR_LOOK_US 60000000u /* how often those are looked for whose time is over */

struct door {
	sd_event *event;
	struct api *api;
	gid_t group;
	struct http *http;
	struct listener socket;
	int tcp;
	struct tls_server *tls;
	struct cluster *cluster;
	sd_event_source *hup, *timer;
};

/* Opens it for an API whose host and events are there. `listen`: "ADDRESS:PORT", or NULL for the
 * Unix socket alone. 0, or -errno and the sentence; door_close() in either case. */
int door_open(struct door *d, struct api *api, const char *listen, struct failure *f);

/* Before the host ends: nobody comes any more. */
void door_close(struct door *d);
/* After it. */
void door_done(struct door *d);

#endif
