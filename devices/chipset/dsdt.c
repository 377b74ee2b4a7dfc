/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Wraps dsdt.hex, C source that iasl makes: "unsigned char dsdt_aml_code[] = {...};". The words
 * before the inclusion make the array constant and private to this file.
 */
/* clang-format off */
#include "devices/chipset/dsdt.h"

static const
#include "dsdt.hex"

const uint8_t *dsdt_table(size_t *ret_len)
{
	*ret_len = sizeof(dsdt_aml_code);
	return dsdt_aml_code;
}
