/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/runoya.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

#define WORDS_MAX 32

static char *next_word(char **rest)
{
	char *at = *rest + strspn(*rest, " ");
	const char *end = *at == '\'' ? "'" : " ";

	if (!*at) {
		*rest = NULL;
		return NULL;
	}
	*rest = at + (*at == '\'');
	return strsep(rest, end);
}

struct oya_run oya_run(const char *words, const char *socket)
{
	char *copy = strdup(words), *rest = copy, *word, *argv[WORDS_MAX + 1];
	struct oya_run r = {.status = -1};
	size_t out_len, err_len;
	FILE *out = open_memstream(&r.out, &out_len), *err = open_memstream(&r.err, &err_len);
	int argc = 0;

	while (rest && argc < WORDS_MAX && (word = next_word(&rest)))
		argv[argc++] = strcmp(word, "%s") == 0 ? (char *)(uintptr_t)socket : word;
	argv[argc] = NULL;
	r.status = command_main(argc, argv, out, err);
	fclose(out);
	fclose(err);
	free(copy);
	return r;
}

void oya_run_done(struct oya_run *r)
{
	free(r->out);
	free(r->err);
}
