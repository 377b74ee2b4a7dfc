/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef OYA_LIBEXEC
#define OYA_LIBEXEC "/usr/libexec/oya"
#endif

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

/* Its first line, without the line feed. */
static void read_words(int fd, char text[PEER_WORDS_MAX])
{
	size_t len = 0;

	while (len < PEER_WORDS_MAX - 1) {
		ssize_t n = read(fd, text + len, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || text[len] == '\n')
			break;
		len++;
	}
	text[len] = '\0';
}

static int start(const struct peer *host, int *ret_fd, pid_t *ret_helper,
		 char words[PEER_WORDS_MAX], struct failure *f)
{
	char path[PATH_MAX];
	int pair[2], ends[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail(f, -errno, "cannot connect: %s", strerror(errno));
	if (pipe2(ends, O_CLOEXEC) < 0) {
		r = fail(f, -errno, "cannot connect: %s", strerror(errno));
	} else {
		helper_path(path);
		r = peer_start(path, host, pair[1], ends[1], ret_helper, f);
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

/* ---- trust ---- */

int remote_ask_trust(struct peer *host, const char *fingerprint, struct failure *f)
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

int remote_look(const struct peer *host, char ret_fingerprint[PEER_FINGERPRINT_LEN + 1],
		struct failure *f)
{
	struct peer stranger = *host;
	char words[PEER_WORDS_MAX] = "";
	pid_t helper;
	int fd, r;

	stranger.fingerprint[0] = '\0';
	r = start(&stranger, &fd, &helper, words, f);
	if (r < 0)
		return r;
	peer_close(fd, helper);
	if (peer_decode_new(words, ret_fingerprint))
		return 0;
	return peer_decode_words(host, words, f);
}

int remote_trust(struct peer *host, struct failure *f)
{
	char fingerprint[PEER_FINGERPRINT_LEN + 1];
	int r;

	if (host->fingerprint[0])
		return 0;
	r = remote_look(host, fingerprint, f);
	return r < 0 ? r : remote_ask_trust(host, fingerprint, f);
}

int remote_connect(struct peer *host, int *ret_fd, pid_t *ret_helper, struct failure *f)
{
	char words[PEER_WORDS_MAX] = "";
	int r = remote_trust(host, f);

	if (r == 0)
		r = start(host, ret_fd, ret_helper, words, f);
	if (r < 0)
		return r;
	r = peer_decode_words(host, words, f);
	if (r < 0)
		peer_close(*ret_fd, *ret_helper);
	return r;
}
