/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "lib/log.h"
#include "worker/net_passt.h"
#include "worker/net_tap.h"

struct nic {
	struct loop_source source;
	struct net_tap *tap; /* one of the two is there */
	struct net_passt *passt;
	struct netvsp *device;
};

/* The VM's first NIC; the others differ in their last byte. */
static const struct guid nic_instance =
	GUID_INIT(0xf0ac1c8e, 0x5b6e, 0x4f3a, 0x9d27, 0x0a5c00000100);

static uint32_t wanted_events(const struct nic *nic)
{
	if (nic->tap)
		return net_tap_wants_read(nic->tap) ? EPOLLIN : 0;
	return (net_passt_wants_read(nic->passt) ? EPOLLIN : 0) |
	       (net_passt_wants_write(nic->passt) ? EPOLLOUT : 0);
}

static void poll_changed(void *ctx)
{
	struct nic *nic = ctx;

	/* Before the descriptor is known to the loop there is nothing to change. */
	if (nic->source.fd >= 0)
		loop_set_events(&nic->source, wanted_events(nic));
}

static void passt_ended(void *ctx, const char *sentence)
{
	struct nic *nic = ctx;

	log_line(LOG_LEVEL_ERROR, "%s", sentence);
	loop_remove(&nic->source);
	netvsp_set_link(nic->device, false);
}

static void on_ready(void *owner, uint32_t events)
{
	struct nic *nic = owner;

	if (nic->tap) {
		net_tap_readable(nic->tap);
		return;
	}
	if (events & EPOLLOUT)
		net_passt_writable(nic->passt);
	if (events & ~(uint32_t)EPOLLOUT)
		net_passt_readable(nic->passt);
}

static int open_backend(struct nic *nic, const struct config_port *c, struct failure *f)
{
	char err[FAIL_TEXT_MAX] = "";
	int r;

	if (c->type == NIC_TAP) {
		struct net_tap_config tap = {
			.ifname = c->ifname, .poll_changed = poll_changed, .ctx = nic};

		r = net_tap_open(&tap, &nic->tap, err, sizeof(err));
	} else {
		struct net_passt_config passt = {
			.forwards = (const char *const *)c->forward,
			.poll_changed = poll_changed,
			.ended = passt_ended,
			.ctx = nic,
		};

		memcpy(passt.mac, c->mac, sizeof(passt.mac));
		while (c->forward[passt.forward_count])
			passt.forward_count++;
		r = net_passt_open(&passt, &nic->passt, err, sizeof(err));
	}
	return r < 0 ? fail(f, r, "%s", err) : 0;
}

static int open_nic(struct nic *nic, const struct config_port *c, unsigned n, struct vmbus *bus,
		    struct loop *loop, struct failure *f)
{
	struct netvsp_config device = {.instance = nic_instance};
	struct netport *port;
	int fd, r;

	nic->source.fd = -1;
	r = open_backend(nic, c, f);
	if (r < 0)
		return r;
	port = nic->tap ? net_tap_port(nic->tap) : net_passt_port(nic->passt);
	fd = nic->tap ? net_tap_fd(nic->tap) : net_passt_fd(nic->passt);
	device.instance.b[15] = (uint8_t)n;
	memcpy(device.mac, c->mac, sizeof(device.mac));
	nic->device = netvsp_new(bus, &device, port);
	if (!nic->device)
		return fail(f, -ENOMEM, "cannot make NIC %u: out of memory", n);
	r = loop_add(loop, &nic->source, fd, wanted_events(nic), on_ready, nic);
	return r < 0 ? fail(f, r, "cannot watch NIC %u: %s", n, strerror(-r)) : 0;
}

int network_init(struct network *n, const struct config *config, struct vmbus *bus,
		 struct loop *loop, struct failure *f)
{
	int r = 0;

	*n = (struct network){0};
	while (r == 0 && n->count < config->nic_count) {
		struct nic *nic = calloc(1, sizeof(*nic));

		if (!nic)
			return fail(f, -ENOMEM, "cannot make NIC %u: out of memory", n->count);
		n->nic[n->count] = nic;
		r = open_nic(nic, &config->nic[n->count], n->count, bus, loop, f);
		n->count++;
	}
	return r;
}

void network_done(struct network *n)
{
	for (unsigned i = 0; i < n->count; i++) {
		struct nic *nic = n->nic[i];

		loop_remove(&nic->source);
		netvsp_free(nic->device);
		net_tap_close(nic->tap);
		net_passt_close(nic->passt);
		free(nic);
	}
	*n = (struct network){0};
}

json_t *network_statistics(const struct network *n)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < n->count; i++) {
		const struct netvsp_stats *s = netvsp_get_stats(n->nic[i]->device);

		json_array_append_new(list,
				      json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "type",
						n->nic[i]->tap ? "tap" : "user", "received_frames",
						(json_int_t)s->received_frames, "received_bytes",
						(json_int_t)s->received_bytes, "received_dropped",
						(json_int_t)s->received_dropped, "sent_frames",
						(json_int_t)s->sent_frames, "sent_bytes",
						(json_int_t)s->sent_bytes, "sent_dropped",
						(json_int_t)s->sent_dropped, "sent_refused",
						(json_int_t)s->sent_refused));
	}
	return list;
}
