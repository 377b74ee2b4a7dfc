/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A folder for the files of a test, tools that make them, and a verb of oya-import in a process of
 * its own, with what it printed. The folder goes at the end.
 */
#ifndef OYA_TESTS_UNIT_IMPORT_ROOM_H
#define OYA_TESTS_UNIT_IMPORT_ROOM_H

/* Before cmocka, which has a fail() too. */
#include "import/confine.h"
#include "import/verbs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct room {
	char folder[64];
	char out[65536], err[4096]; /* of the last verb */
	int status;                 /* its exit status; -1: a signal */
};

/* A tool's command line, in the folder. */
__attribute__((format(printf, 2, 3))) static inline void room_sh(const struct room *r,
								 const char *format, ...)
{
	char line[4096], command[4608];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	snprintf(
		command, sizeof(command),
		"cd %s && PATH=$PATH:/usr/sbin:/sbin && export LC_ALL=C && { %s; } >tools.log 2>&1",
		r->folder, line);
	if (system(command) != 0)
		fail_msg("a tool failed: %s", line);
}

static inline void room_path(const struct room *r, const char *name, char path[256])
{
	snprintf(path, 256, "%s%s%s", *name == '/' ? "" : r->folder, *name == '/' ? "" : "/", name);
}

static inline bool room_has(const struct room *r, const char *name)
{
	char path[256];
	struct stat st;

	room_path(r, name, path);
	return stat(path, &st) == 0;
}

static inline void room_write(const struct room *r, const char *name, const void *bytes, size_t len)
{
	char path[256];
	FILE *f;

	room_path(r, name, path);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static inline void room_read(const struct room *r, const char *name, char *text, size_t room)
{
	char path[256];
	FILE *f;

	room_path(r, name, path);
	f = fopen(path, "r");
	assert_non_null(f);
	text[fread(text, 1, room - 1, f)] = '\0';
	fclose(f);
}

static inline int room_setup(void **state)
{
	struct room *r = calloc(1, sizeof(*r));

	if (!r)
		return -1;
	strcpy(r->folder, "/var/tmp/oya-import.XXXXXX");
	if (!mkdtemp(r->folder)) {
		free(r);
		return -1;
	}
	*state = r;
	return 0;
}

static inline int room_teardown(void **state)
{
	struct room *r = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", r->folder);
	if (system(command) != 0)
		return -1;
	free(r);
	return 0;
}

/* What a verb is called with. */
struct call {
	int (*verb)(const struct call *c, struct failure *f);
	const char *file, *destination;
	enum format format;
	uint64_t offset, length, grow;
	void (*before)(void); /* in its process; NULL: nothing */
};

static inline int call_plan(const struct call *c, struct failure *f)
{
	return verb_plan(c->file, c->format, f);
}

static inline int call_look(const struct call *c, struct failure *f)
{
	return verb_look(c->file, f);
}

static inline int call_convert(const struct call *c, struct failure *f)
{
	struct conversion conversion = {.image = {c->file, c->format, c->offset, c->length},
					.destination = c->destination,
					.grow = c->grow};

	return verb_convert(&conversion, f);
}

/* As main() does it. */
_Noreturn static inline void room_child(const struct room *r, const struct call *c)
{
	struct failure f = {""};
	int out, code;

	if (chdir(r->folder) < 0 || !freopen("err", "w", stderr))
		_exit(99);
	out = open("out", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (out < 0 || dup2(out, STDOUT_FILENO) < 0)
		_exit(99);
	if (c->before)
		c->before();
	confined_prepare();
	code = c->verb(c, &f);
	if (code < 0)
		fprintf(stderr, "oya-import: %s\n", f.text);
	fflush(stdout);
	fflush(stderr);
	_exit(code == 0 ? 0 : 1);
}

static inline pid_t room_start(const struct room *r, const struct call *c)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		room_child(r, c);
	return pid;
}

static inline void room_run(struct room *r, const struct call *c)
{
	pid_t pid = room_start(r, c);
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	r->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	room_read(r, "out", r->out, sizeof(r->out));
	room_read(r, "err", r->err, sizeof(r->err));
}

/* The one object that it printed, on one line. */
static inline json_t *room_json(const struct room *r)
{
	json_t *o;

	if (r->status != 0)
		fail_msg("it failed: %s", r->err);
	assert_ptr_equal(strchr(r->out, '\n'), r->out + strlen(r->out) - 1);
	o = json_loads(r->out, 0, NULL);
	assert_non_null(o);
	return o;
}

/* Whether a sentence of the list has these words. */
static inline bool has_sentence(const json_t *o, const char *list, const char *words)
{
	const json_t *a = json_object_get(o, list);

	for (size_t i = 0; i < json_array_size(a); i++) {
		if (strstr(json_string_value(json_array_get(a, i)), words))
			return true;
	}
	return false;
}

static inline size_t sentence_count(const json_t *o, const char *list)
{
	const json_t *a = json_object_get(o, list);

	assert_true(json_is_array(a));
	return json_array_size(a);
}

static inline bool among(const struct sentences *s, const char *words)
{
	for (unsigned i = 0; i < s->count; i++) {
		if (strstr(s->texts[i], words))
			return true;
	}
	return false;
}

#endif
