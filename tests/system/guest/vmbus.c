/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handler of the SINT takes messages out of their slot into a queue, and event flags into
 * counts; everything else runs outside of it.
 */
#include "tests/system/guest/vmbus.h"

#include <string.h>

#include "abi/hv.h"
#include "base/guid.h"
#include "base/util.h"

#define WAKE_VECTOR 0x42u
#define QUEUE 64u
#define OFFERS 32u
#define CHANNELS 4u
#define RING_BYTES (RING_PAGES * PAGE)
#define GPADL_HEAD_PFNS 26u

static struct synic_pages {
	struct hv_message_slot messages[HV_SINTS];
	uint64_t flags[HV_SINTS][HV_EVENT_FLAGS / 64];
} pages[2] __attribute__((aligned(PAGE)));

static struct message queue[QUEUE];
static volatile uint64_t queue_head, queue_tail;
volatile uint64_t synic_interrupts[2], synic_events[2];

static struct vmbus_msg_offer offers[OFFERS];
static unsigned offer_count;
static uint32_t message_connection;
static struct hv_post_message post __attribute__((aligned(PAGE)));
static uint8_t rings[CHANNELS][2][(RING_PAGES + 1) * PAGE] __attribute__((aligned(PAGE)));
static unsigned rings_used;
static uint32_t last_gpadl = 0xe1e10;

static void take_message(struct hv_message_slot *slot)
{
	struct message *m = &queue[queue_head % QUEUE];

	if (!__atomic_load_n(&slot->type, __ATOMIC_ACQUIRE))
		return;
	m->len = slot->payload_bytes;
	memcpy(m->bytes, slot->payload, sizeof(m->bytes));
	queue_head++;
	__atomic_store_n(&slot->type, 0, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&slot->flags, __ATOMIC_SEQ_CST) & HV_MESSAGE_PENDING)
		msr_write(HV_MSR_EOM, 0);
}

static void on_sint(void)
{
	unsigned vp = apic_id() & 1;

	synic_interrupts[vp]++;
	take_message(&pages[vp].messages[VMBUS_SINT]);
	for (unsigned i = 0; i < HV_EVENT_FLAGS / 64; i++) {
		uint64_t *word = &pages[vp].flags[VMBUS_SINT][i];

		if (*word && __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST))
			synic_events[vp]++;
	}
	if (vp != 0)
		apic_send(0, WAKE_VECTOR); /* it sleeps until something comes */
}

void synic_enable(unsigned vp)
{
	trap_handle(VMBUS_VECTOR, on_sint);
	msr_write(HV_MSR_SIMP, (uintptr_t)pages[vp].messages | HV_PAGE_ENABLE);
	msr_write(HV_MSR_SIEFP, (uintptr_t)pages[vp].flags | HV_PAGE_ENABLE);
	msr_write(HV_MSR_SINT0 + VMBUS_SINT, VMBUS_VECTOR);
	msr_write(HV_MSR_SCONTROL, 1);
}

void vmbus_post(const void *message, uint32_t len)
{
	memset(&post, 0, offsetof(struct hv_post_message, payload));
	post.connection_id = message_connection;
	post.message_type = VMBUS_MESSAGE_TYPE;
	post.payload_bytes = len;
	memcpy(post.payload, message, len);
	if (hypercall(HV_CALL_POST_MESSAGE, (uintptr_t)&post) != HV_STATUS_SUCCESS)
		print("NOTE a message of type %u was refused\n",
		      (uint64_t)((const struct vmbus_msg_header *)message)->type);
}

static void next_message(struct message *ret)
{
	interrupts_off();
	while (queue_head == queue_tail)
		interrupt_wait();
	*ret = queue[queue_tail % QUEUE];
	queue_tail++;
	interrupts_on();
}

static uint32_t type_of(const struct message *m)
{
	struct vmbus_msg_header header;

	memcpy(&header, m->bytes, sizeof(header));
	return header.type;
}

void vmbus_expect(uint32_t type, struct message *ret)
{
	do {
		next_message(ret);
	} while (type_of(ret) != type);
}

static bool contact(uint32_t version, unsigned target_vp)
{
	struct vmbus_msg_initiate_contact msg = {
		.header.type = VMBUS_MSG_INITIATE_CONTACT,
		.version = version,
		.target_vp = target_vp,
		.interrupt_page = version >= VMBUS_VERSION(5, 0) ? VMBUS_SINT : PAGE,
	};
	struct vmbus_msg_version_response answer;
	struct message m;

	message_connection =
		version >= VMBUS_VERSION(5, 0) ? VMBUS_CONNECTION_ID_V5 : VMBUS_CONNECTION_ID;
	vmbus_post(&msg, sizeof(msg));
	vmbus_expect(VMBUS_MSG_VERSION_RESPONSE, &m);
	memcpy(&answer, m.bytes, sizeof(answer));
	if (answer.supported && version >= VMBUS_VERSION(5, 0))
		message_connection = answer.connection_id;
	return answer.supported;
}

uint32_t vmbus_connect(uint32_t max, unsigned target_vp)
{
	static const uint32_t versions[] = {
		VMBUS_VERSION(5, 3), VMBUS_VERSION(5, 2), VMBUS_VERSION(5, 1), VMBUS_VERSION(5, 0),
		VMBUS_VERSION(4, 1), VMBUS_VERSION(4, 0), VMBUS_VERSION(3, 0), VMBUS_VERSION(2, 4),
	};

	for (unsigned i = 0; i < ARRAY_LEN(versions); i++) {
		if (versions[i] <= max && contact(versions[i], target_vp))
			return versions[i];
	}
	return 0;
}

unsigned vmbus_take_offers(void)
{
	struct vmbus_msg_header request = {.type = VMBUS_MSG_REQUEST_OFFERS};
	struct message m;

	offer_count = 0;
	vmbus_post(&request, sizeof(request));
	for (;;) {
		next_message(&m);
		if (type_of(&m) == VMBUS_MSG_ALL_OFFERS_DELIVERED)
			return offer_count;
		if (type_of(&m) == VMBUS_MSG_OFFER && offer_count < OFFERS)
			memcpy(&offers[offer_count++], m.bytes, sizeof(offers[0]));
	}
}

const struct vmbus_msg_offer *vmbus_offer(const struct guid *type)
{
	for (unsigned i = 0; i < offer_count; i++) {
		if (guid_equal(&offers[i].interface_type, type))
			return &offers[i];
	}
	return NULL;
}

const struct vmbus_msg_offer *vmbus_offer_at(unsigned n)
{
	return n < offer_count ? &offers[n] : NULL;
}

static const char *make_gpadl(uint32_t relid, const void *at, uint32_t bytes)
{
	struct {
		struct vmbus_msg_gpadl_header head;
		struct vmbus_gpa_range range;
		uint64_t pfn[GPADL_HEAD_PFNS];
	} OYA_PACKED msg = {
		.head.header.type = VMBUS_MSG_GPADL_HEADER,
		.head.relid = relid,
		.head.gpadl = ++last_gpadl,
		.head.range_bytes = (uint16_t)(8 + bytes / PAGE * 8),
		.head.range_count = 1,
		.range.byte_count = bytes,
	};
	struct vmbus_msg_gpadl_created created;
	struct message m;

	for (uint32_t i = 0; i < bytes / PAGE; i++)
		msg.pfn[i] = (uintptr_t)at / PAGE + i;
	vmbus_post(&msg, (uint32_t)sizeof(msg.head) + 8 + bytes / PAGE * 8);
	vmbus_expect(VMBUS_MSG_GPADL_CREATED, &m);
	memcpy(&created, m.bytes, sizeof(created));
	REQUIRE(created.gpadl == last_gpadl && created.status == 0, "the GPADL is refused");
	return NULL;
}

static const char *open_rings(struct channel *ch)
{
	struct vmbus_msg_open open = {
		.header.type = VMBUS_MSG_OPEN,
		.relid = ch->relid,
		.open_id = 7,
		.target_vp = ch->target_vp,
		.downstream_page = RING_PAGES + 1,
	};
	struct vmbus_msg_open_result result;
	const char *why = make_gpadl(ch->relid, ch->up, 2 * (RING_PAGES + 1) * PAGE);
	struct message m;

	if (why)
		return why;
	open.ring_gpadl = ch->gpadl = last_gpadl;
	vmbus_post(&open, sizeof(open));
	vmbus_expect(VMBUS_MSG_OPEN_RESULT, &m);
	memcpy(&result, m.bytes, sizeof(result));
	REQUIRE(result.relid == ch->relid && result.open_id == 7 && result.status == 0,
		"the channel does not open");
	return NULL;
}

const char *channel_open(struct channel *ch, const struct guid *type, unsigned target_vp)
{
	const struct vmbus_msg_offer *offer = vmbus_offer(type);

	REQUIRE(offer, "the device is not offered");
	REQUIRE(rings_used < CHANNELS, "the guest has no further ring");
	ch->relid = offer->relid;
	ch->connection_id = offer->connection_id;
	ch->target_vp = target_vp;
	ch->up = (void *)rings[rings_used][0];
	ch->down = (void *)rings[rings_used++][1];
	return open_rings(ch);
}

const char *channel_reopen(struct channel *ch)
{
	struct vmbus_msg_relid close = {.header.type = VMBUS_MSG_CLOSE, .relid = ch->relid};
	struct vmbus_msg_gpadl_teardown down = {
		.header.type = VMBUS_MSG_GPADL_TEARDOWN,
		.relid = ch->relid,
		.gpadl = ch->gpadl,
	};
	struct message m;

	vmbus_post(&close, sizeof(close));
	vmbus_post(&down, sizeof(down));
	vmbus_expect(VMBUS_MSG_GPADL_TORNDOWN, &m);
	memset(ch->up, 0, PAGE);
	memset(ch->down, 0, PAGE);
	return open_rings(ch);
}

void channel_signal(const struct channel *ch)
{
	hypercall(HV_CALL_SIGNAL_EVENT | HV_CONTROL_FAST, ch->connection_id);
}

static uint32_t ring_put(struct vmbus_ring_control *ring, uint32_t at, const void *from,
			 uint32_t len)
{
	uint8_t *data = (uint8_t *)ring + PAGE;

	for (uint32_t i = 0; i < len; i++)
		data[(at + i) % RING_BYTES] = ((const uint8_t *)from)[i];
	return (at + len) % RING_BYTES;
}

static uint32_t ring_get(const struct vmbus_ring_control *ring, uint32_t at, void *to, uint32_t len)
{
	const uint8_t *data = (const uint8_t *)ring + PAGE;

	for (uint32_t i = 0; i < len; i++)
		((uint8_t *)to)[i] = data[(at + i) % RING_BYTES];
	return (at + len) % RING_BYTES;
}

void channel_send(struct channel *ch, uint16_t type, uint16_t flags, uint64_t transaction,
		  const void *head, uint32_t head_len, const void *payload, uint32_t len)
{
	static const uint8_t zeros[8];
	uint32_t total = (uint32_t)align_up(sizeof(struct vmbus_packet_header) + head_len + len, 8);
	struct vmbus_packet_header header = {
		.type = type,
		.offset8 = (uint16_t)((sizeof(header) + head_len) / 8),
		.length8 = (uint16_t)(total / 8),
		.flags = flags,
		.transaction = transaction,
	};
	uint32_t before = ch->up->write_index, at = before;
	uint64_t trailer = (uint64_t)before << 32;

	at = ring_put(ch->up, at, &header, sizeof(header));
	at = ring_put(ch->up, at, head, head_len);
	at = ring_put(ch->up, at, payload, len);
	at = ring_put(ch->up, at, zeros, total - (uint32_t)sizeof(header) - head_len - len);
	at = ring_put(ch->up, at, &trailer, sizeof(trailer));
	__atomic_store_n(&ch->up->write_index, at, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&ch->up->interrupt_mask, __ATOMIC_SEQ_CST))
		channel_signal(ch);
}

bool channel_receive(struct channel *ch, struct packet *ret)
{
	uint32_t at = ch->down->read_index;
	struct vmbus_packet_header header;

	if (__atomic_load_n(&ch->down->write_index, __ATOMIC_ACQUIRE) == at)
		return false;
	ring_get(ch->down, at, &header, sizeof(header));
	ret->type = header.type;
	ret->flags = header.flags;
	ret->transaction = header.transaction;
	ret->len = (uint32_t)(header.length8 - header.offset8) * 8u;
	if (ret->len > sizeof(ret->payload))
		ret->len = sizeof(ret->payload);
	ring_get(ch->down, (at + header.offset8 * 8u) % RING_BYTES, ret->payload, ret->len);
	at = (at + header.length8 * 8u + VMBUS_PACKET_TRAILER) % RING_BYTES;
	__atomic_store_n(&ch->down->read_index, at, __ATOMIC_SEQ_CST);
	return true;
}

void channel_wait(struct channel *ch, struct packet *ret)
{
	interrupts_off();
	while (!channel_receive(ch, ret))
		interrupt_wait();
	interrupts_on();
}
