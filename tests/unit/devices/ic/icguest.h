/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's side of an integration component, for the tests of this folder: virtual time, and
 * messages taken, changed and sent back as a driver does.
 */
#ifndef OYA_TESTS_UNIT_DEVICES_IC_ICGUEST_H
#define OYA_TESTS_UNIT_DEVICES_IC_ICGUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "devices/ic/ic.h"
#include "tests/lib/vmguest.h"

#define ICGUEST_EPOCH_NS (UINT64_C(1700000000) * IC_NS_PER_S)

struct icguest {
	struct vmguest *g;
	struct timerq timers;
	uint64_t now_ns;
	struct ic_env env;
	uint32_t relid;
	struct vmguest_channel ch;
	struct vmguest_packet packet; /* taken last */
	struct ic_header header;
	uint8_t *body; /* within packet */
};

static inline uint64_t icguest_monotonic(void *ctx)
{
	const struct icguest *i = ctx;

	return i->now_ns;
}

static inline uint64_t icguest_wall(void *ctx)
{
	const struct icguest *i = ctx;

	return ICGUEST_EPOCH_NS + i->now_ns;
}

static inline void icguest_init(struct icguest *i)
{
	static const struct clock_ops clock = {
		.monotonic_ns = icguest_monotonic,
		.wall_ns = icguest_wall,
	};

	memset(i, 0, sizeof(*i));
	i->g = vmguest_new(UINT64_C(1) << 20, 0);
	timerq_init(&i->timers);
	i->now_ns = 1000;
	i->env = (struct ic_env){
		.bus = i->g->bus,
		.timers = &i->timers,
		.clock = &clock,
		.clock_ctx = i,
	};
}

/* Lets time pass; timers run when they are due. */
static inline void icguest_pass(struct icguest *i, uint64_t ns)
{
	uint64_t end = i->now_ns + ns;

	while (timerq_next(&i->timers) <= end) {
		if (timerq_next(&i->timers) > i->now_ns)
			i->now_ns = timerq_next(&i->timers);
		timerq_run(&i->timers, i->now_ns);
		vmguest_run(i->g);
	}
	i->now_ns = end;
}

static inline void icguest_open(struct icguest *i)
{
	assert_true(vmguest_open(i->g, i->relid, 3, &i->ch));
	vmguest_run(i->g);
}

static inline void icguest_connect(struct icguest *i, const struct guid *type)
{
	vmguest_connect(i->g);
	i->relid = vmguest_find_offer(i->g, type, 0);
	assert_int_not_equal(i->relid, 0);
	icguest_open(i);
}

/* The next message of the host; false when there is none. */
static inline bool icguest_take(struct icguest *i)
{
	struct ic_pipe_header pipe;

	if (!vmguest_receive(&i->ch, &i->packet))
		return false;
	assert_int_equal(i->packet.type, VMBUS_PACKET_INBAND);
	assert_int_equal(i->packet.flags, 0);
	assert_true(i->packet.len >= 28);
	memcpy(&pipe, i->packet.payload, sizeof(pipe));
	memcpy(&i->header, i->packet.payload + 8, sizeof(i->header));
	i->body = i->packet.payload + 28;
	assert_int_equal(pipe.type, 1);
	assert_int_equal(pipe.len_bytes, 20 + i->header.body_bytes);
	assert_true(28u + i->header.body_bytes <= i->packet.len);
	assert_int_equal(i->header.flags, IC_FLAG_TRANSACTION | IC_FLAG_REQUEST);
	assert_int_equal(i->header.status, 0);
	return true;
}

/* Sends the message back with header and body as the test left them. */
static inline void icguest_send(struct icguest *i)
{
	memcpy(i->packet.payload + 8, &i->header, sizeof(i->header));
	vmguest_send(&i->ch, VMBUS_PACKET_INBAND, 0, i->packet.transaction, NULL, 0,
		     i->packet.payload, i->packet.len);
}

static inline void icguest_answer(struct icguest *i, uint32_t status)
{
	i->header.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	i->header.status = status;
	icguest_send(i);
}

/* Takes the host's offer of versions and answers as Linux does; 0 as version: none in common. */
static inline void icguest_negotiate(struct icguest *i, uint32_t framework, uint32_t version)
{
	unsigned found = 0, count;

	assert_true(icguest_take(i));
	assert_int_equal(i->header.type, IC_NEGOTIATE);
	assert_int_equal(le16_load(i->body), 2);
	count = 2u + le16_load(i->body + 2);
	assert_int_equal(i->header.body_bytes, 8 + 4 * count);
	for (unsigned n = 0; n < count; n++) {
		uint32_t v =
			IC_VERSION(le16_load(i->body + 8 + 4 * n), le16_load(i->body + 10 + 4 * n));

		found |= n < 2 && v == framework ? 1 : 0;
		found |= n >= 2 && v == version ? 2 : 0;
	}
	assert_int_equal(found, version ? 3 : 1);
	i->header.body_bytes = 16;
	le16_store(i->body, version ? 1 : 0);
	le16_store(i->body + 2, version ? 1 : 0);
	le16_store(i->body + 8, (uint16_t)(framework >> 16));
	le16_store(i->body + 10, (uint16_t)framework);
	le16_store(i->body + 12, (uint16_t)(version >> 16));
	le16_store(i->body + 14, (uint16_t)version);
	icguest_answer(i, 0);
}

/* ---- saved states ---- */

/* The guest of `from` goes on in `to`, whose component has been read from its record. */
static inline void icguest_go_on(struct icguest *to, struct icguest *from)
{
	to->relid = from->relid;
	to->ch = from->ch;
	to->ch.guest = to->g;
	vmguest_go_on(to->g, from->g);
}

/* What a component is driven by whose record may tell anything: it goes on with the guest of
 * `from`, and in the next turn the guest sees it for the first time. In the end the guest opens the
 * channel anew, and the versions that it knows are agreed on. */
static inline void icguest_drive(struct icguest *i, struct icguest *from, const struct guid *type,
				 uint32_t version)
{
	static unsigned turn;
	unsigned faults;

	if (turn++ % 2)
		icguest_go_on(i, from);
	else
		icguest_connect(i, type);
	for (unsigned n = 0; n < 4; n++) {
		while (icguest_take(i))
			icguest_answer(i, n % 2 ? IC_STATUS_FAIL : IC_STATUS_OK);
		icguest_pass(i, 10 * IC_NS_PER_S);
	}
	vmguest_close(&i->ch);
	faults = i->g->faults;
	icguest_open(i);
	icguest_negotiate(i, IC_VERSION(3, 0), version);
	icguest_pass(i, 40 * IC_NS_PER_S);
	assert_int_equal(i->g->faults, faults);
}

/* A test's fixture, whose first member this is, on a host whose clock stands elsewhere. */
static inline void *icguest_elsewhere(size_t fixture_bytes)
{
	struct icguest *i = calloc(1, fixture_bytes);

	assert_non_null(i);
	icguest_init(i);
	i->now_ns = 7 * IC_NS_PER_S;
	return i;
}

/* Its end, behind that of the component, which has left no timer. */
static inline void icguest_forget(struct icguest *i)
{
	assert_int_equal(timerq_next(&i->timers), TIMERQ_NEVER);
	vmguest_free(i->g);
	free(i);
}

#endif
