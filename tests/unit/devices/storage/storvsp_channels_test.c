/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The SCSI controller's sub-channels: offered when asked for, served alike, gone with the first. */
#include "tests/lib/failheap.h"
#include "tests/unit/devices/storage/storvsp_fixture.h"

/* relid of the next offer of a sub-channel, 0 when there is none. */
static uint32_t next_sub_channel(struct fixture *f, uint16_t *ret_index)
{
	struct vmguest_message m;
	struct vmbus_msg_offer offer;

	while (vmguest_take(f->guest, &m)) {
		memcpy(&offer, m.bytes, sizeof(offer));
		if (offer.header.type != VMBUS_MSG_OFFER)
			continue;
		*ret_index = offer.sub_channel_index;
		return offer.relid;
	}
	return 0;
}

static uint32_t ask_sub_channels(struct fixture *f, uint16_t count)
{
	struct storvsc_packet in = {.operation = STORVSC_OP_CREATE_SUB_CHANNELS};

	in.sub_channel_count = count;
	return ask(f, &in).status;
}

/* Asks for count sub-channels and opens them. */
static void open_sub_channels(struct fixture *f, unsigned count, struct vmguest_channel *ret)
{
	uint32_t relid[SUB_CHANNELS];
	uint16_t index;

	assert_int_equal(ask_sub_channels(f, (uint16_t)count), 0);
	for (unsigned i = 0; i < count; i++) {
		relid[i] = next_sub_channel(f, &index);
		assert_int_not_equal(relid[i], 0);
		assert_int_equal(index, i + 1);
	}
	assert_int_equal(next_sub_channel(f, &index), 0);
	for (unsigned i = 0; i < count; i++)
		assert_true(vmguest_open(f->guest, relid[i], RING_PAGES, &ret[i]));
}

/* The packet on another channel than the first. */
static uint64_t start_on(struct fixture *f, struct vmguest_channel *ch,
			 const struct storvsc_packet *p, uint64_t gpa)
{
	struct vmguest_channel primary = f->ch;
	uint64_t transaction;

	f->ch = *ch;
	transaction = start(f, p, gpa);
	f->ch = primary;
	return transaction;
}

static struct storvsc_packet take_on(struct vmguest_channel *ch, uint64_t transaction)
{
	struct vmguest_packet answer;
	struct storvsc_packet out;

	assert_true(vmguest_receive(ch, &answer));
	assert_int_equal(answer.transaction, transaction);
	memcpy(&out, answer.payload, sizeof(out));
	return out;
}

static void sub_channels_are_announced_and_offered_when_asked_for(void **state)
{
	struct storvsc_packet query = {.operation = STORVSC_OP_QUERY_PROPERTIES}, out;
	struct vmguest_channel sub[SUB_CHANNELS];
	struct fixture *f = *state;

	assert_int_equal(ask_operation(f, STORVSC_OP_BEGIN_INITIALIZATION), 0);
	assert_int_equal(ask_version(f, STORVSC_VERSION_6_2), 0);
	out = ask(f, &query);
	assert_int_equal(out.properties.max_sub_channels, SUB_CHANNELS);
	assert_int_equal(out.properties.flags, STORVSC_PROPERTY_MULTI_CHANNEL);
	assert_int_equal(ask_sub_channels(f, 1), STORVSC_STATUS_INVALID_STATE);
	assert_int_equal(ask_operation(f, STORVSC_OP_END_INITIALIZATION), 0);
	open_sub_channels(f, SUB_CHANNELS, sub);
	assert_int_equal(ask_sub_channels(f, 1), STORVSC_STATUS_INVALID_STATE);
}

static void none_or_more_than_announced_are_refused(void **state)
{
	struct fixture *f = *state;
	uint16_t index;

	assert_int_equal(ask_sub_channels(f, 0), STORVSC_STATUS_INVALID_PARAMETER);
	assert_int_equal(ask_sub_channels(f, SUB_CHANNELS + 1), STORVSC_STATUS_INVALID_PARAMETER);
	assert_int_equal(ask_sub_channels(f, 0xFFFF), STORVSC_STATUS_INVALID_PARAMETER);
	assert_int_equal(next_sub_channel(f, &index), 0);
}

static void without_memory_for_all_of_them_there_are_none(void **state)
{
	struct vmguest_channel sub[2];
	struct fixture *f = *state;
	uint32_t status;

	failheap_arm(2); /* after the first offer and its message */
	status = ask_sub_channels(f, 2);
	failheap_disarm();
	assert_true(failheap_failed());
	assert_int_equal(status, STORVSC_STATUS_NO_RESOURCES);
	vmbus_run_deferred(f->guest->bus);
	while (f->guest->inbox_count) {
		struct vmguest_message m;

		vmguest_take(f->guest, &m);
	}
	open_sub_channels(f, 2, sub);
}

static void each_channel_gets_the_answers_of_its_requests(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 1);
	struct vmguest_channel sub[2];
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), first, second, third;
	uint64_t signals;
	struct storvsc_packet out;

	open_sub_channels(f, 2, sub);
	first = start_on(f, &sub[1], &r, gpa);
	second = start(f, &r, gpa);
	third = start_on(f, &sub[0], &r, gpa);
	assert_int_equal(f->disk->inflight, 3);
	signals = f->guest->signals[sub[1].relid];
	memdisk_complete_all(f->disk);
	assert_int_equal(f->guest->signals[sub[1].relid], signals + 1);
	take(f, second);
	assert_silent(f);
	out = take_on(&sub[0], third);
	assert_good(&out.srb, 512);
	out = take_on(&sub[1], first);
	assert_good(&out.srb, 512);
}

static void sub_channel_cannot_set_the_controller_up(void **state)
{
	struct storvsc_packet in = {.operation = STORVSC_OP_BEGIN_INITIALIZATION};
	struct vmguest_channel sub[1];
	struct fixture *f = *state;

	open_sub_channels(f, 1, sub);
	vmguest_send_inband(&sub[0], 7, &in, sizeof(in));
	assert_int_equal(take_on(&sub[0], 7).status, STORVSC_STATUS_INVALID_REQUEST);
	in.operation = STORVSC_OP_CREATE_SUB_CHANNELS;
	in.sub_channel_count = 1;
	vmguest_send_inband(&sub[0], 8, &in, sizeof(in));
	assert_int_equal(take_on(&sub[0], 8).status, STORVSC_STATUS_INVALID_REQUEST);
}

static void closing_the_first_takes_the_others_with_it(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 1);
	struct vmguest_channel sub[2];
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	struct vmbus_msg_relid close = {.header.type = VMBUS_MSG_CLOSE, .relid = f->relid};
	struct vmguest_message m;
	unsigned rescinds = 0;

	open_sub_channels(f, 2, sub);
	start_on(f, &sub[0], &r, gpa);
	vmguest_message(f->guest, VMBUS_CONNECTION_ID_V5, &close, sizeof(close));
	while (vmguest_take(f->guest, &m))
		rescinds += le32_load(m.bytes) == VMBUS_MSG_RESCIND;
	assert_int_equal(rescinds, 2);
	assert_int_equal(storvsp_inflight(f->sp), 1);
	open_channel(f, RING_PAGES);
	set_up(f);
	open_sub_channels(f, 2,
			  sub); /* under new relids: the guest has not released the old ones */
	memdisk_complete_all(f->disk);
	assert_int_equal(storvsp_inflight(f->sp), 0);
	assert_silent(f);
}

static void sub_channel_that_closes_leaves_the_others(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 1);
	struct storvsc_packet reset = {.operation = STORVSC_OP_RESET_BUS};
	struct vmguest_channel sub[1];
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), t;
	struct storvsc_srb srb;

	open_sub_channels(f, 1, sub);
	f->disk->limit = 1;
	t = start(f, &r, gpa);
	start_on(f, &sub[0], &r, gpa);   /* waits for the disk */
	start_on(f, &sub[0], &reset, 0); /* waits for both */
	start(f, &r, gpa);               /* waits for the reset */
	vmguest_close(&sub[0]);
	memdisk_complete_all(f->disk);
	srb = take(f, t);
	assert_good(&srb, 512);
	vmguest_run(f->guest);
	memdisk_complete_all(f->disk);
	srb = take(f, t + 3);
	assert_good(&srb, 512);
	assert_int_equal(storvsp_inflight(f->sp), 0);
}

static void channels_that_wait_for_slots_all_go_on(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 1);
	struct vmguest_channel sub[1];
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	struct vmguest_packet answer;
	unsigned taken = 0;

	open_sub_channels(f, 1, sub);
	for (int i = 0; i < 200; i++) {
		start(f, &r, gpa);
		start_on(f, &sub[0], &r, gpa);
	}
	assert_int_equal(f->disk->inflight, 256);
	while (f->disk->inflight) {
		memdisk_complete_all(f->disk);
		vmguest_run(f->guest);
		while (vmguest_receive(&f->ch, &answer))
			taken++;
		while (vmguest_receive(&sub[0], &answer))
			taken++;
	}
	assert_int_equal(taken, 400);
}

static void partition_reset_forgets_the_sub_channels(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 1);
	struct guid type = STORVSC_SCSI_INTERFACE;
	struct vmguest_channel sub[SUB_CHANNELS];
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	struct vmbus_channel_info info;
	uint32_t relid = 1;

	open_sub_channels(f, SUB_CHANNELS, sub);
	start_on(f, &sub[2], &r, gpa);
	vmbus_reset(f->guest->bus);
	assert_int_equal(vmbus_channel_info(f->guest->bus, &relid, &info), 0);
	relid++;
	assert_int_equal(vmbus_channel_info(f->guest->bus, &relid, &info), -ENOENT);
	memdisk_complete_all(f->disk);
	vmguest_connect(f->guest);
	f->relid = vmguest_find_offer(f->guest, &type, 0);
	open_channel(f, RING_PAGES);
	set_up(f);
	open_sub_channels(f, SUB_CHANNELS, sub);
}

static void ring_torn_down_under_the_first_takes_the_others_with_it(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 1);
	struct vmguest_channel sub[2];
	struct fixture *f = *state;
	struct vmbus_msg_gpadl_teardown msg = {
		.header.type = VMBUS_MSG_GPADL_TEARDOWN, .relid = f->relid, .gpadl = f->ch.gpadl};
	struct vmbus_msg_relid release = {.header.type = VMBUS_MSG_RELID_RELEASED};
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);

	open_sub_channels(f, 2, sub);
	start_on(f, &sub[0], &r, gpa);
	start_on(f, &sub[1], &r, gpa);
	vmguest_message(f->guest, VMBUS_CONNECTION_ID_V5, &msg, sizeof(msg));
	for (unsigned i = 0; i < 2; i++) { /* frees the channels while their I/O goes on */
		release.relid = sub[i].relid;
		vmguest_message(f->guest, VMBUS_CONNECTION_ID_V5, &release, sizeof(release));
	}
	memdisk_complete_all(f->disk);
	vmguest_run(f->guest);
	assert_int_equal(storvsp_inflight(f->sp), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(sub_channels_are_announced_and_offered_when_asked_for),
		READY(none_or_more_than_announced_are_refused),
		READY(without_memory_for_all_of_them_there_are_none),
		READY(each_channel_gets_the_answers_of_its_requests),
		READY(sub_channel_cannot_set_the_controller_up),
		READY(closing_the_first_takes_the_others_with_it),
		READY(sub_channel_that_closes_leaves_the_others),
		READY(ring_torn_down_under_the_first_takes_the_others_with_it),
		READY(channels_that_wait_for_slots_all_go_on),
		READY(partition_reset_forgets_the_sub_channels),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
