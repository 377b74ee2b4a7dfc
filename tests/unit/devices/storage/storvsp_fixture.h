/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of the SCSI controller share: a guest in memory on the real bus, a controller
 * with a disk in memory at 0:0, and the driver's steps.
 */
#ifndef OYA_TESTS_UNIT_DEVICES_STORAGE_STORVSP_FIXTURE_H
#define OYA_TESTS_UNIT_DEVICES_STORAGE_STORVSP_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "abi/storvsc.h"
#include "base/bytes.h"
#include "devices/storage/storvsp.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/vmguest.h"

#define RAM_BYTES (32u << 20)
#define DISK_BYTES (16u << 20)
#define RING_PAGES 16u
#define PAGE 4096u
#define SUB_CHANNELS 3u

struct fixture {
	struct vmguest *guest;
	struct memdisk *disk;
	struct storvsp *sp;
	struct vmguest_channel ch;
	uint32_t relid;
	uint64_t next_transaction;
};

static const struct scsi_identity identity = {
	.vendor = "Oya", .product = "Virtual Disk", .revision = "1.0", .serial = "one"};

static inline struct storvsc_packet ask(struct fixture *f, const struct storvsc_packet *in)
{
	struct vmguest_packet answer;
	struct storvsc_packet out;

	vmguest_send_inband(&f->ch, ++f->next_transaction, in, sizeof(*in));
	assert_true(vmguest_receive(&f->ch, &answer));
	assert_int_equal(answer.type, VMBUS_PACKET_COMPLETION);
	assert_int_equal(answer.transaction, f->next_transaction);
	assert_int_equal(answer.len, sizeof(out));
	memcpy(&out, answer.payload, sizeof(out));
	assert_int_equal(out.operation, STORVSC_OP_COMPLETE_IO);
	return out;
}

static inline uint32_t ask_operation(struct fixture *f, uint32_t operation)
{
	struct storvsc_packet in = {.operation = operation};

	return ask(f, &in).status;
}

static inline uint32_t ask_version(struct fixture *f, uint16_t version)
{
	struct storvsc_packet in = {.operation = STORVSC_OP_QUERY_PROTOCOL_VERSION};

	in.version.major_minor = version;
	return ask(f, &in).status;
}

static inline void set_up(struct fixture *f)
{
	assert_int_equal(ask_operation(f, STORVSC_OP_BEGIN_INITIALIZATION), 0);
	assert_int_equal(ask_version(f, STORVSC_VERSION_6_2), 0);
	assert_int_equal(ask_operation(f, STORVSC_OP_QUERY_PROPERTIES), 0);
	assert_int_equal(ask_operation(f, STORVSC_OP_END_INITIALIZATION), 0);
}

static inline void open_channel(struct fixture *f, uint32_t ring_pages)
{
	assert_true(vmguest_open(f->guest, f->relid, ring_pages, &f->ch));
}

/* A test may change it before the controller is made. */
static struct storvsp_config fixture_config = {.instance = {.b = {1}},
					       .sub_channels_max = SUB_CHANNELS};

/* A controller with a disk at 0:0 and its channel open, not set up. */
static inline int make(void **state)
{
	struct guid type = STORVSC_SCSI_INTERFACE;
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->guest = vmguest_new(RAM_BYTES, 0);
	f->disk = memdisk_new(DISK_BYTES, 512);
	f->sp = storvsp_new(f->guest->bus, &fixture_config);
	assert_non_null(f->sp);
	assert_int_equal(storvsp_attach(f->sp, 0, 0, &f->disk->dev, &identity), 0);
	vmguest_connect(f->guest);
	f->relid = vmguest_find_offer(f->guest, &type, 0);
	assert_int_not_equal(f->relid, 0);
	open_channel(f, RING_PAGES);
	*state = f;
	return 0;
}

static inline int make_ready(void **state)
{
	make(state);
	set_up(*state);
	return 0;
}

static inline int unmake(void **state)
{
	struct fixture *f = *state;

	memdisk_complete_all(f->disk);
	assert_int_equal(f->disk->broken, 0);
	storvsp_free(f->sp);
	vmguest_free(f->guest);
	memdisk_free(f->disk);
	free(f);
	return 0;
}

static inline struct storvsc_packet srb_of(const uint8_t *cdb, uint8_t len, uint32_t bytes)
{
	struct storvsc_packet p = {.operation = STORVSC_OP_EXECUTE_SRB};

	p.srb.length = sizeof(p.srb);
	p.srb.cdb_length = len;
	p.srb.sense_length = STORVSC_SENSE_MAX;
	p.srb.data_transfer_length = bytes;
	memcpy(p.srb.cdb, cdb, len);
	return p;
}

static inline struct storvsc_packet rw_of(uint8_t opcode, uint8_t flags, uint32_t lba,
					  uint16_t count)
{
	uint8_t cdb[10] = {opcode, flags};

	be32_store(cdb + 2, lba);
	be16_store(cdb + 7, count);
	return srb_of(cdb, sizeof(cdb), count * 512u);
}

/* Sends a request; its answer comes when the disk has completed it. */
static inline uint64_t start(struct fixture *f, const struct storvsc_packet *p, uint64_t gpa)
{
	uint32_t bytes = p->srb.data_transfer_length;

	f->next_transaction++;
	if (bytes)
		vmguest_send_gpa(&f->ch, f->next_transaction, gpa, bytes, p, sizeof(*p));
	else
		vmguest_send_inband(&f->ch, f->next_transaction, p, sizeof(*p));
	return f->next_transaction;
}

static inline struct storvsc_srb take(struct fixture *f, uint64_t transaction)
{
	struct vmguest_packet answer;
	struct storvsc_packet out;

	assert_true(vmguest_receive(&f->ch, &answer));
	assert_int_equal(answer.transaction, transaction);
	assert_int_equal(answer.len, sizeof(out));
	memcpy(&out, answer.payload, sizeof(out));
	assert_int_equal(out.operation, STORVSC_OP_COMPLETE_IO);
	return out.srb;
}

static inline struct storvsc_srb run(struct fixture *f, const struct storvsc_packet *p,
				     uint64_t gpa)
{
	uint64_t transaction = start(f, p, gpa);

	memdisk_complete_all(f->disk);
	vmguest_run(f->guest);
	return take(f, transaction);
}

static inline void assert_silent(struct fixture *f)
{
	struct vmguest_packet answer;

	assert_false(vmguest_receive(&f->ch, &answer));
}

static inline void assert_good(const struct storvsc_srb *srb, uint32_t bytes)
{
	assert_int_equal(srb->srb_status, STORVSC_SRB_SUCCESS);
	assert_int_equal(srb->scsi_status, SCSI_STATUS_GOOD);
	assert_int_equal(srb->data_transfer_length, bytes);
}

static inline void assert_sense(const struct storvsc_srb *srb, unsigned key, unsigned code)
{
	assert_int_equal(srb->srb_status, STORVSC_SRB_ERROR | STORVSC_SRB_AUTOSENSE_VALID);
	assert_int_equal(srb->scsi_status, SCSI_STATUS_CHECK_CONDITION);
	assert_int_equal(srb->data_transfer_length, 0);
	assert_int_equal(srb->sense[2], key);
	assert_int_equal(be16_load(srb->sense + 12), code);
}

/* No unit there: the driver is to take its disk away. */
static inline void assert_absent(const struct storvsc_srb *srb)
{
	assert_int_equal(srb->srb_status, STORVSC_SRB_INVALID_LUN | STORVSC_SRB_AUTOSENSE_VALID);
	assert_int_equal(srb->scsi_status, SCSI_STATUS_CHECK_CONDITION);
	assert_int_equal(srb->sense[2], 5);
	assert_int_equal(be16_load(srb->sense + 12), 0x2500);
}

static inline void fill(struct fixture *f, uint64_t gpa, uint32_t bytes, unsigned seed)
{
	uint8_t *p = vmguest_at(f->guest, gpa);

	for (uint32_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(i * 7 + i / 512 + seed);
}

/* A request whose pages lie in descending order, so that none join. */
static inline uint64_t start_scattered(struct fixture *f, const struct storvsc_packet *p,
				       uint64_t gpa)
{
	uint32_t bytes = p->srb.data_transfer_length, pages = bytes / PAGE;
	uint8_t *head = calloc(1, 16 + pages * 8);

	assert_non_null(head);
	le32_store(head + 4, 1);
	le32_store(head + 8, bytes);
	for (uint32_t i = 0; i < pages; i++)
		le64_store(head + 16 + i * 8, gpa / PAGE + pages - 1 - i);
	vmguest_send(&f->ch, VMBUS_PACKET_GPA_DIRECT, VMBUS_PACKET_WANTS_COMPLETION,
		     ++f->next_transaction, head, 16 + pages * 8, p, sizeof(*p));
	free(head);
	return f->next_transaction;
}

#define READY(test) cmocka_unit_test_setup_teardown(test, make_ready, unmake)
#define FRESH(test) cmocka_unit_test_setup_teardown(test, make, unmake)

#endif
