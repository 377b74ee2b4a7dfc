/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The synthetic interrupt controller: message slots, event flags, sources; and the bytes of the
 * hypercall page, carried out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/bytes.h"
#include "base/util.h"
#include "tests/unit/devices/hv/hvguest.h"

#define SIMP 0x1000u
#define SIEFP 0x2000u
#define CODE 0x3000u
#define SINT 2u
#define VECTOR 0xF3u

static void synic_on(struct hvguest *g, unsigned vp)
{
	assert_int_equal(hv_msr_write(g->hv, vp, HV_MSR_SIMP, SIMP | HV_PAGE_ENABLE), 0);
	assert_int_equal(hv_msr_write(g->hv, vp, HV_MSR_SIEFP, SIEFP | HV_PAGE_ENABLE), 0);
	assert_int_equal(hv_msr_write(g->hv, vp, HV_MSR_SINT0 + SINT, VECTOR), 0);
	assert_int_equal(hv_msr_write(g->hv, vp, HV_MSR_SCONTROL, 1), 0);
}

static int set_up(void **state)
{
	struct hvguest *g = hvguest_new(true);

	synic_on(g, 1);
	g->slots_free = 0;
	*state = g;
	return 0;
}

static int tear_down(void **state)
{
	hvguest_free(*state);
	return 0;
}

static struct hv_message_slot *slot(struct hvguest *g, unsigned sint)
{
	return (struct hv_message_slot *)hvguest_at(g, SIMP + sint * 256);
}

static void registers_after_reset_are_those_of_the_specification(void **state)
{
	struct hvguest *g = *state;
	uint64_t value;

	hv_reset(g->hv);
	for (unsigned vp = 0; vp < HVGUEST_VPS; vp++) {
		for (uint32_t n = 0; n < HV_SINTS; n++) {
			assert_int_equal(hv_msr_read(g->hv, vp, HV_MSR_SINT0 + n, &value), 0);
			assert_int_equal(value, HV_SINT_MASKED);
		}
		for (uint32_t msr = HV_MSR_SCONTROL; msr <= HV_MSR_EOM; msr++) {
			assert_int_equal(hv_msr_read(g->hv, vp, msr, &value), 0);
			assert_int_equal(value, msr == HV_MSR_SVERSION ? 1 : 0);
		}
	}
	assert_int_equal(hv_post(g->hv, 1, SINT, 1, "x", 1), -ENXIO);
	assert_int_equal(hv_signal(g->hv, 1, SINT, 1), -ENXIO);
}

static void a_message_fills_its_slot_and_raises_its_source(void **state)
{
	struct hvguest *g = *state;
	uint8_t payload[HV_MESSAGE_PAYLOAD];

	memset(slot(g, SINT), 0, 256);
	memset(slot(g, SINT)->payload, 0xee, HV_MESSAGE_PAYLOAD);
	for (unsigned i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i + 1);
	assert_int_equal(hv_post(g->hv, 1, SINT, 1, payload, 16), 0);
	assert_int_equal(slot(g, SINT)->type, 1);
	assert_int_equal(slot(g, SINT)->payload_bytes, 16);
	assert_int_equal(slot(g, SINT)->flags, 0);
	assert_int_equal(slot(g, SINT)->sender, 0);
	assert_memory_equal(slot(g, SINT)->payload, payload, 16);
	for (unsigned i = 16; i < HV_MESSAGE_PAYLOAD; i++)
		assert_int_equal(slot(g, SINT)->payload[i], 0);
	assert_int_equal(g->interrupts, 1);
	assert_int_equal(g->msi_address, 0xfee01000);
	assert_int_equal(g->msi_data, VECTOR);
	slot(g, SINT)->type = 0;
	assert_int_equal(hv_post(g->hv, 1, SINT, 1, payload, HV_MESSAGE_PAYLOAD), 0);
	assert_memory_equal(slot(g, SINT)->payload, payload, HV_MESSAGE_PAYLOAD);
}

static void every_source_has_a_slot_of_its_own(void **state)
{
	struct hvguest *g = *state;

	for (unsigned sint = 0; sint < HV_SINTS; sint++) {
		hv_msr_write(g->hv, 1, HV_MSR_SINT0 + sint, 0x20 + sint);
		assert_int_equal(hv_post(g->hv, 1, sint, 100 + sint, &sint, sizeof(sint)), 0);
		assert_int_equal(g->msi_data, 0x20 + sint);
	}
	for (unsigned sint = 0; sint < HV_SINTS; sint++)
		assert_int_equal(slot(g, sint)->type, 100 + sint);
}

static void a_taken_slot_marks_that_more_waits_and_eom_tells_the_world(void **state)
{
	struct hvguest *g = *state;

	assert_int_equal(hv_post(g->hv, 1, SINT, 1, "first", 5), 0);
	assert_int_equal(hv_post(g->hv, 1, SINT, 1, "second", 6), -EAGAIN);
	assert_int_equal(slot(g, SINT)->flags, HV_MESSAGE_PENDING);
	assert_memory_equal(slot(g, SINT)->payload, "first", 5);
	assert_int_equal(g->interrupts, 1);
	slot(g, SINT)->type = 0;
	g->slots_free = g->free_sints = 0;
	assert_int_equal(hv_msr_write(g->hv, 1, HV_MSR_EOM, 0), 0);
	assert_int_equal(g->free_sints, 0xffff);
	assert_int_equal(hv_post(g->hv, 1, SINT, 1, "second", 6), 0);
	assert_int_equal(slot(g, SINT)->flags, 0);
}

/* The guest empties the slot between the two looks at it: a debugger's view of the race is a slot
 * that is free although its flag is set. */
static void a_slot_emptied_with_its_flag_set_takes_the_next_message(void **state)
{
	struct hvguest *g = *state;

	slot(g, SINT)->type = 0;
	slot(g, SINT)->flags = HV_MESSAGE_PENDING;
	assert_int_equal(hv_post(g->hv, 1, SINT, 7, "x", 1), 0);
	assert_int_equal(slot(g, SINT)->flags, 0);
	assert_int_equal(slot(g, SINT)->type, 7);
}

static void a_masked_source_gets_its_message_without_an_interrupt(void **state)
{
	struct hvguest *g = *state;

	hv_msr_write(g->hv, 1, HV_MSR_SINT0 + SINT, VECTOR | HV_SINT_MASKED);
	assert_int_equal(hv_post(g->hv, 1, SINT, 1, "x", 1), 0);
	assert_int_equal(hv_signal(g->hv, 1, SINT, 5), 0);
	assert_int_equal(slot(g, SINT)->type, 1);
	assert_int_equal(g->interrupts, 0);
}

static void sources_take_no_vector_of_an_exception_unless_masked(void **state)
{
	struct hvguest *g = *state;
	uint64_t value;

	for (uint64_t vector = 0; vector < 256; vector++) {
		int expected = vector < 16 ? -EPERM : 0;

		assert_int_equal(hv_msr_write(g->hv, 0, HV_MSR_SINT15, vector), expected);
		assert_int_equal(hv_msr_write(g->hv, 0, HV_MSR_SINT15, vector | HV_SINT_MASKED), 0);
	}
	assert_int_equal(hv_msr_write(g->hv, 0, HV_MSR_SINT15, 3), -EPERM);
	assert_int_equal(hv_msr_read(g->hv, 0, HV_MSR_SINT15, &value), 0);
	assert_int_equal(value, 255 | HV_SINT_MASKED);
}

static void events_are_raised_from_clear_to_set_only(void **state)
{
	struct hvguest *g = *state;
	uint8_t *flags = (uint8_t *)hvguest_at(g, SIEFP + SINT * 256);

	for (unsigned flag = 0; flag < HV_EVENT_FLAGS; flag++) {
		g->interrupts = 0;
		assert_int_equal(hv_signal(g->hv, 1, SINT, flag), 0);
		assert_int_equal(flags[flag / 8] >> flag % 8 & 1, 1);
		assert_int_equal(hv_signal(g->hv, 1, SINT, flag), 0);
		assert_int_equal(g->interrupts, 1);
	}
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(flags[i], 0xff);
	assert_int_equal(flags[-1], 0);
	assert_int_equal(flags[256], 0);
}

static void sources_and_flags_out_of_range_are_refused(void **state)
{
	struct hvguest *g = *state;

	assert_int_equal(hv_signal(g->hv, 1, SINT, HV_EVENT_FLAGS), -EINVAL);
	assert_int_equal(hv_signal(g->hv, 1, HV_SINTS, 0), -EINVAL);
	assert_int_equal(hv_signal(g->hv, HVGUEST_VPS, SINT, 0), -EINVAL);
	assert_int_equal(hv_post(g->hv, 1, HV_SINTS, 1, "x", 1), -EINVAL);
	assert_int_equal(hv_post(g->hv, HVGUEST_VPS, SINT, 1, "x", 1), -EINVAL);
	assert_int_equal(hv_post(g->hv, 1, SINT, 0, "x", 1), -EINVAL);
	assert_int_equal(hv_post(g->hv, 1, SINT, 1, slot(g, 0), HV_MESSAGE_PAYLOAD + 1), -EINVAL);
	assert_int_equal(g->interrupts, 0);
}

static void a_switched_off_synic_takes_nothing_and_switching_on_tells_the_world(void **state)
{
	struct hvguest *g = *state;
	static const uint32_t switches[] = {HV_MSR_SCONTROL, HV_MSR_SIMP};

	assert_int_equal(hv_post(g->hv, 0, SINT, 1, "x", 1), -ENXIO);
	assert_int_equal(hv_signal(g->hv, 0, SINT, 0), -ENXIO);
	for (size_t i = 0; i < ARRAY_LEN(switches); i++) {
		uint64_t on;

		assert_int_equal(hv_msr_read(g->hv, 1, switches[i], &on), 0);
		hv_msr_write(g->hv, 1, switches[i], 0);
		assert_int_equal(hv_post(g->hv, 1, SINT, 1, "x", 1), -ENXIO);
		g->free_sints = 0;
		hv_msr_write(g->hv, 1, switches[i], on);
		assert_int_equal(g->free_sints, 0xffff);
	}
	hv_msr_write(g->hv, 1, HV_MSR_SIEFP, 0);
	assert_int_equal(hv_signal(g->hv, 1, SINT, 0), -ENXIO);
}

static void pages_are_zeroed_when_placed_and_kept_when_written_again(void **state)
{
	struct hvguest *g = *state;

	memset(hvguest_at(g, 0x5000), 0xff, 4096);
	assert_int_equal(hv_msr_write(g->hv, 1, HV_MSR_SIMP, 0x5001), 0); /* moved while on */
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(((uint8_t *)hvguest_at(g, 0x5000))[i], 0);
	assert_int_equal(hv_post(g->hv, 1, SINT, 1, "x", 1), 0);
	assert_int_equal(hv_msr_write(g->hv, 1, HV_MSR_SIMP, 0x5001), 0);
	assert_int_equal(le32_load(hvguest_at(g, 0x5000 + SINT * 256)), 1);
}

/* ---- the hypercall page ---- */

struct out {
	unsigned port;
	uint32_t eax;
	unsigned count;
};

static struct out seen;
static uint64_t call_result;
static uint8_t *code;
static uint8_t ports[4096];

/* An OUT became UD2, of the same length: notes it, and does what the exit would have done. */
static void on_ud2(int number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	size_t at = (size_t)((uint8_t *)regs[REG_RIP] - code);

	(void)info;
	if (at >= sizeof(ports) - 1) { /* not ours: let it end the test */
		signal(number, SIG_DFL);
		return;
	}
	seen.port = ports[at + 1];
	seen.eax = (uint32_t)regs[REG_RAX];
	seen.count++;
	if (seen.port == HVGUEST_CALL_PORT)
		regs[REG_RAX] = (greg_t)call_result;
	regs[REG_RIP] += 2;
}

static uint64_t run_page(uint64_t rcx, uint64_t rdx, uint64_t r8)
{
	uint64_t rax = 0xdeaddeaddeaddead;
	uint8_t *entry = code;

	seen = (struct out){0};
	/* Below the red zone, which the call would write to. */
	__asm__ volatile("mov %[r8], %%r8\n\t"
			 "sub $128, %%rsp\n\t"
			 "call *%[entry]\n\t"
			 "add $128, %%rsp"
			 : "+a"(rax), "+c"(rcx), "+d"(rdx), [entry] "+r"(entry)
			 : [r8] "r"(r8)
			 : "r8", "memory", "cc");
	return rax;
}

static void place_code(struct hvguest *g)
{
	struct sigaction action = {.sa_sigaction = on_ud2, .sa_flags = SA_SIGINFO};
	const uint8_t *page = hvguest_at(g, CODE);
	unsigned outs = 0;

	memset(hvguest_at(g, CODE), 0, 4096);
	hv_msr_write(g->hv, 0, HV_MSR_GUEST_OS_ID, 1);
	assert_int_equal(hv_msr_write(g->hv, 0, HV_MSR_HYPERCALL, CODE | HV_PAGE_ENABLE), 0);
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(code, MAP_FAILED);
	memcpy(code, page, 4096);
	memcpy(ports, page, 4096);
	for (unsigned i = 0; i + 1 < 4096; i++) {
		if (code[i] != 0xe7) /* OUT imm8, EAX */
			continue;
		code[i] = 0x0f;
		code[i + 1] = 0x0b;
		outs++;
	}
	assert_int_equal(outs, 2);
	assert_int_equal(mprotect(code, 4096, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(sigaction(SIGILL, &action, NULL), 0);
}

static void the_hypercall_page_turns_kicks_into_an_out_of_the_connection(void **state)
{
	static const uint32_t connections[] = {0, 1, 0x1001, 0x7fffffff, 0xffffffff};

	place_code(*state);
	for (size_t i = 0; i < ARRAY_LEN(connections); i++) {
		assert_int_equal(run_page(0x1005d, connections[i], 0), HV_STATUS_SUCCESS);
		assert_int_equal(seen.count, 1);
		assert_int_equal(seen.port, HVGUEST_KICK_PORT);
		assert_int_equal(seen.eax, connections[i]);
	}
	munmap(code, 4096);
}

static void the_hypercall_page_sends_all_else_to_the_call_port(void **state)
{
	static const struct {
		uint64_t rcx, rdx;
	} calls[] = {
		{0x5c, 0x1000},               /* a post, by memory */
		{0x5d, 0x1000},               /* a signal by memory */
		{0x1005d, UINT64_C(1) << 32}, /* a signal with a flag number */
		{0x1005d, UINT64_MAX},
		{0x1005c, 5},
		{0x2005d, 5},
		{8, 0},
		{0, 0},
	};

	place_code(*state);
	call_result = 0x123456789abcdef0;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		assert_int_equal(run_page(calls[i].rcx, calls[i].rdx, 99), call_result);
		assert_int_equal(seen.count, 1);
		assert_int_equal(seen.port, HVGUEST_CALL_PORT);
	}
	munmap(code, 4096);
}

/* Guests keep the page in saved states; and beyond the code there is nothing but INT3. */
static void the_hypercall_page_is_what_it_always_was(void **state)
{
	struct hvguest *g = *state;
	static const uint8_t expected[] = {0xf3, 0x0f, 0x1e, 0xfa, 0x81, 0xf9, 0x5d, 0x00,
					   0x01, 0x00, 0x75, 0x10, 0x48, 0x89, 0xd0, 0x48,
					   0xc1, 0xe8, 0x20, 0x75, 0x07, 0x89, 0xd0, 0xe7,
					   0xe0, 0x31, 0xc0, 0xc3, 0xe7, 0xe4, 0xc3};
	const uint8_t *page = hvguest_at(g, CODE);

	place_code(g);
	munmap(code, 4096);
	assert_memory_equal(page, expected, sizeof(expected));
	for (size_t i = sizeof(expected); i < 4096; i++)
		assert_int_equal(page[i], 0xcc);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registers_after_reset_are_those_of_the_specification),
		TEST(a_message_fills_its_slot_and_raises_its_source),
		TEST(every_source_has_a_slot_of_its_own),
		TEST(a_taken_slot_marks_that_more_waits_and_eom_tells_the_world),
		TEST(a_slot_emptied_with_its_flag_set_takes_the_next_message),
		TEST(a_masked_source_gets_its_message_without_an_interrupt),
		TEST(sources_take_no_vector_of_an_exception_unless_masked),
		TEST(events_are_raised_from_clear_to_set_only),
		TEST(sources_and_flags_out_of_range_are_refused),
		TEST(a_switched_off_synic_takes_nothing_and_switching_on_tells_the_world),
		TEST(pages_are_zeroed_when_placed_and_kept_when_written_again),
		TEST(the_hypercall_page_turns_kicks_into_an_out_of_the_connection),
		TEST(the_hypercall_page_sends_all_else_to_the_call_port),
		TEST(the_hypercall_page_is_what_it_always_was),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
