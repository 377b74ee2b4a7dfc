/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/landlock.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "lib/log.h"

#define BOTH (1u << SANDBOX_LOOP | 1u << SANDBOX_VCPU)
#define LOOP (1u << SANDBOX_LOOP)
#define FILES_MAX 2048u /* descriptors: a channel's eventfd each, disks, clients */
#define ARGUMENT_BITS UINT64_C(0xffffffff) /* the kernel looks at the lower half of an int only */

/* What an argument must be, for the calls that could do much more than we ask of them. */
enum limit {
	LIMIT_NONE,
	LIMIT_IOCTL,   /* argument 1 is in the table of requests below */
	LIMIT_NO_EXEC, /* argument 2 without PROT_EXEC */
	LIMIT_THREAD,  /* argument 0 with CLONE_THREAD: no new process */
	LIMIT_SELF,    /* argument 0 is this process */
	LIMIT_PRCTL,   /* argument 0: a name, or a filter */
};

struct permit {
	const char *name;
	unsigned roles;
	const char *why;
	enum limit limit;
};

/* A processor's thread touches devices in its exits, so it needs what they do there. */
static const struct permit permits[] = {
	{"ioctl", BOTH, "the requests below, no other", LIMIT_IOCTL},
	{"futex", BOTH, "locks and conditions", LIMIT_NONE},
	{"write", BOTH, "eventfds, console, the log", LIMIT_NONE},
	{"writev", BOTH, "frames to a tap", LIMIT_NONE},
	{"sendmsg", BOTH, "frames to passt", LIMIT_NONE},
	{"sendto", BOTH, "answers of the control socket; frames to passt", LIMIT_NONE},
	{"close", BOTH, "a channel's eventfd", LIMIT_NONE},
	{"eventfd2", BOTH, "a channel that opens gets an eventfd", LIMIT_NONE},
	{"epoll_ctl", BOTH, "a channel's eventfd, a back end that may be read again", LIMIT_NONE},
	{"io_uring_enter", BOTH, "disk I/O", LIMIT_NONE},
	{"mmap", BOTH, "memory of the heap, none of it for code", LIMIT_NO_EXEC},
	{"munmap", BOTH, "the same, given back", LIMIT_NONE},
	{"mprotect", BOTH, "growing the heap of a thread, never for code", LIMIT_NO_EXEC},
	{"madvise", BOTH, "giving back the heap and stacks of threads", LIMIT_NONE},
	{"mremap", BOTH, "growing large pieces of the heap", LIMIT_NONE},
	{"brk", BOTH, "the heap", LIMIT_NONE},
	{"clock_gettime", BOTH, "time, where the kernel does not map it", LIMIT_NONE},
	{"rt_sigreturn", BOTH, "end of the signal that interrupts a processor", LIMIT_NONE},
	{"rt_sigprocmask", BOTH, "making and ending threads", LIMIT_NONE},
	{"tgkill", BOTH, "interrupting a processor; no other process", LIMIT_SELF},
	{"getpid", BOTH, "interrupting a processor", LIMIT_NONE},
	{"gettid", BOTH, "interrupting a processor", LIMIT_NONE},
	{"exit", BOTH, "end of a thread", LIMIT_NONE},
	{"exit_group", BOTH, "end of the process", LIMIT_NONE},
	{"read", LOOP, "eventfds, tap, console, a state; who waits for memory", LIMIT_NONE},
	{"readv", LOOP, "frames of a tap", LIMIT_NONE},
	{"shutdown", LOOP, "the link to passt when it ended", LIMIT_NONE},
	{"restart_syscall", LOOP, "a wait that a stop interrupted", LIMIT_NONE},
	{"prctl", LOOP, "names of threads; a processor's thread narrows itself", LIMIT_PRCTL},
	{"rseq", LOOP, "start of a thread", LIMIT_NONE},
	{"set_robust_list", LOOP, "start of a thread", LIMIT_NONE},
	{"clone", LOOP, "processors' threads, made anew at a reset; no process", LIMIT_THREAD},
	{"sched_setaffinity", LOOP, "a new processor's thread is pinned, also after a reset",
	 LIMIT_NONE},
	{"rt_sigaction", LOOP, "the signal that interrupts a processor, set at a reset",
	 LIMIT_NONE},
	{"epoll_pwait2", LOOP, "the event loop", LIMIT_NONE},
	{"poll", LOOP, "draining disks and the console; waiting for passt, and for the lease",
	 LIMIT_NONE},
	{"accept4", LOOP, "clients of the control and console sockets", LIMIT_NONE},
	{"recvfrom", LOOP, "control socket, passt", LIMIT_NONE},
	{"recvmsg", LOOP, "control socket: descriptors of what is added", LIMIT_NONE},
	{"fcntl", LOOP,
	 "a control client becomes the console; the lock of the lease; the file of a state",
	 LIMIT_NONE},
	{"fallocate", LOOP, "memory given back at a reset; holes of a copied disk", LIMIT_NONE},
	{"pread64", LOOP,
	 "kernel and initrd, read again at a reset; the lease; a state's memory; copied disks",
	 LIMIT_NONE},
	{"pwrite64", LOOP, "the lease, which another host is offered or takes; copied disks",
	 LIMIT_NONE},
	{"newfstatat", LOOP, "size of kernel and initrd at a reset", LIMIT_NONE},
	{"unlinkat", LOOP, "removing the sockets at the end", LIMIT_NONE},
	{"pidfd_send_signal", LOOP, "ending passt, to which there is a descriptor", LIMIT_NONE},
	{"wait4", LOOP, "passt's end", LIMIT_NONE},
	{"lseek", LOOP,
	 "pages that were never touched, as a state is written; memory, as it is read", LIMIT_NONE},
	{"fdatasync", LOOP, "a state that was written, and the disks that belong to it; the lease",
	 LIMIT_NONE},
};

struct request {
	const char *name;
	uint32_t number;
	unsigned roles;
	const char *why;
};

#define REQUEST(number, roles, why)                     \
	{                                               \
#number, (uint32_t)(number), roles, why \
	}

static const struct request requests[] = {
	REQUEST(KVM_RUN, BOTH, "running the processor"),
	REQUEST(KVM_INTERRUPT, BOTH, "interrupts of the PIC"),
	REQUEST(KVM_SIGNAL_MSI, BOTH, "interrupts of devices"),
	REQUEST(KVM_IOEVENTFD, BOTH, "a channel's kick, when it opens and closes"),
	REQUEST(TCGETS, BOTH, "a line of the log ends as its terminal wants it"),
	REQUEST(TUNSETOFFLOAD, BOTH, "what the guest's network driver can do"),
	REQUEST(KVM_SET_GSI_ROUTING, LOOP, "the IOAPIC's pins"),
	REQUEST(KVM_GET_API_VERSION, LOOP, "a partition made anew at a reset"),
	REQUEST(KVM_CHECK_EXTENSION, LOOP, "the same"),
	REQUEST(KVM_CREATE_VM, LOOP, "the same"),
	REQUEST(KVM_GET_VCPU_MMAP_SIZE, LOOP, "the same"),
	REQUEST(KVM_ENABLE_CAP, LOOP, "the same"),
	REQUEST(KVM_SET_TSS_ADDR, LOOP, "the same"),
	REQUEST(KVM_SET_USER_MEMORY_REGION, LOOP, "the same"),
	REQUEST(KVM_X86_SET_MSR_FILTER, LOOP, "the same"),
	REQUEST(KVM_CREATE_VCPU, LOOP, "the same: its processors"),
	REQUEST(KVM_GET_TSC_KHZ, LOOP, "the same"),
	REQUEST(KVM_SET_DEVICE_ATTR, LOOP, "the same"),
	REQUEST(KVM_GET_SUPPORTED_CPUID, LOOP, "the same"),
	REQUEST(KVM_SET_CPUID2, LOOP, "the same"),
	REQUEST(KVM_SET_MSRS, LOOP, "the same"),
	REQUEST(KVM_GET_SREGS, LOOP, "the same"),
	REQUEST(KVM_SET_SREGS, LOOP, "the same"),
	REQUEST(KVM_SET_REGS, LOOP, "the same"),
	REQUEST(KVM_GET_MP_STATE, LOOP, "a state that is written: its processors"),
	REQUEST(KVM_GET_REGS, LOOP, "the same"),
	REQUEST(KVM_GET_XCRS, LOOP, "the same"),
	REQUEST(KVM_GET_XSAVE, LOOP, "the same"),
	REQUEST(KVM_GET_XSAVE2, LOOP, "the same"),
	REQUEST(KVM_GET_DEBUGREGS, LOOP, "the same"),
	REQUEST(KVM_GET_LAPIC, LOOP, "the same"),
	REQUEST(KVM_GET_MSR_INDEX_LIST, LOOP, "the same"),
	REQUEST(KVM_GET_MSRS, LOOP, "the same"),
	REQUEST(KVM_GET_VCPU_EVENTS, LOOP, "the same"),
	REQUEST(KVM_SET_MP_STATE, LOOP, "a state that is read: its processors"),
	REQUEST(KVM_SET_XCRS, LOOP, "the same"),
	REQUEST(KVM_SET_XSAVE, LOOP, "the same"),
	REQUEST(KVM_SET_DEBUGREGS, LOOP, "the same"),
	REQUEST(KVM_SET_LAPIC, LOOP, "the same"),
	REQUEST(KVM_SET_VCPU_EVENTS, LOOP, "the same"),
	REQUEST(KVM_GET_DIRTY_LOG, LOOP, "a VM that is migrated: what was written meanwhile"),
	REQUEST(KVM_CLEAR_DIRTY_LOG, LOOP, "the same"),
	REQUEST(UFFDIO_REGISTER, LOOP, "a state that is read: memory, when it is needed"),
	REQUEST(UFFDIO_COPY, LOOP, "the same"),
	REQUEST(UFFDIO_ZEROPAGE, LOOP, "the same"),
	REQUEST(UFFDIO_WAKE, LOOP, "the same"),
	REQUEST(TUNGETIFF, LOOP, "a tap that comes over the control socket"),
	REQUEST(TUNSETVNETHDRSZ, LOOP, "the same"),
	REQUEST(BLKGETSIZE64, LOOP, "a block device that comes over the control socket"),
	REQUEST(BLKSSZGET, LOOP, "the same"),
	REQUEST(BLKPBSZGET, LOOP, "the same"),
	REQUEST(BLKROGET, LOOP, "the same"),
};

/* The filters as programs for the kernel, made once: threads load them without a library. */
static struct program {
	struct sock_filter *code;
	unsigned short len;
} programs[2];
static bool entered;

unsigned sandbox_calls(enum sandbox_role role)
{
	unsigned count = 0;

	for (size_t i = 0; i < ARRAY_LEN(permits); i++)
		count += (permits[i].roles & 1u << role) != 0;
	return count;
}

static void print_line(FILE *to, const char *name, unsigned roles, const char *why)
{
	fprintf(to, "%-28s %-16s %s\n", name, roles == LOOP ? "loop" : "loop, processor", why);
}

void sandbox_print(FILE *to)
{
	for (size_t i = 0; i < ARRAY_LEN(permits); i++)
		print_line(to, permits[i].name, permits[i].roles, permits[i].why);
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		print_line(to, requests[i].name, requests[i].roles, requests[i].why);
}

/* The root becomes an empty file system that cannot be written. */
static int empty_root(void)
{
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

/* An ordinary user needs a user namespace first, which not every host lets one have, or lets do
 * nothing in; then landlock and the filters have to do. */
static int enter_namespaces(void)
{
	int kinds = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

	if (unshare(kinds) == 0)
		return empty_root();
	if (errno != EPERM)
		return -errno;
	if (unshare(CLONE_NEWUSER | kinds) == 0)
		(void)empty_root();
	return 0;
}

/* None can be had back: cores would show the guest's memory, and hard limits only sink. */
static int lower_limits(void)
{
	static const __rlimit_resource_t nothing[] = {RLIMIT_CORE, RLIMIT_MSGQUEUE, RLIMIT_RTPRIO};
	struct rlimit none = {0, 0}, files;

	for (size_t i = 0; i < ARRAY_LEN(nothing); i++) {
		if (setrlimit(nothing[i], &none) < 0)
			return -errno;
	}
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	if (files.rlim_cur > FILES_MAX)
		files.rlim_cur = FILES_MAX;
	files.rlim_max = files.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

/* With a user, for which the right to change it is needed, its group and no other go with it. */
static int drop_capabilities(uint32_t user)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (user &&
	    capng_change_id((int)user, (int)user, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING) < 0)
		return -EPERM;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	/* The bounding set needs a right that an ordinary user has not; nor is there anything in
	 * it for one, without new privileges. */
	if (capng_apply(CAPNG_SELECT_BOTH) < 0 && capng_apply(CAPNG_SELECT_CAPS) < 0)
		return -EPERM;
	return 0;
}

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

static size_t landlock_everything(long version, struct landlock_rules *ret)
{
	*ret = (struct landlock_rules){.files = LANDLOCK_FILES};
	if (version >= 2)
		ret->files |= LANDLOCK_REFER;
	if (version >= 3)
		ret->files |= LANDLOCK_TRUNCATE;
	if (version >= 5)
		ret->files |= LANDLOCK_IOCTL_DEVICE;
	ret->network = version >= 4 ? LANDLOCK_TCP : 0;
	ret->scopes = version >= 6 ? LANDLOCK_SCOPES : 0;
	return version >= 6   ? sizeof(*ret)
	       : version >= 4 ? offsetof(struct landlock_rules, scopes)
			      : offsetof(struct landlock_rules, network);
}

static int forbid_files(const int *folders, unsigned count)
{
	struct landlock_rules all;
	size_t len = landlock_everything(
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION),
		&all);
	int rules = (int)syscall(SYS_landlock_create_ruleset, &all, len, 0), r = 0;

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

static int permit_requests(scmp_filter_ctx ctx, enum sandbox_role role, int number)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(requests); i++) {
		if (requests[i].roles & 1u << role)
			r = seccomp_rule_add(
				ctx, SCMP_ACT_ALLOW, number, 1,
				SCMP_A1(SCMP_CMP_MASKED_EQ, ARGUMENT_BITS, requests[i].number));
	}
	return r;
}

static int permit(scmp_filter_ctx ctx, enum sandbox_role role, const struct permit *p)
{
	int number = seccomp_syscall_resolve_name(p->name), r;

	if (number == __NR_SCMP_ERROR)
		return 0; /* neither the library nor the kernel that goes with it has it */
	switch (p->limit) {
	case LIMIT_IOCTL:
		return permit_requests(ctx, role, number);
	case LIMIT_NO_EXEC:
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 1,
					SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	case LIMIT_THREAD:
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 1,
					SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	case LIMIT_SELF:
		return seccomp_rule_add(
			ctx, SCMP_ACT_ALLOW, number, 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, ARGUMENT_BITS, (scmp_datum_t)getpid()));
	case LIMIT_PRCTL:
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, ARGUMENT_BITS, PR_SET_NAME));
		return r < 0 ? r
			     : seccomp_rule_add(
				       ctx, SCMP_ACT_ALLOW, number, 1,
				       SCMP_A0(SCMP_CMP_MASKED_EQ, ARGUMENT_BITS, PR_SET_SECCOMP));
	case LIMIT_NONE:
	default:
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 0);
	}
}

/* Has the library write the program into a file in memory, and keeps it. */
static int make_program(enum sandbox_role role, struct program *ret_program)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int fd = memfd_create("filter", MFD_CLOEXEC), r = ctx && fd >= 0 ? 0 : -ENOMEM;
	off_t len;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(permits); i++) {
		if (permits[i].roles & 1u << role)
			r = permit(ctx, role, &permits[i]);
	}
	/* Its flags lie in memory, out of a filter's sight; the library then takes clone(). */
	if (r == 0 && role == SANDBOX_LOOP)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
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

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ? -errno : 0;
}

int sandbox_enter(const int *folders, unsigned count, uint32_t user, struct failure *f)
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
	r = lower_limits();
	if (r < 0)
		return fail(f, r, "cannot lower the worker's limits: %s", strerror(-r));
	r = drop_capabilities(user);
	if (r < 0 && user)
		return fail(f, r,
			    "cannot become the user %u: %s; start the worker as root, or leave "
			    "the user out",
			    user, strerror(-r));
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
