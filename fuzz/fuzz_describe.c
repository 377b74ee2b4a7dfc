/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A description of a foreign VM at the import: the input is the text, taken as OVF and as a domain
 * of libvirt.
 *
 * Checked: what comes out keeps the plan's invariants and becomes JSON; the files of an OVF are
 * relative and do not climb; what is refused as a whole comes with a sentence.
 */
#include <jansson.h>
#include <string.h>

#include "fuzz/harness.h"
#include "import/libvirt.h"
#include "import/ovf.h"

static struct plan before, after;

static void check(void)
{
	json_t *o;

	memcpy(&after, &before, sizeof(after));
	plan_check(&after);
	must(memcmp(&before, &after, sizeof(after)) == 0);
	must(before.cpus <= PLAN_CPUS_MAX && before.memory_mib <= PLAN_MEMORY_MAX_MIB);
	for (unsigned i = 0; i < before.disk_count; i++)
		text_clean(after.disks[i].source);
	o = plan_json(&after);
	must(o != NULL);
	json_decref(o);
}

static void check_reference(const char *path)
{
	must(*path && *path != '/');
	while (path) {
		must(strncmp(path, "../", 3) != 0 && strcmp(path, "..") != 0);
		path = strchr(path, '/');
		path = path ? path + 1 : NULL;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = size ? (const char *)data : "";
	struct failure f = {""};

	memset(&before, 0, sizeof(before));
	plan_set_name(&before, "x");
	if (ovf_decode(text, size, &before, &f) < 0)
		must(f.text[0]);
	check();
	for (unsigned i = 0; i < before.disk_count; i++)
		check_reference(before.disks[i].source);
	memset(&before, 0, sizeof(before));
	plan_set_name(&before, "x");
	f.text[0] = '\0';
	if (libvirt_decode(text, size, &before, &f) < 0)
		must(f.text[0]);
	check();
	return 0;
}
