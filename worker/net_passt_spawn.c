/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The passt process: its options, its start, its end (net_passt.h, net_passt_internal.h).
 *
 * passt inherits four descriptors: /dev/null twice, a pipe for its complaints, and its end of the
 * socketpair. It drops its privileges by itself, which also clears the death signal that it is
 * started with; from then on the end of the socket is what ends it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/util.h"
#include "worker/net_passt_internal.h"

#define REAP_TRIES 100
#define REAP_PAUSE_MS 10
#define START_TIMEOUT_MS 2000
#define SPEC_MAX 80u
#define SOCKET_FD 3
#define MTU_DEFAULT 1500u
#define SOCKET_BUFFER_BYTES (1 << 20)

static bool port_valid(const char *text, size_t len)
{
	unsigned long v = 0;

	if (len < 1 || len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (unsigned long)(text[i] - '0');
	}
	return v >= 1 && v <= 65535;
}

/* Takes "ADDRESS:" off *text, when there is one: 0 and the address, "" for none; -EINVAL. */
static int take_address(const char **text, char address[INET6_ADDRSTRLEN])
{
	uint8_t binary[16];
	const char *from = *text, *end, *next;
	int family = AF_INET;

	address[0] = '\0';
	if (*from == '[') {
		family = AF_INET6;
		end = strchr(++from, ']');
		next = end ? end + 1 : NULL;
		if (!next || *next != ':')
			return -EINVAL;
	} else {
		end = strchr(from, ':');
		/* One colon only: just the ports. */
		if (!end || !strchr(end + 1, ':'))
			return 0;
		next = end;
	}
	if ((size_t)(end - from) >= INET6_ADDRSTRLEN)
		return -EINVAL;
	memcpy(address, from, (size_t)(end - from));
	address[end - from] = '\0';
	*text = next + 1;
	return inet_pton(family, address, binary) == 1 ? 0 : -EINVAL;
}

int net_passt_forward_spec(const char *forward, char *spec, size_t spec_len, bool *ret_udp)
{
	char address[INET6_ADDRSTRLEN];
	const char *at = forward + 4, *colon;
	int n;

	if (strncmp(forward, "tcp:", 4) != 0 && strncmp(forward, "udp:", 4) != 0)
		return -EINVAL;
	if (take_address(&at, address) < 0)
		return -EINVAL;
	colon = strchr(at, ':');
	if (!colon || !port_valid(at, (size_t)(colon - at)) ||
	    !port_valid(colon + 1, strlen(colon + 1)))
		return -EINVAL;
	n = snprintf(spec, spec_len, "%s%s%s", address, address[0] ? "/" : "", at);
	if (n < 0 || (size_t)n >= spec_len)
		return -EINVAL;
	*ret_udp = forward[0] == 'u';
	return 0;
}

/* -f -q -F 3 -m MTU [--no-map-gw], two per forward, -t none, -u none, NULL */
#define ARGS_MAX (14 + 2 * NET_PASST_FORWARDS_MAX)

struct passt_args {
	const char *argv[ARGS_MAX];
	unsigned count;
	char mtu[12];
	char spec[NET_PASST_FORWARDS_MAX][SPEC_MAX];
};

static void add(struct passt_args *a, const char *arg)
{
	a->argv[a->count++] = arg;
}

static int make_args(const struct net_passt_config *config, struct passt_args *a, char *err,
		     size_t err_len)
{
	bool any[2] = {false, false};

	if (config->forward_count > NET_PASST_FORWARDS_MAX) {
		snprintf(err, err_len, "too many forwarded ports: %u, at most %u are possible",
			 config->forward_count, NET_PASST_FORWARDS_MAX);
		return -E2BIG;
	}
	snprintf(a->mtu, sizeof(a->mtu), "%u", config->mtu ? config->mtu : MTU_DEFAULT);
	add(a, "passt");
	add(a, "-f");
	add(a, "-q");
	add(a, "-F");
	add(a, "3");
	add(a, "-m");
	add(a, a->mtu);
	if (!config->host_loopback)
		add(a, "--no-map-gw");
	for (unsigned i = 0; i < config->forward_count; i++) {
		bool udp;

		if (net_passt_forward_spec(config->forwards[i], a->spec[i], SPEC_MAX, &udp) < 0) {
			snprintf(err, err_len,
				 "cannot forward '%s': expected 'tcp:[ADDRESS:]PORT:GUESTPORT' or "
				 "'udp:...', an IPv6 address in brackets",
				 config->forwards[i]);
			return -EINVAL;
		}
		any[udp] = true;
		add(a, udp ? "-u" : "-t");
		add(a, a->spec[i]);
	}
	if (!any[0]) {
		add(a, "-t");
		add(a, "none");
	}
	/* passt would forward the UDP ports of forwarded TCP ports as well. */
	if (!any[1]) {
		add(a, "-u");
		add(a, "none");
	}
	add(a, NULL);
	return 0;
}

struct start_fds {
	int socket[2]; /* ours, passt's */
	int words[2];  /* passt's stderr: read, write */
	int error[2];  /* errno of a failed exec: read, write */
};

static void close_pair(int pair[2])
{
	for (int i = 0; i < 2; i++) {
		if (pair[i] >= 0)
			close(pair[i]);
		pair[i] = -1;
	}
}

static int open_fds(struct start_fds *f)
{
	int size = SOCKET_BUFFER_BYTES;

	*f = (struct start_fds){{-1, -1}, {-1, -1}, {-1, -1}};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->socket) < 0 ||
	    pipe2(f->words, O_CLOEXEC | O_NONBLOCK) < 0 || pipe2(f->error, O_CLOEXEC) < 0) {
		int error = errno;

		close_pair(f->socket);
		close_pair(f->words);
		close_pair(f->error);
		return -error;
	}
	/* The kernel's limit cuts it as it likes. */
	(void)setsockopt(f->socket[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	(void)setsockopt(f->socket[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

/* In the child, between fork and exec: calls that are safe there, and nothing else. */
static _Noreturn void run_child(const struct start_fds *f, const char *program,
				const struct passt_args *args, pid_t parent)
{
	int error = fcntl(f->error[1], F_DUPFD_CLOEXEC, SOCKET_FD + 1);
	int words = fcntl(f->words[1], F_DUPFD_CLOEXEC, SOCKET_FD + 1);
	int sock = fcntl(f->socket[1], F_DUPFD_CLOEXEC, SOCKET_FD + 1);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct sigaction plain = {.sa_handler = SIG_DFL};
	sigset_t none;
	ssize_t written;
	int e;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	sigaction(SIGPIPE, &plain, NULL);
	if (error >= 0 && words >= 0 && sock >= 0 && null >= 0 && dup2(null, 0) == 0 &&
	    dup2(null, 1) == 1 && dup2(words, 2) == 2 && dup2(sock, SOCKET_FD) == SOCKET_FD) {
		(void)close_range(SOCKET_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC);
		execvp(program, (char *const *)(uintptr_t)args->argv);
	}
	e = errno;
	written = write(error, &e, sizeof(e));
	_exit(written == (ssize_t)sizeof(e) ? 127 : 126);
}

/* 0, or -errno of what kept the program from running. */
static int await_exec(int fd)
{
	int error = 0;
	ssize_t n;

	do {
		n = read(fd, &error, sizeof(error));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == (ssize_t)sizeof(error) ? -error : 0;
}

/* Asks passt for the hardware address of an IPv4 address; it answers for any. The question also
 * teaches it the guest's own hardware address. */
static size_t make_probe(const uint8_t mac[6], uint8_t frame[64])
{
	static const uint8_t stranger[6] = {0x02, 0, 0, 0, 0, 0x01}, nobody[6];
	static const uint8_t target[4] = {192, 0, 0, 8}; /* RFC 7600's dummy */
	const uint8_t *from = memcmp(mac, nobody, 6) == 0 ? stranger : mac;

	memset(frame, 0, 64);
	be32_store(frame, 60);
	memset(frame + 4, 0xff, 6);
	memcpy(frame + 10, from, 6);
	be16_store(frame + 16, 0x0806);
	be16_store(frame + 18, 1);      /* Ethernet */
	be16_store(frame + 20, 0x0800); /* IPv4 */
	frame[22] = 6;
	frame[23] = 4;
	be16_store(frame + 24, 1); /* request */
	memcpy(frame + 26, from, 6);
	memcpy(frame + 42, target, 4);
	return 64;
}

/* Waits until passt answers. -ECONNRESET: it ended. No answer in time is no failure: where there
 * is no IPv4 nobody asks for hardware addresses. */
static int await_service(int fd, const uint8_t mac[6])
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	uint8_t probe[64], byte;
	size_t len = make_probe(mac, probe);
	ssize_t n;

	n = send(fd, probe, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n != (ssize_t)len)
		return -ECONNRESET;
	while (poll(&poller, 1, START_TIMEOUT_MS) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (!poller.revents)
		return 0;
	n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	return n == 1 ? 0 : -ECONNRESET;
}

static int exec_failed(const char *program, int error, char *err, size_t err_len)
{
	const char *hint = "";

	/* EACCES is also what a search along PATH ends in when one folder may not be read. */
	if (error == ENOENT || error == EACCES)
		hint = "; install the package 'passt', or connect the NIC to a tap device";
	snprintf(err, err_len, "cannot start the user-mode network: cannot run '%s': %s%s", program,
		 error == ENOENT ? "it is not installed" : strerror(error), hint);
	return -error;
}

int passt_spawn(const struct net_passt_config *config, struct passt_child *ret_child, char *err,
		size_t err_len)
{
	const char *program = config->program ? config->program : "passt";
	struct passt_args args = {.count = 0};
	struct passt_child child;
	struct start_fds f;
	pid_t parent = getpid();
	int r = make_args(config, &args, err, err_len);

	if (r < 0)
		return r;
	r = open_fds(&f);
	if (r < 0)
		return exec_failed(program, -r, err, err_len);
	child = (struct passt_child){
		.fd = f.socket[0], .stderr_fd = f.words[0], .pid = fork(), .pid_fd = -1};
	if (child.pid == 0)
		run_child(&f, program, &args, parent);
	r = child.pid < 0 ? -errno : 0;
	if (r == 0)
		child.pid_fd = (int)syscall(SYS_pidfd_open, child.pid, 0);
	close(f.socket[1]);
	close(f.words[1]);
	close(f.error[1]);
	if (r == 0)
		r = await_exec(f.error[0]);
	close(f.error[0]);
	if (r < 0)
		exec_failed(program, -r, err, err_len);
	else if ((r = await_service(child.fd, config->mac)) == 0)
		*ret_child = child;
	else
		passt_reap(&child, "cannot start the user-mode network: passt ended", err, err_len);
	if (r < 0) {
		char unused[PASST_SENTENCE_MAX];

		passt_reap(&child, "", unused, sizeof(unused));
		close(child.fd);
	}
	return r;
}

/* Lines that say nothing of why it ended. */
static bool line_is_noise(const char *line)
{
	static const char *const noise[] = {"Failed to send ", "Don't run as root"};

	for (size_t i = 0; i < ARRAY_LEN(noise); i++) {
		if (strncmp(line, noise[i], strlen(noise[i])) == 0)
			return true;
	}
	return line[0] == '\0';
}

/* The last line of the text that tells something; it is cut out in place. NULL: none. */
static const char *last_line(char *text)
{
	const char *found = NULL;
	char *save = NULL;

	for (char *line = strtok_r(text, "\r\n", &save); line;
	     line = strtok_r(NULL, "\r\n", &save)) {
		for (char *c = line; *c; c++) {
			if ((unsigned char)*c < ' ' || *c == 0x7f)
				*c = ' ';
		}
		if (!line_is_noise(line))
			found = line;
	}
	return found;
}

/* The last bytes that are in the pipe, as text. */
static void read_words(int fd, char *text, size_t room)
{
	size_t len = 0;

	for (;;) {
		ssize_t n;

		if (len == room - 1) {
			memmove(text, text + room / 2, len - room / 2);
			len -= room / 2;
		}
		n = read(fd, text + len, room - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	for (size_t i = 0; i < len; i++) {
		if (!text[i])
			text[i] = ' ';
	}
	text[len] = '\0';
}

/* Waits for the end of passt, but not for ever: what remains is taken over by the system. */
static void wait_end(pid_t pid)
{
	int status;

	for (int i = 0; i < REAP_TRIES && waitpid(pid, &status, WNOHANG) == 0; i++)
		poll(NULL, 0, REAP_PAUSE_MS);
}

void passt_reap(struct passt_child *child, const char *what, char *sentence, size_t sentence_len)
{
	char text[2048] = "";
	const char *line;
	int status = 0;

	if (child->pid > 0) {
		/* Its socket is closed already, which ends it. The signal only hastens that, and
		 * is not ours to send once we gave up our rights and it changed its user. */
		if (waitpid(child->pid, &status, WNOHANG) == 0) {
			(void)syscall(SYS_pidfd_send_signal, child->pid_fd, SIGKILL, NULL, 0);
			wait_end(child->pid);
		}
		child->pid = 0;
		if (child->pid_fd >= 0)
			close(child->pid_fd);
		child->pid_fd = -1;
	}
	if (child->stderr_fd >= 0) {
		read_words(child->stderr_fd, text, sizeof(text));
		close(child->stderr_fd);
		child->stderr_fd = -1;
	}
	line = last_line(text);
	if (line)
		snprintf(sentence, sentence_len, "%s: %s", what, line);
	else if (WIFSIGNALED(status))
		snprintf(sentence, sentence_len, "%s: it was killed by signal %d", what,
			 WTERMSIG(status));
	else
		snprintf(sentence, sentence_len, "%s", what);
}
