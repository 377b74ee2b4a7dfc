/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When pages are compressed: a connection with a buffer, a link and a codec, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/compress_pays.h"

#define MIB (UINT64_C(1) << 20)
#define BUFFER_BYTES (4 * MIB) /* that the sockets hold */
#define COPY_PS 300u           /* for a byte into them */
#define PACK_PS 2500u          /* to compress one */
#define SLOW_PS 8547u          /* a link of 117 MB/s */
#define FAST_PS 800u           /* of 1250 MB/s */

struct line {
	struct compress_pays pays;
	uint64_t now_ns, drained_ns;
	uint64_t link_ps, pack_ps, percent; /* of a byte; of pages, once they are compressed */
	uint64_t queued;                    /* bytes in the buffer */
	uint64_t packed, sent;              /* bytes of pages that went compressed; of the link */
	unsigned samples;
};

static struct line new_line(uint64_t link_ps, uint64_t percent)
{
	return (struct line){
		.now_ns = 1000000, .link_ps = link_ps, .pack_ps = PACK_PS, .percent = percent};
}

static void drain(struct line *l)
{
	uint64_t done = (l->now_ns - l->drained_ns) * 1000 / l->link_ps;

	l->queued -= done < l->queued ? done : l->queued;
	l->drained_ns = l->now_ns;
}

static void put(struct line *l, uint64_t bytes)
{
	l->now_ns += bytes * COPY_PS / 1000;
	drain(l);
	if (l->queued + bytes > BUFFER_BYTES) {
		l->now_ns += (l->queued + bytes - BUFFER_BYTES) * l->link_ps / 1000;
		drain(l);
	}
	l->queued += bytes;
	l->sent += bytes;
}

static void pack(struct line *l, uint64_t bytes)
{
	uint64_t ns = bytes * l->pack_ps / 1000;

	l->now_ns += ns;
	compress_packed(&l->pays, bytes, bytes * l->percent / 100, ns, l->now_ns);
}

static void send_batch(struct line *l, uint64_t bytes)
{
	enum compress_way way = compress_way(&l->pays, bytes, l->now_ns);
	uint64_t from_ns;

	if (way == COMPRESS_ALL) {
		pack(l, bytes);
		put(l, bytes * l->percent / 100);
		l->packed += bytes;
		return;
	}
	if (way == COMPRESS_SAMPLE) {
		pack(l, PAYS_LEAST);
		l->samples++;
	}
	from_ns = l->now_ns;
	put(l, bytes);
	compress_went(&l->pays, bytes, l->now_ns - from_ns, l->now_ns);
}

/* How long a round takes, until all of it is there. */
static uint64_t round_ns(struct line *l, unsigned mib)
{
	uint64_t from_ns = l->now_ns;

	compress_round(&l->pays);
	for (unsigned i = 0; i < mib; i++)
		send_batch(l, MIB);
	l->now_ns += l->queued * l->link_ps / 1000;
	drain(l);
	return l->now_ns - from_ns;
}

static void pages_that_shrink_are_compressed_for_a_slow_link(void **state)
{
	struct line l = new_line(SLOW_PS, 40);
	uint64_t ns = round_ns(&l, 1024), plain_ns = 1024 * MIB * SLOW_PS / 1000;

	(void)state;
	assert_true(l.pays.on);
	assert_true(l.packed > 1024 * MIB * 95 / 100);
	assert_true(ns < plain_ns / 2);
	/* Also when it is so narrow that a batch takes a tenth of a second. */
	l = new_line(100000, 70);
	round_ns(&l, 256);
	assert_true(l.packed > 256 * MIB * 90 / 100);
}

static void a_fast_link_costs_a_sample_now_and_then(void **state)
{
	struct line l = new_line(FAST_PS, 5);
	uint64_t ns = round_ns(&l, 4096), plain_ns = 4096 * MIB * FAST_PS / 1000;

	(void)state;
	assert_false(l.pays.on);
	assert_int_equal(l.packed, 0);
	assert_true(l.samples > 10);
	assert_true(ns < plain_ns + plain_ns / 90);
}

static void pages_that_do_not_shrink_cost_samples_only(void **state)
{
	static const uint64_t percents[] = {90, 100, 101};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct line l = new_line(SLOW_PS, percents[i]);

		round_ns(&l, 512);
		assert_false(l.pays.on);
		assert_int_equal(l.packed, 0);
		assert_true(l.samples > 10);
	}
}

static void other_pages_change_it_soon(void **state)
{
	struct line l = new_line(SLOW_PS, 30);

	(void)state;
	round_ns(&l, 64);
	assert_true(l.pays.on);
	l.percent = 100;
	l.packed = 0;
	round_ns(&l, 64);
	assert_false(l.pays.on);
	assert_true(l.packed < 16 * MIB);
	l.percent = 30;
	l.packed = 0;
	round_ns(&l, 64);
	assert_true(l.pays.on);
	assert_true(l.packed > 56 * MIB);
}

static void a_sample_that_is_interrupted_does_not_put_off_the_next_for_long(void **state)
{
	struct line l = new_line(SLOW_PS, 30);

	(void)state;
	l.pack_ps = 1000000;
	round_ns(&l, 8);
	assert_true(l.samples > 0 && !l.pays.on);
	l.pack_ps = PACK_PS;
	round_ns(&l, 64);
	assert_true(l.pays.on);
}

static void a_link_that_becomes_fast_is_noticed(void **state)
{
	struct line l = new_line(SLOW_PS, 30);

	(void)state;
	round_ns(&l, 512);
	assert_true(l.pays.on);
	l.link_ps = FAST_PS;
	round_ns(&l, 2048);
	assert_false(l.pays.on);
	l.link_ps = SLOW_PS;
	round_ns(&l, 64);
	assert_true(l.pays.on);
}

static void short_rounds_leave_it_as_it_is(void **state)
{
	struct line l = new_line(SLOW_PS, 30);

	(void)state;
	round_ns(&l, 64);
	for (unsigned i = 0; i < 5000; i++)
		round_ns(&l, 2);
	assert_true(l.pays.on);
	/* So do pieces that are too small to say anything. */
	for (unsigned i = 0; i < 5000; i++)
		send_batch(&l, 4096);
	assert_true(l.pays.on);
	l = new_line(SLOW_PS, 30);
	for (unsigned i = 0; i < 5000; i++)
		send_batch(&l, PAYS_LEAST - 4096);
	assert_false(l.pays.on);
	assert_int_equal(l.samples, 0);
}

static void nothing_is_tried_while_the_guest_stands_still(void **state)
{
	struct line l = new_line(SLOW_PS, 100);

	(void)state;
	round_ns(&l, 64);
	l.pays.steady = true;
	l.samples = 0;
	round_ns(&l, 64);
	assert_int_equal(l.samples, 0);
	l = new_line(SLOW_PS, 30);
	round_ns(&l, 64);
	l.pays.steady = true;
	l.packed = 0;
	round_ns(&l, 2048);
	assert_true(l.packed == 2048 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_that_shrink_are_compressed_for_a_slow_link),
		cmocka_unit_test(a_fast_link_costs_a_sample_now_and_then),
		cmocka_unit_test(pages_that_do_not_shrink_cost_samples_only),
		cmocka_unit_test(other_pages_change_it_soon),
		cmocka_unit_test(a_sample_that_is_interrupted_does_not_put_off_the_next_for_long),
		cmocka_unit_test(a_link_that_becomes_fast_is_noticed),
		cmocka_unit_test(short_rounds_leave_it_as_it_is),
		cmocka_unit_test(nothing_is_tried_while_the_guest_stands_still),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
