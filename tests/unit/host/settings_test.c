/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/settings.h"
#include "host/switch.h"

#define ID "\"version\": 1, \"uuid\": \"6ba7b810-9dad-11d1-80b4-00c04fd430c8\""

static struct settings *decode(const char *text)
{
	struct settings *s = NULL;
	struct failure f = {""};

	if (settings_decode(text, strlen(text), &s, &f) < 0)
		_fail(f.text, __LINE__);
	return s;
}

static void assert_refused(const char *text, const char *sentence)
{
	char expected[FAIL_TEXT_MAX];
	struct settings *s;
	struct failure f;

	snprintf(expected, sizeof(expected), "cannot use the VM's configuration: %s", sentence);
	assert_int_equal(settings_decode(text, strlen(text), &s, &f), -EINVAL);
	assert_string_equal(f.text, expected);
}

static void what_is_absent_has_its_default(void **state)
{
	struct settings *s = decode("{" ID "}");

	(void)state;
	assert_int_equal(s->start, START_RESTORE);
	assert_int_equal(s->stop, STOP_SHUTDOWN);
	assert_int_equal(s->stop_timeout_s, 120);
	assert_int_equal(s->crash, CRASH_RESTART);
	assert_int_equal(s->crash_most, 3);
	assert_int_equal(s->crash_within_s, 3600);
	assert_int_equal(s->cpu_percent, 0);
	assert_int_equal(s->cpu_weight, 100);
	settings_free(s);
	settings_free(NULL);
}

static void all_settings_are_read(void **state)
{
	struct settings *s =
		decode("{" ID ", \"notes\": \"n\", \"tags\": [\"a\", \"b\"],"
		       "\"start\": {\"action\": \"always\", \"delay\": 7},"
		       "\"stop\": {\"action\": \"off\", \"timeout\": 9},"
		       "\"crash\": {\"action\": \"leave\", \"most\": 2, \"within\": 60},"
		       "\"migration\": {\"postcopy\": \"allowed\"},"
		       "\"limits\": {\"cpu_percent\": 150, \"cpu_weight\": 50}}");

	(void)state;
	assert_int_equal(s->start, START_ALWAYS);
	assert_int_equal(s->start_delay_s, 7);
	assert_int_equal(s->stop, STOP_OFF);
	assert_int_equal(s->stop_timeout_s, 9);
	assert_int_equal(s->crash, CRASH_LEAVE);
	assert_int_equal(s->crash_most, 2);
	assert_int_equal(s->crash_within_s, 60);
	assert_int_equal(s->cpu_percent, 150);
	assert_int_equal(s->cpu_weight, 50);
	assert_true(s->postcopy);
	settings_free(s);
	s = decode("{" ID ", \"migration\": {\"postcopy\": \"never\"}}");
	assert_false(s->postcopy);
	settings_free(s);
}

static void wrong_settings_are_told(void **state)
{
	(void)state;
	assert_refused("{", "line 1 is not JSON: string or '}' expected near end of file");
	assert_refused("[]", "the VM is not an object");
	assert_refused("{}", "it has no 'version'; this oyad reads version 1");
	assert_refused("{\"version\": 2}", "'version' is 2, allowed are 1 to 1");
	assert_refused("{\"version\": 1}", "'' is no UUID");
	assert_refused("{" ID ", \"cpu\": 2}", "the VM has no setting 'cpu'");
	assert_refused("{" ID ", \"control\": \"/etc/passwd\"}", "the VM has no setting 'control'");
	assert_refused("{" ID ", \"sandbox\": false}", "the VM has no setting 'sandbox'");
	assert_refused("{" ID ", \"start\": {\"action\": \"never ever\"}}",
		       "'action' of 'start' is 'never ever', allowed are never, restore and "
		       "always");
	assert_refused("{" ID ", \"stop\": {\"timeout\": 0}}",
		       "'timeout' is 0, allowed are 1 to 86400");
	assert_refused("{" ID ", \"migration\": {\"postcopy\": \"always\"}}",
		       "'postcopy' of 'migration' is 'always', allowed are never and allowed");
	assert_refused("{" ID ", \"tags\": [\"\"]}", "a tag is a text of 1 to 64 bytes");
	assert_refused("{" ID ", \"disks\": [5]}", "a disk is not an object");
	assert_refused("{" ID ", \"nics\": [5]}", "a NIC is not an object");
}

static void files_of_disks_do_not_climb_out_of_the_folder(void **state)
{
	static const char *const bad[] = {"",        ".",       "..",          "../x",
					  "a/b",     "./x",     ".hidden",     "a/../b",
					  "vm.json", "running", "saved.state", "lease"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char text[256], sentence[256];

		snprintf(text, sizeof(text), "{" ID ", \"disks\": [{\"file\": \"%s\"}]}", bad[i]);
		snprintf(sentence, sizeof(sentence),
			 "'%s' is no file of a disk: a name in the VM's folder or an absolute path",
			 bad[i]);
		assert_refused(text, sentence);
	}
	assert_refused("{" ID ", \"disks\": [{\"path\": \"x\"}]}",
		       "a disk has no setting 'path'; its image is 'file'");
	settings_free(decode("{" ID ", \"disks\": [{\"file\": \"disk.raw\"}, {\"file\": "
			     "\"/dev/sdb\"}, {\"type\": \"dvd\"}]}"));
}

static void worker_gets_what_is_its_and_no_more(void **state)
{
	const struct vm_places places = {.name = "web", .folder = "/v/web", .run = "/r/1"};
	struct settings *s = decode("{" ID ", \"notes\": \"n\", \"cpus\": 2, \"boot\": {"
				    "\"firmware\": \"bios\"}, \"disks\": [{\"file\": \"d.raw\", "
				    "\"lun\": 3}, {\"file\": \"/dev/sdb\"}, {\"type\": \"dvd\"}]}");
	json_t *config = settings_for_worker(s, &places);
	json_t *expected = json_loads(
		"{\"version\": 1, \"name\": \"web\", \"uuid\": "
		"\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\", \"cpus\": 2, \"boot\": {\"firmware\": "
		"\"bios\"}, \"disks\": [{\"path\": \"/v/web/d.raw\", \"lun\": 3}, {\"path\": "
		"\"/dev/sdb\"}, {\"type\": \"dvd\"}], \"controllers\": 1, \"nics\": [], \"control\": \"/r/1/control\", "
		"\"end\": \"/r/1/end\"}",
		0, NULL);

	(void)state;
	assert_true(json_equal(config, expected));
	json_decref(config);
	json_decref(expected);
	settings_free(s);
}

static json_t *load(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	assert_non_null(value);
	return value;
}

static void identity_and_addresses_are_made_once(void **state)
{
	json_t *object = load("{\"nics\": [{\"type\": \"user\"}, {\"type\": \"user\", \"mac\": "
			      "\"00:15:5d:00:00:01\"}]}"),
	       *patch = load("{\"notes\": \"later\"}"), *nics;
	struct settings *s, *changed;
	struct failure f;

	(void)state;
	assert_int_equal(settings_make(object, &s, &f), 0);
	nics = json_object_get(s->root, "nics");
	assert_int_equal(strncmp(json_string_value(json_object_get(json_array_get(nics, 0), "mac")),
				 "00:15:5d:", 9),
			 0);
	assert_int_equal(settings_patch(s, patch, &changed, &f), 0);
	assert_true(json_equal(json_object_get(changed->root, "nics"), nics));
	assert_true(guid_equal(&s->uuid, &changed->uuid));
	settings_free(changed);
	settings_free(s);
	json_decref(object);
	json_decref(patch);
}

/* The cases of RFC 7396 that concern objects. */
static void change_merges_sets_and_removes(void **state)
{
	struct settings *s = decode("{" ID ", \"cpus\": 2, \"start\": {\"action\": \"always\", "
				    "\"delay\": 5}, \"tags\": [\"a\"]}"),
			*changed;
	json_t *patch = load("{\"cpus\": 4, \"tags\": null, \"start\": {\"delay\": null}, "
			     "\"stop\": {\"action\": \"off\"}}"),
	       *bad = load("{\"uuid\": \"00000000-0000-4000-8000-000000000000\"}"),
	       *none = load("[1]");
	struct failure f;

	(void)state;
	assert_int_equal(settings_patch(s, patch, &changed, &f), 0);
	assert_int_equal(json_integer_value(json_object_get(changed->root, "cpus")), 4);
	assert_null(json_object_get(changed->root, "tags"));
	assert_int_equal(changed->start, START_ALWAYS);
	assert_int_equal(changed->start_delay_s, 0);
	assert_int_equal(changed->stop, STOP_OFF);
	assert_int_equal(s->start_delay_s, 5);
	settings_free(changed);
	assert_int_equal(settings_patch(s, bad, &changed, &f), -EINVAL);
	assert_int_equal(settings_patch(s, none, &changed, &f), -EINVAL);
	settings_free(s);
	json_decref(patch);
	json_decref(bad);
	json_decref(none);
}

static void assert_disk(const struct settings *s, size_t i, const char *text)
{
	json_t *expected = load(text);

	assert_true(json_equal(json_array_get(json_object_get(s->root, "disks"), i), expected));
	json_decref(expected);
}

static void disks_come_and_go_and_the_others_stay_where_they_are(void **state)
{
	struct settings *s = decode("{" ID ", \"boot\": {\"firmware\": \"bios\"}, \"disks\": ["
				    "{\"file\": \"boot\"}, {\"file\": \"a\", \"controller\": 0}, "
				    "{\"file\": \"b\", \"controller\": 0}, "
				    "{\"file\": \"c\", \"lun\": 1}]}");
	json_t *disk = load("{\"file\": \"d\"}"), *got;
	struct settings *more, *less;
	struct failure f = {""};

	(void)state;
	assert_int_equal(settings_add_disk(s, disk, true, &more, &got, &f), 0);
	assert_disk(more, 4, "{\"file\": \"d\", \"controller\": 0, \"lun\": 3}");
	json_decref(got);
	assert_int_equal(settings_remove_disk(more, (struct disk_place){0, 0}, &less, &got, &f), 0);
	assert_string_equal(json_string_value(json_object_get(got, "file")), "a");
	assert_disk(less, 0, "{\"file\": \"boot\"}");
	assert_disk(less, 1, "{\"file\": \"b\", \"controller\": 0, \"lun\": 2}");
	assert_disk(less, 2, "{\"file\": \"c\", \"controller\": 0, \"lun\": 1}");
	json_decref(got);
	settings_free(more);
	assert_int_equal(settings_remove_disk(less, (struct disk_place){4, 0}, &more, &got, &f), 0);
	assert_string_equal(json_string_value(json_object_get(got, "file")), "boot");
	json_decref(got);
	settings_free(more);
	assert_int_equal(settings_remove_disk(less, (struct disk_place){0, 9}, &more, &got, &f),
			 -ENOENT);
	json_decref(disk);
	settings_free(less);
	settings_free(s);
}

static void nics_on_switches_have_ports(void **state)
{
	static const char text[] =
		"{" ID ", \"nics\": ["
		"{\"type\": \"switch\", \"switch\": \"lan\", \"mac\": \"00:15:5d:00:00:01\", "
		"\"vlan\": 7, \"mtu\": 9000}, {\"type\": \"user\"}, "
		"{\"type\": \"switch\", \"switch\": \"default\", \"mac\": "
		"\"00:15:5d:00:00:02\", \"spoof_guard\": false, \"queues\": 2}]}";
	const struct vm_places places = {.name = "web", .folder = "/v/web", .run = "/r/1"};
	struct settings *s = decode(text);
	struct port_config *ports;
	struct failure f = {""};
	char ifname[IFNAMSIZ];
	json_t *config, *nics;
	size_t count;

	(void)state;
	assert_int_equal(settings_ports(s, &ports, &count, &f), 0);
	assert_int_equal(count, 2);
	assert_string_equal(ports[0].switch_name, "lan");
	assert_int_equal(ports[0].vlan, 7);
	assert_true(ports[0].spoof_guard);
	assert_string_equal(ports[1].switch_name, "default");
	assert_false(ports[1].spoof_guard);
	assert_string_not_equal(ports[0].id, ports[1].id);
	assert_true(settings_use_switch(s, "lan"));
	assert_false(settings_use_switch(s, "la"));
	config = settings_for_worker(s, &places);
	nics = json_object_get(config, "nics");
	port_ifname(ports[0].id, ifname);
	assert_int_equal(json_object_size(json_array_get(nics, 0)), 4);
	assert_string_equal(json_string_value(json_object_get(json_array_get(nics, 0), "ifname")),
			    ifname);
	assert_string_equal(json_string_value(json_object_get(json_array_get(nics, 1), "type")),
			    "user");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(nics, 2), "queues")), 2);
	json_decref(config);
	free(ports);
	settings_free(s);
}

#define NIC(rest) "{" ID ", \"nics\": [{\"type\": \"switch\"" rest "}]}"
#define MAC ", \"mac\": \"00:15:5d:00:00:01\""

static void wrong_nics_on_switches_are_told(void **state)
{
	(void)state;
	assert_refused(NIC(), "a NIC of the type 'switch' names no 'switch'");
	assert_refused(NIC(", \"switch\": \"a\""), "a NIC of the type 'switch' has no 'mac'");
	assert_refused(NIC(", \"switch\": \"a\"" MAC ", \"ifname\": \"x\""),
		       "a NIC on a switch has no setting 'ifname'");
	assert_refused(NIC(", \"switch\": \"a\"" MAC "}, {\"type\": \"switch\", \"switch\": "
			   "\"b\"" MAC),
		       "two NICs have the 'mac' 00:15:5d:00:00:01");
}

static void names_are_plain(void **state)
{
	char longest[VM_NAME_MAX + 2];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[VM_NAME_MAX + 1] = '\0';
	assert_false(vm_name_allowed(longest));
	longest[VM_NAME_MAX] = '\0';
	assert_true(vm_name_allowed(longest));
	assert_true(vm_name_allowed("web-1.example_2"));
	assert_false(vm_name_allowed(""));
	assert_false(vm_name_allowed("."));
	assert_false(vm_name_allowed(".new-x"));
	assert_false(vm_name_allowed("-x"));
	assert_false(vm_name_allowed("a/b"));
	assert_false(vm_name_allowed("a b"));
	assert_false(vm_name_allowed("\xc3\xa4"));
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_absent_has_its_default),
		TEST(all_settings_are_read),
		TEST(wrong_settings_are_told),
		TEST(files_of_disks_do_not_climb_out_of_the_folder),
		TEST(worker_gets_what_is_its_and_no_more),
		TEST(identity_and_addresses_are_made_once),
		TEST(change_merges_sets_and_removes),
		TEST(disks_come_and_go_and_the_others_stay_where_they_are),
		TEST(nics_on_switches_have_ports),
		TEST(wrong_nics_on_switches_are_told),
		TEST(names_are_plain),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
