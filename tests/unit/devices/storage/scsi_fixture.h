/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the SCSI decoder share. */
#ifndef OYA_TESTS_UNIT_DEVICES_STORAGE_SCSI_FIXTURE_H
#define OYA_TESTS_UNIT_DEVICES_STORAGE_SCSI_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/storage/scsi.h"

/* Decodes into an action whose bytes were something else before. */
static inline struct scsi_action act(const struct scsi_unit *unit, const uint8_t *cdb, size_t len,
				     uint32_t data_len)
{
	struct scsi_action a;

	memset(&a, 0xA5, sizeof(a));
	scsi_decode(unit, cdb, len, data_len, &a);
	return a;
}

static inline void check_is(const struct scsi_action *a, unsigned key, unsigned code)
{
	assert_int_equal(a->kind, SCSI_ACT_CHECK);
	assert_int_equal(a->key, key);
	assert_int_equal(a->code, code);
}

#endif
