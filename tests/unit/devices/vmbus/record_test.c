/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bus in a saved state: the guest goes on in another one, whatever the records say. */
#include "devices/vmbus/internal.h"
#include "tests/lib/statetest.h"
#include "tests/unit/devices/vmbus/bus_fixture.h"

#define RECORDS_MAX 16u
#define ROOM 65536u
#define SMALL (64u * 4096u)

static const struct guid other_type = GUID_INIT(0x99999999, 1, 2, 3, 4);

static void echo_reopen(void *dev, struct vmbus_channel *ch)
{
	struct echo *e = dev;

	e->open = ch;
}

static const struct vmbus_device_ops again_ops = {.name = "echo",
						  .open = echo_open,
						  .ready = echo_ready,
						  .close = echo_close,
						  .reopen = echo_reopen};

static struct vmbus_channel *offer_of(struct vmguest *g, struct echo *e, const struct guid *type,
				      uint8_t instance)
{
	struct vmbus_offer o = {
		.type = *type, .instance.b[15] = instance, .ops = &again_ops, .dev = e};
	struct vmbus_channel *ch;

	assert_int_equal(vmbus_offer_channel(g->bus, &o, &ch), 0);
	return ch;
}

/* A guest that has opened the second of two devices. */
struct before {
	struct vmguest *g;
	struct echo first, echo;
	struct vmguest_channel ch;
};

static void begin(struct before *b)
{
	*b = (struct before){.g = vmguest_new(SMALL, 0)};
	offer_of(b->g, &b->first, &other_type, 1);
	offer_of(b->g, &b->echo, &echo_type, 2);
	vmguest_connect(b->g);
	assert_true(vmguest_open(b->g, vmguest_find_offer(b->g, &echo_type, 0), 2, &b->ch));
}

struct image {
	uint8_t bus[ROOM], channel[RECORDS_MAX][ROOM];
	size_t bus_len, channel_len[RECORDS_MAX];
	uint32_t relid[RECORDS_MAX];
	unsigned channels;
	uint8_t *ram;
	struct vmguest_channel ch;
	uint64_t next_page;
};

static void go_bus(void *device, struct record *r)
{
	vmbus_record(device, r);
}

static size_t write_channel(struct vmbus *bus, uint32_t relid, uint8_t *to)
{
	struct record r = record_writer(1, to, ROOM);

	vmbus_channel_record(bus, relid, &r);
	assert_int_equal(record_end(&r), 0);
	return r.used;
}

static struct image *save(struct vmguest *g, const struct vmguest_channel *ch)
{
	struct image *i = calloc(1, sizeof(*i));
	struct vmbus_channel_info info;

	assert_non_null(i);
	i->ch = *ch;
	i->next_page = g->next_page;
	i->ram = malloc(SMALL);
	assert_non_null(i->ram);
	memcpy(i->ram, g->ram, SMALL);
	i->bus_len = statetest_write(go_bus, g->bus, i->bus, ROOM);
	for (uint32_t relid = 1; vmbus_channel_info(g->bus, &relid, &info) == 0; relid++) {
		i->relid[i->channels] = relid;
		i->channel_len[i->channels] = write_channel(g->bus, relid, i->channel[i->channels]);
		i->channels++;
	}
	return i;
}

static void drop(struct image *i)
{
	free(i->ram);
	free(i);
}

/* The first record that is refused tells why; NULL: all were taken. */
static const char *load(struct vmguest *g, const struct image *i)
{
	static char wrong[RECORD_WRONG_MAX];
	struct record r = record_reader(1, i->bus, i->bus_len);

	memcpy(g->ram, i->ram, SMALL);
	g->next_page = i->next_page;
	vmbus_record(g->bus, &r);
	for (unsigned n = 0; record_end(&r) == 0 && n < i->channels; n++) {
		r = record_reader(1, i->channel[n], i->channel_len[n]);
		vmbus_channel_record(g->bus, i->relid[n], &r);
	}
	memcpy(wrong, r.wrong, sizeof(wrong));
	if (record_end(&r) < 0)
		return wrong;
	vmbus_restored(g->bus);
	vmguest_run(g);
	return NULL;
}

static void must_echo(struct vmguest_channel *ch, uint64_t transaction)
{
	struct vmguest_packet p;

	vmguest_send_inband(ch, transaction, "a packet", 8);
	vmguest_run(ch->guest);
	do {
		assert_true(vmguest_receive(ch, &p));
	} while (p.transaction != transaction);
	assert_memory_equal(p.payload, "a packet", 8);
}

/* The same two devices at another bus, and what is between: the state. */
struct both {
	struct before b;
	struct vmguest *g;
	struct echo first, echo;
	struct image *i;
};

/* The other bus has nothing yet, and the guest has done what a state is written of. */
static void leave(struct both *t)
{
	t->i = save(t->b.g, &t->b.ch);
	t->g = vmguest_new(SMALL, 0);
	t->i->ch.guest = t->g;
}

static void offer_both(struct both *t)
{
	offer_of(t->g, &t->first, &other_type, 1);
	offer_of(t->g, &t->echo, &echo_type, 2);
}

static int both_set_up(void **state)
{
	struct both *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	begin(&t->b);
	*state = t;
	return 0;
}

static int both_tear_down(void **state)
{
	struct both *t = *state;

	if (t->i)
		drop(t->i);
	if (t->g)
		vmguest_free(t->g);
	vmguest_free(t->b.g);
	free(t);
	return 0;
}

static void an_open_channel_goes_on_in_another_bus(void **state)
{
	struct both *t = *state;

	must_echo(&t->b.ch, 7);
	leave(t);
	offer_both(t);
	assert_null(load(t->g, t->i));
	assert_non_null(t->echo.open);
	assert_int_equal(t->echo.opens, 0);
	assert_null(t->first.open);
	for (uint64_t n = 0; n < 1000; n++)
		must_echo(&t->i->ch, 100 + n);
	vmguest_close(&t->i->ch);
	assert_int_equal(t->echo.closes, 1);
}

static void channels_take_the_numbers_that_the_guest_knows(void **state)
{
	struct both *t = *state;
	struct echo more = {0};
	struct vmguest_message m;

	leave(t);
	/* In another order, and one that is new. */
	offer_of(t->g, &more, &other_type, 9);
	offer_of(t->g, &t->echo, &echo_type, 2);
	offer_of(t->g, &t->first, &other_type, 1);
	assert_null(load(t->g, t->i));
	must_echo(&t->i->ch, 1);
	vmguest_expect(t->g, VMBUS_MSG_OFFER, &m);
	assert_int_equal(m.bytes[8 + 16 + 15], 9);
}

static void what_waits_in_a_ring_is_served(void **state)
{
	struct both *t = *state;
	struct vmguest_packet p;

	/* Written, and the signal comes to nobody. */
	t->b.echo.limit = 1;
	vmguest_send_inband(&t->b.ch, 1, "first", 5);
	vmguest_send_inband(&t->b.ch, 2, "second", 6);
	leave(t);
	offer_both(t);
	assert_null(load(t->g, t->i));
	assert_true(vmguest_receive(&t->i->ch, &p) && p.transaction == 1);
	assert_true(vmguest_receive(&t->i->ch, &p) && p.transaction == 2);
}

static void messages_that_wait_for_the_guest_still_do(void **state)
{
	struct both *t = *state;
	struct echo late = {0};
	struct vmguest_message m;

	t->b.g->slot_busy = true;
	offer_of(t->b.g, &late, &other_type, 3);
	leave(t);
	offer_both(t);
	offer_of(t->g, &late, &other_type, 3);
	assert_null(load(t->g, t->i));
	vmguest_expect(t->g, VMBUS_MSG_OFFER, &m);
	assert_int_equal(m.bytes[8 + 16 + 15], 3);
	assert_false(vmguest_take(t->g, &m));
}

static void a_device_that_left_is_released_by_the_guest(void **state)
{
	struct both *t = *state;
	struct vmbus_msg_relid release = {.header.type = VMBUS_MSG_RELID_RELEASED};
	struct vmbus_channel_info info;
	uint32_t relid = 1;

	vmbus_rescind(channel_by_relid(t->b.g->bus, 1));
	leave(t);
	offer_of(t->g, &t->echo, &echo_type, 2);
	assert_null(load(t->g, t->i));
	assert_int_equal(vmbus_channel_info(t->g->bus, &relid, &info), 0);
	assert_int_equal(relid, 1);
	assert_string_equal(info.state, "rescinded");
	release.relid = 1;
	assert_int_equal(vmguest_message(t->g, VMBUS_CONNECTION_ID_V5, &release, sizeof(release)),
			 0);
	assert_int_equal(vmbus_channel_info(t->g->bus, &relid, &info), 0);
	assert_int_equal(relid, 2);
	must_echo(&t->i->ch, 1);
}

static void a_channel_that_was_broken_stays_so(void **state)
{
	struct both *t = *state;

	vmbus_channel_fault(t->b.echo.open, "a test");
	leave(t);
	offer_both(t);
	assert_null(load(t->g, t->i));
	assert_false(vmbus_channel_is_open(t->echo.open));
	vmguest_close(&t->i->ch);
	assert_int_equal(t->echo.closes, 1);
	assert_true(vmguest_open(t->g, t->i->ch.relid, 2, &t->i->ch));
	must_echo(&t->i->ch, 1);
}

static void a_vm_without_the_device_refuses(void **state)
{
	struct both *t = *state;

	leave(t);
	offer_of(t->g, &t->first, &other_type, 1);
	assert_non_null(strstr(load(t->g, t->i), "the VM has no device"));
}

static void two_channels_of_one_number_are_refused(void **state)
{
	struct both *t = *state;

	leave(t);
	t->i->relid[1] = t->i->relid[0];
	offer_both(t);
	assert_non_null(strstr(load(t->g, t->i), "there is no place"));
}

/* ---- the bus's own record, cut and changed ---- */

static void *make_bus(void)
{
	return vmguest_new(SMALL, 0)->bus;
}

static void drop_bus(void *bus)
{
	vmguest_free(((struct vmbus *)bus)->config.world_ctx);
}

static void drive_bus(void *device)
{
	struct vmbus *bus = device;
	struct vmguest *g = bus->config.world_ctx;

	vmbus_restored(bus);
	vmguest_run(g);
	for (uint32_t relid = 1; relid < 4; relid++) {
		struct vmbus_msg_gpadl_teardown down = {
			.header.type = VMBUS_MSG_GPADL_TEARDOWN, .relid = relid, .gpadl = 1};

		vmguest_message(g, VMBUS_CONNECTION_ID_V5, &down, sizeof(down));
	}
	vmbus_reset(bus);
}

static void records_of_the_bus_are_cut_and_changed(void **state)
{
	struct before *b = &((struct both *)*state)->b;

	vmguest_gpadl(b->g, b->ch.relid, vmguest_alloc(b->g, 12288), 12288);
	b->g->slot_busy = true;
	offer_of(b->g, &b->first, &other_type, 3);
	statetest_cut(go_bus, b->g->bus, make_bus, drop_bus);
	statetest_more(go_bus, b->g->bus, make_bus, drop_bus);
	statetest_flip(go_bus, b->g->bus, make_bus, drop_bus, drive_bus);
}

static void any_byte_of_a_channels_record_may_be_another(void **state)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0xff};
	struct before *b = &((struct both *)*state)->b;
	struct image *i = save(b->g, &b->ch);

	for (size_t at = 0; at < i->channel_len[1]; at++) {
		uint8_t was = i->channel[1][at];

		for (unsigned n = 0; n < ARRAY_LEN(values); n++) {
			struct both t = {.i = i, .g = vmguest_new(SMALL, 0)};
			struct vmguest_channel ch = i->ch;

			i->channel[1][at] = values[n];
			offer_both(&t);
			ch.guest = t.g;
			if (!load(t.g, i)) {
				vmguest_send_inband(&ch, 1, "x", 1);
				vmguest_run(t.g);
			}
			vmguest_free(t.g);
		}
		i->channel[1][at] = was;
	}
	drop(i);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, both_set_up, both_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_open_channel_goes_on_in_another_bus),
		CASE(channels_take_the_numbers_that_the_guest_knows),
		CASE(what_waits_in_a_ring_is_served),
		CASE(messages_that_wait_for_the_guest_still_do),
		CASE(a_device_that_left_is_released_by_the_guest),
		CASE(a_channel_that_was_broken_stays_so),
		CASE(a_vm_without_the_device_refuses),
		CASE(two_channels_of_one_number_are_refused),
		CASE(records_of_the_bus_are_cut_and_changed),
		CASE(any_byte_of_a_channels_record_may_be_another),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
