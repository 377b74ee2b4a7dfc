/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SCSI controller on the real bus: the input is a list of steps of a hostile guest and a
 * fickle disk. Checked: no bad memory access, no request that a disk must not see, nothing left
 * under way once the disk has completed everything.
 */
#include <errno.h>
#include <string.h>

#include "abi/storvsc.h"
#include "base/cursor.h"
#include "base/util.h"
#include "devices/storage/storvsp.h"
#include "fuzz/harness.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/vmguest.h"

#define RAM_BYTES (256u << 10)
#define DISK_BYTES (256u << 10)
#define RING_PAGES 2u
#define REOPEN_MAX 4u
#define SET_UP_MAX 4u
#define STEPS_MAX 110u
#define RAW_MAX 255u
#define QUEUES_MAX 3u
#define DVD_LUN 3u

enum step {
	STEP_SET_UP,
	STEP_SRB,
	STEP_RAW,
	STEP_COMPLETE,
	STEP_COMPLETE_ALL,
	STEP_DRAIN,
	STEP_LIMITS,
	STEP_REOPEN,
	STEP_CORRUPT,
	STEP_UNITS,
	STEP_CHANNEL,
	STEP_MEDIUM,
	STEP_RETRY,
	STEP_COUNT,
};

struct fuzz {
	struct cursor in;
	struct vmguest *guest;
	struct memdisk *disk;
	struct memdisk *medium;
	struct storvsp *sp;
	struct vmguest_channel ch; /* the one that is used now */
	struct vmguest_channel other[QUEUES_MAX];
	unsigned others;
	bool keep; /* failed requests */
	uint32_t relid;
	unsigned opened, set_up;
	uint64_t transaction;
};

static const struct scsi_identity identity = {"Oya", "Virtual Disk", "1.0", "fuzzed"};

static bool on_failed(void *ctx, unsigned target, unsigned lun, enum block_op op, int error)
{
	const struct fuzz *f = ctx;

	(void)target;
	(void)lun;
	(void)op;
	(void)error;
	return f->keep;
}

static const struct storvsp_host_ops host_ops = {.failed = on_failed};

/* The test guest's own helpers trust the write index, which a step or the disk's data may have
 * made wild. */
static void tame(struct fuzz *f)
{
	struct vmbus_ring_control *up = vmguest_up(&f->ch);

	if (up->write_index >= f->ch.ring_len)
		up->write_index = 0;
}

static void send_inband(struct fuzz *f, const struct storvsc_packet *p)
{
	tame(f);
	vmguest_send_inband(&f->ch, ++f->transaction, p, sizeof(*p));
}

static void step_set_up(struct fuzz *f)
{
	static const uint8_t operations[] = {
		STORVSC_OP_BEGIN_INITIALIZATION, STORVSC_OP_QUERY_PROTOCOL_VERSION,
		STORVSC_OP_QUERY_PROPERTIES, STORVSC_OP_END_INITIALIZATION};

	if (f->set_up++ >= SET_UP_MAX)
		return;
	for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
		struct storvsc_packet p = {.operation = operations[i]};

		p.version.major_minor = STORVSC_VERSION_6_2;
		send_inband(f, &p);
	}
}

static void step_srb(struct fuzz *f)
{
	struct storvsc_packet p = {.operation = STORVSC_OP_EXECUTE_SRB};
	uint8_t unit = cursor_u8(&f->in);
	uint32_t gpa, bytes;

	p.srb.lun = unit & 3;
	p.srb.target = unit >> 2 & 3;
	p.srb.path = unit >> 6;
	p.srb.cdb_length = cursor_u8(&f->in);
	p.srb.sense_length = cursor_u8(&f->in);
	cursor_copy_padded(&f->in, p.srb.cdb, sizeof(p.srb.cdb));
	p.srb.data_transfer_length = cursor_u32(&f->in);
	gpa = cursor_u32(&f->in);
	bytes = cursor_u32(&f->in) & 0x1FFFFF;
	tame(f);
	if (bytes)
		vmguest_send_gpa(&f->ch, ++f->transaction, gpa, bytes, &p, sizeof(p));
	else
		send_inband(f, &p);
}

static void step_raw(struct fuzz *f)
{
	uint8_t head[RAW_MAX * 8], payload[RAW_MAX];
	uint8_t type = cursor_u8(&f->in), flags = cursor_u8(&f->in);
	uint32_t head_len = cursor_u8(&f->in) % 8 * 8u, len = cursor_u8(&f->in);

	cursor_copy_padded(&f->in, head, head_len);
	cursor_copy_padded(&f->in, payload, len);
	tame(f);
	vmguest_send(&f->ch, type, flags, ++f->transaction, head, head_len, payload, len);
}

static void step_complete(struct fuzz *f)
{
	static const int errors[] = {0,       -EIO,    -ENOSPC, -EROFS,     -ERANGE,
				     -ENOMEM, -EAGAIN, -ENODEV, -EOPNOTSUPP};
	uint8_t n = cursor_u8(&f->in), error = cursor_u8(&f->in);

	if (f->disk->inflight)
		memdisk_complete(f->disk, n % f->disk->inflight, errors[error % ARRAY_LEN(errors)]);
	vmguest_run(f->guest);
}

static void step_drain(struct fuzz *f)
{
	struct vmbus_ring_control *down = vmguest_down(&f->ch);

	down->read_index = down->write_index;
	vmguest_kick(&f->ch);
}

static void step_reopen(struct fuzz *f)
{
	if (f->opened == REOPEN_MAX || f->ch.relid != f->relid)
		return;
	f->opened++;
	f->others = 0; /* they go with the first one */
	vmguest_close(&f->ch);
	must(vmguest_open(f->guest, f->relid, RING_PAGES, &f->ch));
}

static void step_corrupt(struct fuzz *f)
{
	struct vmbus_ring_control *ring =
		cursor_u8(&f->in) & 1 ? vmguest_up(&f->ch) : vmguest_down(&f->ch);
	uint32_t at = cursor_u8(&f->in) % 5 * 4u;

	le32_store((uint8_t *)ring + at, cursor_u32(&f->in));
	vmguest_kick(&f->ch);
}

static void step_units(struct fuzz *f)
{
	uint8_t unit = cursor_u8(&f->in);
	unsigned target = unit >> 2 & 3, lun = unit & 3;

	if (unit & 0x80)
		(void)storvsp_detach(f->sp, target, lun);
	else
		(void)storvsp_attach(f->sp, target, lun, &f->disk->dev, &identity);
}

/* Asks for sub-channels, opens one that is offered, or goes over to another one. */
static void step_channel(struct fuzz *f)
{
	struct storvsc_packet p = {.operation = STORVSC_OP_CREATE_SUB_CHANNELS};
	uint8_t what = cursor_u8(&f->in);
	struct vmguest_message m;
	struct vmguest_channel old = f->ch;

	if (what & 0x80) {
		p.sub_channel_count = what & 7;
		send_inband(f, &p);
	} else if (f->others && !(what & 0x40)) {
		f->ch = f->other[what % f->others];
		f->other[what % f->others] = old;
	}
	while (f->others < QUEUES_MAX && vmguest_take(f->guest, &m)) {
		struct vmbus_msg_offer offer;

		memcpy(&offer, m.bytes, sizeof(offer));
		if (offer.header.type == VMBUS_MSG_OFFER && offer.sub_channel_index &&
		    vmguest_open(f->guest, offer.relid, RING_PAGES, &f->other[f->others]))
			f->others++;
	}
}

static void step_medium(struct fuzz *f)
{
	switch (cursor_u8(&f->in) % 4) {
	case 0:
		(void)storvsp_attach_dvd(f->sp, 0, DVD_LUN, NULL, &identity);
		break;
	case 1:
		(void)storvsp_insert(f->sp, 0, DVD_LUN, &f->medium->dev);
		break;
	case 2:
		(void)storvsp_eject(f->sp, 0, DVD_LUN, cursor_u8(&f->in) & 1);
		break;
	default:
		memdisk_complete_all(f->medium);
		break;
	}
}

static void run_step(struct fuzz *f, enum step step)
{
	switch (step) {
	case STEP_SET_UP:
		step_set_up(f);
		break;
	case STEP_SRB:
		step_srb(f);
		break;
	case STEP_RAW:
		step_raw(f);
		break;
	case STEP_COMPLETE:
		step_complete(f);
		break;
	case STEP_COMPLETE_ALL:
		memdisk_complete_all(f->disk);
		vmguest_run(f->guest);
		break;
	case STEP_DRAIN:
		step_drain(f);
		break;
	case STEP_LIMITS:
		f->disk->limit = cursor_u8(&f->in);
		f->disk->refuse = cursor_u8(&f->in) & 1 ? -EIO : 0;
		break;
	case STEP_REOPEN:
		step_reopen(f);
		break;
	case STEP_CORRUPT:
		step_corrupt(f);
		break;
	case STEP_UNITS:
		step_units(f);
		break;
	case STEP_CHANNEL:
		step_channel(f);
		break;
	case STEP_MEDIUM:
		step_medium(f);
		break;
	case STEP_RETRY:
		f->keep = cursor_u8(&f->in) & 1;
		storvsp_retry(f->sp);
		break;
	case STEP_COUNT:
		break;
	}
}

/* Made once, and put back by reset(). */
static struct fuzz *start(void)
{
	static struct fuzz f;
	struct storvsp_config config = {.instance = {.b = {1}},
					.sub_channels_max = QUEUES_MAX,
					.host = &host_ops,
					.host_ctx = &f};

	if (!f.guest) {
		f.guest = vmguest_new(RAM_BYTES, 0);
		f.disk = memdisk_new(DISK_BYTES, 512);
		f.medium = memdisk_new(DISK_BYTES, SCSI_DVD_SECTOR_BYTES);
		f.medium->dev.read_only = true;
		f.sp = storvsp_new(f.guest->bus, &config);
		must(f.sp != NULL);
	}
	f.opened = 1;
	f.set_up = f.others = 0;
	f.keep = false;
	f.transaction = 0;
	must(storvsp_attach(f.sp, 0, 0, &f.disk->dev, &identity) == 0);
	return &f;
}

static void reset(struct fuzz *f)
{
	f->disk->refuse = 0;
	vmbus_reset(f->guest->bus);
	memdisk_complete_all(f->disk);
	memdisk_complete_all(f->medium);
	must(storvsp_inflight(f->sp) == 0 && storvsp_held(f->sp) == 0);
	must(f->disk->broken == 0 && f->medium->broken == 0);
	for (unsigned unit = 0; unit < STORVSP_TARGETS_MAX * 4; unit++)
		(void)storvsp_detach(f->sp, unit >> 2, unit & 3);
	fuzz_tell(f->guest->ram, RAM_BYTES);
	fuzz_tell(f->disk->data, DISK_BYTES);
	memdisk_reset(f->disk);
	memdisk_reset(f->medium);
	vmguest_reset(f->guest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guid type = STORVSC_SCSI_INTERFACE;
	struct fuzz *f = start();

	f->in = cursor_of(data, size);
	vmguest_connect(f->guest);
	f->relid = vmguest_find_offer(f->guest, &type, 0);
	must(vmguest_open(f->guest, f->relid, RING_PAGES, &f->ch));
	for (unsigned n = 0; n < STEPS_MAX && f->in.left; n++)
		run_step(f, cursor_u8(&f->in) % STEP_COUNT);
	reset(f);
	return 0;
}
