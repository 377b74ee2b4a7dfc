/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the engine's programs print as a host is drained. The input begins with a byte: even:
 * crm_simulate's XML follows; odd: crm_mon's, of failures. Checked: what is refused comes with a
 * sentence; each VM and each failure was named by the text, and no VM twice.
 */
#include <errno.h>
#include <string.h>

#include "fuzz/harness.h"
#include "host/drain_view.h"

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static void check_view(const char *text, size_t len, const json_t *view)
{
	json_t *vms = json_object_get(view, "vms"), *vm;
	size_t i;

	must(json_object_size(view) == 3 && json_array_size(vms) <= DRAIN_VMS_MAX);
	json_array_foreach(vms, i, vm)
	{
		const char *name = text_of(vm, "name"), *way = text_of(vm, "way");

		must(name && drain_find(vms, name) == vm);
		must(memmem(text, len, name, strlen(name)) != NULL);
		must(json_object_size(vm) == 6);
		must(!way || strcmp(way, "nowhere") != 0 || !text_of(vm, "to"));
		fuzz_tell(name, strlen(name));
	}
}

static void check_failures(const char *text, size_t len, const json_t *list)
{
	json_t *one;
	size_t i;

	must(json_array_size(list) <= DRAIN_FAILURES_MAX);
	json_array_foreach((json_t *)(uintptr_t)list, i, one)
	{
		must(text_of(one, "key") && text_of(one, "problem"));
		must(memmem(text, len, "failure", 7) != NULL);
		fuzz_tell(text_of(one, "key"), strlen(text_of(one, "key")));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + (size > 0);
	bool failures = size && data[0] & 1;
	size_t len = size ? size - 1 : 0;
	struct failure f = {""};
	json_t *got = NULL;
	int r = failures ? drain_failures_decode(text, len, &got, &f)
			 : drain_view_decode(text, len, "n1", &got, &f);

	must((r == 0) == (got != NULL) && (r == 0 || f.text[0]));
	if (r == 0 && failures)
		check_failures(text, len, got);
	else if (r == 0)
		check_view(text, len, got);
	json_decref(got);
	return 0;
}
