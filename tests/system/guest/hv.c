/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Hyper-V interface without its SynIC: CPUID, identity, hypercalls, clocks, MSRs, crashes. */
#include "abi/hv.h"

#include <string.h>

#include "abi/machine.h"
#include "base/util.h"
#include "tests/system/guest/guest.h"

#define OS_ID UINT64_C(0x8100000000000001) /* open source, of our own */
#define HYPERVISOR_PRESENT (1u << 31)
#define KVM_LEAF 0x40000100u
#define MS UINT64_C(10000) /* in units of the reference counter */

static uint8_t hypercall_page[PAGE] __attribute__((aligned(PAGE)));
static struct hv_reference_tsc_page tsc_page __attribute__((aligned(PAGE)));
static struct hv_post_message post __attribute__((aligned(PAGE)));
static uint8_t scratch[PAGE] __attribute__((aligned(PAGE)));

void hv_identify(void)
{
	msr_write(HV_MSR_GUEST_OS_ID, OS_ID);
	msr_write(HV_MSR_HYPERCALL, (uintptr_t)hypercall_page | HV_PAGE_ENABLE);
}

uint64_t hypercall(uint64_t control, uint64_t input)
{
	uint64_t status;

	__asm__ volatile("xor %%r8d, %%r8d\n\tcall *%3"
			 : "=a"(status), "+c"(control), "+d"(input)
			 : "r"((uintptr_t)hypercall_page)
			 : "r8", "r9", "r10", "r11", "cc", "memory");
	return status;
}

uint64_t reference_time(void)
{
	return msr(HV_MSR_REFERENCE_COUNT);
}

/* Tells what its processor has, again for each key until 'k'. */
const char *test_features(void)
{
	hv_identify();
	console_input_on();
	interrupts_on();
	do {
		struct cpuid one = cpuid(1), seven = cpuid(7), more = cpuid(0x80000001);

		print("FEATURES %x %x %x %x\n", (uint64_t)one.ecx, (uint64_t)seven.ebx,
		      (uint64_t)more.ecx, (uint64_t)(cpuid(0x80000008).eax & 0xff));
	} while (console_read() != 'k');
	return NULL;
}

const char *test_cpuid(void)
{
	struct cpuid c = cpuid(HV_CPUID_BASE);

	REQUIRE(cpuid(1).ecx & HYPERVISOR_PRESENT, "leaf 1 shows no hypervisor");
	REQUIRE(c.eax >= HV_CPUID_LIMITS, "too few leaves");
	REQUIRE(memcmp(&c.ebx, "Microsoft Hv", 12) == 0, "another vendor");
	REQUIRE(cpuid(HV_CPUID_INTERFACE).eax == HV_CPUID_INTERFACE_ID, "another interface");
	c = cpuid(HV_CPUID_FEATURES);
	REQUIRE(c.eax & HV_ACCESS_HYPERCALL, "no hypercalls");
	REQUIRE(c.eax & HV_ACCESS_VP_INDEX, "no VP index");
	REQUIRE(c.eax & HV_ACCESS_SYNIC, "no SynIC");
	REQUIRE((c.ebx & (HV_POST_MESSAGES | HV_SIGNAL_EVENTS)) ==
			(HV_POST_MESSAGES | HV_SIGNAL_EVENTS),
		"no messages or no events");
	REQUIRE(!(c.ebx & (1u | 1u << 12 | 1u << 20 | 1u << 22)), "privileges of a parent");
	REQUIRE(c.edx & HV_CRASH_MSRS, "no crash MSRs");
	REQUIRE(cpuid(HV_CPUID_HINTS).eax & HV_HINT_NO_AUTO_EOI, "automatic end of interrupt");
	c = cpuid(KVM_LEAF);
	REQUIRE(memcmp(&c.ebx, "KVMKVMKVM", 9) != 0, "KVM's leaves are visible");
	return NULL;
}

const char *test_identity(void)
{
	REQUIRE(msr(HV_MSR_GUEST_OS_ID) == 0, "there is an identity at start");
	msr_write(HV_MSR_HYPERCALL, (uintptr_t)hypercall_page | HV_PAGE_ENABLE);
	REQUIRE(!(msr(HV_MSR_HYPERCALL) & HV_PAGE_ENABLE), "a hypercall page without an identity");
	REQUIRE(hypercall_page[0] == 0, "the page was written although it is off");
	hv_identify();
	REQUIRE(msr(HV_MSR_GUEST_OS_ID) == OS_ID, "the identity is another when read");
	REQUIRE(msr(HV_MSR_HYPERCALL) == ((uintptr_t)hypercall_page | HV_PAGE_ENABLE),
		"the hypercall page is not on");
	REQUIRE(hypercall_page[0] != 0, "the hypercall page is empty");
	REQUIRE(hypercall(HV_CALL_NOTIFY_LONG_SPIN_WAIT, 0) == HV_STATUS_SUCCESS,
		"the long spin wait fails");
	REQUIRE(msr(HV_MSR_VP_INDEX) == 0, "the first processor has another index");
	REQUIRE(msr_write(HV_MSR_GUEST_OS_ID, 0) == 0, "the identity cannot be taken back");
	REQUIRE(!(msr(HV_MSR_HYPERCALL) & HV_PAGE_ENABLE), "the page stays without an identity");
	return NULL;
}

static uint64_t post_of(uint32_t connection, uint32_t bytes)
{
	memset(&post, 0, sizeof(post));
	post.connection_id = connection;
	post.message_type = 1;
	post.payload_bytes = bytes;
	return hypercall(HV_CALL_POST_MESSAGE, (uintptr_t)&post);
}

const char *test_hypercalls(void)
{
	uint64_t *signal = (uint64_t *)(void *)scratch;

	hv_identify();
	REQUIRE(hypercall(0x7777, 0) == HV_STATUS_INVALID_CODE, "status of an unknown one");
	REQUIRE(hypercall(0x1f0000, 0) == HV_STATUS_INVALID_CODE, "status of call 0");
	REQUIRE(post_of(77, 8) != HV_STATUS_SUCCESS, "a message to nobody");
	REQUIRE(post_of(4, HV_MESSAGE_PAYLOAD + 1) != HV_STATUS_SUCCESS, "a message too long");
	REQUIRE(post_of(4, 0) != HV_STATUS_SUCCESS, "an empty message");
	REQUIRE(post_of(4, 8) != HV_STATUS_SUCCESS, "a message of unknown type");
	REQUIRE(hypercall(HV_CALL_POST_MESSAGE, (uintptr_t)&post + 4) ==
			HV_STATUS_INVALID_ALIGNMENT,
		"a message at an odd address");
	REQUIRE(hypercall(HV_CALL_POST_MESSAGE, GPA_NOWHERE) != HV_STATUS_SUCCESS,
		"a message from no memory");
	REQUIRE(hypercall(HV_CALL_POST_MESSAGE, UINT64_MAX - 7) != HV_STATUS_SUCCESS,
		"a message that wraps around");
	*signal = 0x12345;
	REQUIRE(hypercall(HV_CALL_SIGNAL_EVENT, (uintptr_t)signal) ==
			HV_STATUS_INVALID_CONNECTION_ID,
		"an event for nobody");
	REQUIRE(hypercall(HV_CALL_SIGNAL_EVENT, GPA_NOWHERE) != HV_STATUS_SUCCESS,
		"an event from no memory");
	REQUIRE(hypercall(HV_CALL_SIGNAL_EVENT | HV_CONTROL_FAST, UINT64_C(1) << 32 | 1) !=
			HV_STATUS_SUCCESS,
		"an event with a flag number");
	return NULL;
}

static uint64_t tsc_page_time(void)
{
	return (uint64_t)(((unsigned __int128)tsc_read() * tsc_page.scale) >> 64) +
	       (uint64_t)tsc_page.offset;
}

static const char *clocks_agree(void)
{
	uint64_t last = 0;

	for (unsigned i = 0; i < 2000; i++) {
		uint64_t before = reference_time(), paged = tsc_page_time();
		uint64_t after = reference_time();

		REQUIRE(before >= last, "the counter goes back");
		last = after;
		REQUIRE(paged + 10 >= before, "the page is behind the counter");
		REQUIRE(paged <= after + 10, "the page is before the counter");
	}
	return NULL;
}

const char *test_clock(void)
{
	uint64_t hz = msr(HV_MSR_TSC_FREQUENCY), start, tsc, units, ticks;
	bool offered = cpuid(HV_CPUID_FEATURES).eax & HV_ACCESS_REFERENCE_TSC;

	REQUIRE(hz > 100000000 && hz < UINT64_C(10000000000), "an absurd frequency of the TSC");
	REQUIRE(msr(HV_MSR_APIC_FREQUENCY) > 1000000, "an absurd frequency of the APIC");
	start = reference_time();
	REQUIRE(start < 10 * UNITS_PER_S, "the counter does not begin near 0");
	tsc = tsc_read();
	while (reference_time() < start + 300 * MS)
		;
	ticks = tsc_read() - tsc;
	units = reference_time() - start;
	units = units * (hz / 1000) / (UNITS_PER_S / 1000); /* as ticks */
	REQUIRE(units < ticks + ticks / 50 && ticks < units + units / 50,
		"counter and TSC run at different rates");
	REQUIRE(msr_write(HV_MSR_REFERENCE_TSC, (uintptr_t)&tsc_page | HV_PAGE_ENABLE) == 0,
		"the TSC page is refused");
	print("TSC_PAGE %s\n", offered ? "offered" : "not offered");
	REQUIRE(!tsc_page.sequence == !offered, "the page is valid but not offered, or not valid");
	return offered ? clocks_agree() : NULL;
}

struct msr_case {
	uint32_t number;
	uint64_t value;
};

static const char *writes_fault(void)
{
	static const struct msr_case cases[] = {
		{HV_MSR_VP_INDEX, 1},
		{HV_MSR_REFERENCE_COUNT, 0},
		{HV_MSR_TSC_FREQUENCY, 1},
		{HV_MSR_APIC_FREQUENCY, 1},
		{HV_MSR_SVERSION, 1},
		{HV_MSR_SINT0, 15},
		{HV_MSR_SINT15, 0},
		{HV_MSR_SIMP, GPA_NOWHERE | HV_PAGE_ENABLE},
		{HV_MSR_SIEFP, GPA_NOWHERE | HV_PAGE_ENABLE},
		{HV_MSR_REFERENCE_TSC, GPA_NOWHERE | HV_PAGE_ENABLE},
		{HV_MSR_VP_ASSIST_PAGE, GPA_NOWHERE | HV_PAGE_ENABLE},
		{HV_MSR_HYPERCALL, GPA_NOWHERE | HV_PAGE_ENABLE},
		{HV_MSR_HYPERCALL, MACHINE_IOAPIC_BASE | HV_PAGE_ENABLE},
		{0x400001FF, 0},
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		if (msr_write(cases[i].number, cases[i].value) == 0) {
			print("MSR %x VALUE %x\n", (uint64_t)cases[i].number, cases[i].value);
			return "a write that must fault did not";
		}
	}
	return NULL;
}

const char *test_msr(void)
{
	static const uint32_t absent[] = {0x40000003, 0x40000010, HV_MSR_EOI, HV_MSR_ICR,
					  HV_MSR_TPR, 0x400000B0, 0x40000118, 0x400001FF};
	static const uint32_t present[] = {
		HV_MSR_GUEST_OS_ID, HV_MSR_HYPERCALL,      HV_MSR_VP_INDEX, HV_MSR_REFERENCE_COUNT,
		HV_MSR_SCONTROL,    HV_MSR_SVERSION,       HV_MSR_SIEFP,    HV_MSR_SIMP,
		HV_MSR_SINT0,       HV_MSR_VP_ASSIST_PAGE, HV_MSR_CRASH_P0, HV_MSR_CRASH_CTL,
	};
	uint64_t value;

	hv_identify();
	for (unsigned i = 0; i < ARRAY_LEN(absent); i++) {
		if (msr_read(absent[i], &value) == 0) {
			print("MSR %x\n", (uint64_t)absent[i]);
			return "an MSR that is not offered can be read";
		}
	}
	for (unsigned i = 0; i < ARRAY_LEN(present); i++) {
		if (msr_read(present[i], &value) < 0) {
			print("MSR %x\n", (uint64_t)present[i]);
			return "an MSR that is offered faults";
		}
	}
	REQUIRE(msr(HV_MSR_SINT0 + 5) == HV_SINT_MASKED, "a SINT is not masked at start");
	memset(scratch, 0xff, sizeof(scratch));
	REQUIRE(msr_write(HV_MSR_VP_ASSIST_PAGE, (uintptr_t)scratch | HV_PAGE_ENABLE) == 0,
		"the assist page is refused");
	REQUIRE(scratch[0] == 0 && scratch[PAGE - 1] == 0, "the assist page is not zeroed");
	return writes_fault();
}

const char *test_crash(void)
{
	static const char text[] = "the tiny guest panics\nfor the test\n";

	REQUIRE((msr(HV_MSR_CRASH_CTL) & (HV_CRASH_NOTIFY | HV_CRASH_MESSAGE)) ==
			(HV_CRASH_NOTIFY | HV_CRASH_MESSAGE),
		"crash reports are not taken");
	console_input_on();
	memcpy(scratch, text, sizeof(text));
	msr_write(HV_MSR_CRASH_P0, 0xdead);
	msr_write(HV_MSR_CRASH_P0 + 1, 0xbeef);
	msr_write(HV_MSR_CRASH_P0 + 3, (uintptr_t)scratch);
	msr_write(HV_MSR_CRASH_P4, sizeof(text) - 1);
	msr_write(HV_MSR_CRASH_CTL, HV_CRASH_NOTIFY | HV_CRASH_MESSAGE);
	print("READY\n");
	console_read();
	/* Reports that cannot be read are crashes all the same. */
	msr_write(HV_MSR_CRASH_P0 + 3, GPA_NOWHERE);
	msr_write(HV_MSR_CRASH_P4, 16);
	msr_write(HV_MSR_CRASH_CTL, HV_CRASH_NOTIFY | HV_CRASH_MESSAGE);
	msr_write(HV_MSR_CRASH_P4, UINT64_MAX);
	msr_write(HV_MSR_CRASH_CTL, HV_CRASH_NOTIFY | HV_CRASH_MESSAGE);
	return NULL;
}

uint64_t random(void)
{
	static uint64_t random_state;

	if (!random_state) {
		const char *seed = argument("seed");

		random_state = 88172645463325252u + (seed ? (uint64_t)*seed * 7919 : 0);
	}
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Ports that end the run or garble the report. */
static bool port_is_ours(uint16_t port)
{
	return (port >= MACHINE_COM1_PORT && port < MACHINE_COM1_PORT + MACHINE_COM1_PORTS) ||
	       port == MACHINE_SLEEP_CONTROL_PORT || port == MACHINE_RESET_PORT;
}

static void random_port(void)
{
	uint16_t port = (uint16_t)(random() % 4 ? random() : 0x70 + random() % 0x80);

	if (port_is_ours(port) || port_is_ours((uint16_t)(port + 3)))
		return;
	if (random() & 1)
		out32(port, (uint32_t)random());
	else
		in32(port);
	if (random() & 1)
		out8(port, (uint8_t)random());
	else
		in8(port);
}

static void random_msr(void)
{
	uint32_t number = HV_MSR_FIRST + (uint32_t)(random() % HV_MSR_COUNT);
	uint64_t value = random() >> random() % 64;

	if (random() & 1) {
		msr_read(number, &value);
		return;
	}
	/* Pages go where they do no harm; a SINT must not become one of our exceptions. */
	if (number <= HV_MSR_HYPERCALL || number == HV_MSR_REFERENCE_TSC ||
	    number == HV_MSR_VP_ASSIST_PAGE || number == HV_MSR_SIMP || number == HV_MSR_SIEFP)
		value = random() % 8 ? (uintptr_t)scratch | (value & 0xfff) : GPA_NOWHERE | value;
	if (number >= HV_MSR_SINT0 && number <= HV_MSR_SINT15)
		value |= HV_SINT_MASKED;
	if (number == HV_MSR_HYPERCALL)
		return;
	if (number == HV_MSR_GUEST_OS_ID)
		value = OS_ID;
	msr_write(number, value);
}

static void random_hypercall(void)
{
	uint64_t code = random() % 4 ? HV_CALL_POST_MESSAGE + random() % 2 : random();
	uint64_t at = random() % 4 ? (uintptr_t)&post : random();

	for (unsigned i = 0; i < 4; i++) {
		uint64_t value = random();

		memcpy((uint8_t *)&post + random() % (sizeof(post) - 8), &value, 8);
	}
	if (random() & 1)
		post.connection_id = random() & 1 ? 1 : 4;
	if (random() & 1)
		post.payload_bytes = (uint32_t)(random() % (HV_MESSAGE_PAYLOAD + 2));
	if (random() & 1) {
		post.payload[0] = (uint8_t)(random() % 26); /* type of a VMBus message */
		memset(post.payload + 1, 0, 7);
	}
	hypercall(code | (random() & 1 ? HV_CONTROL_FAST : 0), at);
}

static void random_mmio(void)
{
	uint64_t at = MACHINE_IOAPIC_BASE + random() % 0x1000;

	if (random() & 1) {
		mmio_read32(at & ~UINT64_C(3));
		return;
	}
	mmio_write32(MACHINE_IOAPIC_BASE, (uint32_t)random() % 0x48);
	/* Masked, so that no vector of an exception comes. */
	mmio_write32(at & ~UINT64_C(3), (uint32_t)random() | 1u << 16);
}

/* What a wild or hostile guest does; the machine must live and answer. */
const char *test_random(void)
{
	hv_identify();
	for (unsigned i = 0; i < 8000; i++) {
		switch (random() % 4) {
		case 0:
			random_port();
			break;
		case 1:
			random_msr();
			break;
		case 2:
			random_hypercall();
			break;
		default:
			random_mmio();
			break;
		}
	}
	REQUIRE(hypercall(0x7777, 0) == HV_STATUS_INVALID_CODE, "the hypercall page is gone");
	return NULL;
}
