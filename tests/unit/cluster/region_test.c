/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of a witness, and the region on a file: there and back, damage, and what is not ours.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/guid.h"
#include "cluster/witness/region.h"
#include "tests/lib/failheap.h"

static const struct guid id = GUID_INIT(0x6ba7b810, 0x9dad, 0x11d1, 0x80b4, 0x00c04fd430c8);
static const struct witness_record record = {
	.node = 2,
	.count = 7,
	.state = WITNESS_CLAIM,
	.held = true,
	.ring = {.seq = 9, .node = 1, .members = 3},
	.since_s = 11,
};

static struct witness_seen decode(struct witness_slot *s, uint32_t node, bool mend)
{
	uint8_t bytes[WITNESS_RECORD_BYTES];
	struct witness_seen seen;

	if (mend)
		s->sum = crc32c(0, s, offsetof(struct witness_slot, sum));
	memcpy(bytes, s, sizeof(bytes));
	witness_decode_slot(&id, node, bytes, &seen);
	return seen;
}

static void a_slot_comes_back_as_it_was(void **state)
{
	struct witness_slot s;
	struct witness_seen seen;

	(void)state;
	witness_encode_slot(&id, &record, &s);
	seen = decode(&s, 2, false);
	assert_int_equal(seen.kind, WITNESS_GOOD);
	assert_int_equal(seen.record.count, 7);
	assert_int_equal(seen.record.state, WITNESS_CLAIM);
	assert_true(seen.record.held);
	assert_true(witness_ring_equal(&seen.record.ring, &record.ring));
}

static void slots_that_make_no_sense_are_bad(void **state)
{
	struct witness_slot good, s;
	struct witness_record idle = record;

	(void)state;
	witness_encode_slot(&id, &record, &good);
	assert_int_equal(decode(&good, 1, false).kind, WITNESS_BAD);
#define BAD_WITH(change) s = good, change, assert_int_equal(decode(&s, 2, true).kind, WITNESS_BAD)
	BAD_WITH(s.version = 2);
	BAD_WITH(s.count = 0);
	BAD_WITH(s.count = WITNESS_COUNT_MAX + 1);
	BAD_WITH(s.state = WITNESS_STATES);
	BAD_WITH(s.held = 2);
	BAD_WITH(s.members = 1);
	BAD_WITH(s.region.b[3] ^= 1);
	BAD_WITH(s.zero[100] = 1);
	s = good;
	s.members = 0xff;
	assert_int_equal(decode(&s, 2, false).kind, WITNESS_BAD);
	idle.state = WITNESS_IDLE;
	witness_encode_slot(&id, &idle, &s);
	assert_int_equal(decode(&s, 2, false).kind, WITNESS_BAD); /* held */
	memset(&s, 0, sizeof(s));
	assert_int_equal(decode(&s, 2, false).kind, WITNESS_EMPTY);
}

/* ---- on a file ---- */

struct place {
	char folder[64], path[96];
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	strcpy(p->folder, "/var/tmp/oya-witness-test-XXXXXX"); /* has direct I/O */
	assert_non_null(mkdtemp(p->folder));
	snprintf(p->path, sizeof(p->path), "%s/witness", p->folder);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	unlink(p->path);
	rmdir(p->folder);
	free(p);
	return 0;
}

static void what_one_writes_all_read(void **state)
{
	struct place *p = *state;
	struct witness_seen seen[WITNESS_SLOTS_MAX];
	struct witness_record next = record;
	struct region a, b;
	struct failure f;

	assert_int_equal(region_make(p->path, "web", &f), 0);
	assert_int_equal(region_open(&a, p->path, &f), 0);
	assert_int_equal(region_open(&b, p->path, &f), 0);
	assert_string_equal(b.cluster, "web");
	assert_int_equal(region_write(&a, &record, &f), 0);
	assert_int_equal(region_read(&b, seen, &f), 0);
	assert_int_equal(seen[0].kind, WITNESS_EMPTY);
	assert_int_equal(seen[2].kind, WITNESS_EMPTY);
	assert_int_equal(seen[3].kind, WITNESS_GOOD);
	assert_int_equal(seen[3].record.count, 7);
	next.count++;
	assert_int_equal(region_write(&a, &next, &f), 0);
	assert_int_equal(region_read(&b, seen, &f), 0);
	assert_int_equal(seen[2].record.count, 8);
	assert_int_equal(seen[3].record.count, 7);
	assert_int_equal(truncate(p->path, 0), 0);
	assert_int_equal(region_read(&b, seen, &f), -ENODATA);
	region_close(&a);
	region_close(&b);
}

static void a_witness_is_made_once_and_where_nothing_is(void **state)
{
	struct place *p = *state;
	struct region r;
	struct failure f;
	struct guid first;

	assert_int_equal(region_make(p->path, "", &f), -EINVAL);
	assert_int_equal(region_make(p->path, "web", &f), 0);
	assert_int_equal(region_open(&r, p->path, &f), 0);
	first = r.id;
	region_close(&r);
	assert_int_equal(region_make(p->path, "web", &f), 0);
	assert_int_equal(region_open(&r, p->path, &f), 0);
	assert_true(guid_equal(&first, &r.id));
	region_close(&r);
	assert_int_equal(region_make(p->path, "mail", &f), -EEXIST);
	assert_int_equal(truncate(p->path, 4096), 0);
	assert_int_equal(region_open(&r, p->path, &f), -ENODATA);
	assert_int_equal(region_make(p->path, "web", &f), -EEXIST); /* not empty */
	assert_int_equal(region_open(&r, p->folder, &f), -EISDIR);
}

static int make_and_open(void *ctx)
{
	struct place *p = ctx;
	struct region r;
	struct failure f;
	int error = region_make(p->path, "web", &f);

	if (error == 0)
		error = region_open(&r, p->path, &f);
	if (error == 0)
		region_close(&r);
	return error;
}

static void no_memory_is_told(void **state)
{
	assert_int_equal(failheap_sweep(make_and_open, *state), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slot_comes_back_as_it_was),
		cmocka_unit_test(slots_that_make_no_sense_are_bad),
		cmocka_unit_test_setup_teardown(what_one_writes_all_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_witness_is_made_once_and_where_nothing_is, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(no_memory_is_told, set_up, tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
