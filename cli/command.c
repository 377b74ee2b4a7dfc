/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/command.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/format.h"

#define WORD_WIDTH 19 /* of the options in help */

/* Options that commands share, by the flag that they come with; 0: all have them. */
static const struct {
	unsigned flag;
	struct command_option option;
} shared[] = {
	{COMMAND_JOB,
	 {"no-wait", NULL, NULL, "print the number of the job, and do not wait for its end", 0}},
	{COMMAND_WATCH,
	 {"watch", NULL, NULL, "print the list anew with each change, until Ctrl-C", 0}},
	{COMMAND_IF_MATCH,
	 {"if-match", "VERSION", NULL, "only if the VM's settings are of that version still", 0}},
	{COMMAND_OUTPUT,
	 {"output", "FORMAT", "table json", "table (for people) or json (for programs)", 'o'}},
	{0, {"dry-run", NULL, NULL, "print the call of the API, and do nothing", 0}},
	{0,
	 {"show-api", NULL, NULL, "print the call of the API on standard error, and make it", 0}},
	{0,
	 {"socket", "PATH", "@file",
	  "the host service's socket; default OYA_SOCKET of the\nenvironment, else " API_SOCKET,
	  0}},
	{0,
	 {"host", "ADDRESS[:PORT]", NULL,
	  "another host, by TLS; default OYA_HOST of the environment;\n"
	  "the port is " PEER_PORT " unless it is given",
	  0}},
	{0, {"help", NULL, NULL, "this text", 0}},
};

const struct command_option *command_option_at(const struct command *command, unsigned i)
{
	unsigned own = 0;

	while (command->options && command->options[own].name)
		own++;
	if (i < own)
		return &command->options[i];
	i -= own;
	for (size_t k = 0; k < ARRAY_LEN(shared); k++) {
		if ((shared[k].flag & command->flags) == shared[k].flag && i-- == 0)
			return &shared[k].option;
	}
	return NULL;
}

const struct command *command_find(const char *noun, const char *verb)
{
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &command_table[i];

		if (strcmp(c->noun, noun) == 0 &&
		    (verb && c->verb ? strcmp(c->verb, verb) == 0 : !verb && !c->verb))
			return c;
	}
	return NULL;
}

/* ---- help ---- */

static void put_name(const struct command *command, FILE *to)
{
	fprintf(to, "oya %s%s%s", command->noun, command->verb ? " " : "",
		command->verb ? command->verb : "");
}

void command_help_noun(const char *noun, FILE *to)
{
	fprintf(to, "usage: oya %s VERB [OPTION...]\n\nVerbs:\n", noun);
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &command_table[i];

		if (strcmp(c->noun, noun) == 0 && !(c->flags & COMMAND_HIDDEN))
			fprintf(to, "  %-10s %s\n", c->verb, c->summary);
	}
	fprintf(to,
		"\n'oya %s VERB --help' tells what a verb takes, 'man oya-%s' more of all of "
		"them.\n",
		noun, noun);
}

/* A word and its text, which may have lines. */
static void put_option(const struct command_option *o, FILE *to)
{
	char word[64], letter[8] = "";
	const char *line = o->help;

	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	snprintf(word, sizeof(word), "%s--%s%s%s", letter, o->name, o->argument ? " " : "",
		 o->argument ? o->argument : "");
	fprintf(to, "  %-*s", WORD_WIDTH - 1, word);
	if (strlen(word) >= WORD_WIDTH - 1)
		fprintf(to, "\n  %*s", WORD_WIDTH - 1, "");
	while (line) {
		const char *end = strchr(line, '\n');

		fprintf(to, " %.*s\n", (int)(end ? end - line : (ptrdiff_t)strlen(line)), line);
		line = end ? end + 1 : NULL;
		if (line)
			fprintf(to, "  %*s", WORD_WIDTH - 1, "");
	}
}

void command_help(const struct command *command, FILE *to)
{
	const struct command_option *o;

	fputs("usage: ", to);
	put_name(command, to);
	fprintf(to, "%s%s [OPTION...]\n\n", *command->operands ? " " : "", command->operands);
	fprintf(to, "%c%s.\n", command->summary[0] & ~0x20, command->summary + 1);
	if (command->text)
		fprintf(to, "\n%s\n", command->text);
	fputs("\nOptions:\n", to);
	for (unsigned i = 0; (o = command_option_at(command, i)); i++)
		put_option(o, to);
}

/* ---- what a verb calls ---- */

void command_refuse(struct command_call *c, const char *format, ...)
{
	va_list args;

	put_name(c->command, c->err);
	fputs(": ", c->err);
	va_start(args, format);
	vfprintf(c->err, format, args);
	va_end(args);
	fputs("; '", c->err);
	put_name(c->command, c->err);
	fputs(" --help' tells the options\n", c->err);
	c->status = EXIT_USAGE;
}

void command_fail(struct command_call *c, const struct failure *f)
{
	fputs("oya: ", c->err);
	format_put(c->err, f->text);
	fputc('\n', c->err);
	c->status = EXIT_FAILURE;
}

bool command_ask(struct command_call *c, const struct api_request *request,
		 struct api_answer *ret_answer)
{
	struct failure f;

	if (api_call(&c->api, request, ret_answer, &f) < 0) {
		command_fail(c, &f);
		return false;
	}
	return ret_answer->status != 0;
}

const char *command_next_value(const struct command_call *c, const char *name, unsigned *at)
{
	while (*at < c->givens) {
		const struct command_given *g = &c->given[(*at)++];

		if (strcmp(g->option->name, name) == 0)
			return g->value;
	}
	return NULL;
}

const char *command_value(const struct command_call *c, const char *name)
{
	const char *last = NULL, *value;
	unsigned at = 0;

	while ((value = command_next_value(c, name, &at)))
		last = value;
	return last;
}

bool command_vm_target(struct command_call *c, const char *what, char target[API_TARGET_MAX])
{
	char name[API_TARGET_MAX / 2];

	if (!ask_encode_name(c->operand[0], name, sizeof(name))) {
		command_refuse(c, "'%.80s' is no name of a VM", c->operand[0]);
		return false;
	}
	snprintf(target, API_TARGET_MAX, "/v1/vms/%s%s%s", name, *what ? "/" : "", what);
	return true;
}

void command_print_json(struct command_call *c, const json_t *value, bool line)
{
	json_dumpf(value, c->out, JSON_ENCODE_ANY | (line ? JSON_COMPACT : JSON_INDENT(2)));
	fputc('\n', c->out);
	fflush(c->out);
}

/* ---- the command line ---- */

/* How many operands there may be: "NAME KEY=VALUE..." is 2 or more, "[FILE...]" any. */
static void count_operands(const char *operands, unsigned *ret_min, bool *ret_more)
{
	*ret_more = strstr(operands, "...") != NULL;
	*ret_min = *operands != '\0' && *operands != '[';
	for (; *operands; operands++)
		*ret_min += *operands == ' ';
}

/* False: it was told what is wrong. */
static bool check_operands(struct command_call *c)
{
	const char *wanted = c->command->operands;
	unsigned min;
	bool more;

	count_operands(wanted, &min, &more);
	if (c->operands < min)
		command_refuse(c, "it wants %s", wanted);
	else if (c->operands > min && !more)
		command_refuse(c, "'%s' is not expected", c->operand[min]);
	return c->status == 0;
}

static bool is_given(const struct command_call *c, const char *name)
{
	return command_value(c, name) != NULL;
}

/* Which host it is about: --socket or --host, OYA_HOST, OYA_SOCKET, or this one. */
static void take_host(struct command_call *c)
{
	const char *socket = command_value(c, "socket"), *host = command_value(c, "host");
	struct failure f;

	if (socket && host) {
		command_refuse(c, "--socket and --host exclude each other");
		return;
	}
	if (!host && !socket)
		host = getenv("OYA_HOST");
	if (!socket)
		socket = getenv("OYA_SOCKET");
	c->api.socket = socket && *socket ? socket : API_SOCKET;
	if (!host || !*host)
		return;
	if (hosts_find(host, &c->host, &f) < 0)
		command_fail(c, &f);
	else
		c->api.host = &c->host;
}

/* What the shared options mean. */
static bool take_shared(struct command_call *c)
{
	const char *format = command_value(c, "output");
	const char *version = command_value(c, "if-match");

	c->json = format && strcmp(format, "json") == 0;
	if (format && !c->json && strcmp(format, "table") != 0)
		command_refuse(c, "'%s' is no format: table or json", format);
	if (version && (!*version || version[strspn(version, "0123456789")]))
		command_refuse(c, "'%s' is no version, as 'oya vm show' tells it", version);
	if (c->status == 0)
		take_host(c);
	c->api.dry = is_given(c, "dry-run");
	c->api.told = c->api.dry ? c->out : is_given(c, "show-api") ? c->err : NULL;
	c->no_wait = is_given(c, "no-wait");
	c->watch = is_given(c, "watch");
	return c->status == 0;
}

/* The option's tables for getopt_long(). */
static void fill_options(const struct command *command, struct option *options, char *letters)
{
	const struct command_option *o;

	*letters++ = ':';
	for (unsigned i = 0; i < COMMAND_OPTIONS_MAX && (o = command_option_at(command, i)); i++) {
		options[i] = (struct option){o->name, o->argument ? required_argument : no_argument,
					     NULL, (int)i + 256};
		if (o->letter) {
			*letters++ = o->letter;
			*letters++ = ':';
		}
	}
	*letters = '\0';
}

static const struct command_option *option_of(const struct command *command, int id)
{
	const struct command_option *o;

	if (id >= 256)
		return command_option_at(command, (unsigned)id - 256);
	for (unsigned i = 0; (o = command_option_at(command, i)); i++) {
		if (o->letter == id)
			return o;
	}
	return NULL;
}

/* False: it was told what is wrong. */
static bool take_options(struct command_call *c, int argc, char **argv)
{
	struct option options[COMMAND_OPTIONS_MAX + 1] = {0};
	char letters[2 * COMMAND_OPTIONS_MAX + 2];
	int id;

	fill_options(c->command, options, letters);
	opterr = 0;
	optind = 0; /* begin anew, also where it was called before */
	while ((id = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		if (id == ':')
			command_refuse(c, "'%s' lacks its argument", argv[optind - 1]);
		else if (id == '?')
			command_refuse(c, "'%s' is no option", argv[optind - 1]);
		else if (c->givens == ARRAY_LEN(c->given))
			command_refuse(c, "these are too many options");
		else
			c->given[c->givens++] = (struct command_given){option_of(c->command, id),
								       optarg ? optarg : ""};
		if (c->status)
			return false;
	}
	c->operand = argv + optind;
	c->operands = (unsigned)(argc - optind);
	return true;
}

static int run(const struct command *command, int argc, char **argv, FILE *out, FILE *err)
{
	struct command_call *c = calloc(1, sizeof(*c));
	int status;

	if (!c)
		return EXIT_FAILURE;
	c->command = command;
	c->out = out;
	c->err = err;
	if (take_options(c, argc, argv)) {
		if (is_given(c, "help"))
			command_help(command, out);
		else if (take_shared(c) && check_operands(c))
			command->run(c);
	}
	status = c->status;
	if (fflush(out) != 0 && status == 0)
		status = EXIT_FAILURE;
	free(c);
	return status;
}

int command_main(int argc, char **argv, FILE *out, FILE *err)
{
	const struct command *command = command_find(argv[0], NULL);

	if (command)
		return run(command, argc, argv, out, err);
	if (argc < 2) {
		command_help_noun(argv[0], err);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0) {
		command_help_noun(argv[0], out);
		return EXIT_SUCCESS;
	}
	command = command_find(argv[0], argv[1]);
	if (command)
		return run(command, argc - 1, argv + 1, out, err);
	fprintf(err, "oya %s: there is no verb '%s'; 'oya %s --help' lists them\n", argv[0],
		argv[1], argv[0]);
	return EXIT_USAGE;
}
