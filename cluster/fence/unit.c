/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cluster/fence/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <scsi/sg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/util.h"

#define SENSE_BYTES 32u
#define SENSE_DESCRIPTORS 0x72u /* this response code and the next: the key is at 1, else at 2 */
#define MS_PER_S 1000u

struct unit {
	struct reservation_unit unit; /* first */
	unsigned timeout_s;
	int fd; /* -1: by iSCSI */
	struct iscsi_context *iscsi;
	int lun;
};

static struct unit *unit_of(struct reservation_unit *u)
{
	return CONTAINER_OF(u, struct unit, unit);
}

/* ---- devices of this host ---- */

static int carry_sg(struct reservation_unit *unit, struct reservation_command *c, struct failure *f)
{
	struct unit *u = unit_of(unit);
	uint8_t sense[SENSE_BYTES] = {0};
	size_t len = c->empty ? 0 : c->out_len ? c->out_len : sizeof(c->in);
	struct sg_io_hdr io = {
		.interface_id = 'S',
		.dxfer_direction = c->empty     ? SG_DXFER_NONE
				   : c->out_len ? SG_DXFER_TO_DEV
						: SG_DXFER_FROM_DEV,
		.cmd_len = sizeof(c->cdb),
		.cmdp = c->cdb,
		.dxfer_len = (unsigned)len,
		.dxferp = c->out_len ? c->out : c->in,
		.mx_sb_len = sizeof(sense),
		.sbp = sense,
		.timeout = u->timeout_s * MS_PER_S,
	};

	if (ioctl(u->fd, SG_IO, &io) < 0)
		return fail(f, -errno,
			    "cannot ask %s for its reservations: %s; it must be a SCSI disk",
			    unit->name, strerror(errno));
	if (io.status == 0 && (io.host_status || io.driver_status))
		return fail(f, -EIO,
			    "%s does not answer (host status 0x%02x); see that its path is up",
			    unit->name, io.host_status);
	c->status = io.status;
	c->sense_key = ((sense[0] & 0x7f) >= SENSE_DESCRIPTORS ? sense[1] : sense[2]) & 0xf;
	c->in_len = io.resid >= 0 && (size_t)io.resid <= len ? len - (size_t)io.resid : 0;
	return 0;
}

static int open_device(struct unit *u, struct failure *f)
{
	u->unit.carry = carry_sg;
	u->fd = open(u->unit.name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (u->fd < 0)
		return fail(f, -errno, "cannot open %s: %s", u->unit.name, strerror(errno));
	return 0;
}

/* ---- units of iSCSI targets ---- */

/* What libiscsi says, as a part of a sentence: its first line. */
static int no_answer(const struct unit *u, const char *what, int r, struct failure *f)
{
	const char *why = iscsi_get_error(u->iscsi);

	return fail(f, r, "%s%s: %.*s; see that its target is up", what, u->unit.name,
		    (int)strcspn(why, "\n"), why);
}

static int carry_iscsi(struct reservation_unit *unit, struct reservation_command *c,
		       struct failure *f)
{
	struct unit *u = unit_of(unit);
	struct iscsi_data data = {.size = c->out_len, .data = c->out};
	size_t len = c->empty ? 0 : c->out_len ? c->out_len : sizeof(c->in);
	struct scsi_task *task = scsi_create_task(sizeof(c->cdb), c->cdb,
						  c->empty     ? SCSI_XFER_NONE
						  : c->out_len ? SCSI_XFER_WRITE
							       : SCSI_XFER_READ,
						  (int)len);

	if (!task)
		return fail(f, -ENOMEM, "cannot ask %s for its reservations: no memory",
			    unit->name);
	if (!iscsi_scsi_command_sync(u->iscsi, u->lun, task, c->out_len ? &data : NULL) ||
	    task->status < 0 || task->status > UINT8_MAX) {
		scsi_free_scsi_task(task);
		return no_answer(u, "no answer of ", -EIO, f);
	}
	c->status = (uint8_t)task->status;
	c->sense_key = (uint8_t)task->sense.key & 0xf;
	c->in_len = 0;
	if (!c->empty && !c->out_len && task->datain.size > 0 && task->datain.data) {
		c->in_len = min_u64((uint64_t)task->datain.size, sizeof(c->in));
		memcpy(c->in, task->datain.data, c->in_len);
	}
	scsi_free_scsi_task(task);
	return 0;
}

static int open_iscsi(struct unit *u, const char *initiator, struct failure *f)
{
	struct iscsi_url *url;
	int r = 0;

	u->unit.carry = carry_iscsi;
	u->iscsi = iscsi_create_context(initiator);
	if (!u->iscsi)
		return fail(f, -ENOMEM, "cannot open %s: no memory", u->unit.name);
	iscsi_set_timeout(u->iscsi, (int)u->timeout_s);
	iscsi_set_noautoreconnect(u->iscsi, 1);
	url = iscsi_parse_full_url(u->iscsi, u->unit.name);
	if (!url)
		return fail(f, -EINVAL,
			    "cannot open %s: it is not of the form iscsi://HOST[:PORT]/TARGET/LUN",
			    u->unit.name);
	u->lun = url->lun;
	iscsi_set_targetname(u->iscsi, url->target);
	iscsi_set_session_type(u->iscsi, ISCSI_SESSION_NORMAL);
	if (iscsi_full_connect_sync(u->iscsi, url->portal, url->lun) < 0)
		r = no_answer(u, "cannot open ", -EHOSTUNREACH, f);
	iscsi_destroy_url(url);
	return r;
}

/* ---- both ---- */

int unit_open(const char *name, const char *initiator, unsigned timeout_s, struct unit **ret,
	      struct failure *f)
{
	struct unit *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return fail(f, -ENOMEM, "cannot open %s: no memory", name);
	*u = (struct unit){.unit.name = name, .timeout_s = timeout_s, .fd = -1};
	r = strncmp(name, "iscsi://", strlen("iscsi://")) == 0 ? open_iscsi(u, initiator, f)
							       : open_device(u, f);
	if (r < 0) {
		unit_close(u);
		return r;
	}
	*ret = u;
	return 0;
}

void unit_close(struct unit *u)
{
	if (!u)
		return;
	if (u->iscsi)
		iscsi_destroy_context(u->iscsi);
	if (u->fd >= 0)
		close(u->fd);
	free(u);
}

struct reservation_unit *unit_reservation(struct unit *u)
{
	return &u->unit;
}

bool unit_is_session(const struct unit *u)
{
	return u->iscsi != NULL;
}
