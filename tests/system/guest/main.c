/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Picks the test by the command line, runs it, tells the result and powers off. */
#include <string.h>

#include "abi/linux_boot.h"
#include "abi/machine.h"
#include "base/bytes.h"
#include "base/util.h"
#include "tests/system/guest/guest.h"

static const struct test {
	const char *name;
	const char *(*run)(void);
} tests[] = {
	{"hello", test_hello},
	{"cpuid", test_cpuid},
	{"features", test_features},
	{"identity", test_identity},
	{"hypercalls", test_hypercalls},
	{"clock", test_clock},
	{"msr", test_msr},
	{"crash", test_crash},
	{"random", test_random},
	{"synic", test_synic},
	{"contact", test_contact},
	{"heartbeat", test_heartbeat},
	{"shutdown", test_shutdown},
	{"kick", test_kick},
	{"cost", test_cost},
	{"storm", test_storm},
	{"idle", test_idle},
	{"disk", test_disk},
	{"disk-read-only", test_disk_read_only},
	{"disk-load", test_disk_load},
	{"disk-count", test_disk_count},
	{"disk-churn", test_disk_churn},
	{"wild-ring", test_wild_ring},
	{"smp", test_smp},
	{"x2apic", test_x2apic},
	{"count", test_count},
	{"rtc", test_rtc},
	{"echo", test_echo},
	{"serial", test_serial},
	{"flood", test_flood},
	{"nmi", test_nmi},
	{"reset", test_reset},
	{"ticks", test_ticks},
	{"triple", test_triple},
	{"halted", test_halted},
	{"blind", test_blind},
	{"recall", test_recall},
};

const char *test_hello(void)
{
	uint64_t rsdp = le64_load(zero_page + ZERO_PAGE_RSDP);
	uint64_t ram = 0;

	REQUIRE(le32_load(zero_page + SETUP_MAGIC) == SETUP_MAGIC_VALUE,
		"the zero page has no magic number");
	REQUIRE(rsdp && memcmp((const void *)rsdp, "RSD PTR ", 8) == 0,
		"the ACPI tables are not where the zero page tells");
	for (unsigned i = 0; i < zero_page[ZERO_PAGE_E820_COUNT]; i++) {
		const uint8_t *e = zero_page + ZERO_PAGE_E820 + i * E820_ENTRY_BYTES;

		if (le32_load(e + 16) == E820_RAM)
			ram += le64_load(e + 8);
	}
	print("RAM %u\n", ram);
	print("INITRD %u\n", (uint64_t)le32_load(zero_page + SETUP_RAMDISK_BYTES));
	return NULL;
}

void guest_main(const uint8_t *page);

void guest_main(const uint8_t *page)
{
	const char *name, *why = "there is no such test";

	zero_page = page;
	trap_init();
	apic_enable();
	name = argument("test");
	for (size_t i = 0; name && i < ARRAY_LEN(tests); i++) {
		if (!word_equal(name, tests[i].name))
			continue;
		why = tests[i].run();
		name = tests[i].name;
		break;
	}
	if (why)
		print("FAIL %s: %s\n", name ? name : "", why);
	else
		print("PASS %s\n", name);
	power_off();
}
