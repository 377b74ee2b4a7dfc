/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/mirror.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "disk/chunks.h"
#include "lib/log.h"
#include "lib/sparse.h"
#include "worker/vm.h"

#define KEPT_MAX RAW_INFLIGHT_MAX
#define RUN_CHUNKS (SPARSE_STEP_BYTES / CHUNK_BYTES)
#define LITTLE_CHUNKS 16u  /* with so many left it closes */
#define STUBBORN_ROUNDS 3u /* that leave nearly as much as they found: it closes too */
#define SHRINKS_PERCENT 80u
#define NS_PER_S UINT64_C(1000000000)
#define PATIENCE_NS (5 * NS_PER_S) /* with a copy that does not answer */
#define LOOK_NS (NS_PER_S / 2)
#define STALL_S 1

static const char *const phase_names[] = {
	[MIRROR_NONE] = "none", [MIRROR_COPYING] = "copying",     [MIRROR_CLOSING] = "closing",
	[MIRROR_EVEN] = "even", [MIRROR_COMMITTED] = "committed", [MIRROR_SWITCHING] = "switching",
	[MIRROR_DONE] = "done", [MIRROR_FAILED] = "failed",
};

struct kept {
	struct block_request *req; /* the loop's; the thread has what follows */
	enum block_op op;
	bool fua;
	uint64_t offset, len;
	int result;
	uint64_t since_ns;
};

/* Of its requests that are kept, those from `given` on are to be given back, those from `copied` on
 * to be copied before; the next one is `added`. */
struct mirror_disk {
	struct list link;
	struct mirror *mirror;
	struct storage *storage;
	struct storage_place *place;
	struct raw_disk *copy;
	struct chunks chunks;
	bool known;  /* what is data is marked */
	bool fresh;  /* it has not been gone over once */
	uint64_t at; /* the next chunk to look at */
	uint64_t added, copied, given;
	struct kept kept[KEPT_MAX];
};

#define EACH_DISK(m, d)                                                                    \
	for (struct list *at_ = (m)->disks.next;                                           \
	     at_ != &(m)->disks && ((d) = CONTAINER_OF(at_, struct mirror_disk, link), 1); \
	     at_ = at_->next)

static enum mirror_phase phase_of(const struct mirror *m)
{
	return (enum mirror_phase)__atomic_load_n(&m->phase, __ATOMIC_ACQUIRE);
}

static void set_phase(struct mirror *m, enum mirror_phase phase)
{
	__atomic_store_n(&m->phase, (unsigned)phase, __ATOMIC_RELEASE);
}

static bool keeps(enum mirror_phase phase)
{
	return phase >= MIRROR_CLOSING && phase <= MIRROR_SWITCHING;
}

/* What was kept is to be copied. */
static bool lives(enum mirror_phase phase)
{
	return phase == MIRROR_COPYING || keeps(phase);
}

/* With the lock. The first failure counts. */
static void fail_it(struct mirror *m, const char *sentence)
{
	if (phase_of(m) >= MIRROR_DONE)
		return;
	fail(&m->failure, -EIO, "%s", sentence);
	set_phase(m, MIRROR_FAILED);
	m->ends = true;
	pthread_cond_signal(&m->work);
}

/* ---- what becomes of requests ---- */

/* With the lock of the devices, in reaping. */
static bool on_ended(void *ctx, struct block_request *req, int result)
{
	struct mirror_disk *d = ctx;
	struct mirror *m = d->mirror;
	bool kept;

	pthread_mutex_lock(&m->lock);
	/* What has failed is tried again, or was not answered well: a part of it may have been
	 * written. */
	kept = keeps(phase_of(m));
	if (kept) {
		assert(d->added - d->given < KEPT_MAX);
		d->kept[d->added++ % KEPT_MAX] = (struct kept){
			.req = req,
			.op = req->op,
			.fua = req->fua,
			.offset = req->offset,
			.len = req->len,
			.result = result,
			.since_ns = loop_now_ns(),
		};
		d->storage->kept++;
		pthread_cond_signal(&m->work);
	} else if (req->op != BLOCK_FLUSH) {
		chunks_mark(&d->chunks, req->offset, req->len);
	}
	pthread_mutex_unlock(&m->lock);
	return kept;
}

/* Gives back what the copies have; all, when there are no copies any more. */
static void give_back(struct mirror *m)
{
	struct mirror_disk *d;
	bool some = true;

	while (some) {
		some = false;
		EACH_DISK(m, d)
		{
			struct kept k;
			bool ready;

			pthread_mutex_lock(&m->lock);
			ready = d->given != (lives(phase_of(m)) ? d->copied : d->added);
			if (ready)
				k = d->kept[d->given++ % KEPT_MAX];
			pthread_mutex_unlock(&m->lock);
			if (!ready)
				continue;
			d->storage->kept--;
			raw_end(k.req, k.result);
			some = true;
		}
	}
}

/* ---- the thread ---- */

static int flush_copy(const struct mirror_disk *d)
{
	if (d->place->config.read_only)
		return fdatasync(raw_fd(d->copy)) < 0 ? -errno : 0;
	return raw_sync(d->copy);
}

static int copy(struct mirror_disk *d, uint64_t offset, uint64_t len, bool *ret_reading)
{
	struct sparse_copy c = {
		.from = raw_fd(d->place->image),
		.to = raw_fd(d->copy),
		.buffer = d->mirror->buffer,
		.fresh = d->fresh,
	};
	uint64_t size = raw_blockdev(d->place->image)->size_bytes;
	int r = sparse_copy(&c, offset, min_u64(len, size - offset));

	*ret_reading = c.reading;
	return r;
}

/* With the lock. */
static void fail_copy(struct mirror_disk *d, int error, bool reading)
{
	struct failure f;

	fail(&f, error, "the %s of the disk %.160s cannot be %s: %s", reading ? "image" : "copy",
	     storage_name(&d->place->config), reading ? "read" : "written", strerror(-error));
	fail_it(d->mirror, f.text);
}

/* With the lock, which it gives up meanwhile: brings the oldest request to the copy. */
static void copy_kept(struct mirror_disk *d)
{
	struct mirror *m = d->mirror;
	struct kept *k = &d->kept[d->copied % KEPT_MAX], now = *k;
	bool reading = false, data = now.op != BLOCK_FLUSH;
	int r = 0;

	pthread_mutex_unlock(&m->lock);
	if (data)
		r = copy(d, now.offset, now.len, &reading);
	data = r < 0;
	if (r == 0 && now.result == 0 && (now.op == BLOCK_FLUSH || now.fua))
		r = flush_copy(d);
	pthread_mutex_lock(&m->lock);
	if (!lives(phase_of(m)))
		return; /* the loop gives it back */
	if (r < 0 && phase_of(m) < MIRROR_COMMITTED) {
		fail_copy(d, r, reading);
		return;
	}
	if (data) { /* the guest's own image has it: this is tried again */
		m->stalled = d;
		m->error = r;
		return;
	}
	if (r < 0 && k->result == 0)
		k->result = r;
	d->copied++;
}

/* The same for marked chunks; false: there are none. */
static bool copy_chunks(struct mirror_disk *d)
{
	struct mirror *m = d->mirror;
	uint64_t from, count;
	bool reading;
	int r;

	if (!chunks_take(&d->chunks, d->at, RUN_CHUNKS, &from, &count))
		return false;
	d->at = from + count;
	pthread_mutex_unlock(&m->lock);
	r = copy(d, from * CHUNK_BYTES, count * CHUNK_BYTES, &reading);
	pthread_mutex_lock(&m->lock);
	__atomic_add_fetch(&m->done_bytes, count * CHUNK_BYTES, __ATOMIC_RELAXED);
	if (r < 0)
		fail_copy(d, r, reading);
	return true;
}

/* With the lock, given up meanwhile. */
static void flush_all(struct mirror *m)
{
	struct mirror_disk *d;

	EACH_DISK(m, d)
	{
		int r;

		pthread_mutex_unlock(&m->lock);
		r = flush_copy(d);
		pthread_mutex_lock(&m->lock);
		if (r < 0)
			fail_copy(d, r, false);
	}
}

/* What there is to copy: data of the file, and what is written from now on. */
static void mark_data(struct mirror_disk *d)
{
	uint64_t size = raw_blockdev(d->place->image)->size_bytes, at = 0, from, to;

	while (sparse_next(raw_fd(d->place->image), at, size, &from, &to)) {
		chunks_mark(&d->chunks, from, to - from);
		at = to;
	}
	__atomic_add_fetch(&d->mirror->total_bytes, chunks_marked(&d->chunks) * CHUNK_BYTES,
			   __ATOMIC_RELAXED);
}

static uint64_t marked(struct mirror *m)
{
	struct mirror_disk *d;
	uint64_t sum = 0;

	EACH_DISK(m, d)
	sum += chunks_marked(&d->chunks);
	return sum;
}

/* With the lock: all have been gone over. Whether to close: little is left, or it does not become
 * less. */
static bool is_time(struct mirror *m, uint64_t *before, unsigned *stubborn)
{
	uint64_t left = marked(m);

	*stubborn = left * 100 < *before * SHRINKS_PERCENT ? 0 : *stubborn + 1;
	*before = left;
	return left <= LITTLE_CHUNKS || *stubborn >= STUBBORN_ROUNDS;
}

/* With the lock: one piece of work; false: there is none but to go over all anew. */
static bool work_once(struct mirror *m)
{
	struct mirror_disk *d;

	if (m->stalled)
		return false;
	EACH_DISK(m, d)
	{
		if (lives(phase_of(m)) && d->copied != d->added) {
			copy_kept(d);
			return true;
		}
	}
	EACH_DISK(m, d)
	{
		if (!d->known) {
			pthread_mutex_unlock(&m->lock);
			mark_data(d);
			pthread_mutex_lock(&m->lock);
			d->known = true;
			return true;
		}
		if (copy_chunks(d))
			return true;
	}
	return false;
}

/* With the lock: the end of a round. */
static void next_round(struct mirror *m, uint64_t *before, unsigned *stubborn)
{
	struct mirror_disk *d;

	EACH_DISK(m, d)
	{
		d->at = 0;
		d->fresh = false;
	}
	if (phase_of(m) == MIRROR_COPYING && is_time(m, before, stubborn)) {
		/* Large what is in the page cache would be flushed while requests wait. */
		flush_all(m);
		if (phase_of(m) == MIRROR_COPYING)
			set_phase(m, MIRROR_CLOSING);
		return;
	}
	if (phase_of(m) == MIRROR_CLOSING && !marked(m)) {
		flush_all(m);
		/* A disk may have been added meanwhile. */
		if (phase_of(m) == MIRROR_CLOSING && !marked(m))
			set_phase(m, MIRROR_EVEN);
	}
}

/* With the lock, given up meanwhile: until there is work; what has stalled is tried again by and
 * by, since a VM that is reset waits for it. */
static void rest(struct mirror *m)
{
	struct timespec due;

	if (!m->stalled) {
		pthread_cond_wait(&m->work, &m->lock);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &due);
	due.tv_sec += STALL_S;
	if (pthread_cond_timedwait(&m->work, &m->lock, &due) == ETIMEDOUT)
		m->stalled = NULL;
}

static void *mirror_thread(void *arg)
{
	struct vm *vm = arg;
	struct mirror *m = &vm->mirror;
	uint64_t before = UINT64_MAX / 100;
	unsigned stubborn = 0;

	pthread_mutex_lock(&m->lock);
	while (!m->ends) {
		if (work_once(m)) {
			loop_wake(vm->loop);
			continue;
		}
		if (phase_of(m) < MIRROR_EVEN) {
			next_round(m, &before, &stubborn);
			loop_wake(vm->loop);
			continue;
		}
		m->quiet = !m->stalled;
		rest(m);
		m->quiet = false;
	}
	m->ended = true;
	pthread_mutex_unlock(&m->lock);
	loop_wake(vm->loop);
	return NULL;
}

/* ---- copies that do not answer ---- */

static bool is_slow(struct mirror *m, uint64_t patience_ns)
{
	uint64_t now = loop_now_ns();
	struct mirror_disk *d;

	EACH_DISK(m, d)
	{
		if (d->copied != d->added &&
		    now - d->kept[d->copied % KEPT_MAX].since_ns > patience_ns)
			return true;
	}
	return false;
}

static void on_look(void *owner)
{
	struct vm *vm = owner;
	struct mirror *m = &vm->mirror;
	uint64_t patience = PATIENCE_NS;

	/* Before the disk is taken for one that hangs. */
	if (vm->config->disk_timeout_s)
		patience = min_u64(patience, vm->config->disk_timeout_s * NS_PER_S / 4);
	pthread_mutex_lock(&m->lock);
	if (phase_of(m) < MIRROR_COMMITTED && is_slow(m, patience))
		fail_it(m, "the copies of the disks do not answer");
	pthread_mutex_unlock(&m->lock);
	if (m->runs)
		timerq_arm(loop_timers(vm->loop), &m->look, loop_now_ns() + LOOK_NS);
	loop_wake(vm->loop);
}

/* ---- a copy that counts and cannot be written ---- */

/* As when the disk itself cannot. */
static void tell_stall(struct vm *vm)
{
	struct mirror *m = &vm->mirror;
	struct failure f = {""};

	pthread_mutex_lock(&m->lock);
	if (m->stalled && !m->told)
		fail(&f, m->error, "the copy of the disk %.160s cannot be written: %s",
		     storage_name(&m->stalled->place->config), strerror(-m->error));
	m->told = m->told || f.text[0];
	pthread_mutex_unlock(&m->lock);
	if (f.text[0] && vm->storage.failed)
		vm->storage.failed(vm->storage.ctx, f.text, false);
}

void mirror_retry(struct vm *vm)
{
	struct mirror *m = &vm->mirror;

	pthread_mutex_lock(&m->lock);
	m->stalled = NULL;
	m->told = false;
	pthread_cond_signal(&m->work);
	pthread_mutex_unlock(&m->lock);
}

/* ---- the begin ---- */

void mirror_init(struct mirror *m)
{
	*m = (struct mirror){.phase = MIRROR_NONE};
	list_init(&m->disks);
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->work, NULL);
}

bool mirror_runs(const struct vm *vm)
{
	return vm->mirror.runs;
}

static int may_add(struct vm *vm, const struct storage_place *p, struct failure *f)
{
	const struct mirror *m = &vm->mirror;
	struct mirror_disk *d;

	if (vm->state != VM_RUNNING && vm->state != VM_PAUSED)
		return fail(f, -EBUSY, "cannot copy the disks of the VM '%s': it is %s",
			    vm->config->name, vm_state_label(vm));
	if (migrate_runs(vm))
		return fail(f, -EBUSY, "cannot copy the disks of the VM '%s': it is being migrated",
			    vm->config->name);
	if (!p->image || p->ejecting)
		return fail(f, -ENOENT, "there is no medium in the drive");
	if (m->runs && phase_of(m) >= MIRROR_COMMITTED)
		return fail(f, -EBUSY, "cannot copy the disks of the VM '%s': that is under way",
			    vm->config->name);
	EACH_DISK(m, d)
	{
		if (d->place == p)
			return fail(f, -EEXIST, "the disk %.160s is being copied already",
				    storage_name(&p->config));
	}
	return 0;
}

static void disk_free(struct mirror_disk *d)
{
	if (!d)
		return;
	raw_close(d->copy);
	chunks_done(&d->chunks);
	free(d);
}

static int disk_new(struct vm *vm, struct storage_place *p, int fd, struct mirror_disk **ret_disk,
		    struct failure *f)
{
	struct mirror_disk *d = calloc(1, sizeof(*d));
	uint64_t size = raw_blockdev(p->image)->size_bytes;
	int r = d ? chunks_init(&d->chunks, size) : -ENOMEM;

	if (r < 0) {
		free(d);
		close(fd);
		return fail(f, r, "cannot copy the disk %.160s: out of memory",
			    storage_name(&p->config));
	}
	d->mirror = &vm->mirror;
	d->storage = &vm->storage;
	d->place = p;
	d->fresh = true;
	r = storage_open_copy(&vm->storage, p, fd, &d->copy, f);
	if (r == 0 && raw_blockdev(d->copy)->size_bytes != size)
		r = fail(f, -EINVAL, "the copy of the disk %.160s has another size",
			 storage_name(&p->config));
	if (r < 0) {
		disk_free(d);
		return r;
	}
	*ret_disk = d;
	return 0;
}

static void forget(struct vm *vm)
{
	struct mirror *m = &vm->mirror;
	struct list *link;

	timerq_disarm(&m->look);
	while ((link = list_pop(&m->disks)))
		disk_free(CONTAINER_OF(link, struct mirror_disk, link));
	free(m->buffer);
	m->buffer = NULL;
	m->runs = false;
}

static int start(struct vm *vm, struct failure *f)
{
	struct mirror *m = &vm->mirror;
	int r;

	m->ends = m->ended = m->quiet = m->told = false;
	m->stalled = NULL;
	m->total_bytes = m->done_bytes = 0;
	m->count = 0;
	m->failure.text[0] = '\0';
	m->buffer = aligned_alloc(SPARSE_ALIGN, SPARSE_STEP_BYTES);
	r = m->buffer ? -pthread_create(&m->thread, NULL, mirror_thread, vm) : -ENOMEM;
	if (r < 0) {
		free(m->buffer);
		m->buffer = NULL;
		return fail(f, r, "cannot copy the disks of the VM '%s': no thread for it: %s",
			    vm->config->name, strerror(-r));
	}
	m->runs = true;
	m->look.fire = on_look;
	m->look.owner = vm;
	timerq_arm(loop_timers(vm->loop), &m->look, loop_now_ns() + LOOK_NS);
	return 0;
}

int mirror_add(struct vm *vm, unsigned controller, unsigned lun, int fd, struct failure *f)
{
	struct storage_place *p = storage_place(&vm->storage, controller, lun, f);
	struct mirror *m = &vm->mirror;
	struct mirror_disk *d = NULL;
	int r = p ? may_add(vm, p, f) : -ENOENT;

	if (r == 0 && fd < 0)
		return fail(f, -EINVAL, "no descriptor of a copy came with the request");
	if (r < 0) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	r = disk_new(vm, p, fd, &d, f);
	if (r < 0)
		return r;
	pthread_mutex_lock(&m->lock);
	r = m->runs ? 0 : start(vm, f);
	if (r == 0) {
		/* Before the thread looks for data. */
		raw_watch(p->image, &(struct raw_watcher){.ended = on_ended, .ctx = d});
		p->copied = true;
		list_append(&m->disks, &d->link);
		m->count++;
		set_phase(m, MIRROR_COPYING);
		pthread_cond_signal(&m->work);
	}
	pthread_mutex_unlock(&m->lock);
	if (r < 0)
		disk_free(d);
	return r;
}

/* ---- words ---- */

int mirror_commit(struct vm *vm, struct failure *f)
{
	struct mirror *m = &vm->mirror;
	int r = 0;

	pthread_mutex_lock(&m->lock);
	if (m->runs && phase_of(m) == MIRROR_EVEN)
		set_phase(m, MIRROR_COMMITTED);
	else
		r = fail(f, -EPROTO, "the copies of the disks of the VM '%s' are not even: %s",
			 vm->config->name, phase_names[phase_of(m)]);
	pthread_mutex_unlock(&m->lock);
	return r;
}

int mirror_switch(struct vm *vm, int lease_fd, uint64_t epoch, struct failure *f)
{
	struct mirror *m = &vm->mirror;
	struct mirror_disk *d;
	int r = 0;

	if (m->runs && phase_of(m) != MIRROR_COMMITTED)
		r = fail(f, -EPROTO, "the copies of the disks of the VM '%s' were not committed",
			 vm->config->name);
	else if ((lease_fd < 0) != (vm->lease.fd < 0))
		r = fail(f, -EINVAL, "the VM '%s' has %s lease", vm->config->name,
			 lease_fd < 0 ? "a" : "no");
	if (r < 0) {
		if (lease_fd >= 0)
			close(lease_fd);
		return r;
	}
	lease_close(&vm->lease);
	vm->lease.fd = lease_fd;
	vm->lease.unsure = false;
	vm->lease_epoch = epoch;
	if (!m->runs)
		return 0;
	pthread_mutex_lock(&m->lock);
	set_phase(m, MIRROR_SWITCHING);
	pthread_mutex_unlock(&m->lock);
	EACH_DISK(m, d)
	raw_hold(d->place->image);
	loop_wake(vm->loop);
	return 0;
}

int mirror_cancel(struct vm *vm)
{
	struct mirror *m = &vm->mirror;
	bool can = m->runs && phase_of(m) != MIRROR_SWITCHING;

	if (!can)
		return -EPROTO;
	pthread_mutex_lock(&m->lock);
	fail_it(m, "cancelled");
	pthread_mutex_unlock(&m->lock);
	loop_wake(vm->loop);
	return 0;
}

/* ---- the end ---- */

/* The thread touches nothing any more. */
static void join(struct vm *vm, bool replace)
{
	struct mirror *m = &vm->mirror;
	struct mirror_disk *d;

	pthread_join(m->thread, NULL);
	give_back(m);
	EACH_DISK(m, d)
	{
		raw_watch(d->place->image, NULL);
		d->place->copied = false;
		if (replace) {
			raw_replace(d->place->image, d->copy);
			d->copy = NULL;
		}
		raw_let_go(d->place->image);
	}
	forget(vm);
}

static bool all_still(struct mirror *m)
{
	struct mirror_disk *d;

	EACH_DISK(m, d)
	{
		if (!raw_is_still(d->place->image))
			return false;
	}
	return true;
}

void mirror_step(struct vm *vm)
{
	struct mirror *m = &vm->mirror;
	bool ended;

	if (!m->runs)
		return;
	give_back(m);
	tell_stall(vm);
	pthread_mutex_lock(&m->lock);
	/* What counts is answered when the copy has it, or when the guest cannot see it any more.
	 */
	if (vm->want_stop &&
	    (phase_of(m) < MIRROR_COMMITTED || (vm->state == VM_STOPPED && m->stalled)))
		fail_it(m, "the VM ends");
	if (phase_of(m) == MIRROR_SWITCHING && m->quiet && all_still(m)) {
		m->ends = true;
		set_phase(m, MIRROR_DONE);
		pthread_cond_signal(&m->work);
	}
	ended = m->ended;
	pthread_mutex_unlock(&m->lock);
	if (phase_of(m) == MIRROR_DONE) {
		join(vm, true);
	} else if (ended) {
		log_line(LOG_LEVEL_WARNING, "the disks were not copied: %s", m->failure.text);
		join(vm, false);
	}
}

void mirror_done(struct vm *vm)
{
	struct mirror *m = &vm->mirror;

	if (m->runs) {
		pthread_mutex_lock(&m->lock);
		set_phase(m, MIRROR_FAILED);
		m->ends = true;
		pthread_cond_signal(&m->work);
		pthread_mutex_unlock(&m->lock);
		pthread_mutex_lock(&vm->lock);
		join(vm, false);
		pthread_mutex_unlock(&vm->lock);
	}
	pthread_cond_destroy(&m->work);
	pthread_mutex_destroy(&m->lock);
}

json_t *mirror_status(const struct vm *vm)
{
	const struct mirror *m = &vm->mirror;
	uint64_t total = __atomic_load_n(&m->total_bytes, __ATOMIC_RELAXED);
	uint64_t done = __atomic_load_n(&m->done_bytes, __ATOMIC_RELAXED);
	enum mirror_phase phase = phase_of(m);

	if (phase == MIRROR_NONE)
		return json_null();
	return json_pack("{s:s, s:i, s:I, s:I, s:s}", "phase", phase_names[phase], "disks",
			 (int)m->count, "done_bytes", (json_int_t)min_u64(done, total),
			 "total_bytes", (json_int_t)total, "error",
			 phase == MIRROR_FAILED ? m->failure.text : "");
}
