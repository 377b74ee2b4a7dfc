/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef OYA_LIBEXEC
#define OYA_LIBEXEC "/usr/libexec/oya"
#endif

#define STATUS_MAX 1024u

extern char **environ;

/* ---- the program ---- */

/* Beside us in a build tree, else where it is installed. */
static void helper_path(char path[PATH_MAX])
{
	char self[PATH_MAX - 64] = "";
	char *slash;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) > 0 &&
	    (slash = strrchr(self, '/'))) {
		*slash = '\0';
		snprintf(path, PATH_MAX, "%s/oya-tls", self);
		if (access(path, X_OK) == 0)
			return;
	}
	snprintf(path, PATH_MAX, "%s/oya-tls", OYA_LIBEXEC);
}

/* Its plain side is its standard input, its words go to its standard output. */
static int spawn(const struct host_entry *host, int plain, int words, pid_t *ret_pid,
		 struct failure *f)
{
	char path[PATH_MAX];
	char *argv[] = {path, (char *)(uintptr_t)host->address, (char *)(uintptr_t)host->port,
			(char *)(uintptr_t)host->fingerprint, NULL};
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	helper_path(path);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, plain, STDIN_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, words, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn(ret_pid, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return r ? fail(f, -r, "cannot start %s: %s", path, strerror(r)) : 0;
}

/* Its first line, without the line feed. */
static void read_words(int fd, char text[STATUS_MAX])
{
	size_t len = 0;

	while (len < STATUS_MAX - 1) {
		ssize_t n = read(fd, text + len, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || text[len] == '\n')
			break;
		len++;
	}
	text[len] = '\0';
}

void remote_close(int fd, pid_t helper)
{
	close(fd);
	kill(helper, SIGKILL);
	while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
		;
}

static int start(const struct host_entry *host, int *ret_fd, pid_t *ret_helper,
		 char words[STATUS_MAX], struct failure *f)
{
	int pair[2], ends[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail(f, -errno, "cannot connect: %s", strerror(errno));
	if (pipe2(ends, O_CLOEXEC) < 0) {
		r = fail(f, -errno, "cannot connect: %s", strerror(errno));
	} else {
		r = spawn(host, pair[1], ends[1], ret_helper, f);
		close(ends[1]);
		if (r == 0)
			read_words(ends[0], words);
		close(ends[0]);
	}
	close(pair[1]);
	if (r < 0)
		close(pair[0]);
	else
		*ret_fd = pair[0];
	return r;
}

/* What is behind the word, or NULL when it begins with another. */
static const char *behind(const char *words, const char *word)
{
	size_t len = strlen(word);

	return strncmp(words, word, len) == 0 ? words + len : NULL;
}

/* ---- trust ---- */

int remote_ask_trust(struct host_entry *host, const char *fingerprint, struct failure *f)
{
	char answer[16] = "";

	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return fail(f, -EPERM,
			    "the host %s is not trusted yet: its certificate has the fingerprint "
			    "SHA256 %s; 'oya host trust %s' keeps it, after you have compared it",
			    host->name, fingerprint, host->name);
	fprintf(stderr,
		"The certificate of the host %s has the fingerprint\n"
		"  SHA256 %s\n",
		host->name, fingerprint);
	if (host->fingerprint[0])
		fprintf(stderr,
			"which is ANOTHER ONE than that which is trusted until now:\n"
			"  SHA256 %s\n",
			host->fingerprint);
	fputs("'oya host show' on that host, and oyad's log, tell the right one.\n"
	      "Trust this one from now on? [yes/no] ",
	      stderr);
	if (!fgets(answer, sizeof(answer), stdin) || strcmp(answer, "yes\n") != 0)
		return fail(f, -EPERM, "the host %s is not trusted", host->name);
	snprintf(host->fingerprint, sizeof(host->fingerprint), "%s", fingerprint);
	return hosts_pin(host, fingerprint, f);
}

static int refuse(const struct host_entry *host, const char *words, struct failure *f)
{
	const char *rest;

	if ((rest = behind(words, "changed ")))
		return fail(f, -EPERM,
			    "the certificate of %s is another one: SHA256 %s in place of %s; "
			    "somebody may be between you and the host. If it has been made anew, "
			    "compare them and use 'oya host trust %s'",
			    host->name, rest, host->fingerprint, host->name);
	if ((rest = behind(words, "failed ")))
		return fail(f, -EIO, "cannot connect to %s: %s", host->name, rest);
	return fail(f, -EIO, "cannot connect to %s: oya-tls has ended without a word", host->name);
}

int remote_look(const struct host_entry *host, char ret_fingerprint[HOSTS_FINGERPRINT_LEN + 1],
		struct failure *f)
{
	struct host_entry stranger = *host;
	char words[STATUS_MAX] = "";
	const char *rest;
	pid_t helper;
	int fd, r;

	stranger.fingerprint[0] = '\0';
	r = start(&stranger, &fd, &helper, words, f);
	if (r < 0)
		return r;
	remote_close(fd, helper);
	rest = behind(words, "new ");
	if (!rest || !hosts_decode_fingerprint(rest, ret_fingerprint))
		return refuse(host, words, f);
	return 0;
}

int remote_connect(struct host_entry *host, int *ret_fd, pid_t *ret_helper, struct failure *f)
{
	char words[STATUS_MAX] = "", fingerprint[HOSTS_FINGERPRINT_LEN + 1];
	int r = 0;

	if (!host->fingerprint[0]) {
		r = remote_look(host, fingerprint, f);
		if (r == 0)
			r = remote_ask_trust(host, fingerprint, f);
	}
	if (r == 0)
		r = start(host, ret_fd, ret_helper, words, f);
	if (r < 0 || strcmp(words, "good") == 0)
		return r;
	remote_close(*ret_fd, *ret_helper);
	return refuse(host, words, f);
}
