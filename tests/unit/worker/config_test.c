/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker's configuration: defaults, every setting, and every sentence that tells what is wrong.
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

#include "abi/vmbus.h"
#include "base/util.h"
#include "worker/config.h"

#define BOOT "\"version\": 1, \"boot\": {\"kernel\": \"k\"}"
#define PREFIX "cannot use the VM's configuration: "

static struct config *good(const char *json)
{
	struct config *c = NULL;
	struct failure f = {""};

	config_decode(json, strlen(json), &c, &f);
	assert_string_equal(f.text, "");
	assert_non_null(c);
	return c;
}

static void assert_refused(const char *json, const char *sentence)
{
	struct config *c = NULL;
	struct failure f = {"?"};
	char whole[FAIL_TEXT_MAX];

	snprintf(whole, sizeof(whole), PREFIX "%s", sentence);
	assert_int_equal(config_decode(json, strlen(json), &c, &f), -EINVAL);
	assert_null(c);
	assert_string_equal(f.text, whole);
}

static void the_smallest_configuration_has_defaults_for_the_rest(void **state)
{
	struct config *c = good("{" BOOT "}"), *other = good("{" BOOT "}");

	(void)state;
	assert_string_equal(c->name, "vm");
	assert_null(c->device);
	assert_string_equal(c->kernel, "k");
	assert_string_equal(c->append, "");
	assert_null(c->initrd);
	assert_true(c->unpack);
	assert_int_equal(c->cpus, 1);
	assert_int_equal(c->memory_bytes, UINT64_C(1) << 30);
	assert_int_equal(c->disk_count + c->nic_count, 0);
	assert_int_equal(c->console, CONSOLE_NONE);
	assert_null(c->control_path);
	assert_int_equal(c->vmbus_max_version, 0);
	assert_false(c->stimer);
	assert_true(c->stimer_direct);
	assert_false(guid_equal(&c->uuid, &other->uuid));
	config_free(c);
	config_free(other);
	config_free(NULL);
}

static void every_setting_is_taken(void **state)
{
	struct config *c =
		good("{\"version\": 1, \"name\": \"büro\", \"uuid\": "
		     "\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\", \"memory_mib\": 32, \"cpus\": 64, "
		     "\"device\": \"/dev/x\", \"control\": \"/c\", \"vmbus_max_version\": \"4.1\", "
		     "\"enlightenments\": {\"stimer\": true, \"stimer_direct\": false}, "
		     "\"boot\": {\"kernel\": \"k\", \"initrd\": \"i\", \"append\": \"a b\", "
		     "\"unpack\": false}, \"console\": {\"type\": \"socket\", \"path\": \"/s\"}, "
		     "\"disks\": [{\"path\": \"d0\"}, {\"path\": \"d1\", \"read_only\": true, "
		     "\"cache\": \"writeback\"}, {\"path\": \"d2\", \"cache\": \"none\"}], "
		     "\"nics\": [{\"type\": \"tap\", \"ifname\": \"t0\", \"mac\": "
		     "\"00:15:5D:01:fe:0a\", \"mtu\": 9000, \"queues\": 8, \"spoof_guard\": true}, "
		     "{\"type\": \"user\", \"forward\": "
		     "[\"tcp:1:2\", \"udp:3:4\"]}]}");
	static const uint8_t mac[] = {0x00, 0x15, 0x5d, 0x01, 0xfe, 0x0a};
	char uuid[GUID_TEXT_LEN];

	(void)state;
	guid_format(&c->uuid, uuid);
	assert_string_equal(uuid, "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
	assert_string_equal(c->name, "büro");
	assert_int_equal(c->memory_bytes, 32u << 20);
	assert_int_equal(c->cpus, 64);
	assert_string_equal(c->device, "/dev/x");
	assert_string_equal(c->control_path, "/c");
	assert_int_equal(c->vmbus_max_version, VMBUS_VERSION(4, 1));
	assert_true(c->stimer);
	assert_false(c->stimer_direct);
	assert_string_equal(c->initrd, "i");
	assert_string_equal(c->append, "a b");
	assert_false(c->unpack);
	assert_int_equal(c->console, CONSOLE_SOCKET);
	assert_string_equal(c->console_path, "/s");
	assert_int_equal(c->disk_count, 3);
	assert_true(c->disk[0].direct && !c->disk[0].read_only);
	assert_true(!c->disk[1].direct && c->disk[1].read_only);
	assert_true(c->disk[2].direct);
	assert_int_equal(c->nic_count, 2);
	assert_int_equal(c->nic[0].type, NIC_TAP);
	assert_string_equal(c->nic[0].ifname, "t0");
	assert_memory_equal(c->nic[0].mac, mac, sizeof(mac));
	assert_int_equal(c->nic[0].mtu, 9000);
	assert_int_equal(c->nic[0].queues, 8);
	assert_true(c->nic[0].spoof_guard);
	assert_int_equal(c->nic[1].type, NIC_USER);
	assert_int_equal(c->nic[1].mtu + c->nic[1].queues, 0);
	assert_false(c->nic[1].spoof_guard);
	assert_memory_equal(c->nic[1].mac, mac, 3); /* Microsoft's prefix */
	assert_string_equal(c->nic[1].forward[1], "udp:3:4");
	assert_null(c->nic[1].forward[2]);
	config_free(c);
}

static void what_is_not_json_is_told_with_its_line(void **state)
{
	(void)state;
	assert_refused("", "line 1 is not JSON: '[' or '{' expected near end of file");
	assert_refused("{\n\n\"a\": }", "line 3 is not JSON: unexpected token near '}'");
	assert_refused("{} x", "line 1 is not JSON: end of file expected near 'x'");
	assert_refused("{\"version\": 1, \"version\": 1}",
		       "line 1 is not JSON: duplicate object key near '\"version\"'");
	assert_refused("[]", "the configuration is not an object");
}

static void unknown_settings_are_refused_wherever_they_stand(void **state)
{
	(void)state;
	assert_refused("{" BOOT ", \"memory\": 5}", "the configuration has no setting 'memory'");
	assert_refused("{\"version\": 1, \"boot\": {\"kernal\": \"k\"}}",
		       "'boot' has no setting 'kernal'");
	assert_refused("{" BOOT ", \"disks\": [{\"file\": \"d\"}]}",
		       "a disk has no setting 'file'");
	assert_refused("{" BOOT ", \"nics\": [{\"bridge\": \"b\"}]}",
		       "a NIC has no setting 'bridge'");
	assert_refused("{" BOOT ", \"console\": {\"kind\": \"pty\"}}",
		       "'console' has no setting 'kind'");
	assert_refused("{" BOOT ", \"enlightenments\": {\"stimers\": true}}",
		       "'enlightenments' has no setting 'stimers'");
	assert_refused("{\"\": 1}", "the configuration has no setting ''");
}

static void settings_of_a_wrong_type_are_refused(void **state)
{
	(void)state;
	assert_refused("{\"version\": \"1\"}", "'version' of the configuration has the wrong type");
	assert_refused("{" BOOT ", \"name\": 5}", "'name' of the configuration has the wrong type");
	assert_refused("{" BOOT ", \"cpus\": 1.5}",
		       "'cpus' of the configuration has the wrong type");
	assert_refused("{" BOOT ", \"uuid\": null}",
		       "'uuid' of the configuration has the wrong type");
	assert_refused("{\"version\": 1, \"boot\": \"k\"}",
		       "'boot' of the configuration has the wrong type");
	assert_refused("{\"version\": 1, \"boot\": {\"kernel\": \"k\", \"unpack\": 1}}",
		       "'unpack' of 'boot' has the wrong type");
	assert_refused("{" BOOT ", \"disks\": {}}",
		       "'disks' of the configuration has the wrong type");
	assert_refused("{" BOOT ", \"disks\": [5]}", "a disk is not an object");
	assert_refused("{" BOOT ", \"nics\": [null]}", "a NIC is not an object");
	assert_refused("{" BOOT ", \"nics\": [{\"type\": \"user\", \"forward\": [7]}]}",
		       "'forward' of a NIC holds something else than text");
	assert_refused("{" BOOT ", \"disks\": [{\"path\": \"d\", \"read_only\": \"no\"}]}",
		       "'read_only' of a disk has the wrong type");
	assert_refused("{" BOOT ", \"enlightenments\": true}",
		       "'enlightenments' of the configuration has the wrong type");
	assert_refused("{" BOOT ", \"enlightenments\": {\"stimer\": 1}}",
		       "'stimer' of 'enlightenments' has the wrong type");
}

static void the_version_is_insisted_on(void **state)
{
	(void)state;
	assert_refused("{\"boot\": {\"kernel\": \"k\"}}",
		       "it has no 'version'; this worker reads version 1");
	assert_refused("{\"version\": 2}", "'version' is 2, allowed are 1 to 1");
	assert_refused("{\"version\": 0}", "'version' is 0, allowed are 1 to 1");
}

static void numbers_out_of_range_are_told_with_the_range(void **state)
{
	(void)state;
	assert_refused("{" BOOT ", \"cpus\": 0}", "'cpus' is 0, allowed are 1 to 64");
	assert_refused("{" BOOT ", \"cpus\": 65}", "'cpus' is 65, allowed are 1 to 64");
	assert_refused("{" BOOT ", \"cpus\": -1}", "'cpus' is -1, allowed are 1 to 64");
	assert_refused("{" BOOT ", \"memory_mib\": 31}",
		       "'memory_mib' is 31, allowed are 32 to 4194304");
	assert_refused("{" BOOT ", \"memory_mib\": 9223372036854775807}",
		       "'memory_mib' is 9223372036854775807, allowed are 32 to 4194304");
	assert_refused("{" BOOT ", \"memory_mib\": -9223372036854775808}",
		       "'memory_mib' is -9223372036854775808, allowed are 32 to 4194304");
}

#define NO_KERNEL \
	"'boot' names no kernel; give one with --kernel, or boot from a disk with --firmware bios"

static void missing_parts_are_told(void **state)
{
	(void)state;
	assert_refused("{\"version\": 1}", NO_KERNEL);
	assert_refused("{\"version\": 1, \"boot\": {}}", NO_KERNEL);
	assert_refused("{" BOOT ", \"disks\": [{\"path\": \"d\"}, {}]}", "a disk has no 'path'");
	assert_refused("{" BOOT ", \"nics\": [{\"type\": \"tap\"}]}",
		       "a NIC of type tap has no 'ifname'");
	assert_refused("{" BOOT ", \"console\": {\"type\": \"socket\"}}",
		       "a console of type socket has no 'path'");
}

static void words_that_are_not_allowed_are_told_with_those_that_are(void **state)
{
	(void)state;
	assert_refused("{" BOOT ", \"disks\": [{\"path\": \"d\", \"cache\": \"unsafe\"}]}",
		       "'cache' of a disk is 'unsafe', allowed are none and writeback");
	assert_refused("{" BOOT ", \"nics\": [{\"type\": \"user\", \"mtu\": 9001}]}",
		       "'mtu' is 9001, allowed are 576 to 9000");
	assert_refused("{" BOOT ", \"nics\": [{\"type\": \"user\", \"queues\": 9}]}",
		       "'queues' is 9, allowed are 1 to 8");
	assert_refused("{" BOOT ", \"nics\": [{}]}",
		       "'type' of a NIC is '', allowed are user and tap");
	assert_refused("{" BOOT ", \"nics\": [{\"type\": \"bridge\"}]}",
		       "'type' of a NIC is 'bridge', allowed are user and tap");
	assert_refused("{" BOOT ", \"console\": {\"type\": \"vga\"}}",
		       "'type' of the console is 'vga', allowed are none, stdio, socket and pty");
	assert_refused("{" BOOT ", \"console\": {}}", "the console has no 'type'");
}

static void identities_are_checked(void **state)
{
	static const char *const uuids[] = {"",
					    "6ba7b810",
					    "6ba7b810-9dad-11d1-80b4-00c04fd430c",
					    "6ba7b810-9dad-11d1-80b4-00c04fd430c8x",
					    "6ba7b8109dad-11d1-80b4-00c04fd430c8-",
					    "gba7b810-9dad-11d1-80b4-00c04fd430c8"};
	static const char *const versions[] = {"",     "4", "4.",  "6.0", "4.10",
					       "4.0x", "x", "0.0", "2.3"};
	char json[256], text[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(uuids); i++) {
		snprintf(json, sizeof(json), "{" BOOT ", \"uuid\": \"%s\"}", uuids[i]);
		snprintf(text, sizeof(text), "'%s' is no UUID", uuids[i]);
		assert_refused(json, text);
	}
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		snprintf(json, sizeof(json), "{" BOOT ", \"vmbus_max_version\": \"%s\"}",
			 versions[i]);
		snprintf(text, sizeof(text), "'%s' is no version of VMBus from 2.4 on, such as 4.0",
			 versions[i]);
		assert_refused(json, text);
	}
}

static void addresses_that_are_no_station_are_refused(void **state)
{
	static const char *const macs[] = {"",
					   "00:15:5d:00:00",
					   "00:15:5d:00:00:001",
					   "00:15:5d:00:00:0g",
					   "00-15-5d-00-00-01",
					   "01:00:5e:00:00:01", /* a group */
					   "ff:ff:ff:ff:ff:ff",
					   " 0:15:5d:00:00:01",
					   "00:15: d:00:00:01",
					   "-2:15:5d:00:00:01",
					   "+2:15:5d:00:00:01",
					   "0:015:5d:00:00:01",
					   "00:00:00:00:00:00"};
	char json[256], text[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(macs); i++) {
		snprintf(json, sizeof(json),
			 "{" BOOT ", \"nics\": [{\"type\": \"user\", \"mac\": \"%s\"}]}", macs[i]);
		snprintf(text, sizeof(text),
			 "'%s' is no MAC address of a station, such as 00:15:5d:00:00:01", macs[i]);
		assert_refused(json, text);
	}
}

/* {BOOT, "key": [item, item, ...]} with count items. */
static char *list(const char *key, const char *item, unsigned count)
{
	size_t room = 256 + count * (strlen(item) + 2);
	char *json = malloc(room);
	size_t len;

	len = (size_t)snprintf(json, room, "{" BOOT ", \"%s\": [", key);
	for (unsigned i = 0; i < count; i++)
		len += (size_t)snprintf(json + len, room - len, "%s%s", i ? ", " : "", item);
	snprintf(json + len, room - len, "]}");
	return json;
}

static void lists_are_bounded(void **state)
{
	static const struct {
		const char *key, *item, *sentence;
		unsigned max;
	} lists[] = {
		{"disks", "{\"path\": \"d\"}", "controller 0 has more than 64 disks",
		 CONFIG_LUNS_MAX},
		{"nics", "{\"type\": \"user\"}", "9 NICs, at most 8 are possible", CONFIG_NICS_MAX},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		char *fits = list(lists[i].key, lists[i].item, lists[i].max);
		char *more = list(lists[i].key, lists[i].item, lists[i].max + 1);

		config_free(good(fits));
		assert_refused(more, lists[i].sentence);
		free(fits);
		free(more);
	}
}

static void disks_are_at_ide_places_with_firmware(void **state)
{
	struct config *c =
		good("{\"version\": 1, \"boot\": {\"firmware\": \"bios\"}, \"disks\": ["
		     "{\"path\": \"a\"}, {\"path\": \"b\", \"controller\": 0}, {\"path\": \"c\"},"
		     "{\"type\": \"dvd\"}, {\"path\": \"d\"}, {\"path\": \"e\"}]}");
	static const uint32_t places[][2] = {{4, 0}, {0, 0}, {5, 0}, {6, 0}, {7, 0}, {0, 1}};

	(void)state;
	assert_true(c->firmware);
	assert_int_equal(c->controllers, 1);
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		assert_int_equal(c->disk[i].controller, places[i][0]);
		assert_int_equal(c->disk[i].lun, places[i][1]);
	}
	config_free(c);
	assert_refused("{\"version\": 1, \"boot\": {\"firmware\": \"uefi\"}}",
		       "'firmware' of 'boot' is 'uefi', allowed is bios");
	assert_refused("{\"version\": 1, \"boot\": {\"firmware\": \"bios\", \"kernel\": \"k\"}}",
		       "'boot' has a 'firmware' and a kernel's settings too; a disk's boot loader "
		       "brings its own kernel");
}

static void disks_are_where_they_say_or_at_the_lowest_place(void **state)
{
	struct config *c =
		good("{" BOOT
		     ", \"cpus\": 3, \"disks\": [{\"path\": \"a\"}, {\"path\": \"b\", \"lun\": 0}, "
		     "{\"path\": \"c\", \"controller\": 2, \"lun\": 63}, {\"path\": \"d\"}, "
		     "{\"type\": \"dvd\", \"controller\": 2}]}");
	static const uint32_t places[][2] = {{0, 1}, {0, 0}, {2, 63}, {0, 2}, {2, 0}};

	(void)state;
	assert_int_equal(c->disk_count, ARRAY_LEN(places));
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		assert_int_equal(c->disk[i].controller, places[i][0]);
		assert_int_equal(c->disk[i].lun, places[i][1]);
	}
	assert_int_equal(c->controllers, 3);
	assert_int_equal(c->scsi_queues, 3);
	config_free(c);
	c = good("{" BOOT ", \"cpus\": 12, \"controllers\": 2}");
	assert_int_equal(c->controllers, 2);
	assert_int_equal(c->scsi_queues, 8);
	config_free(c);
	c = good("{" BOOT ", \"scsi_queues\": 16}");
	assert_int_equal(c->controllers, 0);
	assert_int_equal(c->scsi_queues, 16);
	assert_int_equal(c->disk_timeout_s, 60);
	config_free(c);
	c = good("{" BOOT ", \"disk_timeout\": 0}");
	assert_int_equal(c->disk_timeout_s, 0);
	config_free(c);
	assert_refused("{" BOOT ", \"disk_timeout\": 3601}",
		       "'disk_timeout' is 3601, allowed are 0 to 3600");
	assert_refused("{" BOOT ", \"scsi_queues\": 17}",
		       "'scsi_queues' is 17, allowed are 1 to 16");
	assert_refused("{" BOOT ", \"controllers\": 5}", "'controllers' is 5, allowed are 0 to 4");
	assert_refused("{" BOOT ", \"disks\": [{\"path\": \"a\", \"lun\": 64}]}",
		       "'lun' is 64, allowed are 0 to 63");
	assert_refused("{" BOOT ", \"disks\": [{\"path\": \"a\", \"controller\": 4}]}",
		       "'controller' is 4, allowed are 0 to 3");
	assert_refused("{" BOOT ", \"disks\": [{\"path\": \"a\", \"lun\": 3}, {\"path\": \"b\", "
		       "\"lun\": 3}]}",
		       "two disks are LUN 3 of controller 0");
}

static void disks_have_a_kind_a_serial_sectors_and_a_way_with_errors(void **state)
{
	struct config *c = good("{" BOOT ", \"disks\": [{\"path\": \"a\", \"serial\": \"s1\", "
				"\"sector_size\": 4096, \"on_error\": \"report\"}, "
				"{\"path\": \"i\", \"type\": \"dvd\"}, {\"type\": \"dvd\", "
				"\"on_error\": \"pause\"}, {\"path\": \"b\"}]}");

	(void)state;
	assert_string_equal(c->disk[0].serial, "s1");
	assert_int_equal(c->disk[0].sector_bytes, 4096);
	assert_false(c->disk[0].pause || c->disk[0].dvd);
	assert_true(c->disk[1].dvd && c->disk[1].read_only && !c->disk[1].pause);
	assert_int_equal(c->disk[1].sector_bytes, 2048);
	assert_true(c->disk[2].dvd && c->disk[2].pause && !c->disk[2].path);
	assert_true(c->disk[3].pause && !c->disk[3].serial && !c->disk[3].sector_bytes);
	config_free(c);
	assert_refused("{" BOOT ", \"disks\": [{\"type\": \"disk\"}]}", "a disk has no 'path'");
	assert_refused("{" BOOT ", \"disks\": [{\"path\": \"a\", \"type\": \"tape\"}]}",
		       "'type' of a disk is 'tape', allowed are disk and dvd");
	assert_refused("{" BOOT ", \"disks\": [{\"path\": \"a\", \"on_error\": \"stop\"}]}",
		       "'on_error' of a disk is 'stop', allowed are pause and report");
	assert_refused("{" BOOT ", \"disks\": [{\"path\": \"a\", \"sector_size\": 1024}]}",
		       "'sector_size' of a disk is 1024, allowed are 512 and 4096");
	assert_refused("{" BOOT ", \"disks\": [{\"type\": \"dvd\", \"sector_size\": 512}]}",
		       "a DVD has no 'sector_size' to choose: it is 2048");
	assert_refused("{" BOOT ", \"disks\": [{\"path\": \"a\", \"serial\": \"\"}]}",
		       "'serial' of a disk has 1 to 64 characters");
}

static void forwards_are_bounded(void **state)
{
	char json[1024] = "{" BOOT ", \"nics\": [{\"type\": \"user\", \"forward\": [\"tcp:1:1\"";

	(void)state;
	for (unsigned i = 1; i < CONFIG_FORWARDS_MAX; i++)
		strcat(json, ", \"tcp:1:1\"");
	strcat(json, "]}]}");
	config_free(good(json));
	json[strlen(json) - 4] = '\0';
	strcat(json, ", \"tcp:1:1\"]}]}");
	assert_refused(json, "a NIC forwards 17 ports, at most 16 are possible");
}

static void pages_threads_nodes_and_pinning_are_taken(void **state)
{
	struct config *c =
		good("{" BOOT ", \"memory_mib\": 2048, \"cpus\": 4, \"memory_pages\": \"1g\", "
		     "\"threads\": 2, \"numa\": [{\"memory_mib\": 1024, \"cpus\": 4, "
		     "\"host_node\": 3}, {\"memory_mib\": 1024}], "
		     "\"pin\": [\"0\", \"0-1\", \"5,7-9,1023\", \"2\"]}");

	(void)state;
	assert_int_equal(c->memory_pages, PAGES_1G);
	assert_int_equal(c->threads, 2);
	assert_int_equal(c->node_count, 2);
	assert_int_equal(c->node[0].memory_bytes, UINT64_C(1) << 30);
	assert_int_equal(c->node[0].cpus, 4);
	assert_int_equal(c->node[0].host_node, 3);
	assert_int_equal(c->node[1].cpus, 0);
	assert_int_equal(c->node[1].host_node, -1);
	assert_int_equal(CPU_COUNT(&c->pin[0]), 1);
	assert_true(CPU_ISSET(0, &c->pin[1]) && CPU_ISSET(1, &c->pin[1]));
	assert_int_equal(CPU_COUNT(&c->pin[2]), 5);
	assert_true(CPU_ISSET(5, &c->pin[2]) && CPU_ISSET(1023, &c->pin[2]));
	config_free(c);
	c = good("{" BOOT "}");
	assert_int_equal(c->memory_pages, PAGES_TRANSPARENT);
	assert_int_equal(c->threads, 1);
	assert_int_equal(c->node_count, 0);
	assert_null(c->pin);
	config_free(c);
}

static void layouts_that_do_not_fit_together_are_refused(void **state)
{
	(void)state;
	assert_refused("{" BOOT ", \"memory_pages\": \"8k\"}",
		       "'memory_pages' is '8k', allowed are transparent, 4k, 2m and 1g");
	assert_refused("{" BOOT ", \"memory_mib\": 33, \"memory_pages\": \"2m\"}",
		       "33 MiB of memory are no whole number of pages of 2 MiB");
	assert_refused("{" BOOT ", \"threads\": 3}", "'threads' is 3, allowed are 1 to 2");
	assert_refused("{" BOOT ", \"cpus\": 3, \"threads\": 2}",
		       "3 processors cannot be cores of 2 threads");
	assert_refused("{" BOOT ", \"numa\": [{\"memory_mib\": 1024, \"cpus\": 2}]}",
		       "the nodes have 1024 MiB and 2 processors together, the VM has 1024 MiB "
		       "and 1");
	assert_refused("{" BOOT ", \"numa\": [{\"cpus\": 1}]}",
		       "a node has 0 MiB of memory, a multiple of 1 is needed");
	assert_refused("{" BOOT ", \"numa\": [7]}", "a node is not an object");
	assert_refused("{" BOOT ", \"numa\": [{\"mem\": 1}]}", "a node has no setting 'mem'");
	assert_refused("{" BOOT ", \"memory_pages\": \"2m\", \"numa\": [{\"memory_mib\": 1023, "
		       "\"cpus\": 1}, {\"memory_mib\": 1}]}",
		       "a node has 1023 MiB of memory, a multiple of 2 is needed");
	assert_refused("{" BOOT ", \"cpus\": 2, \"threads\": 2, \"numa\": [{\"memory_mib\": 512, "
		       "\"cpus\": 1}, {\"memory_mib\": 512, \"cpus\": 1}]}",
		       "a node has 1 processors, but cores have 2 threads");
}

static void pins_that_are_no_lists_are_refused(void **state)
{
	static const char *const wrong[] = {"", "a", "-1", "1-", "3-1", "1,", ",1", "1 2", "1024"};

	(void)state;
	assert_refused("{" BOOT ", \"pin\": []}",
		       "'pin' has 0 members, one for each of 1 processors is needed");
	assert_refused("{" BOOT ", \"pin\": [3]}", "'pin' holds something else than text");
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		char json[128], sentence[128];

		snprintf(json, sizeof(json), "{" BOOT ", \"pin\": [\"%s\"]}", wrong[i]);
		snprintf(sentence, sizeof(sentence), "'%s' is no list of processors such as 0-3,8",
			 wrong[i]);
		assert_refused(json, sentence);
	}
}

static void a_file_is_read_up_to_its_limit(void **state)
{
	char path[] = "/tmp/config_test.XXXXXX";
	int fd = mkstemp(path);
	struct config *c = NULL;
	struct failure f;
	FILE *file = fdopen(fd, "w");

	(void)state;
	fputs("{" BOOT "}", file);
	fflush(file);
	assert_int_equal(config_load(path, &c, &f), 0);
	config_free(c);
	assert_int_equal(ftruncate(fd, CONFIG_BYTES_MAX), 0);
	assert_int_equal(config_load(path, &c, &f), -EFBIG);
	assert_non_null(strstr(f.text, "is longer than 1 MiB"));
	fclose(file);
	unlink(path);
	assert_int_equal(config_load(path, &c, &f), -ENOENT);
	assert_non_null(strstr(f.text, "cannot read the configuration /tmp/config_test."));
	assert_int_equal(config_load("/", &c, &f), -EISDIR);
}

#define LEASE(rest) "{" BOOT ", \"lease\": {\"path\": \"/f/lease\"" rest "}}"
#define HOST ", \"host\": \"6ba7b810-9dad-11d1-80b4-00c04fd430c8\""

static void a_lease_has_all_of_its_settings(void **state)
{
	static const char all[] =
		"'lease' needs a 'path', a 'host', and an 'epoch' unless the VM is "
		"'incoming'";
	struct config *c = good(LEASE(", \"epoch\": 7" HOST));

	(void)state;
	assert_string_equal(c->lease_path, "/f/lease");
	assert_int_equal(c->lease_epoch, 7);
	assert_int_equal(c->host_uuid.b[3], 0x6b);
	config_free(c);
	assert_refused(LEASE(""), all);
	assert_refused(LEASE(HOST), all);
	assert_refused(LEASE(", \"epoch\": 1"), all);
	assert_refused("{" BOOT ", \"lease\": {\"epoch\": 1" HOST "}}", all);
	assert_refused(LEASE(", \"epoch\": 0" HOST),
		       "'epoch' is 0, allowed are 1 to 9223372036854775807");
	assert_refused(LEASE(", \"epoch\": 1, \"host\": \"me\""), "'me' is no UUID of a host");
	assert_refused(LEASE(", \"epoch\": 1, \"host\": \"00000000-0000-0000-0000-000000000000\""),
		       "'00000000-0000-0000-0000-000000000000' is no UUID of a host");
	assert_refused(LEASE(", \"state\": 1"), "'lease' has no setting 'state'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_configuration_has_defaults_for_the_rest),
		cmocka_unit_test(every_setting_is_taken),
		cmocka_unit_test(what_is_not_json_is_told_with_its_line),
		cmocka_unit_test(unknown_settings_are_refused_wherever_they_stand),
		cmocka_unit_test(settings_of_a_wrong_type_are_refused),
		cmocka_unit_test(the_version_is_insisted_on),
		cmocka_unit_test(numbers_out_of_range_are_told_with_the_range),
		cmocka_unit_test(missing_parts_are_told),
		cmocka_unit_test(words_that_are_not_allowed_are_told_with_those_that_are),
		cmocka_unit_test(identities_are_checked),
		cmocka_unit_test(addresses_that_are_no_station_are_refused),
		cmocka_unit_test(lists_are_bounded),
		cmocka_unit_test(disks_are_where_they_say_or_at_the_lowest_place),
		cmocka_unit_test(disks_are_at_ide_places_with_firmware),
		cmocka_unit_test(disks_have_a_kind_a_serial_sectors_and_a_way_with_errors),
		cmocka_unit_test(forwards_are_bounded),
		cmocka_unit_test(pages_threads_nodes_and_pinning_are_taken),
		cmocka_unit_test(layouts_that_do_not_fit_together_are_refused),
		cmocka_unit_test(pins_that_are_no_lists_are_refused),
		cmocka_unit_test(a_file_is_read_up_to_its_limit),
		cmocka_unit_test(a_lease_has_all_of_its_settings),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
