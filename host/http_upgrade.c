/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests that become raw streams.
 *
 * The descriptor is duplicated and libmicrohttpd lets its own go at once: so the stream hangs on
 * nothing here and can be handed to another process. (A TLS listener will have to keep its own,
 * through which libmicrohttpd passes what it has decrypted.)
 */
#include <fcntl.h>
#include <stdlib.h>

#include "host/http_impl.h"

struct http_raw {
	void (*opened)(void *owner, int fd, const void *early, size_t len);
	void *owner;
	bool done;
};

void http_raw_lost(struct http_raw *raw)
{
	if (!raw->done)
		raw->opened(raw->owner, -1, NULL, 0);
	free(raw);
}

static void on_upgrade(void *owner, struct MHD_Connection *mhd, void *context, const char *early,
		       size_t len, MHD_socket fd, struct MHD_UpgradeResponseHandle *handle)
{
	struct http_exchange *x = context;
	struct http_raw *raw = owner;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	(void)mhd;
	raw->done = true;
	raw->opened(raw->owner, copy, early, copy < 0 ? 0 : len);
	MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
	http_kick(x->c->l);
}

void http_upgrade(struct http_request *r,
		  void (*opened)(void *owner, int fd, const void *early, size_t len), void *owner)
{
	struct http_exchange *x = (struct http_exchange *)r;
	struct http_raw *raw = calloc(1, sizeof(*raw));
	struct MHD_Response *response = NULL;

	if (raw && x->c && !x->gone)
		response = MHD_create_response_for_upgrade(on_upgrade, raw);
	if (response && !http_add_line(response, "Upgrade", r->route->protocol)) {
		MHD_destroy_response(response);
		response = NULL;
	}
	if (response) {
		*raw = (struct http_raw){.opened = opened, .owner = owner};
		x->raw = raw;
	} else {
		free(raw);
		opened(owner, -1, NULL, 0);
	}
	http_answer(x, 101, response);
}
