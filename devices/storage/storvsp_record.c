/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SCSI controller in a saved state (storvsp.h).
 *
 * Nothing is at the back end then, and nothing is held: a request is in the guest's ring, or
 * answered, or its answer waits for room there.
 */
#include <assert.h>
#include <string.h>

#include "devices/storage/storvsp_priv.h"

#define UNITS_MAX (STORVSP_TARGETS_MAX * SCSI_LUNS_MAX)

/* ---- units ---- */

struct unit_fields {
	uint8_t target, lun;
	bool dvd, medium, locked;
	uint16_t attention; /* enum scsi_sense_code */
	unsigned event;     /* enum scsi_media_event */
};

static void unit_fields(struct unit_fields *u, struct record *r)
{
	record_u8(r, "target", &u->target);
	record_u8(r, "lun", &u->lun);
	record_bool(r, "dvd", &u->dvd);
	record_bool(r, "medium", &u->medium);
	record_bool(r, "locked", &u->locked);
	record_u16(r, "attention", &u->attention);
	record_limited(r, "event", &u->event, SCSI_MEDIA_REMOVED);
}

static void unit_write(const struct storvsp_unit *unit, struct record *r)
{
	struct unit_fields u = {
		.target = unit->target,
		.lun = unit->lun,
		.dvd = unit->scsi.kind == SCSI_UNIT_DVD,
		.medium = unit->scsi.sectors != 0,
		.locked = unit->scsi.locked,
		.attention = (uint16_t)unit->scsi.attention,
		.event = unit->scsi.event,
	};

	unit_fields(&u, r);
}

static struct storvsp_unit *unit_of(const struct storvsp *sp, const struct unit_fields *u)
{
	return u->target < STORVSP_TARGETS_MAX && u->lun < SCSI_LUNS_MAX
		       ? sp->unit[u->target][u->lun]
		       : NULL;
}

static void unit_check(const struct storvsp *sp, const struct unit_fields *u, struct record *r)
{
	const struct storvsp_unit *unit = unit_of(sp, u);

	if (!record_ok(r))
		return;
	if (!unit || (unit->scsi.kind == SCSI_UNIT_DVD) != u->dvd)
		record_refuse(r, "the VM has no %s at %u:%u", u->dvd ? "drive" : "disk", u->target,
			      u->lun);
	else if (u->medium && !unit->scsi.sectors)
		record_refuse(r, "the drive at %u:%u had a medium and has none", u->target, u->lun);
	else if (!u->dvd && (!u->medium || u->locked || u->attention || u->event))
		record_refuse(r, "the disk at %u:%u is in a state of drives", u->target, u->lun);
	else if (u->attention != SCSI_SENSE_NONE && u->attention != SCSI_SENSE_MEDIUM_CHANGED)
		record_refuse(r, "the drive at %u:%u has no attention %#x", u->target, u->lun,
			      u->attention);
}

static void unit_apply(struct storvsp *sp, const struct unit_fields *u)
{
	struct storvsp_unit *unit = unit_of(sp, u);

	if (!u->dvd)
		return;
	if (!u->medium && unit->scsi.sectors)
		storvsp_guest_ejects(unit, sp); /* it did, before the state was written */
	unit->scsi.locked = u->locked;
	unit->scsi.attention = (enum scsi_sense_code)u->attention;
	unit->scsi.event = (enum scsi_media_event)u->event;
}

static unsigned count_units(const struct storvsp *sp)
{
	unsigned count = 0;

	for (unsigned target = 0; target < STORVSP_TARGETS_MAX; target++)
		count += (unsigned)__builtin_popcountll(sp->luns[target]);
	return count;
}

static void units_write(const struct storvsp *sp, struct record *r)
{
	for (unsigned target = 0; target < STORVSP_TARGETS_MAX; target++) {
		for (unsigned lun = 0; lun < SCSI_LUNS_MAX; lun++) {
			if (sp->luns[target] & UINT64_C(1) << lun)
				unit_write(sp->unit[target][lun], r);
		}
	}
}

static void units_read(const struct storvsp *sp, struct unit_fields *units, unsigned count,
		       struct record *r)
{
	uint64_t seen[STORVSP_TARGETS_MAX] = {0};

	for (unsigned i = 0; i < count && record_ok(r); i++) {
		struct unit_fields *u = &units[i];

		unit_fields(u, r);
		unit_check(sp, u, r);
		if (!record_ok(r))
			return;
		if (seen[u->target] & UINT64_C(1) << u->lun)
			record_refuse(r, "the unit at %u:%u is there twice", u->target, u->lun);
		seen[u->target] |= UINT64_C(1) << u->lun;
	}
}

/* ---- answers that wait for room in the ring ---- */

static void answer_fields(struct storvsp_request *req, struct record *r)
{
	record_u64(r, "transaction", &req->transaction);
	record_bytes(r, "answer", &req->reply, sizeof(req->reply));
}

static void answers_read(struct storvsp_queue *q, unsigned count, struct record *r)
{
	for (unsigned i = 0; i < count && record_ok(r); i++) {
		struct storvsp_request *req;

		if (!storvsp_request_available(q->sp)) {
			record_refuse(r, "it has more answers than requests can be");
			return;
		}
		req = storvsp_request_get(q, 0);
		answer_fields(req, r);
		list_append(&q->unsent, &req->link);
	}
}

static void answers(struct storvsp *sp, unsigned queues, struct record *r)
{
	for (unsigned n = 0; n < queues && record_ok(r); n++) {
		struct storvsp_queue *q = &sp->queue[n];
		unsigned count = 0;

		for (struct list *at = q->unsent.next; at != &q->unsent; at = at->next)
			count++;
		record_limited(r, "answers", &count, STORVSP_SLOTS);
		if (r->reads) {
			answers_read(q, count, r);
			continue;
		}
		for (struct list *at = q->unsent.next; at != &q->unsent; at = at->next)
			answer_fields(CONTAINER_OF(at, struct storvsp_request, link), r);
	}
}

static void drop_answers(struct storvsp *sp)
{
	for (unsigned n = 0; n < STORVSP_QUEUES_MAX; n++) {
		struct list *link;

		while ((link = list_pop(&sp->queue[n].unsent)))
			storvsp_request_put(CONTAINER_OF(link, struct storvsp_request, link));
	}
}

/* ---- the controller ---- */

static unsigned count_queues(const struct storvsp *sp)
{
	unsigned n = 1;

	while (n < STORVSP_QUEUES_MAX && sp->queue[n].offer)
		n++;
	return n;
}

static int offer_queues(struct storvsp *sp, unsigned queues)
{
	int r = 0;

	for (unsigned i = 1; r == 0 && i < queues; i++)
		r = storvsp_offer_queue(sp, i);
	return r;
}

static void controller_read(struct storvsp *sp, struct record *r)
{
	struct unit_fields units[UNITS_MAX];
	unsigned state = 0, queues = 0, count = 0;
	bool scan_wanted = false;

	record_limited(r, "state", &state, STORVSP_READY);
	record_limited(r, "queues", &queues, sp->config.sub_channels_max + 1);
	record_bool(r, "scan_wanted", &scan_wanted);
	record_limited(r, "units", &count, UNITS_MAX);
	if (record_ok(r) && (!queues || (queues > 1 && state != STORVSP_READY)))
		record_refuse(r, "it has %u channels, which do not fit its state", queues);
	if (record_ok(r) && count != count_units(sp))
		record_refuse(r, "the VM has %u disks and drives at it, and had %u",
			      count_units(sp), count);
	units_read(sp, units, count, r);
	answers(sp, queues, r);
	if (record_end(r) == 0 && offer_queues(sp, queues) < 0)
		record_refuse(r, "its channels cannot be offered");
	if (!record_ok(r)) {
		drop_answers(sp);
		return;
	}
	sp->state = state;
	sp->scan_wanted = scan_wanted;
	for (unsigned i = 0; i < count; i++)
		unit_apply(sp, &units[i]);
}

void storvsp_record(struct storvsp *sp, struct record *r)
{
	unsigned queues = count_queues(sp), count = count_units(sp);

	if (r->reads) {
		controller_read(sp, r);
		return;
	}
	if (sp->inflight || sp->held || sp->reset) {
		record_refuse(r, "requests of it are under way");
		return;
	}
	record_limited(r, "state", &sp->state, STORVSP_READY);
	record_limited(r, "queues", &queues, STORVSP_QUEUES_MAX);
	record_bool(r, "scan_wanted", &sp->scan_wanted);
	record_limited(r, "units", &count, UNITS_MAX);
	units_write(sp, r);
	answers(sp, queues, r);
}
