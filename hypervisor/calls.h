/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parent's calls: abi/oya.h tells what each does.
 *
 * Trust: any kernel code of the parent may call, with anything; every operand is checked first.
 */
#ifndef OYA_HYPERVISOR_CALLS_H
#define OYA_HYPERVISOR_CALLS_H

#include <stdint.h>

/* `b` is an operand and the result. 0 or a negative errno. */
int64_t call(uint64_t number, uint64_t *b, uint64_t c, uint64_t d, uint64_t s);

#endif
