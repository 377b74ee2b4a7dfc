/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compressed pages: what is read of what was written, and of what somebody else has written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/util.h"
#include "tests/lib/failheap.h"
#include "worker/compressor.h"
#include "worker/state_memory.h"

#define RAM (UINT64_C(8) << 20)
#define PAGES (RAM / STATE_PAGE)
#define LIST_AT STATE_SPANS_HEAD_BYTES

static struct failure f;
static struct compressed_body body;
static struct compressed_pages pages;
static struct state_buffer buffer;
static uint8_t data[COMPRESSED_BYTES_MAX];

/* Words, as in a text; or, of each third block, what nothing makes shorter. */
static void fill(uint8_t *to, uint64_t len)
{
	static const char words[] = "the VM goes on as if nothing had been. ";
	uint64_t random = 1;

	for (uint64_t i = 0; i < len; i++) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		to[i] = i / STATE_COMPRESSED_BLOCK_BYTES % 3 == 2
				? (uint8_t)(random >> 56)
				: (uint8_t)words[i % (sizeof(words) - 1)];
	}
}

/* Two spans with pages and one of zeros between; the second has all the rest of `count`. */
static unsigned make_spans(struct state_span span[3], struct iovec piece[2], uint32_t first,
			   uint32_t count)
{
	span[0] = (struct state_span){.gpa = 0, .pages = first};
	span[1] = (struct state_span){.gpa = first * STATE_PAGE, .pages = 5, .zeros = true};
	span[2] = (struct state_span){.gpa = (first + 5) * STATE_PAGE, .pages = count - first};
	piece[0] = (struct iovec){data, first * STATE_PAGE};
	piece[1] = (struct iovec){data + first * STATE_PAGE, (count - first) * STATE_PAGE};
	return 3;
}

static uint64_t encode(uint32_t first, uint32_t count)
{
	struct state_span span[3];
	struct iovec piece[2];
	unsigned spans = make_spans(span, piece, first, count);

	fill(data, (uint64_t)count * STATE_PAGE);
	compressed_encode(span, spans, piece, &body);
	return body.len;
}

static int decode(uint64_t len)
{
	/* Of its own, so that a byte too far is noticed. */
	uint8_t *copy = malloc(len ? len : 1);
	const char *why = NULL;
	int r;

	assert_non_null(copy);
	memcpy(copy, body.bytes, len);
	r = compressed_decode(copy, len, &pages, &why);
	assert_true(r == 0 || (r == -EBADMSG && why && *why));
	free(copy);
	return r;
}

static void pages_come_out_as_they_went_in(void **state)
{
	static const uint32_t counts[][2] = {{1, 2}, {3, 16}, {15, 17}, {16, 33}, {250, 512}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(counts); i++) {
		uint32_t first = counts[i][0], count = counts[i][1];
		uint64_t bytes = (uint64_t)count * STATE_PAGE;

		assert_true(encode(first, count) < bytes);
		assert_int_equal(decode(body.len), 0);
		assert_int_equal(pages.count, 3);
		assert_true(pages.span[1].zeros && pages.span[1].pages == 5);
		assert_true(pages.span[2].gpa == (first + 5) * STATE_PAGE);
		assert_int_equal(pages.span[2].pages, count - first);
		assert_memory_equal(pages.data, data, bytes);
	}
}

static void zeros_alone_and_nothing_at_all_have_no_blocks(void **state)
{
	static const struct state_span zeros = {.gpa = STATE_PAGE, .pages = 9, .zeros = true};

	(void)state;
	for (unsigned count = 0; count < 2; count++) {
		compressed_encode(&zeros, count, NULL, &body);
		assert_int_equal(body.len, LIST_AT + count * STATE_SPAN_BYTES);
		assert_int_equal(decode(body.len), 0);
		assert_int_equal(pages.count, count);
	}
}

static void a_body_that_is_cut_or_longer_is_refused(void **state)
{
	uint64_t len = encode(3, 40);

	(void)state;
	for (uint64_t cut = 0; cut < len; cut += cut < 200 ? 1 : 61)
		assert_int_equal(decode(cut), -EBADMSG);
	memset(body.bytes + len, 0, 8);
	assert_int_equal(decode(len + 1), -EBADMSG);
	assert_int_equal(decode(len + 8), -EBADMSG);
	assert_int_equal(decode(len), 0);
}

static void a_body_with_any_byte_changed_gives_no_more_than_its_pages(void **state)
{
	uint64_t len = encode(3, 40);

	(void)state;
	for (uint64_t at = 0; at < len; at += at < 100 ? 1 : 211) {
		uint8_t was = body.bytes[at];

		for (unsigned bit = 0; bit < 8; bit++) {
			body.bytes[at] = (uint8_t)(was ^ 1u << bit);
			memset(pages.data + 40 * STATE_PAGE, 0x5a, 64);
			if (decode(len) == 0 && pages.span[0].pages + pages.span[2].pages == 40)
				assert_int_equal(pages.data[40 * STATE_PAGE], 0x5a);
		}
		body.bytes[at] = was;
	}
}

static void numbers_that_cannot_be_are_refused(void **state)
{
	static const struct {
		unsigned at;
		uint32_t value;
	} wrong[] = {
		{0, STATE_SPANS_MAX + 1},
		{0, UINT32_MAX},
		{0, 2},
		{0, 4},
		{4, STATE_COMPRESSED_BLOCKS_MAX + 1},
		{4, UINT32_MAX},
		{4, 0},
		{4, 2},
		{4, 4},
		{LIST_AT + 8, 0},
		{LIST_AT + 8, 2},
		{LIST_AT + 8, 4},
		/* As many blocks as there are, in the lower 32 bits. */
		{LIST_AT + 8, UINT32_MAX},
		{LIST_AT + 8, 3 + (UINT32_C(1) << 20)},
		{LIST_AT + 1, 0x00000001},
		{LIST_AT + 12, 1},
		{LIST_AT + 12, 2},
		/* Bytes of the first block. */
		{LIST_AT + 48, 0},
		{LIST_AT + 48, 1},
		{LIST_AT + 48, STATE_COMPRESSED_BLOCK_BYTES},
		{LIST_AT + 48, STATE_COMPRESSED_BLOCK_BYTES + 1},
		{LIST_AT + 48, UINT32_MAX},
		{LIST_AT + 48, 0x80000000},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		uint64_t len = encode(3, 40);

		le32_store(body.bytes + wrong[i].at, wrong[i].value);
		assert_int_equal(decode(len), -EBADMSG);
	}
}

/* ---- as a record, into memory ---- */

static int new_stream(struct state_writer *w)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(state_write_begin(w, fd, "x", STATE_LIVE, &f), 0);
	return fd;
}

static int read_into(struct memory *m, int fd)
{
	struct state_record record;
	struct state_reader r;
	int e;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_read_begin(&r, fd, "x", STATE_LIVE, &f), 0);
	e = state_read_next(&r, &record, &f);
	if (e == 0)
		e = state_memory_read_buffered(m, NULL, &r, &record, &buffer, &f);
	return e;
}

static void make_memory(struct memory *m)
{
	struct config config = {.memory_bytes = RAM, .memory_pages = PAGES_4K};

	assert_int_equal(memory_init(m, &config, &f), 0);
	memset(m->base, 0xee, RAM);
}

static void pages_of_a_record_are_in_memory_then(void **state)
{
	struct compressor *c = compressor_new();
	struct state_writer w;
	struct state_span span[3];
	struct iovec piece[2];
	struct memory m;
	int fd = new_stream(&w);

	(void)state;
	assert_non_null(c);
	make_memory(&m);
	fill(data, sizeof(data));
	make_spans(span, piece, 100, 400);
	c->pays.on = c->pays.steady = true;
	assert_int_equal(compressor_write(c, &w, span, 3, piece, 400 * STATE_PAGE, &f), 0);
	compressor_took(c, 400 * STATE_PAGE);
	assert_true(compressor_spared(c) > 200 * STATE_PAGE);
	assert_true(compressor_spared(c) + w.at > 400 * STATE_PAGE);
	assert_int_equal(read_into(&m, fd), 0);
	assert_memory_equal(m.base, data, 100 * STATE_PAGE);
	for (uint64_t i = 0; i < 5 * STATE_PAGE; i++)
		assert_int_equal(m.base[100 * STATE_PAGE + i], 0);
	assert_memory_equal(m.base + 105 * STATE_PAGE, data + 100 * STATE_PAGE, 300 * STATE_PAGE);
	assert_int_equal(m.base[405 * STATE_PAGE], 0xee);
	compressor_free(c);
	memory_done(&m);
	close(fd);
}

static void a_record_that_is_damaged_or_has_no_place_is_refused_with_a_sentence(void **state)
{
	static const struct {
		uint64_t gpa, longer; /* than it is */
		off_t damaged;        /* this byte of the stream; 0: none */
		uint16_t version;
		const char *why;
	} wrong[] = {
		{RAM, 0, 0, 1, "where the VM has none"},
		{0, 0, 0, 2, "another version"},
		{0, COMPRESSED_BODY_MAX, 0, 1, "too long"},
		{0, 8, 0, 1, "longer than what it holds"},
		{0, 0, STATE_HEAD_BYTES + STATE_RECORD_BYTES + 60, 1, "sum of a record is wrong"},
	};
	static uint8_t more[2 * COMPRESSED_BODY_MAX];
	struct memory m;

	(void)state;
	make_memory(&m);
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		struct state_record record = {.type = STATE_COMPRESSED,
					      .version = wrong[i].version};
		struct iovec piece = {.iov_base = more};
		struct state_writer w;
		int fd = new_stream(&w);
		uint8_t byte;

		record.len = piece.iov_len = encode(3, 40) + wrong[i].longer;
		memcpy(more, body.bytes, body.len);
		le64_store(more + LIST_AT, wrong[i].gpa);
		assert_int_equal(state_write(&w, &record, &piece, 1, &f), 0);
		if (wrong[i].damaged) {
			assert_int_equal(pread(fd, &byte, 1, wrong[i].damaged), 1);
			byte ^= 0x10;
			assert_int_equal(pwrite(fd, &byte, 1, wrong[i].damaged), 1);
		}
		assert_int_equal(read_into(&m, fd), -EBADMSG);
		assert_non_null(strstr(f.text, wrong[i].why));
		assert_int_equal(m.base[0], 0xee);
		close(fd);
	}
	memory_done(&m);
}

static void without_memory_or_a_compressor_pages_go_as_they_are(void **state)
{
	struct state_span span[3];
	struct iovec piece[2];
	struct state_writer w;
	struct memory m;
	int fd = new_stream(&w);

	(void)state;
	failheap_arm(0);
	assert_null(compressor_new());
	failheap_disarm();
	make_memory(&m);
	fill(data, sizeof(data));
	make_spans(span, piece, 1, 2);
	compressor_round(NULL);
	compressor_steady(NULL);
	assert_int_equal(compressor_write(NULL, &w, span, 3, piece, 2 * STATE_PAGE, &f), 0);
	compressor_took(NULL, 2 * STATE_PAGE);
	assert_false(compressor_on(NULL));
	assert_int_equal(compressor_spared(NULL), 0);
	assert_true(w.at > 2 * STATE_PAGE);
	assert_int_equal(read_into(&m, fd), 0);
	assert_memory_equal(m.base, data, STATE_PAGE);
	compressor_free(NULL);
	memory_done(&m);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_come_out_as_they_went_in),
		cmocka_unit_test(zeros_alone_and_nothing_at_all_have_no_blocks),
		cmocka_unit_test(a_body_that_is_cut_or_longer_is_refused),
		cmocka_unit_test(a_body_with_any_byte_changed_gives_no_more_than_its_pages),
		cmocka_unit_test(numbers_that_cannot_be_are_refused),
		cmocka_unit_test(pages_of_a_record_are_in_memory_then),
		cmocka_unit_test(
			a_record_that_is_damaged_or_has_no_place_is_refused_with_a_sentence),
		cmocka_unit_test(without_memory_or_a_compressor_pages_go_as_they_are),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
