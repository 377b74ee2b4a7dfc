/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/check.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/process.h"

/* The configuration as a file of no folder, at its begin. */
static int config_file(const json_t *config)
{
	int fd = memfd_create("oya-check", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (json_dumpfd(config, fd, JSON_COMPACT) < 0 || lseek(fd, 0, SEEK_SET) < 0) {
		close(fd);
		return -EIO;
	}
	return fd;
}

/* The first line, without who says it. */
static void take_sentence(int fd, char *text, size_t room)
{
	ssize_t n = read(fd, text, room - 1);
	char *colon;

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	colon = strstr(text, ": ");
	if (colon)
		memmove(text, colon + 2, strlen(colon + 2) + 1);
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EINVAL;
}

int check_config(const char *worker, const json_t *config, struct failure *f)
{
	static const char *const arguments[] = {"--check", "--config", "-", NULL};
	static const char *const environment[] = {NULL}; /* no journal: a plain sentence */
	struct process_wish child = {
		.program = worker, .arguments = arguments, .environment = environment, .out = -1};
	int in = config_file(config), pair[2] = {-1, -1}, r = in < 0 ? in : 0;
	char text[FAIL_TEXT_MAX] = "";
	pid_t pid;

	if (r == 0 && pipe2(pair, O_CLOEXEC) < 0)
		r = -errno;
	child.in = in;
	child.errors = pair[1];
	if (r == 0)
		r = process_start(&child, &pid);
	if (pair[1] >= 0)
		close(pair[1]);
	if (r == 0) {
		take_sentence(pair[0], text, sizeof(text));
		r = wait_for(pid);
	}
	if (pair[0] >= 0)
		close(pair[0]);
	if (in >= 0)
		close(in);
	if (r == 0)
		return 0;
	return text[0] ? fail(f, r, "%s", text)
		       : fail(f, r, "cannot check the VM's configuration by %s: %s", worker,
			      strerror(-r));
}
