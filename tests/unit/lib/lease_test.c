/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lease of a VM: exchanges, races, torn writes, damage, and disks that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/util.h"
#include "lib/lease.h"
#include "tests/lib/failheap.h"

#define ROUNDS 300u

static const struct guid vm = GUID_INIT(0x6ba7b810, 0x9dad, 0x11d1, 0x80b4, 0x00c04fd430c8);
static const struct guid host_a = GUID_INIT(0xaaaaaaaa, 1, 2, 3, 4);
static const struct guid host_b = GUID_INIT(0xbbbbbbbb, 1, 2, 3, 4);
static const struct guid host_c = GUID_INIT(0xcccccccc, 1, 2, 3, 4);
static const struct guid nobody;

struct set {
	char folder[64], path[96];
	struct lease_file a, b; /* two hosts' */
};

/* ---- a disk that fails ---- */

static unsigned writes_left = ~0u, flushes_left = ~0u; /* until one fails */

static bool use_one(unsigned *left)
{
	if (*left == ~0u)
		return true;
	return *left && (*left)--;
}

ssize_t __real_pwrite64(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t at)
{
	if (use_one(&writes_left))
		return __real_pwrite64(fd, data, len, at);
	errno = ENOSPC;
	return -1;
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	if (use_one(&flushes_left))
		return fcntl(fd, F_GETFD) < 0 ? -1 : 0; /* nobody cuts the power here */
	errno = EIO;
	return -1;
}

/* ---- a folder ---- */

static int set_up(void **state)
{
	struct set *s = calloc(1, sizeof(*s));
	struct failure f;

	assert_non_null(s);
	strcpy(s->folder, "/tmp/oya-lease-test-XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	snprintf(s->path, sizeof(s->path), "%s/" LEASE_FILE, s->folder);
	s->a = s->b = (struct lease_file){.fd = -1, .vm = vm, .name = s->path};
	assert_int_equal(lease_open(&s->a, true, &f), 0);
	assert_int_equal(lease_open(&s->b, false, &f), 0);
	writes_left = flushes_left = ~0u;
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct set *s = *state;

	lease_close(&s->a);
	lease_close(&s->b);
	unlink(s->path);
	rmdir(s->folder);
	free(s);
	return 0;
}

static void assert_lease(struct set *s, enum lease_state state, uint64_t epoch,
			 const struct guid *owner)
{
	struct lease now;
	struct failure f;

	assert_int_equal(lease_read(&s->b, &now, &f), 0);
	assert_int_equal(now.state, state);
	assert_int_equal(now.epoch, epoch);
	assert_memory_equal(&now.owner, owner, sizeof(*owner));
}

static uint64_t take(struct lease_file *l, const struct guid *me)
{
	struct failure f;
	uint64_t epoch = 0;

	assert_int_equal(lease_take(l, me, LEASE_ANY, &epoch, &f), 0);
	return epoch;
}

/* ---- exchanges ---- */

static void empty_file_is_free_with_epoch_0(void **state)
{
	struct set *s = *state;
	struct stat st;

	assert_int_equal(fstat(s->a.fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_lease(s, LEASE_FREE, 0, &nobody);
	assert_int_equal(take(&s->a, &host_a), 1);
	assert_lease(s, LEASE_HELD, 1, &host_a);
}

static void lease_goes_from_one_host_to_another_by_an_offer(void **state)
{
	struct set *s = *state;
	struct failure f;
	uint64_t epoch = take(&s->a, &host_a);

	assert_int_equal(lease_offer(&s->a, &host_a, epoch, &host_b, &epoch, &f), 0);
	assert_lease(s, LEASE_OFFERED, 2, &host_a);
	assert_int_equal(lease_take(&s->b, &host_b, epoch, &epoch, &f), 0);
	assert_lease(s, LEASE_HELD, 3, &host_b);
	assert_int_equal(lease_holds(&s->b, &host_b, 3, &f), 0);
	assert_int_equal(lease_holds(&s->a, &host_a, 1, &f), -ESTALE);
	assert_int_equal(lease_take_back(&s->a, &host_a, 2, &epoch, &f), -ESTALE);
	assert_int_equal(lease_free(&s->b, &host_b, 3, &f), 0);
	assert_lease(s, LEASE_FREE, 4, &nobody);
	assert_int_equal(take(&s->a, &host_a), 5);
}

static void lease_of_another_host_is_refused_and_told(void **state)
{
	struct set *s = *state;
	struct failure f;
	uint64_t epoch = 77;

	take(&s->a, &host_a);
	assert_int_equal(lease_take(&s->b, &host_b, LEASE_ANY, &epoch, &f), -ESTALE);
	assert_int_equal(epoch, 77);
	assert_non_null(strstr(f.text, "the host aaaaaaaa-0001-0002-0003-000000000004 holds"));
	assert_non_null(strstr(f.text, "since 2"));
	assert_non_null(strstr(f.text, "remove the file"));
	assert_non_null(strstr(f.text, s->path));
	assert_lease(s, LEASE_HELD, 1, &host_a);
}

static void lease_of_ones_own_is_taken_again_after_a_crash(void **state)
{
	struct set *s = *state;
	struct failure f;
	uint64_t epoch;

	take(&s->a, &host_a);
	assert_int_equal(lease_take(&s->b, &host_a, 1, &epoch, &f), 0);
	assert_int_equal(epoch, 2);
	assert_int_equal(lease_holds(&s->a, &host_a, 1, &f), -ESTALE);
	assert_non_null(strstr(f.text, "with the epoch 2, not 1"));
	assert_int_equal(lease_take(&s->b, &host_a, 1, &epoch, &f), -ESTALE);
}

static void offer_is_for_its_target_at_its_epoch_alone(void **state)
{
	struct set *s = *state;
	uint64_t epoch = take(&s->a, &host_a), ignored;
	struct failure f;

	assert_int_equal(lease_offer(&s->a, &host_a, epoch, &host_b, &epoch, &f), 0);
	assert_int_equal(lease_take(&s->b, &host_c, epoch, &ignored, &f), -ESTALE);
	assert_int_equal(lease_take(&s->b, &host_b, epoch - 1, &ignored, &f), -ESTALE);
	assert_int_equal(lease_take(&s->b, &host_b, LEASE_ANY, &ignored, &f), -ESTALE);
	assert_int_equal(lease_take(&s->a, &host_a, LEASE_ANY, &ignored, &f), -ESTALE);
	assert_non_null(strstr(f.text, "has offered its lease to the host bbbbbbbb"));
	assert_int_equal(lease_holds(&s->a, &host_a, epoch, &f), -ESTALE);
	assert_int_equal(lease_take_back(&s->b, &host_b, epoch, &ignored, &f), -ESTALE);
	assert_int_equal(lease_take_back(&s->a, &host_a, epoch, &epoch, &f), 0);
	assert_lease(s, LEASE_HELD, 3, &host_a);
}

/* To a host that has a lease file of its own: what this one tells is for who asks here. */
static void a_lease_that_is_given_is_another_hosts_until_it_is_forced(void **state)
{
	struct set *s = *state;
	uint64_t epoch = take(&s->a, &host_a), ignored;
	struct failure f;

	assert_int_equal(lease_give(&s->a, &host_a, epoch, &host_a, &ignored, &f), -EINVAL);
	assert_int_equal(lease_give(&s->a, &host_a, epoch, &nobody, &ignored, &f), -EINVAL);
	assert_int_equal(lease_give(&s->b, &host_b, epoch, &host_c, &ignored, &f), -ESTALE);
	assert_int_equal(lease_give(&s->a, &host_a, epoch, &host_b, &epoch, &f), 0);
	assert_lease(s, LEASE_HELD, 2, &host_b);
	assert_int_equal(lease_take(&s->a, &host_a, LEASE_ANY, &ignored, &f), -ESTALE);
	assert_int_equal(lease_take_back(&s->a, &host_a, epoch, &ignored, &f), -ESTALE);
	assert_int_equal(lease_force(&s->a, &host_a, epoch - 1, &ignored, &f), -ESTALE);
	assert_int_equal(lease_force(&s->a, &host_a, epoch, &epoch, &f), 0);
	assert_lease(s, LEASE_HELD, 3, &host_a);
}

static void what_is_not_held_is_neither_offered_nor_freed(void **state)
{
	struct set *s = *state;
	uint64_t epoch;
	struct failure f;

	assert_int_equal(lease_offer(&s->a, &host_a, 0, &host_b, &epoch, &f), -ESTALE);
	assert_int_equal(lease_free(&s->a, &host_a, 0, &f), -ESTALE);
	assert_int_equal(lease_take_back(&s->a, &host_a, 0, &epoch, &f), -ESTALE);
	assert_int_equal(lease_holds(&s->a, &host_a, 0, &f), -ESTALE);
	assert_non_null(strstr(f.text, "nobody holds its lease since an unknown time"));
	take(&s->a, &host_a);
	assert_int_equal(lease_free(&s->b, &host_b, 1, &f), -ESTALE);
	assert_int_equal(lease_free(&s->a, &host_a, 2, &f), -ESTALE);
	assert_int_equal(lease_offer(&s->a, &host_a, 2, &host_b, &epoch, &f), -ESTALE);
	assert_lease(s, LEASE_HELD, 1, &host_a);
}

static void who_is_no_host_gets_nothing(void **state)
{
	struct set *s = *state;
	uint64_t epoch;
	struct failure f;

	assert_int_equal(lease_take(&s->a, &nobody, LEASE_ANY, &epoch, &f), -EINVAL);
	take(&s->a, &host_a);
	assert_int_equal(lease_offer(&s->a, &host_a, 1, &nobody, &epoch, &f), -EINVAL);
	assert_int_equal(lease_offer(&s->a, &host_a, 1, &host_a, &epoch, &f), -EINVAL);
	assert_lease(s, LEASE_HELD, 1, &host_a);
}

static void force_takes_it_from_whoever_has_it(void **state)
{
	struct set *s = *state;
	uint64_t epoch;
	struct failure f;

	take(&s->a, &host_a);
	assert_int_equal(lease_force(&s->b, &host_b, LEASE_ANY, &epoch, &f), 0);
	assert_lease(s, LEASE_HELD, 2, &host_b);
	assert_int_equal(lease_offer(&s->b, &host_b, epoch, &host_c, &epoch, &f), 0);
	assert_int_equal(lease_force(&s->a, &host_a, LEASE_ANY, &epoch, &f), 0);
	assert_int_equal(epoch, 4);
	assert_int_equal(lease_take(&s->b, &host_c, 3, &epoch, &f), -ESTALE);
	assert_lease(s, LEASE_HELD, 4, &host_a);
}

/* ---- races ---- */

struct racer {
	struct lease_file *l;
	bool takes; /* else it takes back */
	uint64_t epoch;
	pthread_barrier_t *start;
	int result;
};

static void *race(void *ctx)
{
	struct racer *r = ctx;
	struct failure f;
	uint64_t epoch;

	pthread_barrier_wait(r->start);
	r->result = r->takes ? lease_take(r->l, &host_b, r->epoch, &epoch, &f)
			     : lease_take_back(r->l, &host_a, r->epoch, &epoch, &f);
	return NULL;
}

static void of_who_takes_and_who_takes_back_exactly_one_gets_it(void **state)
{
	unsigned won[2] = {0};
	struct set *s = *state;
	pthread_barrier_t start;
	struct failure f;

	assert_int_equal(pthread_barrier_init(&start, NULL, 2), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct racer racer[2] = {{.l = &s->a, .start = &start},
					 {.l = &s->b, .takes = true, .start = &start}};
		uint64_t epoch;
		pthread_t other;

		assert_int_equal(lease_force(&s->a, &host_a, LEASE_ANY, &epoch, &f), 0);
		assert_int_equal(lease_offer(&s->a, &host_a, epoch, &host_b, &epoch, &f), 0);
		racer[0].epoch = racer[1].epoch = epoch;
		assert_int_equal(pthread_create(&other, NULL, race, &racer[i % 2]), 0);
		race(&racer[!(i % 2)]);
		pthread_join(other, NULL);
		assert_int_equal((racer[0].result == 0) + (racer[1].result == 0), 1);
		assert_int_equal(racer[0].result + racer[1].result, -ESTALE);
		won[racer[1].result == 0]++;
		assert_lease(s, LEASE_HELD, epoch + 1, racer[0].result == 0 ? &host_a : &host_b);
	}
	pthread_barrier_destroy(&start);
	print_message("# taken back %u times, taken %u times\n", won[0], won[1]);
}

/* Each of two processes goes for every epoch; wins are counted by the sum that is left. */
static void of_two_processes_one_gets_each_epoch(void **state)
{
	struct set *s = *state;
	unsigned sum = 0;
	pid_t child[2];

	for (unsigned i = 0; i < 2; i++) {
		child[i] = fork();
		assert_true(child[i] >= 0);
		if (child[i] == 0) {
			struct lease_file l = {.fd = -1, .vm = vm, .name = s->path};
			struct failure f;
			uint64_t epoch;
			unsigned won = 0;

			if (lease_open(&l, false, &f) < 0)
				_exit(255);
			for (uint64_t at = 0; at < 100; at++)
				won += lease_take(&l, &host_a, at, &epoch, &f) == 0;
			_exit((int)won);
		}
	}
	for (unsigned i = 0; i < 2; i++) {
		int status;

		assert_int_equal(waitpid(child[i], &status, 0), child[i]);
		assert_true(WIFEXITED(status));
		sum += (unsigned)WEXITSTATUS(status);
	}
	assert_int_equal(sum, 100);
	assert_lease(s, LEASE_HELD, 100, &host_a);
}

static void lock_that_stays_is_waited_for_so_long_and_told(void **state)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct set *s = *state;
	struct failure f;
	uint64_t epoch;

	s->b.wait_ms = 50;
	assert_int_equal(fcntl(s->a.fd, F_OFD_SETLK, &all), 0);
	assert_int_equal(lease_take(&s->b, &host_b, LEASE_ANY, &epoch, &f), -EBUSY);
	assert_non_null(strstr(f.text, "stays locked"));
	all.l_type = F_UNLCK;
	assert_int_equal(fcntl(s->a.fd, F_OFD_SETLK, &all), 0);
	assert_int_equal(take(&s->b, &host_b), 1);
}

/* ---- bytes ---- */

struct image {
	uint8_t bytes[LEASE_FILE_BYTES];
	size_t len;
};

static struct image read_image(const struct set *s)
{
	struct image i = {0};
	ssize_t n = pread(s->a.fd, i.bytes, sizeof(i.bytes), 0);

	assert_true(n >= 0);
	i.len = (size_t)n;
	return i;
}

static int decode(const struct set *s, const struct image *i, struct lease *ret, struct failure *f)
{
	return lease_decode(&s->a, i->bytes, i->len, ret, f);
}

/* The write that makes `to` of `from` is cut behind each of its bytes. */
static void assert_torn(const struct set *s, const struct image *from, const struct image *to,
			unsigned slot, uint64_t before, uint64_t after)
{
	size_t at = (size_t)slot * LEASE_SLOT_BYTES;
	struct failure f;
	struct lease now;

	for (size_t cut = 0; cut <= LEASE_SLOT_BYTES; cut++) {
		struct image torn = *from;
		bool whole;

		memcpy(torn.bytes + at, to->bytes + at, cut);
		if (cut && torn.len < at + cut)
			torn.len = at + cut;
		whole = memcmp(torn.bytes, to->bytes, sizeof(torn.bytes)) == 0;
		assert_int_equal(decode(s, &torn, &now, &f), 0);
		assert_int_equal(now.epoch, whole ? after : before);
	}
}

static void torn_write_of_either_slot_leaves_the_lease_as_it_was(void **state)
{
	struct set *s = *state;
	struct image from, to;
	struct failure f;
	uint64_t epoch = take(&s->a, &host_a);

	for (unsigned i = 0; i < 2; i++) {
		from = read_image(s);
		assert_int_equal(lease_offer(&s->a, &host_a, epoch, &host_b, &epoch, &f), 0);
		to = read_image(s);
		assert_torn(s, &from, &to, epoch % 2, epoch - 1, epoch);
		assert_int_equal(lease_take_back(&s->a, &host_a, epoch, &epoch, &f), 0);
		from = read_image(s);
		assert_torn(s, &to, &from, epoch % 2, epoch - 1, epoch);
	}
}

static void torn_first_writes_leave_it_free(void **state)
{
	struct set *s = *state;
	struct image none = {0}, first, half;

	take(&s->a, &host_a);
	first = read_image(s);
	assert_int_equal(first.len, LEASE_FILE_BYTES);
	half = first;
	half.len = LEASE_SLOT_BYTES;
	memset(half.bytes + half.len, 0, LEASE_SLOT_BYTES);
	assert_torn(s, &none, &half, 0, 0, 0);
	assert_torn(s, &half, &first, 1, 0, 1);
}

static void each_damaged_byte_is_noticed(void **state)
{
	struct set *s = *state;
	struct image whole, damaged;
	struct failure f;
	struct lease now;

	take(&s->a, &host_a);
	assert_int_equal(lease_free(&s->a, &host_a, 1, &f), 0);
	whole = read_image(s);
	for (size_t i = 0; i < LEASE_FILE_BYTES; i++) {
		damaged = whole;
		damaged.bytes[i] = (uint8_t)(whole.bytes[i] ^ 1u << i % 8);
		assert_int_equal(decode(s, &damaged, &now, &f), 0);
		assert_int_equal(now.epoch, i < LEASE_SLOT_BYTES ? 1 : 2); /* of the other slot */
		for (size_t k = LEASE_SLOT_BYTES; i < LEASE_SLOT_BYTES && k < LEASE_FILE_BYTES;
		     k += 37) {
			damaged.bytes[k] ^= 0x80;
			assert_int_equal(decode(s, &damaged, &now, &f), -EBADMSG);
			damaged.bytes[k] ^= 0x80;
		}
	}
	assert_non_null(strstr(f.text, "is damaged"));
}

static void damaged_slot_is_written_over_by_the_next_exchange(void **state)
{
	struct set *s = *state;

	take(&s->a, &host_a);
	take(&s->a, &host_a);
	take(&s->a, &host_a);
	assert_int_equal(pwrite(s->a.fd, "x", 1, LEASE_SLOT_BYTES + 20), 1);
	assert_lease(s, LEASE_HELD, 2, &host_a);
	assert_int_equal(take(&s->a, &host_a), 3);
	assert_lease(s, LEASE_HELD, 3, &host_a);
}

static void lease_of_another_vm_is_refused(void **state)
{
	struct set *s = *state;
	struct failure f;
	struct lease now;
	uint64_t epoch;

	take(&s->a, &host_a);
	s->b.vm = host_c;
	assert_int_equal(lease_read(&s->b, &now, &f), -EBADMSG);
	assert_non_null(strstr(f.text, "that of the VM 6ba7b810-9dad-11d1-80b4-00c04fd430c8"));
	assert_int_equal(lease_force(&s->b, &host_b, LEASE_ANY, &epoch, &f), -EBADMSG);
	s->b.vm = vm;
	assert_lease(s, LEASE_HELD, 1, &host_a);
}

static void text_in_its_place_is_no_lease(void **state)
{
	static const char *const texts[] = {"hello", "OYALEASX", "\0x", "OYAL\n"};
	struct set *s = *state;
	struct failure f;
	struct lease now;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct image text = {.len = i == 2 ? 2 : strlen(texts[i])};

		memcpy(text.bytes, texts[i], text.len);
		assert_int_equal(decode(s, &text, &now, &f), -EBADMSG);
		text.len = LEASE_FILE_BYTES;
		assert_int_equal(decode(s, &text, &now, &f), -EBADMSG);
	}
}

struct change {
	const char *what;
	size_t at;
	uint8_t value;
	int result;
};

/* Sums are right, so nobody has torn it. */
static void slots_that_make_no_sense_are_refused_though_the_other_is_good(void **state)
{
	static const struct change list[] = {
		{"version", offsetof(struct lease_slot, version), 2, -EPROTONOSUPPORT},
		{"state", offsetof(struct lease_slot, state), 3, -EBADMSG},
		{"free and owned", offsetof(struct lease_slot, state), LEASE_FREE, -EBADMSG},
		{"offered to nobody", offsetof(struct lease_slot, state), LEASE_OFFERED, -EBADMSG},
		{"epoch of the other slot", offsetof(struct lease_slot, epoch), 7, -EBADMSG},
		{"epoch too high", offsetof(struct lease_slot, epoch) + 7, 0x80, -EBADMSG},
		{"target", offsetof(struct lease_slot, target), 1, -EBADMSG},
		{"rest", offsetof(struct lease_slot, zero) + 427, 1, -EBADMSG},
		{"VM", offsetof(struct lease_slot, vm), 1, -EBADMSG},
	};
	struct set *s = *state;
	struct failure f;
	struct lease now;
	struct image whole;

	take(&s->a, &host_a);
	take(&s->a, &host_a);
	whole = read_image(s);
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		struct image changed = whole;
		uint32_t sum;

		changed.bytes[list[i].at] = list[i].value;
		sum = crc32c(0, changed.bytes, LEASE_SLOT_BYTES - 4);
		memcpy(changed.bytes + LEASE_SLOT_BYTES - 4, &sum, 4);
		print_message("# %s\n", list[i].what);
		assert_int_equal(decode(s, &changed, &now, &f), list[i].result);
		changed.len = LEASE_SLOT_BYTES;
		assert_true(decode(s, &changed, &now, &f) < 0);
	}
}

static void file_that_was_cut_short_is_refused(void **state)
{
	struct set *s = *state;
	struct failure f;
	struct lease now;
	struct image cut;

	take(&s->a, &host_a);
	take(&s->a, &host_a);
	cut = read_image(s);
	cut.len = LEASE_SLOT_BYTES;
	assert_int_equal(decode(s, &cut, &now, &f), -EBADMSG);
	assert_non_null(strstr(f.text, "is cut short"));
}

static void last_epoch_is_not_passed(void **state)
{
	struct lease last = {.state = LEASE_HELD, .epoch = LEASE_EPOCH_MAX, .owner = host_a};
	struct set *s = *state;
	struct lease_slot slot;
	struct failure f;
	uint64_t epoch;

	take(&s->a, &host_a);
	lease_encode(&s->a, &last, &slot);
	assert_int_equal(pwrite(s->a.fd, &slot, sizeof(slot), LEASE_SLOT_BYTES), sizeof(slot));
	assert_int_equal(lease_force(&s->b, &host_b, LEASE_ANY, &epoch, &f), -EOVERFLOW);
	assert_lease(s, LEASE_HELD, LEASE_EPOCH_MAX, &host_a);
}

static void times_are_told_in_utc(void **state)
{
	static const struct {
		uint64_t s;
		const char *text;
	} list[] = {
		{1, "1970-01-01 00:00:01 UTC"},          {951782400, "2000-02-29 00:00:00 UTC"},
		{951868799, "2000-02-29 23:59:59 UTC"},  {978307199, "2000-12-31 23:59:59 UTC"},
		{4107542400, "2100-03-01 00:00:00 UTC"}, {253402300799, "9999-12-31 23:59:59 UTC"},
		{253402300800, "an unknown time"},       {UINT64_MAX, "an unknown time"},
	};
	struct set *s = *state;
	struct failure f;

	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		struct lease held = {.state = LEASE_HELD, .owner = host_a, .since_s = list[i].s};

		assert_int_equal(lease_tell(&s->a, &held, &host_b, LEASE_ANY, &f), -ESTALE);
		assert_non_null(strstr(f.text, list[i].text));
	}
}

/* ---- disks that fail ---- */

/* Neither outcome is assumed; the next call tells which it was. */
static void write_that_failed_is_decided_by_the_next_read(void **state)
{
	struct set *s = *state;
	uint64_t epoch = 9;
	struct failure f;
	struct lease now;

	take(&s->a, &host_a);
	writes_left = 0;
	assert_int_equal(lease_free(&s->a, &host_a, 1, &f), -EIO);
	assert_non_null(strstr(f.text, "No space left on device"));
	assert_int_equal(lease_read(&s->a, &now, &f), -EIO);
	writes_left = ~0u;
	assert_int_equal(lease_read(&s->a, &now, &f), 0);
	assert_int_equal(now.epoch, 1);
	flushes_left = 0;
	assert_int_equal(lease_offer(&s->a, &host_a, 1, &host_b, &epoch, &f), -EIO);
	assert_int_equal(epoch, 9);
	assert_int_equal(lease_read(&s->a, &now, &f), -EIO);
	assert_int_equal(lease_take_back(&s->a, &host_a, 2, &epoch, &f), -EIO);
	flushes_left = 1; /* of what was read; then the exchange fails again */
	assert_int_equal(lease_take_back(&s->a, &host_a, 2, &epoch, &f), -EIO);
	flushes_left = ~0u;
	assert_int_equal(lease_read(&s->a, &now, &f), 0);
	assert_int_equal(now.epoch, 3);
	assert_int_equal(now.state, LEASE_HELD);
}

static void first_take_that_fails_leaves_it_free_or_taken(void **state)
{
	struct set *s = *state;
	struct failure f;
	uint64_t epoch;

	for (unsigned n = 0; n < 2; n++) {
		assert_int_equal(ftruncate(s->a.fd, 0), 0);
		writes_left = n;
		assert_int_equal(lease_take(&s->a, &host_a, LEASE_ANY, &epoch, &f), -EIO);
		writes_left = ~0u;
		assert_lease(s, LEASE_FREE, 0, &nobody);
	}
	assert_int_equal(take(&s->a, &host_a), 1);
}

static void what_is_no_file_is_not_opened(void **state)
{
	struct set *s = *state;
	struct lease_file l = {.fd = -1, .vm = vm, .name = s->path};
	struct failure f;

	assert_int_equal(unlink(s->path), 0);
	assert_int_equal(lease_open(&l, false, &f), -ENOENT);
	assert_int_equal(mkfifo(s->path, 0600), 0);
	assert_int_equal(lease_open(&l, true, &f), -EINVAL);
	assert_int_equal(unlink(s->path), 0);
	assert_int_equal(symlink("/dev/null", s->path), 0);
	assert_int_equal(lease_open(&l, true, &f), -ELOOP);
	assert_int_equal(l.fd, -1);
	lease_close(&l);
}

static void nothing_is_allocated(void **state)
{
	struct set *s = *state;
	struct failure f;
	uint64_t epoch;

	failheap_arm(0);
	epoch = take(&s->a, &host_a);
	assert_int_equal(lease_take(&s->b, &host_b, LEASE_ANY, &epoch, &f), -ESTALE);
	assert_int_equal(lease_offer(&s->a, &host_a, epoch, &host_b, &epoch, &f), 0);
	assert_int_equal(lease_take_back(&s->a, &host_a, epoch, &epoch, &f), 0);
	assert_int_equal(lease_free(&s->a, &host_a, epoch, &f), 0);
	assert_int_equal(failheap_disarm(), 0);
	assert_false(failheap_failed());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(empty_file_is_free_with_epoch_0),
		TEST(lease_goes_from_one_host_to_another_by_an_offer),
		TEST(lease_of_another_host_is_refused_and_told),
		TEST(lease_of_ones_own_is_taken_again_after_a_crash),
		TEST(offer_is_for_its_target_at_its_epoch_alone),
		TEST(a_lease_that_is_given_is_another_hosts_until_it_is_forced),
		TEST(what_is_not_held_is_neither_offered_nor_freed),
		TEST(who_is_no_host_gets_nothing),
		TEST(force_takes_it_from_whoever_has_it),
		TEST(of_who_takes_and_who_takes_back_exactly_one_gets_it),
		TEST(of_two_processes_one_gets_each_epoch),
		TEST(lock_that_stays_is_waited_for_so_long_and_told),
		TEST(torn_write_of_either_slot_leaves_the_lease_as_it_was),
		TEST(torn_first_writes_leave_it_free),
		TEST(each_damaged_byte_is_noticed),
		TEST(damaged_slot_is_written_over_by_the_next_exchange),
		TEST(lease_of_another_vm_is_refused),
		TEST(text_in_its_place_is_no_lease),
		TEST(slots_that_make_no_sense_are_refused_though_the_other_is_good),
		TEST(file_that_was_cut_short_is_refused),
		TEST(last_epoch_is_not_passed),
		TEST(times_are_told_in_utc),
		TEST(write_that_failed_is_decided_by_the_next_read),
		TEST(first_take_that_fails_leaves_it_free_or_taken),
		TEST(what_is_no_file_is_not_opened),
		TEST(nothing_is_allocated),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
