/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of the host service, `oya NOUN VERB`: the table of them, and one that is being carried
 * out. Usage, --help and completion are made of the table; a test holds the manual pages to it.
 */
#ifndef OYA_CLI_COMMAND_H
#define OYA_CLI_COMMAND_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "cli/api.h"
#include "cli/hosts.h"
#include "lib/fail.h"

#define COMMAND_OPTIONS_MAX 32u

/* Groups of options that commands share. */
enum command_flag {
	COMMAND_OUTPUT = 1,   /* it prints something: -o */
	COMMAND_JOB = 2,      /* it follows a job: --no-wait */
	COMMAND_WATCH = 4,    /* it lists: --watch */
	COMMAND_IF_MATCH = 8, /* it changes something: --if-match */
	COMMAND_HIDDEN = 16   /* for other programs */
};

struct command_option {
	const char *name;     /* NULL: the end */
	const char *argument; /* as help shows it; NULL: it takes none */
	const char *complete; /* words; or "@run": as of `oya run`; NULL: nothing is known */
	const char *help;     /* lines, without the last line feed */
	char letter;          /* of its short form, or 0 */
};

struct command_call;

struct command {
	const char *noun;
	const char *verb;     /* NULL: the noun is the command */
	const char *operands; /* such as "NAME KEY=VALUE..."; "" */
	unsigned flags;
	const struct command_option *options; /* of its own; or NULL */
	void (*run)(struct command_call *c);
	const char *summary; /* a line that begins small, as in a list of them */
	const char *text;    /* more, as lines; or NULL */
};

struct noun {
	const char *name;
	const char *summary;
};

extern const struct noun command_nouns[];
extern const size_t command_noun_count;
extern const struct command command_table[];
extern const size_t command_count;

/* An option that was given. */
struct command_given {
	const struct command_option *option;
	const char *value;
};

struct command_call {
	const struct command *command;
	FILE *out, *err;
	struct api api;
	struct peer host; /* of the api, when it is another one */
	bool json, no_wait, watch;
	char **operand;
	unsigned operands;
	struct command_given given[COMMAND_OPTIONS_MAX * 4];
	unsigned givens;
	int status; /* the exit status, 0 unless it is set */
};

/* ---- carrying out ---- */

/* argv[0] is a noun of the table. The exit status. */
int command_main(int argc, char **argv, FILE *out, FILE *err);

/* The option's last value, "" when it takes none; NULL: it was not given. */
const char *command_value(const struct command_call *c, const char *name);
/* Its values one after the other; *at begins at 0. NULL at the end. */
const char *command_next_value(const struct command_call *c, const char *name, unsigned *at);

/* Tells that it was used wrongly, and how to get help. */
__attribute__((format(printf, 2, 3))) void command_refuse(struct command_call *c,
							  const char *format, ...);
/* Tells that it failed. */
void command_fail(struct command_call *c, const struct failure *f);

/* Makes a call. True: there is an answer. False: it failed, which has been told, or it is a dry
 * run. */
bool command_ask(struct command_call *c, const struct api_request *request,
		 struct api_answer *ret_answer);

/* "/v1/vms/NAME/WHAT" of the first operand; `what` may be "". */
bool command_vm_target(struct command_call *c, const char *what, char target[API_TARGET_MAX]);

/* Prints it as a program wants it: indented, and on one line when it is one of many. */
void command_print_json(struct command_call *c, const json_t *value, bool line);

/* ---- help ---- */

/* The verbs of a noun; or the help of a command. */
void command_help_noun(const char *noun, FILE *to);
void command_help(const struct command *command, FILE *to);

/* Options that the command takes, shared ones too. */
const struct command_option *command_option_at(const struct command *command, unsigned i);

/* NULL: there is none. */
const struct command *command_find(const char *noun, const char *verb);

/* What could stand at the end of a line, for completion/oya: lines "word W", "part P" (more may
 * follow at once), "file", "run" (as of `oya run`). */
void command_complete(const char *line, FILE *out);

#endif
