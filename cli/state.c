/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oya state: saved states of VMs, without a daemon and without a VM.
 *
 * Trust: the file is hostile: it is read by the code that a worker reads it with, and what it says
 * is printed as plain characters.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/record.h"
#include "cli/cli.h"
#include "lib/state_stream.h"

#define SHOWN_BYTES 16u
#define SHOWN_NUMBERS 4u

static const char help_text[] =
	"usage: oya state verify FILE [--fields]\n"
	"\n"
	"Checks a saved state of a VM: each sum, each record's form, their order, and that none\n"
	"is missing. Prints its records; with --fields what is in them too.\n"
	"  --fields  each field of each record\n"
	"  --help    this text\n"
	"Exit status: 0 it is whole, 1 it is not, 2 wrong use.\n";

struct verify {
	struct state_reader reader;
	bool fields;
	uint64_t records, pages;
	uint32_t last_type;
	uint8_t *body;
	struct failure *f;
};

/* ---- fields ---- */

static uint64_t number_at(const uint8_t *at, size_t bytes)
{
	uint8_t wide[8] = {0};

	memcpy(wide, at, bytes);
	return le64_load(wide);
}

static void print_list(const struct record_field *field, size_t width)
{
	size_t count = field->len / width;

	for (size_t i = 0; i < count && i < SHOWN_NUMBERS; i++)
		printf(" %#" PRIx64, number_at(field->value + i * width, width));
	printf("%s (%zu numbers)\n", count > SHOWN_NUMBERS ? " ..." : "", count);
}

static void print_bytes(const struct record_field *field)
{
	putchar(' ');
	for (size_t i = 0; i < field->len && i < SHOWN_BYTES; i++)
		printf("%02x", field->value[i]);
	printf("%s (%zu bytes)\n", field->len > SHOWN_BYTES ? "..." : "", field->len);
}

static void print_field(const struct record_field *field)
{
	printf("    %s", field->name);
	switch (field->type) {
	case RECORD_BYTES:
		print_bytes(field);
		break;
	case RECORD_U32S:
		print_list(field, 4);
		break;
	case RECORD_U64S:
		print_list(field, 8);
		break;
	default:
		printf(" %#" PRIx64 "\n", number_at(field->value, field->len));
		break;
	}
}

static int verify_fields(struct verify *v, const struct state_record *record)
{
	struct record r = record_reader(record->version, v->body, record->len);
	struct record_field field;
	int e;

	while ((e = record_next(&r, &field)) == 0) {
		if (v->fields)
			print_field(&field);
	}
	return e == -ENODATA
		       ? 0
		       : state_refuse(&v->reader, v->f, "%s %u: %s", state_type_name(record->type),
				      record->instance, r.wrong);
}

/* ---- records ---- */

static int verify_memory(struct verify *v, const struct state_record *record)
{
	struct state_run m;
	int r;

	if (record->len < STATE_MEMORY_BYTES)
		return state_refuse(&v->reader, v->f, "a record of memory is too short");
	r = state_run_decode(&v->reader, record, v->body, &m, v->f);
	if (r < 0)
		return r;
	v->pages += m.len / STATE_PAGE;
	if (v->fields)
		printf("  memory at %#" PRIx64 ": %" PRIu64 " pages\n", m.gpa, m.len / STATE_PAGE);
	return 0;
}

static int verify_record(struct verify *v, const struct state_record *record)
{
	const char *name = state_type_name(record->type);
	uint8_t *grown = realloc(v->body, record->len ? record->len : 1);
	int r;

	if (!grown)
		return fail(v->f, -ENOMEM, "out of memory");
	v->body = grown;
	r = state_read_some(&v->reader, v->body, record->len, v->f);
	if (r == 0)
		r = state_read_done(&v->reader, v->f);
	if (r < 0)
		return r;
	if (!name && !(record->flags & STATE_OPTIONAL))
		return state_refuse(&v->reader, v->f, "a record of type %u is not known",
				    record->type);
	if (name && record->type < v->last_type)
		return state_refuse(&v->reader, v->f, "a record of type '%s' is out of order",
				    name);
	if (name)
		v->last_type = record->type;
	v->records++;
	if (record->type == STATE_MEMORY)
		return verify_memory(v, record);
	printf("  %s %u: version %u, %" PRIu64 " bytes\n", name ? name : "unknown",
	       record->instance, record->version, record->len);
	return name ? verify_fields(v, record) : 0;
}

static int verify_all(struct verify *v, int fd, const char *path)
{
	struct state_record record;
	uint8_t more;
	int r = state_read_begin(&v->reader, fd, path, 0, v->f);

	while (r == 0) {
		r = state_read_next(&v->reader, &record, v->f);
		if (r < 0 || record.type == STATE_END)
			break;
		r = verify_record(v, &record);
	}
	if (r == 0 && read(fd, &more, 1) != 0)
		r = state_refuse(&v->reader, v->f, "something follows its end");
	return r;
}

static int verify(const char *path, bool fields, struct failure *f)
{
	struct verify v = {.fields = fields, .f = f};
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return fail(f, -errno, "cannot open %s: %s", path, strerror(errno));
	r = verify_all(&v, fd, path);
	close(fd);
	free(v.body);
	if (r == 0)
		printf("%s is whole: %" PRIu64 " records, %" PRIu64 " pages of memory (%" PRIu64
		       " MiB), %" PRIu64 " bytes\n",
		       path, v.records, v.pages, v.pages * STATE_PAGE >> 20, v.reader.at);
	return r;
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = {
		{"fields", no_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct failure f = {""};
	bool fields = false;
	int option;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'f':
			fields = true;
			break;
		case 'h':
			fputs(verb->help, stdout);
			return EXIT_SUCCESS;
		default:
			return cli_usage(verb, "'%s' is no option", argv[optind - 1]);
		}
	}
	if (argc - optind != 2 || strcmp(argv[optind], "verify") != 0)
		return cli_usage(verb, "it wants 'verify' and a file");
	if (verify(argv[optind + 1], fields, &f) < 0) {
		fprintf(stderr, "oya state: %s\n", f.text);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

const struct cli_verb cli_verb_state = {
	.name = "state",
	.summary = "check a saved state of a VM",
	.help = help_text,
	.run = run,
};
