// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/mm.h>
#include <linux/module.h>

#include "abi/oya.h"
#include "parent/hypercall.h"
#include "tests/lab/attacks/attack.h"

#define PROCESSOR_PAGES 8u

static ulong seed = 1;
static uint milliseconds = 5000, rounds = 100;
module_param(seed, ulong, 0444);
module_param(milliseconds, uint, 0444);
module_param(rounds, uint, 0444);

static atomic_t findings;

void attack_found(const char *what, u64 a, u64 b)
{
	if (atomic_inc_return(&findings) < 20)
		pr_err("oya_attack: FOUND: %s: %llx %llx\n", what, a, b);
}

static int __init attack_init(void)
{
	u64 pages = oya_info(OYA_INFO_PAGES_LEFT), partitions = oya_info(OYA_INFO_PARTITIONS);
	int r;

	if (!oya_info(OYA_INFO_MEMORY_BYTES))
		return -ENODEV;
	attack_machine(rounds);
	r = attack_calls(seed, milliseconds);
	if (r < 0)
		return r;
	/* A table for each GiB in which a chunk was hidden, and one processor that did not start.
	 */
	if (oya_info(OYA_INFO_PAGES_LEFT) + (totalram_pages() >> 18) + 2 + PROCESSOR_PAGES < pages)
		attack_found("pages of the pool are gone", pages, oya_info(OYA_INFO_PAGES_LEFT));
	if (oya_info(OYA_INFO_PARTITIONS) != partitions)
		attack_found("partitions are left", partitions, oya_info(OYA_INFO_PARTITIONS));
	pr_info("oya_attack: seed %lu: %d found\n", seed, atomic_read(&findings));
	return 0;
}

static void __exit attack_exit(void)
{
}

module_init(attack_init);
module_exit(attack_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Attacks of a parent partition on oya-hv, for tests");
