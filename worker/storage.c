/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/storage.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/bytes.h"

#define RING_ENTRIES 256u

/* The VM's first controller; a second one differs in its last byte. */
static const struct guid controller_instance =
	GUID_INIT(0xf0ac1c8e, 0x5b6e, 0x4f3a, 0x9d27, 0x0a5c00000001);

static void on_completions(void *owner, uint32_t events)
{
	struct storage *s = owner;

	(void)events;
	disk_ring_reap(s->ring);
}

static int open_ring(struct storage *s, struct loop *loop, struct failure *f)
{
	int r = disk_ring_new(RING_ENTRIES, &s->ring);

	if (r == -ENOSYS || r == -EPERM)
		return fail(
			f, r,
			"cannot do disk I/O: this host does not permit io_uring; set the sysctl "
			"kernel.io_uring_disabled to 0");
	if (r < 0)
		return fail(f, r, "cannot set up disk I/O: %s", strerror(-r));
	r = loop_add(loop, &s->source, disk_ring_fd(s->ring), EPOLLIN, on_completions, s);
	return r < 0 ? fail(f, r, "cannot set up disk I/O: %s", strerror(-r)) : 0;
}

static int tell(const char *path, int r, enum raw_reason reason, struct failure *f)
{
	switch (reason) {
	case RAW_REASON_TYPE:
		return fail(f, r, "the disk %s is neither a file nor a block device", path);
	case RAW_REASON_SIZE:
		return fail(f, r,
			    "the disk %s is empty or its size is no multiple of 512 bytes; is it "
			    "a raw image, and whole?",
			    path);
	case RAW_REASON_SECTOR:
		return fail(f, r, "the disk %s has a sector size other than 512 or 4096 bytes",
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

/* Stable for as long as the VM keeps its identity and the disk its place. */
static void identify(const struct config *config, unsigned n, struct scsi_identity *identity)
{
	memset(identity, 0, sizeof(*identity));
	snprintf(identity->vendor, sizeof(identity->vendor), "Msft");
	snprintf(identity->product, sizeof(identity->product), "Virtual Disk");
	snprintf(identity->revision, sizeof(identity->revision), "1.0");
	snprintf(identity->serial, sizeof(identity->serial), "%08x%04x%04x",
		 le32_load(config->uuid.b), le16_load(config->uuid.b + 4), n);
}

static int open_disk(struct storage *s, const struct config *config, unsigned n, struct failure *f)
{
	const struct config_disk *d = &config->disk[n];
	struct raw_options options = {.read_only = d->read_only, .direct = d->direct};
	enum raw_reason reason = RAW_REASON_SYSTEM;
	struct scsi_identity identity;
	int r = raw_open(s->ring, d->path, &options, &s->disk[n], &reason);

	if (r < 0)
		return tell(d->path, r, reason, f);
	s->count = n + 1;
	identify(config, n, &identity);
	r = storvsp_attach(s->controller, 0, n, raw_blockdev(s->disk[n]), &identity);
	return r < 0 ? fail(f, r, "cannot attach the disk %s: %s", d->path, strerror(-r)) : 0;
}

int storage_init(struct storage *s, const struct config *config, struct vmbus *bus,
		 struct loop *loop, struct failure *f)
{
	struct storvsp_config controller = {
		.instance = controller_instance,
		.sub_channels_max = config->scsi_queues - 1,
	};
	int r;

	*s = (struct storage){.source.fd = -1};
	if (!config->disk_count)
		return 0;
	r = open_ring(s, loop, f);
	if (r < 0)
		return r;
	s->controller = storvsp_new(bus, &controller);
	if (!s->controller)
		return fail(f, -ENOMEM, "cannot make the disk controller: out of memory");
	for (unsigned n = 0; r == 0 && n < config->disk_count; n++)
		r = open_disk(s, config, n, f);
	return r;
}

void storage_drain(struct storage *s)
{
	struct pollfd p;

	if (!s->ring)
		return;
	p = (struct pollfd){.fd = disk_ring_fd(s->ring), .events = POLLIN};
	while (disk_ring_inflight(s->ring)) {
		if (poll(&p, 1, -1) > 0)
			disk_ring_reap(s->ring);
	}
}

void storage_done(struct storage *s)
{
	storvsp_free(s->controller);
	for (unsigned n = 0; n < s->count; n++)
		raw_close(s->disk[n]);
	loop_remove(&s->source);
	disk_ring_free(s->ring);
	*s = (struct storage){.source.fd = -1};
}
