/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ladder of fencing as the engine's configuration has it, and whose storage it covers. */
#include "host/rungs.h"

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
#include <sys/sysmacros.h>
#include <unistd.h>

#include "host/coverage.h"
#include "host/fencing.h"
#include "tests/lib/failheap.h"

#define BEGIN "<configuration><resources>"
#define END(topology) \
	"</resources><fencing-topology>" topology "</fencing-topology></configuration>"
#define VALUE(name, value) "<nvpair id=\"x\" name=\"" name "\" value=\"" value "\"/>"
#define DISKS(tested)                                                                            \
	"<primitive id=\"fence-disks\" class=\"stonith\" type=\"fence_oya_reservation\">"        \
	"<instance_attributes id=\"a\">" VALUE("devices", "/dev/a,/dev/b")                       \
		VALUE("nodes", "h1:1") "</instance_attributes><meta_attributes id=\"m\">" VALUE( \
			"oya-tested", tested) "</meta_attributes></primitive>"
#define POWER "<primitive id=\"ipmi\" class=\"stonith\" type=\"fence_ipmilan\"/>"
#define VM                                                                                     \
	"<group id=\"g\"><primitive id=\"vm-web\" class=\"ocf\" provider=\"oya\" type=\"vm\">" \
	"<instance_attributes id=\"v\">" VALUE("folder", "/srv/web")                           \
		VALUE("devices", "x") "</instance_attributes></primitive></group>"

static json_t *decode(const char *text)
{
	struct failure f = {""};
	json_t *rungs;

	if (rungs_decode(text, strlen(text), &rungs, &f) < 0)
		fail_msg("%s", f.text);
	return rungs;
}

static const char *text_of(const json_t *list, size_t i, const char *name)
{
	return json_string_value(json_object_get(json_array_get(list, i), name));
}

static void rungs_and_vms_are_those_of_the_configuration(void **state)
{
	json_t *r = decode(BEGIN DISKS("1700000000 h2 passed") POWER VM END(""));
	const json_t *list = json_object_get(r, "rungs"), *tested;

	(void)state;
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(text_of(list, 0, "kind"), "reservation");
	assert_string_equal(text_of(list, 0, "nodes"), "h1:1");
	assert_string_equal(text_of(list, 1, "kind"), "power");
	assert_string_equal(text_of(json_object_get(r, "vms"), 0, "folder"), "/srv/web");
	assert_int_equal(json_array_size(rungs_devices(r)), 2);
	assert_true(rungs_has(rungs_devices(r), "/dev/b") &&
		    !rungs_has(rungs_devices(r), "/dev/c"));
	tested = json_object_get(json_array_get(list, 0), "tested");
	assert_true(json_is_true(json_object_get(tested, "passed")));
	assert_true(json_is_null(json_object_get(json_array_get(list, 1), "tested")));
	json_decref(r);
	r = decode(BEGIN POWER END(""));
	assert_null(rungs_devices(r));
	json_decref(r);
}

static void a_list_that_is_not_whole_is_none(void **state)
{
	char text[8192] = BEGIN "<primitive id=\"fence-disks\" class=\"stonith\" "
				"type=\"fence_oya_reservation\"><instance_attributes id=\"a\">"
				"<nvpair id=\"x\" name=\"devices\" value=\"";
	struct failure f;
	json_t *rungs;

	(void)state;
	for (unsigned i = 0; i < RUNGS_DEVICES_MAX + 1; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "/dev/%u,", i);
	strcat(text, "\"/></instance_attributes></primitive>" END(""));
	assert_int_equal(rungs_decode(text, strlen(text), &rungs, &f), -E2BIG);
}

static int decode_once(void *ctx)
{
	struct failure f;
	json_t *rungs;
	int r = rungs_decode(ctx, strlen(ctx), &rungs, &f);

	if (r == 0)
		json_decref(rungs);
	return r;
}

static void no_memory_is_told_and_leaves_nothing(void **state)
{
	(void)state;
	failheap_sweep(decode_once, (char *)(uintptr_t)BEGIN DISKS("") VM END(""));
}

static void reservations_are_alone_unless_each_level_has_more(void **state)
{
	static const struct {
		const char *text;
		bool alone;
	} cases[] = {
		{BEGIN DISKS("") POWER END(""), true},
		{BEGIN DISKS("") POWER END("<fencing-level devices=\"ipmi,fence-disks\"/>"), false},
		{BEGIN DISKS("") POWER END("<fencing-level devices=\"ipmi\"/>"
					   "<fencing-level devices=\"fence-disks\"/>"),
		 true},
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		json_t *r = decode(cases[i].text);

		assert_int_equal(json_is_true(json_object_get(r, "alone")), cases[i].alone);
		json_decref(r);
	}
}

static void what_a_test_has_shown_comes_back(void **state)
{
	char text[200];
	json_t *t;

	(void)state;
	assert_int_equal(rungs_write_test(text, sizeof(text), 7, "h1", "it still writes"), 0);
	t = rungs_read_test(text);
	assert_int_equal(json_integer_value(json_object_get(t, "at")), 7);
	assert_string_equal(json_string_value(json_object_get(t, "reason")), "it still writes");
	assert_true(json_is_false(json_object_get(t, "passed")));
	json_decref(t);
	assert_int_equal(rungs_write_test(text, 4, 7, "h1", NULL), -E2BIG);
	t = rungs_read_test("rubbish");
	assert_true(json_is_null(t));
	json_decref(t);
}

static void devices_of_a_client_are_disks(void **state)
{
	static const char *const wrong[] = {"sda", "/dev/a,/dev/b", "/dev/a b", "/dev/\"", ""};
	struct failure f;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		json_t *list = json_pack("[s]", wrong[i]);

		assert_int_equal(rungs_check_devices(list, &f), -EINVAL);
		json_decref(list);
	}
}

static void the_engine_is_told_of_it_as_it_is_decoded(void **state)
{
	struct members m = {.name = "lab", .count = 2};
	json_t *devices = json_pack("[s, s]", "/dev/a", "iscsi://h/t/1"), *r;
	char *xml;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		snprintf(m.member[i].name, sizeof(m.member[i].name), "h%u", i + 1);
		m.member[i].id = i + 1;
	}
	xml = rungs_encode(&m, devices);
	r = decode(xml);
	assert_true(json_equal(rungs_devices(r), devices));
	assert_string_equal(text_of(json_object_get(r, "rungs"), 0, "nodes"), "h1:1;h2:2");
	json_decref(r);
	json_decref(devices);
	free(xml);
}

/* ---- devices ---- */

static char sys[] = "/tmp/oya-rungs-XXXXXX";

__attribute__((format(printf, 2, 3))) static void put(const char *text, const char *format, ...)
{
	char name[256], path[512];
	va_list arguments;
	FILE *to;

	va_start(arguments, format);
	vsnprintf(name, sizeof(name), format, arguments);
	va_end(arguments);
	snprintf(path, sizeof(path), "%s/%s", sys, name);
	for (char *at = path + strlen(sys) + 1; (at = strchr(at, '/')); *at++ = '/') {
		*at = '\0';
		(void)mkdir(path, 0700);
	}
	to = fopen(path, "w");
	assert_non_null(to);
	fputs(text, to);
	fclose(to);
}

/* 8:1 and 8:17 are partitions of 8:0 and 8:16; 253:0 lies on both, 253:1 on 253:0; 253:2 on 8:1 and
 * 8:32. */
static void a_device_reaches_the_set_by_its_parts_all_of_them(void **state)
{
	const dev_t both[] = {makedev(8, 0), makedev(8, 16)};
	char path[512];

	(void)state;
	assert_non_null(mkdtemp(sys));
	put("8:0\n", "disk/a/dev");
	put("1\n", "disk/a/a1/partition");
	put("8:16\n", "disk/b/dev");
	put("1\n", "disk/b/b1/partition");
	put("", "dev/block/none");
	snprintf(path, sizeof(path), "%s/dev/block/8:1", sys);
	assert_int_equal(symlink("../../disk/a/a1", path), 0);
	snprintf(path, sizeof(path), "%s/dev/block/8:17", sys);
	assert_int_equal(symlink("../../disk/b/b1", path), 0);
	put("8:1\n", "dev/block/253:0/slaves/a1/dev");
	put("8:17\n", "dev/block/253:0/slaves/b1/dev");
	put("253:0\n", "dev/block/253:1/slaves/dm-0/dev");
	put("8:1\n", "dev/block/253:2/slaves/a1/dev");
	put("8:32\n", "dev/block/253:2/slaves/c/dev");
	put("253:3\n", "dev/block/253:3/slaves/self/dev");
	assert_true(coverage_reaches(sys, both, 2, makedev(8, 0)));
	assert_true(coverage_reaches(sys, both, 2, makedev(8, 17)));
	assert_true(coverage_reaches(sys, both, 2, makedev(253, 1)));
	assert_false(coverage_reaches(sys, both, 1, makedev(253, 1)));
	assert_false(coverage_reaches(sys, both, 2, makedev(253, 2)));
	assert_false(coverage_reaches(sys, both, 2, makedev(253, 3))); /* of itself */
	assert_false(coverage_reaches(sys, both, 2, makedev(0, 40)));  /* a share */
	snprintf(path, sizeof(path), "rm -r %s", sys);
	assert_int_equal(system(path), 0);
}

/* ---- this host ---- */

static void a_note_of_another_boot_is_empty(void **state)
{
	static const char note[] =
		"{\"version\": 1, \"boot\": \"b1\", \"devices\": {\"/dev/a\": 3}}";
	static const char *const others[] = {
		"", "[]", "{\"version\": 2, \"boot\": \"b1\", \"devices\": {\"/dev/a\": 3}}",
		"{\"version\": 1, \"boot\": \"b1\", \"devices\": {\"/dev/a\": \"3\"}}"};
	json_t *d = fencing_decode_note(note, strlen(note), "b1");

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(d, "/dev/a")), 3);
	json_decref(d);
	d = fencing_decode_note(note, strlen(note), "b2");
	assert_int_equal(json_object_size(d), 0);
	json_decref(d);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		d = fencing_decode_note(others[i], strlen(others[i]), "b1");
		assert_int_equal(json_object_size(d), 0);
		json_decref(d);
	}
}

static void lines_of_the_agent_are_told_apart(void **state)
{
	char text[] = "/dev/a in 4\nrubbish\n/dev/b out 4294967295\n/dev/x in\n"
		      "/dev/c unknown /dev/c does not answer\n";
	struct fencing_line l;
	char *at = text;

	(void)state;
	assert_true(fencing_next_line(&at, &l));
	assert_true(l.side == FENCING_IN && l.generation == 4);
	assert_true(fencing_next_line(&at, &l));
	assert_true(l.side == FENCING_OUT && l.generation == UINT32_MAX);
	assert_true(fencing_next_line(&at, &l));
	assert_true(l.side == FENCING_UNKNOWN);
	assert_string_equal(l.why, "/dev/c does not answer");
	assert_false(fencing_next_line(&at, &l));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rungs_and_vms_are_those_of_the_configuration),
		cmocka_unit_test(a_list_that_is_not_whole_is_none),
		cmocka_unit_test(no_memory_is_told_and_leaves_nothing),
		cmocka_unit_test(reservations_are_alone_unless_each_level_has_more),
		cmocka_unit_test(what_a_test_has_shown_comes_back),
		cmocka_unit_test(devices_of_a_client_are_disks),
		cmocka_unit_test(the_engine_is_told_of_it_as_it_is_decoded),
		cmocka_unit_test(a_device_reaches_the_set_by_its_parts_all_of_them),
		cmocka_unit_test(a_note_of_another_boot_is_empty),
		cmocka_unit_test(lines_of_the_agent_are_told_apart),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
