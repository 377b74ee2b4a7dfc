/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/statetest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"

#define PLACES 400u

/* What a device wrote, with room for a byte behind it; the caller frees it. */
struct written {
	uint8_t *bytes;
	size_t len;
};

static struct written write_new(state_fn fn, void *device)
{
	struct written w = {.len = statetest_write(fn, device, NULL, 0)};

	w.bytes = malloc(w.len + 1);
	assert_non_null(w.bytes);
	statetest_write(fn, device, w.bytes, w.len);
	return w;
}

size_t statetest_write(state_fn fn, void *device, uint8_t *to, size_t room)
{
	struct record counts = record_writer(1, NULL, 0), r = record_writer(1, to, room);

	fn(device, &counts);
	fn(device, &r);
	if (record_end(&r) < 0)
		fail_msg("the record cannot be written: %s", r.wrong);
	assert_int_equal(counts.used, r.used);
	return r.used;
}

int statetest_read(state_fn fn, void *device, const uint8_t *from, size_t len, char *ret_wrong)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct record r;
	int e;

	assert_non_null(copy);
	memcpy(copy, from, len);
	r = record_reader(1, copy, len);
	fn(device, &r);
	e = record_end(&r);
	free(copy);
	if (ret_wrong)
		memcpy(ret_wrong, r.wrong, sizeof(r.wrong));
	return e;
}

static void assert_writes(state_fn fn, void *device, const struct written *expected)
{
	struct written found = write_new(fn, device);

	assert_int_equal(found.len, expected->len);
	assert_memory_equal(found.bytes, expected->bytes, expected->len);
	free(found.bytes);
}

void statetest_same(state_fn fn, void *from, void *fresh)
{
	struct written w = write_new(fn, from);
	char wrong[RECORD_WRONG_MAX];

	assert_writes(fn, from, &w); /* writing changes nothing */
	if (statetest_read(fn, fresh, w.bytes, w.len, wrong) < 0)
		fail_msg("its own record is refused: %s", wrong);
	assert_writes(fn, fresh, &w);
	free(w.bytes);
}

/* From one place of a record to the next that is tried: all of a short record, some hundreds of a
 * long one, since each costs a device. */
static size_t stride(size_t len)
{
	return len < 2 * PLACES ? 1 : len / PLACES | 1;
}

void statetest_cut(state_fn fn, void *from, void *(*make)(void), void (*drop)(void *))
{
	struct written w = write_new(fn, from), before;
	void *fresh = make();

	assert_non_null(fresh);
	before = write_new(fn, fresh);
	for (size_t len = 0; len < w.len; len += stride(w.len)) {
		if (statetest_read(fn, fresh, w.bytes, len, NULL) == 0)
			fail_msg("the first %zu of %zu bytes are taken for a record", len, w.len);
		assert_writes(fn, fresh, &before);
	}
	drop(fresh);
	free(before.bytes);
	free(w.bytes);
}

void statetest_more(state_fn fn, void *from, void *(*make)(void), void (*drop)(void *))
{
	struct written w = write_new(fn, from), before;
	void *fresh = make();

	assert_non_null(fresh);
	before = write_new(fn, fresh);
	w.bytes[w.len] = 1;
	assert_true(statetest_read(fn, fresh, w.bytes, w.len + 1, NULL) < 0);
	assert_writes(fn, fresh, &before);
	drop(fresh);
	free(before.bytes);
	free(w.bytes);
}

static void read_and_drive(state_fn fn, const struct written *w, void *(*make)(void),
			   void (*drop)(void *), void (*drive)(void *))
{
	void *fresh = make();

	assert_non_null(fresh);
	if (statetest_read(fn, fresh, w->bytes, w->len, NULL) == 0)
		drive(fresh);
	drop(fresh);
}

void statetest_flip(state_fn fn, void *from, void *(*make)(void), void (*drop)(void *),
		    void (*drive)(void *))
{
	struct written w = write_new(fn, from);

	for (size_t at = 0; at < w.len; at += stride(w.len)) {
		uint8_t was = w.bytes[at];
		uint8_t values[] = {0, 1, 0x7f, 0xff, was ^ 0x80};

		for (size_t i = 0; i < ARRAY_LEN(values); i++) {
			w.bytes[at] = values[i];
			read_and_drive(fn, &w, make, drop, drive);
		}
		w.bytes[at] = was;
	}
	free(w.bytes);
}

static struct record_field find(const struct written *w, const char *name)
{
	struct record r = record_reader(1, w->bytes, w->len);
	struct record_field f;

	while (record_next(&r, &f) == 0) {
		if (strcmp(f.name, name) == 0)
			return f;
	}
	fail_msg("the record has no field '%s'", name);
	return f;
}

void statetest_refuses(state_fn fn, void *from, void *(*make)(void), void (*drop)(void *),
		       const char *field, size_t at, const void *bytes, size_t len, const char *why)
{
	struct written w = write_new(fn, from), before;
	struct record_field f = find(&w, field);
	char wrong[RECORD_WRONG_MAX];
	void *fresh = make();

	assert_non_null(fresh);
	assert_true(range_within(at, len, f.len));
	before = write_new(fn, fresh);
	memcpy(w.bytes + (f.value - w.bytes) + at, bytes, len);
	if (statetest_read(fn, fresh, w.bytes, w.len, wrong) == 0)
		fail_msg("a record with another '%s' is taken", field);
	if (!strstr(wrong, why))
		fail_msg("'%s' does not tell of '%s'", wrong, why);
	assert_writes(fn, fresh, &before);
	drop(fresh);
	free(before.bytes);
	free(w.bytes);
}
