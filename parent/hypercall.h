/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls of the hypervisor, in the parent's ring 0; abi/oya.h has their numbers and operands. */
#ifndef OYA_PARENT_HYPERCALL_H
#define OYA_PARENT_HYPERCALL_H

#include <linux/types.h>

#include "abi/oya.h"

/* 0 or a negative errno; *b is an operand and a result. */
static inline long oya_hypercall(u64 number, u64 *b, u64 c, u64 d, u64 s)
{
	long result;

	asm volatile("vmmcall"
		     : "=a"(result), "+b"(*b)
		     : "a"(number), "c"(c), "d"(d), "S"(s)
		     : "memory");
	return result;
}

/* 0 when the hypervisor does not know it. */
static inline u64 oya_info(enum oya_info which)
{
	u64 b = which;

	return oya_hypercall(OYA_CALL_INFO, &b, 0, 0, 0) == 0 ? b : 0;
}

#endif
