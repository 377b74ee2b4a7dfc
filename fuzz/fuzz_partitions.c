/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A foreign disk at the import: the input is the whole of it.
 *
 * Checked: each partition lies within it, whatever the table says.
 */
#include "base/util.h"
#include "fuzz/harness.h"
#include "import/partitions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct partitions p;
	struct source s = source_of_memory(data, size);

	must(partitions_decode(&s, &p) == 0);
	must(p.count <= PARTITIONS_MAX);
	for (unsigned i = 0; i < p.count; i++)
		must(p.list[i].length && range_within(p.list[i].offset, p.list[i].length, size));
	must(partitions_boot(&p) <= BOOTS_UNKNOWN);
	return 0;
}
