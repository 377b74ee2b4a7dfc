/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a broken oya-import prints: the input is its last line.
 *
 * Checked: what is accepted has sources with absolute paths and formats, of sizes within bounds,
 * and becomes an object of settings with as many disks; what is refused comes with a sentence.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/harness.h"
#include "host/intake_plan.h"

#define BYTES_MAX (UINT64_C(1) << 46)

static void check_disks(const json_t *plan, size_t count)
{
	for (size_t n = 0; n < count; n++) {
		struct intake_source s = {.grow = 7};
		struct failure f = {""};
		int r = intake_plan_disk(plan, n, &s, &f);

		if (r < 0) {
			must(r == -EPROTO && f.text[0]);
			continue;
		}
		must(s.path[0] == '/' && s.format[0] && s.grow == 7);
		must(s.bytes && s.bytes <= BYTES_MAX);
		must(s.offset <= INT64_MAX && s.length <= INT64_MAX);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1);
	struct failure f = {""};
	json_t *plan = NULL, *settings;
	size_t count;
	int r;

	if (!line)
		return 0;
	if (size)
		memcpy(line, data, size);
	line[size] = '\0';
	r = intake_plan_decode(line, &plan, &f);
	if (r < 0) {
		must(r == -EPROTO && f.text[0]);
		must(!plan);
	} else if (intake_plan_refused(plan, &f) < 0) {
		must(f.text[0]);
	} else {
		count = json_array_size(json_object_get(plan, "disks"));
		check_disks(plan, count);
		settings = intake_plan_settings(plan);
		must(!settings || json_array_size(json_object_get(settings, "disks")) == count);
		must(!settings || json_is_object(json_object_get(settings, "boot")));
		json_decref(settings);
	}
	json_decref(plan);
	free(line);
	return 0;
}
