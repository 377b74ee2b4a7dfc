/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The partition's saved state: it goes on on a host whose clocks stand elsewhere; hostile records.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tests/lib/failheap.h"
#include "tests/lib/statetest.h"
#include "tests/unit/devices/hv/hvguest.h"

#define HYPERCALL 0x2000u
#define TSC_PAGE 0x3000u
#define SIMP 0x1000u
#define SIEFP 0x4000u
#define ASSIST 0x5000u
#define SINT 3u
#define SINT_VECTOR 0xF4u
#define VECTOR 0xEDu
#define NOW UINT64_C(1000000) /* reference time when the state is written */
#define PERIOD UINT64_C(5000)
#define NEW_OFFSET 5555

#define DIRECT (HV_STIMER_ENABLE | HV_STIMER_DIRECT | (uint64_t)VECTOR << HV_STIMER_VECTOR_SHIFT)
#define MESSAGE (HV_STIMER_ENABLE | (uint64_t)SINT << HV_STIMER_SINT_SHIFT)

static void record(void *device, struct record *r)
{
	hv_state(((struct hvguest *)device)->hv, r);
}

static struct hvguest *make_at(uint64_t now_ns, uint64_t tsc_offset)
{
	struct hvguest *g = hvguest_new(true);

	g->config.tsc_offset = tsc_offset;
	hvguest_offer_stimers(g);
	g->reference_time = NOW;
	g->now_ns = now_ns;
	return g;
}

static void *make(void)
{
	return make_at(123456789, NEW_OFFSET);
}

static void *make_without_timers(void)
{
	return hvguest_new(true);
}

static void *make_by_message(void)
{
	struct hvguest *g = make();

	hvguest_offer_stimers_by_message(g);
	return g;
}

static void drop(void *device)
{
	hvguest_free(device);
}

static int set_up(void **state)
{
	*state = make_at(77000000, HVGUEST_TSC_OFFSET);
	return 0;
}

static int tear_down(void **state)
{
	drop(*state);
	return 0;
}

static void write_msr(struct hvguest *g, unsigned vp, uint32_t msr, uint64_t value)
{
	assert_int_equal(hv_msr_write(g->hv, vp, msr, value), 0);
}

static uint64_t read_msr(struct hvguest *g, unsigned vp, uint32_t msr)
{
	uint64_t value = 0;

	assert_int_equal(hv_msr_read(g->hv, vp, msr, &value), 0);
	return value;
}

static void set_timer(struct hvguest *g, unsigned vp, unsigned n, uint64_t config, uint64_t count)
{
	write_msr(g, vp, HV_MSR_STIMER0_CONFIG + 2 * n, config);
	write_msr(g, vp, HV_MSR_STIMER0_COUNT + 2 * n, count);
}

static struct hv_message_slot *slot(struct hvguest *g)
{
	return (struct hv_message_slot *)hvguest_at(g, SIMP + SINT * 256);
}

static void end_of_message(struct hvguest *g)
{
	slot(g)->type = 0;
	write_msr(g, 0, HV_MSR_EOM, 0);
}

static struct hv_reference_tsc_page *tsc_page(struct hvguest *g)
{
	return (struct hv_reference_tsc_page *)hvguest_at(g, TSC_PAGE);
}

static void set_pages(struct hvguest *g)
{
	write_msr(g, 0, HV_MSR_GUEST_OS_ID, 0x8100060000000001);
	write_msr(g, 0, HV_MSR_HYPERCALL, HYPERCALL | HV_PAGE_ENABLE);
	write_msr(g, 0, HV_MSR_REFERENCE_TSC, TSC_PAGE | HV_PAGE_ENABLE);
	write_msr(g, 0, HV_MSR_VP_ASSIST_PAGE, ASSIST | HV_PAGE_ENABLE);
	for (uint32_t i = 0; i < 5; i++)
		write_msr(g, 1, HV_MSR_CRASH_P0 + i, 0x1111 * (i + 1));
	write_msr(g, 0, HV_MSR_SIMP, SIMP | HV_PAGE_ENABLE);
	write_msr(g, 0, HV_MSR_SIEFP, SIEFP | HV_PAGE_ENABLE);
	write_msr(g, 0, HV_MSR_SINT0 + SINT, SINT_VECTOR);
	write_msr(g, 0, HV_MSR_SCONTROL, 1);
	write_msr(g, 1, HV_MSR_SINT0 + 15, HV_SINT_AUTO_EOI | 0x80);
}

/* Timers of VP 0: one that repeats and one that is over, whose messages wait; of VP 1: one that
 * repeats by interrupts, and one in 30 ms. The slot has a message that the guest has not read. */
static void make_rich(struct hvguest *g)
{
	g->reference_time = NOW - 3 * PERIOD / 2;
	set_pages(g);
	assert_int_equal(hv_signal(g->hv, 0, SINT, 77), 0);
	assert_int_equal(hv_post(g->hv, 0, SINT, 1, "mail", 4), 0);
	set_timer(g, 0, 0, MESSAGE | HV_STIMER_PERIODIC, PERIOD);
	set_timer(g, 0, 1, MESSAGE, g->reference_time + PERIOD);
	set_timer(g, 1, 2, DIRECT | HV_STIMER_PERIODIC, PERIOD);
	set_timer(g, 1, 3, DIRECT, NOW + 300000);
	hvguest_pass(g, 3 * PERIOD / 2);
	assert_int_equal(g->reference_time, NOW);
}

/* Another host: the memory of the guest, and the partition in it. */
static struct hvguest *restore(struct hvguest *g)
{
	struct hvguest *to = make();

	memcpy(to->ram, g->ram, HVGUEST_RAM);
	statetest_same(record, g, to);
	assert_int_equal(to->interrupts, 0);
	return to;
}

static void registers_come_back(void **state)
{
	struct hvguest *g = *state, *to;

	make_rich(g);
	to = restore(g);
	assert_int_equal(hv_guest_os_id(to->hv), 0x8100060000000001);
	for (unsigned vp = 0; vp < HVGUEST_VPS; vp++) {
		for (uint32_t msr = HV_MSR_FIRST; msr < HV_MSR_FIRST + HV_MSR_COUNT; msr++) {
			uint64_t was = 1, is = 1;

			assert_int_equal(hv_msr_read(g->hv, vp, msr, &was),
					 hv_msr_read(to->hv, vp, msr, &is));
			assert_int_equal(was, is);
		}
	}
	write_msr(to, 0, HV_MSR_CRASH_CTL, HV_CRASH_NOTIFY);
	assert_int_equal(to->crash.parameter[4], 0x5555);
	drop(to);
}

static void pages_stay_as_they_are_but_for_that_of_the_tsc(void **state)
{
	struct hvguest *g = *state, *to;

	make_rich(g);
	memset(hvguest_at(g, ASSIST), 0xa5, 4096);
	to = restore(g);
	assert_memory_equal(to->ram, g->ram, TSC_PAGE);
	assert_memory_equal(to->ram + TSC_PAGE + 4096, g->ram + TSC_PAGE + 4096,
			    HVGUEST_RAM - TSC_PAGE - 4096);
	assert_int_equal(tsc_page(to)->sequence, 2);
	assert_int_equal(tsc_page(to)->offset, NEW_OFFSET);
	assert_int_equal(tsc_page(to)->scale, tsc_page(g)->scale);
	/* A flag that was set is, so that it raises nothing. */
	assert_int_equal(hv_signal(to->hv, 0, SINT, 77), 0);
	assert_int_equal(to->interrupts, 0);
	assert_int_equal(hv_signal(to->hv, 0, SINT, 78), 0);
	assert_int_equal(to->msi_data, SINT_VECTOR);
	drop(to);
}

static void the_tsc_page_has_another_number_each_time(void **state)
{
	static const uint32_t was[] = {0, 1, 2, 0x7fffffff, UINT32_MAX - 1, UINT32_MAX};
	struct hvguest *g = *state;

	set_pages(g);
	for (size_t i = 0; i < ARRAY_LEN(was); i++) {
		tsc_page(g)->sequence = was[i];
		hv_move_reference(g->hv, 1000 + i);
		assert_int_not_equal(tsc_page(g)->sequence, was[i]);
		assert_int_not_equal(tsc_page(g)->sequence, 0);
		assert_int_not_equal(tsc_page(g)->sequence, UINT32_MAX);
		assert_int_equal(tsc_page(g)->offset, 1000 + i);
	}
	/* Off, the page is the guest's own; the offset is that of the page that is switched on. */
	write_msr(g, 0, HV_MSR_REFERENCE_TSC, TSC_PAGE);
	memset(hvguest_at(g, TSC_PAGE), 0x5a, 4096);
	hv_move_reference(g->hv, 99);
	assert_int_equal(tsc_page(g)->sequence, 0x5a5a5a5a);
	write_msr(g, 0, HV_MSR_REFERENCE_TSC, TSC_PAGE | HV_PAGE_ENABLE);
	assert_int_equal(tsc_page(g)->offset, 99);
}

static void a_host_without_a_common_tsc_says_so_in_the_page(void **state)
{
	struct hvguest *g = *state, *to = hvguest_new(false);

	set_pages(g);
	hvguest_offer_stimers(to);
	to->reference_time = NOW;
	memcpy(to->ram, g->ram, HVGUEST_RAM);
	statetest_same(record, g, to);
	assert_int_equal(tsc_page(to)->sequence, 0);
	drop(to);
}

static void timers_go_on_at_their_reference_time(void **state)
{
	struct hvguest *g = *state, *to;

	make_rich(g);
	to = restore(g);
	hvguest_pass(to, PERIOD / 2 - 1);
	assert_int_equal(to->interrupts, 0);
	hvguest_pass(to, 1);
	assert_int_equal(to->interrupts, 1);
	assert_int_equal(to->msi_data, VECTOR);
	hvguest_pass(to, PERIOD);
	assert_int_equal(to->interrupts, 2);
	write_msr(to, 1, HV_MSR_STIMER0_CONFIG + 2 * 2, 0);
	hvguest_pass(to, NOW + 300000 - to->reference_time - 1);
	assert_int_equal(to->interrupts, 2);
	hvguest_pass(to, 1);
	assert_int_equal(to->interrupts, 3);
	assert_int_equal(read_msr(to, 1, HV_MSR_STIMER0_CONFIG + 2 * 3) & HV_STIMER_ENABLE, 0);
	assert_true(timerq_next(&to->timers) == TIMERQ_NEVER);
	drop(to);
}

static void messages_that_wait_are_delivered_after_a_restore(void **state)
{
	struct hvguest *g = *state, *to;
	struct hv_stimer_payload payload;

	make_rich(g);
	to = restore(g);
	assert_int_equal(slot(to)->type, 1);
	assert_int_equal(slot(to)->flags, HV_MESSAGE_PENDING);
	for (unsigned n = 2; n < 4; n++)
		write_msr(to, 1, HV_MSR_STIMER0_CONFIG + 2 * n, 0);
	assert_true(timerq_next(&to->timers) == TIMERQ_NEVER); /* one that waits stands still */
	for (unsigned n = 0; n < 2; n++) {
		end_of_message(to);
		assert_int_equal(slot(to)->type, HV_MESSAGE_TIMER_EXPIRED);
		memcpy(&payload, slot(to)->payload, sizeof(payload));
		assert_int_equal(payload.timer, n);
		assert_int_equal(payload.expiration_time, NOW - PERIOD / 2);
		assert_int_equal(payload.delivery_time, NOW);
	}
	end_of_message(to);
	assert_int_equal(slot(to)->type, 0);
	hvguest_pass(to, PERIOD / 2); /* on the grid of its first */
	memcpy(&payload, slot(to)->payload, sizeof(payload));
	assert_int_equal(payload.timer, 0);
	assert_int_equal(payload.expiration_time, NOW + PERIOD / 2);
	drop(to);
}

static void what_was_due_in_the_time_between_fires_from_the_queue(void **state)
{
	struct hvguest *g = *state, *to = make();

	make_rich(g);
	memcpy(to->ram, g->ram, HVGUEST_RAM);
	to->reference_time = NOW + 10000000;
	statetest_same(record, g, to);
	assert_int_equal(to->interrupts, 0);
	assert_true(timerq_next(&to->timers) <= to->now_ns);
	timerq_run(&to->timers, to->now_ns);
	assert_int_equal(to->interrupts, 2); /* one of each, however many were missed */
	drop(to);
}

static void a_partition_that_no_guest_used_comes_back(void **state)
{
	struct hvguest *g = *state, *to = make();

	statetest_same(record, g, to);
	assert_true(timerq_next(&to->timers) == TIMERQ_NEVER);
	for (size_t i = 0; i < HVGUEST_RAM; i++)
		assert_int_equal(to->ram[i], 0);
	drop(to);
}

/* A guest that uses all that there is. */
static void drive(void *device)
{
	struct hvguest *g = device;
	uint64_t value;

	hvguest_pass(g, 20 * PERIOD);
	for (unsigned vp = 0; vp < HVGUEST_VPS; vp++) {
		for (unsigned sint = 0; sint < HV_SINTS; sint++) {
			(void)hv_post(g->hv, vp, sint, 1, "mail", 4);
			(void)hv_signal(g->hv, vp, sint, sint);
		}
		(void)hv_msr_write(g->hv, vp, HV_MSR_EOM, 0);
		for (uint32_t msr = HV_MSR_FIRST; msr < HV_MSR_CRASH_CTL; msr++) {
			if (hv_msr_read(g->hv, vp, msr, &value) == 0)
				(void)hv_msr_write(g->hv, vp, msr, value);
		}
	}
	(void)hv_msr_write(g->hv, 0, HV_MSR_CRASH_CTL, HV_CRASH_NOTIFY | HV_CRASH_MESSAGE);
	hv_move_reference(g->hv, 1);
	hvguest_pass(g, 4 * PERIOD);
	hv_reset(g->hv);
	assert_true(timerq_next(&g->timers) == TIMERQ_NEVER);
}

static void a_record_that_is_wrong_changes_nothing(void **state)
{
	struct hvguest *g = *state;

	make_rich(g);
	statetest_cut(record, g, make, drop);
	statetest_more(record, g, make, drop);
	statetest_flip(record, g, make, drop, drive);
}

static void refuses(struct hvguest *g, const char *field, size_t at, const char *bytes, size_t len,
		    const char *why)
{
	statetest_refuses(record, g, make, drop, field, at, bytes, len, why);
}

static void a_record_that_cannot_be_is_refused(void **state)
{
	struct hvguest *g = *state;

	make_rich(g);
	refuses(g, "guest_os_id", 0, "\0\0\0\0\0\0\0\0", 8, "page of no guest");
	refuses(g, "hypercall_page", 2, "\x01", 1, "'hypercall_page' at 0x12000 is no RAM");
	refuses(g, "reference_tsc_page", 2, "\x01", 1, "'reference_tsc_page' at 0x13000");
	refuses(g, "simp", 7, "\xff", 1, "'simp'");
	refuses(g, "siefp", 7, "\xff", 1, "'siefp'");
	refuses(g, "assist_page", 2, "\x01", 1, "'assist_page'");
	refuses(g, "processors", 0, "\x01", 1, "has 1 processors");
	refuses(g, "processors", 0, "\x41", 1, "'processors' is 65");
	refuses(g, "sint", 8 * SINT, "\x0f", 1, "the source 3");
	refuses(g, "config", 4, "\x01", 1, "the configuration");
	refuses(g, "config", 2, "\0", 1, "the configuration");
	refuses(g, "config", 0, "\x02", 1, "a message waits");
	refuses(g, "config", 0, "\xf3\x1f", 2, "a message waits");
	refuses(g, "count", 0, "\0\0", 2, "a message waits");
	refuses(g, "pending", 0, "\x02", 1, "neither true nor false");
}

static void a_host_that_offers_less_refuses(void **state)
{
	struct hvguest *g = *state;
	uint8_t bytes[4096];
	char wrong[RECORD_WRONG_MAX];
	struct hvguest *to = make_by_message();
	size_t len;

	make_rich(g);
	statetest_refuses(record, g, make_without_timers, drop, "pending", 0, "\0", 1,
			  "which the VM is not offered");
	len = statetest_write(record, g, bytes, sizeof(bytes));
	assert_true(statetest_read(record, to, bytes, len, wrong) < 0);
	assert_non_null(strstr(wrong, "has the configuration")); /* of a direct timer */
	drop(to);
	to = make_without_timers();
	hv_reset(g->hv);
	statetest_same(record, g, to);
	drop(to);
}

/* A partition that is made, reads the record, and goes. */
static int read_once(void *ctx)
{
	struct hvguest *g = ctx;
	static uint8_t bytes[4096];
	static size_t len;
	struct record r;
	struct hv *hv;
	int e;

	if (!len)
		len = statetest_write(record, g, bytes, sizeof(bytes));
	e = hv_new(&g->config, &hv);
	if (e < 0)
		return e;
	r = record_reader(1, bytes, len);
	hv_state(hv, &r);
	hv_free(hv);
	return record_end(&r) < 0 ? -ENOMEM : 0;
}

static void a_record_without_memory_is_refused(void **state)
{
	struct hvguest *g = *state;

	make_rich(g);
	assert_int_equal(read_once(g), 0);
	assert_int_equal(failheap_sweep(read_once, g), 2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(registers_come_back),
		CASE(pages_stay_as_they_are_but_for_that_of_the_tsc),
		CASE(the_tsc_page_has_another_number_each_time),
		CASE(a_host_without_a_common_tsc_says_so_in_the_page),
		CASE(timers_go_on_at_their_reference_time),
		CASE(messages_that_wait_are_delivered_after_a_restore),
		CASE(what_was_due_in_the_time_between_fires_from_the_queue),
		CASE(a_partition_that_no_guest_used_comes_back),
		CASE(a_record_that_is_wrong_changes_nothing),
		CASE(a_record_that_cannot_be_is_refused),
		CASE(a_host_that_offers_less_refuses),
		CASE(a_record_without_memory_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
