/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/storage.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/bytes.h"

#define RING_ENTRIES 256u
#define SENTENCE_MAX 256u

/* The VM's first controller; the others differ in the last byte. Guests know disks by it. */
static const struct guid controller_instance =
	GUID_INIT(0xf0ac1c8e, 0x5b6e, 0x4f3a, 0x9d27, 0x0a5c00000001);

/* The unit at the first IDE place; those of the others differ in the first byte. */
static const struct guid ide_instance =
	GUID_INIT(0x00000000, 0x0000, 0x8899, 0x0000, 0x000000000000);

static void on_completions(void *owner, uint32_t events)
{
	struct storage *s = owner;

	(void)events;
	disk_ring_reap(s->ring);
}

const char *storage_name(const struct config_disk *d)
{
	return d->path ? d->path : "(no name)";
}

/* ---- what controllers ask ---- */

static void on_wake(void *owner)
{
	struct storage *s = owner;

	disk_ring_hold(s->ring);
}

static const char *verb_of(enum block_op op)
{
	return op == BLOCK_READ ? "read" : op == BLOCK_FLUSH ? "flushed" : "written";
}

static bool on_failed(void *ctx, unsigned target, unsigned lun, enum block_op op, int error)
{
	const struct storage_controller *c = ctx;
	const struct config_disk *d = &c->place[lun].config;
	char sentence[SENTENCE_MAX];

	(void)target;
	if (!d->pause || !c->storage->failed ||
	    (error != -EIO && error != -ENOSPC && error != -EDQUOT))
		return false;
	snprintf(sentence, sizeof(sentence), "the disk %.160s cannot be %s: %s", storage_name(d),
		 verb_of(op), strerror(-error));
	c->storage->failed(c->storage->ctx, sentence, false);
	return true;
}

static void on_ejected(void *ctx, unsigned target, unsigned lun)
{
	struct storage_controller *c = ctx;

	(void)target;
	c->place[lun].ejecting = true;
	c->storage->unsettled = true;
	loop_wake(c->storage->loop);
}

static const struct storvsp_host_ops host_ops = {.failed = on_failed, .ejected = on_ejected};

/* ---- opening ---- */

static int tell(const struct config_disk *d, int r, enum raw_reason reason, struct failure *f)
{
	const char *path = storage_name(d);

	switch (reason) {
	case RAW_REASON_TYPE:
		return fail(f, r, "the disk %s is neither a file nor a block device", path);
	case RAW_REASON_SIZE:
		return fail(f, r,
			    "the disk %s is empty or its size is no multiple of %u bytes; is it "
			    "%s, and whole?",
			    path, d->sector_bytes ? d->sector_bytes : 512,
			    d->dvd ? "an ISO image" : "a raw image");
	case RAW_REASON_SECTOR:
		return fail(f, r,
			    "the disk %s has a sector size other than 512 or 4096 bytes, or larger "
			    "than the one asked for",
			    path);
	case RAW_REASON_LOCKED:
		return fail(f, r, "the disk %s is in use by another VM or program; stop that first",
			    path);
	case RAW_REASON_READ_ONLY:
		return fail(f, r,
			    "the disk %s cannot be written; make it writable or attach it "
			    "read-only",
			    path);
	case RAW_REASON_SYSTEM:
	default:
		return fail(f, r, "cannot open the disk %s: %s", path, strerror(-r));
	}
}

/* Gives up on a descriptor that was handed over. */
static int reject(int fd, int r)
{
	if (fd >= 0)
		close(fd);
	return r;
}

/* Opens by name at the start (fd -1), or takes the descriptor. */
static int open_image(struct storage *s, const struct config_disk *d, int fd,
		      struct raw_disk **ret_image, struct failure *f)
{
	struct raw_options options = {
		.read_only = d->read_only,
		.direct = d->direct,
		.sector_bytes = d->sector_bytes,
		.unlocked = s->unlocked,
	};
	enum raw_reason reason = RAW_REASON_SYSTEM;
	int r = fd < 0 ? raw_open(s->ring, d->path, &options, ret_image, &reason)
		       : raw_open_fd(s->ring, fd, &options, ret_image, &reason);

	return r < 0 ? reject(fd, tell(d, r, reason, f)) : 0;
}

/* Stable for as long as the VM keeps its identity and the disk its place. */
static void identify(const struct storage *s, const struct config_disk *d,
		     struct scsi_identity *identity)
{
	const uint8_t *uuid = s->config->uuid.b;

	memset(identity, 0, sizeof(*identity));
	snprintf(identity->vendor, sizeof(identity->vendor), "Msft");
	snprintf(identity->product, sizeof(identity->product),
		 d->dvd ? "Virtual DVD-ROM" : "Virtual Disk");
	snprintf(identity->revision, sizeof(identity->revision), "1.0");
	if (d->serial)
		snprintf(identity->serial, sizeof(identity->serial), "%s", d->serial);
	else
		snprintf(identity->serial, sizeof(identity->serial), "%08x%04x%04x",
			 le32_load(uuid), le16_load(uuid + 4),
			 d->controller * CONFIG_LUNS_MAX + d->lun);
}

/* What is at an IDE place is for the firmware too; a disk that it cannot read is not. */
static int attach_ide(struct storage *s, const struct config_disk *d, const struct blockdev *dev,
		      const struct scsi_identity *identity)
{
	int r = 0;

	if (s->ide && d->controller >= CONFIG_IDE_FIRST)
		r = ide_attach(s->ide, d->controller - CONFIG_IDE_FIRST,
			       d->dvd ? SCSI_UNIT_DVD : SCSI_UNIT_DISK, dev, identity);
	return r == -ENOTSUP ? 0 : r;
}

/* Gives the firmware's drive another medium, or none; -EBUSY while it uses the one it has. */
static int set_ide_medium(struct storage_controller *c, const struct blockdev *dev)
{
	struct ide *ide = c->storage->ide;

	if (!ide || c->number < CONFIG_IDE_FIRST)
		return 0;
	return ide_set_medium(ide, c->number - CONFIG_IDE_FIRST, dev);
}

/* Puts an opened image at its place. */
static int attach(struct storage *s, const struct config_disk *d, struct raw_disk *image,
		  struct failure *f)
{
	struct storvsp *scsi = s->controller[d->controller]->scsi;
	const struct blockdev *dev = image ? raw_blockdev(image) : NULL;
	struct scsi_identity identity;
	int r;

	identify(s, d, &identity);
	r = d->dvd ? storvsp_attach_dvd(scsi, 0, d->lun, dev, &identity)
		   : storvsp_attach(scsi, 0, d->lun, dev, &identity);
	if (r == 0)
		r = attach_ide(s, d, dev, &identity);
	if (r == -EINVAL)
		return fail(f, r,
			    "cannot attach the disk %s: its serial number must be of printable "
			    "ASCII characters",
			    storage_name(d));
	return r < 0 ? fail(f, r, "cannot attach the disk %s: %s", storage_name(d), strerror(-r))
		     : 0;
}

/* by_name: the disk's path is to be opened; else fd has it, or nothing does. */
static int add(struct storage *s, struct config_disk *d, bool by_name, int fd, struct failure *f)
{
	struct raw_disk *image = NULL;
	int r = by_name || fd >= 0 ? open_image(s, d, by_name ? -1 : fd, &image, f) : 0;

	if (r == 0)
		r = attach(s, d, image, f);
	if (r < 0) {
		raw_close(image);
		return r;
	}
	s->controller[d->controller]->place[d->lun] =
		(struct storage_place){.used = true, .config = *d, .image = image};
	*d = (struct config_disk){.controller = d->controller, .lun = d->lun};
	return 0;
}

static int copy_text(const char *text, char **ret)
{
	*ret = text ? strdup(text) : NULL;
	return text && !*ret ? -ENOMEM : 0;
}

static int open_disk(struct storage *s, const struct config_disk *d, struct failure *f)
{
	struct config_disk own = *d;
	int r = copy_text(d->path, &own.path);

	if (copy_text(d->serial, &own.serial) < 0 || r < 0)
		r = fail(f, -ENOMEM, "cannot open the disk %s: out of memory", storage_name(d));
	else
		r = add(s, &own, own.path != NULL, -1, f);
	config_disk_done(&own);
	return r;
}

static int open_ring(struct storage *s, struct failure *f)
{
	int r = disk_ring_new(RING_ENTRIES, &s->ring);

	if (r == -ENOSYS || r == -EPERM)
		return fail(
			f, r,
			"cannot do disk I/O: this host does not permit io_uring; set the sysctl "
			"kernel.io_uring_disabled to 0");
	if (r < 0)
		return fail(f, r, "cannot set up disk I/O: %s", strerror(-r));
	r = loop_add(s->loop, &s->source, disk_ring_fd(s->ring), EPOLLIN, on_completions, s);
	if (r < 0)
		return fail(f, r, "cannot set up disk I/O: %s", strerror(-r));
	loop_on_wake(s->loop, on_wake, s);
	return 0;
}

static int add_controller(struct storage *s, unsigned number, struct vmbus *bus, struct failure *f)
{
	bool ide = number >= CONFIG_IDE_FIRST;
	struct storage_controller *c = calloc(1, sizeof(*c));
	struct storvsp_config config = {
		.host = &host_ops,
		.host_ctx = c,
		.instance = ide ? ide_instance : controller_instance,
		.ide = ide,
		.sub_channels_max = s->config->scsi_queues - 1,
	};

	if (c) {
		if (ide)
			config.instance.b[0] = (uint8_t)(number - CONFIG_IDE_FIRST);
		else
			config.instance.b[15] = (uint8_t)(config.instance.b[15] + number);
		c->storage = s;
		c->number = number;
		c->scsi = storvsp_new(bus, &config);
	}
	if (!c || !c->scsi) {
		free(c);
		return fail(f, -ENOMEM, "cannot make the disk controller: out of memory");
	}
	s->controller[number] = c;
	return 0;
}

/* SCSI controllers, and one for each IDE place that is taken. */
static int add_controllers(struct storage *s, struct vmbus *bus, struct failure *f)
{
	int r = 0;

	for (unsigned n = 0; r == 0 && n < s->config->controllers; n++)
		r = add_controller(s, n, bus, f);
	for (unsigned n = 0; r == 0 && n < s->config->disk_count; n++) {
		if (s->config->disk[n].controller >= CONFIG_IDE_FIRST)
			r = add_controller(s, s->config->disk[n].controller, bus, f);
	}
	return r;
}

int storage_init(struct storage *s, const struct config *config, struct vmbus *bus, struct ide *ide,
		 struct loop *loop, struct failure *f)
{
	int r;

	*s = (struct storage){.config = config,
			      .ide = ide,
			      .loop = loop,
			      .source.fd = -1,
			      .unlocked = config->incoming};
	if (!config->controllers && !config->disk_count)
		return 0;
	r = open_ring(s, f);
	if (r == 0)
		r = add_controllers(s, bus, f);
	for (unsigned n = 0; r == 0 && n < config->disk_count; n++)
		r = open_disk(s, &config->disk[n], f);
	return r;
}

/* ---- coming and going ---- */

static struct storage_controller *controller_at(struct storage *s, unsigned n, struct failure *f)
{
	if (n < STORAGE_CONTROLLERS_MAX && s->controller[n])
		return s->controller[n];
	fail(f, -ENODEV,
	     "the VM has no disk controller %u; start it with %u of them ('controllers')", n,
	     n + 1);
	return NULL;
}

struct storage_place *storage_place(struct storage *s, unsigned n, unsigned lun, struct failure *f)
{
	struct storage_controller *c = controller_at(s, n, f);

	if (!c)
		return NULL;
	if (lun < CONFIG_LUNS_MAX && c->place[lun].used && !c->place[lun].leaving)
		return &c->place[lun];
	fail(f, -ENOENT, "there is no disk at LUN %u of controller %u", lun, n);
	return NULL;
}

int storage_open_copy(struct storage *s, const struct storage_place *p, int fd,
		      struct raw_disk **ret_image, struct failure *f)
{
	return open_image(s, &p->config, fd, ret_image, f);
}

static int choose_lun(const struct storage_controller *c, uint32_t *lun, struct failure *f)
{
	if (*lun == CONFIG_LUN_ANY) {
		*lun = 0;
		while (*lun < CONFIG_LUNS_MAX && c->place[*lun].used)
			++*lun;
	}
	if (*lun >= CONFIG_LUNS_MAX)
		return fail(f, -ENOSPC, "the controller has %u disks already", CONFIG_LUNS_MAX);
	if (c->place[*lun].used)
		return fail(f, -EEXIST, "there is a disk at LUN %u%s", *lun,
			    c->place[*lun].leaving ? ", whose requests have not ended yet" : "");
	return 0;
}

int storage_add(struct storage *s, struct config_disk *config, int fd, struct failure *f)
{
	struct storage_controller *c = controller_at(s, config->controller, f);
	int r = c ? choose_lun(c, &config->lun, f) : -ENODEV;

	if (r == 0 && fd < 0 && !config->dvd)
		r = fail(f, -EINVAL, "no descriptor of an image came with the request");
	return r < 0 ? reject(fd, r) : add(s, config, false, fd, f);
}

/* One try to let a place go; the image is closed when that succeeds. */
static bool try_leave(struct storage_controller *c, unsigned lun)
{
	struct storage_place *p = &c->place[lun];

	if (set_ide_medium(c, NULL) == -EBUSY || storvsp_detach(c->scsi, 0, lun) == -EBUSY)
		return false;
	raw_close(p->image);
	config_disk_done(&p->config);
	*p = (struct storage_place){0};
	return true;
}

static bool try_eject(struct storage_controller *c, unsigned lun)
{
	struct storage_place *p = &c->place[lun];

	if (p->copied || set_ide_medium(c, NULL) == -EBUSY ||
	    storvsp_eject(c->scsi, 0, lun, true) == -EBUSY)
		return false;
	raw_close(p->image);
	p->image = NULL;
	p->ejecting = false;
	free(p->config.path);
	p->config.path = NULL;
	return true;
}

void storage_settle(struct storage *s)
{
	if (s->ring)
		disk_ring_let_go(s->ring);
	if (!s->unsettled)
		return;
	s->unsettled = false;
	for (unsigned n = 0; n < STORAGE_CONTROLLERS_MAX; n++) {
		struct storage_controller *c = s->controller[n];

		if (!c)
			continue;
		for (unsigned lun = 0; lun < CONFIG_LUNS_MAX; lun++) {
			struct storage_place *p = &c->place[lun];

			if (p->leaving)
				s->unsettled |= !try_leave(c, lun);
			else if (p->ejecting)
				s->unsettled |= !try_eject(c, lun);
		}
	}
}

int storage_remove(struct storage *s, unsigned controller, unsigned lun, bool *ret_done,
		   struct failure *f)
{
	struct storage_place *p = storage_place(s, controller, lun, f);

	if (!p)
		return -ENOENT;
	p->leaving = true;
	*ret_done = try_leave(s->controller[controller], lun);
	s->unsettled |= !*ret_done;
	return 0;
}

static struct storage_place *drive_at(struct storage *s, unsigned controller, unsigned lun,
				      struct failure *f)
{
	struct storage_place *p = storage_place(s, controller, lun, f);

	if (!p || p->config.dvd)
		return p;
	fail(f, -EINVAL, "LUN %u of controller %u is no DVD drive", lun, controller);
	return NULL;
}

int storage_insert(struct storage *s, unsigned controller, unsigned lun, const char *name, int fd,
		   struct failure *f)
{
	struct storage_place *p = drive_at(s, controller, lun, f);
	struct raw_disk *image;
	struct config_disk d;
	char *path;
	int r;

	if (!p)
		return reject(fd, -ENOENT);
	if (fd < 0)
		return fail(f, -EINVAL, "no descriptor of a medium came with the request");
	if (p->image)
		return reject(fd,
			      fail(f, -EEXIST, "there is a medium in the drive%s; eject it first",
				   p->ejecting ? ", whose reads have not ended yet" : ""));
	if (copy_text(name, &path) < 0)
		return reject(fd, fail(f, -ENOMEM, "cannot open the medium: out of memory"));
	d = p->config;
	d.path = path;
	r = open_image(s, &d, fd, &image, f);
	if (r == 0) {
		r = storvsp_insert(s->controller[controller]->scsi, 0, lun, raw_blockdev(image));
		if (r < 0) {
			raw_close(image);
			fail(f, r, "cannot put the medium in: %s", strerror(-r));
		}
	}
	if (r < 0) {
		free(path);
		return r;
	}
	(void)set_ide_medium(s->controller[controller], raw_blockdev(image)); /* it was empty */
	p->image = image;
	p->config.path = path;
	return 0;
}

int storage_eject(struct storage *s, unsigned controller, unsigned lun, bool force, bool *ret_done,
		  struct failure *f)
{
	struct storage_place *p = drive_at(s, controller, lun, f);

	if (!p)
		return -ENOENT;
	if (!p->image)
		return fail(f, -ENOENT, "there is no medium in the drive");
	if (!p->ejecting && !force &&
	    storvsp_eject(s->controller[controller]->scsi, 0, lun, false) == -EPERM)
		return fail(f, -EPERM,
			    "the guest uses the medium and was asked to eject it; to take it out "
			    "now, use force");
	p->ejecting = true;
	*ret_done = try_eject(s->controller[controller], lun);
	s->unsettled |= !*ret_done;
	return 0;
}

/* ---- the end ---- */

void storage_retry(struct storage *s)
{
	storage_watch_anew(s);
	for (unsigned n = 0; n < STORAGE_CONTROLLERS_MAX; n++)
		if (s->controller[n])
			storvsp_retry(s->controller[n]->scsi);
}

bool storage_idle(const struct storage *s)
{
	return !s->ring || (!disk_ring_inflight(s->ring) && !s->kept);
}

bool storage_quiet(const struct storage *s)
{
	unsigned inflight = 0;

	for (unsigned n = 0; n < STORAGE_CONTROLLERS_MAX; n++)
		inflight += s->controller[n] ? storvsp_inflight(s->controller[n]->scsi) : 0;
	return storage_idle(s) && !inflight && !s->unsettled;
}

unsigned storage_held(const struct storage *s)
{
	unsigned held = 0;

	for (unsigned n = 0; n < STORAGE_CONTROLLERS_MAX; n++)
		held += s->controller[n] ? storvsp_held(s->controller[n]->scsi) : 0;
	return held;
}

int storage_sync(const struct storage *s, struct failure *f)
{
	int r = 0;

	for (unsigned n = 0; n < STORAGE_CONTROLLERS_MAX; n++) {
		for (unsigned lun = 0; r == 0 && s->controller[n] && lun < CONFIG_LUNS_MAX; lun++) {
			const struct storage_place *p = &s->controller[n]->place[lun];

			if (p->used && p->image)
				r = raw_sync(p->image);
			if (r < 0)
				fail(f, r, "cannot flush the disk %.160s: %s",
				     storage_name(&p->config), strerror(-r));
		}
	}
	return r;
}

void storage_unlock(struct storage *s)
{
	for (unsigned n = 0; n < STORAGE_CONTROLLERS_MAX; n++) {
		for (unsigned lun = 0; s->controller[n] && lun < CONFIG_LUNS_MAX; lun++) {
			if (s->controller[n]->place[lun].image)
				raw_unlock(s->controller[n]->place[lun].image);
		}
	}
	s->unlocked = true;
}

static int lock_all(struct storage *s, struct failure *f)
{
	for (unsigned n = 0; n < STORAGE_CONTROLLERS_MAX; n++) {
		for (unsigned lun = 0; s->controller[n] && lun < CONFIG_LUNS_MAX; lun++) {
			const struct storage_place *p = &s->controller[n]->place[lun];
			int r = p->image ? raw_lock(p->image) : 0;

			if (r < 0)
				return tell(&p->config, r,
					    r == -EBUSY ? RAW_REASON_LOCKED : RAW_REASON_SYSTEM, f);
		}
	}
	return 0;
}

int storage_lock(struct storage *s, struct failure *f)
{
	int r = s->unlocked ? lock_all(s, f) : 0;

	if (r < 0)
		storage_unlock(s);
	else
		s->unlocked = false;
	return r;
}

void storage_drain(struct storage *s)
{
	struct pollfd p;

	if (!s->ring)
		return;
	disk_ring_let_go(s->ring); /* the loop may have ended while it held it */
	p = (struct pollfd){.fd = disk_ring_fd(s->ring), .events = POLLIN};
	while (!storage_idle(s)) {
		if (poll(&p, 1, -1) > 0)
			disk_ring_reap(s->ring);
	}
}

void storage_done(struct storage *s)
{
	for (unsigned n = 0; n < STORAGE_CONTROLLERS_MAX; n++) {
		struct storage_controller *c = s->controller[n];

		if (!c)
			continue;
		storvsp_free(c->scsi);
		for (unsigned lun = 0; lun < CONFIG_LUNS_MAX; lun++) {
			raw_close(c->place[lun].image);
			config_disk_done(&c->place[lun].config);
		}
		free(c);
	}
	if (s->watched)
		timerq_disarm(&s->look);
	if (s->ring)
		loop_on_wake(s->loop, NULL, NULL);
	loop_remove(&s->source);
	disk_ring_free(s->ring);
	*s = (struct storage){.source.fd = -1};
}

/* ---- counters ---- */

static json_t *place_statistics(const struct storage_controller *c, unsigned n, unsigned lun)
{
	const struct storvsp_stats *s = storvsp_unit_stats(c->scsi, 0, lun);
	const struct storage_place *p = &c->place[lun];

	return json_pack(
		"{s:o, s:i, s:i, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "path",
		p->config.path ? json_string(p->config.path) : json_null(), "controller", (int)n,
		"lun", (int)lun, "type", p->config.dvd ? "dvd" : "disk", "leaving", p->leaving,
		"reads", (json_int_t)s->reads, "read_bytes", (json_int_t)s->read_bytes, "writes",
		(json_int_t)s->writes, "written_bytes", (json_int_t)s->written_bytes, "flushes",
		(json_int_t)s->flushes, "discards", (json_int_t)s->discards, "discarded_bytes",
		(json_int_t)s->discarded_bytes, "errors", (json_int_t)s->errors);
}

json_t *storage_statistics(const struct storage *s)
{
	json_t *list = json_array();

	for (unsigned n = 0; n < STORAGE_CONTROLLERS_MAX; n++)
		for (unsigned lun = 0; s->controller[n] && lun < CONFIG_LUNS_MAX; lun++)
			if (s->controller[n]->place[lun].used)
				json_array_append_new(list,
						      place_statistics(s->controller[n], n, lun));
	return list;
}
