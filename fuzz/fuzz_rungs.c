/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine's configuration, and what its fence agent prints. The input begins with a byte: even:
 * XML follows; odd: lines of the agent.
 *
 * Checked: what is refused comes with a sentence; lists keep their limits; a line names a device,
 * and one that knows nothing says why.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/harness.h"
#include "host/fencing.h"
#include "host/rungs.h"

static void take_xml(const char *text, size_t len)
{
	struct failure f = {""};
	json_t *rungs, *rung;
	size_t i;
	int r = rungs_decode(text, len, &rungs, &f);

	fuzz_tell(&r, sizeof(r));
	must(r == 0 || f.text[0]);
	if (r < 0)
		return;
	must(json_array_size(json_object_get(rungs, "rungs")) <= RUNGS_MAX);
	must(json_array_size(json_object_get(rungs, "vms")) <= RUNGS_VMS_MAX);
	json_array_foreach(json_object_get(rungs, "rungs"), i, rung)
	{
		must(json_array_size(json_object_get(rung, "devices")) <= RUNGS_DEVICES_MAX);
		must(json_is_string(json_object_get(rung, "name")));
	}
	(void)rungs_devices(rungs);
	json_decref(rungs);
}

static void take_lines(char *text)
{
	struct fencing_line l;

	while (fencing_next_line(&text, &l)) {
		must(l.device[0]);
		fuzz_tell(&l.side, sizeof(l.side));
		must(l.why != NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	text = malloc(size);
	must(text != NULL);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] & 1)
		take_lines(text);
	else
		take_xml(text, size - 1);
	free(text);
	return 0;
}
