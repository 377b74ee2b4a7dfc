/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A probe of a guest's service that is none: the input is its text.
 *
 * Checked: what is refused comes with a sentence; what is taken has an address and a port, and
 * nothing in it that would begin another line of a request.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/harness.h"
#include "lib/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + 1);
	struct failure f = {""};
	struct probe p;

	must(text);
	memcpy(text, data, size);
	if (probe_decode(text, &p, &f) < 0) {
		must(f.text[0]);
	} else {
		must(p.address.any.sa_family == AF_INET || p.address.any.sa_family == AF_INET6);
		must(p.address.v4.sin_port);
		must(!strpbrk(p.host, " \r\n/") && !strpbrk(p.path, " \r\n"));
		fuzz_tell(&p, sizeof(p));
	}
	free(text);
	return 0;
}
