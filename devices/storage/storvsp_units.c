/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The units of the SCSI controller: disks that come and go, drives whose media do, requests that
 * are kept after an error until their owner lets them be tried again. See storvsp.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "devices/storage/storvsp_priv.h"

static bool address_ok(unsigned target, unsigned lun)
{
	return target < STORVSP_TARGETS_MAX && lun < SCSI_LUNS_MAX;
}

static struct storvsp_unit *unit_at(const struct storvsp *sp, unsigned target, unsigned lun)
{
	return address_ok(target, lun) ? sp->unit[target][lun] : NULL;
}

static bool blockdev_ok(const struct blockdev *dev)
{
	uint32_t sector = dev->sector_bytes, physical = dev->physical_sector_bytes;

	return (sector == 512 || sector == 4096) && physical >= sector &&
	       (physical & (physical - 1)) == 0 && physical / sector <= UINT16_MAX &&
	       dev->size_bytes >= sector && dev->size_bytes <= INT64_MAX;
}

static bool medium_ok(const struct blockdev *dev)
{
	return dev->read_only && dev->sector_bytes == SCSI_DVD_SECTOR_BYTES &&
	       dev->size_bytes >= SCSI_DVD_SECTOR_BYTES && dev->size_bytes <= INT64_MAX;
}

/* Reads and writes are cut off from a medium at once; what is at the back end comes to its end. */
static void take_medium(struct storvsp_unit *unit)
{
	unit->scsi.sectors = 0;
	unit->scsi.attention = SCSI_SENSE_NONE;
	unit->scsi.event = SCSI_MEDIA_REMOVED;
}

static void put_medium(struct storvsp_unit *unit, const struct blockdev *blockdev)
{
	unit->blockdev = blockdev;
	unit->scsi.sectors = blockdev->size_bytes / SCSI_DVD_SECTOR_BYTES;
	unit->scsi.attention = SCSI_SENSE_MEDIUM_CHANGED;
	unit->scsi.event = SCSI_MEDIA_NEW;
}

static int add_unit(struct storvsp *sp, unsigned target, unsigned lun,
		    const struct scsi_identity *identity, struct storvsp_unit **ret_unit)
{
	struct storvsp_unit *unit;

	if (!address_ok(target, lun))
		return -ERANGE;
	if (sp->unit[target][lun])
		return -EEXIST;
	if (scsi_identity_check(identity) < 0)
		return -EINVAL;
	unit = calloc(1, sizeof(*unit));
	if (!unit)
		return -ENOMEM;
	unit->target = (uint8_t)target;
	unit->lun = (uint8_t)lun;
	unit->scsi.identity = *identity;
	unit->scsi.luns = &sp->luns[target];
	list_init(&unit->waiting);
	list_init(&unit->held);
	sp->unit[target][lun] = unit;
	sp->luns[target] |= UINT64_C(1) << lun;
	storvsp_ask_scan(sp);
	*ret_unit = unit;
	return 0;
}

int storvsp_attach(struct storvsp *sp, unsigned target, unsigned lun,
		   const struct blockdev *blockdev, const struct scsi_identity *identity)
{
	struct storvsp_unit *unit;
	int r = blockdev_ok(blockdev) || !address_ok(target, lun) ? 0 : -EINVAL;

	if (r == 0)
		r = add_unit(sp, target, lun, identity, &unit);
	if (r < 0)
		return r;
	unit->blockdev = blockdev;
	unit->scsi.sectors = blockdev->size_bytes / blockdev->sector_bytes;
	unit->scsi.sector_bytes = blockdev->sector_bytes;
	unit->scsi.physical_sector_bytes = blockdev->physical_sector_bytes;
	unit->scsi.read_only = blockdev->read_only;
	return 0;
}

int storvsp_attach_dvd(struct storvsp *sp, unsigned target, unsigned lun,
		       const struct blockdev *medium, const struct scsi_identity *identity)
{
	struct storvsp_unit *unit;
	int r = !medium || medium_ok(medium) ? 0 : -EINVAL;

	if (r == 0)
		r = add_unit(sp, target, lun, identity, &unit);
	if (r < 0)
		return r;
	unit->scsi.kind = SCSI_UNIT_DVD;
	unit->scsi.sector_bytes = unit->scsi.physical_sector_bytes = SCSI_DVD_SECTOR_BYTES;
	unit->scsi.read_only = true;
	if (medium)
		put_medium(unit, medium);
	return 0;
}

int storvsp_detach(struct storvsp *sp, unsigned target, unsigned lun)
{
	struct storvsp_unit *unit = unit_at(sp, target, lun);

	if (!unit)
		return -ENOENT;
	if (!unit->leaving) {
		unit->leaving = true;
		sp->luns[target] &= ~(UINT64_C(1) << lun);
		storvsp_give_up_held(unit);
		storvsp_ask_scan(sp);
		storvsp_settle(sp);
	}
	if (unit->inflight)
		return -EBUSY;
	sp->unit[target][lun] = NULL;
	free(unit);
	return 0;
}

int storvsp_insert(struct storvsp *sp, unsigned target, unsigned lun, const struct blockdev *medium)
{
	struct storvsp_unit *unit = unit_at(sp, target, lun);

	if (!unit || unit->leaving || unit->scsi.kind != SCSI_UNIT_DVD)
		return -ENOENT;
	if (!medium_ok(medium))
		return -EINVAL;
	if (unit->blockdev)
		return unit->scsi.sectors ? -EEXIST : -EBUSY;
	put_medium(unit, medium);
	return 0;
}

int storvsp_eject(struct storvsp *sp, unsigned target, unsigned lun, bool force)
{
	struct storvsp_unit *unit = unit_at(sp, target, lun);

	if (!unit || unit->scsi.kind != SCSI_UNIT_DVD || !unit->blockdev)
		return -ENOENT;
	if (unit->scsi.sectors && unit->scsi.locked && !force) {
		unit->scsi.event = SCSI_MEDIA_EJECT_REQUEST;
		return -EPERM;
	}
	if (unit->scsi.sectors) {
		take_medium(unit);
		storvsp_give_up_held(unit);
		storvsp_settle(sp);
	}
	if (unit->inflight)
		return -EBUSY;
	unit->blockdev = NULL;
	return 0;
}

void storvsp_guest_ejects(struct storvsp_unit *unit, struct storvsp *sp)
{
	take_medium(unit);
	if (sp->config.host && sp->config.host->ejected)
		sp->config.host->ejected(sp->config.host_ctx, unit->target, unit->lun);
}

void storvsp_retry(struct storvsp *sp)
{
	struct list held;
	struct list *link;

	list_init(&held);
	for (unsigned target = 0; target < STORVSP_TARGETS_MAX; target++) {
		for (unsigned lun = 0; lun < SCSI_LUNS_MAX; lun++) {
			struct storvsp_unit *unit = sp->unit[target][lun];

			while (unit && (link = list_pop(&unit->held)))
				list_append(&held, link);
		}
	}
	/* What fails again right here is told to the guest, so that this comes to an end. */
	while ((link = list_pop(&held))) {
		sp->held--;
		storvsp_restart(CONTAINER_OF(link, struct storvsp_request, link));
	}
	storvsp_settle(sp);
}

const struct storvsp_stats *storvsp_unit_stats(const struct storvsp *sp, unsigned target,
					       unsigned lun)
{
	const struct storvsp_unit *unit = unit_at(sp, target, lun);

	return unit ? &unit->stats : NULL;
}

bool storvsp_has_medium(const struct storvsp *sp, unsigned target, unsigned lun)
{
	const struct storvsp_unit *unit = unit_at(sp, target, lun);

	return unit && unit->scsi.sectors;
}

void storvsp_units_done(struct storvsp *sp)
{
	for (unsigned target = 0; target < STORVSP_TARGETS_MAX; target++)
		for (unsigned lun = 0; lun < SCSI_LUNS_MAX; lun++)
			free(sp->unit[target][lun]);
}
