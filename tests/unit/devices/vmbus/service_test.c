/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Draining a ring while the guest goes on writing it, as a guest on another processor does: its
 * writes happen from within the device's ready().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "tests/lib/vmguest.h"

#define RAM (1u << 20)
#define RING_PAGES 2u
#define PACKET_BYTES 1032u /* in the ring: header, 1008 bytes, trailer */
#define PACKETS_MAX 10000u

static const struct guid sink_type = GUID_INIT(0x11111111, 0x2222, 0x3333, 0x4444, 0x555555555555);

/* A device that swallows packets and lets the guest write after each. */
struct fixture {
	struct vmguest *g;
	struct vmguest_channel ch;
	struct vmbus_channel *offered;
	uint32_t relid;
	unsigned taken, ready_calls;
	void (*between)(struct fixture *f);
	unsigned closed;
};

/* Writes a packet and signals nobody. */
static bool guest_writes(struct fixture *f)
{
	struct vmbus_ring_control *up = vmguest_up(&f->ch);
	uint8_t *data = (uint8_t *)up + VMBUS_PAGE;
	uint32_t used = (up->write_index - up->read_index + f->ch.ring_len) % f->ch.ring_len;
	struct vmbus_packet_header head = {
		.type = VMBUS_PACKET_INBAND, .offset8 = 2, .length8 = (PACKET_BYTES - 8) / 8};

	if (f->ch.ring_len - used <= PACKET_BYTES)
		return false;
	for (uint32_t i = 0; i < sizeof(head); i++)
		data[(up->write_index + i) % f->ch.ring_len] = ((uint8_t *)&head)[i];
	up->write_index = (up->write_index + PACKET_BYTES) % f->ch.ring_len;
	return true;
}

static int sink_open(void *dev, struct vmbus_channel *ch, const uint8_t *user)
{
	(void)dev;
	(void)ch;
	(void)user;
	return 0;
}

static void sink_ready(void *dev, struct vmbus_channel *ch)
{
	struct fixture *f = dev;
	struct vmbus_packet p;

	f->ready_calls++;
	while (f->taken < PACKETS_MAX && vmbus_channel_receive(ch, &p) == 0) {
		f->taken++;
		if (f->between)
			f->between(f);
	}
}

static void sink_close(void *dev, struct vmbus_channel *ch)
{
	struct fixture *f = dev;

	(void)ch;
	f->closed++;
}

static const struct vmbus_device_ops sink_ops = {
	.name = "sink", .open = sink_open, .ready = sink_ready, .close = sink_close};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct vmbus_offer offer = {.type = sink_type, .ops = &sink_ops, .dev = f};

	f->g = vmguest_new(RAM, 0);
	assert_int_equal(vmbus_offer_channel(f->g->bus, &offer, &f->offered), 0);
	vmguest_connect(f->g);
	f->relid = vmguest_find_offer(f->g, &sink_type, 0);
	assert_true(vmguest_open(f->g, f->relid, RING_PAGES, &f->ch));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	vmguest_free(f->g);
	free(f);
	return 0;
}

/* Once: fills the ring, and asks for a signal when there is room again. */
static void fill_and_wait(struct fixture *f)
{
	if (f->taken != 1)
		return;
	while (guest_writes(f))
		;
	vmguest_up(&f->ch)->pending_send_bytes = PACKET_BYTES;
}

static void a_sender_that_filled_the_ring_while_it_was_drained_is_signalled(void **state)
{
	struct fixture *f = *state;

	f->between = fill_and_wait;
	guest_writes(f);
	vmguest_kick(&f->ch);
	assert_int_equal(vmguest_up(&f->ch)->read_index, vmguest_up(&f->ch)->write_index);
	assert_true(f->taken > 2);
	assert_int_equal(f->g->signals[f->relid], 1);
}

static void a_sender_that_always_had_room_is_not_signalled(void **state)
{
	struct fixture *f = *state;

	vmguest_up(&f->ch)->pending_send_bytes = PACKET_BYTES;
	guest_writes(f);
	vmguest_kick(&f->ch);
	assert_int_equal(f->taken, 1);
	assert_int_equal(f->g->signals[f->relid], 0);
}

static void write_on(struct fixture *f)
{
	guest_writes(f);
}

static void a_guest_that_writes_as_fast_as_the_device_reads_holds_nobody_up(void **state)
{
	struct fixture *f = *state;

	f->between = write_on;
	guest_writes(f);
	f->g->deferred = false;
	vmbus_signal(f->g->bus, VMBUS_SIGNAL_CONNECTION_BASE + f->relid);
	assert_in_range(f->taken, 1, f->ch.ring_len / PACKET_BYTES * 2);
	assert_true(f->g->deferred);
	assert_int_equal(vmguest_up(&f->ch)->interrupt_mask, 0);
	/* It goes on in the next turn, and ends when the guest does. */
	f->between = NULL;
	vmguest_run(f->g);
	assert_int_equal(vmguest_up(&f->ch)->read_index, vmguest_up(&f->ch)->write_index);
}

static void rescind_at_once(struct fixture *f)
{
	if (f->offered)
		vmbus_rescind(f->offered);
	f->offered = NULL;
}

static void a_device_may_take_its_offer_back_from_within_ready(void **state)
{
	struct fixture *f = *state;
	struct vmbus_msg_relid release = {.header.type = VMBUS_MSG_RELID_RELEASED,
					  .relid = f->relid};
	struct vmguest_message m;
	unsigned calls = f->ready_calls;

	f->between = rescind_at_once;
	guest_writes(f);
	guest_writes(f);
	vmguest_kick(&f->ch);
	assert_int_equal(f->taken, 1);
	assert_int_equal(f->closed, 1);
	vmguest_expect(f->g, VMBUS_MSG_RESCIND, &m);
	vmguest_message(f->g, 4, &release, sizeof(release));
	vmguest_kick(&f->ch);
	assert_int_equal(f->ready_calls, calls + 1);
}

static void fault_at_once(struct fixture *f)
{
	vmbus_channel_fault(f->offered, "%s", "the test says so");
}

static void a_channel_that_faulted_within_ready_is_left_alone_until_closed(void **state)
{
	struct fixture *f = *state;

	f->between = fault_at_once;
	guest_writes(f);
	guest_writes(f);
	vmguest_kick(&f->ch);
	vmguest_kick(&f->ch);
	assert_int_equal(f->taken, 1);
	assert_int_equal(f->g->faults, 1);
	assert_int_equal(f->closed, 0);
	vmguest_close(&f->ch);
	assert_int_equal(f->closed, 1);
	assert_true(vmguest_open(f->g, f->relid, RING_PAGES, &f->ch));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_sender_that_filled_the_ring_while_it_was_drained_is_signalled),
		TEST(a_sender_that_always_had_room_is_not_signalled),
		TEST(a_guest_that_writes_as_fast_as_the_device_reads_holds_nobody_up),
		TEST(a_device_may_take_its_offer_back_from_within_ready),
		TEST(a_channel_that_faulted_within_ready_is_left_alone_until_closed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
