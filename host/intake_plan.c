/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/intake_plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "host/images.h"
#include "lib/fields.h"

#define BYTES_MAX ((uint64_t)IMAGE_MIB_MAX << 20)

static int not_understood(struct failure *f)
{
	return fail(f, -EPROTO, "what oya-import tells cannot be understood");
}

int intake_plan_decode(const char *line, json_t **ret_plan, struct failure *f)
{
	json_t *plan = json_loads(line, JSON_REJECT_DUPLICATES, NULL), *one;
	json_t *refusals = json_object_get(plan, "refusals");
	bool good = json_is_array(refusals);
	size_t i;

	json_array_foreach(refusals, i, one) good = good && json_string_length(one) > 0;
	if (!good) {
		json_decref(plan);
		return not_understood(f);
	}
	*ret_plan = plan;
	return 0;
}

int intake_plan_refused(const json_t *plan, struct failure *f)
{
	const json_t *refusals = json_object_get(plan, "refusals");

	return json_array_size(refusals)
		       ? fail(f, -EINVAL, "%s", json_string_value(json_array_get(refusals, 0)))
		       : 0;
}

int intake_plan_disk(const json_t *plan, size_t n, struct intake_source *source, struct failure *f)
{
	json_t *disk = json_array_get(json_object_get(plan, "disks"), n);
	const char *path = json_string_value(json_object_get(disk, "source"));
	const char *format = json_string_value(json_object_get(disk, "format"));
	struct failure ignored;

	if (!path || path[0] != '/' || !format || !*format ||
	    (size_t)snprintf(source->path, sizeof(source->path), "%s", path) >=
		    sizeof(source->path) ||
	    (size_t)snprintf(source->format, sizeof(source->format), "%s", format) >=
		    sizeof(source->format))
		return not_understood(f);
	if (field_number(disk, "offset", 0, INT64_MAX, &source->offset, &ignored) < 0 ||
	    field_number(disk, "length", 0, INT64_MAX, &source->length, &ignored) < 0 ||
	    field_number(disk, "bytes", 1, BYTES_MAX, &source->bytes, &ignored) < 0 ||
	    !source->bytes)
		return not_understood(f);
	return 0;
}

/* With the addresses that the guest knows its NICs by. A file that says nothing of a machine is an
 * image alone, whose VM has one as every new VM. */
static json_t *nics_of(const json_t *plan)
{
	bool image = !json_integer_value(json_object_get(plan, "cpus")) &&
		     !json_integer_value(json_object_get(plan, "memory_mib"));
	json_t *list = json_array(), *nic;
	size_t i;

	if (image)
		json_array_append_new(
			list, json_pack("{s:s, s:s}", "type", "switch", "switch", "default"));

	json_array_foreach(json_object_get(plan, "nics"), i, nic)
	{
		const char *mac = json_string_value(json_object_get(nic, "mac"));

		json_array_append_new(list, json_pack("{s:s, s:s, s:s*}", "type", "switch",
						      "switch", "default", "mac", mac));
	}
	return list;
}

static json_t *disks_of(const json_t *plan)
{
	json_t *list = json_array(), *disk;
	size_t i;

	json_array_foreach(json_object_get(plan, "disks"), i, disk)
	{
		char file[32];

		snprintf(file, sizeof(file), "disk%zu.raw", i);
		json_array_append_new(list, json_pack("{s:s, s:O*}", "file", file, "from",
						      json_object_get(disk, "source")));
	}
	return list;
}

json_t *intake_plan_settings(const json_t *plan)
{
	static const char *const kept[] = {"cpus", "memory_mib", "notes"};
	json_t *settings = json_pack("{s:{s:s}, s:o, s:o}", "boot", "firmware", "bios", "disks",
				     disks_of(plan), "nics", nics_of(plan));

	for (unsigned i = 0; i < ARRAY_LEN(kept); i++) {
		json_t *value = json_object_get(plan, kept[i]);

		/* 0 and "": the file says nothing of it. */
		if (json_integer_value(value) ||
		    (json_is_string(value) && json_string_length(value)))
			json_object_set(settings, kept[i], value);
	}
	return settings;
}
