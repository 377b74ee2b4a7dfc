/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring by itself: what it says when the kernel does not permit it. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "disk/ring.h"

#define CHILD_NO_FILTER 200

/* Makes io_uring_setup() fail with error from now on. */
static int forbid(unsigned error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = ARRAY_LEN(filter), .filter = filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

/* What disk_ring_new() gives, negated, where io_uring_setup() fails with error. */
static int new_where_forbidden(unsigned error)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct disk_ring *ring;

		_exit(forbid(error) < 0 ? CHILD_NO_FILTER : -disk_ring_new(8, &ring));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void ring_that_is_not_permitted_says_so(void **state)
{
	(void)state;
	if (new_where_forbidden(EPERM) == CHILD_NO_FILTER) {
		print_message("no seccomp filter can be set here\n");
		skip();
	}
	assert_int_equal(new_where_forbidden(EPERM), EPERM);
	assert_int_equal(new_where_forbidden(ENOSYS), ENOSYS);
}

static void ring_of_no_entries_is_refused(void **state)
{
	struct disk_ring *ring;

	(void)state;
	assert_true(disk_ring_new(0, &ring) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ring_that_is_not_permitted_says_so),
		cmocka_unit_test(ring_of_no_entries_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
