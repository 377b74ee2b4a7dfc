/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "lib/log.h"

#define BOTH (1u << SANDBOX_LOOP | 1u << SANDBOX_VCPU)
#define LOOP (1u << SANDBOX_LOOP)

struct permit {
	const char *name;
	unsigned roles;
	const char *why;
};

/* A processor's thread touches devices in its exits, so it needs what they do there. */
static const struct permit permits[] = {
	{"ioctl", BOTH, "KVM; asking whether the log is a terminal"},
	{"futex", BOTH, "locks and conditions"},
	{"read", BOTH, "eventfds, tap, console"},
	{"write", BOTH, "eventfds, console, the log"},
	{"writev", BOTH, "frames to a tap"},
	{"readv", LOOP, "frames of a tap"},
	{"sendmsg", BOTH, "frames to passt"},
	{"sendto", BOTH, "answers of the control socket; frames to passt"},
	{"shutdown", BOTH, "the link to passt when it ended"},
	{"close", BOTH, "a channel's eventfd"},
	{"eventfd2", BOTH, "a channel that opens gets an eventfd"},
	{"epoll_ctl", BOTH, "a channel's eventfd, a back end that may be read again"},
	{"io_uring_enter", BOTH, "disk I/O"},
	{"mmap", BOTH, "memory of the heap; a processor's shared page"},
	{"munmap", BOTH, "the same, given back"},
	{"mprotect", BOTH, "growing the heap of a thread"},
	{"madvise", BOTH, "giving back the heap and stacks of threads"},
	{"mremap", BOTH, "growing large pieces of the heap"},
	{"brk", BOTH, "the heap"},
	{"getrandom", BOTH, "keys of the heap's caches"},
	{"clock_gettime", BOTH, "time, where the kernel does not map it"},
	{"rt_sigreturn", BOTH, "end of the signal that interrupts a processor"},
	{"rt_sigprocmask", BOTH, "making and ending threads"},
	{"restart_syscall", BOTH, "a wait that a stop interrupted"},
	{"tgkill", BOTH, "interrupting a processor"},
	{"getpid", BOTH, "interrupting a processor"},
	{"gettid", BOTH, "interrupting a processor"},
	{"prctl", LOOP, "names of threads"},
	{"rseq", LOOP, "start of a thread"},
	{"set_robust_list", LOOP, "start of a thread"},
	{"exit", BOTH, "end of a thread"},
	{"exit_group", BOTH, "end of the process"},
	{"seccomp", LOOP, "a new processor's thread narrows itself after a reset"},
	{"clone3", LOOP, "processors' threads, made anew at a reset"},
	{"clone", LOOP, "the same"},
	{"sched_setaffinity", LOOP, "a new processor's thread is pinned, also after a reset"},
	{"rt_sigaction", LOOP, "the signal that interrupts a processor, set at a reset"},
	{"epoll_wait", LOOP, "the event loop"},
	{"epoll_pwait", LOOP, "the event loop"},
	{"epoll_pwait2", LOOP, "the event loop"},
	{"poll", BOTH, "draining disks and the console; waiting for passt to end"},
	{"accept4", LOOP, "clients of the control and console sockets"},
	{"recvfrom", LOOP, "control socket, passt"},
	{"recvmsg", LOOP, "control socket, passt"},
	{"fcntl", LOOP, "a control client becomes the console"},
	{"fallocate", LOOP, "memory given back at a reset"},
	{"pread64", LOOP, "kernel and initrd, read again at a reset"},
	{"fstat", LOOP, "size of kernel and initrd at a reset"},
	{"newfstatat", LOOP, "the same, as libc calls it"},
	{"unlinkat", LOOP, "removing the sockets at the end"},
	{"kill", BOTH, "ending passt"},
	{"wait4", BOTH, "passt's end"},
	{"lseek", LOOP, "closing standard streams at the end"},
};

/* The filters as programs for the kernel, made once: threads load them without a library. */
static struct program {
	struct sock_filter *code;
	unsigned short len;
} programs[2];
static bool entered;

void sandbox_print(FILE *to)
{
	for (size_t i = 0; i < ARRAY_LEN(permits); i++)
		fprintf(to, "%-16s %-16s %s\n", permits[i].name,
			permits[i].roles == LOOP ? "loop" : "loop, processor", permits[i].why);
}

static int enter_namespaces(void)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return errno == EPERM ? 0 : -errno; /* an ordinary user: landlock has to do */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=0") < 0)
		return -errno;
	if (chdir("/tmp") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	if (mount(NULL, "/", NULL,
		  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return -errno;
	return 0;
}

static int drop_capabilities(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	capng_clear(CAPNG_SELECT_ALL);
	/* The bounding set needs a right that an ordinary user has not; nor is there anything in
	 * it for one, without new privileges. */
	if (capng_apply(CAPNG_SELECT_BOTH) < 0 && capng_apply(CAPNG_SELECT_CAPS) < 0)
		return -EPERM;
	return 0;
}

/* Every right over files that the first version of landlock knows. */
#define LANDLOCK_FILES ((UINT64_C(1) << 13) - 1)

static int forbid_files(const int *folders, unsigned count)
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = LANDLOCK_FILES};
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0), r = 0;

	if (rules < 0 && (errno == ENOSYS || errno == EOPNOTSUPP))
		return -EOPNOTSUPP;
	if (rules < 0)
		return -errno;
	for (unsigned i = 0; i < count; i++) {
		struct landlock_path_beneath_attr rule = {
			.allowed_access = LANDLOCK_ACCESS_FS_REMOVE_FILE,
			.parent_fd = folders[i],
		};

		if (folders[i] >= 0 &&
		    syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
			r = -errno;
	}
	if (r == 0 && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		r = -errno;
	close(rules);
	return r;
}

/* Has the library write the program into a file in memory, and keeps it. */
static int make_program(enum sandbox_role role, struct program *ret_program)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int fd = memfd_create("filter", MFD_CLOEXEC), r = ctx && fd >= 0 ? 0 : -ENOMEM;
	off_t len;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(permits); i++) {
		int number = seccomp_syscall_resolve_name(permits[i].name);

		if (permits[i].roles & 1u << role && number != __NR_SCMP_ERROR)
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 0);
	}
	if (r == 0)
		r = seccomp_export_bpf(ctx, fd);
	len = r == 0 ? lseek(fd, 0, SEEK_END) : -1;
	if (len > 0) {
		ret_program->code = malloc((size_t)len);
		ret_program->len = (unsigned short)((size_t)len / sizeof(struct sock_filter));
		if (!ret_program->code || pread(fd, ret_program->code, (size_t)len, 0) != len)
			r = -EIO;
	}
	if (ctx)
		seccomp_release(ctx);
	if (fd >= 0)
		close(fd);
	return r;
}

static int load_program(const struct program *p)
{
	struct sock_fprog program = {.len = p->len, .filter = p->code};

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

int sandbox_enter(const int *folders, unsigned count, struct failure *f)
{
	int r = make_program(SANDBOX_LOOP, &programs[SANDBOX_LOOP]);

	if (r == 0)
		r = make_program(SANDBOX_VCPU, &programs[SANDBOX_VCPU]);
	if (r < 0)
		return fail(f, r, "cannot make the filters of system calls: %s", strerror(-r));
	r = enter_namespaces();
	if (r < 0)
		return fail(f, r,
			    "cannot enter empty namespaces: %s; start with --no-sandbox only "
			    "for guests that you trust",
			    strerror(-r));
	r = drop_capabilities();
	if (r < 0)
		return fail(f, r, "cannot drop the worker's capabilities: %s", strerror(-r));
	r = forbid_files(folders, count);
	if (r == -EOPNOTSUPP)
		log_line(LOG_LEVEL_WARNING, "this kernel has no landlock: the worker can reach the "
					    "files of its user");
	else if (r < 0)
		return fail(f, r, "cannot shut the worker off from files: %s", strerror(-r));
	r = load_program(&programs[SANDBOX_LOOP]);
	if (r < 0)
		return fail(f, r, "cannot load the filter of system calls: %s", strerror(-r));
	entered = true;
	return 0;
}

int sandbox_thread(void)
{
	return entered ? load_program(&programs[SANDBOX_VCPU]) : 0;
}
