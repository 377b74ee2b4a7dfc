/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The second processor, interrupts between the two, and a channel whose interrupts go there. */
#include <string.h>

#include "abi/hv.h"
#include "abi/ic.h"
#include "abi/machine.h"
#include "base/bytes.h"
#include "tests/system/guest/vmbus.h"

#define TRAMPOLINE_AT 0x10000u
#define PING_VECTOR 0x40u
#define PONG_VECTOR 0x41u
#define LEAP (UNITS_PER_S / 50)
#define CR4_OSFXSR (UINT64_C(1) << 9)

extern const uint8_t trampoline[], trampoline_cr3[], trampoline_gdt[], trampoline_end[];

static volatile uint64_t second_vp = UINT64_MAX, second_apic = UINT64_MAX;
static volatile bool second_ready;
void (*volatile second_work)(void);

void second_main(void);

static void on_ping(void)
{
	apic_send(0, PONG_VECTOR);
}

void second_main(void)
{
	trap_load();
	apic_enable();
	second_vp = msr(HV_MSR_VP_INDEX);
	second_apic = apic_id();
	trap_handle(PING_VECTOR, on_ping);
	synic_enable(1);
	second_ready = true;
	for (;;) {
		interrupt_wait();
		if (second_work)
			second_work();
	}
}

bool smp_start(void)
{
	uint8_t *at = (uint8_t *)(uintptr_t)TRAMPOLINE_AT;
	uint64_t cr3, until = reference_time() + 3 * UNITS_PER_S;
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) gdt;

	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	__asm__ volatile("sgdt %0" : "=m"(gdt));
	memcpy(at, trampoline, (size_t)(trampoline_end - trampoline));
	le32_store(at + (trampoline_cr3 - trampoline), (uint32_t)cr3);
	le16_store(at + (trampoline_gdt - trampoline), gdt.limit);
	le32_store(at + (trampoline_gdt - trampoline) + 2, (uint32_t)gdt.base);
	apic_start_processor(1, TRAMPOLINE_AT >> 12);
	while (!second_ready && reference_time() < until)
		;
	return second_ready;
}

/* Of time in which we ran: a leap of the clock, over a saved state or while the worker holds the
 * processors back, does not count. */
static bool within(unsigned seconds, volatile uint64_t *value, uint64_t at_least)
{
	uint64_t last = reference_time(), waited = 0;

	while (*value < at_least && waited < seconds * UNITS_PER_S) {
		uint64_t now = reference_time(), passed = now - last;

		waited += passed < LEAP ? passed : 0;
		last = now;
	}
	return *value >= at_least;
}

static bool within_a_second(volatile uint64_t *value, uint64_t at_least)
{
	return within(1, value, at_least);
}

const char *test_smp(void)
{
	static const struct guid type = IC_HEARTBEAT_TYPE;
	static struct channel channel;
	static struct packet packet;
	uint64_t before;
	const char *why;

	hv_identify();
	REQUIRE(smp_start(), "the second processor did not start");
	REQUIRE(second_vp == 1, "the second processor has another VP index");
	REQUIRE(second_apic == 1, "the second processor has another APIC id");
	interrupts_on();
	apic_send(1, PING_VECTOR);
	REQUIRE(within_a_second(&trap_count[PONG_VECTOR], 1), "interrupts between processors");
	/* Messages go to the second processor, whose handler queues them for us. */
	REQUIRE(vmbus_connect(VMBUS_VERSION(5, 3), 1), "no version in common");
	vmbus_take_offers();
	REQUIRE(synic_interrupts[0] == 0, "messages came to the first processor");
	REQUIRE(synic_interrupts[1] > 2, "messages came to no processor");
	before = synic_events[1];
	why = channel_open(&channel, &type, 1);
	if (why)
		return why;
	while (!channel_receive(&channel, &packet))
		;
	REQUIRE(within_a_second(&synic_events[1], before + 1), "no interrupt of the channel");
	REQUIRE(synic_interrupts[0] == 0, "the channel signals the first processor");
	return NULL;
}

const char *test_x2apic(void)
{
	apic_use_x2apic();
	apic_enable();
	interrupts_on();
	REQUIRE(apic_id() == 0, "another APIC id");
	apic_send(0, PING_VECTOR);
	REQUIRE(within_a_second(&trap_count[PING_VECTOR], 1), "an interrupt to oneself");
	hv_identify();
	synic_enable(0);
	REQUIRE(vmbus_connect(VMBUS_VERSION(5, 3), 0), "no version in common");
	REQUIRE(vmbus_take_offers() > 0, "nothing is offered");
	return NULL;
}

static const uint8_t pattern[16] = {0xa5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0x5a};

static void fpu_fill(void)
{
	uint64_t cr4;

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_OSFXSR));
	__asm__ volatile("movdqu %0, %%xmm7" : : "m"(pattern));
}

static bool fpu_is_filled(void)
{
	uint8_t now[16];

	__asm__ volatile("movdqu %%xmm7, %0" : "=m"(now));
	return memcmp(now, pattern, sizeof(now)) == 0;
}

/* Whether TSC and reference counter have told the same time since then, to two milliseconds.
 * Somebody may have had the processor between the two readings, but not each time. */
static bool clocks_agree(uint64_t reference, uint64_t tsc)
{
	uint64_t hz = msr(HV_MSR_TSC_FREQUENCY);

	for (unsigned i = 0; i < 50; i++) {
		uint64_t passed_ms = (reference_time() - reference) / (UNITS_PER_S / 1000);
		uint64_t told_ms = (tsc_read() - tsc) * 1000 / hz;

		if (told_ms - passed_ms + 2 < 5)
			return true;
	}
	return false;
}

/* What the eyes outside may stop and let go on at any moment, until a key: two processors that
 * interrupt each other, a register of the FPU, clocks that never go back. */
const char *test_count(void)
{
	uint64_t reference = reference_time(), tsc = tsc_read(), next = reference;
	const uint64_t began = reference, began_tsc = tsc;

	hv_identify();
	REQUIRE(smp_start(), "the second processor did not start");
	fpu_fill();
	console_input_on();
	interrupts_on();
	for (uint64_t n = 0; !console_has_input(); n++) {
		uint64_t pongs = trap_count[PONG_VECTOR], was = reference, ticked = tsc;

		apic_send(1, PING_VECTOR);
		REQUIRE(within(8, &trap_count[PONG_VECTOR], pongs + 1),
			"an interrupt between processors is lost");
		REQUIRE(fpu_is_filled(), "a register of the FPU has changed");
		reference = reference_time();
		tsc = tsc_read();
		REQUIRE(reference >= was, "the reference counter went back");
		REQUIRE(tsc >= ticked, "the TSC went back");
		if (reference < next)
			continue;
		print("COUNT %u\n", n);
		next = reference + UNITS_PER_S / 50;
	}
	REQUIRE(clocks_agree(began, began_tsc), "the two clocks have come apart");
	return NULL;
}
