/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus and its channels against an in-memory guest: honest sequences, and each dishonest one
 * that a guest could try.
 */
#include "tests/unit/devices/vmbus/bus_fixture.h"

static void every_version_from_2_4_to_5_3_is_accepted(void **state)
{
	struct fixture *f = *state;
	static const uint32_t known[] = {
		VMBUS_VERSION(2, 4), VMBUS_VERSION(3, 0), VMBUS_VERSION(4, 0), VMBUS_VERSION(4, 1),
		VMBUS_VERSION(5, 0), VMBUS_VERSION(5, 1), VMBUS_VERSION(5, 2), VMBUS_VERSION(5, 3),
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		assert_true(vmguest_contact(f->g, known[i]));
		assert_int_equal(vmbus_version(f->g->bus), known[i]);
	}
}

/* The world drops what it was asked to do later when the partition is reset. */
static void work_can_be_put_off_again_after_a_reset_with_work_put_off(void **state)
{
	struct fixture *f = *state;

	vmbus_channel_resume(f->echo.open);
	assert_true(f->g->deferred);
	vmguest_reset(f->g);
	assert_false(f->g->deferred);
	vmguest_connect(f->g);
	f->relid = vmguest_find_offer(f->g, &echo_type, 0);
	assert_true(vmguest_open(f->g, f->relid, 2, &f->ch));
	assert_false(f->g->deferred);
	vmbus_channel_resume(f->echo.open);
	assert_true(f->g->deferred);
}

static void unknown_versions_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_false(vmguest_contact(f->g, VMBUS_VERSION(6, 0)));
	assert_false(vmguest_contact(f->g, VMBUS_VERSION(1, 1)));
	assert_false(vmguest_contact(f->g, 0));
	assert_int_equal(vmbus_version(f->g->bus), 0);
}

static void a_limit_on_the_version_holds(void **state)
{
	struct vmguest *g = vmguest_new(RAM, VMBUS_VERSION(4, 0));

	(void)state;
	assert_false(vmguest_contact(g, VMBUS_VERSION(5, 3)));
	assert_false(vmguest_contact(g, VMBUS_VERSION(4, 1)));
	assert_true(vmguest_contact(g, VMBUS_VERSION(4, 0)));
	vmguest_free(g);
}

static void a_version_on_the_wrong_connection_is_refused(void **state)
{
	struct fixture *f = *state;
	struct vmbus_msg_initiate_contact contact = {
		.header.type = VMBUS_MSG_INITIATE_CONTACT,
		.version = VMBUS_VERSION(5, 3),
	};
	struct vmguest_message m;

	vmguest_message(f->g, 1, &contact, sizeof(contact));
	vmguest_expect(f->g, VMBUS_MSG_VERSION_RESPONSE, &m);
	assert_int_equal(m.bytes[8], 0);
}

static void contact_with_a_processor_that_is_not_there_is_refused(void **state)
{
	struct fixture *f = *state;
	struct vmbus_msg_initiate_contact contact = {
		.header.type = VMBUS_MSG_INITIATE_CONTACT,
		.version = VMBUS_VERSION(5, 3),
		.target_vp = VMGUEST_VPS,
	};
	struct vmguest_message m;

	vmguest_message(f->g, 4, &contact, sizeof(contact));
	vmguest_expect(f->g, VMBUS_MSG_VERSION_RESPONSE, &m);
	assert_int_equal(m.bytes[8], 0);
}

static void offers_come_in_full_and_end(void **state)
{
	struct fixture *f = *state;
	struct vmguest_message m;

	vmguest_connect(f->g);
	assert_int_not_equal(vmguest_find_offer(f->g, &echo_type, 0), 0);
	assert_int_equal(vmguest_find_offer(f->g, &echo_type, 1), 0);
	vmguest_expect(f->g, VMBUS_MSG_ALL_OFFERS_DELIVERED, &m);
}

static void messages_wait_while_the_slot_is_taken(void **state)
{
	struct fixture *f = *state;
	struct vmbus_msg_header request = {.type = VMBUS_MSG_REQUEST_OFFERS};
	struct vmguest_message m;

	assert_true(vmguest_contact(f->g, VMBUS_VERSION(5, 3)));
	f->g->slot_busy = true;
	vmguest_message(f->g, 4, &request, sizeof(request));
	assert_false(vmguest_take(f->g, &m));
	f->g->slot_busy = false;
	vmbus_slot_free(f->g->bus);
	assert_true(vmguest_take(f->g, &m));
	assert_int_equal(le32_load(m.bytes), VMBUS_MSG_OFFER);
}

static void a_flood_of_messages_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct vmbus_msg_gpadl_teardown down = {.header.type = VMBUS_MSG_GPADL_TEARDOWN};

	vmguest_connect(f->g);
	f->g->slot_busy = true;
	for (int i = 0; i < 100000; i++)
		vmguest_message(f->g, 4, &down, sizeof(down));
	f->g->slot_busy = false;
	vmbus_slot_free(f->g->bus);
}

static void messages_before_contact_are_ignored(void **state)
{
	struct fixture *f = *state;
	struct vmbus_msg_header request = {.type = VMBUS_MSG_REQUEST_OFFERS};
	struct vmguest_message m;

	assert_int_equal(vmguest_message(f->g, 4, &request, sizeof(request)), 0);
	assert_false(vmguest_take(f->g, &m));
}

static void short_and_unknown_messages_are_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[VMBUS_MESSAGE_MAX + 1] = {0};

	vmguest_connect(f->g);
	for (uint32_t type = 0; type < 32; type++) {
		le32_store(bytes, type);
		assert_int_equal(vmguest_message(f->g, 4, bytes, 7), -EINVAL);
	}
	assert_int_equal(vmguest_message(f->g, 4, bytes, sizeof(bytes)), -EINVAL);
	le32_store(bytes, VMBUS_MSG_OPEN);
	assert_int_equal(vmguest_message(f->g, 4, bytes, 100), -EINVAL);
	le32_store(bytes, VMBUS_MSG_OFFER); /* what only a host sends */
	assert_int_equal(vmguest_message(f->g, 4, bytes, 200), -EINVAL);
}

static void packets_are_answered(void **state)
{
	struct fixture *f = *state;
	struct vmguest_packet p;

	vmguest_send_inband(&f->ch, 42, "hello, host.....", 16);
	assert_true(vmguest_receive(&f->ch, &p));
	assert_int_equal(p.type, VMBUS_PACKET_COMPLETION);
	assert_int_equal(p.transaction, 42);
	assert_memory_equal(p.payload, "hello, host.....", 16);
	assert_int_equal(f->g->signals[f->relid], 1);
	assert_int_equal(vmguest_up(&f->ch)->interrupt_mask, 0);
}

static void many_packets_wrap_around_both_rings(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[1000];

	for (unsigned i = 0; i < 2000; i++) {
		uint32_t len = 8 + i * 8 % 992;
		struct vmguest_packet p;

		memset(bytes, (int)i, sizeof(bytes));
		vmguest_send_inband(&f->ch, i, bytes, len);
		assert_true(vmguest_receive(&f->ch, &p));
		assert_int_equal(p.transaction, i);
		assert_int_equal(p.len, len);
		assert_memory_equal(p.payload, bytes, len);
	}
}

static void the_guest_is_signalled_only_from_empty_and_unmasked(void **state)
{
	struct fixture *f = *state;

	vmguest_down(&f->ch)->interrupt_mask = 1;
	vmguest_send_inband(&f->ch, 1, "12345678", 8);
	assert_int_equal(f->g->signals[f->relid], 0);
	vmguest_down(&f->ch)->interrupt_mask = 0;
	vmguest_send_inband(&f->ch, 2, "12345678", 8); /* not empty any more */
	assert_int_equal(f->g->signals[f->relid], 0);
}

static void a_full_ring_asks_for_a_signal_and_goes_on_after_it(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[1024] = {0};
	struct vmguest_packet p;
	unsigned sent = 0;

	while (!vmguest_down(&f->ch)->pending_send_bytes && sent < 100)
		vmguest_send_inband(&f->ch, sent++, bytes, sizeof(bytes));
	assert_int_not_equal(vmguest_down(&f->ch)->pending_send_bytes, 0);
	assert_int_equal(vmbus_channel_send(f->echo.open, VMBUS_PACKET_INBAND, false, 0, bytes,
					    sizeof(bytes)),
			 -EAGAIN);
	while (vmguest_receive(&f->ch, &p))
		;
	vmguest_kick(&f->ch);
	assert_int_equal(vmguest_down(&f->ch)->pending_send_bytes, 0);
	assert_int_equal(vmbus_channel_send(f->echo.open, VMBUS_PACKET_INBAND, false, 0, bytes,
					    sizeof(bytes)),
			 0);
}

static void a_waiting_sender_in_the_guest_is_signalled(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	vmguest_down(&f->ch)->interrupt_mask = 1;
	before = f->g->signals[f->relid];
	/* As if the guest had found no room: it waits for more than is free now. */
	vmguest_up(&f->ch)->pending_send_bytes = f->ch.ring_len - 16;
	vmguest_send_inband(&f->ch, 1, "12345678", 8);
	assert_int_equal(f->g->signals[f->relid], before + 1);
}

static void a_device_that_stops_early_goes_on_when_resumed(void **state)
{
	struct fixture *f = *state;
	struct vmguest_packet p;

	f->echo.limit = 1;
	vmguest_send_inband(&f->ch, 1, "12345678", 8);
	f->echo.limit = 0;
	vmbus_channel_resume(f->echo.open);
	vmguest_run(f->g);
	assert_true(vmguest_receive(&f->ch, &p));
	assert_int_equal(f->echo.last_error, -EAGAIN);
}

static void expect_fault(struct fixture *f)
{
	vmguest_kick(&f->ch);
	assert_int_equal(f->g->faults, 1);
	assert_false(vmbus_channel_is_open(f->echo.open));
	/* Nothing moves any more until the guest closes; then it may open again. */
	vmguest_kick(&f->ch);
	assert_int_equal(f->g->faults, 1);
	vmguest_close(&f->ch);
	assert_int_equal(f->echo.closes, 1);
	assert_true(vmguest_open(f->g, f->relid, 2, &f->ch));
}

static void ring_rejects_write_index_past_end(void **state)
{
	struct fixture *f = *state;

	vmguest_up(&f->ch)->write_index = f->ch.ring_len;
	expect_fault(f);
}

static void ring_rejects_unaligned_write_index(void **state)
{
	struct fixture *f = *state;

	vmguest_up(&f->ch)->write_index = 9;
	expect_fault(f);
}

static void ring_rejects_packet_shorter_than_its_header(void **state)
{
	struct fixture *f = *state;

	vmguest_up(&f->ch)->write_index = 8;
	expect_fault(f);
}

static void put_header(struct fixture *f, uint16_t type, uint16_t offset8, uint16_t length8,
		       uint32_t written)
{
	uint8_t *data = (uint8_t *)vmguest_up(&f->ch) + 4096;

	le16_store(data, type);
	le16_store(data + 2, offset8);
	le16_store(data + 4, length8);
	vmguest_up(&f->ch)->write_index = written;
}

static void ring_rejects_length_of_zero(void **state)
{
	struct fixture *f = *state;

	put_header(f, VMBUS_PACKET_INBAND, 2, 0, 32);
	expect_fault(f);
}

static void ring_rejects_length_beyond_what_was_written(void **state)
{
	struct fixture *f = *state;

	put_header(f, VMBUS_PACKET_INBAND, 2, 5, 40);
	expect_fault(f);
}

static void ring_rejects_payload_offset_past_the_packet(void **state)
{
	struct fixture *f = *state;

	put_header(f, VMBUS_PACKET_INBAND, 5, 4, 40);
	expect_fault(f);
}

static void ring_rejects_payload_offset_within_the_header(void **state)
{
	struct fixture *f = *state;

	put_header(f, VMBUS_PACKET_INBAND, 1, 4, 40);
	expect_fault(f);
}

static void ring_rejects_range_count_beyond_the_packet(void **state)
{
	struct fixture *f = *state;
	uint8_t *data = (uint8_t *)vmguest_up(&f->ch) + 4096;

	put_header(f, VMBUS_PACKET_GPA_DIRECT, 4, 4, 40);
	le32_store(data + 20, 0x20000000);
	expect_fault(f);
}

static void ring_rejects_wild_read_index_when_it_sends(void **state)
{
	struct fixture *f = *state;

	vmguest_down(&f->ch)->read_index = f->ch.ring_len + 8;
	vmguest_send_inband(&f->ch, 1, "12345678", 8);
	assert_int_equal(f->g->faults, 1);
}

static void ranges_outside_of_ram_fault_the_channel(void **state)
{
	struct fixture *f = *state;

	vmguest_send_gpa(&f->ch, 1, RAM - 4096, 4096, "12345678", 8);
	assert_int_equal(f->echo.iov_bytes, 4096);
	vmguest_send_gpa(&f->ch, 2, RAM, 4096, "12345678", 8);
	assert_int_equal(f->echo.last_error, -EFAULT);
	assert_int_equal(f->g->faults, 1);
}

static void ranges_that_wrap_fault_the_channel(void **state)
{
	struct fixture *f = *state;

	vmguest_send_gpa(&f->ch, 1, UINT64_MAX - 4095, 4096, "12345678", 8);
	assert_int_equal(f->echo.last_error, -EFAULT);
}

static void ranges_longer_than_allowed_are_refused(void **state)
{
	struct fixture *f = *state;

	vmguest_send_gpa(&f->ch, 1, 0, 65536 + 4096, "12345678", 8);
	assert_int_equal(f->echo.last_error, -E2BIG);
}

static void a_second_open_is_refused_and_leaves_the_first_alone(void **state)
{
	struct fixture *f = *state;
	struct vmguest_channel second;
	struct vmguest_packet p;

	assert_false(vmguest_open(f->g, f->relid, 2, &second));
	assert_int_equal(f->echo.opens, 1);
	vmguest_send_inband(&f->ch, 7, "12345678", 8);
	assert_true(vmguest_receive(&f->ch, &p));
}

static void a_device_may_refuse_to_open(void **state)
{
	struct fixture *f = *state;

	vmguest_connect(f->g);
	f->echo.open_result = -EBUSY;
	assert_false(vmguest_open(f->g, vmguest_find_offer(f->g, &echo_type, 0), 2, &f->ch));
	assert_int_equal(f->echo.closes, 0);
}

static void rescind_closes_and_the_relid_returns_after_release(void **state)
{
	struct fixture *f = *state;
	struct vmbus_msg_relid release = {.header.type = VMBUS_MSG_RELID_RELEASED,
					  .relid = f->relid};
	struct vmguest_message m;

	vmbus_rescind(f->echo.offered);
	assert_int_equal(f->echo.closes, 1);
	vmguest_expect(f->g, VMBUS_MSG_RESCIND, &m);
	assert_int_equal(le32_load(m.bytes + 8), f->relid);
	offer(f);
	vmguest_expect(f->g, VMBUS_MSG_OFFER, &m);
	assert_int_not_equal(le32_load(m.bytes + offsetof(struct vmbus_msg_offer, relid)),
			     f->relid);
	vmguest_message(f->g, 4, &release, sizeof(release));
	offer(f);
	vmguest_expect(f->g, VMBUS_MSG_OFFER, &m);
	assert_int_equal(le32_load(m.bytes + offsetof(struct vmbus_msg_offer, relid)), f->relid);
}

static void contact_anew_closes_everything_as_for_kexec(void **state)
{
	struct fixture *f = *state;

	assert_true(vmguest_contact(f->g, VMBUS_VERSION(4, 0)));
	assert_int_equal(f->echo.closes, 1);
	vmguest_connect(f->g);
	assert_true(vmguest_open(f->g, vmguest_find_offer(f->g, &echo_type, 0), 2, &f->ch));
}

static void the_channel_follows_to_another_processor(void **state)
{
	struct fixture *f = *state;
	struct vmbus_msg_modify_channel msg = {
		.header.type = VMBUS_MSG_MODIFY_CHANNEL, .relid = f->relid, .target_vp = 3};
	struct vmguest_message m;

	vmguest_message(f->g, 4, &msg, sizeof(msg));
	vmguest_expect(f->g, VMBUS_MSG_MODIFY_CHANNEL_RESPONSE, &m);
	assert_int_equal(le32_load(m.bytes + 12), 0);
	assert_int_equal(vmbus_channel_target_vp(f->echo.open), 3);
	msg.target_vp = VMGUEST_VPS;
	vmguest_message(f->g, 4, &msg, sizeof(msg));
	vmguest_expect(f->g, VMBUS_MSG_MODIFY_CHANNEL_RESPONSE, &m);
	assert_int_not_equal(le32_load(m.bytes + 12), 0);
}

static void signals_of_unknown_connections_are_ignored(void **state)
{
	struct fixture *f = *state;
	static const uint32_t ids[] = {0, 1, 4, 0x1000, 0x11ff, 0x1200, 0xffffffff};

	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		assert_int_equal(vmbus_signal(f->g->bus, ids[i]), -ENOENT);
}

static void offers_run_out_cleanly(void **state)
{
	struct fixture *f = *state;
	struct vmbus_offer o = {.type = echo_type, .ops = &echo_ops, .dev = &f->echo};
	struct vmbus_channel *ch;
	unsigned n = 1;

	while (vmbus_offer_channel(f->g->bus, &o, &ch) == 0)
		n++;
	assert_int_equal(n, 511);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NEW(every_version_from_2_4_to_5_3_is_accepted),
		NEW(unknown_versions_are_refused),
		NEW(a_limit_on_the_version_holds),
		NEW(a_version_on_the_wrong_connection_is_refused),
		NEW(contact_with_a_processor_that_is_not_there_is_refused),
		NEW(offers_come_in_full_and_end),
		NEW(messages_wait_while_the_slot_is_taken),
		NEW(a_flood_of_messages_is_bounded),
		NEW(messages_before_contact_are_ignored),
		NEW(short_and_unknown_messages_are_refused),
		OPEN(packets_are_answered),
		OPEN(many_packets_wrap_around_both_rings),
		OPEN(the_guest_is_signalled_only_from_empty_and_unmasked),
		OPEN(a_full_ring_asks_for_a_signal_and_goes_on_after_it),
		OPEN(a_waiting_sender_in_the_guest_is_signalled),
		OPEN(a_device_that_stops_early_goes_on_when_resumed),
		OPEN(ring_rejects_write_index_past_end),
		OPEN(ring_rejects_unaligned_write_index),
		OPEN(ring_rejects_packet_shorter_than_its_header),
		OPEN(ring_rejects_length_of_zero),
		OPEN(ring_rejects_length_beyond_what_was_written),
		OPEN(ring_rejects_payload_offset_past_the_packet),
		OPEN(ring_rejects_payload_offset_within_the_header),
		OPEN(ring_rejects_range_count_beyond_the_packet),
		OPEN(ring_rejects_wild_read_index_when_it_sends),
		OPEN(ranges_outside_of_ram_fault_the_channel),
		OPEN(ranges_that_wrap_fault_the_channel),
		OPEN(ranges_longer_than_allowed_are_refused),
		OPEN(a_second_open_is_refused_and_leaves_the_first_alone),
		NEW(a_device_may_refuse_to_open),
		OPEN(rescind_closes_and_the_relid_returns_after_release),
		OPEN(contact_anew_closes_everything_as_for_kexec),
		OPEN(the_channel_follows_to_another_processor),
		OPEN(work_can_be_put_off_again_after_a_reset_with_work_put_off),
		NEW(signals_of_unknown_connections_are_ignored),
		NEW(offers_run_out_cleanly),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
