/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SynIC registers, contact and offers, and the services that answer over a channel. */
#include <string.h>

#include "abi/hv.h"
#include "abi/ic.h"
#include "tests/system/guest/vmbus.h"

#define BEATS 2u

static struct packet packet;
static struct channel channel;

const char *test_synic(void)
{
	uint64_t page = UINT64_C(0x300000);

	memset((void *)page, 0xff, PAGE);
	REQUIRE(msr(HV_MSR_SVERSION) == 1, "another version");
	REQUIRE(msr(HV_MSR_SCONTROL) == 0, "the SynIC is on at start");
	REQUIRE(msr_write(HV_MSR_SIMP, page | HV_PAGE_ENABLE) == 0, "SIMP is refused");
	REQUIRE(((uint8_t *)page)[0] == 0 && ((uint8_t *)page)[PAGE - 1] == 0,
		"the message page is not zeroed");
	REQUIRE(msr(HV_MSR_SIMP) == (page | HV_PAGE_ENABLE), "SIMP is another when read");
	REQUIRE(msr_write(HV_MSR_SINT0 + VMBUS_SINT, VMBUS_VECTOR) == 0, "SINT2 is refused");
	REQUIRE(msr(HV_MSR_SINT0 + VMBUS_SINT) == VMBUS_VECTOR, "SINT2 is another when read");
	REQUIRE(msr_write(HV_MSR_EOM, 0) == 0, "EOM is refused");
	return NULL;
}

static uint32_t wanted_version(void)
{
	const char *text = argument("vmbus");

	return text ? VMBUS_VERSION((uint32_t)(text[0] - '0'), (uint32_t)(text[2] - '0'))
		    : VMBUS_VERSION(5, 3);
}

static const char *connect(void)
{
	uint32_t version;

	hv_identify();
	synic_enable(0);
	interrupts_on();
	version = vmbus_connect(wanted_version(), 0);
	REQUIRE(version, "no version in common");
	print("VMBUS %u.%u\n", (uint64_t)(version >> 16), (uint64_t)(version & 0xffff));
	REQUIRE(vmbus_take_offers(), "nothing is offered");
	return NULL;
}

const char *test_contact(void)
{
	static const struct guid types[] = {IC_SHUTDOWN_TYPE, IC_TIMESYNC_TYPE, IC_HEARTBEAT_TYPE,
					    IC_KVP_TYPE};
	struct vmbus_msg_header unload = {.type = VMBUS_MSG_UNLOAD};
	const struct vmbus_msg_offer *offer;
	const char *why = connect();
	struct message m;

	if (why)
		return why;
	for (unsigned i = 0; (offer = vmbus_offer_at(i)); i++)
		print("OFFER %u %u\n", (uint64_t)offer->relid, (uint64_t)offer->connection_id);
	for (unsigned i = 0; i < 4; i++)
		REQUIRE(vmbus_offer(&types[i]), "a service is not offered");
	REQUIRE(synic_interrupts[0] >= 3, "messages came without interrupts");
	/* Away and back again, as a kernel does that starts another one. */
	vmbus_post(&unload, sizeof(unload));
	vmbus_expect(VMBUS_MSG_UNLOAD_RESPONSE, &m);
	REQUIRE(vmbus_connect(wanted_version(), 0), "the second contact is refused");
	REQUIRE(vmbus_take_offers() >= 4, "offers are missing at the second contact");
	return NULL;
}

/* Waits for a message of the host; the body lies behind the two headers of the packet. */
static uint8_t *take(struct ic_header *ret_header)
{
	channel_wait(&channel, &packet);
	memcpy(ret_header, packet.payload + sizeof(struct ic_pipe_header), sizeof(*ret_header));
	return packet.payload + sizeof(struct ic_pipe_header) + sizeof(*ret_header);
}

static void answer(struct ic_header *header)
{
	header->flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	header->status = IC_STATUS_OK;
	memcpy(packet.payload + sizeof(struct ic_pipe_header), header, sizeof(*header));
	channel_send(&channel, VMBUS_PACKET_INBAND, 0, packet.transaction, NULL, 0, packet.payload,
		     packet.len);
}

/* Opens a service and takes the highest versions that it offers. */
static const char *negotiate(const struct guid *type)
{
	struct ic_header header;
	struct ic_negotiate counts;
	struct ic_version *versions;
	const char *why = channel_open(&channel, type, 0);
	uint8_t *body;

	if (why)
		return why;
	body = take(&header);
	REQUIRE(header.type == IC_NEGOTIATE, "the first message is no negotiation");
	memcpy(&counts, body, sizeof(counts));
	REQUIRE(counts.framework_count && counts.message_count, "no version is offered");
	versions = (struct ic_version *)(body + sizeof(counts));
	versions[0] = versions[counts.framework_count - 1];
	versions[1] = versions[counts.framework_count + counts.message_count - 1];
	counts.framework_count = counts.message_count = 1;
	memcpy(body, &counts, sizeof(counts));
	header.body_bytes = sizeof(counts) + 2 * sizeof(versions[0]);
	print("SERVICE %u.%u\n", (uint64_t)versions[1].major, (uint64_t)versions[1].minor);
	answer(&header);
	return NULL;
}

const char *test_heartbeat(void)
{
	static const struct guid type = IC_HEARTBEAT_TYPE;
	const char *why = connect();
	uint64_t before;

	if (!why)
		why = negotiate(&type);
	before = synic_interrupts[0];
	for (unsigned n = 0; !why && n < BEATS; n++) {
		struct ic_heartbeat beat;
		struct ic_header header;
		uint8_t *body = take(&header);

		REQUIRE(header.type == IC_HEARTBEAT, "another message than a heartbeat");
		memcpy(&beat, body, sizeof(beat));
		beat.sequence++;
		memcpy(body, &beat, sizeof(beat));
		answer(&header);
		print("BEAT %u\n", beat.sequence);
	}
	if (why)
		return why;
	REQUIRE(synic_interrupts[0] >= before + 1, "packets came without interrupts");
	console_input_on();
	print("READY\n");
	console_read();
	return NULL;
}

/* Obeys the host's wish: the answer, then off or round again. */
const char *test_shutdown(void)
{
	static const struct guid type = IC_SHUTDOWN_TYPE;
	const char *why = connect();
	struct ic_shutdown request;
	struct ic_header header;

	if (!why)
		why = negotiate(&type);
	if (why)
		return why;
	print("READY\n");
	memcpy(&request, take(&header), offsetof(struct ic_shutdown, text));
	REQUIRE(header.type == IC_SHUTDOWN, "another message than a shutdown");
	print("SHUTDOWN flags %x\n", (uint64_t)request.flags);
	answer(&header);
	return NULL;
}

/* Many signals while the eyes outside count exits, between two keys. */
const char *test_kick(void)
{
	static const struct guid type = IC_HEARTBEAT_TYPE;
	const char *why = connect();

	if (!why)
		why = negotiate(&type);
	if (why)
		return why;
	console_input_on();
	print("READY\n");
	console_read();
	for (unsigned i = 0; i < 1000; i++)
		channel_signal(&channel);
	print("KICKED\n");
	console_read();
	return NULL;
}
