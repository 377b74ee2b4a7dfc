/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GPADLs and the rings that are made of them, with the numbers that a guest could make up.
 */
#include "tests/unit/devices/vmbus/bus_fixture.h"

static void open_with_a_gpadl_of_another_channel_fails(void **state)
{
	struct fixture *f = *state;
	struct vmbus_msg_open open = {
		.header.type = VMBUS_MSG_OPEN, .ring_gpadl = f->ch.gpadl, .downstream_page = 3};
	struct vmguest_message m;

	offer(f);
	vmguest_expect(f->g, VMBUS_MSG_OFFER, &m);
	open.relid = le32_load(m.bytes + offsetof(struct vmbus_msg_offer, relid));
	vmguest_message(f->g, 4, &open, sizeof(open));
	vmguest_expect(f->g, VMBUS_MSG_OPEN_RESULT, &m);
	assert_int_not_equal(le32_load(m.bytes + 16), 0);
}

static void open_with_rings_of_no_data_fails(void **state)
{
	struct fixture *f = *state;
	uint64_t gpa;

	vmguest_connect(f->g);
	f->relid = vmguest_find_offer(f->g, &echo_type, 0);
	gpa = vmguest_alloc(f->g, 6 * 4096);
	for (uint32_t page = 0; page <= 6; page++) {
		struct vmbus_msg_open open = {.header.type = VMBUS_MSG_OPEN, .relid = f->relid};
		struct vmguest_message m;

		open.ring_gpadl = vmguest_gpadl(f->g, f->relid, gpa, 6 * 4096);
		open.downstream_page = page;
		vmguest_message(f->g, 4, &open, sizeof(open));
		vmguest_expect(f->g, VMBUS_MSG_OPEN_RESULT, &m);
		if (page >= 2 && page <= 4) {
			struct vmbus_msg_relid msg = {.header.type = VMBUS_MSG_CLOSE,
						      .relid = f->relid};

			assert_int_equal(le32_load(m.bytes + 16), 0);
			vmguest_message(f->g, 4, &msg, sizeof(msg));
		} else {
			assert_int_not_equal(le32_load(m.bytes + 16), 0);
		}
	}
}

static void a_ring_torn_down_while_open_closes_the_channel_first(void **state)
{
	struct fixture *f = *state;
	struct vmbus_msg_gpadl_teardown down = {
		.header.type = VMBUS_MSG_GPADL_TEARDOWN, .relid = f->relid, .gpadl = f->ch.gpadl};
	struct vmguest_message m;

	vmguest_message(f->g, 4, &down, sizeof(down));
	vmguest_expect(f->g, VMBUS_MSG_GPADL_TORNDOWN, &m);
	assert_int_equal(f->echo.closes, 1);
	vmguest_kick(&f->ch);
}

static uint32_t gpadl_status(struct fixture *f, const uint8_t *msg, size_t len)
{
	struct vmguest_message m;

	vmguest_message(f->g, 4, msg, len);
	vmguest_expect(f->g, VMBUS_MSG_GPADL_CREATED, &m);
	return le32_load(m.bytes + 16);
}

static void put_gpadl(uint8_t msg[36], uint32_t relid, uint16_t range_bytes, uint16_t count,
		      uint32_t bytes, uint32_t offset, uint64_t pfn)
{
	memset(msg, 0, 36);
	le32_store(msg, VMBUS_MSG_GPADL_HEADER);
	le32_store(msg + 8, relid);
	le32_store(msg + 12, 0x77);
	le16_store(msg + 16, range_bytes);
	le16_store(msg + 18, count);
	le32_store(msg + 20, bytes);
	le32_store(msg + 24, offset);
	le64_store(msg + 28, pfn);
}

static void gpadls_with_wild_numbers_are_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t msg[36];
	static const struct {
		uint16_t range_bytes, count;
		uint32_t bytes, offset;
		uint64_t pfn;
	} wild[] = {
		{16, 0, 4096, 0, 1},
		{16, 2, 4096, 0, 1},
		{8, 1, 4096, 0, 1},
		{0, 1, 4096, 0, 1},
		{16, 1, 0, 0, 1},
		{16, 1, 4097, 0, 1},
		{16, 1, 4096, 1, 1},
		{16, 1, 1, 4096, 1},
		{16, 1, 0xffffffff, 0xfff, 1},
		{16, 1, 4096, 0, RAM / 4096},
		{16, 1, 4096, 0, UINT64_MAX},
		{16, 1, 4096, 0, 0x10000000000001},
	};

	for (size_t i = 0; i < ARRAY_LEN(wild); i++) {
		put_gpadl(msg, f->relid, wild[i].range_bytes, wild[i].count, wild[i].bytes,
			  wild[i].offset, wild[i].pfn);
		assert_int_not_equal(gpadl_status(f, msg, sizeof(msg)), 0);
	}
	put_gpadl(msg, f->relid, 16, 1, 4096, 0, 1);
	assert_int_equal(gpadl_status(f, msg, sizeof(msg)), 0);
	assert_int_not_equal(gpadl_status(f, msg, sizeof(msg)), 0); /* the same handle again */
	put_gpadl(msg, 400, 16, 1, 4096, 0, 1);
	assert_int_not_equal(gpadl_status(f, msg, sizeof(msg)), 0); /* no such channel */
}

static void bodies_without_a_header_are_ignored(void **state)
{
	struct fixture *f = *state;
	uint8_t msg[24] = {0};

	le32_store(msg, VMBUS_MSG_GPADL_BODY);
	le32_store(msg + 12, 0x12345);
	assert_int_equal(vmguest_message(f->g, 4, msg, sizeof(msg)), 0);
}

static void a_partial_gpadl_cannot_be_used_and_is_freed_by_unload(void **state)
{
	struct fixture *f = *state;
	uint8_t msg[36];
	struct vmbus_msg_open open = {
		.header.type = VMBUS_MSG_OPEN, .ring_gpadl = 0x77, .downstream_page = 2};
	struct vmbus_msg_header unload = {.type = VMBUS_MSG_UNLOAD};
	struct vmguest_message m;

	vmguest_connect(f->g);
	open.relid = f->relid = vmguest_find_offer(f->g, &echo_type, 0);
	put_gpadl(msg, f->relid, 8 + 5 * 8, 1, 5 * 4096, 0, 1);
	vmguest_message(f->g, 4, msg, sizeof(msg));
	vmguest_message(f->g, 4, &open, sizeof(open));
	vmguest_expect(f->g, VMBUS_MSG_OPEN_RESULT, &m);
	assert_int_not_equal(le32_load(m.bytes + 16), 0);
	vmguest_message(f->g, 4, &unload, sizeof(unload));
	vmguest_expect(f->g, VMBUS_MSG_UNLOAD_RESPONSE, &m);
}

static void the_total_of_gpadl_pages_is_bounded(void **state)
{
	struct fixture *f = *state;
	uint8_t msg[36];
	unsigned accepted = 0;
	struct vmguest_message m;

	for (uint32_t i = 0; i < 2000; i++) {
		put_gpadl(msg, f->relid, 8 + 2000 * 8, 1, 2000 * 4096, 0, 1);
		le32_store(msg + 12, 0x1000 + i);
		vmguest_message(f->g, 4, msg, sizeof(msg));
		accepted += !vmguest_take(f->g, &m); /* answered at once only when refused */
	}
	assert_in_range(accepted, 100, 132);
}

static void gpadl_contents_are_read_and_written_across_pages(void **state)
{
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->g, 100 * 4096);
	uint32_t handle = vmguest_gpadl(f->g, f->relid, gpa, 100 * 4096);
	uint8_t out[9000], in[9000];
	struct iovec iov[2];
	unsigned count;

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	assert_int_equal(vmbus_gpadl_len(f->echo.open, handle), 100 * 4096);
	assert_int_equal(vmbus_gpadl_write(f->echo.open, handle, 4000, out, sizeof(out)), 0);
	assert_memory_equal(vmguest_at(f->g, gpa + 4000), out, sizeof(out));
	assert_int_equal(vmbus_gpadl_read(f->echo.open, handle, 4000, in, sizeof(in)), 0);
	assert_memory_equal(in, out, sizeof(out));
	assert_int_equal(vmbus_gpadl_iov(f->echo.open, handle, 4000, 9000, iov, 2, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(vmbus_gpadl_read(f->echo.open, handle, 100 * 4096, in, 1), -ERANGE);
	assert_int_equal(vmbus_gpadl_read(f->echo.open, handle, UINT64_MAX, in, 2), -ERANGE);
	assert_int_equal(vmbus_gpadl_read(f->echo.open, handle + 1, 0, in, 1), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		OPEN(open_with_a_gpadl_of_another_channel_fails),
		NEW(open_with_rings_of_no_data_fails),
		OPEN(a_ring_torn_down_while_open_closes_the_channel_first),
		OPEN(gpadls_with_wild_numbers_are_refused),
		OPEN(bodies_without_a_header_are_ignored),
		NEW(a_partial_gpadl_cannot_be_used_and_is_freed_by_unload),
		OPEN(the_total_of_gpadl_pages_is_bounded),
		OPEN(gpadl_contents_are_read_and_written_across_pages),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
