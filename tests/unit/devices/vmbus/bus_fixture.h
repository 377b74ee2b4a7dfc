/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bus with one device that echoes, and a guest that may have opened it.
 */
#ifndef OYA_TESTS_UNIT_DEVICES_VMBUS_BUS_FIXTURE_H
#define OYA_TESTS_UNIT_DEVICES_VMBUS_BUS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "tests/lib/vmguest.h"

#define RAM (4u << 20)

static const struct guid echo_type = GUID_INIT(0x11111111, 0x2222, 0x3333, 0x4444, 0x555555555555);

/* A device that answers each packet with its own payload. */
struct echo {
	struct vmbus_channel *offered, *open;
	unsigned opens, closes, limit; /* limit: packets to take per ready(), 0: all */
	int open_result;
	int last_error;
	uint64_t iov_bytes;
};

static inline int echo_open(void *dev, struct vmbus_channel *ch, const uint8_t *user)
{
	struct echo *e = dev;

	(void)user;
	if (e->open_result < 0)
		return e->open_result;
	e->open = ch;
	e->opens++;
	return 0;
}

static inline void echo_ready(void *dev, struct vmbus_channel *ch)
{
	struct echo *e = dev;
	struct vmbus_packet p;
	unsigned taken = 0;

	while ((!e->limit || taken++ < e->limit) &&
	       (e->last_error = vmbus_channel_receive(ch, &p)) == 0) {
		uint8_t copy[VMBUS_PACKET_MAX];

		memcpy(copy, p.payload, p.payload_len);
		if (p.type == VMBUS_PACKET_GPA_DIRECT) {
			struct iovec iov[16];
			unsigned count;

			e->last_error = vmbus_packet_iov(vmbus_channel_bus(ch), &p, iov, 16, 65536,
							 &count, &e->iov_bytes);
			if (e->last_error < 0) {
				vmbus_channel_fault(ch, "ranges: %d", e->last_error);
				return;
			}
		}
		vmbus_channel_complete(ch, p.transaction, copy, p.payload_len);
	}
}

static inline void echo_close(void *dev, struct vmbus_channel *ch)
{
	struct echo *e = dev;

	assert_ptr_equal(e->open, ch);
	e->open = NULL;
	e->closes++;
}

static const struct vmbus_device_ops echo_ops = {
	.name = "echo", .open = echo_open, .ready = echo_ready, .close = echo_close};

struct fixture {
	struct vmguest *g;
	struct echo echo;
	uint32_t relid;
	struct vmguest_channel ch;
};

static inline void offer(struct fixture *f)
{
	struct vmbus_offer o = {.type = echo_type, .ops = &echo_ops, .dev = &f->echo};

	assert_int_equal(vmbus_offer_channel(f->g->bus, &o, &f->echo.offered), 0);
}

static inline int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->g = vmguest_new(RAM, 0);
	offer(f);
	*state = f;
	return 0;
}

static inline int set_up_open(void **state)
{
	struct fixture *f;

	set_up(state);
	f = *state;
	vmguest_connect(f->g);
	f->relid = vmguest_find_offer(f->g, &echo_type, 0);
	assert_true(vmguest_open(f->g, f->relid, 2, &f->ch));
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;

	vmguest_free(f->g);
	free(f);
	return 0;
}

#define OPEN(test) cmocka_unit_test_setup_teardown(test, set_up_open, tear_down)
#define NEW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
