/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DHCP and name service of a NAT switch: dnsmasq, a process of its own for each.
 *
 * It outlives the daemon, so that VMs keep their names and leases while that is restarted. It is
 * found again by the file of its pid, whose process must have exactly the command line that we
 * give it; with another configuration it is ended and started anew.
 *
 * Trust: the files are in a folder of the daemon's own. What VMs send reaches dnsmasq alone, which
 * gives up root by itself.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "host/switch_priv.h"
#include "lib/process.h"

#define START_WAIT_MS 150 /* within which a service that cannot work has ended */
#define STOP_WAIT_MS 2000
#define CONF_MAX 4096u
#define WAIT_FIRST_MS 1000u
#define WAIT_MAX_MS 60000u

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

enum dhcp_file { FILE_CONF, FILE_PID, FILE_ERRORS };

static const char *const suffixes[] = {
	[FILE_CONF] = ".dnsmasq", [FILE_PID] = ".pid", [FILE_ERRORS] = ".err"};

static void path_of(const struct switches_options *o, const char *ifname, enum dhcp_file file,
		    char ret[SWITCH_PATH_MAX])
{
	snprintf(ret, SWITCH_PATH_MAX, "%s/%s%s", o->run_dir, ifname, suffixes[file]);
}

/* What the switch's clients get is from this text alone: files of the host's dnsmasq, and its
 * /etc/hosts, are not read. No address is tried by a ping first, which would cost each VM 3 s: the
 * network is the switch's own. */
char *dhcp_text(const struct switch_config *c, const char *state_dir)
{
	char ifname[IFNAMSIZ], address[INET_ADDRSTRLEN], first[INET_ADDRSTRLEN],
		last[INET_ADDRSTRLEN], mask[INET_ADDRSTRLEN];
	char *text;

	switch_ifname(c->name, ifname);
	ip_text(c->address, address);
	ip_text(c->dhcp_first, first);
	ip_text(c->dhcp_last, last);
	ip_text(mask_of(c->prefix), mask);
	if (asprintf(&text,
		     "interface=%s\n"
		     "except-interface=lo\n"
		     "bind-dynamic\n"
		     "no-hosts\n"
		     "domain-needed\n"
		     "bogus-priv\n"
		     "pid-file\n"
		     "dhcp-authoritative\n"
		     "dhcp-no-override\n"
		     "no-ping\n"
		     "dhcp-leasefile=%s/%s.leases\n"
		     "dhcp-range=%s,%s,%s,%us\n"
		     "dhcp-option=option:router,%s\n"
		     "dhcp-option=option:dns-server,%s\n"
		     "dhcp-lease-max=%u\n",
		     ifname, state_dir, ifname, first, last, mask, c->lease_s, address, address,
		     c->dhcp_last - c->dhcp_first < 65535 ? c->dhcp_last - c->dhcp_first + 1
							  : 65536) < 0)
		return NULL;
	return text;
}

/* A whole small file with a NUL behind it. Its length, or -errno. */
static ssize_t read_file(const char *path, char *ret, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t len = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	while (len < room - 1 && (n = read(fd, ret + len, room - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	ret[len] = '\0';
	return n < 0 ? -EIO : (ssize_t)len;
}

/* By a temporary name, so that a reader meets all of it. */
static int write_file(const char *path, const char *text)
{
	char temporary[SWITCH_PATH_MAX + 8];
	size_t len = strlen(text);
	ssize_t written;
	int fd, r = 0;

	snprintf(temporary, sizeof(temporary), "%s.new", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	written = write(fd, text, len);
	if (written != (ssize_t)len)
		r = written < 0 ? -errno : -ENOSPC;
	close(fd);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r;
}

/* The command line of ours, as /proc shows it: each argument with its NUL. */
static size_t command_line(const struct switches_options *o, const char *conf, char *ret,
			   size_t room)
{
	int len = snprintf(ret, room, "%s%c--keep-in-foreground%c--conf-file=%s%c", o->dnsmasq, 0,
			   0, conf, 0);

	return len < 0 || (size_t)len >= room ? 0 : (size_t)len;
}

/* A descriptor of the running service of an interface, or -ESRCH. */
static int find_running(const struct switches_options *o, const char *ifname)
{
	char conf[SWITCH_PATH_MAX], path[SWITCH_PATH_MAX], text[32], is[1024], should[1024];
	size_t len;
	ssize_t n;
	long pid;
	int fd;

	path_of(o, ifname, FILE_PID, path);
	path_of(o, ifname, FILE_CONF, conf);
	if (read_file(path, text, sizeof(text)) <= 0)
		return -ESRCH;
	pid = strtol(text, NULL, 10);
	if (pid <= 1 || pid > INT32_MAX)
		return -ESRCH;
	fd = pidfd_open((pid_t)pid, 0);
	if (fd < 0)
		return -ESRCH;
	/* It is this process that the descriptor is of only while it has not ended since. */
	snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
	n = read_file(path, is, sizeof(is));
	len = command_line(o, conf, should, sizeof(should));
	if (n <= 0 || (size_t)n != len || memcmp(is, should, len) != 0 ||
	    pidfd_send_signal(fd, 0, NULL, 0) < 0) {
		close(fd);
		return -ESRCH;
	}
	return fd;
}

static bool ends_within(int pidfd, int wait_ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int r;

	do {
		r = poll(&p, 1, wait_ms);
	} while (r < 0 && errno == EINTR);
	return r > 0;
}

/* Waits for it where it is our child. */
static void reap(int pidfd)
{
	siginfo_t info;

	(void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
	close(pidfd);
}

static void end_process(int pidfd)
{

	(void)pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
	if (!ends_within(pidfd, STOP_WAIT_MS)) {
		(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
		(void)ends_within(pidfd, STOP_WAIT_MS);
	}
	reap(pidfd);
}

static int spawn_service(const struct switches_options *o, const char *conf, const char *errors,
			 pid_t *ret_pid)
{
	static const char *const environment[] = {"PATH=/usr/sbin:/usr/bin", NULL};
	char argument[SWITCH_PATH_MAX + 16];
	const char *const arguments[] = {"--keep-in-foreground", argument, NULL};
	struct process_wish child = {.program = o->dnsmasq,
				     .arguments = arguments,
				     .environment = environment,
				     .in = -1,
				     .out = -1,
				     .session = true};
	int fd, r;

	snprintf(argument, sizeof(argument), "--conf-file=%s", conf);
	fd = open(errors, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	child.errors = fd;
	r = process_start(&child, ret_pid);
	close(fd);
	return r;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Its own words, for people. */
static int told(const struct switch_config *c, const char *errors, struct failure *f)
{
	char text[300] = "";

	(void)read_file(errors, text, sizeof(text));
	text[strcspn(text, "\n")] = '\0';
	return fail(f, -EIO,
		    "cannot start the DHCP service of the switch '%s': it ended at once%s%s; "
		    "is another service of DHCP or DNS on all interfaces?",
		    c->name, text[0] ? ": " : "", text);
}

static int start(struct dhcp *d, const struct switch_config *c, const struct switches_options *o,
		 const char *ifname, struct failure *f)
{
	char conf[SWITCH_PATH_MAX], pid_path[SWITCH_PATH_MAX], errors[SWITCH_PATH_MAX], number[16];
	pid_t pid;
	int r;

	path_of(o, ifname, FILE_CONF, conf);
	path_of(o, ifname, FILE_PID, pid_path);
	path_of(o, ifname, FILE_ERRORS, errors);
	r = spawn_service(o, conf, errors, &pid);
	if (r < 0)
		return fail(f, r,
			    "cannot start the DHCP service of the switch '%s': '%s': %s; install "
			    "the package dnsmasq-base, or set 'dhcp' of the switch to false",
			    c->name, o->dnsmasq, strerror(-r));
	d->pidfd = pidfd_open(pid, 0);
	if (d->pidfd < 0) {
		r = -errno;
		kill(pid, SIGKILL); /* our child, which nobody has waited for: the pid is its */
		waitpid(pid, NULL, 0);
		return fail(f, r, "cannot watch the DHCP service of the switch '%s': %s", c->name,
			    strerror(-r));
	}
	snprintf(number, sizeof(number), "%d\n", (int)pid);
	r = write_file(pid_path, number);
	if (r == 0 && !ends_within(d->pidfd, START_WAIT_MS)) {
		d->started_ms = now_ms();
		return 0;
	}
	end_process(d->pidfd);
	d->pidfd = -1;
	unlink(pid_path);
	if (r < 0)
		return fail(f, r, "cannot write '%s': %s", pid_path, strerror(-r));
	return told(c, errors, f);
}

int dhcp_ensure(struct dhcp *d, const struct switch_config *c,
		const struct switches_options *options, struct failure *f)
{
	char ifname[IFNAMSIZ], conf[SWITCH_PATH_MAX], now[CONF_MAX];
	char *text = dhcp_text(c, options->state_dir);
	bool same;
	int r;

	if (!text)
		return fail(f, -ENOMEM, "cannot start a DHCP service: out of memory");
	switch_ifname(c->name, ifname);
	path_of(options, ifname, FILE_CONF, conf);
	same = read_file(conf, now, sizeof(now)) > 0 && strcmp(now, text) == 0;
	if (d->pidfd < 0) {
		int running = find_running(options, ifname);

		d->pidfd = running < 0 ? -1 : running;
		d->started_ms = now_ms();
	}
	if (d->pidfd >= 0 && same && !ends_within(d->pidfd, 0)) {
		free(text);
		return 0;
	}
	if (d->pidfd >= 0)
		end_process(d->pidfd);
	d->pidfd = -1;
	r = write_file(conf, text);
	free(text);
	if (r < 0)
		return fail(f, r, "cannot write '%s' for the switch '%s': %s", conf, c->name,
			    strerror(-r));
	return start(d, c, options, ifname, f);
}

void dhcp_stop(struct dhcp *d, const char *ifname, const struct switches_options *options)
{
	char path[SWITCH_PATH_MAX];
	int running = d->pidfd >= 0 ? d->pidfd : find_running(options, ifname);

	if (running >= 0)
		end_process(running);
	d->pidfd = -1;
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		path_of(options, ifname, (enum dhcp_file)i, path);
		unlink(path);
	}
}

void dhcp_stop_others(const struct switch_config *switches, size_t count,
		      const struct switches_options *options)
{
	DIR *dir = opendir(options->run_dir);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name), tail = strlen(suffixes[FILE_CONF]);
		struct dhcp none = {.pidfd = -1};
		char ifname[IFNAMSIZ], wanted[IFNAMSIZ];
		size_t i = 0;

		if (len <= tail || len - tail >= IFNAMSIZ ||
		    strcmp(entry->d_name + len - tail, suffixes[FILE_CONF]) != 0 ||
		    strncmp(entry->d_name, BRIDGE_PREFIX, strlen(BRIDGE_PREFIX)) != 0)
			continue;
		memcpy(ifname, entry->d_name, len - tail);
		ifname[len - tail] = '\0';
		for (; i < count; i++) {
			switch_ifname(switches[i].name, wanted);
			if (switches[i].dhcp && strcmp(wanted, ifname) == 0)
				break;
		}
		if (i == count)
			dhcp_stop(&none, ifname, options);
	}
	if (dir)
		closedir(dir);
}

void dhcp_reap(struct dhcp *d)
{
	if (d->pidfd >= 0)
		reap(d->pidfd);
	d->pidfd = -1;
}

void dhcp_forget(struct dhcp *d)
{
	if (d->pidfd >= 0)
		close(d->pidfd);
	d->pidfd = -1;
}

uint64_t dhcp_wait_ms(unsigned fast_ends)
{
	uint64_t wait = fast_ends ? WAIT_FIRST_MS : 0;

	for (unsigned i = 1; i < fast_ends && wait < WAIT_MAX_MS; i++)
		wait *= 2;
	return min_u64(wait, WAIT_MAX_MS);
}
