/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oya, the one command: a table of verbs, each in a file of its own.
 */
#ifndef OYA_CLI_CLI_H
#define OYA_CLI_CLI_H

#define EXIT_USAGE 2

struct cli_verb {
	const char *name;
	const char *summary; /* one line */
	const char *help;    /* synopsis and options */
	/* argv[0] is the verb. The exit status: 0, 1 (failed), 2 (usage). */
	int (*run)(const struct cli_verb *verb, int argc, char **argv);
};

extern const struct cli_verb cli_verb_role, cli_verb_run, cli_verb_state;

/* The whole command: the exit status. */
int cli_main(int argc, char **argv);

/* Prints "oya VERB: text" and how to get help; returns EXIT_USAGE. */
__attribute__((format(printf, 2, 3))) int cli_usage(const struct cli_verb *verb, const char *format,
						    ...);

#endif
