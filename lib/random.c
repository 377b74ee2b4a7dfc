/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/random.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

int random_uuid(struct guid *ret_uuid)
{
	struct guid g;

	if (getrandom(&g, sizeof(g), 0) != sizeof(g))
		return -EIO;
	g.b[7] = (uint8_t)((g.b[7] & 0x0f) | 0x40);
	g.b[8] = (uint8_t)((g.b[8] & 0x3f) | 0x80);
	*ret_uuid = g;
	return 0;
}

int random_mac(uint8_t ret_mac[6])
{
	static const uint8_t prefix[] = {0x00, 0x15, 0x5d};

	memcpy(ret_mac, prefix, sizeof(prefix));
	return getrandom(ret_mac + 3, 3, 0) == 3 ? 0 : -EIO;
}
