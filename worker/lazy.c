/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/lazy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

#define STEP_BYTES (UINT64_C(256) << 10)   /* between two looks at who waits */
#define CLUSTER_BYTES (UINT64_C(64) << 10) /* that come for who waits for one page of them */
#define FAULTS_MAX 16u                     /* at a time */

/* ---- pages ---- */

static int fail_place(const struct lazy *l, int error, struct failure *f)
{
	if (error == EEXIST)
		return fail(f, -error,
			    "cannot read the memory of the VM from %s: another process has "
			    "touched it before",
			    l->name);
	return fail(f, -error, "cannot read the memory of the VM from %s: no page for it: %s",
		    l->name, strerror(error));
}

static bool is_there(const struct lazy *l, uint64_t at)
{
	struct memory_piece p = lazy_map_absent(&l->map, at, at + STATE_PAGE);

	return p.begin == p.end;
}

/* Pages of data, or of zeros (NULL). 0 or errno; how many bytes are there now. */
static int fill(const struct lazy *l, uint64_t at, const uint8_t *data, uint64_t len,
		uint64_t *ret_there)
{
	uint64_t to = (uintptr_t)l->memory->base + at;
	struct uffdio_copy copy = {.dst = to, .src = (uintptr_t)data, .len = len};
	struct uffdio_zeropage zero = {.range = {.start = to, .len = len}};
	int error = ioctl(l->fd, data ? UFFDIO_COPY : UFFDIO_ZEROPAGE,
			  data ? (void *)&copy : (void *)&zero) < 0
			    ? errno
			    : 0;
	int64_t there = data ? copy.copy : zero.zeropage;

	*ret_there = !error ? len : there > 0 ? (uint64_t)there : 0;
	return error;
}

/* Who waits for one of these pages goes on. */
static int place_piece(struct lazy *l, uint64_t at, const uint8_t *data, uint64_t len,
		       struct failure *f)
{
	while (len) {
		uint64_t there;
		int error = fill(l, at, data, len, &there);

		if (error && error != EAGAIN)
			return fail_place(l, error, f);
		lazy_map_put(&l->map, at, at + there);
		__atomic_fetch_add(&l->map.done, there, __ATOMIC_RELEASE);
		at += there;
		if (data)
			data += there;
		len -= there;
	}
	return 0;
}

int lazy_place(struct lazy *l, uint64_t at, const uint8_t *data, uint64_t len, struct failure *f)
{
	uint64_t from = at, to = at + len;
	int r = 0;

	while (r == 0 && from < to) {
		struct memory_piece p = lazy_map_absent(&l->map, from, to);

		r = place_piece(l, p.begin, data ? data + (p.begin - at) : NULL, p.end - p.begin,
				f);
		from = p.end;
	}
	return r;
}

/* What is missing of [from, to), which lies within the buffer's run. */
static int place(struct lazy *l, const struct lazy_buffer *b, uint64_t from, uint64_t to,
		 struct failure *f)
{
	return lazy_place(l, from, b->data + (from - b->run->at), to - from, f);
}

int lazy_place_zeros(struct lazy *l, uint64_t at, struct failure *f)
{
	struct uffdio_range page = {.start = (uintptr_t)l->memory->base + at, .len = STATE_PAGE};
	uint64_t there;
	int error;

	do {
		error = fill(l, at, NULL, STATE_PAGE, &there);
	} while (error == EAGAIN);
	/* It came meanwhile. */
	if (error == EEXIST && is_there(l, at))
		error = ioctl(l->fd, UFFDIO_WAKE, &page) < 0 ? errno : 0;
	if (error)
		return fail_place(l, error, f);
	lazy_map_put(&l->map, at, at + STATE_PAGE);
	return 0;
}

/* ---- runs ---- */

static void take(struct lazy_buffer *b, struct lazy_run *run)
{
	run->taken = true;
	b->run = run;
	b->placed = 0;
}

static int read_piece(struct lazy *l, struct lazy_buffer *b, struct failure *f)
{
	struct state_rest *rest = &b->run->rest;

	return state_rest_read(rest, l->file, l->name, b->data + (b->run->len - rest->left),
			       min_u64(rest->left, STEP_BYTES), f);
}

/* Reads its run to the end, or places some of it; an empty buffer has nothing to do. */
static int buffer_step(struct lazy *l, struct lazy_buffer *b, struct failure *f)
{
	uint64_t from, to;
	int r;

	if (b->run->rest.left)
		return read_piece(l, b, f);
	from = b->run->at + b->placed;
	to = min_u64(from + STEP_BYTES, b->run->at + b->run->len);
	r = place(l, b, from, to, f);
	b->placed += to - from;
	if (b->placed == b->run->len)
		b->run = NULL;
	return r;
}

/* The run that somebody waits for, whole, in one of the buffers. What the other one has is left to
 * it; the run before in this one is placed first, so that no run is read twice. */
static int fetch(struct lazy *l, struct lazy_run *run, struct lazy_buffer **ret_buffer,
		 struct failure *f)
{
	struct lazy_buffer *b = l->ahead.run == run ? &l->ahead : &l->now;
	int r = 0;

	while (r == 0 && b->run && b->run != run)
		r = buffer_step(l, b, f);
	if (r == 0 && !b->run)
		take(b, run);
	while (r == 0 && run->rest.left)
		r = read_piece(l, b, f);
	*ret_buffer = b;
	return r;
}

static int serve(struct lazy *l, uint64_t at, struct failure *f)
{
	struct lazy_run *run = lazy_map_find(&l->map, at);
	struct lazy_buffer *b;
	uint64_t from = at & ~(CLUSTER_BYTES - 1);
	int r;

	if (!run || is_there(l, at))
		return lazy_place_zeros(l, at, f);
	r = fetch(l, run, &b, f);
	if (r < 0)
		return r;
	if (from < run->at)
		from = run->at;
	return place(l, b, from, min_u64(from + CLUSTER_BYTES, run->at + run->len), f);
}

int lazy_serve_all(struct lazy *l, int (*fault)(struct lazy *l, uint64_t at, struct failure *f),
		   struct failure *f)
{
	struct uffd_msg message[FAULTS_MAX];
	int r = 0;

	for (;;) {
		ssize_t n = read(l->fd, message, sizeof(message));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : fail_place(l, errno, f);
		for (size_t i = 0; i < (size_t)n / sizeof(message[0]); i++) {
			uint64_t address = message[i].arg.pagefault.address;

			if (message[i].event != UFFD_EVENT_PAGEFAULT)
				continue;
			address -= (uintptr_t)l->memory->base;
			r = fault(l, address & ~(uint64_t)(STATE_PAGE - 1), f);
			if (r < 0)
				return r;
		}
	}
}

/* ---- the thread ---- */

/* Some of the work that nobody waits for. 1, 0 when all is there, or -errno. */
static int work(struct lazy *l, struct failure *f)
{
	struct lazy_buffer *b = l->now.run ? &l->now : &l->ahead;
	int r;

	while (!b->run && l->next < l->map.count) {
		struct lazy_run *run = &l->map.run[l->next++];

		if (!run->taken)
			take(b, run);
	}
	if (!b->run)
		return 0;
	r = buffer_step(l, b, f);
	return r < 0 ? r : 1;
}

void lazy_release(struct lazy *l)
{
	close(l->fd);
	if (l->memory->pages == PAGES_TRANSPARENT)
		(void)madvise(l->memory->base, l->memory->bytes, MADV_HUGEPAGE);
	if (l->file >= 0)
		close(l->file);
	free(l->now.data);
	free(l->ahead.data);
	lazy_map_done(&l->map);
}

static void *lazy_thread(void *arg)
{
	struct lazy *l = arg;
	struct failure f;
	int r = 1;

	while (r > 0 && !__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE)) {
		r = lazy_serve_all(l, serve, &f);
		if (r == 0)
			r = work(l, &f);
	}
	if (r < 0) {
		l->lost(l->owner, f.text);
		abort();
	}
	if (r == 0) {
		lazy_release(l);
		__atomic_store_n(&l->done, true, __ATOMIC_RELEASE);
		loop_wake(l->loop);
	}
	return NULL;
}

/* ---- the loop ---- */

void lazy_init(struct lazy *l)
{
	*l = (struct lazy){.fd = -1, .file = -1, .kick = -1, .link = -1};
}

static int watch(const struct lazy *l)
{
	struct uffdio_register all = {
		.range = {.start = (uintptr_t)l->memory->base, .len = l->memory->bytes},
		.mode = UFFDIO_REGISTER_MODE_MISSING};
	const uint64_t needed = UINT64_C(1) << _UFFDIO_COPY | UINT64_C(1) << _UFFDIO_ZEROPAGE |
				UINT64_C(1) << _UFFDIO_WAKE;

	if (ioctl(l->fd, UFFDIO_REGISTER, &all) < 0)
		return -errno;
	return (all.ioctls & needed) == needed ? 0 : -EOPNOTSUPP;
}

/* Whether the kernel lets us, which the sandbox could not ask any more. */
static int try_it(struct lazy *l)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_MISSING_SHMEM};
	struct uffdio_range all = {.start = (uintptr_t)l->memory->base, .len = l->memory->bytes};
	int r = ioctl(l->fd, UFFDIO_API, &api) < 0 ? -errno : watch(l);

	if (r == 0 && ioctl(l->fd, UFFDIO_UNREGISTER, &all) < 0)
		r = -errno;
	return r < 0 ? r : lazy_map_init(&l->map, l->memory->bytes);
}

void lazy_open(struct lazy *l, struct memory *memory)
{
	int r;

	if (memory->pages == PAGES_2M || memory->pages == PAGES_1G)
		return;
	/* Without UFFD_USER_MODE_ONLY: the hypervisor's faults are the kernel's. */
	l->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (l->fd < 0)
		return;
	l->memory = memory;
	r = try_it(l);
	if (r == 0)
		r = memory_clear(memory);
	if (r < 0) {
		lazy_map_done(&l->map);
		close(l->fd);
		l->fd = -1;
		return;
	}
	/* Older kernels would fill a large page with zeros for what is missing of it. */
	if (memory->pages == PAGES_TRANSPARENT)
		(void)madvise(memory->base, memory->bytes, MADV_NOHUGEPAGE);
}

bool lazy_opened(const struct lazy *l)
{
	return l->fd >= 0;
}

int lazy_add(struct lazy *l, const uint8_t *hva, const struct state_rest *rest)
{
	return lazy_map_add(&l->map, (uint64_t)(hva - l->memory->base), rest);
}

void lazy_put(struct lazy *l, const uint8_t *hva, uint64_t len)
{
	uint64_t at = (uint64_t)(hva - l->memory->base);

	lazy_map_put(&l->map, at, at + len);
}

static int make_buffers(struct lazy *l)
{
	uint64_t most = STATE_PAGE;

	for (size_t i = 0; i < l->map.count; i++) {
		if (l->map.run[i].len > most)
			most = l->map.run[i].len;
	}
	l->now.data = malloc(most);
	l->ahead.data = malloc(most);
	return l->now.data && l->ahead.data ? 0 : -ENOMEM;
}

int lazy_start(struct lazy *l, void *(*thread)(void *))
{
	int r = watch(l);

	if (r == 0)
		r = -pthread_create(&l->thread, NULL, thread, l);
	l->began = r == 0;
	return r;
}

int lazy_begin(struct lazy *l, int file, const char *name, struct loop *loop, struct failure *f)
{
	int r;

	l->name = name;
	l->loop = loop;
	l->file = fcntl(file, F_DUPFD_CLOEXEC, 0);
	r = l->file < 0 ? -errno : make_buffers(l);
	if (r == 0)
		r = lazy_start(l, lazy_thread);
	if (r < 0) {
		fail(f, r, "cannot read the memory of the VM from %s: %s", name, strerror(-r));
		lazy_end(l);
	}
	return r;
}

bool lazy_runs(const struct lazy *l)
{
	return l->began && !__atomic_load_n(&l->done, __ATOMIC_ACQUIRE);
}

void lazy_kick(const struct lazy *l)
{
	const uint64_t one = 1;

	/* Fails for a counter that is full, which is read soon. */
	if (l->kick >= 0 && write(l->kick, &one, sizeof(one)) < 0)
		return;
}

void lazy_end(struct lazy *l)
{
	if (l->began && !l->ceased) {
		__atomic_store_n(&l->stop, true, __ATOMIC_RELEASE);
		lazy_kick(l);
		pthread_join(l->thread, NULL);
	}
	if (l->fd >= 0 && !l->done)
		lazy_release(l);
	if (l->kick >= 0)
		close(l->kick);
	if (l->link >= 0)
		close(l->link);
	lazy_init(l);
}

void lazy_settle(struct lazy *l)
{
	if (l->began && !lazy_runs(l))
		lazy_end(l);
}

json_t *lazy_status(const struct lazy *l)
{
	if (!lazy_runs(l))
		return json_null();
	return json_pack("{s:I, s:I}", "done_bytes",
			 (json_int_t)__atomic_load_n(&l->map.done, __ATOMIC_RELAXED), "total_bytes",
			 (json_int_t)l->map.total);
}
