/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread of a migration: rounds, the promise, the switch (docs/design/live.md).
 *
 * The guest is stopped when what is dirty, and what the switch costs beside it, fits into the time
 * that is allowed. Rounds that promise nothing better slow it down; when that does not help either,
 * a time that somebody has asked for is kept by giving up, and another grows.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "base/util.h"
#include "lib/log.h"
#include "lib/move_message.h"
#include "worker/migrate_talk.h"
#include "worker/vm.h"

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define SHRINKS_PERCENT 80u /* of the round before, or less: it gets somewhere */
#define STUBBORN_ROUNDS 2u  /* before the guest is slowed down; then each one more */
#define CONTENT_ROUNDS 4u   /* that bring nothing more, when nothing else helps */
#define VAIN_NS (20 * NS_PER_S)
#define SLOW_FIRST 50u
#define SLOW_STEP 20u
#define SLOW_MAX 95u /* percent of the time that processors stand still */
#define NAP_NS (5 * 1000 * NS_PER_US)
#define LEASE_AGAIN_MS 1000
#define LOCK_TRIES 500u
#define LOCK_AGAIN_MS 10
#define SLOW_LATE 30u     /* the same, at most, of a guest that may go before its memory */
#define SHARE_PAGES 1024u /* from as many on, all connections send them */
#define ZEROS_BYTES (64u << 10)
#define VAIN_NAP_NS (250 * NS_PER_MS)
#define LOAD_NS (300 * NS_PER_US)        /* at least, from LOADED to the first instruction */
#define LEAST_RATE 1000000u              /* bytes a second, before anything was measured */
#define LITTLE_BYTES (UINT64_C(1) << 20) /* of disks: with so much left the rounds begin */
#define STUBBORN_PASSES 3u               /* that leave nearly as much as they found: too */

static bool cancelled(const struct migration *m)
{
	return __atomic_load_n(&m->cancel, __ATOMIC_RELAXED);
}

static int fail_cancelled(const struct talk *t, struct failure *f)
{
	return fail(f, -ECANCELED, "the VM '%s' was not migrated: cancelled", t->vm->config->name);
}

static int give_up(const struct talk *t)
{
	return fail_cancelled(t, t->f);
}

static void nap(uint64_t ns)
{
	poll(NULL, 0, ns > NS_PER_MS ? (int)(ns / NS_PER_MS) : 1);
}

/* When the limit allows more, if `bytes` have been written. */
static uint64_t paced_until(struct talk *t, uint64_t bytes)
{
	uint64_t limit = t->m->wish.bandwidth, due = 0;

	__atomic_fetch_add(&t->m->progress.sent_bytes, bytes, __ATOMIC_RELAXED);
	SHOW(t->m, pages_left, __atomic_load_n(&t->m->dirty.left, __ATOMIC_RELAXED));
	pthread_mutex_lock(&t->pace_lock);
	t->paced += bytes;
	if (limit)
		due = t->pace_from + (uint64_t)((unsigned __int128)t->paced * NS_PER_S / limit);
	pthread_mutex_unlock(&t->pace_lock);
	return due;
}

/* Bytes have been written: waits until the limit allows the next. Any thread. */
static int pace(void *ctx, uint64_t bytes, struct failure *f)
{
	struct talk *t = ctx;
	uint64_t due = paced_until(t, bytes);

	for (uint64_t now = loop_now_ns(); now < due && !cancelled(t->m); now = loop_now_ns())
		nap(min_u64(due - now, NAP_NS));
	return cancelled(t->m) ? fail_cancelled(t, f) : 0;
}

static uint64_t sent_bytes(const struct talk *t)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < t->lanes; i++)
		sum += t->writer[i].at;
	return sum;
}

static uint64_t spared_bytes(const struct talk *t)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < t->lanes; i++)
		sum += compressor_spared(t->sink[i].compressor);
	return sum;
}

static void show_sent(struct talk *t)
{
	SHOW(t->m, sent_bytes, sent_bytes(t));
	SHOW(t->m, spared_bytes, spared_bytes(t));
}

int talk_count(void *ctx, uint64_t bytes, struct failure *f)
{
	(void)f;
	(void)paced_until(ctx, bytes);
	return 0;
}

void talk_pace_anew(struct talk *t)
{
	t->pace_from = loop_now_ns();
	t->paced = 0;
}

/* The answer that the other side owes. */
static int await(struct talk *t, enum move_kind wanted, struct move_message *ret)
{
	struct failure why = {""};
	int r = move_receive(t->m->links.fd[0], ret, &why);

	if (r < 0)
		return fail(t->f, r, "the VM '%s' was not migrated: %s", t->vm->config->name,
			    why.text);
	if (ret->kind == MOVE_REFUSED)
		return fail(t->f, -EREMOTEIO,
			    "the VM '%s' was not migrated: the other host says: %s",
			    t->vm->config->name, ret->text);
	if (ret->kind != (uint32_t)wanted)
		return fail(t->f, -EBADMSG,
			    "the VM '%s' was not migrated: the other host has answered something "
			    "else than was asked",
			    t->vm->config->name);
	return 0;
}

/* A broken connection is told by what the other side said before it ended. */
static int hear_why(struct talk *t, int r)
{
	struct failure before = *t->f;
	struct move_message m;

	if (r != -EPIPE && r != -ECONNRESET)
		return r;
	while (move_receive(t->m->links.fd[0], &m, t->f) == 0) {
		if (m.kind == MOVE_REFUSED)
			return fail(t->f, -EREMOTEIO,
				    "the VM '%s' was not migrated: the other host says: %s",
				    t->vm->config->name, m.text);
	}
	*t->f = before;
	return r;
}

/* Behind all that was sent, on all connections. */
static int write_marks(struct talk *t)
{
	struct state_record mark = {.type = STATE_MARK, .version = 1, .instance = ++t->mark};
	int r = 0;

	for (unsigned i = t->lanes; r == 0 && i > 0; i--)
		r = state_write(&t->writer[i - 1], &mark, NULL, 0, t->f);
	return r;
}

/* The other side has all that was before the last mark. */
static int await_mark(struct talk *t)
{
	struct move_message m;
	int r = await(t, MOVE_SEEN, &m);

	if (r == 0 && m.value != t->mark)
		r = fail(t->f, -EBADMSG,
			 "the VM '%s' was not migrated: the other host is out of step",
			 t->vm->config->name);
	return r;
}

static int send_mark(struct talk *t)
{
	int r = write_marks(t);

	return r < 0 ? r : await_mark(t);
}

/* Those that were seen last. */
static int send_dirty(struct talk *t, bool fresh)
{
	return dirty_send(&t->m->dirty, t->sink, t->left < SHARE_PAGES ? 1 : t->lanes, fresh, t->f);
}

static int send_pieces(struct talk *t, unsigned first, unsigned end)
{
	const struct state_image *image = &t->m->image;
	int r = 0;

	for (unsigned i = first; r == 0 && i < end; i++) {
		struct iovec body = {.iov_base = image->piece[i].body,
				     .iov_len = image->piece[i].record.len};

		r = state_write(&t->writer[0], &image->piece[i].record, &body, 1, t->f);
	}
	return r;
}

static int look(struct talk *t)
{
	uint64_t before = t->left, since = t->looked_ns;
	int r = dirty_look(&t->m->dirty, &t->left);

	if (r < 0)
		return fail(t->f, r, "the VM '%s' was not migrated: its log of pages failed: %s",
			    t->vm->config->name, strerror(-r));
	t->looked_ns = loop_now_ns();
	/* The first time all are marked. */
	if (since && before && t->looked_ns > since)
		SHOW(t->m, dirty_rate,
		     (uint64_t)((unsigned __int128)t->left * NS_PER_S / (t->looked_ns - since)));
	return 0;
}

/* All that is dirty now, and the time that it took until the other side had it. */
static int send_round(struct talk *t, uint32_t number)
{
	uint64_t from = loop_now_ns(), before = sent_bytes(t), spared = spared_bytes(t);
	uint64_t took, bytes;
	int r;

	SHOW(t->m, round, number);
	talk_pace_anew(t);
	r = luggage_send(&t->m->luggage, &t->sink[0], false, t->f);
	if (r == 0)
		r = send_dirty(t, number == 1);
	if (r == 0)
		r = send_mark(t);
	bytes = sent_bytes(t) - before;
	took = loop_now_ns() - from;
	/* What is short says little of the link. */
	if (r == 0 && took && (bytes >= 1u << 20 || !SHOWN(t->m, rate)))
		SHOW(t->m, rate, (uint64_t)((unsigned __int128)bytes * NS_PER_S / took));
	/* The first has memory of all kinds; what the guest writes is that of the others. */
	if (number > 1 && bytes >= 1u << 20) {
		t->link_bytes = bytes;
		t->memory_bytes = bytes + spared_bytes(t) - spared;
	}
	show_sent(t);
	return r;
}

/* ---- the promise ---- */

static uint64_t image_bytes(const struct state_image *image)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < image->count; i++)
		bytes += STATE_RECORD_BYTES + image->piece[i].record.len;
	return bytes;
}

/* What the switch will cost beside memory: how long it takes to stop the guest and make the
 * records, and to bring as many bytes to the other side and hear of it, twice. */
static int rehearse_once(struct talk *t, uint64_t *ret_ns)
{
	static uint8_t zeros[ZEROS_BYTES];
	struct iovec pieces[STATE_PIECES_MAX - 2];
	struct state_record record = {.type = STATE_REHEARSAL, .version = 1};
	uint64_t from = loop_now_ns(), stopped, sent;
	struct move_message m;
	unsigned count = 0;
	int r = migrate_ask(t->vm, MIGRATE_ASK_REHEARSAL, t->f);

	if (r < 0)
		return r;
	stopped = loop_now_ns() - from;
	if (t->m->image.count)
		t->image_bytes = image_bytes(&t->m->image);
	state_image_done(&t->m->image);
	while (record.len < t->image_bytes && count < ARRAY_LEN(pieces)) {
		uint64_t n = min_u64(t->image_bytes - record.len, sizeof(zeros));

		pieces[count++] = (struct iovec){.iov_base = zeros, .iov_len = n};
		record.len += n;
	}
	from = loop_now_ns();
	r = state_write(&t->writer[0], &record, pieces, count, t->f);
	if (r == 0)
		r = await(t, MOVE_SEEN, &m);
	sent = loop_now_ns() - from;
	*ret_ns = stopped + 2 * sent + LOAD_NS;
	return r;
}

/* The middle one of three, since another program may have been in the way of one. */
static int rehearse(struct talk *t)
{
	uint64_t ns[3] = {0}, low, high;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < ARRAY_LEN(ns); i++)
		r = rehearse_once(t, &ns[i]);
	low = min_u64(ns[0], ns[1]);
	high = ns[0] + ns[1] - low;
	t->fixed_ns = ns[2] < low ? low : min_u64(ns[2], high);
	return r;
}

static uint64_t promise_ns(const struct talk *t)
{
	uint64_t rate = SHOWN(t->m, rate);
	uint64_t bytes = t->left * GMEM_PAGE + luggage_left(&t->m->luggage);

	if (compressor_on(t->sink[0].compressor) && t->link_bytes)
		bytes = (uint64_t)((unsigned __int128)bytes * t->link_bytes / t->memory_bytes);
	if (t->m->wish.bandwidth && rate > t->m->wish.bandwidth)
		rate = t->m->wish.bandwidth;
	if (rate < LEAST_RATE)
		rate = LEAST_RATE;
	/* A guest that is slowed down may have stood still just before. */
	return (uint64_t)((unsigned __int128)bytes * NS_PER_S / rate) + t->fixed_ns +
	       MIGRATE_SLOW_NS * SHOWN(t->m, slowed) / 100;
}

static int in_vain(const struct talk *t, uint64_t promise)
{
	return fail(t->f, -ETIMEDOUT,
		    "the VM '%s' was not migrated: it would stand still for %" PRIu64
		    " ms, of which the switch itself takes %" PRIu64 ", and %" PRIu64
		    " are allowed; allow more, or move it when it writes less",
		    t->vm->config->name, promise / NS_PER_MS, t->fixed_ns / NS_PER_MS,
		    t->m->wish.downtime_us * NS_PER_US / NS_PER_MS);
}

/* It gets no better than this promise: what nobody has asked for grows, what somebody has is not
 * broken. 0, or -errno. */
static int be_content(struct talk *t, uint64_t promise)
{
	struct migrate_wish *wish = &t->m->wish;

	if (wish->strict) {
		/* Each round stops the guest, if shortly. */
		nap(VAIN_NAP_NS);
		return loop_now_ns() - t->least_at_ns < VAIN_NS ? 0 : in_vain(t, promise);
	}
	wish->downtime_us = min_u64(wish->downtime_us * 2, MIGRATE_DOWNTIME_MAX_US);
	t->stubborn = 0;
	return 0;
}

/* Slows the guest down by as much as is due. 1: its memory is to come later instead. */
static int slow_down(struct talk *t)
{
	uint64_t slowed = SHOWN(t->m, slowed), most = t->may_late ? SLOW_LATE : SLOW_MAX;

	if (slowed >= most)
		return t->may_late;
	SHOW(t->m, slowed, min_u64(slowed ? slowed + SLOW_STEP : SLOW_FIRST, most));
	loop_wake(t->vm->loop);
	return 0;
}

/* 1: it is time to stop the guest; 0: another round, and perhaps the guest is slowed down; -errno.
 */
static int decide(struct talk *t)
{
	struct migration *m = t->m;
	uint64_t promise = promise_ns(t), allowed = m->wish.downtime_us * NS_PER_US;
	uint64_t slowed = SHOWN(m, slowed);

	SHOW(m, promised_us, promise / NS_PER_US);
	if (promise <= allowed)
		return 1;
	if (!t->least_ns || promise * 100 < t->least_ns * SHRINKS_PERCENT) {
		t->least_ns = promise;
		t->least_at_ns = loop_now_ns();
		t->stubborn = 0;
		return 0;
	}
	/* What the switch costs beside memory does not shrink when the guest is slowed down. */
	if (++t->stubborn >= CONTENT_ROUNDS && (slowed >= SLOW_MAX || t->fixed_ns >= allowed))
		return be_content(t, promise);
	if (t->stubborn < (slowed ? 1 : STUBBORN_ROUNDS) || t->fixed_ns >= allowed)
		return 0;
	t->late = slow_down(t);
	return t->late;
}

static int rounds(struct talk *t)
{
	int r = look(t);

	t->looked_ns = 0;
	for (uint32_t number = 1; r == 0; number++) {
		r = send_round(t, number);
		if (r == 0)
			r = rehearse(t);
		if (r == 0)
			r = look(t);
		if (r == 0 && cancelled(t->m))
			r = give_up(t);
		if (r == 0)
			r = decide(t);
	}
	return r < 0 ? r : 0;
}

/* ---- the switch ---- */

/* Which pages are dirty now and come later, so that the other side has dropped them by the time the
 * guest stands still. */
static int tell_later(struct talk *t)
{
	int r = dirty_tell_later(&t->m->dirty, &t->writer[0], t->f);

	SHOW(t->m, late, MIGRATE_LATE_CHOSEN);
	SHOW(t->m, promised_us, t->fixed_ns / NS_PER_US);
	return r < 0 ? r : send_mark(t);
}

/* The memory that must be there before the VM runs; all of it, or what is not RAM. */
static int send_last_memory(struct talk *t)
{
	int r = look(t);

	talk_pace_anew(t);
	for (unsigned i = 0; !t->m->wish.quick && i < t->lanes; i++)
		compressor_steady(t->sink[i].compressor);
	if (r == 0 && t->late)
		r = dirty_tell_later(&t->m->dirty, &t->writer[0], t->f);
	if (r == 0)
		r = luggage_send(&t->m->luggage, &t->sink[0], false, t->f);
	if (r == 0)
		r = send_dirty(t, t->m->wish.quick);
	if (r == 0 && t->lanes > 1)
		r = write_marks(t);
	for (unsigned i = 1; r == 0 && !t->late && i < t->lanes; i++)
		r = state_write_end(&t->writer[i], t->f);
	return r;
}

/* The guest stands still. 0: the other side has all, and runs nothing yet. */
static int send_rest(struct talk *t)
{
	struct state_image *image = &t->m->image;
	struct move_message m;
	int r = send_last_memory(t);

	if (r == 0 && t->late)
		r = late_serve(t);
	if (r == 0)
		r = send_pieces(t, 0, image->count);
	if (r == 0)
		r = state_write_end(&t->writer[0], t->f);
	show_sent(t);
	/* What the guest takes for written must be so before somebody else reads it. */
	if (r == 0 && !t->m->wish.storage)
		r = storage_sync(&t->vm->storage, t->f);
	if (r == 0 && t->lanes > 1)
		r = await_mark(t);
	return r < 0 ? r : await(t, MOVE_LOADED, &m);
}

static int hand_over(struct talk *t)
{
	enum move_kind word = t->m->from == VM_PAUSED ? MOVE_STAND : MOVE_RUN;
	struct move_message m;
	int r;

	storage_unlock(&t->vm->storage);
	/* From here on a wish to cancel it is not obeyed before the answer is there. */
	pthread_mutex_lock(&t->m->lock);
	r = cancelled(t->m) ? give_up(t) : 0;
	if (r == 0)
		SHOW(t->m, phase, MIGRATE_WAITS);
	pthread_mutex_unlock(&t->m->lock);
	if (r < 0)
		return r;
	r = move_send(t->m->links.fd[0], word, t->offered ? t->vm->lease_epoch : 0, NULL, t->f);
	if (r == 0)
		r = await(t, MOVE_RUNNING, &m);
	if (r == 0) {
		SHOW(t->m, stopped_us, (loop_now_ns() - t->m->stop_ns) / NS_PER_US);
		return 0;
	}
	/* Who refuses does not run it, and will not; with a lease of its own it may keep it. */
	if (r == -EREMOTEIO && !t->m->wish.storage)
		SHOW(t->m, phase, MIGRATE_SWITCHING);
	return r;
}

/* ---- the lease ---- */

/* While the guest still runs: the other side takes it when it is told to run, and not before. */
static int offer(struct talk *t)
{
	struct vm *vm = t->vm;
	int r = 0;

	if (vm->lease.fd >= 0 && t->m->wish.storage)
		r = lease_give(&vm->lease, &vm->config->host_uuid, vm->lease_epoch,
			       &t->m->wish.target, &vm->lease_epoch, t->f);
	else if (vm->lease.fd >= 0)
		r = lease_offer(&vm->lease, &vm->config->host_uuid, vm->lease_epoch,
				&t->m->wish.target, &vm->lease_epoch, t->f);
	t->offered = r == 0 && vm->lease.fd >= 0;
	return r;
}

/* It failed, and perhaps the other side has the lease already: 0, it has; else `code`, and it is
 * ours again. As long as nobody knows, the guest stands still. */
static int ask_lease(struct talk *t, int code)
{
	struct vm *vm = t->vm;
	struct lease now;
	struct failure why;

	while (!__atomic_load_n(&t->m->abandoned, __ATOMIC_RELAXED)) {
		int r = lease_take_back(&vm->lease, &vm->config->host_uuid, vm->lease_epoch,
					&vm->lease_epoch, &why);

		if (r == 0 && SHOWN(t->m, phase) == MIGRATE_WAITS)
			SHOW(t->m, phase, MIGRATE_SWITCHING);
		if (r == 0)
			return code;
		if (r == -ESTALE && lease_read(&vm->lease, &now, &why) == 0 &&
		    now.epoch > vm->lease_epoch)
			return 0;
		log_line(LOG_LEVEL_WARNING,
			 "the VM '%s' stands still until its lease tells where it runs: %s",
			 vm->config->name, why.text);
		SHOW(t->m, phase, MIGRATE_WAITS);
		poll(NULL, 0, LEASE_AGAIN_MS);
	}
	return code;
}

/* The other side has a lease of its own, and may run the VM: only its host knows. As long as nobody
 * has told, the guest stands still. */
static unsigned await_verdict(struct talk *t)
{
	struct migration *m = t->m;
	unsigned verdict;

	log_line(LOG_LEVEL_WARNING,
		 "the VM '%s' stands still until the other host tells whether it runs there: %s",
		 t->vm->config->name, t->f->text);
	pthread_mutex_lock(&m->lock);
	SHOW(m, phase, MIGRATE_ASKS);
	while (m->verdict == MIGRATE_NOT_KNOWN && !__atomic_load_n(&m->abandoned, __ATOMIC_RELAXED))
		pthread_cond_wait(&m->answered, &m->lock);
	verdict = m->verdict;
	if (verdict == MIGRATE_HERE)
		SHOW(m, phase, MIGRATE_SWITCHING);
	pthread_mutex_unlock(&m->lock);
	return verdict;
}

/* It failed with `code`: 0, the VM runs there all the same; else `code`, and its lease is ours
 * again, if anybody knows. */
static int ask_other(struct talk *t, int code)
{
	struct vm *vm = t->vm;
	struct failure why;
	unsigned verdict = MIGRATE_HERE;

	if (SHOWN(t->m, phase) == MIGRATE_WAITS)
		verdict = await_verdict(t);
	if (verdict != MIGRATE_HERE)
		return verdict == MIGRATE_THERE ? 0 : code;
	while (t->offered && !__atomic_load_n(&t->m->abandoned, __ATOMIC_RELAXED) &&
	       lease_force(&vm->lease, &vm->config->host_uuid, vm->lease_epoch, &vm->lease_epoch,
			   &why) < 0) {
		log_line(LOG_LEVEL_WARNING, "the VM '%s' stands still: %s", vm->config->name,
			 why.text);
		poll(NULL, 0, LEASE_AGAIN_MS);
	}
	return code;
}

/* The VM is ours, and so are its disks, once the other side has let go of them: it may be about to
 * find out. Who keeps them is told of by vm_thaw(). */
static void take_disks(const struct talk *t)
{
	struct failure ignored;

	for (unsigned i = 0; i < LOCK_TRIES && !__atomic_load_n(&t->m->abandoned, __ATOMIC_RELAXED);
	     i++) {
		if (storage_lock(&t->vm->storage, &ignored) == 0)
			return;
		poll(NULL, 0, LOCK_AGAIN_MS);
	}
}

int talk_open_lane(struct talk *t, unsigned number, struct failure *f)
{
	struct state_lane lane = {.vm = t->vm->config->uuid, .number = number, .count = t->lanes};
	struct state_writer *w = &t->writer[number];
	int r = state_write_begin(w, t->m->links.fd[number], "the other host", t->features, f);

	return r < 0 ? r : state_write_lane(w, &lane, f);
}

/* What the other side can do is used, as far as we were given it. */
static int agree(struct talk *t, uint64_t version)
{
	if (!version)
		return fail(t->f, -EPROTO,
			    "the VM '%s' was not migrated: the other host has an older Oya",
			    t->vm->config->name);
	if (t->m->wish.storage && version < MOVE_VERSION_DISKS)
		return fail(t->f, -EPROTO,
			    "the VM '%s' was not migrated: the other host has an older Oya, which "
			    "takes no disks along",
			    t->vm->config->name);
	t->lanes = version > 1 ? t->m->links.count : 1;
	t->features = STATE_LIVE | (t->m->wish.storage ? STATE_DISKS : 0);
	if (t->lanes > 1)
		t->features |= STATE_LANES | (t->m->wish.late ? STATE_LATE : 0);
	SHOW(t->m, channels, t->lanes);
	return 0;
}

static int begin(struct talk *t)
{
	struct move_message m;
	int r = await(t, MOVE_HELLO, &m);

	if (r == 0)
		r = agree(t, m.value);
	if (r == 0)
		r = state_write_begin(&t->writer[0], t->m->links.fd[0], "the other host",
				      t->features, t->f);
	if (r == 0)
		r = send_pieces(t, 0, 1);
	if (r == 0)
		r = await(t, MOVE_READY, &m);
	state_image_done(&t->m->image);
	for (unsigned i = 1; r == 0 && i < t->lanes; i++)
		r = talk_open_lane(t, i, t->f);
	if (r < 0)
		return r;
	/* Without memory for it pages go as they are. */
	for (unsigned i = 0; t->m->wish.compress && m.value & MOVE_READY_COMPRESSED && i < t->lanes;
	     i++)
		t->sink[i].compressor = compressor_new();
	t->may_late = t->features & STATE_LATE && m.value & MOVE_READY_LATE;
	if (t->m->wish.late && !t->may_late) {
		SHOW(t->m, late, MIGRATE_LATE_IMPOSSIBLE);
		log_line(LOG_LEVEL_WARNING,
			 "the VM '%s' is migrated without post-copy: the other host cannot take "
			 "memory while it runs",
			 t->vm->config->name);
	}
	return 0;
}

/* The disks, as far as that can be before the rounds: until little is left, or it does not become
 * less. */
static int send_disks(struct talk *t)
{
	struct luggage *l = &t->m->luggage;
	uint64_t before = UINT64_MAX / 100, left;
	unsigned stubborn = 0;
	bool fresh = true;
	int r = 0;

	SHOW(t->m, phase, MIGRATE_DISKS);
	luggage_look(l);
	do {
		talk_pace_anew(t);
		r = luggage_send(l, &t->sink[0], fresh, t->f);
		if (r == 0)
			r = send_mark(t);
		if (r == 0 && cancelled(t->m))
			r = give_up(t);
		fresh = false;
		left = luggage_left(l);
		stubborn = left * 100 < before * SHRINKS_PERCENT ? 0 : stubborn + 1;
		before = left;
	} while (r == 0 && left > LITTLE_BYTES && stubborn < STUBBORN_PASSES);
	SHOW(t->m, phase, MIGRATE_ROUNDS);
	return r;
}

/* 0: it runs there, or shall; -errno and the sentence. */
static int switch_over(struct talk *t)
{
	int r = t->late ? tell_later(t) : 0;

	if (r == 0)
		r = offer(t);
	if (r == 0) {
		SHOW(t->m, phase, MIGRATE_SWITCHING);
		r = migrate_ask(t->vm, MIGRATE_ASK_STOP, t->f);
	}
	if (r == 0)
		r = send_rest(t);
	return r < 0 ? r : hand_over(t);
}

int migrate_talk(struct vm *vm, struct failure *f)
{
	struct migration *m = &vm->migration;
	struct talk t = {.vm = vm, .m = m, .f = f, .pace_lock = PTHREAD_MUTEX_INITIALIZER};
	int r;

	for (unsigned i = 0; i < STATE_LANES_MAX; i++)
		t.sink[i] = (struct dirty_sink){.writer = &t.writer[i], .pace = pace, .ctx = &t};
	r = begin(&t);
	if (r == 0 && m->wish.storage)
		r = send_disks(&t);
	if (r == 0 && !m->wish.quick)
		r = rounds(&t);
	if (r == 0)
		r = switch_over(&t);
	if (r < 0)
		r = cancelled(m) ? give_up(&t) : hear_why(&t, r);
	if (r < 0 && m->wish.storage)
		r = ask_other(&t, r);
	else if (r < 0 && t.offered)
		r = ask_lease(&t, r);
	if (r == 0 && t.serves)
		late_push(&t);
	else
		late_cease(&t);
	SHOW(m, spared_bytes, spared_bytes(&t));
	for (unsigned i = 0; i < STATE_LANES_MAX; i++)
		compressor_free(t.sink[i].compressor);
	if (r < 0 && SHOWN(m, phase) == MIGRATE_SWITCHING)
		take_disks(&t);
	return r;
}
