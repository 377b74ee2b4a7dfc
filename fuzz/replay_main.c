/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a fuzz harness over given files, and the files of given folders, where there is no
 * libFuzzer. Options of libFuzzer ("-runs=0") are accepted and ignored.
 *
 * All inputs run twice, the second time in the opposite order: what a harness tells by fuzz_seen()
 * must be the same, or an input leaves something behind for the next.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz/harness.h"

#define INPUT_MAX (1u << 20)
#define PATH_MAX_HERE 4096
#define INPUTS_MAX 100000u
#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static struct input {
	char *path;
	uint64_t digest;
} * inputs;
static unsigned input_count;
static uint64_t digest;

void fuzz_seen(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		digest = (digest ^ at[i]) * FNV_PRIME;
}

static void replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st = {0};
	uint8_t *data;
	size_t len;

	/* A block of the input's own size, so that a read past its end is seen. */
	if (!file || fstat(fileno(file), &st) < 0 || st.st_size > INPUT_MAX) {
		fprintf(stderr, "cannot read %s, or it is larger than %u bytes\n", path, INPUT_MAX);
		exit(1);
	}
	len = (size_t)st.st_size;
	data = malloc(len ? len : 1);
	if (!data || fread(data, 1, len, file) != len) {
		fprintf(stderr, "cannot read all of %s\n", path);
		exit(1);
	}
	fclose(file);
	digest = FNV_BASIS;
	LLVMFuzzerTestOneInput(data, len);
	free(data);
}

static void add(const char *path)
{
	if (input_count % 1024 == 0) {
		struct input *more = reallocarray(inputs, input_count + 1024, sizeof(*inputs));

		if (!more || input_count >= INPUTS_MAX) {
			fprintf(stderr, "too many inputs\n");
			exit(1);
		}
		inputs = more;
	}
	inputs[input_count++].path = strdup(path);
}

static void find(const char *path)
{
	char inner[PATH_MAX_HERE];
	struct dirent *entry;
	struct stat st = {0};
	DIR *folder;

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
		add(path);
		return;
	}
	folder = opendir(path);
	if (!folder) {
		fprintf(stderr, "cannot read the folder %s\n", path);
		exit(1);
	}
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name) <
		    (int)sizeof(inner))
			find(inner);
	}
	closedir(folder);
}

int main(int argc, char **argv)
{
	unsigned bad = 0;

	for (int i = 1; i < argc; i++) {
		if (argv[i][0] != '-')
			find(argv[i]);
	}
	for (unsigned i = 0; i < input_count; i++) {
		replay_file(inputs[i].path);
		inputs[i].digest = digest;
	}
	for (unsigned i = input_count; i-- > 0;) {
		replay_file(inputs[i].path);
		if (digest == inputs[i].digest)
			continue;
		fprintf(stderr, "%s runs differently after other inputs\n", inputs[i].path);
		bad++;
	}
	printf("%u inputs replayed\n", input_count);
	for (unsigned i = 0; i < input_count; i++)
		free(inputs[i].path);
	free(inputs);
	return input_count && !bad ? 0 : 1;
}
