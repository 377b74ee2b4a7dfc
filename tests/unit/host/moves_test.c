/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the disk tells of VMs that come and go. */
#include "host/moves.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "host/store.h"

#define UUID "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

static char state[32], own[64];

static int set_up(void **ctx)
{
	char vms[48];

	(void)ctx;
	strcpy(state, "/tmp/oya-moves-XXXXXX");
	assert_non_null(mkdtemp(state));
	snprintf(vms, sizeof(vms), "%s/vms", state);
	assert_int_equal(mkdir(vms, 0700), 0);
	snprintf(own, sizeof(own), "%s/vms/web", state);
	return 0;
}

static int tear_down(void **ctx)
{
	struct failure f;

	(void)ctx;
	return store_remove_folder(state, &f);
}

static struct move read_it(void)
{
	struct failure f;
	struct move m;

	assert_int_equal(move_read(state, UUID, &m, &f), 0);
	return m;
}

static void a_move_is_read_as_it_was_written(void **ctx)
{
	const struct move all = {MOVE_INCOMING, "web", "[2001:db8::1]:7443", true, true, true};
	struct failure f;
	struct move m;

	(void)ctx;
	assert_int_equal(read_it().state, MOVE_NONE);
	assert_int_equal(move_drop(state, UUID, &f), 0);
	assert_int_equal(move_write(state, UUID, &all, &f), 0);
	m = read_it();
	assert_true(m.state == all.state && m.linked && m.was_gone && m.storage);
	assert_string_equal(m.name, all.name);
	assert_string_equal(m.host, all.host);
	assert_int_equal(move_drop(state, UUID, &f), 0);
	assert_int_equal(read_it().state, MOVE_NONE);
}

static void what_is_no_move_is_refused(void **ctx)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"version\":2,\"state\":\"gone\",\"name\":\"web\",\"host\":\"b\"}",
		"{\"version\":1,\"state\":\"none\",\"name\":\"web\",\"host\":\"b\"}",
		"{\"version\":1,\"state\":\"here\",\"name\":\"web\",\"host\":\"b\"}",
		"{\"version\":1,\"state\":\"gone\",\"name\":\"../b\",\"host\":\"b\"}",
		"{\"version\":1,\"state\":\"gone\",\"name\":\"web\"}",
		"{\"version\":1,\"state\":\"gone\",\"name\":\"web\",\"host\":\"b\",\"more\":1}",
		"{\"version\":1,\"state\":\"gone\",\"name\":\"web\",\"host\":\"b\",\"linked\":1}",
	};
	struct move m = {.state = MOVE_GONE};
	struct failure f;

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (move_decode(bad[i], strlen(bad[i]), &m, &f) != -EINVAL)
			fail_msg("'%s' is taken", bad[i]);
	}
	assert_int_equal(m.state, MOVE_GONE);
}

/* The link goes, what it leads to stays; one that had gone before has gone again. */
static void a_vm_that_has_not_come_leaves_nothing(void **ctx)
{
	struct move m = {.state = MOVE_INCOMING, .name = "web", .host = "b", .linked = true};
	struct failure f;

	(void)ctx;
	assert_int_equal(symlink("/", own), 0);
	assert_int_equal(move_write(state, UUID, &m, &f), 0);
	assert_int_equal(move_undo(state, UUID, &m, &f), 0);
	assert_int_equal(access(own, F_OK), -1);
	assert_int_equal(read_it().state, MOVE_NONE);
	/* Also when the link was never made. */
	assert_int_equal(move_undo(state, UUID, &m, &f), 0);
	m.linked = false;
	m.was_gone = true;
	assert_int_equal(mkdir(own, 0700), 0);
	assert_int_equal(move_undo(state, UUID, &m, &f), 0);
	assert_int_equal(access(own, F_OK), 0);
	assert_int_equal(read_it().state, MOVE_GONE);
	assert_false(read_it().was_gone);
}

/* Who asks hears it, until it is known; of one that comes still, or has gone, nothing. */
static void a_vm_that_has_not_come_with_its_disks_is_told_of_until_that_is_known(void **ctx)
{
	struct move m = {.state = MOVE_INCOMING, .name = "web", .host = "b", .storage = true};
	struct failure f;

	(void)ctx;
	assert_int_equal(move_confess(state, UUID, true, &f), 0);
	assert_int_equal(move_write(state, UUID, &m, &f), 0);
	assert_int_equal(move_confess(state, UUID, true, &f), 0);
	assert_int_equal(move_undo(state, UUID, &m, &f), 0);
	assert_int_equal(read_it().state, MOVE_UNDONE);
	assert_int_equal(move_confess(state, UUID, false, &f), 1);
	assert_int_equal(move_confess(state, UUID, true, &f), 1);
	assert_int_equal(move_confess(state, UUID, true, &f), 0);
	m.state = MOVE_GONE;
	assert_int_equal(move_write(state, UUID, &m, &f), 0);
	assert_int_equal(move_confess(state, UUID, true, &f), 0);
	assert_int_equal(read_it().state, MOVE_GONE);
}

static void a_vm_that_has_gone_leaves_its_folder_to_the_other_host(void **ctx)
{
	const struct move m = {.state = MOVE_GONE, .name = "web", .host = "b"};
	struct failure f;

	(void)ctx;
	/* A folder of ours: the file tells that it is not to be listed, as long as it is there. */
	assert_int_equal(mkdir(own, 0700), 0);
	assert_int_equal(move_write(state, UUID, &m, &f), 0);
	assert_int_equal(move_let_go(state, UUID, &m, &f), 0);
	assert_int_equal(access(own, F_OK), 0);
	assert_int_equal(read_it().state, MOVE_GONE);
	assert_int_equal(rmdir(own), 0);
	assert_int_equal(move_let_go(state, UUID, &m, &f), 0);
	assert_int_equal(read_it().state, MOVE_NONE);
	/* A link of ours. */
	assert_int_equal(symlink("/", own), 0);
	assert_int_equal(move_write(state, UUID, &m, &f), 0);
	assert_int_equal(move_let_go(state, UUID, &m, &f), 0);
	assert_int_equal(access(own, F_OK), -1);
	assert_int_equal(read_it().state, MOVE_NONE);
}

static void count(void *ctx, const char *uuid, const struct move *m)
{
	assert_string_equal(uuid, UUID);
	assert_int_equal(m->state, MOVE_LEAVING);
	++*(unsigned *)ctx;
}

static void each_of_them_is_found(void **ctx)
{
	const struct move m = {.state = MOVE_LEAVING, .name = "web", .host = "b"};
	unsigned found = 0;
	char folder[64];
	struct failure f;

	(void)ctx;
	moves_each(state, count, &found);
	assert_int_equal(found, 0);
	assert_int_equal(move_write(state, UUID, &m, &f), 0);
	snprintf(folder, sizeof(folder), "%s/moves", state);
	assert_int_equal(store_write(folder, "not-one", "{}", 2, &f), 0);
	moves_each(state, count, &found);
	assert_int_equal(found, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_move_is_read_as_it_was_written, set_up,
						tear_down),
		cmocka_unit_test(what_is_no_move_is_refused),
		cmocka_unit_test_setup_teardown(
			a_vm_that_has_not_come_with_its_disks_is_told_of_until_that_is_known,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_vm_that_has_not_come_leaves_nothing, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_vm_that_has_gone_leaves_its_folder_to_the_other_host, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_of_them_is_found, set_up, tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
