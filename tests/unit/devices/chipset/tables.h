/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the firmware's tables share. */
#ifndef OYA_TESTS_UNIT_DEVICES_CHIPSET_TABLES_H
#define OYA_TESTS_UNIT_DEVICES_CHIPSET_TABLES_H

#include <stddef.h>
#include <stdint.h>

/* 0 for a table or an entry point whose checksum is right. */
static inline uint8_t sum_of(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return sum;
}

#endif
