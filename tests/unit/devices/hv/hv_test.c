/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The partition's registers, hypercalls, pages and crash reports (synic_test.c has the SynIC).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "tests/unit/devices/hv/hvguest.h"

#define CRASH_NOW (HV_CRASH_NOTIFY | HV_CRASH_MESSAGE)
#define NO_RAM (HVGUEST_RAM | HV_PAGE_ENABLE)

static int set_up(void **state)
{
	*state = hvguest_new(true);
	return 0;
}

static int tear_down(void **state)
{
	hvguest_free(*state);
	return 0;
}

static uint64_t read_msr(struct hvguest *g, unsigned vp, uint32_t msr)
{
	uint64_t value = 0;

	assert_int_equal(hv_msr_read(g->hv, vp, msr, &value), 0);
	return value;
}

static void a_config_out_of_range_is_refused(void **state)
{
	struct hvguest *g = *state;
	struct hv_config c = g->config;
	struct hv *hv = NULL;

	c.vp_count = 0;
	assert_int_equal(hv_new(&c, &hv), -EINVAL);
	c.vp_count = HV_VPS_MAX + 1;
	assert_int_equal(hv_new(&c, &hv), -EINVAL);
	c.vp_count = 1;
	c.tsc_hz = 10000000; /* the scale would not fit 64 bits */
	assert_int_equal(hv_new(&c, &hv), -EINVAL);
	assert_null(hv);
	hv_free(NULL);
}

static void cpuid_leaves_are_those_that_linux_insists_on(void **state)
{
	struct hvguest *g = *state;
	struct hv_leaf leaf[6];
	char vendor[13] = "";

	for (unsigned n = 0; n < 6; n++) {
		assert_true(hv_cpuid_leaf(g->hv, n, &leaf[n]));
		assert_int_equal(leaf[n].function, 0x40000000 + n);
	}
	assert_false(hv_cpuid_leaf(g->hv, 6, &leaf[0]));
	assert_false(hv_cpuid_leaf(g->hv, UINT32_MAX, &leaf[0]));
	le32_store(vendor, leaf[0].ebx);
	le32_store(vendor + 4, leaf[0].ecx);
	le32_store(vendor + 8, leaf[0].edx);
	assert_string_equal(vendor, "Microsoft Hv");
	assert_true(leaf[0].eax >= 0x40000005);
	assert_int_equal(leaf[1].eax, 0x31237648);
	assert_int_equal(leaf[3].eax, 0xA66);
	assert_int_equal(leaf[3].ebx, 0x30);
	assert_int_equal(leaf[3].edx, 0x500);
	assert_int_equal(leaf[4].eax, 0x220);
	assert_int_equal(leaf[4].ebx, 0xFFFFFFFF);
	assert_int_equal(leaf[5].eax, HV_VPS_MAX);
}

static void msrs_of_the_apic_are_offered_only_where_somebody_serves_them(void **state)
{
	struct hvguest *g = *state;
	struct hv_config config = g->config;
	struct hv_leaf leaf;
	struct hv *hv;

	config.apic_msrs = true;
	assert_int_equal(hv_new(&config, &hv), 0);
	assert_true(hv_cpuid_leaf(hv, 3, &leaf));
	assert_int_equal(leaf.eax, 0xA76);
	assert_true(hv_cpuid_leaf(hv, 4, &leaf));
	assert_int_equal(leaf.eax, 0x228);
	hv_free(hv);
}

static void the_tsc_page_is_offered_only_where_the_clock_is_common(void **state)
{
	struct hvguest *g = hvguest_new(false);
	struct hv_reference_tsc_page page;
	struct hv_leaf leaf;

	(void)state;
	assert_true(hv_cpuid_leaf(g->hv, 3, &leaf));
	assert_int_equal(leaf.eax & HV_ACCESS_REFERENCE_TSC, 0);
	memset(hvguest_at(g, 0x3000), 0xff, 4096);
	assert_int_equal(hv_msr_write(g->hv, 0, HV_MSR_REFERENCE_TSC, 0x3001), 0);
	memcpy(&page, hvguest_at(g, 0x3000), sizeof(page));
	assert_int_equal(page.sequence, 0);
	assert_int_equal(page.scale, 0);
	hvguest_free(g);
}

static void the_tsc_page_tells_scale_and_offset(void **state)
{
	struct hvguest *g = *state;
	struct hv_reference_tsc_page page;
	uint64_t second;

	memset(hvguest_at(g, 0x3000), 0xff, 4096);
	assert_int_equal(hv_msr_write(g->hv, 0, HV_MSR_REFERENCE_TSC, 0x3001), 0);
	assert_int_equal(read_msr(g, 1, HV_MSR_REFERENCE_TSC), 0x3001);
	memcpy(&page, hvguest_at(g, 0x3000), sizeof(page));
	assert_int_equal(page.sequence, 1);
	assert_int_equal(page.offset, HVGUEST_TSC_OFFSET);
	second = (uint64_t)(((unsigned __int128)HVGUEST_TSC_HZ * page.scale) >> 64);
	assert_in_range(second, 9999999, 10000000);
	for (size_t i = 0; i < sizeof(page.reserved2); i++)
		assert_int_equal(page.reserved2[i], 0);
}

static void registers_read_what_they_should(void **state)
{
	struct hvguest *g = *state;

	g->reference_time = 12345678;
	assert_int_equal(read_msr(g, 0, HV_MSR_VP_INDEX), 0);
	assert_int_equal(read_msr(g, 1, HV_MSR_VP_INDEX), 1);
	assert_int_equal(read_msr(g, 0, HV_MSR_REFERENCE_COUNT), 12345678);
	assert_int_equal(read_msr(g, 0, HV_MSR_TSC_FREQUENCY), HVGUEST_TSC_HZ);
	assert_int_equal(read_msr(g, 0, HV_MSR_APIC_FREQUENCY), HVGUEST_APIC_HZ);
	assert_int_equal(hv_msr_write(g->hv, 0, HV_MSR_VP_ASSIST_PAGE, 0x5001), 0);
	assert_int_equal(read_msr(g, 0, HV_MSR_VP_ASSIST_PAGE), 0x5001);
	assert_int_equal(read_msr(g, 1, HV_MSR_VP_ASSIST_PAGE), 0);
	assert_int_equal(hv_msr_write(g->hv, 0, HV_MSR_GUEST_OS_ID, 0x8100060000000001), 0);
	assert_int_equal(hv_guest_os_id(g->hv), 0x8100060000000001);
	assert_int_equal(read_msr(g, 1, HV_MSR_GUEST_OS_ID), 0x8100060000000001);
}

/* Every MSR of the range, for both VPs: it works or it faults; and beside the range. */
static void every_other_register_faults(void **state)
{
	struct hvguest *g = *state;
	static const uint32_t read_only[] = {HV_MSR_VP_INDEX, HV_MSR_REFERENCE_COUNT,
					     HV_MSR_TSC_FREQUENCY, HV_MSR_APIC_FREQUENCY,
					     HV_MSR_SVERSION};
	static const uint32_t absent[] = {
		HV_MSR_EOI, HV_MSR_ICR, HV_MSR_TPR, 0x400000b0, 0x40000118, 0x4000008f, 0x400000a0,
		0x40000106, 0x400000ff, 0x40000003, 0x3fffffff, 0x40000200, 0xffffffff, 0};
	uint64_t value = 0x1122;
	unsigned known = 0;

	for (uint32_t msr = HV_MSR_FIRST; msr < HV_MSR_FIRST + HV_MSR_COUNT; msr++)
		known += hv_msr_read(g->hv, 0, msr, &value) == 0;
	assert_int_equal(known, 3 + 4 + 1 + 5 + 16 + 6);
	for (size_t i = 0; i < ARRAY_LEN(read_only); i++)
		assert_int_equal(hv_msr_write(g->hv, 0, read_only[i], 1), -EPERM);
	value = 0x1122;
	for (size_t i = 0; i < ARRAY_LEN(absent); i++) {
		assert_int_equal(hv_msr_write(g->hv, 0, absent[i], 0), -EPERM);
		assert_int_equal(hv_msr_read(g->hv, 0, absent[i], &value), -EPERM);
	}
	assert_int_equal(value, 0x1122);
	assert_int_equal(hv_msr_read(g->hv, HVGUEST_VPS, HV_MSR_VP_INDEX, &value), -EPERM);
	assert_int_equal(hv_msr_write(g->hv, HVGUEST_VPS, HV_MSR_SIMP, 0), -EPERM);
}

static void pages_outside_of_ram_fault_and_leave_the_register_alone(void **state)
{
	struct hvguest *g = *state;
	static const uint32_t placing[] = {HV_MSR_HYPERCALL, HV_MSR_REFERENCE_TSC,
					   HV_MSR_VP_ASSIST_PAGE, HV_MSR_SIEFP, HV_MSR_SIMP};
	static const uint64_t wild[] = {NO_RAM, UINT64_MAX, UINT64_MAX - 4095, 0xfee00001,
					UINT64_C(1) << 63 | HV_PAGE_ENABLE};

	hv_msr_write(g->hv, 0, HV_MSR_GUEST_OS_ID, 1);
	for (size_t i = 0; i < ARRAY_LEN(placing); i++) {
		for (size_t k = 0; k < ARRAY_LEN(wild); k++) {
			uint64_t value = (wild[k] | HV_PAGE_ENABLE) & ~UINT64_C(2);

			assert_int_equal(hv_msr_write(g->hv, 0, placing[i], value), -EPERM);
			assert_int_equal(read_msr(g, 0, placing[i]), 0);
		}
		/* Off, an address means nothing. */
		assert_int_equal(hv_msr_write(g->hv, 0, placing[i], HVGUEST_RAM), 0);
		/* A page that is on cannot be moved out of RAM either. */
		assert_int_equal(hv_msr_write(g->hv, 0, placing[i], 0x4001), 0);
		assert_int_equal(hv_msr_write(g->hv, 0, placing[i], NO_RAM), -EPERM);
		assert_int_equal(read_msr(g, 0, placing[i]), 0x4001);
	}
}

static void the_hypercall_page_needs_an_identity_and_goes_with_it(void **state)
{
	struct hvguest *g = *state;

	assert_int_equal(hv_msr_write(g->hv, 0, HV_MSR_HYPERCALL, 0x2001), 0);
	assert_int_equal(read_msr(g, 0, HV_MSR_HYPERCALL), 0x2000);
	assert_int_equal(*(uint8_t *)hvguest_at(g, 0x2000), 0);
	hv_msr_write(g->hv, 0, HV_MSR_GUEST_OS_ID, 1);
	assert_int_equal(hv_msr_write(g->hv, 0, HV_MSR_HYPERCALL, 0x2001), 0);
	assert_int_equal(read_msr(g, 1, HV_MSR_HYPERCALL), 0x2001);
	hv_msr_write(g->hv, 0, HV_MSR_GUEST_OS_ID, 0);
	assert_int_equal(read_msr(g, 0, HV_MSR_HYPERCALL), 0x2000);
}

static void a_locked_hypercall_page_stays_until_reset(void **state)
{
	struct hvguest *g = *state;

	hv_msr_write(g->hv, 0, HV_MSR_GUEST_OS_ID, 1);
	hv_msr_write(g->hv, 0, HV_MSR_HYPERCALL, 0x2003);
	assert_int_equal(hv_msr_write(g->hv, 0, HV_MSR_HYPERCALL, 0x6001), 0);
	assert_int_equal(read_msr(g, 0, HV_MSR_HYPERCALL), 0x2003);
	assert_int_equal(*(uint8_t *)hvguest_at(g, 0x6000), 0);
	hv_reset(g->hv);
	assert_int_equal(read_msr(g, 0, HV_MSR_HYPERCALL), 0);
}

static uint64_t fast(uint16_t code)
{
	return code | HV_CONTROL_FAST;
}

static void hypercalls_of_no_known_code_are_refused(void **state)
{
	struct hvguest *g = *state;

	for (uint32_t code = 0; code < 0x10000; code++) {
		if (code == HV_CALL_POST_MESSAGE || code == HV_CALL_SIGNAL_EVENT ||
		    code == HV_CALL_NOTIFY_LONG_SPIN_WAIT)
			continue;
		assert_int_equal(hv_hypercall(g->hv, code, 0), HV_STATUS_INVALID_CODE);
		assert_int_equal(hv_hypercall(g->hv, fast((uint16_t)code), 0),
				 HV_STATUS_INVALID_CODE);
	}
	assert_int_equal(hv_hypercall(g->hv, fast(HV_CALL_NOTIFY_LONG_SPIN_WAIT), 7), 0);
	assert_int_equal(g->messages + g->events, 0);
}

static void put_message(struct hvguest *g, uint64_t gpa, uint32_t len)
{
	struct hv_post_message msg = {.connection_id = 4, .message_type = 1, .payload_bytes = len};

	for (unsigned i = 0; i < HV_MESSAGE_PAYLOAD; i++)
		msg.payload[i] = (uint8_t)i;
	memcpy(hvguest_at(g, gpa), &msg, sizeof(msg));
}

static void a_posted_message_arrives_with_its_length(void **state)
{
	struct hvguest *g = *state;

	for (uint32_t len = 0; len <= HV_MESSAGE_PAYLOAD; len += 8) {
		put_message(g, 0x1008, len);
		assert_int_equal(hv_hypercall(g->hv, HV_CALL_POST_MESSAGE, 0x1008), 0);
		assert_int_equal(g->message_connection, 4);
		assert_int_equal(g->message_len, len);
		for (unsigned i = 0; i < len; i++)
			assert_int_equal(g->message[i], i);
	}
}

static void bad_posts_are_refused_and_never_delivered(void **state)
{
	struct hvguest *g = *state;
	uint64_t post = HV_CALL_POST_MESSAGE;

	put_message(g, 0x1000, 8);
	assert_int_equal(hv_hypercall(g->hv, fast(HV_CALL_POST_MESSAGE), 0x1000),
			 HV_STATUS_INVALID_INPUT);
	assert_int_equal(hv_hypercall(g->hv, post, 0x1004), HV_STATUS_INVALID_ALIGNMENT);
	assert_int_equal(hv_hypercall(g->hv, post, HVGUEST_RAM), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(hv_hypercall(g->hv, post, HVGUEST_RAM - 248), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(hv_hypercall(g->hv, post, UINT64_MAX - 7), HV_STATUS_INVALID_PARAMETER);
	put_message(g, 0x1000, HV_MESSAGE_PAYLOAD + 1);
	assert_int_equal(hv_hypercall(g->hv, post, 0x1000), HV_STATUS_INVALID_PARAMETER);
	put_message(g, 0x1000, UINT32_MAX);
	assert_int_equal(hv_hypercall(g->hv, post, 0x1000), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(g->messages, 0);
	put_message(g, HVGUEST_RAM - 256, 8);
	g->result = -EINVAL;
	assert_int_equal(hv_hypercall(g->hv, post, HVGUEST_RAM - 256), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(g->messages, 1);
	g->result = -ENOENT;
	assert_int_equal(hv_hypercall(g->hv, post, HVGUEST_RAM - 256),
			 HV_STATUS_INVALID_CONNECTION_ID);
}

static void events_are_signalled_by_register_and_by_memory(void **state)
{
	struct hvguest *g = *state;

	assert_int_equal(hv_hypercall(g->hv, fast(HV_CALL_SIGNAL_EVENT), 0x1005), 0);
	assert_int_equal(g->event_connection, 0x1005);
	le64_store(hvguest_at(g, HVGUEST_RAM - 8), 0x1007);
	assert_int_equal(hv_hypercall(g->hv, HV_CALL_SIGNAL_EVENT, HVGUEST_RAM - 8), 0);
	assert_int_equal(g->event_connection, 0x1007);
	assert_int_equal(g->events, 2);
}

static void bad_events_are_refused(void **state)
{
	struct hvguest *g = *state;
	uint64_t signal = HV_CALL_SIGNAL_EVENT;

	assert_int_equal(hv_hypercall(g->hv, signal, 0x1004), HV_STATUS_INVALID_ALIGNMENT);
	assert_int_equal(hv_hypercall(g->hv, signal, HVGUEST_RAM), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(hv_hypercall(g->hv, fast(HV_CALL_SIGNAL_EVENT), UINT64_C(1) << 32),
			 HV_STATUS_INVALID_PARAMETER);
	le64_store(hvguest_at(g, 0x1000), UINT64_MAX);
	assert_int_equal(hv_hypercall(g->hv, signal, 0x1000), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(g->events, 0);
	g->result = -ENOENT;
	assert_int_equal(hv_hypercall(g->hv, fast(HV_CALL_SIGNAL_EVENT), 9),
			 HV_STATUS_INVALID_CONNECTION_ID);
}

static void crash(struct hvguest *g, uint64_t gpa, uint64_t len, uint64_t control)
{
	for (uint32_t i = 0; i < 3; i++)
		hv_msr_write(g->hv, 0, HV_MSR_CRASH_P0 + i, 0xc0 + i);
	hv_msr_write(g->hv, 0, HV_MSR_CRASH_P0 + 3, gpa);
	hv_msr_write(g->hv, 0, HV_MSR_CRASH_P0 + 4, len);
	memset(&g->crash, 0xee, sizeof(g->crash));
	assert_int_equal(hv_msr_write(g->hv, 0, HV_MSR_CRASH_CTL, control), 0);
}

static void a_crash_is_told_with_its_text(void **state)
{
	struct hvguest *g = *state;

	memcpy(hvguest_at(g, 0x1000), "Oops: 0000\nRIP: here and more", 29);
	crash(g, 0x1000, 20, CRASH_NOW);
	assert_int_equal(g->crashes, 1);
	assert_string_equal(g->crash.text, "Oops: 0000\nRIP: here");
	assert_int_equal(g->crash.parameter[0], 0xc0);
	assert_int_equal(g->crash.parameter[4], 20);
	assert_int_equal(read_msr(g, 1, HV_MSR_CRASH_P0 + 2), 0xc2);
	assert_int_equal(read_msr(g, 0, HV_MSR_CRASH_CTL), CRASH_NOW);
	crash(g, 0x1000, 20, HV_CRASH_NOTIFY);
	assert_string_equal(g->crash.text, "");
	crash(g, 0x1000, 20, HV_CRASH_MESSAGE); /* not yet complete */
	assert_int_equal(g->crashes, 2);
}

static void a_crash_text_that_is_too_long_or_not_in_ram_is_left_out(void **state)
{
	struct hvguest *g = *state;
	static const struct {
		uint64_t gpa, len;
	} wild[] = {{0x1000, 0},      {0x1000, HV_CRASH_TEXT_MAX}, {0x1000, UINT64_MAX},
		    {HVGUEST_RAM, 1}, {HVGUEST_RAM - 10, 11},      {UINT64_MAX, 1}};

	memset(hvguest_at(g, 0x1000), 'x', 0x2000);
	for (size_t i = 0; i < ARRAY_LEN(wild); i++) {
		crash(g, wild[i].gpa, wild[i].len, CRASH_NOW);
		assert_string_equal(g->crash.text, "");
	}
	crash(g, 0x1000, HV_CRASH_TEXT_MAX - 1, CRASH_NOW);
	assert_int_equal(strlen(g->crash.text), HV_CRASH_TEXT_MAX - 1);
}

/* The text goes to logs, terminals and JSON. */
static void a_crash_text_holds_printable_characters_only(void **state)
{
	struct hvguest *g = *state;
	char *raw = hvguest_at(g, 0x1000);

	for (unsigned i = 0; i < 255; i++)
		raw[i] = (char)(i + 1);
	crash(g, 0x1000, 255, CRASH_NOW);
	assert_int_equal(strlen(g->crash.text), 255);
	for (const char *c = g->crash.text; *c; c++)
		assert_true(*c == '\n' || (*c >= ' ' && *c <= '~'));
	assert_int_equal(g->crash.text['A' - 1], 'A');
	assert_int_equal(g->crash.text[0x9b - 1], '?');
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_config_out_of_range_is_refused),
		TEST(cpuid_leaves_are_those_that_linux_insists_on),
		TEST(msrs_of_the_apic_are_offered_only_where_somebody_serves_them),
		TEST(the_tsc_page_is_offered_only_where_the_clock_is_common),
		TEST(the_tsc_page_tells_scale_and_offset),
		TEST(registers_read_what_they_should),
		TEST(every_other_register_faults),
		TEST(pages_outside_of_ram_fault_and_leave_the_register_alone),
		TEST(the_hypercall_page_needs_an_identity_and_goes_with_it),
		TEST(a_locked_hypercall_page_stays_until_reset),
		TEST(hypercalls_of_no_known_code_are_refused),
		TEST(a_posted_message_arrives_with_its_length),
		TEST(bad_posts_are_refused_and_never_delivered),
		TEST(events_are_signalled_by_register_and_by_memory),
		TEST(bad_events_are_refused),
		TEST(a_crash_is_told_with_its_text),
		TEST(a_crash_text_that_is_too_long_or_not_in_ram_is_left_out),
		TEST(a_crash_text_holds_printable_characters_only),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
