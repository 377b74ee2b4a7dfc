/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The region of a witness on a disk that others write to. The input is a byte: bit 0 gives the
 * record a right sum, which nobody finds by chance, bit 1 takes it for a head, the others are the
 * node; then the bytes of the record.
 *
 * Checked: what is taken makes sense, and is the same once it has been written anew.
 */
#include <string.h>

#include "base/crc32c.h"
#include "base/cursor.h"
#include "base/guid.h"
#include "cluster/witness/record.h"
#include "fuzz/harness.h"

static const struct guid region = GUID_INIT(0x6ba7b810, 0x9dad, 0x11d1, 0x80b4, 0x00c04fd430c8);

static void head(const uint8_t bytes[WITNESS_RECORD_BYTES])
{
	char cluster[WITNESS_CLUSTER_MAX];
	struct witness_head again;
	struct failure f = {""};
	struct guid id;

	if (witness_decode_head("disk", bytes, &id, cluster, &f) == 0) {
		must(memchr(cluster, '\0', sizeof(cluster)));
		witness_encode_head(&id, cluster, &again);
		must(memcmp(&again, bytes, sizeof(again)) == 0);
	}
	must(memchr(f.text, '\0', sizeof(f.text)));
}

static void slot(uint32_t node, const uint8_t bytes[WITNESS_RECORD_BYTES])
{
	struct witness_seen seen;
	struct witness_slot again;

	witness_decode_slot(&region, node, bytes, &seen);
	if (seen.kind != WITNESS_GOOD)
		return;
	must(seen.record.node == node && seen.record.state < WITNESS_STATES);
	must(seen.record.state == WITNESS_IDLE || seen.record.ring.members >> (node - 1) & 1);
	witness_encode_slot(&region, &seen.record, &again);
	must(memcmp(&again, bytes, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);
	unsigned how = cursor_u8(&in);
	uint8_t bytes[WITNESS_RECORD_BYTES];
	uint32_t sum;

	cursor_copy_padded(&in, bytes, sizeof(bytes));
	sum = crc32c(0, bytes, sizeof(bytes) - sizeof(sum));
	if (how & 1)
		memcpy(bytes + sizeof(bytes) - sizeof(sum), &sum, sizeof(sum));
	if (how & 2)
		head(bytes);
	else
		slot(1 + (how >> 2) % WITNESS_NODES_MAX, bytes);
	return 0;
}
