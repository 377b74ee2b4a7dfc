/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Marks for layouts that cross a boundary. Every such struct is packed and has its size (and the
 * offsets that are not obvious) asserted beside it.
 */
#ifndef OYA_ABI_PACKED_H
#define OYA_ABI_PACKED_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define OYA_PACKED __attribute__((packed))
#define OYA_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), #type " has a wrong size")
#define OYA_OFFSET(type, member, bytes) \
	static_assert(offsetof(type, member) == (bytes), #type "." #member " has moved")

#endif
