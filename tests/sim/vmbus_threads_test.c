/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus between two threads, for the thread sanitizer: one is a guest's processor, which writes
 * its rings without any lock and sends messages under the lock, as an exit does; the other is the
 * host's loop, which is woken by an eventfd, serves the bus under the lock, and takes its offer
 * back now and then. Each waits for the other's signals only: one that gets lost ends the test.
 *
 * OYA_THREADS_ROUNDS chooses how often the channel is opened and closed.
 *
 * The guest is honest: it writes data before it releases an index, and reads data after it
 * acquired one. So nothing needs to be suppressed.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/util.h"
#include "devices/vmbus/bus.h"

#define ROUNDS_DEFAULT 20000u
#define RING_BYTES 8192u
#define RING_PAGES (1 + RING_BYTES / 4096)
#define RAM_BYTES (2 * RING_PAGES * 4096u)
#define PACKETS 24u /* of a round, 48 to 304 bytes each */
#define INBOX 64u
#define RELIDS 512u
#define RESCIND_PERIOD 37u /* turns of the host's loop */
#define PATIENCE_MS 20000

#define MUST(condition) must(condition, #condition, __LINE__)

struct message {
	size_t len;
	uint8_t bytes[VMBUS_MESSAGE_MAX];
};

struct test {
	pthread_mutex_t lock; /* of the bus, and of inbox */
	struct vmbus *bus;
	struct gmem gmem;
	uint8_t *ram;
	int host_fd, guest_fd;
	bool kicked, deferred, stop; /* atomic */
	struct vmbus_channel *offered, *open;
	struct message inbox[INBOX];
	unsigned inbox_first, inbox_count;
	uint64_t swallowed, rescinds;
	/* the guest's own */
	uint32_t relid, gpadl;
	bool is_open;
	uint64_t sent, answered, rounds;
};

static void must(bool condition, const char *what, int line)
{
	if (condition)
		return;
	printf("not ok 1 - a_guest_and_its_host_race_without_harm\n# line %d: %s\n", line, what);
	fflush(stdout);
	abort();
}

static void wake(int fd)
{
	uint64_t one = 1;

	MUST(write(fd, &one, sizeof(one)) == sizeof(one));
}

static void sleep_until_woken(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t count;

	MUST(poll(&p, 1, PATIENCE_MS) == 1); /* else a wake-up was lost */
	MUST(read(fd, &count, sizeof(count)) == sizeof(count));
}

/* ---- the host ---- */

static int world_post(void *ctx, uint32_t vp, const void *message, size_t len)
{
	struct test *t = ctx;
	struct message *m = &t->inbox[(t->inbox_first + t->inbox_count) % INBOX];

	(void)vp;
	if (t->inbox_count == INBOX)
		return -EAGAIN;
	t->inbox_count++;
	m->len = len;
	memcpy(m->bytes, message, len);
	wake(t->guest_fd);
	return 0;
}

static void world_signal(void *ctx, uint32_t vp, uint32_t flag)
{
	struct test *t = ctx;

	(void)vp;
	(void)flag;
	wake(t->guest_fd);
}

static int world_bind(void *ctx, uint32_t connection_id)
{
	(void)ctx;
	(void)connection_id;
	return 0;
}

static void world_unbind(void *ctx, uint32_t connection_id)
{
	(void)ctx;
	(void)connection_id;
}

static void world_defer(void *ctx)
{
	struct test *t = ctx;

	__atomic_store_n(&t->deferred, true, __ATOMIC_SEQ_CST);
	wake(t->host_fd);
}

static const struct vmbus_world_ops world_ops = {world_post, world_signal, world_bind, world_unbind,
						 world_defer};

static int device_open(void *dev, struct vmbus_channel *ch, const uint8_t *user)
{
	struct test *t = dev;

	(void)user;
	MUST(!t->open);
	t->open = ch;
	return 0;
}

static void device_ready(void *dev, struct vmbus_channel *ch)
{
	struct test *t = dev;
	struct vmbus_packet p;

	MUST(t->open == ch);
	while (vmbus_channel_receive(ch, &p) == 0) {
		MUST(le64_load(p.payload) == p.transaction);
		for (uint32_t i = 8; i < p.payload_len; i++)
			MUST(p.payload[i] == (uint8_t)p.transaction);
		MUST(vmbus_channel_complete(ch, p.transaction, p.payload, 8) == 0);
		t->swallowed++;
	}
}

static void device_close(void *dev, struct vmbus_channel *ch)
{
	struct test *t = dev;

	MUST(t->open == ch);
	t->open = NULL;
}

static const struct vmbus_device_ops device_ops = {
	.name = "threads", .open = device_open, .ready = device_ready, .close = device_close};

static void host_offers(struct test *t)
{
	struct vmbus_offer offer = {.ops = &device_ops, .dev = t};

	MUST(vmbus_offer_channel(t->bus, &offer, &t->offered) == 0);
}

static void host_turn(struct test *t, unsigned turn)
{
	pthread_mutex_lock(&t->lock);
	if (__atomic_exchange_n(&t->kicked, false, __ATOMIC_SEQ_CST)) {
		for (uint32_t relid = 1; relid < RELIDS; relid++)
			vmbus_signal(t->bus, VMBUS_SIGNAL_CONNECTION_BASE + relid);
	}
	if (__atomic_exchange_n(&t->deferred, false, __ATOMIC_SEQ_CST))
		vmbus_run_deferred(t->bus);
	if (turn % RESCIND_PERIOD == 0) {
		vmbus_rescind(t->offered);
		t->rescinds++;
		host_offers(t);
	}
	pthread_mutex_unlock(&t->lock);
}

static void *host_thread(void *arg)
{
	struct test *t = arg;

	for (unsigned turn = 1; !__atomic_load_n(&t->stop, __ATOMIC_SEQ_CST); turn++) {
		sleep_until_woken(t->host_fd);
		host_turn(t, turn);
	}
	return NULL;
}

/* ---- the guest ---- */

static struct vmbus_ring_control *up_of(struct test *t)
{
	return (struct vmbus_ring_control *)(void *)t->ram;
}

static struct vmbus_ring_control *down_of(struct test *t)
{
	return (struct vmbus_ring_control *)(void *)(t->ram + RAM_BYTES / 2);
}

static void send(struct test *t, const void *message, size_t len)
{
	pthread_mutex_lock(&t->lock);
	vmbus_message(t->bus, VMBUS_CONNECTION_ID_V5, message, len);
	pthread_mutex_unlock(&t->lock);
}

static void send_relid(struct test *t, uint32_t type)
{
	struct vmbus_msg_relid msg = {.header.type = type, .relid = t->relid};

	send(t, &msg, sizeof(msg));
}

static bool take(struct test *t, struct message *ret)
{
	bool any;

	pthread_mutex_lock(&t->lock);
	any = t->inbox_count != 0;
	if (any) {
		*ret = t->inbox[t->inbox_first];
		t->inbox_first = (t->inbox_first + 1) % INBOX;
		t->inbox_count--;
		vmbus_slot_free(t->bus);
	}
	pthread_mutex_unlock(&t->lock);
	return any;
}

static void tear_down(struct test *t)
{
	struct vmbus_msg_gpadl_teardown msg = {
		.header.type = VMBUS_MSG_GPADL_TEARDOWN, .relid = t->relid, .gpadl = t->gpadl};

	send(t, &msg, sizeof(msg));
}

/* Offers and rescinds are taken as they come; true when the message is of `type` and of the
 * channel that we have. */
static bool handle(struct test *t, const struct message *m, uint32_t type)
{
	uint32_t relid = le32_load(m->bytes + 8);

	switch (le32_load(m->bytes)) {
	case VMBUS_MSG_OFFER:
		MUST(!t->relid);
		t->relid = le32_load(m->bytes + offsetof(struct vmbus_msg_offer, relid));
		break;
	case VMBUS_MSG_RESCIND:
		MUST(relid == t->relid);
		t->is_open = false;
		send_relid(t, VMBUS_MSG_CLOSE);
		tear_down(t);
		send_relid(t, VMBUS_MSG_RELID_RELEASED);
		t->relid = 0;
		break;
	default:
		break;
	}
	return le32_load(m->bytes) == type;
}

/* Waits for a message, whose status is at `status_at` (0: it has none). False when the channel
 * was taken back meanwhile, or the status is not success. */
static bool await(struct test *t, uint32_t type, size_t status_at)
{
	uint32_t relid = t->relid;
	struct message m;

	for (;;) {
		while (take(t, &m)) {
			bool is = handle(t, &m, type);

			if (t->relid != relid)
				return type == VMBUS_MSG_OFFER && is;
			if (is)
				return !status_at || !le32_load(m.bytes + status_at);
		}
		sleep_until_woken(t->guest_fd);
	}
}

static void look_at_messages(struct test *t)
{
	struct message m;

	while (take(t, &m))
		handle(t, &m, 0);
}

static bool set_up_gpadl(struct test *t)
{
	uint8_t msg[28 + 2 * RING_PAGES * 8] = {0};
	struct vmbus_msg_gpadl_header head = {
		.header.type = VMBUS_MSG_GPADL_HEADER,
		.relid = t->relid,
		.gpadl = ++t->gpadl,
		.range_bytes = 8 + 2 * RING_PAGES * 8,
		.range_count = 1,
	};

	memcpy(msg, &head, sizeof(head));
	le32_store(msg + 20, RAM_BYTES);
	for (uint32_t i = 0; i < 2 * RING_PAGES; i++)
		le64_store(msg + 28 + i * 8, i);
	send(t, msg, sizeof(msg));
	return await(t, VMBUS_MSG_GPADL_CREATED, 16);
}

static bool open_channel(struct test *t)
{
	struct vmbus_msg_open msg = {.header.type = VMBUS_MSG_OPEN,
				     .relid = t->relid,
				     .open_id = t->relid,
				     .ring_gpadl = t->gpadl,
				     .downstream_page = RING_PAGES};

	memset(t->ram, 0, RAM_BYTES); /* no channel is open: these pages are ours alone */
	send(t, &msg, sizeof(msg));
	t->is_open = await(t, VMBUS_MSG_OPEN_RESULT, 16);
	return t->is_open;
}

static void put(uint8_t *data, uint32_t at, const void *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		data[(at + i) % RING_BYTES] = ((const uint8_t *)bytes)[i];
}

static bool send_packet(struct test *t)
{
	struct vmbus_ring_control *up = up_of(t);
	uint8_t body[256], *data = (uint8_t *)up + 4096;
	uint64_t id = t->sent + 1;
	uint32_t len = 24 + (uint32_t)(id * 7 % 28) * 8, total = 16 + len;
	uint32_t before = up->write_index, read = gmem_load32(&up->read_index);
	struct vmbus_packet_header head = {
		.type = VMBUS_PACKET_INBAND,
		.offset8 = 2,
		.length8 = (uint16_t)(total / 8),
		.flags = VMBUS_PACKET_WANTS_COMPLETION,
		.transaction = id,
	};

	if (RING_BYTES - (before + RING_BYTES - read) % RING_BYTES <= total + 8)
		return false;
	memset(body, (uint8_t)id, sizeof(body));
	le64_store(body, id);
	put(data, before, &head, sizeof(head));
	put(data, before + 16, body, len);
	gmem_store32(&up->write_index, (before + total + 8) % RING_BYTES);
	gmem_full_barrier();
	t->sent++;
	if (!gmem_load32(&up->interrupt_mask) && gmem_load32(&up->read_index) == before) {
		__atomic_store_n(&t->kicked, true, __ATOMIC_SEQ_CST);
		wake(t->host_fd);
	}
	return true;
}

/* Takes one answer; answers come in the order of the packets. */
static bool take_answer(struct test *t)
{
	struct vmbus_ring_control *down = down_of(t);
	const uint8_t *data = (uint8_t *)down + 4096;
	uint32_t at = down->read_index, write = gmem_load32(&down->write_index);
	uint64_t id = 0;

	if (at == write)
		return false;
	for (uint32_t i = 0; i < sizeof(id); i++) /* the header's transaction */
		((uint8_t *)&id)[i] = data[(at + 8 + i) % RING_BYTES];
	MUST(id == ++t->answered);
	gmem_store32(&down->read_index, (at + 32) % RING_BYTES);
	return true;
}

/* Answers, with the signals masked meanwhile; then sleeps unless there was something. */
static void take_answers_or_sleep(struct test *t)
{
	struct vmbus_ring_control *down = down_of(t);
	bool any = false;

	gmem_store32(&down->interrupt_mask, 1);
	gmem_full_barrier();
	while (take_answer(t))
		any = true;
	gmem_store32(&down->interrupt_mask, 0);
	gmem_full_barrier();
	if (!any && gmem_load32(&down->write_index) == down->read_index)
		sleep_until_woken(t->guest_fd);
}

/* Sends and receives; some rounds close with answers still to come. */
static void talk(struct test *t)
{
	uint64_t first = t->answered = t->sent, wanted = PACKETS - t->rounds % 3 * 7;

	for (unsigned n = 0; n < PACKETS && t->is_open;) {
		if (send_packet(t))
			n++;
		else
			take_answers_or_sleep(t);
		look_at_messages(t);
	}
	while (t->is_open && t->answered - first < wanted) {
		take_answers_or_sleep(t);
		look_at_messages(t);
	}
}

static void guest_round(struct test *t)
{
	if (!t->relid && !await(t, VMBUS_MSG_OFFER, 0))
		return;
	if (!set_up_gpadl(t) || !open_channel(t))
		return;
	talk(t);
	if (!t->is_open)
		return; /* taken back */
	t->is_open = false;
	if (t->rounds % 2)
		send_relid(t, VMBUS_MSG_CLOSE);
	tear_down(t); /* closes as well */
	await(t, VMBUS_MSG_GPADL_TORNDOWN, 0);
}

static void guest_connects(struct test *t)
{
	struct vmbus_msg_initiate_contact contact = {.header.type = VMBUS_MSG_INITIATE_CONTACT,
						     .version = VMBUS_VERSION(5, 3)};
	struct vmbus_msg_header request = {.type = VMBUS_MSG_REQUEST_OFFERS};

	send(t, &contact, sizeof(contact));
	MUST(await(t, VMBUS_MSG_VERSION_RESPONSE, 0));
	send(t, &request, sizeof(request));
}

int main(void)
{
	static struct test test = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct test *t = &test;
	struct vmbus_config config = {
		.world = &world_ops, .world_ctx = t, .gmem = &t->gmem, .vp_count = 1};
	const char *text = getenv("OYA_THREADS_ROUNDS");
	uint64_t rounds = text && *text ? strtoull(text, NULL, 0) : ROUNDS_DEFAULT;
	pthread_t host;

	t->ram = aligned_alloc(4096, RAM_BYTES);
	t->host_fd = eventfd(0, EFD_CLOEXEC);
	t->guest_fd = eventfd(0, EFD_CLOEXEC);
	MUST(t->ram && t->host_fd >= 0 && t->guest_fd >= 0);
	MUST(gmem_add(&t->gmem, 0, RAM_BYTES, t->ram) == 0 && vmbus_new(&config, &t->bus) == 0);
	host_offers(t);
	MUST(pthread_create(&host, NULL, host_thread, t) == 0);
	guest_connects(t);
	for (t->rounds = 0; t->rounds < rounds; t->rounds++)
		guest_round(t);
	__atomic_store_n(&t->stop, true, __ATOMIC_SEQ_CST);
	wake(t->host_fd);
	pthread_join(host, NULL);
	vmbus_free(t->bus);
	free(t->ram);
	close(t->host_fd);
	close(t->guest_fd);
	printf("1..1\n# %llu rounds, %llu packets sent, %llu taken, %llu rescinds\n"
	       "ok 1 - a_guest_and_its_host_race_without_harm\n",
	       (unsigned long long)rounds, (unsigned long long)t->sent,
	       (unsigned long long)t->swallowed, (unsigned long long)t->rescinds);
	return 0;
}
