/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a fuzz harness over given files, and the files of given folders, where there is no
 * libFuzzer. Options of libFuzzer ("-runs=0") are accepted and ignored.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX (1u << 20)
#define PATH_MAX_HERE 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
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
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	return 1;
}

static unsigned long replay(const char *path)
{
	char inner[PATH_MAX_HERE];
	unsigned long count = 0;
	struct dirent *entry;
	struct stat st;
	DIR *folder;

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return replay_file(path);
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
			count += replay(inner);
	}
	closedir(folder);
	return count;
}

int main(int argc, char **argv)
{
	unsigned long count = 0;

	for (int i = 1; i < argc; i++) {
		if (argv[i][0] != '-')
			count += replay(argv[i]);
	}
	printf("%lu inputs replayed\n", count);
	return count ? 0 : 1;
}
