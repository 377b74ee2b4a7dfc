/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lease of a VM on a volume that others write to. The input is a byte that says which slots get
 * a right sum, which nobody finds by chance, and the bytes of the file.
 *
 * Checked: what is taken makes sense, and is the same once it has been written anew.
 */
#include <string.h>

#include "base/crc32c.h"
#include "base/cursor.h"
#include "base/guid.h"
#include "base/util.h"
#include "fuzz/harness.h"
#include "lib/lease.h"

static const struct lease_file file = {
	.fd = -1,
	.vm = GUID_INIT(0x6ba7b810, 0x9dad, 0x11d1, 0x80b4, 0x00c04fd430c8),
	.name = "lease",
};

static void mend(uint8_t *bytes, size_t len, unsigned which)
{
	for (unsigned i = 0; i < LEASE_SLOTS; i++) {
		uint8_t *slot = bytes + i * LEASE_SLOT_BYTES;
		uint32_t sum = crc32c(0, slot, LEASE_SLOT_BYTES - sizeof(sum));

		if (which >> i & 1 && len >= (i + 1) * LEASE_SLOT_BYTES)
			memcpy(slot + LEASE_SLOT_BYTES - sizeof(sum), &sum, sizeof(sum));
	}
}

static void must_make_sense(const struct lease *lease)
{
	static const struct guid nobody;
	bool owned = !guid_equal(&lease->owner, &nobody);
	bool offered = !guid_equal(&lease->target, &nobody);

	must(lease->state < LEASE_STATES && lease->epoch <= LEASE_EPOCH_MAX);
	must(owned == (lease->state != LEASE_FREE) && offered == (lease->state == LEASE_OFFERED));
	must(lease->epoch > 0 || lease->state == LEASE_FREE);
}

static void must_be_the_same_again(const struct lease *lease)
{
	struct lease_slot slot[LEASE_SLOTS] = {0};
	size_t len = lease->epoch ? sizeof(slot) : sizeof(slot[0]);
	struct lease again;
	struct failure f;

	lease_encode(&file, lease, &slot[lease->epoch % LEASE_SLOTS]);
	must(lease_decode(&file, (const uint8_t *)slot, len, &again, &f) == 0);
	must(again.state == lease->state && again.epoch == lease->epoch &&
	     again.since_s == lease->since_s && guid_equal(&again.owner, &lease->owner) &&
	     guid_equal(&again.target, &lease->target));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);
	unsigned which = cursor_u8(&in);
	size_t len = in.left < LEASE_FILE_BYTES ? in.left : LEASE_FILE_BYTES;
	uint8_t bytes[LEASE_FILE_BYTES];
	struct failure f = {""};
	struct lease lease;

	cursor_copy_padded(&in, bytes, sizeof(bytes));
	mend(bytes, len, which);
	if (lease_decode(&file, bytes, len, &lease, &f) == 0) {
		must_make_sense(&lease);
		must_be_the_same_again(&lease);
		(void)lease_tell(&file, &lease, &file.vm, LEASE_ANY, &f);
	}
	must(memchr(f.text, '\0', sizeof(f.text)));
	fuzz_tell(f.text, strlen(f.text));
	return 0;
}
