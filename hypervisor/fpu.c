/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/fpu.h"

#include <string.h>

#include "base/util.h"
#include "hypervisor/memory.h"
#include "hypervisor/x86.h"

#define CPUID_1_XSAVE (1u << 26) /* of ECX */
#define CPUID_XSAVE_LEAF 0xDu
#define CPUID_D_1_XSAVES (1u << 3) /* of EAX */
#define CONTROL_RESET 0x037Fu      /* the x87 control word at offset 0 */
#define MXCSR_AT 24u
#define MXCSR_RESET 0x1F80u
#define HEADER_AT 512u /* of XSAVE's area: which states it has */
#define SSE 2u
#define AVX 4u
#define AVX_512 0xE0u
#define LEGACY_BYTES 576u         /* with the header */
#define CPUID_D_ALIGNED (1u << 1) /* of ECX: in the compact form at a multiple of 64 */
#define ALIGNED_TO 64u
#define STATES 64u

static uint64_t all;               /* states of XCR0 that there are; 0: no XSAVE */
static bool has_supervisor_states; /* switched on by MSR_XSS, and not for children */
static unsigned pages = 1;
static struct state {
	uint32_t bytes, offset;
	bool aligned;
} states[STATES]; /* from the third on */

/* The same on every processor. */
void fpu_init(void)
{
	struct cpuid c;

	x86_or_cr4(CR4_OSFXSR);
	if (!(x86_cpuid(1, 0).ecx & CPUID_1_XSAVE))
		return;
	x86_or_cr4(CR4_OSXSAVE);
	c = x86_cpuid(CPUID_XSAVE_LEAF, 0);
	all = (uint64_t)c.edx << 32 | c.eax;
	pages = (c.ecx + PAGE_BYTES - 1) / PAGE_BYTES;
	has_supervisor_states = x86_cpuid(CPUID_XSAVE_LEAF, 1).eax & CPUID_D_1_XSAVES;
	for (unsigned i = 2; i < STATES; i++) {
		if (!(all >> i & 1))
			continue;
		c = x86_cpuid(CPUID_XSAVE_LEAF, i);
		states[i] = (struct state){c.eax, c.ebx, c.ecx & CPUID_D_ALIGNED};
	}
}

uint32_t fpu_area_bytes(uint64_t xcr0, bool compact)
{
	uint32_t bytes = LEGACY_BYTES;

	for (unsigned i = 2; i < STATES; i++) {
		const struct state *s = &states[i];

		if (!(xcr0 >> i & 1))
			continue;
		if (!compact)
			bytes = bytes > s->offset + s->bytes ? bytes : s->offset + s->bytes;
		else if (s->aligned)
			bytes = (uint32_t)align_up(bytes, ALIGNED_TO) + s->bytes;
		else
			bytes += s->bytes;
	}
	return bytes;
}

bool fpu_has_xsave(void)
{
	return all != 0;
}

unsigned fpu_pages(void)
{
	return pages;
}

bool fpu_xcr0_allowed(uint64_t xcr0)
{
	uint64_t wide = xcr0 & AVX_512;

	return (xcr0 & FPU_X87) && !(xcr0 & ~(all | FPU_X87)) && (!(xcr0 & AVX) || (xcr0 & SSE)) &&
	       (!wide || (wide == AVX_512 && (xcr0 & AVX)));
}

void fpu_reset(void *area)
{
	uint8_t *a = area;
	const uint16_t control = CONTROL_RESET;
	const uint32_t mxcsr = MXCSR_RESET;
	const uint64_t valid = FPU_X87 | SSE;

	memset(area, 0, pages * PAGE_BYTES);
	memcpy(a, &control, sizeof(control));
	memcpy(a + MXCSR_AT, &mxcsr, sizeof(mxcsr));
	if (all)
		memcpy(a + HEADER_AT, &valid, sizeof(valid));
}

uint64_t fpu_hide_supervisor_states(void)
{
	uint64_t xss = has_supervisor_states ? x86_rdmsr(MSR_XSS) : 0;

	if (xss)
		x86_wrmsr(MSR_XSS, 0);
	return xss;
}

void fpu_show_supervisor_states(uint64_t xss)
{
	if (xss)
		x86_wrmsr(MSR_XSS, xss);
}

void fpu_exchange(void *from, uint64_t *from_xcr0, const void *to, uint64_t to_xcr0)
{
	if (!all) {
		__asm__ volatile("fxsave64 (%0); fxrstor64 (%1)" : : "r"(from), "r"(to) : "memory");
		return;
	}
	*from_xcr0 = x86_read_xcr0();
	if (*from_xcr0 != all)
		x86_write_xcr0(all);
	__asm__ volatile("xsave64 (%0); xrstor64 (%1)"
			 :
			 : "r"(from), "r"(to), "a"(-1), "d"(-1)
			 : "memory");
	if (to_xcr0 != all)
		x86_write_xcr0(to_xcr0);
}
