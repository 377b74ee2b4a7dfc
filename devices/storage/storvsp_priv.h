/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the SCSI controller share: storvsp.c (channels and their protocol),
 * storvsp_units.c (the units), storvsp_io.c (requests) and storvsp_thin.c (UNMAP and WRITE SAME,
 * of several steps). Trust, threads and invariants: storvsp.h.
 */
#ifndef OYA_DEVICES_STORAGE_STORVSP_PRIV_H
#define OYA_DEVICES_STORAGE_STORVSP_PRIV_H

#include "abi/storvsc.h"
#include "base/list.h"
#include "devices/storage/storvsp.h"

#define STORVSP_SLOTS 256u
#define STORVSP_IOV_SHORT 64u
#define STORVSP_IOV_LONG (SCSI_TRANSFER_MAX / VMBUS_PAGE + 1)
#define STORVSP_LONG_MAX 16u /* vectors of STORVSP_IOV_LONG, 32 KiB each */

enum storvsp_state {
	STORVSP_IDLE,
	STORVSP_BEGUN,
	STORVSP_VERSIONED,
	STORVSP_QUERIED,
	STORVSP_READY,
	STORVSP_STATES
};

struct storvsp_unit {
	struct scsi_unit scsi;
	const struct blockdev *blockdev; /* of a drive without a medium NULL */
	uint8_t target, lun;
	struct storvsp_stats stats;
	unsigned inflight;   /* at the back end */
	bool leaving;        /* no new commands */
	struct list waiting; /* requests that the back end had no room for; inflight > 0 then */
	struct list held;    /* requests that failed and will be tried again */
	struct list kick;    /* on storvsp.kicks: submitted to since the last kick */
};

/* What the operation at the back end is to its command. */
enum storvsp_step {
	STORVSP_STEP_ONLY,
	STORVSP_STEP_FLUSH_FIRST, /* a read follows that wants what it reads to be stable */
	STORVSP_STEP_UNMAP,       /* one range of several */
	STORVSP_STEP_SAME,        /* all of the extent, or one of several writes */
};

#define STORVSP_PATTERN_BYTES 4096u /* the longest sector, or a shorter one repeated */

struct storvsp_request {
	struct block_request block;
	struct list link; /* unit's waiting or held, or its queue's unsent */
	struct storvsp *sp;
	struct storvsp_queue *queue;
	struct storvsp_unit *unit;
	uint64_t generation;
	uint64_t transaction;
	struct storvsc_packet reply;
	uint64_t step_len; /* of the operation at the back end, retries together */
	int error;         /* why it is held */
	uint64_t offset;   /* of the data on the unit */
	uint32_t len;
	unsigned iov_count;
	uint8_t sense_max; /* room for sense in the guest's request */
	bool truncated;
	bool absent; /* there is no unit */
	enum storvsp_step step;
	unsigned range_count, range_next; /* of an UNMAP */
	uint32_t same_written;            /* bytes of a WRITE SAME, its operation a write */
	uint32_t moved;       /* bytes that an UNMAP or WRITE SAME took from the guest */
	struct iovec *longer; /* NULL when iov_short does */
	struct iovec iov_short[STORVSP_IOV_SHORT];
	union {
		struct scsi_range range[SCSI_UNMAP_RANGES_MAX];
		uint8_t pattern[STORVSP_PATTERN_BYTES];
	} thin;
};

/* A channel of the controller: the first one, by which it is set up, or a sub-channel. Requests
 * come on any; the units and the slots are common to all. */
struct storvsp_queue {
	struct storvsp *sp;
	struct vmbus_channel *offer;   /* NULL: not offered */
	struct vmbus_channel *channel; /* NULL while closed */
	uint64_t generation;           /* of the channel's openings */
	struct list unsent;            /* answers that wait for room in the ring */
};

struct storvsp {
	struct vmbus *bus;
	struct storvsp_config config;
	unsigned state;   /* enum storvsp_state */
	bool in_ready;    /* the bus signals the guest when ready() returns */
	bool scan_wanted; /* the guest is to be told that units have come or gone */
	bool stalled;     /* packets of some channel may wait for a slot or a long vector */
	unsigned inflight, held;
	struct storvsp_request *reset; /* answered once nothing is under way */
	struct list kicks;
	struct storvsp_queue queue[STORVSP_QUEUES_MAX]; /* the first one is the primary channel's */
	uint64_t luns[STORVSP_TARGETS_MAX];
	struct storvsp_unit *unit[STORVSP_TARGETS_MAX][SCSI_LUNS_MAX];
	unsigned free_count;
	uint16_t free_slot[STORVSP_SLOTS];
	unsigned long_made, long_free_count;
	struct iovec *long_free[STORVSP_LONG_MAX];
	struct storvsp_request slot[STORVSP_SLOTS];
};

/* Offers the channel of a queue. 0, -ENOSPC or -ENOMEM. */
int storvsp_offer_queue(struct storvsp *sp, unsigned index);

/* Fills the free list and makes the first long vector; 0 or -ENOMEM. */
int storvsp_requests_init(struct storvsp *sp);
void storvsp_requests_done(struct storvsp *sp);

/* Whether one more packet can be taken (invariant 1). */
bool storvsp_request_available(struct storvsp *sp);

/* A request with a zeroed reply; only after storvsp_request_available(). */
struct storvsp_request *storvsp_request_get(struct storvsp_queue *queue, uint64_t transaction);
void storvsp_request_put(struct storvsp_request *req);

/* Sends the answer, or queues it, or drops it; the request is no longer the caller's. */
void storvsp_request_finish(struct storvsp_request *req);

/* Sends what waits in the queue's unsent; false when the ring is full again. */
bool storvsp_send_unsent(struct storvsp_queue *queue);

/* Lets the bus serve every open channel again. */
void storvsp_resume_all(struct storvsp *sp);

/* Carries out an EXECUTE_SRB packet; srb is the private copy. */
void storvsp_execute(struct storvsp_request *req, const struct vmbus_packet *packet,
		     const struct storvsc_srb *srb);

/* Starts an operation of the request on its unit; its result is reported to the request's step. */
void storvsp_start(struct storvsp_request *req, const struct block_request *block);

/* Starts a held request again, where it stopped. */
void storvsp_restart(struct storvsp_request *req);

/* Ends what is held at a unit, with its error. */
void storvsp_give_up_held(struct storvsp_unit *unit);

/* Does what has become possible outside of ready(), and signals the guest. */
void storvsp_settle(struct storvsp *sp);

/* Tells a guest that has set the controller up to look for units, at once or when there is room. */
void storvsp_ask_scan(struct storvsp *sp);

/* The guest has ejected the medium. */
void storvsp_guest_ejects(struct storvsp_unit *unit, struct storvsp *sp);

void storvsp_units_done(struct storvsp *sp);

/* Copies from the guest's data, which has len bytes at least. */
void storvsp_copy_from_guest(const struct storvsp_request *req, void *data, size_t len);

/* Answers of a command; the request is no longer the caller's. */
void storvsp_finish_good(struct storvsp_request *req, uint32_t moved);
void storvsp_finish_check(struct storvsp_request *req, const struct scsi_action *action);
void storvsp_finish_error(struct storvsp_request *req, enum scsi_action_kind kind, int error);

/* Begin commands of several steps, and go on after one of them. */
void storvsp_unmap_begin(struct storvsp_request *req, const struct scsi_action *action);
void storvsp_unmap_done(struct storvsp_request *req, int result);
void storvsp_same_begin(struct storvsp_request *req, const struct scsi_action *action);
void storvsp_same_done(struct storvsp_request *req, int result);

/* Pushes what was submitted since the last call. */
void storvsp_kick(struct storvsp *sp);

#endif
