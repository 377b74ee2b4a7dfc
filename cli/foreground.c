/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/foreground.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/terminal.h"

#ifndef OYA_LIBEXEC
#define OYA_LIBEXEC "/usr/libexec/oya"
#endif

struct foreground {
	pid_t worker;
	char control[108];
	bool own_control; /* the control socket is ours, not one that the user asked for */
};

/* ---- commands on the console ---- */

/* Sends one verb to the control socket and shows the answer when it is a refusal. */
static void control_verb(const struct foreground *fg, const char *verb)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char line[64], answer[1024];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int len = snprintf(line, sizeof(line), "{\"verb\":\"%s\"}\n", verb);
	ssize_t n = -1;

	memcpy(address.sun_path, fg->control, sizeof(address.sun_path));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    send(fd, line, (size_t)len, MSG_NOSIGNAL) == len)
		n = recv(fd, answer, sizeof(answer) - 1, 0);
	if (fd >= 0)
		close(fd);
	if (n <= 0) {
		fprintf(stderr, "\r\noya: the VM does not answer\r\n");
		return;
	}
	answer[n] = '\0';
	if (strstr(answer, "\"ok\":true") == NULL) {
		json_t *object = json_loads(answer, 0, NULL);
		const char *text = json_string_value(json_object_get(object, "error"));

		fprintf(stderr, "\r\noya: %s\r\n", text ? text : answer);
		json_decref(object);
	}
}

static void shut_down(void *owner)
{
	control_verb(owner, "shutdown");
}

static void reset(void *owner)
{
	control_verb(owner, "reset");
}

static void send_nmi(void *owner)
{
	control_verb(owner, "nmi");
}

static void switch_off(void *owner)
{
	const struct foreground *fg = owner;

	kill(fg->worker, SIGTERM);
}

static const struct terminal_key keys[] = {
	{'s', "shut down", shut_down},
	{'r', "reset", reset},
	{'n', "NMI", send_nmi},
	{'q', "switch off", switch_off},
};

/* Until the worker closes its end, which it does by ending. */
static void carry_console(struct foreground *fg, int console)
{
	struct terminal terminal = {
		.guest = console,
		.in = STDIN_FILENO,
		.out = STDOUT_FILENO,
		.err = STDERR_FILENO,
		.stop = -1,
		.keys = keys,
		.key_count = ARRAY_LEN(keys),
		.owner = fg,
	};

	terminal_relay(&terminal);
}

/* ---- the worker ---- */

/* Beside us in a build tree, else where it is installed. */
static void worker_path(char path[PATH_MAX])
{
	const char *named = getenv("OYA_WORKER");
	char self[PATH_MAX - 64] = "";
	char *slash;

	if (named) {
		snprintf(path, PATH_MAX, "%s", named);
		return;
	}
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) > 0 &&
	    (slash = strrchr(self, '/'))) {
		*slash = '\0';
		snprintf(path, PATH_MAX, "%s/oya-worker", self);
		if (access(path, X_OK) == 0)
			return;
		snprintf(path, PATH_MAX, "%s/../worker/oya-worker", self);
		if (access(path, X_OK) == 0)
			return;
	}
	snprintf(path, PATH_MAX, "%s/oya-worker", OYA_LIBEXEC);
}

static int config_descriptor(json_t *config, struct failure *f)
{
	char *text = json_dumps(config, JSON_COMPACT);
	int fd = memfd_create("vm-config", 0);
	size_t len = text ? strlen(text) : 0;

	if (fd < 0 || !text || write(fd, text, len) != (ssize_t)len ||
	    lseek(fd, 0, SEEK_SET) != 0) {
		free(text);
		if (fd >= 0)
			close(fd);
		return fail(f, -ENOMEM, "cannot hand the configuration to the worker: %s",
			    strerror(errno));
	}
	free(text);
	return fd;
}

/* In the child: does not return. */
static void become_worker(const char *path, int config_fd, int worker_console, int parent_fd)
{
	struct pollfd parent = {.fd = parent_fd, .events = POLLIN};
	char config[32];

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (poll(&parent, 1, 0) != 0) /* it has ended before we could ask to be told */
		_exit(EXIT_FAILURE);
	setpgid(0, 0); /* Ctrl-C on a terminal that is not raw is for us to pass on */
	if (worker_console >= 0) {
		dup2(worker_console, STDIN_FILENO);
		dup2(worker_console, STDOUT_FILENO);
	}
	snprintf(config, sizeof(config), "/proc/self/fd/%d", config_fd);
	execl(path, "oya-worker", "--config", config, (char *)NULL);
	_exit(127);
}

/* The worker is the first process of a namespace where that is permitted: it sees no other, and
 * what it started ends with it. The first of a namespace loses signals that it neither blocks
 * nor handles, so they are blocked until it has its own way to take them. */
static int spawn_worker(struct foreground *fg, int config_fd, int worker_console, struct failure *f)
{
	char path[PATH_MAX];
	sigset_t taken, before;
	int self, r = 0;

	worker_path(path);
	if (access(path, X_OK) < 0)
		return fail(f, -errno,
			    "cannot find the worker %s: %s; install the package oya or set "
			    "OYA_WORKER",
			    path, strerror(errno));
	self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	sigemptyset(&taken);
	sigaddset(&taken, SIGTERM);
	sigaddset(&taken, SIGINT);
	sigaddset(&taken, SIGHUP);
	sigprocmask(SIG_BLOCK, &taken, &before);
	(void)unshare(CLONE_NEWPID);
	fg->worker = self < 0 ? -1 : fork();
	if (fg->worker < 0)
		r = fail(f, -errno, "cannot start the worker: %s", strerror(errno));
	else if (fg->worker == 0)
		become_worker(path, config_fd, worker_console, self);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (self >= 0)
		close(self);
	return r;
}

static int private_control(struct foreground *fg, struct failure *f)
{
	uint64_t name;

	if (getrandom(&name, sizeof(name), 0) != sizeof(name))
		return fail(f, -EIO, "cannot name the control socket: no random numbers");
	/* No folder around it, which would stay when we are killed: the worker removes only the
	 * socket, to which it alone gives access. */
	snprintf(fg->control, sizeof(fg->control), "/tmp/oya-run-%016llx",
		 (unsigned long long)name);
	fg->own_control = true;
	return 0;
}

static volatile sig_atomic_t worker_to_end;

/* Whatever ends us, the worker is told the one thing that it tidies up after. */
static void pass_on(int signal)
{
	(void)signal;
	if (worker_to_end > 0)
		kill((pid_t)worker_to_end, SIGTERM);
}

static void pass_signals_on(pid_t worker)
{
	struct sigaction action = {.sa_handler = pass_on};

	worker_to_end = worker;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN); /* a VM runs on when nobody reads its console any more */
}

static const char *signal_hint(int signal)
{
	switch (signal) {
	case SIGKILL:
		return "; if the host ran out of memory, the kernel's log tells";
	case SIGSYS:
		return "; its sandbox forbids what it did: report this, with what the kernel's log "
		       "tells";
	default:
		return "";
	}
}

static int wait_worker(const struct foreground *fg, struct failure *f)
{
	int status;

	while (waitpid(fg->worker, &status, 0) < 0) {
		if (errno != EINTR)
			return fail(f, -errno, "lost the worker: %s", strerror(errno));
	}
	if (WIFSIGNALED(status))
		return fail(f, -EIO, "the worker was ended by signal %d (%s)%s", WTERMSIG(status),
			    strsignal(WTERMSIG(status)), signal_hint(WTERMSIG(status)));
	return WEXITSTATUS(status);
}

static int run_with(struct foreground *fg, json_t *config, bool stdio, struct failure *f)
{
	int pair[2] = {-1, -1}, config_fd, r;

	if (stdio && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail(f, -errno, "cannot make the console: %s", strerror(errno));
	config_fd = config_descriptor(config, f);
	r = config_fd < 0 ? config_fd : spawn_worker(fg, config_fd, pair[1], f);
	if (config_fd >= 0)
		close(config_fd);
	if (pair[1] >= 0)
		close(pair[1]);
	if (r == 0) {
		pass_signals_on(fg->worker);
		if (stdio)
			carry_console(fg, pair[0]);
		r = wait_worker(fg, f);
	}
	if (pair[0] >= 0)
		close(pair[0]);
	return r;
}

int foreground_run(json_t *config, const char *control, bool stdio, struct failure *f)
{
	struct foreground fg = {0};
	int r = 0;

	if (!control)
		r = private_control(&fg, f);
	else if (strlen(control) >= sizeof(fg.control))
		return fail(f, -ENAMETOOLONG, "the path of the control socket %s is too long",
			    control);
	else
		snprintf(fg.control, sizeof(fg.control), "%s", control);
	if (r == 0) {
		json_object_set_new(config, "control", json_string(fg.control));
		r = run_with(&fg, config, stdio, f);
	}
	if (fg.own_control)
		unlink(fg.control); /* left behind only when the worker was killed */
	return r;
}
