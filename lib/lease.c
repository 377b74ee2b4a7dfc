/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/guid.h"
#include "base/util.h"
#include "lib/store.h"

#define LOCK_STEP_MS 10
#define SUMMED_BYTES offsetof(struct lease_slot, sum)
#define TIME_TEXT_MAX 64u
#define TIME_MAX_S UINT64_C(253402300800) /* the year 10000 */
#define S_PER_DAY 86400u
#define REMOVE_IT "remove the file"

static const struct guid nobody;

static bool all_zero(const uint8_t *bytes, size_t len)
{
	while (len && !bytes[len - 1])
		len--;
	return len == 0;
}

/* ---- sentences ---- */

/* UTC. The library's functions for it read files of time zones first, which a sandbox forbids. */
static void format_time(uint64_t s, char text[TIME_TEXT_MAX])
{
	unsigned in_day = (unsigned)(s % S_PER_DAY), days, era, of_era, year, of_year, month, day;

	if (!s || s >= TIME_MAX_S) {
		snprintf(text, TIME_TEXT_MAX, "an unknown time");
		return;
	}
	/* From March on, the day that is put in comes last; eras of 400 years are alike. */
	days = (unsigned)(s / S_PER_DAY) + 719468;
	era = days / 146097;
	of_era = days % 146097;
	year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	of_year = of_era - (365 * year + year / 4 - year / 100);
	month = (5 * of_year + 2) / 153;
	day = of_year - (153 * month + 2) / 5 + 1;
	month = month < 10 ? month + 3 : month - 9;
	year += era * 400 + (month <= 2);
	snprintf(text, TIME_TEXT_MAX, "%04u-%02u-%02u %02u:%02u:%02u UTC", year, month, day,
		 in_day / 3600, in_day / 60 % 60, in_day % 60);
}

static int tell_held(const struct lease_file *l, const struct lease *now, const struct guid *me,
		     uint64_t expected, struct failure *f)
{
	char since[TIME_TEXT_MAX], owner[GUID_TEXT_LEN];

	format_time(now->since_s, since);
	guid_format(&now->owner, owner);
	if (!guid_equal(&now->owner, me))
		return fail(
			f, -ESTALE,
			"the host %s holds its lease since %s (%s); stop the VM there, or, once "
			"that host is certainly off, " REMOVE_IT,
			owner, since, l->name);
	return fail(f, -ESTALE,
		    "this host holds its lease since %s with the epoch %llu, not %llu (%s): the VM "
		    "was started anew meanwhile",
		    since, (unsigned long long)now->epoch, (unsigned long long)expected, l->name);
}

int lease_tell(const struct lease_file *l, const struct lease *now, const struct guid *me,
	       uint64_t expected, struct failure *f)
{
	char since[TIME_TEXT_MAX], owner[GUID_TEXT_LEN], target[GUID_TEXT_LEN];

	if (now->state == LEASE_HELD)
		return tell_held(l, now, me, expected, f);
	format_time(now->since_s, since);
	if (now->state == LEASE_FREE)
		return fail(f, -ESTALE,
			    "nobody holds its lease since %s (%s, epoch %llu): the VM may be "
			    "started anew",
			    since, l->name, (unsigned long long)now->epoch);
	guid_format(&now->owner, owner);
	guid_format(&now->target, target);
	return fail(f, -ESTALE,
		    "the host %s has offered its lease to the host %s since %s (%s); look for the "
		    "VM on both, or, once it certainly runs on neither, " REMOVE_IT,
		    owner, target, since, l->name);
}

bool lease_is_others(const struct lease *lease, const struct guid *me)
{
	return lease->state == LEASE_OFFERED ||
	       (lease->state == LEASE_HELD && !guid_equal(&lease->owner, me));
}

/* ---- bytes ---- */

void lease_encode(const struct lease_file *l, const struct lease *lease,
		  struct lease_slot *ret_slot)
{
	*ret_slot = (struct lease_slot){
		.magic = LEASE_MAGIC,
		.version = LEASE_VERSION,
		.state = lease->state,
		.epoch = lease->epoch,
		.vm = l->vm,
		.owner = lease->owner,
		.target = lease->target,
		.since_s = lease->since_s,
	};
	ret_slot->sum = crc32c(0, ret_slot, SUMMED_BYTES);
}

/* Whether what is held and offered has a host, and nothing else has one. */
static bool makes_sense(const struct lease_slot *s, unsigned place)
{
	bool owned = !guid_equal(&s->owner, &nobody), offered = !guid_equal(&s->target, &nobody);

	return s->state < LEASE_STATES && s->epoch <= LEASE_EPOCH_MAX &&
	       s->epoch % LEASE_SLOTS == place && (s->epoch > 0 || s->state == LEASE_FREE) &&
	       owned == (s->state != LEASE_FREE) && offered == (s->state == LEASE_OFFERED) &&
	       !(offered && guid_equal(&s->owner, &s->target)) &&
	       all_zero(s->zero, sizeof(s->zero));
}

/* 1; 0: it is damaged, or was never written; -errno: it was written as it is, and not for us. */
static int decode_slot(const struct lease_file *l, const struct lease_slot *s, unsigned place,
		       struct lease *ret_lease, struct failure *f)
{
	char vm[GUID_TEXT_LEN];

	if (memcmp(s->magic, LEASE_MAGIC, sizeof(s->magic)) != 0 ||
	    s->sum != crc32c(0, s, SUMMED_BYTES))
		return 0;
	if (s->version != LEASE_VERSION)
		return fail(f, -EPROTONOSUPPORT,
			    "its lease is of version %u, and this program knows version %u (%s); "
			    "update it",
			    s->version, LEASE_VERSION, l->name);
	guid_format(&s->vm, vm);
	if (!guid_equal(&s->vm, &l->vm))
		return fail(f, -EBADMSG,
			    "its lease is that of the VM %s (%s); if the folder is a copy of that "
			    "VM's, " REMOVE_IT,
			    vm, l->name);
	if (!makes_sense(s, place))
		return fail(
			f, -EBADMSG,
			"its lease contradicts itself (%s); once no host runs the VM, " REMOVE_IT,
			l->name);
	*ret_lease = (struct lease){.state = (enum lease_state)s->state,
				    .epoch = s->epoch,
				    .owner = s->owner,
				    .target = s->target,
				    .since_s = s->since_s};
	return 1;
}

/* A slot whose first writing was torn, or nothing. */
static bool is_begun(const uint8_t *bytes, size_t len)
{
	size_t head = len < 8 ? len : 8;

	return memcmp(bytes, LEASE_MAGIC, head) == 0 || all_zero(bytes, len);
}

/* Slot 1 is written after slot 0 is on the disk, so without it nobody ever had the lease. */
static int decode_first(const struct lease_file *l, const struct lease_slot *s,
			const uint8_t *bytes, size_t len, struct lease *ret_lease,
			struct failure *f)
{
	struct lease found = {.state = LEASE_FREE};
	int r = decode_slot(l, s, 0, &found, f);

	if (r < 0)
		return r;
	if (found.epoch > 0 || (r == 0 && !is_begun(bytes, len)))
		return fail(
			f, -EBADMSG,
			"its lease is cut short, or no lease (%s); once no host runs the VM, " REMOVE_IT,
			l->name);
	*ret_lease = found;
	return 0;
}

int lease_decode(const struct lease_file *l, const uint8_t *bytes, size_t len,
		 struct lease *ret_lease, struct failure *f)
{
	struct lease_slot slot[LEASE_SLOTS] = {0};
	struct lease found[LEASE_SLOTS] = {0};
	int good[LEASE_SLOTS];

	memcpy(slot, bytes, len < sizeof(slot) ? len : sizeof(slot));
	if (len <= LEASE_SLOT_BYTES)
		return decode_first(l, &slot[0], bytes, len, ret_lease, f);
	for (unsigned i = 0; i < LEASE_SLOTS; i++) {
		good[i] = decode_slot(l, &slot[i], i, &found[i], f);
		if (good[i] < 0)
			return good[i];
	}
	if (!good[0] && !good[1])
		return fail(f, -EBADMSG,
			    "its lease is damaged (%s): neither slot can be read; once no host "
			    "runs the VM, " REMOVE_IT,
			    l->name);
	*ret_lease = found[good[1] && (!good[0] || found[1].epoch > found[0].epoch)];
	return 0;
}

/* ---- the file ---- */

int lease_open(struct lease_file *l, bool create, struct failure *f)
{
	const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
	int fd = open(l->name, flags), r = 0;
	struct stat st;

	if (fd < 0 && errno == ENOENT && create) {
		fd = open(l->name, flags | O_CREAT, 0600);
		r = fd < 0 ? 0 : store_flush_parent(l->name);
	}
	if (fd < 0)
		return fail(f, -errno, "cannot open its lease %s: %s", l->name, strerror(errno));
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r < 0)
		fail(f, r, "cannot make its lease %s: %s", l->name, strerror(-r));
	else if (!S_ISREG(st.st_mode))
		r = fail(f, -EINVAL, "its lease %s is not a regular file", l->name);
	if (r < 0) {
		close(fd);
		return r;
	}
	l->fd = fd;
	l->unsure = false;
	return 0;
}

void lease_close(struct lease_file *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

static int lock(const struct lease_file *l, struct failure *f)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	unsigned left_ms = l->wait_ms ? l->wait_ms : LEASE_WAIT_MS;

	while (fcntl(l->fd, F_OFD_SETLK, &all) < 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return fail(f, -errno, "cannot lock its lease %s: %s", l->name,
				    strerror(errno));
		if (left_ms < LOCK_STEP_MS)
			return fail(f, -EBUSY,
				    "its lease %s stays locked: another program has it, on this "
				    "host or on one with the same volume; try again",
				    l->name);
		left_ms -= LOCK_STEP_MS;
		(void)poll(NULL, 0, LOCK_STEP_MS);
	}
	return 0;
}

static void unlock(const struct lease_file *l)
{
	struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	(void)fcntl(l->fd, F_OFD_SETLK, &all);
}

static int write_slot(struct lease_file *l, const struct lease *lease, struct failure *f)
{
	off_t at = (off_t)(lease->epoch % LEASE_SLOTS * LEASE_SLOT_BYTES);
	struct lease_slot slot;
	int error = 0;

	lease_encode(l, lease, &slot);
	for (size_t done = 0; !error && done < sizeof(slot);) {
		ssize_t n = pwrite(l->fd, (uint8_t *)&slot + done, sizeof(slot) - done,
				   at + (off_t)done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			error = n == 0 ? EIO : errno;
	}
	if (!error && fdatasync(l->fd) < 0)
		error = errno;
	l->unsure = error != 0;
	return error ? fail(f, -EIO,
			    "cannot write its lease %s: %s; whether the disk has it is not known "
			    "until it takes it",
			    l->name, strerror(error))
		     : 0;
}

/* With the lock. ret_first: slot 1 was never written. */
static int load(struct lease_file *l, struct lease *ret_lease, bool *ret_first, struct failure *f)
{
	uint8_t bytes[LEASE_FILE_BYTES];
	size_t len = 0;
	ssize_t n;
	int r;

	do {
		n = pread(l->fd, bytes + len, sizeof(bytes) - len, (off_t)len);
		len += n > 0 ? (size_t)n : 0;
	} while ((n > 0 && len < sizeof(bytes)) || (n < 0 && errno == EINTR));
	if (n < 0)
		return fail(f, -errno, "cannot read its lease %s: %s", l->name, strerror(errno));
	r = lease_decode(l, bytes, len, ret_lease, f);
	if (r == 0 && l->unsure)
		r = write_slot(l, ret_lease, f);
	*ret_first = len <= LEASE_SLOT_BYTES;
	return r;
}

int lease_read(struct lease_file *l, struct lease *ret_lease, struct failure *f)
{
	struct lease now;
	bool first;
	int r = lock(l, f);

	if (r < 0)
		return r;
	r = load(l, &now, &first, f);
	unlock(l);
	if (r == 0)
		*ret_lease = now;
	return r;
}

/* ---- exchanges ---- */

enum verb { TAKE, OFFER, GIVE, TAKE_BACK, GIVE_FREE, FORCE, HOLDS };

struct wish {
	enum verb verb;
	const struct guid *me;
	uint64_t epoch; /* that is expected */
	struct guid target;
};

static bool is_allowed(const struct lease *now, const struct wish *w)
{
	bool mine = guid_equal(&now->owner, w->me), exact = now->epoch == w->epoch;

	switch (w->verb) {
	case TAKE:
		if (now->state == LEASE_OFFERED)
			return exact && guid_equal(&now->target, w->me);
		return (exact || w->epoch == LEASE_ANY) && (now->state == LEASE_FREE || mine);
	case TAKE_BACK:
		return now->state == LEASE_OFFERED && mine && exact;
	case OFFER:
	case GIVE:
	case GIVE_FREE:
	case HOLDS:
		return now->state == LEASE_HELD && mine && exact;
	case FORCE:
		return exact || w->epoch == LEASE_ANY;
	}
	return false;
}

static struct lease next_lease(const struct lease *now, const struct wish *w)
{
	struct lease next = {.state = LEASE_HELD, .epoch = now->epoch + 1, .owner = *w->me};
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	next.since_s = t.tv_sec > 0 ? (uint64_t)t.tv_sec : 0;
	if (w->verb == OFFER) {
		next.state = LEASE_OFFERED;
		next.target = w->target;
	} else if (w->verb == GIVE) {
		next.owner = w->target;
	} else if (w->verb == GIVE_FREE) {
		next.state = LEASE_FREE;
		next.owner = nobody;
	}
	return next;
}

/* With the lock. */
static int exchange(struct lease_file *l, const struct wish *w, uint64_t *ret_epoch,
		    struct failure *f)
{
	struct lease now, next;
	bool first;
	int r = load(l, &now, &first, f);

	if (r < 0)
		return r;
	if (!is_allowed(&now, w))
		return lease_tell(l, &now, w->me, w->epoch, f);
	if (w->verb == HOLDS)
		return 0;
	if (now.epoch == LEASE_EPOCH_MAX)
		return fail(f, -EOVERFLOW, "its lease %s has no epoch left; " REMOVE_IT, l->name);
	next = next_lease(&now, w);
	if (first) /* or slot 1, torn, would be all that there is */
		r = write_slot(l, &now, f);
	if (r == 0)
		r = write_slot(l, &next, f);
	if (r == 0)
		*ret_epoch = next.epoch;
	return r;
}

static int wish_for(struct lease_file *l, const struct wish *w, uint64_t *ret_epoch,
		    struct failure *f)
{
	bool goes = w->verb == OFFER || w->verb == GIVE;
	int r;

	if (guid_equal(w->me, &nobody) ||
	    (goes && (guid_equal(&w->target, &nobody) || guid_equal(&w->target, w->me))))
		return fail(f, -EINVAL,
			    "its lease %s goes from one host to another, each with a UUID",
			    l->name);
	r = lock(l, f);
	if (r < 0)
		return r;
	r = exchange(l, w, ret_epoch, f);
	unlock(l);
	return r;
}

int lease_take(struct lease_file *l, const struct guid *me, uint64_t expected, uint64_t *ret_epoch,
	       struct failure *f)
{
	const struct wish w = {.verb = TAKE, .me = me, .epoch = expected};

	return wish_for(l, &w, ret_epoch, f);
}

int lease_offer(struct lease_file *l, const struct guid *me, uint64_t epoch,
		const struct guid *target, uint64_t *ret_epoch, struct failure *f)
{
	const struct wish w = {.verb = OFFER, .me = me, .epoch = epoch, .target = *target};

	return wish_for(l, &w, ret_epoch, f);
}

int lease_give(struct lease_file *l, const struct guid *me, uint64_t epoch,
	       const struct guid *target, uint64_t *ret_epoch, struct failure *f)
{
	const struct wish w = {.verb = GIVE, .me = me, .epoch = epoch, .target = *target};

	return wish_for(l, &w, ret_epoch, f);
}

int lease_take_back(struct lease_file *l, const struct guid *me, uint64_t epoch,
		    uint64_t *ret_epoch, struct failure *f)
{
	const struct wish w = {.verb = TAKE_BACK, .me = me, .epoch = epoch};

	return wish_for(l, &w, ret_epoch, f);
}

int lease_free(struct lease_file *l, const struct guid *me, uint64_t epoch, struct failure *f)
{
	const struct wish w = {.verb = GIVE_FREE, .me = me, .epoch = epoch};
	uint64_t next;

	return wish_for(l, &w, &next, f);
}

int lease_force(struct lease_file *l, const struct guid *me, uint64_t expected, uint64_t *ret_epoch,
		struct failure *f)
{
	const struct wish w = {.verb = FORCE, .me = me, .epoch = expected};

	return wish_for(l, &w, ret_epoch, f);
}

int lease_holds(struct lease_file *l, const struct guid *me, uint64_t epoch, struct failure *f)
{
	const struct wish w = {.verb = HOLDS, .me = me, .epoch = epoch};
	uint64_t next;

	return wish_for(l, &w, &next, f);
}
