/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bus and the partition's interface are made while each of their allocations fails. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "devices/hv/hv.h"
#include "devices/vmbus/bus.h"
#include "tests/lib/failheap.h"

#define OFFERS 3

/* What the world saw of the bus. */
struct world {
	struct gmem gmem;
	unsigned posted;
	unsigned lost; /* messages, by the log */
};

static int world_post(void *ctx, uint32_t vp, const void *message, size_t len)
{
	struct world *w = ctx;

	(void)vp;
	(void)message;
	(void)len;
	w->posted++;
	return 0;
}

static void world_defer(void *ctx)
{
	(void)ctx;
}

static void world_say(void *ctx, const char *device, const char *text)
{
	struct world *w = ctx;

	(void)device;
	if (strstr(text, "is lost"))
		w->lost++;
}

static const struct vmbus_world_ops bus_world = {.post = world_post, .defer = world_defer};
static const struct vmbus_device_ops device = {.name = "test"};

/* A bus with the guest in state "offered", so that each offer also sends a message. */
static int connect_guest(struct vmbus *bus)
{
	struct vmbus_msg_initiate_contact contact = {
		.header.type = VMBUS_MSG_INITIATE_CONTACT,
		.version = VMBUS_VERSION(4, 1),
	};
	struct vmbus_msg_header request = {.type = VMBUS_MSG_REQUEST_OFFERS};
	int r = vmbus_message(bus, VMBUS_CONNECTION_ID, &contact, sizeof(contact));

	return r < 0 ? r : vmbus_message(bus, VMBUS_CONNECTION_ID, &request, sizeof(request));
}

static int make_bus(void *ctx)
{
	struct world *w = ctx;
	struct guestlog log = {.write = world_say, .ctx = w};
	struct vmbus_config config = {
		.world = &bus_world, .world_ctx = w, .gmem = &w->gmem, .log = &log, .vp_count = 1};
	struct vmbus_offer offer = {.ops = &device};
	struct vmbus_channel *ch;
	struct vmbus *bus;
	int r = vmbus_new(&config, &bus);

	if (r < 0)
		return r;
	r = connect_guest(bus);
	for (unsigned i = 0; r == 0 && i < OFFERS; i++)
		r = vmbus_offer_channel(bus, &offer, &ch);
	vmbus_free(bus);
	/* A message that finds no memory is lost, and told in the log; the bus goes on. */
	return r == 0 && failheap_failed() && w->lost ? -ENOMEM : r;
}

static int make_bus_anew(void *ctx)
{
	struct world *w = ctx;

	memset(w, 0, sizeof(*w));
	return make_bus(w);
}

static void bus_and_offers_survive_each_failing_allocation(void **state)
{
	struct world w;

	(void)state;
	/* The bus, the version's answer, the end of offers; a channel and its offer, three times.
	 */
	assert_int_equal(failheap_sweep(make_bus_anew, &w), 3 + OFFERS * 2);
	assert_int_equal(w.lost, 0);
	assert_int_equal(w.posted, 2 + OFFERS);
}

static int make_hv(void *ctx)
{
	struct hv_config config = {.vp_count = 2, .tsc_hz = UINT64_C(2000000000), .gmem = ctx};
	struct hv *hv;
	int r = hv_new(&config, &hv);

	if (r == 0)
		hv_free(hv);
	return r;
}

static void hv_new_survives_each_failing_allocation(void **state)
{
	struct gmem gmem = {0};

	(void)state;
	assert_int_equal(failheap_sweep(make_hv, &gmem), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bus_and_offers_survive_each_failing_allocation),
		cmocka_unit_test(hv_new_survives_each_failing_allocation),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
