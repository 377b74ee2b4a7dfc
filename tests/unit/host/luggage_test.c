/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The folder of a VM that takes its disks along: looked at, made anew, removed. */
#include "host/luggage.h"

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

#include "host/store.h"
#include "host/vm.h"
#include "lib/lease.h"

#define UUID "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

static const struct guid here = {.b = {1}}, there = {.b = {2}};
static char vms[32], folder[48];

static int set_up(void **state)
{
	(void)state;
	strcpy(vms, "/tmp/oya-luggage-XXXXXX");
	assert_non_null(mkdtemp(vms));
	snprintf(folder, sizeof(folder), "%s/web", vms);
	return 0;
}

static int tear_down(void **state)
{
	struct failure f;

	(void)state;
	return store_remove_folder(vms, &f);
}

static struct settings *settings_of(const char *disks)
{
	char text[512];
	struct settings *s;
	struct failure f;

	snprintf(text, sizeof(text), "{\"version\":1,\"uuid\":\"" UUID "\",\"disks\":%s}", disks);
	assert_int_equal(settings_decode(text, strlen(text), &s, &f), 0);
	return s;
}

static void put(const char *name, const char *text)
{
	struct failure f;

	assert_int_equal(store_write(folder, name, text, strlen(text), &f), 0);
}

static bool has(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

static struct lease_file lease_of(const struct settings *s, char path[128])
{
	snprintf(path, 128, "%s/" LEASE_FILE, folder);
	return (struct lease_file){.fd = -1, .vm = s->uuid, .name = path};
}

/* Held by a host, at the epoch that is returned. */
static uint64_t hold(const struct settings *s, const struct guid *host)
{
	char path[128];
	struct lease_file l = lease_of(s, path);
	struct failure f;
	uint64_t epoch;

	assert_int_equal(lease_open(&l, true, &f), 0);
	assert_int_equal(lease_force(&l, host, LEASE_ANY, &epoch, &f), 0);
	lease_close(&l);
	return epoch;
}

static void what_does_not_come_along_is_told_of_by_its_name(void **state)
{
	static const struct {
		const char *disks, *sentence;
	} bad[] = {
		{"[{\"file\":\"/srv/x.raw\"}]", "the image /srv/x.raw is not in its folder"},
		{"[{\"file\":\"a.raw\",\"read_only\":true}]", "the image a.raw is only read"},
		{"[{\"file\":\"a.iso\",\"type\":\"dvd\"}]", "the image a.iso is only read"},
		{"[{\"file\":\"b.raw\"}]", "a.raw is no disk of its settings"},
	};
	struct settings *s = settings_of("[{\"file\":\"a.raw\"},{\"type\":\"dvd\"}]");
	uint64_t epoch = 0, held;
	struct failure f;

	(void)state;
	assert_int_equal(mkdir(folder, 0700), 0);
	put("a.raw", "x");
	put(VM_FILE, "{}");
	put(VM_RUNNING_FILE, "");
	assert_int_equal(luggage_look(folder, s, &here, &epoch, &f), -ENOENT);
	held = hold(s, &here);
	assert_int_equal(luggage_look(folder, s, &here, &epoch, &f), 0);
	assert_true(epoch == held);
	assert_int_equal(luggage_look(folder, s, &there, &epoch, &f), -ESTALE);
	settings_free(s);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		s = settings_of(bad[i].disks);
		assert_true(luggage_look(folder, s, &here, &epoch, &f) < 0);
		assert_non_null(strstr(f.text, bad[i].sentence));
		settings_free(s);
	}
}

static void the_folder_is_made_as_the_offer_tells_and_goes_unless_the_vm_has_come(void **state)
{
	struct settings *s = settings_of("[{\"file\":\"a.raw\"},{\"type\":\"dvd\"}]");
	struct offer_disk disks[] = {{.there = true, .bytes = 12288, .data = 4096}, {0}};
	struct offer o = {
		.storage = true, .host_uuid = there, .epoch = 7, .disk = disks, .disks = 2};
	json_t *reasons = json_array();
	char path[128], image[128];
	struct lease_file l = lease_of(s, path);
	struct failure f;
	struct stat st;
	uint64_t epoch;

	(void)state;
	luggage_judge(&o, folder, reasons);
	assert_int_equal(json_array_size(reasons), 0);
	disks[0].data = UINT64_MAX / 2;
	luggage_judge(&o, folder, reasons);
	assert_int_equal(json_array_size(reasons), 1);
	assert_int_equal(luggage_make(&o, s, folder, &here, &f), 0);
	luggage_judge(&o, folder, reasons);
	assert_int_equal(json_array_size(reasons), 3); /* it is there already, too */
	assert_int_equal(luggage_make(&o, s, folder, &here, &f), -EEXIST);
	snprintf(image, sizeof(image), "%s/a.raw", folder);
	assert_int_equal(stat(image, &st), 0);
	assert_true(st.st_size == 12288 && st.st_blocks == 0);
	assert_true(has(VM_FILE));
	/* As one that has not come. */
	assert_int_equal(luggage_remove(folder, &s->uuid, &there, false, &f), -EBUSY);
	assert_int_equal(luggage_remove(folder, &s->uuid, &here, true, &f), -EBUSY);
	assert_int_equal(luggage_remove(folder, &s->uuid, &here, false, &f), 0);
	assert_int_equal(access(folder, F_OK), -1);
	assert_int_equal(luggage_remove(folder, &s->uuid, &here, false, &f), 0);
	/* As one that has. */
	assert_int_equal(luggage_make(&o, s, folder, &here, &f), 0);
	assert_int_equal(lease_open(&l, false, &f), 0);
	assert_int_equal(lease_take(&l, &here, 7, &epoch, &f), -ESTALE);
	assert_int_equal(lease_take(&l, &here, 8, &epoch, &f), 0);
	lease_close(&l);
	assert_int_equal(luggage_remove(folder, &s->uuid, &here, false, &f), -EBUSY);
	assert_true(has("a.raw") && has(VM_FILE));
	json_decref(reasons);
	settings_free(s);
}

static void a_folder_that_was_not_finished_goes_and_one_that_was_given_away(void **state)
{
	struct settings *s = settings_of("[{\"file\":\"a.raw\"}]");
	char other[64];
	struct failure f;

	(void)state;
	assert_int_equal(mkdir(folder, 0700), 0);
	put(STORE_NEW "x", "");
	assert_int_equal(luggage_remove(folder, &s->uuid, &here, false, &f), 0);
	assert_int_equal(access(folder, F_OK), -1);
	/* By a link of its name. */
	snprintf(other, sizeof(other), "%s/other", vms);
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(symlink(other, folder), 0);
	put("a.raw", "x");
	put(VM_FILE, "{}");
	(void)hold(s, &here);
	assert_int_equal(luggage_remove(folder, &s->uuid, &here, true, &f), -EBUSY);
	assert_true(has("a.raw"));
	(void)hold(s, &there);
	assert_int_equal(luggage_remove(folder, &s->uuid, &here, true, &f), 0);
	assert_int_equal(access(other, F_OK), -1);
	assert_int_equal(readlink(folder, other, sizeof(other)), -1);
	settings_free(s);
}

static void an_image_outside_of_the_folder_is_not_made(void **state)
{
	struct settings *s = settings_of("[{\"file\":\"/tmp/x.raw\"}]");
	struct offer_disk disk = {.there = true, .bytes = 4096};
	struct offer o = {
		.storage = true, .host_uuid = there, .epoch = 7, .disk = &disk, .disks = 1};
	struct failure f;

	(void)state;
	assert_int_equal(luggage_make(&o, s, folder, &here, &f), -EINVAL);
	assert_non_null(strstr(f.text, "/tmp/x.raw"));
	assert_false(has(VM_FILE));
	settings_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_does_not_come_along_is_told_of_by_its_name,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_folder_is_made_as_the_offer_tells_and_goes_unless_the_vm_has_come,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_folder_that_was_not_finished_goes_and_one_that_was_given_away, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(an_image_outside_of_the_folder_is_not_made, set_up,
						tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
