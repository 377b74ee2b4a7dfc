/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "import/confine.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

#define MEMORY_MAX (UINT64_C(4) << 30)
#define FILES_MAX 512u /* a VMDK has up to 256 */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED false
#endif

/* Landlock's rules as far as the running kernel knows them: the headers may be older. */
struct landlock_rules {
	uint64_t files, network, scopes;
};
#define LANDLOCK_FILES ((UINT64_C(1) << 13) - 1) /* of its first version */
#define LANDLOCK_REFER (UINT64_C(1) << 13)
#define LANDLOCK_TRUNCATE (UINT64_C(1) << 14)
#define LANDLOCK_IOCTL_DEVICE (UINT64_C(1) << 15)
#define LANDLOCK_TCP UINT64_C(3)    /* bind and connect */
#define LANDLOCK_SCOPES UINT64_C(3) /* abstract sockets and signals to others */

#define TO_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define TO_WRITE (TO_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_TRUNCATE)
#define TO_RUN (TO_READ | LANDLOCK_ACCESS_FS_EXECUTE)
/* BLKGETSIZE64 of a block device that is a VM's disk. */
#define TO_READ_IMAGE (TO_READ | LANDLOCK_IOCTL_DEVICE)

/* What qemu-img needs besides its images. */
static const struct {
	const char *path;
	uint64_t rights;
} always[] = {
	{OYA_QEMU_IMG, TO_RUN},
	{"/lib64/ld-linux-x86-64.so.2", TO_RUN}, /* its loader is run as a program */
	{"/usr", TO_READ},                       /* libraries, its modules */
	{"/lib", TO_READ},
	{"/lib64", TO_READ},
	{"/etc/ld.so.cache", TO_READ},
	{"/dev/null", TO_WRITE},
	{"/dev/urandom", TO_READ}, /* libraries that begin with random numbers */
};

/* A right over a file that is not there is none. */
static int allow(int rules, uint64_t handled, const char *path, uint64_t rights)
{
	int fd = open(path, O_PATH | O_CLOEXEC), r = 0;
	struct landlock_path_beneath_attr rule = {.parent_fd = fd};
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rights &= ~(uint64_t)LANDLOCK_ACCESS_FS_READ_DIR;
	rule.allowed_access = rights & handled;
	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* -EOPNOTSUPP: the kernel has no landlock. */
static int make_rules(const struct confine_rules *want, int *ret_rules)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_rules all = {.files = LANDLOCK_FILES};
	size_t len = version >= 6   ? sizeof(all)
		     : version >= 4 ? offsetof(struct landlock_rules, scopes)
				    : offsetof(struct landlock_rules, network);
	int rules, r = 0;

	if (version < 1)
		return -EOPNOTSUPP;
	all.files |= version >= 2 ? LANDLOCK_REFER : 0;
	all.files |= version >= 3 ? LANDLOCK_TRUNCATE : 0;
	all.files |= version >= 5 ? LANDLOCK_IOCTL_DEVICE : 0;
	all.network = version >= 4 ? LANDLOCK_TCP : 0;
	all.scopes = version >= 6 ? LANDLOCK_SCOPES : 0;
	rules = (int)syscall(SYS_landlock_create_ruleset, &all, len, 0);
	if (rules < 0)
		return -errno;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(always); i++)
		r = allow(rules, all.files, always[i].path, always[i].rights);
	for (size_t i = 0; r == 0 && i < want->read_count; i++)
		r = allow(rules, all.files, want->read[i], TO_READ_IMAGE);
	if (r == 0 && want->write)
		r = allow(rules, all.files, want->write, TO_WRITE);
	if (r < 0)
		close(rules);
	else
		*ret_rules = rules;
	return r;
}

static int lower(__rlimit_resource_t what, rlim_t most)
{
	struct rlimit l;

	if (getrlimit(what, &l) < 0)
		return -errno;
	if (l.rlim_max > most)
		l.rlim_max = most;
	if (l.rlim_cur > l.rlim_max)
		l.rlim_cur = l.rlim_max;
	return setrlimit(what, &l) < 0 ? -errno : 0;
}

void confine_memory(void)
{
	lower(RLIMIT_AS, MEMORY_MAX);
}

static int lower_limits(unsigned cpu_s)
{
	struct rlimit cpu;
	int r = lower(RLIMIT_CORE, 0);

	if (r == 0)
		r = lower(RLIMIT_NOFILE, FILES_MAX);
	/* The soft limit ends a process by a signal of its own, which tells why. */
	if (r == 0)
		r = lower(RLIMIT_CPU, cpu_s + 1);
	if (r == 0 && getrlimit(RLIMIT_CPU, &cpu) == 0 && cpu.rlim_cur > cpu_s) {
		cpu.rlim_cur = cpu_s;
		r = setrlimit(RLIMIT_CPU, &cpu) < 0 ? -errno : 0;
	}
	if (r == 0 && !SANITIZED) /* a sanitizer's own memory is larger */
		r = lower(RLIMIT_AS, MEMORY_MAX);
	return r;
}

/*
 * Whether a file can be read by the right over others' files only: images of a VM of libvirt's
 * belong to its own user. Tried with no effective rights, which are had back.
 */
static bool is_of_others(const char *path)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct now[2], none[2];
	bool denied = false;
	int fd;

	if (syscall(SYS_capget, &header, now) < 0)
		return false;
	memcpy(none, now, sizeof(none));
	none[0].effective = none[1].effective = 0;
	if (syscall(SYS_capset, &header, none) < 0)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	denied = fd < 0 && errno == EACCES;
	if (fd >= 0)
		close(fd);
	syscall(SYS_capset, &header, now);
	return denied;
}

static int drop_rights(bool others)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	capng_clear(CAPNG_SELECT_ALL);
	if (others)
		capng_updatev(
			CAPNG_ADD,
			(capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET),
			CAP_DAC_READ_SEARCH, -1);
	/* The bounding set needs a right that an ordinary user has not; nor is there anything in
	 * it for one, without new privileges. */
	if (capng_apply(CAPNG_SELECT_BOTH) < 0 && capng_apply(CAPNG_SELECT_CAPS) < 0)
		return -EPERM;
	return 0;
}

/*
 * Calls that a decoder of files needs not, and that lead out: they fail, and libraries go on
 * without. Sockets, where there is no network namespace of our own. What Landlock does not hold:
 * root without capabilities still owns root's files, and may signal root's processes. Truncation,
 * which Landlock knows since Linux 6.2 only.
 */
static const char *const forbidden[] = {
	"socket socketpair bind connect",
	"chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat",
	"setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat",
	"truncate creat open openat2 unlink unlinkat rename renameat renameat2 mkdir mkdirat rmdir",
	"link linkat symlink symlinkat mknod mknodat open_by_handle_at name_to_handle_at",
	"kill tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal pidfd_getfd",
	"ptrace process_vm_readv process_vm_writev process_madvise setpriority sched_setscheduler "
	"sched_setattr",
	"mount umount2 pivot_root chroot unshare setns fsopen fsmount move_mount open_tree "
	"mount_setattr",
	"io_uring_setup bpf userfaultfd perf_event_open keyctl add_key request_key init_module "
	"finit_module kexec_load kexec_file_load",
};

static int forbid_group(scmp_filter_ctx ctx, const char *calls)
{
	int r = 0;

	while (r == 0 && *calls) {
		size_t len = strcspn(calls, " ");
		char name[32];
		int number;

		snprintf(name, sizeof(name), "%.*s", (int)len, calls);
		calls += len;
		calls += strspn(calls, " ");
		number = seccomp_syscall_resolve_name(name);
		if (number != __NR_SCMP_ERROR) /* the library is older than it */
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), number, 0);
	}
	return r;
}

/* No file is emptied; where there is no destination, none is opened for writing. */
static int forbid_opening(scmp_filter_ctx ctx, bool writes)
{
	int r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat), 1,
				 SCMP_A2(SCMP_CMP_MASKED_EQ, O_TRUNC, O_TRUNC));

	for (unsigned mode = O_WRONLY; r == 0 && !writes && mode <= O_RDWR; mode++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE, mode));
	return r;
}

static int forbid_calls(bool writes)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(forbidden); i++)
		r = forbid_group(ctx, forbidden[i]);
	if (r == 0)
		r = forbid_opening(ctx, writes);
	/* A user namespace would give rights within it. clone3() has its flags out of a filter's
	 * sight; the library then takes clone(). */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER));
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (r == 0)
		r = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	return r;
}

int confine(const struct confine_rules *rules, struct failure *f)
{
	bool others = false;
	int landlock = -1, r = make_rules(rules, &landlock);

	if (r < 0 && r != -EOPNOTSUPP)
		return fail(f, r, "cannot shut the import off from files: %s", strerror(-r));
	for (size_t i = 0; geteuid() == 0 && i < rules->read_count; i++)
		others = others || is_of_others(rules->read[i]);
	/* One of oyad's may not have them: a filter of its unit forbids. Then the calls do. */
	if (geteuid() == 0)
		(void)unshare(CLONE_NEWNET | CLONE_NEWIPC);
	r = lower_limits(rules->cpu_s);
	if (r == 0)
		r = drop_rights(others);
	if (r == 0 && landlock >= 0 && syscall(SYS_landlock_restrict_self, landlock, 0) < 0)
		r = -errno;
	if (landlock >= 0)
		close(landlock);
	if (r == 0)
		r = forbid_calls(rules->write != NULL);
	return r < 0 ? fail(f, r, "cannot confine the import: %s", strerror(-r)) : 0;
}
