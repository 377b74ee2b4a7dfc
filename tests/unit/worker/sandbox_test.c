/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox from within: each attempt is a process of its own, which enters it and tries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"

/* cmocka has a macro of this name. */
#undef fail
#include "worker/sandbox.h"

#define NOT_ENTERED 99

/* The wait status of a child that entered the sandbox and ran act(argument). */
static int within(int (*act)(long argument), long argument, int folder)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct failure f;

		if (sandbox_enter(&folder, 1, &f) < 0)
			_exit(NOT_ENTERED);
		syscall(SYS_exit_group, act(argument));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == NOT_ENTERED);
	return status;
}

static int call(long number)
{
	syscall(number, 0, 0, 0, 0, 0, 0);
	return 0;
}

static int call_on_processor(long number)
{
	return sandbox_thread() < 0 ? NOT_ENTERED : call(number);
}

static const long banned[] = {
	SYS_open,
	SYS_openat,
	SYS_openat2,
	SYS_creat,
	SYS_execve,
	SYS_execveat,
	SYS_fork,
	SYS_vfork,
	SYS_socket,
	SYS_connect,
	SYS_bind,
	SYS_listen,
	SYS_ptrace,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_chroot,
	SYS_unshare,
	SYS_setns,
	SYS_setuid,
	SYS_setgid,
	SYS_setresuid,
	SYS_capset,
	SYS_bpf,
	SYS_perf_event_open,
	SYS_userfaultfd,
	SYS_io_uring_setup,
	SYS_io_uring_register,
	SYS_init_module,
	SYS_finit_module,
	SYS_kexec_load,
	SYS_reboot,
	SYS_swapon,
	SYS_mknod,
	SYS_mkdir,
	SYS_rename,
	SYS_link,
	SYS_symlink,
	SYS_chmod,
	SYS_chown,
	SYS_truncate,
	SYS_getdents64,
	SYS_keyctl,
	SYS_add_key,
	SYS_personality,
	SYS_open_by_handle_at,
	SYS_name_to_handle_at,
	SYS_quotactl,
	SYS_acct,
	SYS_iopl,
	SYS_ioperm,
	SYS_modify_ldt,
	SYS_pidfd_open,
	SYS_pidfd_getfd,
	SYS_memfd_create,
	SYS_shmget,
	SYS_msgget,
	SYS_semget,
	SYS_setrlimit,
	SYS_prlimit64,
	SYS_sethostname,
	SYS_settimeofday,
	SYS_clock_settime,
	SYS_adjtimex,
};

static void banned_system_calls_end_the_process(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(banned); i++) {
		int status = within(call, banned[i], -1);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			print_message("system call %ld was not banned\n", banned[i]);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	}
}

static void a_processor_may_do_less_than_the_loop(void **state)
{
	static const long less[] = {SYS_accept4,  SYS_clone3,  SYS_clone,
				    SYS_unlinkat, SYS_pread64, SYS_fallocate,
				    SYS_seccomp,  SYS_prctl,   SYS_epoll_wait};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(less); i++) {
		int status = within(call_on_processor, less[i], -1);

		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
		if (less[i] != SYS_clone && less[i] != SYS_clone3)
			assert_true(WIFEXITED(within(call, less[i], -1)));
	}
}

static int remove_in(long folder)
{
	return unlinkat((int)folder, "socket", 0) == 0 ? 0 : errno;
}

static void only_files_of_the_named_folders_can_be_removed(void **state)
{
	char name[] = "/tmp/sandbox_test.XXXXXX", path[64];
	int folder, status;

	(void)state;
	assert_non_null(mkdtemp(name));
	snprintf(path, sizeof(path), "%s/socket", name);
	assert_int_equal(mknod(path, S_IFREG | 0600, 0), 0);
	folder = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	status = within(remove_in, folder, -1);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 0) { /* no landlock here, as the log says */
		assert_int_equal(mknod(path, S_IFREG | 0600, 0), 0);
	} else {
		assert_int_equal(WEXITSTATUS(status), EACCES);
	}
	status = within(remove_in, folder, folder);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(access(path, F_OK), -1);
	close(folder);
	rmdir(name);
}

static void the_table_tells_a_reason_for_each_call(void **state)
{
	char *text = NULL, *line, *save;
	size_t len = 0, lines = 0;
	FILE *to = open_memstream(&text, &len);

	(void)state;
	sandbox_print(to);
	fclose(to);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		assert_true(strlen(line) > 40);
		assert_non_null(strstr(line, "loop"));
		lines++;
	}
	assert_true(lines > 40);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(banned_system_calls_end_the_process),
		cmocka_unit_test(a_processor_may_do_less_than_the_loop),
		cmocka_unit_test(only_files_of_the_named_folders_can_be_removed),
		cmocka_unit_test(the_table_tells_a_reason_for_each_call),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
