/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DSDT, compiled from dsdt.asl when the project is built: a whole table with its header and
 * checksum.
 */
#ifndef OYA_DEVICES_CHIPSET_DSDT_H
#define OYA_DEVICES_CHIPSET_DSDT_H

#include <stddef.h>
#include <stdint.h>

const uint8_t *dsdt_table(size_t *ret_len);

#endif
