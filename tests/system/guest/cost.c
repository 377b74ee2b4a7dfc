/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a kick and each kind of exit cost, for benchmarks/kick.py: tight loops, one line for each.
 * And for benchmarks/flood.py a guest that does nothing else, and one that does nothing. */
#include "abi/hv.h"
#include "abi/ic.h"
#include "abi/machine.h"
#include "base/util.h"
#include "tests/system/guest/vmbus.h"

#define LOOPS 4000u
#define NO_PORT 0x80u /* nothing answers there */
#define STORM_VECTOR 0x50u

static struct channel channel;

static void kick(void)
{
	out32(MACHINE_HYPERCALL_KICK_PORT, channel.connection_id);
}

static void port(void)
{
	in8(NO_PORT);
}

static void read_msr(void)
{
	msr(HV_MSR_VP_INDEX);
}

static void call(void)
{
	hypercall(HV_CALL_NOTIFY_LONG_SPIN_WAIT, 0);
}

static const struct cost {
	const char *name;
	void (*once)(void);
} costs[] = {{"kick", kick}, {"port", port}, {"msr", read_msr}, {"hypercall", call}};

/* Interrupts are off, so those that it sends itself are posted, and no more. */
static void interrupt_itself(void)
{
	apic_send(apic_id(), STORM_VECTOR);
}

static const char *connect(void)
{
	static const struct guid type = IC_HEARTBEAT_TYPE;

	hv_identify();
	synic_enable(0);
	interrupts_on();
	REQUIRE(vmbus_connect(VMBUS_VERSION(5, 3), 0), "no version in common");
	REQUIRE(vmbus_take_offers(), "nothing is offered");
	return channel_open(&channel, &type, 0);
}

const char *test_cost(void)
{
	const char *why = connect();

	if (why)
		return why;
	for (unsigned i = 0; i < ARRAY_LEN(costs); i++) {
		uint64_t start = reference_time();

		for (unsigned n = 0; n < LOOPS; n++)
			costs[i].once();
		print("COST %s %u %u\n", costs[i].name, (uint64_t)LOOPS, reference_time() - start);
	}
	return NULL;
}

/* Both until they are killed. */
const char *test_storm(void)
{
	const char *why = connect();

	if (why)
		return why;
	interrupts_off();
	print("STORMING\n");
	for (;;) {
		for (unsigned i = 0; i < ARRAY_LEN(costs); i++)
			costs[i].once();
		interrupt_itself();
	}
}

const char *test_idle(void)
{
	const char *why = connect();

	if (why)
		return why;
	interrupts_off();
	print("IDLE\n");
	for (;;)
		__asm__ volatile("hlt");
}
