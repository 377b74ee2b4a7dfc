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
#include <linux/if_tun.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"

/* cmocka has a macro of this name. */
#undef fail
#include "lib/lease.h"
#include "worker/sandbox.h"

#define NOT_ENTERED 99
#define OTHER_USER 1234567u

static uint32_t user; /* that the next attempts become */

/* The wait status of a child that entered the sandbox and ran act(argument). */
static int within(int (*act)(long argument), long argument, int folder)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct failure f;

		if (sandbox_enter(&folder, 1, user, &f) < 0)
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
	SYS_clone,
	SYS_kill,
	SYS_tkill,
	SYS_rt_sigqueueinfo,
	SYS_socketpair,
	SYS_accept,
	SYS_getpeername,
	SYS_setsockopt,
	SYS_sendmmsg,
	SYS_dup,
	SYS_dup2,
	SYS_pipe2,
	SYS_inotify_init1,
	SYS_fanotify_init,
	SYS_timer_create,
	SYS_mlockall,
	SYS_mbind,
	SYS_pkey_alloc,
	SYS_memfd_secret,
	SYS_landlock_create_ruleset,
	SYS_arch_prctl,
	SYS_execve,
	SYS_stat,
	SYS_lstat,
	SYS_access,
	SYS_readlink,
	SYS_getcwd,
	SYS_chdir,
	SYS_fchdir,
	SYS_uname,
	SYS_sysinfo,
	SYS_getuid,
	SYS_capget,
	SYS_sched_setscheduler,
	SYS_vmsplice,
	SYS_splice,
	SYS_sendfile,
	SYS_copy_file_range,
	SYS_ftruncate,
	SYS_fchmod,
	SYS_fchown,
	SYS_fsetxattr,
	SYS_flock,
	SYS_remap_file_pages,
	SYS_process_madvise,
	SYS_kcmp,
	SYS_syslog,
	SYS_vhangup,
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
	static const long less[] = {SYS_accept4,      SYS_clone3,    SYS_clone, SYS_unlinkat,
				    SYS_pread64,      SYS_fallocate, SYS_read,  SYS_prctl,
				    SYS_epoll_pwait2, SYS_recvmsg,   SYS_poll,  SYS_shutdown,
				    SYS_rt_sigaction, SYS_pwrite64};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(less); i++) {
		int status = within(call_on_processor, less[i], -1);

		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
		if (less[i] != SYS_clone && less[i] != SYS_prctl) /* by their arguments */
			assert_true(WIFEXITED(within(call, less[i], -1)));
	}
}

static int exchange_lease(long argument)
{
	static const struct guid here = GUID_INIT(1, 0, 0, 0, 1), there = GUID_INIT(2, 0, 0, 0, 2);
	struct lease_file *l = (struct lease_file *)argument;
	struct failure f;
	uint64_t epoch;

	if (lease_holds(l, &there, 1, &f) != -ESTALE || lease_holds(l, &here, 1, &f) < 0)
		return 1;
	if (lease_offer(l, &here, 1, &there, &epoch, &f) < 0 ||
	    lease_take(l, &here, LEASE_ANY, &epoch, &f) != -ESTALE)
		return 2;
	return lease_take_back(l, &here, epoch, &epoch, &f) < 0 ? 3 : 0;
}

static void the_lease_is_exchanged_from_within(void **state)
{
	static const struct guid here = GUID_INIT(1, 0, 0, 0, 1);
	char path[] = "/tmp/oya-sandbox-lease-XXXXXX";
	struct lease_file l = {.fd = mkstemp(path), .name = path};
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct failure f;
	uint64_t epoch;
	int status, other;

	(void)state;
	assert_true(l.fd >= 0);
	assert_int_equal(lease_take(&l, &here, LEASE_ANY, &epoch, &f), 0);
	status = within(exchange_lease, (long)&l, -1);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	/* The wait for its lock as well. */
	l.wait_ms = 30;
	other = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(other, F_OFD_SETLK, &all), 0);
	status = within(exchange_lease, (long)&l, -1);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	close(other);
	close(l.fd);
	unlink(path);
}

/* Arguments that are refused of calls that are allowed. */
enum abuse {
	ABUSE_IOCTL,      /* of a terminal: typing into it */
	ABUSE_IOCTL_TUN,  /* a network interface */
	ABUSE_IOCTL_HIGH, /* bits that the kernel throws away must not help */
	ABUSE_MMAP,
	ABUSE_MPROTECT,
	ABUSE_PRCTL,
	ABUSE_TGKILL,
	ABUSE_FORK,
	ABUSE_COUNT,
};

static int abuse(long what)
{
	switch ((enum abuse)what) {
	case ABUSE_IOCTL:
		return (int)syscall(SYS_ioctl, 0, TIOCSTI, "x");
	case ABUSE_IOCTL_TUN:
		return (int)syscall(SYS_ioctl, 0, TUNSETIFF, 0);
	case ABUSE_IOCTL_HIGH:
		return (int)syscall(SYS_ioctl, 0, UINT64_C(1) << 32 | TIOCSTI, 0);
	case ABUSE_MMAP:
		return (int)syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	case ABUSE_MPROTECT:
		return (int)syscall(SYS_mprotect, 0, 4096, PROT_READ | PROT_EXEC);
	case ABUSE_PRCTL:
		return (int)syscall(SYS_prctl, PR_SET_DUMPABLE, 1);
	case ABUSE_TGKILL:
		return (int)syscall(SYS_tgkill, 1, 1, 0);
	case ABUSE_FORK:
		return (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	case ABUSE_COUNT:
	default:
		return 0;
	}
}

static void allowed_calls_with_other_arguments_end_the_process(void **state)
{
	(void)state;
	for (long i = 0; i < ABUSE_COUNT; i++) {
		int status = within(abuse, i, -1);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			print_message("abuse %ld went through\n", i);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	}
}

static void each_thread_keeps_within_its_number_of_calls(void **state)
{
	(void)state;
	assert_in_range(sandbox_calls(SANDBOX_VCPU), 1, 27);
	assert_in_range(sandbox_calls(SANDBOX_LOOP), 1, 49);
}

/* Looks at the child through /proc, since it can tell nothing itself. */
static void status_of(pid_t pid, const char *name, char *ret_value, size_t len)
{
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	assert_non_null(file);
	ret_value[0] = '\0';
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			snprintf(ret_value, len, "%s", line + strlen(name) + 1);
	}
	fclose(file);
}

static pid_t confined_child(int ready[2])
{
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		struct failure f;
		int r = sandbox_enter(NULL, 0, user, &f);

		(void)!write(ready[1], r == 0 ? "y" : "n", 1);
		for (;;)
			syscall(SYS_poll, NULL, 0, -1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_int_equal(byte, 'y');
	return pid;
}

static void no_right_is_left_and_the_root_is_empty(void **state)
{
	static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapAmb"};
	char value[128], path[64];
	pid_t pid;
	int ready[2];

	(void)state;
	pid = confined_child(ready);
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		status_of(pid, sets[i], value, sizeof(value));
		assert_int_equal(strtoull(value, NULL, 16), 0);
	}
	status_of(pid, "NoNewPrivs", value, sizeof(value));
	assert_int_equal(atoi(value), 1);
	status_of(pid, "Seccomp", value, sizeof(value));
	assert_int_equal(atoi(value), 2);
	if (geteuid() == 0) {
		status_of(pid, "CapBnd", value, sizeof(value));
		assert_int_equal(strtoull(value, NULL, 16), 0);
		snprintf(path, sizeof(path), "/proc/%d/root/etc", pid);
		assert_int_equal(access(path, F_OK), -1);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void root_becomes_the_user_that_is_named(void **state)
{
	char value[128];
	unsigned ids[4];
	int ready[2];
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	user = OTHER_USER;
	pid = confined_child(ready);
	user = 0;
	status_of(pid, "Uid", value, sizeof(value));
	assert_int_equal(sscanf(value, "%u %u %u %u", &ids[0], &ids[1], &ids[2], &ids[3]), 4);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		assert_int_equal(ids[i], OTHER_USER);
	status_of(pid, "Groups", value, sizeof(value));
	assert_int_equal(strspn(value, " \t\n"), strlen(value));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
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
		cmocka_unit_test(the_lease_is_exchanged_from_within),
		cmocka_unit_test(allowed_calls_with_other_arguments_end_the_process),
		cmocka_unit_test(each_thread_keeps_within_its_number_of_calls),
		cmocka_unit_test(no_right_is_left_and_the_root_is_empty),
		cmocka_unit_test(root_becomes_the_user_that_is_named),
		cmocka_unit_test(only_files_of_the_named_folders_can_be_removed),
		cmocka_unit_test(the_table_tells_a_reason_for_each_call),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
