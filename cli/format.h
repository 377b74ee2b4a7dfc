/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text for people: tables with aligned columns, sizes, and texts of others made harmless.
 */
#ifndef OYA_CLI_FORMAT_H
#define OYA_CLI_FORMAT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define FORMAT_SIZE_MAX 32

/* A copy in which nothing drives a terminal: control characters, marks that turn the direction of
 * writing, and what is no UTF-8 stand as \xNN or \u{NNNN}, a backslash twice. To be freed; NULL: no
 * memory. */
char *format_clean(const char *text);

/* Prints such a copy. */
void format_put(FILE *to, const char *text);

/* "512 MiB", "1.5 GiB"; exact, or with one digit behind the point. */
void format_bytes(uint64_t bytes, char text[FORMAT_SIZE_MAX]);

/* Rows of cells below titles. */
struct table {
	const char *const *titles; /* NULL at the end; one that begins with '>' stands right */
	unsigned columns;
	char **cells; /* row by row, clean */
	size_t count, room;
	bool failed; /* memory was short */
};

void table_init(struct table *t, const char *const *titles);

/* The next cell of the row; the text is cleaned, and NULL is "-". */
void table_add(struct table *t, const char *text);
/* A string, a number, or "-". */
void table_add_json(struct table *t, const json_t *value);

/* Seconds since 1970 as a time of the user's, or "-". */
void table_add_time(struct table *t, const json_t *value);

/* Prints it, and frees what it holds. A table without rows is its titles. */
void table_end(struct table *t, FILE *to);

#endif
