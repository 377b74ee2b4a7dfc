/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A configuration of the cluster engine that is not one: the input is the XML.
 *
 * Checked: what is refused comes with a sentence; what is taken is an object whose lists are
 * bounded, and can be sent as JSON.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/harness.h"
#include "host/resource_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct resource_found found;
	struct failure f = {""};
	char *text;

	if (resource_read((const char *)data, size, "web", &found, &f) < 0) {
		must(f.text[0]);
		return 0;
	}
	must(json_array_size(json_object_get(found.shown, "preferred")) <= RESOURCE_HOSTS_MAX);
	must(json_array_size(json_object_get(found.shown, "possible")) <= RESOURCE_HOSTS_MAX);
	must(json_array_size(json_object_get(found.shown, "others")) <= 64);
	must(!found.ours || memmem(data, size, "vm-web-meta", 11));
	text = json_dumps(found.shown, JSON_COMPACT | JSON_SORT_KEYS);
	must(text);
	fuzz_tell(text, strlen(text));
	free(text);
	resource_found_done(&found);
	return 0;
}
