/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two IDE channels with two places each for firmware and boot loaders: ATA disks and ATAPI DVD-ROM
 * drives, moved by programmed I/O. Operating systems use the same units by the bus (storvsp).
 *
 * Role: made by the worker beside the machine that boots by firmware. Block devices are borrowed.
 *
 * Trust: registers and packets are a hostile guest's; sectors are checked against the unit before
 * an operation begins, and data moves through a buffer of the channel: never through guest memory.
 *
 * Threads: all calls, and completions of block devices, with the lock of the devices.
 *
 * Invariants:
 *  1. a channel has at most one operation at a back end, and is busy for as long;
 *  2. pos <= len <= IDE_BUFFER; the guest moves data only while the channel asks for it (DRQ);
 *  3. a reset drops the answer of what is at the back end, and the channel stays busy until then.
 *
 * Limits: no DMA, no queueing, no media change notes beyond those of the drive itself. Disks of 512
 * byte sectors only.
 *
 * Spec: ATA/ATAPI-6; the commands of a drive are those of devices/storage/scsi.h.
 */
#ifndef OYA_DEVICES_STORAGE_IDE_H
#define OYA_DEVICES_STORAGE_IDE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blockdev.h"
#include "base/record.h"
#include "devices/storage/scsi.h"

#define IDE_CHANNELS 2u
#define IDE_PLACES 4u /* two a channel */

struct ide;

struct ide_host {
	/* The interrupt line of a channel; may be NULL. */
	void (*irq)(void *ctx, unsigned channel, bool level);
	void *ctx;
};

/* NULL when there is no memory. */
struct ide *ide_new(const struct ide_host *host);

/* Nothing may be under way. NULL is fine. */
void ide_free(struct ide *ide);

/* As after power-on; units stay. */
void ide_reset(struct ide *ide);

/* Puts a unit at a place. A disk's medium is there, a drive's may be NULL. 0; -EEXIST; -ERANGE;
 * -ENOTSUP for a disk whose sectors are not of 512 bytes: firmware does without it. */
int ide_attach(struct ide *ide, unsigned place, enum scsi_unit_kind kind,
	       const struct blockdev *medium, const struct scsi_identity *identity);

/* Takes the medium away from a place (NULL) or gives it another; a disk without one is no longer
 * there. 0, also where no unit is; -EBUSY while an operation is at it: call again. */
int ide_set_medium(struct ide *ide, unsigned place, const struct blockdev *medium);

/*
 * A saved state: registers, the buffer as far as the guest has yet to take or has given it, and
 * what a drive has to tell. Written, which fails while an operation is at a medium: wait for it; or
 * read into channels that are new and have the same units; a record that is refused changes
 * nothing. Then irq is told of the lines that are high.
 */
void ide_state(struct ide *ide, struct record *r);

/* Register 0 (data) to 7 of a channel; bytes: 1, and for the data 2 or 4. */
uint32_t ide_read(struct ide *ide, unsigned channel, unsigned reg, unsigned bytes);
void ide_write(struct ide *ide, unsigned channel, unsigned reg, unsigned bytes, uint32_t value);
/* The same as reads or writes of the data register until len bytes have moved. */
void ide_read_string(struct ide *ide, unsigned channel, uint8_t *to, uint32_t len);
void ide_write_string(struct ide *ide, unsigned channel, const uint8_t *from, uint32_t len);
/* The control port. */
uint8_t ide_read_control(struct ide *ide, unsigned channel);
void ide_write_control(struct ide *ide, unsigned channel, uint8_t value);

#endif
