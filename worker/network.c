/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/util.h"
#include "lib/log.h"
#include "worker/net_passt.h"
#include "worker/net_tap.h"

#define RARP_BYTES 60u
#define MADE_MAX 0xfeffu /* what two bytes of an instance id hold */

struct nic {
	struct loop_source source;
	struct net_tap *tap; /* one of the two is there */
	struct net_passt *passt;
	struct netvsp *device;
	uint8_t mac[6];
	unsigned made; /* by which its instance id differs */
	bool restored;
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

static int open_tap(struct nic *nic, const struct config_port *c, int fd, struct failure *f)
{
	struct net_tap_config tap = {
		.ifname = c->ifname, .mtu = c->mtu, .poll_changed = poll_changed, .ctx = nic};
	char err[FAIL_TEXT_MAX] = "";
	int r = fd < 0 ? net_tap_open(&tap, &nic->tap, err, sizeof(err))
		       : net_tap_adopt(&tap, fd, &nic->tap, err, sizeof(err));

	return r < 0 ? fail(f, r, "%s", err) : 0;
}

static int open_passt(struct nic *nic, const struct config_port *c, struct failure *f)
{
	struct net_passt_config passt = {
		.forwards = (const char *const *)c->forward,
		.mtu = c->mtu,
		.poll_changed = poll_changed,
		.ended = passt_ended,
		.ctx = nic,
	};
	char err[FAIL_TEXT_MAX] = "";
	int r;

	memcpy(passt.mac, c->mac, sizeof(passt.mac));
	while (c->forward[passt.forward_count])
		passt.forward_count++;
	r = net_passt_open(&passt, &nic->passt, err, sizeof(err));
	return r < 0 ? fail(f, r, "%s", err) : 0;
}

/* An id is never used again: the guest may still be busy with the one that left. */
static struct guid instance_of(unsigned made)
{
	struct guid instance = nic_instance;

	instance.b[14] = (uint8_t)(instance.b[14] + (made >> 8));
	instance.b[15] = (uint8_t)made;
	return instance;
}

/* A NIC's back end is there; now the device. `number` is the VM's for it. */
static int open_device(struct network *n, struct nic *nic, const struct config_port *c,
		       unsigned number, struct failure *f)
{
	struct netvsp_config device = {
		.instance = instance_of(n->made),
		.mtu = c->mtu,
		.queues = c->queues ? c->queues : (unsigned)min_u32(n->cpus, CONFIG_QUEUES_MAX),
		.spoof_guard = c->spoof_guard,
	};
	struct netport *port = nic->tap ? net_tap_port(nic->tap) : net_passt_port(nic->passt);
	int fd = nic->tap ? net_tap_fd(nic->tap) : net_passt_fd(nic->passt), r;

	nic->made = n->made++;
	memcpy(device.mac, c->mac, sizeof(device.mac));
	nic->device = netvsp_new(n->bus, &device, port);
	if (!nic->device)
		return fail(f, -ENOMEM, "cannot make NIC %u: out of memory", number);
	r = loop_add(n->loop, &nic->source, fd, wanted_events(nic), on_ready, nic);
	return r < 0 ? fail(f, r, "cannot watch NIC %u: %s", number, strerror(-r)) : 0;
}

static void close_nic(struct nic *nic)
{
	loop_remove(&nic->source);
	netvsp_free(nic->device);
	net_tap_close(nic->tap);
	net_passt_close(nic->passt);
	free(nic);
}

/* Makes NIC `number`; fd is a tap's, or -1. */
static int open_nic(struct network *n, unsigned number, const struct config_port *c, int fd,
		    struct failure *f)
{
	struct nic *nic = calloc(1, sizeof(*nic));
	int r;

	if (!nic)
		return fail(f, -ENOMEM, "cannot make NIC %u: out of memory", number);
	nic->source.fd = -1;
	r = c->type == NIC_TAP ? open_tap(nic, c, fd, f) : open_passt(nic, c, f);
	if (r == 0)
		r = open_device(n, nic, c, number, f);
	if (r < 0) {
		close_nic(nic);
		return r;
	}
	memcpy(nic->mac, c->mac, sizeof(nic->mac));
	n->nic[number] = nic;
	return 0;
}

int network_init(struct network *n, const struct config *config, struct vmbus *bus,
		 struct loop *loop, struct failure *f)
{
	int r = 0;

	*n = (struct network){.bus = bus, .loop = loop, .cpus = config->cpus};
	for (unsigned i = 0; r == 0 && i < config->nic_count; i++)
		r = open_nic(n, i, &config->nic[i], -1, f);
	return r;
}

void network_done(struct network *n)
{
	if (n->announced)
		timerq_disarm(&n->announce);
	for (unsigned i = 0; i < CONFIG_NICS_MAX; i++) {
		if (n->nic[i])
			close_nic(n->nic[i]);
	}
	*n = (struct network){0};
}

int network_add(struct network *n, const struct config_port *port, int fd, unsigned *ret_number,
		struct failure *f)
{
	unsigned number = 0;
	int r;

	while (number < CONFIG_NICS_MAX && n->nic[number])
		number++;
	if (number == CONFIG_NICS_MAX)
		return fail(f, -ENOSPC, "cannot add a NIC: the VM has %u, which is all it can have",
			    CONFIG_NICS_MAX);
	r = open_nic(n, number, port, fd, f);
	if (r == 0)
		*ret_number = number;
	return r;
}

static struct nic *find(const struct network *n, unsigned number, struct failure *f)
{
	struct nic *nic = number < CONFIG_NICS_MAX ? n->nic[number] : NULL;

	if (!nic)
		fail(f, -ENOENT, "the VM has no NIC %u", number);
	return nic;
}

int network_remove(struct network *n, unsigned number, struct failure *f)
{
	struct nic *nic = find(n, number, f);

	if (!nic)
		return -ENOENT;
	n->nic[number] = NULL;
	close_nic(nic);
	return 0;
}

int network_set_link(struct network *n, unsigned number, bool up, struct failure *f)
{
	struct nic *nic = find(n, number, f);

	if (!nic)
		return -ENOENT;
	netvsp_set_link(nic->device, up);
	return 0;
}

static struct nic *find_by_mac(const struct network *n, const uint8_t mac[6])
{
	for (unsigned i = 0; i < CONFIG_NICS_MAX; i++) {
		if (n->nic[i] && !n->nic[i]->restored &&
		    memcmp(n->nic[i]->mac, mac, sizeof(n->nic[i]->mac)) == 0)
			return n->nic[i];
	}
	return NULL;
}

void network_record(struct network *n, unsigned number, struct record *r)
{
	struct nic *nic = r->reads ? NULL : n->nic[number];
	unsigned made = nic ? nic->made : 0;
	struct guid instance;
	uint8_t mac[6] = {0};

	if (nic)
		memcpy(mac, nic->mac, sizeof(mac));
	record_bytes(r, "mac", mac, sizeof(mac));
	record_limited(r, "made", &made, MADE_MAX);
	if (r->reads) {
		nic = record_ok(r) ? find_by_mac(n, mac) : NULL;
		instance = instance_of(made);
		if (!nic || netvsp_set_instance(nic->device, &instance) < 0) {
			record_refuse(r,
				      "the VM has no NIC with the address %02x:%02x:%02x:"
				      "%02x:%02x:%02x",
				      mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
			return;
		}
		nic->restored = true;
		nic->made = made;
		if (n->made <= made)
			n->made = made + 1;
	}
	netvsp_state(nic->device, r);
}

/* ---- where it is ---- */

/* RARP "who am I": no answer comes, and all switches on the way learn the port. */
static void announce_nic(const struct nic *nic)
{
	static const uint8_t head[] = {
		0x80, 0x35,       /* Ethernet: RARP */
		0,    1,          /* about Ethernet */
		8,    0,          /* and IPv4 */
		6,    4,    0, 3, /* request reverse */
	};
	static const struct netport_facts none;
	const struct netport *port = nic->tap ? net_tap_port(nic->tap) : NULL;
	uint8_t frame[RARP_BYTES] = {0};
	struct iovec piece = {.iov_base = frame, .iov_len = sizeof(frame)};

	/* Behind user-mode networking there is no switch. */
	if (!port || !netvsp_link(nic->device))
		return;
	memset(frame, 0xff, 6);
	memcpy(frame + 6, nic->mac, 6);
	memcpy(frame + 12, head, sizeof(head));
	memcpy(frame + 22, nic->mac, 6);
	memcpy(frame + 32, nic->mac, 6);
	(void)port->ops->send(port->ctx, &piece, 1, sizeof(frame), &none);
}

static void on_announce(void *owner)
{
	static const unsigned after_ms[] = {50, 100, 150, 200, 500, 1000};
	struct network *n = owner;

	for (unsigned i = 0; i < CONFIG_NICS_MAX; i++) {
		if (n->nic[i])
			announce_nic(n->nic[i]);
	}
	if (n->announced < ARRAY_LEN(after_ms))
		timerq_arm(loop_timers(n->loop), &n->announce,
			   loop_now_ns() + after_ms[n->announced++] * UINT64_C(1000000));
}

void network_announce(struct network *n)
{
	n->announce.fire = on_announce;
	n->announce.owner = n;
	n->announced = 0;
	on_announce(n);
}

static json_t *nic_statistics(unsigned number, const struct nic *nic)
{
	const struct netvsp_stats *s = netvsp_get_stats(nic->device);
	const uint8_t *m = nic->mac;

	return json_pack(
		"{s:i, s:o, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "number",
		(int)number, "mac",
		json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]),
		"type", nic->tap ? "tap" : "user", "link", netvsp_link(nic->device),
		"received_frames", (json_int_t)s->received_frames, "received_bytes",
		(json_int_t)s->received_bytes, "received_dropped", (json_int_t)s->received_dropped,
		"sent_frames", (json_int_t)s->sent_frames, "sent_bytes", (json_int_t)s->sent_bytes,
		"sent_dropped", (json_int_t)s->sent_dropped, "sent_refused",
		(json_int_t)s->sent_refused, "sent_spoofed", (json_int_t)s->sent_spoofed);
}

json_t *network_statistics(const struct network *n)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < CONFIG_NICS_MAX; i++) {
		if (n->nic[i])
			json_array_append_new(list, nic_statistics(i, n->nic[i]));
	}
	return list;
}
