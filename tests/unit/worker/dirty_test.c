/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages that are sent over several connections, and such as come later, of a guest that stands
 * still. */
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

#include "tests/lib/failheap.h"
#include "worker/dirty.h"

#define RAM (UINT64_C(64) << 20)
#define PAGES (RAM / GMEM_PAGE)
#define LINKS 3u

static struct failure f;

struct place {
	struct memory memory;
	struct dirty dirty;
	uint64_t pages; /* that are to be sent */
	struct state_writer writer[LINKS];
	struct dirty_sink sink[LINKS];
	unsigned times[PAGES]; /* that each page has come */
};

static int no_pace(void *ctx, uint64_t bytes, struct failure *failure)
{
	(void)ctx;
	(void)bytes;
	(void)failure;
	return 0;
}

static int value_of(uint64_t page)
{
	return page % 5 ? (int)(page % 250 + 1) : 0;
}

static struct place *new_place(void)
{
	struct config config = {.memory_bytes = RAM, .memory_pages = PAGES_4K};
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	assert_int_equal(memory_init(&p->memory, &config, &f), 0);
	for (uint64_t page = 0; page < PAGES; page++)
		memset(p->memory.base + page * GMEM_PAGE, value_of(page), GMEM_PAGE);
	for (unsigned i = 0; i < LINKS; i++) {
		int fd = memfd_create("link", MFD_CLOEXEC);

		assert_int_equal(state_write_begin(&p->writer[i], fd, "x", STATE_LIVE, &f), 0);
		p->sink[i] = (struct dirty_sink){.writer = &p->writer[i], .pace = no_pace};
	}
	assert_int_equal(dirty_begin(&p->dirty, &p->memory, NULL, false, &f), 0);
	assert_int_equal(dirty_look(&p->dirty, &p->pages), 0);
	assert_int_equal(p->pages, PAGES);
	return p;
}

static void free_place(struct place *p)
{
	dirty_end(&p->dirty);
	for (unsigned i = 0; i < LINKS; i++)
		close(p->writer[i].fd);
	memory_done(&p->memory);
	free(p);
}

/* Counts the pages of a record, which must have what the memory has. */
static void count_pages(struct place *p, struct state_reader *r, const struct state_record *record)
{
	static uint8_t data[STATE_BODY_MAX];
	static struct state_span span[STATE_SPANS_MAX];
	const uint8_t *at = data;
	struct iovec piece = {.iov_base = data};
	unsigned count = 0;

	assert_int_equal(state_read_spans(r, record, span, &count, &f), 0);
	piece.iov_len = r->left;
	assert_int_equal(state_read_page_data(r, &piece, r->left ? 1 : 0, &f), 0);
	assert_int_equal(state_read_done(r, &f), 0);
	for (unsigned i = 0; i < count; i++) {
		for (uint64_t n = 0; n < span[i].pages; n++) {
			uint64_t page = span[i].gpa / GMEM_PAGE + n;

			assert_true(page < PAGES);
			assert_int_equal(span[i].zeros, value_of(page) == 0);
			assert_true(span[i].zeros || *at == value_of(page));
			at += span[i].zeros ? 0 : GMEM_PAGE;
			p->times[page]++;
		}
	}
}

/* How many pages have been told of as coming later. */
static uint64_t read_all(struct place *p, unsigned link)
{
	static struct state_later later;
	struct state_record record = {.type = STATE_PAGES};
	struct state_reader r;
	uint64_t told = 0;

	assert_int_equal(state_write_end(&p->writer[link], &f), 0);
	lseek(p->writer[link].fd, 0, SEEK_SET);
	assert_int_equal(state_read_begin(&r, p->writer[link].fd, "x", STATE_LIVE, &f), 0);
	for (;;) {
		assert_int_equal(state_read_next(&r, &record, &f), 0);
		if (record.type == STATE_END)
			return told;
		if (record.type == STATE_PAGES) {
			count_pages(p, &r, &record);
			continue;
		}
		assert_int_equal(record.type, STATE_LATER);
		assert_int_equal(state_read_later(&r, &record, &later, &f), 0);
		for (uint32_t i = 0; i < later.pages / 64; i++)
			told += (uint64_t)__builtin_popcountll(later.bits[i]);
	}
}

static void assert_all_once(const struct place *p)
{
	for (uint64_t page = 0; page < PAGES; page++)
		assert_int_equal(p->times[page], 1);
}

static void each_page_goes_once_over_whichever_connection(void **state)
{
	for (unsigned count = 1; count <= LINKS; count++) {
		struct place *p = new_place();

		(void)state;
		assert_int_equal(dirty_send(&p->dirty, p->sink, count, false, &f), 0);
		for (unsigned i = 0; i < count; i++)
			assert_int_equal(read_all(p, i), 0);
		assert_all_once(p);
		free_place(p);
	}
}

static void what_comes_later_is_told_once_and_sent_once_what_is_waited_for_first(void **state)
{
	struct place *p = new_place();

	(void)state;
	assert_int_equal(dirty_tell_later(&p->dirty, &p->writer[0], &f), 0);
	assert_int_equal(dirty_tell_later(&p->dirty, &p->writer[0], &f), 0);
	assert_int_equal(p->dirty.left, PAGES);
	/* Nothing of RAM goes before. */
	assert_int_equal(dirty_send(&p->dirty, p->sink, LINKS, false, &f), 0);
	assert_int_equal(dirty_push_near(&p->dirty, &p->sink[2], 100 * GMEM_PAGE, &f), 0);
	assert_int_equal(p->dirty.left, PAGES - 16);
	assert_int_equal(dirty_push_near(&p->dirty, &p->sink[2], 101 * GMEM_PAGE, &f), 0);
	assert_int_equal(p->dirty.left, PAGES - 16);
	assert_int_equal(dirty_push_near(&p->dirty, &p->sink[2], RAM, &f), -EINVAL);
	assert_int_equal(dirty_push_near(&p->dirty, &p->sink[2], UINT64_MAX, &f), -EINVAL);
	assert_int_equal(dirty_push(&p->dirty, &p->sink[1], &f), 0);
	assert_int_equal(p->dirty.left, 0);
	assert_int_equal(dirty_push(&p->dirty, &p->sink[0], &f), 0);
	assert_int_equal(read_all(p, 0), PAGES);
	assert_int_equal(read_all(p, 2), 0);
	for (uint64_t page = 0; page < PAGES; page++)
		assert_int_equal(p->times[page], page / 16 == 100 / 16);
	assert_int_equal(read_all(p, 1), 0);
	assert_all_once(p);
	free_place(p);
}

static void without_memory_nothing_is_sent(void **state)
{
	struct place *p = new_place();

	(void)state;
	failheap_arm(0);
	assert_int_equal(dirty_send(&p->dirty, p->sink, 1, false, &f), -ENOMEM);
	failheap_arm(0);
	assert_int_equal(dirty_tell_later(&p->dirty, &p->writer[0], &f), -ENOMEM);
	failheap_disarm();
	assert_int_equal(dirty_tell_later(&p->dirty, &p->writer[0], &f), 0);
	failheap_arm(0);
	assert_int_equal(dirty_push_near(&p->dirty, &p->sink[0], 0, &f), -ENOMEM);
	failheap_arm(0);
	assert_int_equal(dirty_push(&p->dirty, &p->sink[0], &f), -ENOMEM);
	failheap_disarm();
	assert_int_equal(p->dirty.left, PAGES);
	free_place(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_page_goes_once_over_whichever_connection),
		cmocka_unit_test(
			what_comes_later_is_told_once_and_sent_once_what_is_waited_for_first),
		cmocka_unit_test(without_memory_nothing_is_sent),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
