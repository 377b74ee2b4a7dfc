/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replies of a target about persistent reservations: the first byte says which, the rest is it.
 *
 * Checked: what is taken lies within what arrived, and is what stands there.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/cursor.h"
#include "fuzz/harness.h"
#include "lib/reservation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);
	bool keys_wanted = cursor_u8(&in) & 1;
	static struct reservation_keys keys;
	struct reservation_held held = {0};

	if (keys_wanted && reservation_decode_keys(in.at, in.left, &keys) == 0) {
		must(keys.count <= RESERVATION_KEYS_MAX);
		must(PR_REPLY_HEAD_BYTES + keys.count * PR_KEY_BYTES <= in.left);
		must(be32_load(in.at + 4) == keys.count * PR_KEY_BYTES);
		for (unsigned i = 0; i < keys.count; i++)
			must(reservation_has(&keys, keys.key[i]));
		fuzz_tell(keys.key, keys.count * sizeof(keys.key[0]));
	} else if (!keys_wanted && reservation_decode_held(in.at, in.left, &held) == 0) {
		must(held.held || (held.key == 0 && held.type == 0));
		must(held.type <= 0xf);
		fuzz_tell(&held.key, sizeof(held.key));
	}
	return 0;
}
