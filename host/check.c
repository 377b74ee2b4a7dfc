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

#define PROCESSOR_TEXT_MAX 4096u

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

/* What it has written before its end, as far as there is room. */
static void read_all(int fd, char *text, size_t room)
{
	size_t len = 0;
	ssize_t n;

	while (len < room - 1 && (n = read(fd, text + len, room - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
}

/* The first line, without who says it. */
static const char *sentence_of(char *text)
{
	char *colon;

	text[strcspn(text, "\n")] = '\0';
	colon = strstr(text, ": ");
	return colon ? colon + 2 : text;
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

/* Runs the worker; `out`: what it prints is wanted, not only what it complains of. 0, or -errno of
 * it. */
static int ask_worker(const char *worker, const char *const *arguments, int in, bool out,
		      char *text, size_t room)
{
	static const char *const environment[] = {NULL}; /* no journal: a plain sentence */
	struct process_wish child = {.program = worker,
				     .arguments = arguments,
				     .environment = environment,
				     .in = in,
				     .out = -1};
	int pair[2], r;
	pid_t pid;

	text[0] = '\0';
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	child.errors = pair[1];
	if (out)
		child.out = pair[1];
	r = process_start(&child, &pid);
	close(pair[1]);
	if (r == 0)
		read_all(pair[0], text, room);
	close(pair[0]);
	return r == 0 ? wait_for(pid) : r;
}

int check_config(const char *worker, const json_t *config, struct failure *f)
{
	static const char *const arguments[] = {"--check", "--config", "-", NULL};
	int in = config_file(config), r = in < 0 ? in : 0;
	char text[FAIL_TEXT_MAX] = "";

	if (r == 0)
		r = ask_worker(worker, arguments, in, false, text, sizeof(text));
	if (in >= 0)
		close(in);
	if (r == 0)
		return 0;
	return text[0] ? fail(f, r, "%s", sentence_of(text))
		       : fail(f, r, "cannot check the VM's configuration by %s: %s", worker,
			      strerror(-r));
}

int check_processor(const char *worker, struct processor *ret, struct failure *f)
{
	static const char *const arguments[] = {"--processor", NULL};
	char text[PROCESSOR_TEXT_MAX];
	json_t *object;
	int r = ask_worker(worker, arguments, -1, true, text, sizeof(text));

	if (r < 0)
		return text[0] ? fail(f, r, "%s", sentence_of(text))
			       : fail(f, r, "cannot ask %s for the processor: %s", worker,
				      strerror(-r));
	object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	r = processor_decode("the worker's answer", object, ret, f);
	json_decref(object);
	return r;
}
