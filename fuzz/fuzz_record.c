/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records of a cluster. The input begins with a byte: even: JSON follows, a list of records as a
 * member may send it; odd: an alert as the engine's user may send it.
 *
 * Checked: a record that is taken comes back from its encoding; each of a list is told once at
 * most, in the order of time, with a sentence.
 */
#include <errno.h>
#include <string.h>

#include "fuzz/harness.h"
#include "host/story.h"

#define RECORDS_MAX 64u

static void take_list(const char *text, size_t len)
{
	json_t *list = json_loadb(text, len, 0, NULL), *told, *one;
	struct record record[RECORDS_MAX];
	struct failure f = {""};
	json_int_t last = 0;
	size_t count = 0, i;

	json_array_foreach(list, i, one)
	{
		if (count < RECORDS_MAX && record_of_json(one, &record[count], &f) == 0)
			count++;
	}
	told = story_tell(record, count, 0);
	must(told && json_array_size(told) <= count);
	json_array_foreach(told, i, one)
	{
		json_int_t at_us = json_integer_value(json_object_get(one, "at_us"));

		must(at_us >= last && json_string_length(json_object_get(one, "text")));
		last = at_us;
	}
	fuzz_tell(&last, sizeof(last));
	json_decref(told);
	json_decref(list);
}

static void take_alert(const char *bytes, size_t len)
{
	struct record record, again;
	struct failure f = {""};
	json_t *object;
	int r = record_of_alert(bytes, len, &record, &f);

	must(r == 0 || r == -ENOENT || f.text[0]);
	object = r == 0 ? record_to_json(&record) : NULL; /* NULL: no UTF-8 */
	if (object) {
		must(record_of_json(object, &again, &f) == 0);
		must(again.kind == record.kind && again.at_us == record.at_us &&
		     strcmp(again.by, record.by) == 0 && strcmp(again.why, record.why) == 0);
		fuzz_tell(again.why, strlen(again.why));
	}
	json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[0] & 1)
		take_alert((const char *)data + 1, size - 1);
	else if (size)
		take_list((const char *)data + 1, size - 1);
	return 0;
}
