/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens on the host, told to those who listen: numbered events, the last of which are kept
 * so that a listener can take up where its connection broke.
 *
 * A listener that asks for more than is kept, or for numbers that were never given, gets an event
 * "gap" first: it has to read anew what it knows.
 *
 * Context: the loop's thread.
 */
#ifndef OYA_HOST_EVENTS_H
#define OYA_HOST_EVENTS_H

#include <jansson.h>
#include <stdint.h>

#include "host/http.h"

#define EVENTS_KEPT_MAX 4096u
#define EVENTS_BYTES_MAX (512u << 10) /* of what is kept: a whole replay fits a stream's buffer */
#define EVENT_BYTES_MAX (64u << 10)

struct events;

/* Keeps up to `kept` events (1 to EVENTS_KEPT_MAX). The first gets the number `first` (not 0),
 * which is to be greater than any of before a restart, such as a time in microseconds. 0 and
 * *ret_events, or -ENOMEM. */
int events_new(unsigned kept, uint64_t first, struct events **ret_events);

/* What one who listens may see of an event about a VM, or (NULL) about anything else; `who` is its
 * request's. Without it all see all. */
enum events_sight {
	EVENTS_SEEN,
	EVENTS_HIDDEN,
	EVENTS_ENDED /* it may not be here any more: its stream ends */
};
typedef enum events_sight events_sight_fn(void *ctx, uint64_t who, const char *vm);
void events_set_sight(struct events *e, events_sight_fn *sight, void *ctx);
/* Asks it anew of all who listen, about no VM. */
void events_look_again(struct events *e);

/* Ends the streams of all who listen. NULL is fine. */
void events_free(struct events *e);

/* Tells all who listen, and keeps it. `type` is one line; `data` is taken over. Its number; or 0
 * when memory is short or it is longer than EVENT_BYTES_MAX: then it has none, and those who listen
 * are told of a gap. */
uint64_t events_publish(struct events *e, const char *type, json_t *data);

/* Ends the request (of a route with HTTP_STREAMS) by making its client a listener: of what follows
 * its Last-Event-ID, else of what comes. */
void events_listen(struct events *e, struct http_request *r);

#endif
