/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that comes from another host as it is touched, without a VM. */
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
#include <sys/socket.h>
#include <unistd.h>

#include "lib/move_message.h"
#include "worker/lazy.h"

#define RAM (UINT64_C(16) << 20)
#define PAGES (RAM / STATE_PAGE)
#define STALE 0xee

static struct failure f;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct place {
	struct memory memory;
	struct lazy lazy;
	struct loop *loop;
	int link[2]; /* ours; the other host's */
	unsigned wanted, whole;
	bool silent; /* the other host answers nothing */
	pthread_t host;
	bool lost; /* atomic */
	char sentence[FAIL_TEXT_MAX];
};

/* Two of three come later; a third of these are zeros. */
static bool is_late(uint64_t page)
{
	return page % 3 != 0;
}

static int value_of(uint64_t page)
{
	return is_late(page) && page % 9 != 1 ? (int)(page % 200 + 1) : 0;
}

static void on_lost(void *owner, const char *sentence)
{
	struct place *p = owner;

	strcpy(p->sentence, sentence);
	__atomic_store_n(&p->lost, true, __ATOMIC_RELEASE);
	pthread_exit(NULL); /* the process would end here */
}

static void bring(struct place *p, uint64_t page)
{
	uint8_t data[STATE_PAGE];

	memset(data, value_of(page), sizeof(data));
	assert_int_equal(lazy_arrived(&p->lazy, p->memory.base + page * STATE_PAGE,
				      value_of(page) ? data : NULL, STATE_PAGE, &f),
			 0);
}

/* What the other host does, and whoever reads what it sends. */
static void *host_thread(void *arg)
{
	struct place *p = arg;
	struct failure ignored;
	struct move_message m;

	while (move_receive(p->link[1], &m, &ignored) == 0) {
		p->wanted += m.kind == MOVE_WANT;
		p->whole += m.kind == MOVE_WHOLE;
		if (m.kind == MOVE_WANT && !p->silent)
			bring(p, m.value / STATE_PAGE);
	}
	return NULL;
}

static void expect_late(struct place *p)
{
	uint64_t bits[PAGES / 64] = {0};

	for (uint64_t page = 0; page < PAGES; page++) {
		if (is_late(page)) {
			p->memory.base[page * STATE_PAGE] = STALE;
			bits[page / 64] |= UINT64_C(1) << page % 64;
		}
	}
	/* In two parts, of which some are told of twice. */
	assert_int_equal(lazy_expect(&p->lazy, p->memory.base, bits, PAGES / 2), 0);
	assert_int_equal(lazy_expect(&p->lazy, p->memory.base, bits, PAGES), 0);
	assert_int_equal(lazy_expect(&p->lazy, p->memory.base + RAM, bits, 64), -EINVAL);
}

static struct place *new_place(bool silent)
{
	struct config config = {.memory_bytes = RAM, .memory_pages = PAGES_4K};
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	lazy_init(&p->lazy);
	assert_int_equal(memory_init(&p->memory, &config, &f), 0);
	assert_int_equal(loop_new(&lock, &p->loop), 0);
	p->lazy.lost = on_lost;
	p->lazy.owner = p;
	p->silent = silent;
	lazy_open(&p->lazy, &p->memory);
	if (!lazy_opened(&p->lazy))
		skip(); /* the kernel does not let us */
	expect_late(p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p->link), 0);
	assert_int_equal(lazy_pull(&p->lazy, p->link[0], p->loop, &f), 0);
	assert_int_equal(pthread_create(&p->host, NULL, host_thread, p), 0);
	return p;
}

static void free_place(struct place *p)
{
	shutdown(p->link[1], SHUT_RDWR);
	pthread_join(p->host, NULL);
	lazy_end(&p->lazy);
	close(p->link[0]);
	close(p->link[1]);
	memory_done(&p->memory);
	loop_free(p->loop);
	free(p);
}

static bool is_right(const struct place *p, uint64_t page)
{
	const uint8_t *at = p->memory.base + page * STATE_PAGE;

	return at[0] == value_of(page) && at[STATE_PAGE - 1] == value_of(page);
}

static void memory_is_asked_for_as_it_is_touched_and_what_was_there_is_gone(void **state)
{
	struct place *p = new_place(false);

	(void)state;
	assert_true(lazy_runs(&p->lazy) && lazy_pulls(&p->lazy));
	for (uint64_t n = 0; n < PAGES; n++)
		assert_true(is_right(p, n * 1597 % PAGES));
	assert_true(lazy_whole(&p->lazy));
	lazy_finish(&p->lazy);
	while (lazy_runs(&p->lazy))
		poll(NULL, 0, 1);
	assert_false(p->lost);
	lazy_settle(&p->lazy);
	assert_false(lazy_opened(&p->lazy));
	shutdown(p->link[1], SHUT_RDWR);
	pthread_join(p->host, NULL);
	assert_int_equal(p->wanted, PAGES - (PAGES + 2) / 3);
	assert_int_equal(p->whole, 1);
	assert_int_equal(pthread_create(&p->host, NULL, host_thread, p), 0);
	free_place(p);
}

static void what_comes_unasked_is_not_asked_for(void **state)
{
	struct place *p = new_place(true);

	(void)state;
	for (uint64_t page = 0; page < PAGES; page++) {
		if (is_late(page))
			bring(p, page);
	}
	bring(p, 1); /* it is there: it stays as it is */
	for (uint64_t page = 0; page < PAGES; page++)
		assert_true(is_right(p, page));
	shutdown(p->link[1], SHUT_RDWR);
	pthread_join(p->host, NULL);
	assert_int_equal(p->wanted, 0);
	assert_int_equal(pthread_create(&p->host, NULL, host_thread, p), 0);
	free_place(p);
}

static void who_needs_no_more_says_so_and_what_is_missing_is_zeros_at_the_end(void **state)
{
	struct place *p = new_place(false);

	(void)state;
	assert_true(is_right(p, 2));
	lazy_cease(&p->lazy);
	shutdown(p->link[0], SHUT_WR);
	pthread_join(p->host, NULL);
	assert_int_equal(p->whole, 1);
	lazy_end(&p->lazy);
	assert_int_equal(p->memory.base[5 * STATE_PAGE], 0);
	assert_int_equal(pthread_create(&p->host, NULL, host_thread, p), 0);
	free_place(p);
}

static void *touch(void *arg)
{
	const struct place *p = arg;

	return (void *)(uintptr_t)p->memory.base[STATE_PAGE];
}

static void a_link_that_is_gone_is_told_and_nobody_goes_on(void **state)
{
	struct place *p = new_place(true);
	pthread_t toucher;

	(void)state;
	shutdown(p->link[1], SHUT_RDWR);
	assert_int_equal(pthread_create(&toucher, NULL, touch, p), 0);
	while (!__atomic_load_n(&p->lost, __ATOMIC_ACQUIRE))
		poll(NULL, 0, 1);
	assert_non_null(strstr(p->sentence, "the connection to the other host has ended"));
	assert_true(lazy_runs(&p->lazy));
	lazy_end(&p->lazy); /* lets it go on */
	pthread_join(toucher, NULL);
	free_place(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_asked_for_as_it_is_touched_and_what_was_there_is_gone),
		cmocka_unit_test(what_comes_unasked_is_not_asked_for),
		cmocka_unit_test(who_needs_no_more_says_so_and_what_is_missing_is_zeros_at_the_end),
		cmocka_unit_test(a_link_that_is_gone_is_told_and_nobody_goes_on),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
