/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/role_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COPY_BYTES 65536

extern char **environ;

/* What is left over is read and lost, so that the program can end. */
static void read_output(int fd, struct role_output *output)
{
	char rest[512];
	size_t done = 0;
	ssize_t part;

	do {
		bool room = output && done + 1 < output->room;

		part = room ? read(fd, output->text + done, output->room - 1 - done)
			    : read(fd, rest, sizeof(rest));
		if (room && part > 0)
			done += (size_t)part;
	} while (part > 0 || (part < 0 && errno == EINTR));
	if (output && output->room)
		output->text[done] = '\0';
}

static int spawn(const char *const *argv, int output, bool errors, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r)
		return -r;
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (!r && errors)
		r = posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
	else if (!r)
		r = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY,
						     0);
	if (!r)
		r = posix_spawnp(ret_pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

int role_command(const char *const *argv, struct role_output *output)
{
	int ends[2], status = 0, r;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	r = spawn(argv, ends[1], output && output->errors, &pid);
	close(ends[1]);
	if (r == 0) {
		read_output(ends[0], output);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		r = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	close(ends[0]);
	return r;
}

bool role_command_exists(const char *name)
{
	static const char *const folders[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin"};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folders[i], name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

bool role_grub_only_reads(void)
{
	static const char *const unwritable[] = {"btrfs", "zfs", "xfs"};
	char layers[256], kind[64];
	struct role_output below = {layers, sizeof(layers), false},
			   fs = {kind, sizeof(kind), false};

	if (role_command((const char *[]){"grub-probe", "--target=abstraction", "/boot/grub", NULL},
			 &below) != 0 ||
	    role_command((const char *[]){"grub-probe", "--target=fs", "/boot/grub", NULL}, &fs) !=
		    0)
		return true;
	kind[strcspn(kind, "\n")] = '\0';
	for (size_t i = 0; i < sizeof(unwritable) / sizeof(unwritable[0]); i++) {
		if (strcmp(kind, unwritable[i]) == 0)
			return true;
	}
	return strspn(layers, " \n") != strlen(layers);
}

int role_grub_environment(char *to, size_t room)
{
	struct role_output output = {to, room, false};

	if (access(ROLE_GRUB_ENVIRONMENT, R_OK) < 0)
		return -errno;
	return role_command((const char *[]){"grub-editenv", ROLE_GRUB_ENVIRONMENT, "list", NULL},
			    &output) == 0
		       ? 0
		       : -EIO;
}

static int copy_bytes(int from, int to)
{
	char buffer[COPY_BYTES];
	ssize_t part;

	while ((part = read(from, buffer, sizeof(buffer))) > 0) {
		for (ssize_t done = 0; done < part;) {
			ssize_t some = write(to, buffer + done, (size_t)(part - done));

			if (some < 0)
				return -errno;
			done += some;
		}
	}
	return part < 0 || fsync(to) < 0 ? -errno : 0;
}

int role_file_copy(const char *from, const char *to, unsigned mode)
{
	char part[PATH_MAX];
	int in = open(from, O_RDONLY | O_CLOEXEC), out, r;

	if (in < 0)
		return -errno;
	snprintf(part, sizeof(part), "%s.new", to);
	out = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	r = out < 0 ? -errno : copy_bytes(in, out);
	if (r == 0 && (fchmod(out, mode) < 0 || rename(part, to) < 0))
		r = -errno;
	if (out >= 0) {
		close(out);
		if (r < 0)
			unlink(part);
	}
	close(in);
	return r;
}
