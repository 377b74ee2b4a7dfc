/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oya-import: for `oyad` alone. Takes over what other systems have made: tells what a VM is to
 * become (plan), makes a raw image of a disk (convert), looks whether it boots (look). What it
 * takes and prints: docs/format/import.md.
 *
 * Trust: files are hostile; each verb reads them in confined processes (confine.h). Arguments are
 * the host service's.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "import/confine.h"
#include "import/verbs.h"

enum { OPTION_FORMAT = 1, OPTION_OFFSET, OPTION_LENGTH, OPTION_GROW };

struct arguments {
	const char *format;
	uint64_t offset, length, grow;
	char **words;
	int count;
};

static int usage(void)
{
	fputs("oya-import is for oyad: oya-import plan FILE [--format FORMAT]\n"
	      "                        oya-import convert SOURCE FORMAT DESTINATION\n"
	      "                            [--offset N --length N] [--grow BYTES]\n"
	      "                        oya-import look RAW\n",
	      stderr);
	return 2;
}

static bool number(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && !*end && *ret <= INT64_MAX;
}

static bool parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {{"format", required_argument, NULL, OPTION_FORMAT},
						{"offset", required_argument, NULL, OPTION_OFFSET},
						{"length", required_argument, NULL, OPTION_LENGTH},
						{"grow", required_argument, NULL, OPTION_GROW},
						{NULL, 0, NULL, 0}};
	bool good = true;
	int option;

	while (good && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == OPTION_FORMAT)
			a->format = optarg;
		else if (option == OPTION_OFFSET)
			good = number(optarg, &a->offset);
		else if (option == OPTION_LENGTH)
			good = number(optarg, &a->length);
		else if (option == OPTION_GROW)
			good = number(optarg, &a->grow);
		else
			good = false;
	}
	a->words = argv + optind;
	a->count = argc - optind;
	return good;
}

static int run(const struct arguments *a, struct failure *f)
{
	struct conversion c = {.grow = a->grow};

	if (strcmp(a->words[0], "plan") == 0)
		return verb_plan(a->words[1], a->format ? format_of_word(a->format) : FORMAT_NONE,
				 f);
	if (strcmp(a->words[0], "look") == 0)
		return verb_look(a->words[1], f);
	c.image = (struct image){.path = a->words[1],
				 .format = format_of_word(a->words[2]),
				 .offset = a->offset,
				 .length = a->length};
	c.destination = a->words[3];
	return verb_convert(&c, f);
}

static bool well_used(const struct arguments *a)
{
	bool piece = a->offset || a->length;

	if (a->count == 2 && strcmp(a->words[0], "plan") == 0)
		return !piece && !a->grow &&
		       (!a->format || format_of_word(a->format) != FORMAT_NONE);
	if (a->count == 2 && strcmp(a->words[0], "look") == 0)
		return !piece && !a->grow && !a->format;
	if (a->count == 4 && strcmp(a->words[0], "convert") == 0)
		return !a->format && (!a->offset || a->length) &&
		       format_is_image(format_of_word(a->words[2]));
	return false;
}

int main(int argc, char **argv)
{
	struct arguments a = {0};
	struct failure f = {""};

	if (!parse(argc, argv, &a) || !well_used(&a))
		return usage();
	confined_prepare();
	if (run(&a, &f) == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "oya-import: %s\n", f.text);
	return EXIT_FAILURE;
}
