/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A status of the cluster engine that is not one: the input is the XML.
 *
 * Checked: what is refused comes with a sentence; a host whose lease may be taken was named by the
 * text, and the text has a quorum in it.
 */
#include <errno.h>
#include <string.h>

#include "fuzz/harness.h"
#include "host/crm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct failure f = {""};
	struct crm_view view;
	int r = crm_decode((const char *)data, size, "n2", &view, &f);

	if (r < 0) {
		must(f.text[0]);
		return 0;
	}
	if (crm_judge(&view, &f) == 0) {
		must(memmem(data, size, "with_quorum", 11) && memmem(data, size, "n2", 2));
		must(view.decides && view.fences && view.known && !view.online && !view.unclean);
	} else {
		must(f.text[0]);
	}
	fuzz_tell(&view, sizeof(view));
	return 0;
}
