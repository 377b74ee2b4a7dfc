/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that is read from a state as it is touched, without a VM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/lib/failheap.h"
#include "worker/lazy.h"
#include "worker/state_memory.h"

#define RAM (UINT64_C(64) << 20)
#define PAGES (RAM / STATE_PAGE)

static struct failure f;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct place {
	struct memory memory;
	struct lazy lazy;
	struct loop *loop;
	int file;
	bool lost; /* atomic */
	char sentence[FAIL_TEXT_MAX];
};

/* Two of three pages are there, but for the middle of the memory. */
static bool has_data(uint64_t page)
{
	return page % 3 != 1 && (page < PAGES / 4 || page > PAGES / 2);
}

static void on_lost(void *owner, const char *sentence)
{
	struct place *p = owner;

	strcpy(p->sentence, sentence);
	__atomic_store_n(&p->lost, true, __ATOMIC_RELEASE);
	pthread_exit(NULL); /* the process would end here */
}

/* A file with the state of such a memory, which is empty again then. */
static void make_file(struct place *p)
{
	struct state_writer w;

	for (uint64_t page = 0; page < PAGES; page++) {
		if (has_data(page))
			memset(p->memory.base + page * STATE_PAGE, (int)(page % 255 + 1),
			       STATE_PAGE);
	}
	p->file = memfd_create("state", MFD_CLOEXEC);
	assert_int_equal(state_write_begin(&w, p->file, "x", 0, &f), 0);
	assert_int_equal(state_memory_write(&p->memory, &w, NULL, &f), 0);
	assert_int_equal(state_write_end(&w, &f), 0);
	assert_int_equal(memory_clear(&p->memory), 0);
}

static int read_heads(struct place *p)
{
	struct state_record record;
	struct state_reader r;
	int e;

	lseek(p->file, 0, SEEK_SET);
	e = state_read_begin(&r, p->file, "x", 0, &f);
	while (e == 0 && (e = state_read_next(&r, &record, &f)) == 0 && record.type != STATE_END)
		e = state_memory_read(&p->memory, &p->lazy, &r, &record, &f);
	return e;
}

static struct place *new_place(enum config_pages pages)
{
	struct config config = {.memory_bytes = RAM, .memory_pages = pages};
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	lazy_init(&p->lazy);
	assert_int_equal(memory_init(&p->memory, &config, &f), 0);
	assert_int_equal(loop_new(&lock, &p->loop), 0);
	make_file(p);
	p->lazy.lost = on_lost;
	p->lazy.owner = p;
	lazy_open(&p->lazy, &p->memory);
	if (!lazy_opened(&p->lazy))
		skip(); /* the kernel does not let us */
	return p;
}

static void free_place(struct place *p)
{
	lazy_end(&p->lazy);
	memory_done(&p->memory);
	loop_free(p->loop);
	close(p->file);
	free(p);
}

static void begin(struct place *p)
{
	assert_int_equal(lazy_begin(&p->lazy, p->file, "x", p->loop, &f), 0);
}

static bool is_right(const struct place *p, uint64_t page)
{
	const uint8_t *at = p->memory.base + page * STATE_PAGE;
	int expected = has_data(page) ? (int)(page % 255 + 1) : 0;

	return at[0] == expected && at[STATE_PAGE - 1] == expected;
}

static void memory_is_what_the_state_has_in_whatever_order_it_is_touched(void **state)
{
	static const enum config_pages kinds[] = {PAGES_TRANSPARENT, PAGES_4K};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct place *p = new_place(kinds[i]);

		assert_int_equal(read_heads(p), 0);
		assert_false(lazy_runs(&p->lazy));
		begin(p);
		for (uint64_t n = 0; n < PAGES; n++)
			assert_true(is_right(p, n * 7919 % PAGES));
		while (lazy_runs(&p->lazy))
			poll(NULL, 0, 1);
		for (uint64_t page = 0; page < PAGES; page++)
			assert_true(is_right(p, page));
		assert_false(p->lost);
		free_place(p);
	}
}

static void what_is_missing_at_the_end_is_zeros(void **state)
{
	struct place *p = new_place(PAGES_4K);

	(void)state;
	assert_int_equal(read_heads(p), 0);
	begin(p);
	assert_true(is_right(p, PAGES - 1));
	lazy_end(&p->lazy);
	assert_int_equal(memory_clear(&p->memory), 0);
	assert_int_equal(p->memory.base[0] | p->memory.base[RAM - 1], 0);
	free_place(p);
}

static void damage_is_told_and_nobody_goes_on_with_it(void **state)
{
	struct place *p = new_place(PAGES_4K);
	off_t at = lseek(p->file, 0, SEEK_END) / 2;
	uint8_t byte;

	(void)state;
	assert_int_equal(read_heads(p), 0);
	assert_int_equal(pread(p->file, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(p->file, &byte, 1, at), 1);
	begin(p);
	while (!__atomic_load_n(&p->lost, __ATOMIC_ACQUIRE))
		poll(NULL, 0, 1);
	assert_non_null(strstr(p->sentence, "the state in x cannot be used: the sum of a record"));
	assert_true(lazy_runs(&p->lazy));
	free_place(p);
}

static void a_file_that_is_cut_off_is_told(void **state)
{
	struct place *p = new_place(PAGES_4K);

	(void)state;
	assert_int_equal(read_heads(p), 0);
	assert_int_equal(ftruncate(p->file, lseek(p->file, 0, SEEK_END) / 2), 0);
	begin(p);
	while (!__atomic_load_n(&p->lost, __ATOMIC_ACQUIRE))
		poll(NULL, 0, 1);
	assert_non_null(strstr(p->sentence, "it was cut off at "));
	free_place(p);
	p = new_place(PAGES_4K);
	assert_int_equal(ftruncate(p->file, lseek(p->file, 0, SEEK_END) / 2), 0);
	assert_int_equal(read_heads(p), -EBADMSG);
	assert_non_null(strstr(f.text, "before its end"));
	free_place(p);
}

static void a_page_that_another_put_there_is_not_used(void **state)
{
	struct place *p = new_place(PAGES_4K);

	(void)state;
	assert_int_equal(read_heads(p), 0);
	assert_int_equal(pwrite(p->memory.fd, "x", 1, 0), 1);
	begin(p);
	while (!__atomic_load_n(&p->lost, __ATOMIC_ACQUIRE))
		poll(NULL, 0, 1);
	assert_non_null(strstr(p->sentence, "another process has touched it"));
	free_place(p);
}

/* The head of a run has no sum of its own, so its record's head must say the same. */
static void a_run_of_a_place_that_nobody_vouches_for_is_read_at_once(void **state)
{
	struct state_run run = {.gpa = 8 * STATE_PAGE, .len = STATE_PAGE};
	struct state_record record = {
		.type = STATE_MEMORY, .version = 1, .len = STATE_MEMORY_BYTES + STATE_PAGE};
	struct place *p = new_place(PAGES_4K);
	uint8_t head[STATE_MEMORY_BYTES], page[STATE_PAGE];
	struct iovec body[] = {{head, sizeof(head)}, {page, sizeof(page)}};
	struct state_writer w;

	(void)state;
	memset(page, 0x55, sizeof(page));
	state_run_encode(&run, head);
	assert_int_equal(ftruncate(p->file, 0), 0);
	lseek(p->file, 0, SEEK_SET);
	assert_int_equal(state_write_begin(&w, p->file, "x", 0, &f), 0);
	assert_int_equal(state_write(&w, &record, body, 2, &f), 0);
	assert_int_equal(state_write_end(&w, &f), 0);
	assert_int_equal(read_heads(p), 0);
	assert_int_equal(p->lazy.map.count, 0);
	begin(p);
	assert_int_equal(p->memory.base[8 * STATE_PAGE], 0x55);
	assert_int_equal(p->memory.base[7 * STATE_PAGE], 0);
	free_place(p);
}

static void without_memory_for_it_none_is_read(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 2; n++) {
		struct place *p = new_place(PAGES_4K);

		assert_int_equal(read_heads(p), 0);
		failheap_arm(n);
		assert_int_equal(lazy_begin(&p->lazy, p->file, "x", p->loop, &f), -ENOMEM);
		failheap_disarm();
		assert_false(lazy_opened(&p->lazy));
		assert_int_equal(p->memory.base[0], 0);
		free_place(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_what_the_state_has_in_whatever_order_it_is_touched),
		cmocka_unit_test(what_is_missing_at_the_end_is_zeros),
		cmocka_unit_test(damage_is_told_and_nobody_goes_on_with_it),
		cmocka_unit_test(a_file_that_is_cut_off_is_told),
		cmocka_unit_test(a_page_that_another_put_there_is_not_used),
		cmocka_unit_test(a_run_of_a_place_that_nobody_vouches_for_is_read_at_once),
		cmocka_unit_test(without_memory_for_it_none_is_read),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
