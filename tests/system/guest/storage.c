/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk behind the synthetic SCSI controller, by VMBus packets. */
#include <string.h>

#include "abi/hv.h"
#include "abi/scsi.h"
#include "abi/storvsc.h"
#include "base/bytes.h"
#include "tests/system/guest/vmbus.h"

#define SECTOR 512u
#define READ_LBA 5u
#define WRITE_LBA 9u
#define DATA_OUT 0u
#define DATA_IN 1u
#define DATA_NONE 2u
#define PERIPHERAL_NONE 0x7Fu
#define LOAD 16u /* requests at once */

static const char read_text[] = "sector 5 of the host's disk";
static const char written_text[] = "written by the tiny guest";

static struct packet packet;
static struct channel channel;
static uint8_t buffer[2 * PAGE] __attribute__((aligned(PAGE)));
static struct storvsc_packet answer;
static uint64_t transaction = 0x1000;

static void send(struct storvsc_packet *request, const void *head, uint32_t head_len)
{
	channel_send(&channel, head ? VMBUS_PACKET_GPA_DIRECT : VMBUS_PACKET_INBAND,
		     VMBUS_PACKET_WANTS_COMPLETION, ++transaction, head, head_len, request,
		     sizeof(*request));
}

/* The next completion. The controller may speak unasked too, when units come and go. */
static void wait_for_answer(void)
{
	do
		channel_wait(&channel, &packet);
	while (packet.type == VMBUS_PACKET_INBAND);
	memcpy(&answer, packet.payload, sizeof(answer));
}

/* The completion, which must be of the request sent last. */
static const char *take_answer(void)
{
	wait_for_answer();
	REQUIRE(packet.type == VMBUS_PACKET_COMPLETION, "no completion");
	REQUIRE(packet.transaction == transaction, "the completion of another request");
	REQUIRE(answer.operation == STORVSC_OP_COMPLETE_IO, "the answer is no answer");
	return NULL;
}

static const char *ask_ok(uint32_t operation, uint16_t version)
{
	struct storvsc_packet request = {.operation = operation, .flags = 1};
	const char *why;

	request.version.major_minor = version;
	send(&request, NULL, 0);
	why = take_answer();
	if (why)
		return why;
	REQUIRE(answer.status == STORVSC_STATUS_OK, "the controller refuses a step of its start");
	return NULL;
}

static const char *initialize(void)
{
	const char *why = ask_ok(STORVSC_OP_BEGIN_INITIALIZATION, 0);

	if (!why)
		why = ask_ok(STORVSC_OP_QUERY_PROTOCOL_VERSION, STORVSC_VERSION_6_2);
	if (!why)
		why = ask_ok(STORVSC_OP_QUERY_PROPERTIES, 0);
	if (!why)
		why = ask_ok(STORVSC_OP_END_INITIALIZATION, 0);
	return why;
}

static const char *start(void)
{
	static const struct guid type = STORVSC_SCSI_INTERFACE;
	const char *why;

	hv_identify();
	synic_enable(0);
	interrupts_on();
	REQUIRE(vmbus_connect(VMBUS_VERSION(5, 3), 0), "no version in common");
	vmbus_take_offers();
	why = channel_open(&channel, &type, 0);
	return why ? why : initialize();
}

/* Once the channel is broken: closed, opened anew and used. */
static const char *restart(void)
{
	const char *why = channel_reopen(&channel);

	return why ? why : initialize();
}

/* One command for a unit, with data at buffer + offset. */
static void send_command(uint8_t lun, const uint8_t *cdb, uint8_t direction, uint32_t offset,
			 uint32_t len)
{
	struct storvsc_packet request = {.operation = STORVSC_OP_EXECUTE_SRB, .flags = 1};
	struct {
		struct vmbus_gpa_direct direct;
		struct vmbus_gpa_range range;
		uint64_t pfn[2];
	} OYA_PACKED head = {
		.direct.range_count = 1,
		.range = {.byte_count = len, .byte_offset = offset % PAGE},
		.pfn = {((uintptr_t)buffer + offset) / PAGE, (uintptr_t)buffer / PAGE + 1},
	};
	uint32_t pfns = offset % PAGE + len > PAGE ? 2 : 1;

	request.srb.length = sizeof(request.srb);
	request.srb.lun = lun;
	request.srb.cdb_length = 16;
	request.srb.sense_length = STORVSC_SENSE_MAX;
	request.srb.data_in = direction;
	request.srb.data_transfer_length = len;
	memcpy(request.srb.cdb, cdb, 16);
	send(&request, len ? &head : NULL, len ? (uint32_t)sizeof(head) - 16 + pfns * 8 : 0);
}

static const char *command(uint8_t lun, const uint8_t *cdb, uint8_t direction, uint32_t offset,
			   uint32_t len)
{
	send_command(lun, cdb, direction, offset, len);
	return take_answer();
}

static const char *transfer(uint8_t opcode, uint32_t lba, uint32_t offset, uint16_t sectors)
{
	uint8_t cdb[16] = {opcode};

	be32_store(cdb + 2, lba);
	be16_store(cdb + 7, sectors);
	return command(0, cdb, opcode == SCSI_READ_10 ? DATA_IN : DATA_OUT, offset,
		       sectors * SECTOR);
}

static bool good(void)
{
	return answer.srb.scsi_status == SCSI_STATUS_GOOD &&
	       (answer.srb.srb_status & 0x3f) == STORVSC_SRB_SUCCESS;
}

/* A check condition with this sense key (fixed format). */
static bool refused(uint8_t key)
{
	return answer.srb.scsi_status == SCSI_STATUS_CHECK_CONDITION &&
	       (answer.srb.srb_status & STORVSC_SRB_AUTOSENSE_VALID) &&
	       (answer.srb.sense[2] & 0xf) == key;
}

static const char *read_and_write(void)
{
	static const uint8_t flush[16] = {SCSI_SYNCHRONIZE_CACHE_10};
	const char *why = transfer(SCSI_READ_10, READ_LBA, 0, 1);

	if (why)
		return why;
	REQUIRE(good(), "the read failed");
	REQUIRE(memcmp(buffer, read_text, sizeof(read_text) - 1) == 0, "other bytes were read");
	memset(buffer, 0xff, sizeof(buffer));
	/* Across two pages and away from a sector's alignment: the host must go another way. */
	why = transfer(SCSI_READ_10, READ_LBA - 4, PAGE - 3 * SECTOR - 8, 8);
	if (why)
		return why;
	REQUIRE(good(), "the read across pages failed");
	REQUIRE(memcmp(buffer + PAGE + SECTOR - 8, read_text, sizeof(read_text) - 1) == 0,
		"other bytes were read across pages");
	REQUIRE(buffer[PAGE - 3 * SECTOR - 9] == 0xff && buffer[PAGE + 5 * SECTOR - 8] == 0xff,
		"bytes beside the buffer were written");
	memset(buffer, 0, SECTOR);
	memcpy(buffer, written_text, sizeof(written_text));
	why = transfer(SCSI_WRITE_10, WRITE_LBA, 0, 1);
	if (why)
		return why;
	REQUIRE(good(), "the write failed");
	why = command(0, flush, DATA_NONE, 0, 0);
	if (why)
		return why;
	REQUIRE(good(), "the flush failed");
	return NULL;
}

const char *test_disk(void)
{
	static const uint8_t inquiry[16] = {SCSI_INQUIRY, 0, 0, 0, 36};
	const char *why = start();

	if (!why)
		why = command(0, inquiry, DATA_IN, 0, 36);
	if (why)
		return why;
	REQUIRE(good() && buffer[0] == 0, "the disk is not there");
	why = command(5, inquiry, DATA_IN, 0, 36);
	if (why)
		return why;
	REQUIRE(good() && buffer[0] == PERIPHERAL_NONE, "an absent unit is there");
	why = read_and_write();
	if (!why)
		why = transfer(SCSI_READ_10, UINT32_MAX - 3, 0, 4);
	if (why)
		return why;
	REQUIRE(refused(SCSI_KEY_ILLEGAL_REQUEST), "a read past the end was not refused");
	return NULL;
}

/* Many reads at once, until a key or the first that fails: for resets, pauses and the loss of the
 * disk in the midst of them. */
const char *test_disk_load(void)
{
	const char *why = start();
	bool failed = false;

	if (why)
		return why;
	console_input_on();
	print("READY\n");
	for (uint64_t round = 0; !console_pending(); round++) {
		for (unsigned n = 0; n < LOAD; n++)
			send_command(0, (const uint8_t[16]){SCSI_READ_10, [8] = 8}, DATA_IN, 0,
				     PAGE);
		for (unsigned n = 0; n < LOAD; n++) {
			wait_for_answer();
			failed |= !good();
		}
		if (failed) {
			print("A READ FAILED\n");
			while (!console_pending())
				;
			return NULL;
		}
		if (round % 16 == 0)
			print("ROUND %u\n", round);
	}
	return NULL;
}

/* Counts on the disk, from where whoever had it before has come to, until a key: what was written
 * is read back each time, so that another writer is noticed. */
const char *test_disk_count(void)
{
	const char *why = start();
	uint64_t count;

	if (!why)
		why = transfer(SCSI_READ_10, 0, PAGE, 1);
	if (why)
		return why;
	console_input_on();
	count = le64_load(buffer + PAGE);
	print("FROM %u\n", count);
	while (!console_pending()) {
		le64_store(buffer, ++count);
		why = transfer(SCSI_WRITE_10, 0, 0, 1);
		if (why)
			return why;
		REQUIRE(good(), "the write failed");
		why = transfer(SCSI_READ_10, 0, PAGE, 1);
		if (why)
			return why;
		REQUIRE(good(), "the read failed");
		REQUIRE(le64_load(buffer + PAGE) == count, "another has written");
		if (count % 8 == 0)
			print("COUNT %u\n", count);
	}
	return NULL;
}

#define SLOTS 256u
#define SLOT_LBAS 29u

static uint64_t stamps[SLOTS]; /* what each slot of the disk has */

/* LOAD sectors at once, each of a slot, a sector of the buffer each. */
static const char *churn_slots(uint8_t opcode, uint32_t first, const char *failed)
{
	bool fine = true;

	for (uint32_t n = 0; n < LOAD; n++) {
		uint32_t slot = (first + n * 7) % SLOTS;
		uint8_t cdb[16] = {opcode, [8] = 1};

		be32_store(cdb + 2, slot * SLOT_LBAS);
		send_command(0, cdb, opcode == SCSI_READ_10 ? DATA_IN : DATA_OUT, n * SECTOR,
			     SECTOR);
	}
	for (uint32_t n = 0; n < LOAD; n++) {
		wait_for_answer();
		fine = fine && good();
	}
	return fine ? NULL : failed;
}

static const char *churn_verify(uint32_t first)
{
	const char *why = churn_slots(SCSI_READ_10, first, "a read failed");

	for (uint32_t n = 0; !why && n < LOAD; n++) {
		const uint8_t *sector = buffer + n * SECTOR;
		uint64_t stamp = stamps[(first + n * 7) % SLOTS];

		if (le64_load(sector) != stamp || le64_load(sector + SECTOR - 8) != stamp)
			why = "a sector has not what was written";
	}
	return why;
}

/* Writes all over the disk, and reads back what is elsewhere, until a key; then all is read. */
const char *test_disk_churn(void)
{
	static const uint8_t flush[16] = {SCSI_SYNCHRONIZE_CACHE_10};
	const char *why = start();
	uint64_t stamp = 0;

	console_input_on();
	print("READY\n");
	for (uint64_t round = 0; !why && !console_pending(); round++) {
		uint32_t first = (uint32_t)random() % SLOTS;

		for (uint32_t n = 0; n < LOAD; n++) {
			uint8_t *sector = buffer + n * SECTOR;

			stamps[(first + n * 7) % SLOTS] = ++stamp;
			le64_store(sector, stamp);
			le64_store(sector + SECTOR - 8, stamp);
		}
		why = churn_slots(SCSI_WRITE_10, first, "a write failed");
		if (!why)
			why = churn_verify((uint32_t)random() % SLOTS);
		if (!why && round % 8 == 0)
			why = command(0, flush, DATA_NONE, 0, 0);
		if (round % 4 == 0)
			print("ROUND %u\n", round);
	}
	for (uint32_t n = 0; !why && n < SLOTS / LOAD; n++)
		why = churn_verify(n * LOAD * 7);
	return why;
}

/* Rubbish in the rings of an open channel: the channel may break, and only that. */
const char *test_wild_ring(void)
{
	static const uint8_t inquiry[16] = {SCSI_INQUIRY, 0, 0, 0, 36};

	for (unsigned round = 0; round < 100; round++) {
		struct vmbus_ring_control *ring;
		uint8_t *data;

		if (round % 10 == 0) {
			const char *why = round ? restart() : start();

			if (why)
				return why;
		}
		for (unsigned n = 0; n < 4; n++)
			send_command(0, inquiry, DATA_IN, (uint32_t)(random() % 64), 36);
		ring = random() % 4 ? channel.up : channel.down;
		data = (uint8_t *)ring + (random() % 3 ? PAGE : 0);
		for (unsigned n = 0; n < 8; n++)
			data[random() % (random() & 1 ? 64 : PAGE)] = (uint8_t)random();
		if (random() % 4 == 0)
			ring->write_index = (uint32_t)(random() % (RING_PAGES * PAGE)) & ~7u;
		channel_signal(&channel);
	}
	return NULL;
}

const char *test_disk_read_only(void)
{
	const char *why = start();

	if (!why)
		why = transfer(SCSI_READ_10, READ_LBA, 0, 1);
	if (why)
		return why;
	REQUIRE(good(), "the read failed");
	why = transfer(SCSI_WRITE_10, WRITE_LBA, 0, 1);
	if (why)
		return why;
	REQUIRE(refused(SCSI_KEY_DATA_PROTECT), "the write was not refused");
	return NULL;
}
