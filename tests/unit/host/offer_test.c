/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hosts tell each other of a VM that is to move: made, taken apart, looked at. */
#include "host/offer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "tests/lib/failheap.h"

#define UUID "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
#define SETTINGS \
	"{\"version\":1,\"uuid\":\"" UUID "\",\"disks\":[{\"file\":\"a.raw\"},{\"type\":\"dvd\"}]}"
#define REST(disks)                                                                                \
	"\"host\":\"there\",\"host_uuid\":\"" UUID "\",\"oya\":\"0.1.0\",\"folder\":\"/srv/web\"," \
	"\"proof\":\"" UUID "\",\"disks\":" disks ",\"processor\":{\"vendor\":\"v\"}}"
#define DISKS "[{\"bytes\":4096,\"inode\":7},null]"

static char folder[32];

static int set_up(void **state)
{
	char path[64];
	int fd;

	(void)state;
	strcpy(folder, "/tmp/oya-offer-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/a.raw", folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 4096), 0);
	close(fd);
	return 0;
}

static int tear_down(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/a.raw", folder);
	(void)unlink(path);
	return rmdir(folder);
}

static int decode(const char *text, struct offer **ret, struct failure *f)
{
	json_t *body = json_loads(text, 0, NULL);
	int r;

	assert_non_null(body);
	r = offer_decode(body, ret, f);
	json_decref(body);
	return r;
}

static void an_offer_has_all_that_is_looked_at(void **state)
{
	struct offer *o;
	struct failure f;

	(void)state;
	assert_int_equal(decode("{\"version\":1,\"name\":\"web\",\"settings\":" SETTINGS
				"," REST(DISKS),
				&o, &f),
			 0);
	assert_string_equal(o->name, "web");
	assert_string_equal(o->host, "there");
	assert_string_equal(o->folder, "/srv/web");
	assert_int_equal(o->version, 1);
	assert_int_equal(o->connections, 1);
	assert_int_equal(o->disks, 2);
	assert_true(o->disk[0].there && o->disk[0].bytes == 4096 && o->disk[0].inode == 7);
	assert_false(o->disk[1].there);
	assert_non_null(o->settings);
	offer_free(o);
	assert_int_equal(decode("{\"connections\":8,\"name\":\"web\",\"settings\":" SETTINGS
				"," REST(DISKS),
				&o, &f),
			 0);
	assert_int_equal(o->connections, 8);
	offer_free(o);
	/* Its disks come along. */
	assert_int_equal(decode("{\"storage\":{\"epoch\":7},\"name\":\"web\",\"settings\":" SETTINGS
				"," REST("[{\"bytes\":4096,\"data\":512},null]"),
				&o, &f),
			 0);
	assert_true(o->storage && o->epoch == 7 && o->disk[0].data == 512);
	offer_free(o);
	/* A reason among others. */
	assert_int_equal(decode("{\"name\":\"web\",\"settings\":{\"cpuz\":1}," REST("[]"), &o, &f),
			 0);
	assert_null(o->settings);
	assert_non_null(strstr(o->why.text, "cpuz"));
	offer_free(o);
}

static void what_is_no_offer_is_refused(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"settings\":" SETTINGS "," REST(DISKS),
		"{\"name\":\"a/b\",\"settings\":" SETTINGS "," REST(DISKS),
		"{\"name\":\"web\",\"settings\":" SETTINGS "," REST("[]"),
		"{\"name\":\"web\",\"settings\":" SETTINGS "," REST("[1,null]"),
		"{\"name\":\"web\",\"settings\":" SETTINGS "," REST("[{\"bytes\":-1},null]"),
		"{\"name\":\"web\",\"settings\":[]," REST(DISKS),
		"{\"name\":\"web\",\"connections\":9,\"settings\":" SETTINGS "," REST(DISKS),
		"{\"name\":\"web\",\"more\":1,\"settings\":" SETTINGS "," REST(DISKS),
		"{\"name\":\"web\",\"storage\":{},\"settings\":" SETTINGS "," REST(DISKS),
		"{\"name\":\"web\",\"storage\":true,\"settings\":" SETTINGS "," REST(DISKS),
		"{\"name\":\"web\",\"storage\":{\"epoch\":0},\"settings\":" SETTINGS
		"," REST(DISKS),
		"{\"name\":\"web\",\"storage\":{\"epoch\":9223372036854775807},\"settings\":" SETTINGS
		"," REST(DISKS),
		"{\"name\":\"web\",\"settings\":" SETTINGS ",\"folder\":\"srv\",\"proof\":\"" UUID
		"\",\"host_uuid\":\"" UUID "\",\"disks\":" DISKS
		",\"processor\":{\"vendor\":\"v\"}}",
		"{\"name\":\"web\",\"settings\":" SETTINGS
		",\"folder\":\"/srv\",\"proof\":\"../x\","
		"\"host_uuid\":\"" UUID "\",\"disks\":" DISKS ",\"processor\":{\"vendor\":\"v\"}}",
		"{\"name\":\"web\",\"settings\":" SETTINGS ",\"folder\":\"/srv\",\"proof\":\"" UUID
		"\",\"host_uuid\":\"" UUID "\",\"disks\":" DISKS ",\"processor\":{\"vendor\":\"v\","
		"\"words\":{\"7.ebx\":4294967296}}}",
	};
	struct offer *o = NULL;
	struct failure f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (decode(bad[i], &o, &f) != -EINVAL)
			fail_msg("'%s' is taken", bad[i]);
	}
	assert_null(o);
}

static int take_apart(void *ctx)
{
	struct failure f;
	struct offer *o;
	int r = offer_decode(ctx, &o, &f);

	if (r < 0)
		return r;
	r = o->settings ? 0 : -ENOMEM; /* which is told as a reason */
	offer_free(o);
	return r;
}

static void taking_an_offer_apart_survives_a_failing_heap(void **state)
{
	json_t *body =
		json_loads("{\"name\":\"web\",\"settings\":" SETTINGS "," REST(DISKS), 0, NULL);

	(void)state;
	assert_true(failheap_sweep(take_apart, body) > 0);
	json_decref(body);
}

static void an_offer_is_of_the_same_images_or_not(void **state)
{
	json_t *disks, *reasons = json_array();
	char proof[GUID_TEXT_LEN], real[PATH_MAX];
	struct offer o = {.version = OFFER_VERSION};
	struct offer_disk disk[2] = {{.there = true}, {.there = false}};
	const struct processor here = {.vendor = "AuthenticAMD"};
	struct settings *s;
	struct failure f;

	(void)state;
	assert_int_equal(settings_decode(SETTINGS, strlen(SETTINGS), &s, &f), 0);
	assert_int_equal(offer_make(folder, s, false, proof, &disks, real, &f), 0);
	snprintf(o.folder, sizeof(o.folder), "%s", real);
	snprintf(o.proof, sizeof(o.proof), "%s", proof);
	assert_true(offer_is_shared(&o));
	disk[0].bytes =
		(uint64_t)json_integer_value(json_object_get(json_array_get(disks, 0), "bytes"));
	disk[0].inode =
		(uint64_t)json_integer_value(json_object_get(json_array_get(disks, 0), "inode"));
	assert_int_equal(disk[0].bytes, 4096);
	assert_true(json_is_null(json_array_get(disks, 1)));
	o.disk = disk;
	offer_look(&o, s, folder, &here, reasons);
	assert_int_equal(json_array_size(reasons), 0);
	disk[0].inode++;
	offer_look(&o, s, folder, &here, reasons);
	assert_int_equal(json_array_size(reasons), 1);
	assert_non_null(strstr(json_string_value(json_array_get(reasons, 0)), "another one"));
	offer_clean(folder, proof);
	assert_false(offer_is_shared(&o));
	json_decref(disks);
	/* One that is not there. */
	json_array_clear(reasons);
	offer_look(&o, s, "/nowhere", &here, reasons);
	assert_non_null(strstr(json_string_value(json_array_get(reasons, 0)), "/nowhere/a.raw"));
	assert_int_equal(offer_make("/nowhere", s, true, proof, &disks, real, &f), -ENOENT);
	json_decref(reasons);
	settings_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_offer_has_all_that_is_looked_at),
		cmocka_unit_test(what_is_no_offer_is_refused),
		cmocka_unit_test(taking_an_offer_apart_survives_a_failing_heap),
		cmocka_unit_test_setup_teardown(an_offer_is_of_the_same_images_or_not, set_up,
						tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
