/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of the hosts that a user knows. */
#include "cli/hosts.h"

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

#define DIGITS "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char home[32];

static int set_up(void **state)
{
	(void)state;
	strcpy(home, "/tmp/oya-hosts-XXXXXX");
	assert_non_null(mkdtemp(home));
	setenv("XDG_CONFIG_HOME", home, 1);
	unsetenv("OYA_TOKEN");
	return 0;
}

static int tear_down(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/oya/hosts.json", home);
	unlink(path);
	snprintf(path, sizeof(path), "%s/oya", home);
	rmdir(path);
	return rmdir(home);
}

static void put_file(const char *text, mode_t mode)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/oya", home);
	(void)mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/oya/hosts.json", home);
	f = fopen(path, "we");
	fputs(text, f);
	fclose(f);
	chmod(path, mode);
}

static void a_fingerprint_is_kept_and_what_else_is_there_stays(void **state)
{
	struct peer e;
	struct failure f;

	(void)state;
	assert_int_equal(hosts_find("a", &e, &f), 0);
	assert_string_equal(e.fingerprint, "");
	assert_int_equal(hosts_pin(&e, DIGITS, &f), 0);
	assert_int_equal(hosts_find("a:7443", &e, &f), 0);
	assert_string_equal(e.fingerprint, DIGITS);
	put_file("{\"version\":1,\"hosts\":{\"b:7443\":{\"token\":\"oya_b\"}}}", 0600);
	assert_int_equal(hosts_pin(&e, DIGITS, &f), 0);
	assert_int_equal(hosts_find("b", &e, &f), 0);
	assert_string_equal(e.token, "oya_b");
	assert_string_equal(e.fingerprint, "");
	assert_int_equal(hosts_find("a", &e, &f), 0);
	assert_string_equal(e.token, "");
	assert_string_equal(e.fingerprint, DIGITS);
}

static void the_environments_token_comes_first(void **state)
{
	struct peer e;
	struct failure f;

	(void)state;
	put_file("{\"version\":1,\"hosts\":{\"b:7443\":{\"token\":\"oya_b\"}}}", 0600);
	setenv("OYA_TOKEN", "oya_c", 1);
	assert_int_equal(hosts_find("b", &e, &f), 0);
	assert_string_equal(e.token, "oya_c");
	assert_int_equal(hosts_find_other("b", &e, &f), 0);
	assert_string_equal(e.token, "oya_b");
	setenv("OYA_TOKEN", "oya_c\r\nX: y", 1);
	assert_int_equal(hosts_find("b", &e, &f), -EINVAL);
}

static void a_file_that_is_wrong_or_tells_others_a_token_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"{\"version\":2}",
		"{\"version\":1,\"host\":{}}",
		"{\"version\":1,\"hosts\":[]}",
		"{\"version\":1,\"hosts\":{\"b:7443\":1}}",
		"{\"version\":1,\"hosts\":{\"b:7443\":{\"pin\":\"a\"}}}",
		"{\"version\":1,\"hosts\":{\"b:7443\":{\"fingerprint\":\"a\"}}}",
		"{\"version\":1,\"hosts\":{\"b:7443\":{\"token\":\"a b\"}}}",
	};
	struct peer e;
	struct failure f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		put_file(bad[i], 0600);
		if (hosts_find("b", &e, &f) != -EINVAL)
			fail_msg("'%s' is taken", bad[i]);
	}
	put_file("{\"version\":1,\"hosts\":{\"b:7443\":{\"token\":\"oya_b\"}}}", 0644);
	assert_int_equal(hosts_find("b", &e, &f), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_fingerprint_is_kept_and_what_else_is_there_stays,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_environments_token_comes_first, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_file_that_is_wrong_or_tells_others_a_token_is_refused, set_up, tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
