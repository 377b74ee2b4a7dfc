/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `oya vm create` and `oya vm set` make of their words: settings, and merge patches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/runoya.h"

/* The body of the call that a dry run prints. */
static void makes(const char *words, const char *call, const char *expected)
{
	json_t *wanted = json_loads(expected, 0, NULL), *got;
	struct oya_run r = oya_run(words, NULL);
	const char *body;

	assert_non_null(wanted);
	if (r.status != 0)
		fail_msg("%s: %s", words, r.err);
	assert_int_equal(strncmp(r.out, call, strlen(call)), 0);
	body = strstr(r.out, "\n\n");
	assert_non_null(body);
	got = json_loads(body, JSON_DISABLE_EOF_CHECK, NULL);
	if (!json_equal(got, wanted))
		fail_msg("%s makes %s", words, body);
	json_decref(got);
	json_decref(wanted);
	oya_run_done(&r);
}

static void refuses(const char *words, const char *sentence)
{
	struct oya_run r = oya_run(words, NULL);

	assert_int_equal(r.status, 2);
	assert_string_equal(r.out, "");
	if (!strstr(r.err, sentence))
		fail_msg("%s: %s", words, r.err);
	oya_run_done(&r);
}

/* ---- create ---- */

static void a_vm_needs_no_more_than_a_name(void **state)
{
	(void)state;
	makes("vm create web --dry-run", "POST /v1/vms\n",
	      "{\"name\": \"web\", \"boot\": {\"firmware\": \"bios\"}, \"nics\": ["
	      "{\"type\": \"switch\", \"switch\": \"default\"}]}");
	makes("vm create web --net none --dry-run", "POST /v1/vms\n",
	      "{\"name\": \"web\", \"boot\": {\"firmware\": \"bios\"}}");
}

static void each_option_has_its_setting(void **state)
{
	(void)state;
	makes("vm create web --cpus 2 --memory 2G --disk /srv/a.raw,ro --disk 20G,cache=writeback "
	      "--dvd /srv/i.iso --dvd empty --net user,forward=tcp:2222:22 --net tap=t0 "
	      "--net switch=lan,vlan=20 "
	      "--notes 'our web server' --tag web --tag public --dry-run",
	      "POST /v1/vms\n",
	      "{\"name\": \"web\", \"cpus\": 2, \"memory_mib\": 2048,"
	      " \"boot\": {\"firmware\": \"bios\"}, \"disks\": ["
	      "{\"file\": \"/srv/a.raw\", \"read_only\": true},"
	      "{\"file\": \"disk1.raw\", \"size_mib\": 20480, \"cache\": \"writeback\"},"
	      "{\"type\": \"dvd\", \"file\": \"/srv/i.iso\"}, {\"type\": \"dvd\"}],"
	      " \"nics\": [{\"type\": \"user\", \"forward\": [\"tcp:2222:22\"]},"
	      "{\"type\": \"tap\", \"ifname\": \"t0\"},"
	      "{\"type\": \"switch\", \"switch\": \"lan\", \"vlan\": 20}],"
	      " \"notes\": \"our web server\", \"tags\": [\"web\", \"public\"]}");
}

static void disks_and_drives_keep_their_order_which_is_that_of_booting(void **state)
{
	(void)state;
	makes("vm create web --dvd /a.iso --disk /b.raw --net none --dry-run", "POST /v1/vms\n",
	      "{\"name\": \"web\", \"boot\": {\"firmware\": \"bios\"}, \"disks\": ["
	      "{\"type\": \"dvd\", \"file\": \"/a.iso\"}, {\"file\": \"/b.raw\"}]}");
}

static void a_kernel_takes_the_place_of_firmware(void **state)
{
	(void)state;
	makes("vm create web --kernel /k --initrd /i --append 'a b' --append c --net none --dry-run",
	      "POST /v1/vms\n",
	      "{\"name\": \"web\", \"boot\": {\"kernel\": \"/k\", \"initrd\": \"/i\","
	      " \"append\": \"a b c\"}}");
}

static void files_begin_in_the_folder_of_the_command(void **state)
{
	char folder[PATH_MAX], expected[2 * PATH_MAX + 128];

	(void)state;
	assert_non_null(getcwd(folder, sizeof(folder)));
	snprintf(expected, sizeof(expected),
		 "{\"name\": \"web\", \"boot\": {\"kernel\": \"%s/k\"}, \"disks\": [{\"file\": "
		 "\"%s/20G\"}]}",
		 folder, folder);
	makes("vm create web --kernel k --disk ./20G --net none --dry-run", "POST /v1/vms\n",
	      expected);
}

static void switches_are_made_of_options(void **state)
{
	(void)state;
	makes("switch create lab --dry-run", "POST /v1/switches\n",
	      "{\"name\": \"lab\", \"kind\": \"nat\"}");
	makes("switch create lan --nic eno1 --no-host --wait 5 --confirm --dry-run",
	      "POST /v1/switches\n",
	      "{\"name\": \"lan\", \"kind\": \"external\", \"nic\": \"eno1\", \"host\": false,"
	      " \"trial\": {\"wait_s\": 5, \"confirm\": true}}");
	makes("switch create lab --address 10.1.0.1/24 --dhcp 10.1.0.9-10.1.0.20 --mtu 9000 "
	      "--dry-run",
	      "POST /v1/switches\n",
	      "{\"name\": \"lab\", \"kind\": \"nat\", \"address\": \"10.1.0.1/24\", \"mtu\": 9000,"
	      " \"dhcp\": {\"first\": \"10.1.0.9\", \"last\": \"10.1.0.20\"}}");
	refuses("switch create lab --dhcp on", "--dhcp is 'off' or FIRST-LAST, not 'on'");
}

static void a_start_is_a_call_of_its_own(void **state)
{
	struct oya_run r = oya_run("vm create web --start --dry-run", NULL);

	(void)state;
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.out, "}\n\nPOST /v1/vms/web/start\n\n"));
	oya_run_done(&r);
}

static void what_is_written_wrongly_is_refused_before_anything_is_done(void **state)
{
	(void)state;
	refuses("vm create", "it wants NAME");
	refuses("vm create a b", "'b' is not expected");
	refuses("vm create web --memory 1", "'1' is no size");
	refuses("vm create web --cpus two", "'two' is no number, as cpus needs it");
	refuses("vm create web --disk a,rw", "a disk has no option 'rw'");
	refuses("vm create web --disk 9999999T", "more than any VM can have");
	refuses("vm create web --disk ,ro", "the name of a file is empty");
	refuses("vm create web --net bridge", "a NIC has no option 'bridge'");
	refuses("vm create web --net none --net user", "'none' is no NIC beside others");
	refuses("vm create web --append \xff", "the append is not UTF-8 text");
	refuses("vm create web --colour", "'--colour' is no option");
	refuses("vm create web --cpus", "'--cpus' lacks its argument");
	refuses("vm create web -o xml", "'xml' is no format: table or json");
}

/* ---- set ---- */

static void keys_become_members_and_dots_objects(void **state)
{
	(void)state;
	makes("vm set web cpus=4 memory=8G notes=12 tags=a,b start.action=always start.delay=5 "
	      "limits.cpu_percent=200 migration.postcopy=allowed --dry-run",
	      "PATCH /v1/vms/web\n",
	      "{\"cpus\": 4, \"memory_mib\": 8192, \"notes\": \"12\", \"tags\": [\"a\", \"b\"],"
	      " \"start\": {\"action\": \"always\", \"delay\": 5},"
	      " \"limits\": {\"cpu_percent\": 200}, \"migration\": {\"postcopy\": \"allowed\"}}");
}

static void an_empty_value_takes_back_to_the_default(void **state)
{
	(void)state;
	makes("vm set web memory= boot.append= tags= --dry-run", "PATCH /v1/vms/web\n",
	      "{\"memory_mib\": null, \"boot\": {\"append\": null}, \"tags\": null}");
}

static void lists_are_json_and_what_is_not_known_is_json_or_text(void **state)
{
	(void)state;
	makes("vm set web 'disks=[{\"file\": \"/a\"}]' x.y=3 z=abc w=true --dry-run",
	      "PATCH /v1/vms/web\n",
	      "{\"disks\": [{\"file\": \"/a\"}], \"x\": {\"y\": 3}, \"z\": \"abc\", \"w\": true}");
}

static void a_version_becomes_if_match(void **state)
{
	struct oya_run r = oya_run("vm set web cpus=1 --if-match 7 --dry-run", NULL);

	(void)state;
	assert_non_null(strstr(r.out, "PATCH /v1/vms/web\nIf-Match: \"7\"\n"
				      "Content-Type: application/merge-patch+json\n"));
	oya_run_done(&r);
	r = oya_run("vm delete web --disks delete --if-match 7 --dry-run", NULL);
	assert_string_equal(r.out, "DELETE /v1/vms/web?disks=delete\nIf-Match: \"7\"\n\n");
	oya_run_done(&r);
}

static void patches_that_make_no_sense_are_refused(void **state)
{
	(void)state;
	refuses("vm set web", "it wants NAME KEY=VALUE...");
	refuses("vm set web cpus", "'cpus' is not KEY=VALUE");
	refuses("vm set web =4", "begins with no name of a setting");
	refuses("vm set web .a=4", "begins with no name of a setting");
	refuses("vm set web a.=4", "begins with no name of a setting");
	refuses("vm set web a..b=4", "begins with no name of a setting");
	refuses("vm set web cpus=x", "'x' is no number");
	refuses("vm set web memory=x", "'x' is no size");
	refuses("vm set web disks=[", "the value of disks is not JSON");
	refuses("vm set web cpus=1 cpus=2", "'cpus' is given twice");
	refuses("vm set web 'tags=a' tags.x=1", "lies within a setting that is set as a whole");
	refuses("vm set web cpus=1 --if-match x", "'x' is no version");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vm_needs_no_more_than_a_name),
		cmocka_unit_test(each_option_has_its_setting),
		cmocka_unit_test(disks_and_drives_keep_their_order_which_is_that_of_booting),
		cmocka_unit_test(a_kernel_takes_the_place_of_firmware),
		cmocka_unit_test(files_begin_in_the_folder_of_the_command),
		cmocka_unit_test(switches_are_made_of_options),
		cmocka_unit_test(a_start_is_a_call_of_its_own),
		cmocka_unit_test(what_is_written_wrongly_is_refused_before_anything_is_done),
		cmocka_unit_test(keys_become_members_and_dots_objects),
		cmocka_unit_test(an_empty_value_takes_back_to_the_default),
		cmocka_unit_test(lists_are_json_and_what_is_not_known_is_json_or_text),
		cmocka_unit_test(a_version_becomes_if_match),
		cmocka_unit_test(patches_that_make_no_sense_are_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
