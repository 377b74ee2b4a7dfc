/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What could stand at the end of a command line: nouns, verbs, options, names of VMs, keys. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/command.h"
#include "cli/hosts.h"
#include "cli/verbs.h"

#define WORDS_MAX 256u

struct line {
	char *text;
	const char *word[WORDS_MAX]; /* before the last one */
	unsigned words;
	const char *last; /* that is being written; "" */
};

/* False: no memory, or too many words. */
static bool split(const char *text, struct line *l)
{
	char *rest, *word;

	*l = (struct line){.text = strdup(text), .last = ""};
	rest = l->text;
	while (rest && (word = strsep(&rest, " \t"))) {
		if (!rest)
			l->last = word;
		else if (*word && l->words < WORDS_MAX)
			l->word[l->words++] = word;
	}
	return l->text && l->words < WORDS_MAX;
}

static bool begins(const char *text, const char *begun)
{
	return strncmp(text, begun, strlen(begun)) == 0;
}

static void offer(FILE *out, const char *begun, const char *word)
{
	if (begins(word, begun))
		fprintf(out, "word %s\n", word);
}

static void offer_words(FILE *out, const char *begun, const char *words)
{
	char *copy = strdup(words), *rest = copy, *word;

	while (rest && (word = strsep(&rest, " ")))
		offer(out, begun, word);
	free(copy);
}

/* What may be the value of an option. */
static void offer_value(FILE *out, const struct command_option *o, const char *begun)
{
	if (!o->complete)
		return;
	if (strcmp(o->complete, "@run") == 0)
		fputs("run\n", out);
	else if (strcmp(o->complete, "@file") == 0)
		fputs("file\n", out);
	else
		offer_words(out, begun, o->complete);
}

static void offer_options(FILE *out, const struct command *command, const char *begun)
{
	const struct command_option *o;
	char word[64];

	for (unsigned i = 0; (o = command_option_at(command, i)); i++) {
		snprintf(word, sizeof(word), "--%s", o->name);
		offer(out, begun, word);
	}
}

/* The socket or the host that the line, or else the environment, names. False: it cannot be, or
 * somebody would have to be asked whether it is trusted. */
static bool take_place(struct command_call *c, const struct line *l)
{
	const char *socket = getenv("OYA_SOCKET"), *host = getenv("OYA_HOST");
	struct failure ignored;

	for (unsigned k = 0; k + 1 < l->words; k++) {
		if (strcmp(l->word[k], "--host") == 0) {
			host = l->word[k + 1];
		} else if (strcmp(l->word[k], "--socket") == 0) {
			socket = l->word[k + 1];
			host = NULL;
		}
	}
	c->api.socket = socket && *socket ? socket : API_SOCKET;
	if (!host || !*host)
		return true;
	c->api.host = &c->host;
	return hosts_find(host, &c->host, &ignored) == 0 && c->host.fingerprint[0];
}

/* Members of a list of the API, which is left out when nobody answers. */
static void offer_listed(FILE *out, const struct line *l, const char *list, const char *member)
{
	struct command_call *c = calloc(1, sizeof(*c));
	json_t *all = NULL, *one;
	size_t i;

	if (!c)
		return;
	if (!take_place(c, l)) {
		free(c);
		return;
	}
	c->err = fopen("/dev/null", "we");
	if (c->err && list_all(c, list, &all)) {
		json_array_foreach(all, i, one)
		{
			const json_t *value = json_object_get(one, member);
			char number[32];

			snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
				 json_integer_value(value));
			offer(out, l->last,
			      json_is_string(value) ? json_string_value(value) : number);
		}
	}
	json_decref(all);
	if (c->err)
		fclose(c->err);
	free(c);
}

static void offer_keys(FILE *out, const char *begun)
{
	const char *key;

	for (unsigned i = 0; (key = vm_known_key(i)); i++) {
		if (begins(key, begun))
			fprintf(out, "part %s=\n", key);
	}
}

/* The option that the word names, when it takes an argument. */
static const struct command_option *option_with_argument(const struct command *command,
							 const char *word)
{
	const struct command_option *o;

	for (unsigned i = 0; (o = command_option_at(command, i)); i++) {
		if (o->argument && word[0] == '-' &&
		    ((word[1] == '-' && strcmp(word + 2, o->name) == 0) ||
		     (o->letter && word[1] == o->letter && !word[2])))
			return o;
	}
	return NULL;
}

/* How many operands stand before the last word. */
static unsigned operands_before(const struct command *command, const struct line *l, unsigned first)
{
	unsigned count = 0;

	for (unsigned i = first; i < l->words; i++) {
		if (option_with_argument(command, l->word[i]))
			i++;
		else if (l->word[i][0] != '-')
			count++;
	}
	return count;
}

struct offering {
	FILE *out;
	const char *begun;
};

static void offer_host(void *ctx, const char *name)
{
	const struct offering *o = ctx;

	offer(o->out, o->begun, name);
}

static void complete_command(const struct command *command, const struct line *l, unsigned first,
			     FILE *out)
{
	const struct command_option *o =
		l->words > first ? option_with_argument(command, l->word[l->words - 1]) : NULL;
	unsigned before = operands_before(command, l, first);

	if (o)
		offer_value(out, o, l->last);
	else if (l->last[0] == '-')
		offer_options(out, command, l->last);
	else if (before == 0 && begins(command->operands, "NAME") &&
		 (!command->verb || strcmp(command->verb, "create") != 0))
		offer_listed(out, l, "vms", "name");
	else if (before == 0 && begins(command->operands, "SWITCH"))
		offer_listed(out, l, "switches", "name");
	else if (before == 0 && begins(command->operands, "JOB"))
		offer_listed(out, l, "jobs", "id");
	else if (before == 0 && begins(command->operands, "TOKEN"))
		offer_listed(out, l, "tokens", "name");
	else if (before == 1 && strcmp(command->operands, "NAME HOST") == 0)
		hosts_each(offer_host, &(struct offering){out, l->last});
	else if (before >= 1 && strstr(command->operands, "KEY=VALUE"))
		offer_keys(out, l->last);
	else if (!*l->last)
		offer_options(out, command, l->last);
}

static void offer_verbs(FILE *out, const char *noun, const char *begun)
{
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &command_table[i];

		if (c->verb && strcmp(c->noun, noun) == 0 && !(c->flags & COMMAND_HIDDEN))
			offer(out, begun, c->verb);
	}
	offer(out, begun, "--help");
}

void command_complete(const char *text, FILE *out)
{
	struct line l;
	bool good = split(text, &l);
	/* "oya NOUN ...", or "oya --host ADDRESS NOUN ..." */
	unsigned noun = l.words > 1 && strcmp(l.word[1], "--host") == 0 ? 3 : 1;

	if (good && l.words > noun) {
		const struct command *command = command_find(l.word[noun], NULL);

		if (command)
			complete_command(command, &l, noun + 1, out);
		else if (l.words == noun + 1)
			offer_verbs(out, l.word[noun], l.last);
		else if ((command = command_find(l.word[noun], l.word[noun + 1])))
			complete_command(command, &l, noun + 2, out);
	} else if (good && noun == 3 && l.words == 3) {
		for (size_t i = 0; i < command_noun_count; i++)
			offer(out, l.last, command_nouns[i].name);
	}
	free(l.text);
	fflush(out);
}
