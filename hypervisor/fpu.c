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
#define MXCSR_MASK_AT 28u
#define MXCSR_MASK_OLD 0xFFBFu /* where the processor tells none */
#define FXSAVE_BYTES 512u
#define RESERVED_AT (HEADER_AT + 8) /* up to the end of the header; zeros in this form */
#define HEADER_AT 512u              /* of XSAVE's area: which states it has */
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
static uint32_t mxcsr_mask;
static struct state {
	uint32_t bytes, offset;
	bool aligned;
} states[STATES]; /* from the third on */

/* The same on every processor. */
void fpu_init(void)
{
	uint8_t legacy[FXSAVE_BYTES] __attribute__((aligned(16)));
	struct cpuid c;

	x86_or_cr4(CR4_OSFXSR);
	__asm__ volatile("fxsave64 (%0)" : : "r"(legacy) : "memory");
	memcpy(&mxcsr_mask, legacy + MXCSR_MASK_AT, sizeof(mxcsr_mask));
	if (!mxcsr_mask)
		mxcsr_mask = MXCSR_MASK_OLD;
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

void fpu_get_page(const void *area, void *ret_page)
{
	uint64_t valid = FPU_X87 | SSE;

	memcpy(ret_page, area, PAGE_BYTES);
	if (!all)
		memcpy((uint8_t *)ret_page + HEADER_AT, &valid, sizeof(valid));
}

/* What the processor would refuse with an exception of ours. */
static bool can_be_loaded(const uint8_t *page)
{
	uint64_t valid, loaded = all ? all : FPU_X87 | SSE;
	uint32_t mxcsr;

	memcpy(&valid, page + HEADER_AT, sizeof(valid));
	memcpy(&mxcsr, page + MXCSR_AT, sizeof(mxcsr));
	for (unsigned i = RESERVED_AT; i < LEGACY_BYTES; i++) {
		if (page[i])
			return false;
	}
	return !(valid & ~loaded) && fpu_area_bytes(valid, false) <= PAGE_BYTES &&
	       !(mxcsr & ~mxcsr_mask);
}

bool fpu_set_page(void *area, const void *page)
{
	if (!can_be_loaded(page))
		return false;
	memset(area, 0, pages * PAGE_BYTES);
	memcpy(area, page, PAGE_BYTES);
	return true;
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
