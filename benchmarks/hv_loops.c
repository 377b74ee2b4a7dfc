/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loops of hv_guest.S that a program of the first domain of Xen can do, told in the same form.
 */
#include <stdint.h>
#include <stdio.h>

#define ROUNDS 20
#define LOOPS 100

enum what { NOTHING, CPUID, HYPERCALL };

static inline void operate(enum what what)
{
	uint32_t a = what == HYPERCALL ? 17 : 0, b, c = 0, d; /* 17: Xen's version */

	if (what == CPUID)
		__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	else if (what == HYPERCALL)
		__asm__ volatile("vmmcall" : "+a"(a) : "D"(0), "S"(0) : "memory");
	else
		__asm__ volatile("" : "+a"(a));
}

static uint32_t now(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return low;
}

/* With `what` known, so that the loop is as short as that in the guest. */
static inline __attribute__((always_inline)) void measure(const char *name, enum what what)
{
	uint32_t least = UINT32_MAX;

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint32_t start = now(), took;

		for (unsigned i = 0; i < LOOPS; i++)
			operate(what);
		took = now() - start;
		least = took < least ? took : least;
	}
	printf("%s %08x\n", name, least);
}

int main(void)
{
	measure("call", NOTHING);
	measure("cpuid", CPUID);
	measure("hypercall", HYPERCALL);
	return 0;
}
