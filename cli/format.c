/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"

#define GAP 2

/* ---- texts ---- */

/* The character that begins a text, and its bytes; 0: it is no UTF-8. */
static unsigned next_character(const unsigned char *s, uint32_t *ret_character)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint32_t c = len == 1 ? s[0] : s[0] & (0xffu >> (len + 1));

	if (!len || s[0] > 0xf4)
		return 0;
	for (unsigned i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*ret_character = c;
	return len;
}

/* Whether it could do more than to show a sign. */
static bool is_harmful(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},
		{0x61c, 0x61c},   {0x200b, 0x200f}, {0x2028, 0x202e},
		{0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xe0000, 0xe0fff},
	};

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	}
	return false;
}

void format_put(FILE *to, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	while (*s) {
		uint32_t c;
		unsigned len = next_character(s, &c);

		if (!len)
			fprintf(to, "\\x%02x", *s);
		else if (c == '\\')
			fputs("\\\\", to);
		else if (is_harmful(c))
			fprintf(to, c < 0x80 ? "\\x%02" PRIx32 : "\\u{%" PRIx32 "}", c);
		else
			fwrite(s, 1, len, to);
		s += len ? len : 1;
	}
}

char *format_clean(const char *text)
{
	char *copy = NULL;
	size_t len;
	FILE *f = open_memstream(&copy, &len);

	if (!f)
		return NULL;
	format_put(f, text);
	if (fclose(f) == 0)
		return copy;
	free(copy);
	return NULL;
}

void format_bytes(uint64_t bytes, char text[FORMAT_SIZE_MAX])
{
	static const char units[] = "KMGTPE";
	uint64_t whole = bytes, rest = 0;
	int unit = -1;

	while (whole >= 1024) {
		rest = whole % 1024;
		whole /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(text, FORMAT_SIZE_MAX, "%" PRIu64 " B", whole);
	else if (rest * 10 / 1024)
		snprintf(text, FORMAT_SIZE_MAX, "%" PRIu64 ".%" PRIu64 " %ciB", whole,
			 rest * 10 / 1024, units[unit]);
	else
		snprintf(text, FORMAT_SIZE_MAX, "%" PRIu64 " %ciB", whole, units[unit]);
}

/* ---- tables ---- */

void table_init(struct table *t, const char *const *titles)
{
	*t = (struct table){.titles = titles};
	while (titles[t->columns])
		t->columns++;
}

void table_add(struct table *t, const char *text)
{
	char *cell = format_clean(text ? text : "-");

	if (t->count == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		char **more = reallocarray(t->cells, room, sizeof(more[0]));

		if (more) {
			t->cells = more;
			t->room = room;
		}
	}
	if (!cell || t->count == t->room) {
		free(cell);
		t->failed = true;
		return;
	}
	t->cells[t->count++] = cell;
}

void table_add_json(struct table *t, const json_t *value)
{
	char text[32];

	if (json_is_integer(value)) {
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		table_add(t, text);
	} else if (json_is_boolean(value)) {
		table_add(t, json_is_true(value) ? "yes" : "no");
	} else {
		const char *words = json_string_value(value);

		table_add(t, words && *words ? words : NULL);
	}
}

/* Signs on the screen, as long as each has the width of one. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void put_cell(const struct table *t, FILE *to, unsigned column, const char *text,
		     size_t width)
{
	bool right = t->titles[column][0] == '>';
	int pad = (int)(width - width_of(text));

	if (right)
		fprintf(to, "%*s%s", pad, "", text);
	else if (column + 1 == t->columns) /* nothing stands behind it */
		fputs(text, to);
	else
		fprintf(to, "%s%*s", text, pad, "");
	if (column + 1 == t->columns)
		fputc('\n', to);
	else
		fprintf(to, "%*s", GAP, "");
}

static const char *title_of(const struct table *t, unsigned column)
{
	return t->titles[column] + (t->titles[column][0] == '>');
}

static size_t width_of_column(const struct table *t, unsigned column)
{
	size_t width = width_of(title_of(t, column));

	for (size_t i = column; i < t->count; i += t->columns) {
		size_t cell = width_of(t->cells[i]);

		width = cell > width ? cell : width;
	}
	return width;
}

void table_end(struct table *t, FILE *to)
{
	size_t *widths = calloc(t->columns, sizeof(widths[0]));

	if (!widths || t->failed) {
		fputs("oya: out of memory\n", stderr);
	} else {
		for (unsigned c = 0; c < t->columns; c++)
			widths[c] = width_of_column(t, c);
		for (unsigned c = 0; c < t->columns; c++)
			put_cell(t, to, c, title_of(t, c), widths[c]);
		for (size_t i = 0; i < t->count; i++)
			put_cell(t, to, (unsigned)(i % t->columns), t->cells[i],
				 widths[i % t->columns]);
	}
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i]);
	free(t->cells);
	free(widths);
	*t = (struct table){0};
}

void table_add_time(struct table *t, const json_t *value)
{
	time_t at = (time_t)json_integer_value(value);
	char text[32] = "-";
	struct tm tm;

	if (json_is_integer(value) && localtime_r(&at, &tm))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	table_add(t, text);
}
