/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/command.h"
#include "lib/log.h"

static const struct cli_verb *const verbs[] = {&cli_verb_role, &cli_verb_run, &cli_verb_state};

static void help(FILE *to)
{
	fputs("usage: oya [--host ADDRESS[:PORT]] NOUN VERB [NAME] [OPTION...]\n"
	      "       oya VERB [OPTION...]\n"
	      "\n"
	      "By the host service:\n",
	      to);
	for (size_t i = 0; i < command_noun_count; i++)
		fprintf(to, "  %-10s %s\n", command_nouns[i].name, command_nouns[i].summary);
	fputs("\nWithout it:\n", to);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		fprintf(to, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
	fputs("\n'oya NOUN --help' tells the verbs of a noun, 'oya NOUN VERB --help' and\n"
	      "'oya VERB --help' the options, 'oya --version' the version.\n"
	      "Exit status: 0 done, 1 failed, 2 wrong use.\n",
	      to);
}

int cli_usage(const struct cli_verb *verb, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "oya %s: ", verb->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "; 'oya %s --help' tells the options\n", verb->name);
	return EXIT_USAGE;
}

/* "oya --host ADDRESS NOUN ...": for a noun the same as behind it. How many words it takes; -1: it
 * was used wrongly. */
static int take_host(int argc, char **argv)
{
	static const char option[] = "--host";
	size_t len = sizeof(option) - 1;
	const char *host = NULL;
	int words = 0;

	if (argc >= 2 && strncmp(argv[1], option, len) == 0 && argv[1][len] == '=') {
		host = argv[1] + len + 1;
		words = 1;
	} else if (argc >= 2 && strcmp(argv[1], option) == 0) {
		host = argc >= 3 ? argv[2] : NULL;
		words = 2;
	}
	if (words == 0)
		return 0;
	for (size_t i = 0; argc > words + 1 && i < command_noun_count; i++) {
		if (strcmp(argv[words + 1], command_nouns[i].name) != 0)
			continue;
		if (host && *host && setenv("OYA_HOST", host, 1) == 0)
			return words;
	}
	fputs("oya: --host ADDRESS stands before a noun; 'oya --help' lists them\n", stderr);
	return -1;
}

int cli_main(int argc, char **argv)
{
	int words = take_host(argc, argv);

	log_init("oya", LOG_LEVEL_INFO);
	if (words < 0)
		return EXIT_USAGE;
	argc -= words;
	argv += words;
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
		help(stdout);
		return EXIT_SUCCESS;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("oya " OYA_VERSION);
		return EXIT_SUCCESS;
	}
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strcmp(argv[1], verbs[i]->name) == 0)
			return verbs[i]->run(verbs[i], argc - 1, argv + 1);
	}
	for (size_t i = 0; i < command_noun_count; i++) {
		if (strcmp(argv[1], command_nouns[i].name) == 0)
			return command_main(argc - 1, argv + 1, stdout, stderr);
	}
	if (strcmp(argv[1], "complete") == 0 && argc == 3) { /* of completion/oya */
		command_complete(argv[2], stdout);
		return EXIT_SUCCESS;
	}
	fprintf(stderr, "oya: there is no verb and no noun '%s'; 'oya --help' lists them\n",
		argv[1]);
	return EXIT_USAGE;
}
