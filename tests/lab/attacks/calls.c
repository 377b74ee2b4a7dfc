// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Calls with wild numbers and operands, on all processors at once: each names one of our chunks and
 * pages, or what is not ours to give. Shared pages, lists and states change all the while.
 */
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "abi/oya.h"
#include "parent/hypercall.h"
#include "tests/lab/attacks/attack.h"

#define CHUNKS 6u
#define PAGES 12u
#define KHZ 1000000u
#define KICK 0xFDu /* the vector with which Linux asks for a new choice of thread */
#define PARTITIONS 512u
#define CALLS 14u

struct attacker {
	struct task_struct *task;
	u64 random, calls, accepted;
};

static struct page *chunks[CHUNKS], *pages[PAGES];
static DECLARE_BITMAP(ours, PARTITIONS + 1); /* numbers that a call of ours has made */
static u64 foreign[4];                       /* addresses that are not ours to give */
static unsigned long end_at;

static u64 next(struct attacker *a)
{
	a->random ^= a->random << 13;
	a->random ^= a->random >> 7;
	a->random ^= a->random << 17;
	return a->random;
}

static u64 our_chunk(struct attacker *a)
{
	return page_to_phys(chunks[next(a) % CHUNKS]);
}

static u64 our_page(struct attacker *a)
{
	return page_to_phys(pages[next(a) % PAGES]);
}

/* No page of the parent's, whatever the low bits say. */
static u64 wild(struct attacker *a)
{
	u64 at = foreign[next(a) % ARRAY_SIZE(foreign)];

	switch (next(a) % 8) {
	case 0:
		return foreign[0] + next(a) % oya_info(OYA_INFO_MEMORY_BYTES);
	case 1:
		return U64_MAX - next(a) % (4 * OYA_CHUNK_BYTES);
	case 2:
		return next(a) | 1ull << 63;
	case 3:
		return (1ull << (40 + next(a) % 24)) + (next(a) % 4) * PAGE_SIZE;
	case 4:
		return -(next(a) % 4) * OYA_CHUNK_BYTES - OYA_CHUNK_BYTES;
	default:
		return at;
	}
}

static u64 partition(struct attacker *a)
{
	u64 number = next(a) % (PARTITIONS + 1);

	if (next(a) % 16 == 0)
		return test_bit(number, ours) || number == 0 ? number : wild(a);
	number = find_next_bit(ours, PARTITIONS + 1, next(a) % 8);
	return number <= PARTITIONS ? number : 0;
}

static u64 guest_address(struct attacker *a)
{
	switch (next(a) % 6) {
	case 0:
		return wild(a);
	case 1:
		return (1ull << 48) - (next(a) % 4) * OYA_CHUNK_BYTES;
	default:
		return next(a) % 16 * (next(a) % 2 ? PAGE_SIZE : OYA_CHUNK_BYTES) + next(a) % 4;
	}
}

/* A list of pages, of which some are not ours: those must not be mapped. */
static void fill_list(struct attacker *a, u64 *list)
{
	unsigned int i;

	for (i = 0; i < 16; i++)
		list[i] = next(a) % 4 ? our_page(a) : next(a) % 2 ? our_chunk(a) : wild(a);
}

static void scribble(struct attacker *a)
{
	u64 *page = page_address(pages[next(a) % PAGES]);
	unsigned int i;

	if (next(a) % 2) {
		fill_list(a, page);
		return;
	}
	for (i = 0; i < 8; i++)
		page[next(a) % 64] = next(a) >> next(a) % 64;
}

static void create(struct attacker *a, bool is_ours)
{
	u64 b = is_ours ? our_chunk(a) : wild(a), at = b;

	if (oya_hypercall(OYA_CALL_CREATE, &b, next(a) % 8 ? KHZ : next(a), KICK, 0) != 0)
		return;
	a->accepted++;
	set_bit(b, ours);
	if (!is_ours)
		attack_found("a partition was made of what is not the parent's", at, b);
}

static void wild_call(struct attacker *a)
{
	u64 number = next(a) % CALLS, b = partition(a), c, d, s = next(a) % 20;
	bool is_ours = next(a) % 4 != 0;
	long r;

	if (number == OYA_CALL_CREATE) {
		create(a, is_ours);
		return;
	}
	switch (number) {
	case OYA_CALL_INFO:
		b = next(a) % 2 ? next(a) % 8 : wild(a);
		break;
	case OYA_CALL_DONATE:
		c = is_ours ? our_chunk(a) : wild(a);
		d = wild(a);
		break;
	case OYA_CALL_MAP:
	case OYA_CALL_UNMAP:
		c = guest_address(a);
		d = number == OYA_CALL_UNMAP ? next(a) % 3 * OYA_CHUNK_BYTES / 2
		    : is_ours                ? our_page(a)
					     : wild(a);
		break;
	case OYA_CALL_MESSAGE:
		c = next(a) % 2 ? 0xFEE00000 | (next(a) & 0xFFFFC) : wild(a);
		d = next(a) & 0xFFFF;
		break;
	default:
		c = next(a) % 16 ? next(a) % 3 : wild(a);
		d = (is_ours ? our_page(a) : wild(a)) | (next(a) % 2 ? 1 : 0);
		if (number > OYA_CALL_CREATE_PROCESSOR)
			d &= ~1ull;
		if (number > OYA_CALL_MESSAGE)
			number = wild(a);
	}
	r = oya_hypercall(number, &b, c, d, s);
	a->accepted += r == 0;
	if (r == 0 && !is_ours &&
	    (number == OYA_CALL_DONATE || number == OYA_CALL_CREATE_PROCESSOR ||
	     (number == OYA_CALL_MAP && s)))
		attack_found("an address that is not the parent's was taken", number, d);
	if (r > 0 || r < -MAX_ERRNO)
		attack_found("no errno", number, r);
}

static int attacker_run(void *context)
{
	struct attacker *a = context;

	while (!kthread_should_stop()) {
		unsigned int i;

		for (i = 0; i < 64 && time_before(jiffies, end_at); i++) {
			scribble(a);
			wild_call(a);
			a->calls++;
		}
		if (time_before(jiffies, end_at))
			cond_resched();
		else
			msleep(10);
	}
	return 0;
}

static void destroy_all(void)
{
	unsigned int number;

	for_each_set_bit(number, ours, PARTITIONS + 1)
	{
		u64 b;
		long r;

		do {
			b = number;
			r = oya_hypercall(OYA_CALL_DESTROY, &b, 0, 0, 0);
		} while (r == -EAGAIN);
		if (r != 0 && r != -ENOENT)
			attack_found("a partition stays", number, r);
	}
}

/* All that was given away has come back, as zeros. */
static void take_back(void)
{
	unsigned int i;

	for (i = 0; i < CHUNKS; i++) {
		if (chunks[i] && memchr_inv(page_address(chunks[i]), 0, OYA_CHUNK_BYTES))
			attack_found("a chunk is not zeros", i, page_to_phys(chunks[i]));
		if (chunks[i])
			__free_pages(chunks[i], get_order(OYA_CHUNK_BYTES));
	}
	for (i = 0; i < PAGES; i++) {
		if (pages[i])
			__free_page(pages[i]);
	}
}

static int make(void)
{
	unsigned int i;

	for (i = 0; i < CHUNKS; i++) {
		chunks[i] = alloc_pages(GFP_KERNEL | __GFP_ZERO, get_order(OYA_CHUNK_BYTES));
		if (!chunks[i])
			return -ENOMEM;
	}
	for (i = 0; i < PAGES; i++) {
		pages[i] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		if (!pages[i])
			return -ENOMEM;
	}
	foreign[0] = oya_info(OYA_INFO_MEMORY_AT);
	foreign[1] = foreign[0] + OYA_CHUNK_BYTES;
	foreign[2] = 0xFEC00000;
	foreign[3] = 0xFEE00000;
	return 0;
}

int attack_calls(u64 seed, unsigned int milliseconds)
{
	static struct attacker attackers[NR_CPUS];
	u64 calls = 0, accepted = 0;
	unsigned int cpu;
	int r = make();

	end_at = jiffies + msecs_to_jiffies(milliseconds);
	for_each_online_cpu(cpu)
	{
		struct attacker *a = &attackers[cpu];

		a->random = (seed + cpu + 1) * 0x9E3779B97F4A7C15ull;
		if (r == 0)
			a->task = kthread_create(attacker_run, a, "attack/%u", cpu);
		if (IS_ERR_OR_NULL(a->task)) {
			a->task = NULL;
			continue;
		}
		kthread_bind(a->task, cpu);
		wake_up_process(a->task);
	}
	if (r == 0)
		msleep(milliseconds);
	for_each_possible_cpu(cpu)
	{
		if (attackers[cpu].task)
			kthread_stop(attackers[cpu].task);
		calls += attackers[cpu].calls;
		accepted += attackers[cpu].accepted;
	}
	destroy_all();
	take_back();
	pr_info("oya_attack: %llu calls, %llu accepted\n", calls, accepted);
	return r;
}
