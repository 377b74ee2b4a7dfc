/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <unistd.h>

static int set_attributes(posix_spawnattr_t *attr, bool session)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawnattr_setflags(attr, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						   (session ? POSIX_SPAWN_SETSID : 0)));
	if (r == 0)
		r = posix_spawnattr_setsigmask(attr, &none);
	return r ? r : posix_spawnattr_setsigdefault(attr, &all);
}

static int set_files(posix_spawn_file_actions_t *files, const struct process_wish *s)
{
	const int wanted[] = {s->in, s->out, s->errors};
	int r = 0;

	for (int fd = STDIN_FILENO; r == 0 && fd <= STDERR_FILENO; fd++) {
		if (wanted[fd] >= 0)
			r = posix_spawn_file_actions_adddup2(files, wanted[fd], fd);
		else
			r = posix_spawn_file_actions_addopen(
				files, fd, "/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY,
				0);
	}
	return r;
}

int process_start(const struct process_wish *s, pid_t *ret_pid)
{
	const char *argv[PROCESS_ARGUMENTS_MAX + 2] = {s->program};
	char **environment = s->environment ? (char **)(uintptr_t)s->environment : environ;
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int r;

	for (unsigned n = 0; s->arguments[n]; n++) {
		if (n == PROCESS_ARGUMENTS_MAX)
			return -E2BIG;
		argv[n + 1] = s->arguments[n];
	}
	r = posix_spawnattr_init(&attr);
	if (r)
		return -r;
	r = posix_spawn_file_actions_init(&files);
	if (r) {
		posix_spawnattr_destroy(&attr);
		return -r;
	}
	r = set_attributes(&attr, s->session);
	if (r == 0)
		r = set_files(&files, s);
	if (r == 0)
		r = posix_spawn(ret_pid, s->program, &files, &attr, (char **)(uintptr_t)argv,
				environment);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return -r;
}
