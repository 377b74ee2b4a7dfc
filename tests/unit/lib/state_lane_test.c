/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Further connections of a VM that runs, pages that come later, disks: what is read of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "base/util.h"
#include "lib/state_stream.h"

#define FEATURES (STATE_LIVE | STATE_LANES | STATE_LATE | STATE_DISKS)

static struct failure f;

static int new_stream(struct state_writer *w, uint64_t features)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(state_write_begin(w, fd, "x", features, &f), 0);
	return fd;
}

static void begin_reading(struct state_reader *r, int fd)
{
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_read_begin(r, fd, "x", STATE_LIVE, &f), 0);
}

static void features_are_told_and_unknown_ones_are_refused(void **state)
{
	static const struct {
		uint64_t written, wanted;
		int result;
	} cases[] = {
		{FEATURES, STATE_LIVE, 0},
		{STATE_LIVE, STATE_LIVE, 0},
		{STATE_LIVE << 4 | STATE_LIVE, STATE_LIVE, -EBADMSG},
		{STATE_LANES, STATE_LIVE, -EBADMSG},
		{STATE_LANES, 0, -EBADMSG},
		{STATE_LIVE, 0, -EBADMSG},
		{0, STATE_LIVE, -EBADMSG},
		{0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct state_writer w;
		struct state_reader r;
		int fd = new_stream(&w, cases[i].written);

		lseek(fd, 0, SEEK_SET);
		assert_int_equal(state_read_begin(&r, fd, "x", cases[i].wanted, &f),
				 cases[i].result);
		if (cases[i].result == 0)
			assert_true(r.features == cases[i].written);
		close(fd);
	}
}

static int say(const struct state_lane *lane, struct state_lane *ret_lane)
{
	struct state_writer w;
	struct state_reader r;
	int fd = new_stream(&w, FEATURES), e;

	assert_int_equal(state_write_lane(&w, lane, &f), 0);
	begin_reading(&r, fd);
	e = state_read_lane(&r, ret_lane, &f);
	close(fd);
	return e;
}

static void a_connection_says_which_one_it_is(void **state)
{
	struct state_lane lane = {.number = 7, .count = 8}, read = {0};

	(void)state;
	memset(&lane.vm, 0x5a, sizeof(lane.vm));
	assert_int_equal(say(&lane, &read), 0);
	assert_true(guid_equal(&lane.vm, &read.vm));
	assert_int_equal(read.number, 7);
	assert_int_equal(read.count, 8);
}

static void numbers_that_cannot_be_are_refused(void **state)
{
	static const struct state_lane lanes[] = {
		{.number = 0, .count = 0},
		{.number = 2, .count = 2},
		{.number = 0, .count = STATE_LANES_MAX + 1},
		{.number = UINT32_MAX, .count = UINT32_MAX},
	};
	struct state_lane read;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lanes); i++)
		assert_int_equal(say(&lanes[i], &read), -EBADMSG);
}

static void a_connection_that_says_something_else_first_is_refused(void **state)
{
	static const struct state_record records[] = {
		{.type = STATE_MARK, .version = 1},
		{.type = STATE_LANE, .version = 2, .len = STATE_LANE_BYTES},
		{.type = STATE_LANE, .version = 1, .len = STATE_LANE_BYTES - 8},
	};
	uint8_t body[STATE_LANE_BYTES] = {0};

	(void)state;
	body[20] = 1; /* as many connections */
	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		struct iovec piece = {.iov_base = body, .iov_len = records[i].len};
		struct state_writer w;
		struct state_reader r;
		struct state_lane lane;
		int fd = new_stream(&w, FEATURES);

		assert_int_equal(state_write(&w, &records[i], &piece, 1, &f), 0);
		begin_reading(&r, fd);
		assert_int_equal(state_read_lane(&r, &lane, &f), -EBADMSG);
		close(fd);
	}
}

/* What a record of pages that come later with this head, and a body of `len`, is read as. */
static int read_later(uint64_t gpa, uint32_t pages, uint32_t zero, uint64_t len,
		      struct state_later *ret_later)
{
	static uint8_t body[STATE_LATER_BYTES + STATE_LATER_PAGES_MAX / 8 + 8];
	struct state_record record = {.type = STATE_LATER, .version = 1, .len = len};
	struct iovec piece = {.iov_base = body, .iov_len = len};
	struct state_writer w;
	struct state_reader r;
	int fd = new_stream(&w, FEATURES), e;

	memset(body, 0x11, sizeof(body));
	le64_store(body, gpa);
	le32_store(body + 8, pages);
	le32_store(body + 12, zero);
	assert_int_equal(state_write(&w, &record, &piece, 1, &f), 0);
	begin_reading(&r, fd);
	assert_int_equal(state_read_next(&r, &record, &f), 0);
	e = state_read_later(&r, &record, ret_later, &f);
	close(fd);
	return e;
}

static void pages_that_come_later_are_read_as_they_were_written(void **state)
{
	static struct state_later later, read;
	struct state_record record;
	struct state_writer w;
	struct state_reader r;
	int fd = new_stream(&w, FEATURES);

	(void)state;
	later.gpa = UINT64_C(5) << 32;
	later.pages = STATE_LATER_PAGES_MAX;
	for (unsigned i = 0; i < ARRAY_LEN(later.bits); i++)
		later.bits[i] = i * UINT64_C(0x9e3779b97f4a7c15);
	assert_int_equal(state_write_later(&w, &later, &f), 0);
	begin_reading(&r, fd);
	assert_int_equal(state_read_next(&r, &record, &f), 0);
	assert_int_equal(record.type, STATE_LATER);
	assert_int_equal(state_read_later(&r, &record, &read, &f), 0);
	assert_memory_equal(&later, &read, sizeof(later));
	close(fd);
}

static void pages_that_come_later_have_a_head_that_can_be(void **state)
{
	static struct state_later later;

	(void)state;
	assert_int_equal(read_later(STATE_PAGE, 64, 0, 24, &later), 0);
	assert_true(later.bits[0] == UINT64_C(0x1111111111111111));
	assert_int_equal(read_later(STATE_PAGE, 0, 0, 16, &later), 0);
	assert_int_equal(read_later(STATE_PAGE + 1, 64, 0, 24, &later), -EBADMSG);
	assert_int_equal(read_later(STATE_PAGE, 63, 0, 24, &later), -EBADMSG);
	assert_int_equal(read_later(STATE_PAGE, 64, 1, 24, &later), -EBADMSG);
	assert_int_equal(read_later(STATE_PAGE, 64, 0, 16, &later), -EBADMSG);
	assert_int_equal(read_later(STATE_PAGE, 64, 0, 32, &later), -EBADMSG);
	assert_int_equal(read_later(STATE_PAGE, 64, 0, 8, &later), -EBADMSG);
	assert_int_equal(read_later(STATE_PAGE, STATE_LATER_PAGES_MAX + 64, 0,
				    STATE_LATER_BYTES + STATE_LATER_PAGES_MAX / 8 + 8, &later),
			 -EBADMSG);
}

static uint8_t data[STATE_BLOCKS_MAX];

/* What a piece of a disk with this head, and a body of `len`, is read as. */
static int read_blocks(const struct state_blocks *said, uint32_t zeros, uint64_t len,
		       struct state_blocks *ret_blocks)
{
	static uint8_t body[STATE_BLOCKS_HEAD_BYTES + STATE_BLOCKS_MAX + 8];
	struct state_record record = {.type = STATE_BLOCKS, .version = 1, .len = len};
	struct iovec piece = {.iov_base = body, .iov_len = len};
	struct state_writer w;
	struct state_reader r;
	int fd = new_stream(&w, FEATURES), e;

	le32_store(body, said->controller);
	le32_store(body + 4, said->lun);
	le64_store(body + 8, said->offset);
	le32_store(body + 16, said->len);
	le32_store(body + 20, zeros);
	assert_int_equal(state_write(&w, &record, &piece, 1, &f), 0);
	begin_reading(&r, fd);
	assert_int_equal(state_read_next(&r, &record, &f), 0);
	e = state_read_blocks(&r, &record, ret_blocks, data, &f);
	close(fd);
	return e;
}

static void a_piece_of_a_disk_is_read_as_it_was_written(void **state)
{
	const struct state_blocks all[] = {
		{.controller = 3, .lun = 63, .offset = UINT64_C(5) << 40, .len = STATE_BLOCKS_MAX},
		{.controller = 0, .lun = 0, .offset = 512, .len = 1536},
		{.controller = 1, .lun = 2, .offset = 65536, .len = 65536, .zeros = true},
	};
	static uint8_t written[STATE_BLOCKS_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct state_record record;
		struct state_blocks read;
		struct state_writer w;
		struct state_reader r;
		int fd = new_stream(&w, FEATURES);

		memset(written, all[i].zeros ? 0 : (int)i + 1, sizeof(written));
		memset(data, 0xee, sizeof(data));
		assert_int_equal(state_write_blocks(&w, &all[i], written, &f), 0);
		begin_reading(&r, fd);
		assert_int_equal(state_read_next(&r, &record, &f), 0);
		assert_int_equal(record.type, STATE_BLOCKS);
		assert_int_equal(state_read_blocks(&r, &record, &read, data, &f), 0);
		assert_true(read.controller == all[i].controller && read.lun == all[i].lun);
		assert_true(read.offset == all[i].offset && read.len == all[i].len);
		assert_int_equal(read.zeros, all[i].zeros);
		assert_memory_equal(data, written, read.len);
		close(fd);
	}
}

static void a_piece_of_a_disk_has_a_head_that_can_be(void **state)
{
	const struct state_blocks good = {.offset = 4096, .len = 512};
	const uint64_t head = STATE_BLOCKS_HEAD_BYTES;
	struct state_blocks b, bad = good;

	(void)state;
	assert_int_equal(read_blocks(&good, 0, head + 512, &b), 0);
	assert_int_equal(read_blocks(&good, 1, head, &b), 0);
	assert_int_equal(read_blocks(&good, 2, head, &b), -EBADMSG);
	assert_int_equal(read_blocks(&good, 1, head + 512, &b), -EBADMSG);
	assert_int_equal(read_blocks(&good, 0, head + 504, &b), -EBADMSG);
	assert_int_equal(read_blocks(&good, 0, head + 520, &b), -EBADMSG);
	assert_int_equal(read_blocks(&good, 0, head - 8, &b), -EBADMSG);
	bad.len = 0;
	assert_int_equal(read_blocks(&bad, 0, head, &b), -EBADMSG);
	assert_int_equal(read_blocks(&bad, 1, head, &b), -EBADMSG);
	bad.len = STATE_BLOCKS_MAX + 8;
	assert_int_equal(read_blocks(&bad, 0, head + bad.len, &b), -EBADMSG);
	assert_int_equal(read_blocks(&bad, 1, head, &b), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(features_are_told_and_unknown_ones_are_refused),
		cmocka_unit_test(a_connection_says_which_one_it_is),
		cmocka_unit_test(numbers_that_cannot_be_are_refused),
		cmocka_unit_test(a_connection_that_says_something_else_first_is_refused),
		cmocka_unit_test(pages_that_come_later_are_read_as_they_were_written),
		cmocka_unit_test(pages_that_come_later_have_a_head_that_can_be),
		cmocka_unit_test(a_piece_of_a_disk_is_read_as_it_was_written),
		cmocka_unit_test(a_piece_of_a_disk_has_a_head_that_can_be),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
