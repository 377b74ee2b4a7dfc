/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Much memory that is written once and looked at later, whatever was done to the VM meanwhile. */
#include "tests/system/guest/guest.h"

#define FIRST UINT64_C(0x1000000)
#define PAGES UINT64_C(32768) /* 128 MiB */
#define WORDS (PAGE / sizeof(uint64_t))
#define STRIDE UINT64_C(7919) /* odd, so that all pages have their turn */
#define SECOND_STEP 9u
#define REPEATED (WORDS / 8) /* words of a page that can be compressed */
#define HOLE_PAGES 256u      /* every fourth piece of so many is zeros, and a page of each */

static bool churns;             /* it does not wait for keys */
static uint64_t differ = WORDS; /* words of a page, a power of two */
static volatile uint64_t wrong, second_wrong, this_round, second_round;

static volatile uint64_t *words_of(uint64_t page)
{
	return (volatile uint64_t *)(FIRST + page * PAGE);
}

/* What a word must be in a round: each has written all pages anew. */
static uint64_t word_of(uint64_t page, uint64_t word, uint64_t round)
{
	if (page / HOLE_PAGES % 4 == 3 || page % HOLE_PAGES == 7)
		return 0;
	return (page * WORDS + (word & (differ - 1)) + round + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void write_pages(uint64_t round)
{
	for (uint64_t page = 0; page < PAGES; page++) {
		for (uint64_t i = 0; word_of(page, 0, round) && i < WORDS; i++)
			words_of(page)[i] = word_of(page, i, round);
	}
}

/* In another order than they were written, and lie in a state. */
static void look_at_pages(uint64_t round)
{
	for (uint64_t n = 0; n < PAGES; n++) {
		uint64_t page = n * STRIDE % PAGES;

		for (uint64_t i = 0; i < WORDS; i++)
			wrong += words_of(page)[i] != word_of(page, i, round);
	}
}

/* The other processor at the same time, in ring 0: not all of it, since that may be slow. */
static void second_looks(void)
{
	for (uint64_t page = 1; page < PAGES && second_round < this_round; page += SECOND_STEP)
		second_wrong +=
			words_of(page)[page % WORDS] != word_of(page, page % WORDS, this_round - 1);
	second_round = this_round;
}

static uint64_t ring_0_next(uint64_t round, uint64_t unused)
{
	(void)unused;
	if (!churns && console_read() == 'q') {
		print("PASS recall\n");
		power_off();
	}
	this_round = round + 1;
	if (second_work)
		apic_send(1, BLIND_WAKE_VECTOR);
	return 0;
}

static uint64_t ring_0_judge(uint64_t round, uint64_t unused)
{
	(void)unused;
	while (second_work && second_round <= round)
		;
	if (wrong || second_wrong) {
		print("FAIL recall: %u and %u words are not as they were\n", wrong, second_wrong);
		power_off();
	}
	print("RIGHT %u\n", round);
	return 0;
}

static uint64_t ring_0_written(uint64_t round, uint64_t unused)
{
	(void)unused;
	print("WRITTEN %u\n", round);
	return 0;
}

static void ring_3(void)
{
	for (uint64_t round = 0;; round++) {
		write_pages(round);
		user_ask(ring_0_written, round, 0);
		user_ask(ring_0_next, round, 0);
		look_at_pages(round);
		user_ask(ring_0_judge, round, 0);
	}
}

/* Fills memory; with each key, or without, all of it must be as it was, and is written anew. Until
 * a q. */
const char *test_recall(void)
{
	churns = argument("churn") != NULL;
	if (argument("repeat"))
		differ = REPEATED;
	if (argument("both")) {
		REQUIRE(smp_start(), "the second processor did not start");
		second_work = second_looks;
	}
	console_input_on();
	user_enter(ring_3);
}
