/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which hosts are refused the hypervisor's role, and what GRUB's environment tells of the last
 * boot. */
#include "cli/role.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

static struct role_host good_host(void)
{
	return (struct role_host){
		.amd = true,
		.svm = true,
		.nested_paging = true,
		.long_mode = true,
		.has_grub = true,
		.has_dkms = true,
	};
}

static void refused(const struct role_host *h, const char *words)
{
	struct failure f = {""};

	assert_int_equal(role_host_check(h, &f), -ENOTSUP);
	assert_non_null(strstr(f.text, words));
	assert_non_null(strstr(f.text, "cannot install the hypervisor's role on this host: "));
}

static void a_host_that_has_all_is_taken(void **state)
{
	struct role_host h = good_host();
	struct failure f;

	(void)state;
	assert_int_equal(role_host_check(&h, &f), 0);
	/* Nested in another's hypervisor that hands SVM on. */
	h.is_guest = true;
	assert_int_equal(role_host_check(&h, &f), 0);
}

static void each_hindrance_is_told_by_its_name(void **state)
{
	struct role_host h;

	(void)state;
	h = good_host(), h.amd = false, refused(&h, "not one of AMD's");
	h = good_host(), h.svm = false, refused(&h, "its processor has no SVM");
	h = good_host(), h.svm = false, h.is_guest = true, refused(&h, "nested virtualisation");
	h = good_host(), h.firmware_forbids = true, refused(&h, "switched off in the firmware");
	h = good_host(), h.nested_paging = false, refused(&h, "no nested paging");
	h = good_host(), h.secure_boot = true, refused(&h, "Secure Boot is on");
	h = good_host(), h.has_grub = false, refused(&h, "update-grub");
	h = good_host(), h.grub_cannot_write = true, refused(&h, "GRUB cannot write");
	h = good_host(), h.has_dkms = false, refused(&h, "install dkms");
}

static void state_of_the_last_boot_is_read_from_grubs_environment(void **state)
{
	(void)state;
	assert_int_equal(role_state_decode(""), ROLE_NEVER_TRIED);
	assert_int_equal(role_state_decode("saved_entry=0\n"), ROLE_NEVER_TRIED);
	assert_int_equal(role_state_decode("oya_state=good"), ROLE_GOOD);
	assert_int_equal(role_state_decode("a=b\noya_state=trying\nc=d\n"), ROLE_TRYING);
	assert_int_equal(role_state_decode("oya_state=failed\n"), ROLE_FAILED);
	assert_int_equal(role_state_decode("oya_state=goodness\n"), ROLE_NEVER_TRIED);
	assert_int_equal(role_state_decode("xoya_state=good\n"), ROLE_NEVER_TRIED);
	assert_int_equal(role_state_decode("oya_state="), ROLE_NEVER_TRIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_that_has_all_is_taken),
		cmocka_unit_test(each_hindrance_is_told_by_its_name),
		cmocka_unit_test(state_of_the_last_boot_is_read_from_grubs_environment),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
