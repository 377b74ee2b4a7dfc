/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/emulate.h"

#include <string.h>

#include "base/util.h"
#include "hypervisor/decode.h"
#include "hypervisor/memory.h"
#include "hypervisor/x86.h"

#define ENTRY_PRESENT 1u
#define ENTRY_LARGE (1u << 7)
#define ENTRY_ADDRESS UINT64_C(0x000FFFFFFFFFF000)

static bool read_physical(const struct npt *npt, uint64_t gpa, void *to, size_t len)
{
	uint64_t physical;
	bool write;

	if (!npt_find(npt, gpa, &physical, &write) || !range_within(physical, len, PHYSICAL_BYTES))
		return false;
	memcpy(to, physical_to_pointer(physical), len);
	return true;
}

/* Where a linear address of 64-bit mode leads. */
static bool walk(const struct npt *npt, const struct svm_vmcb *v, uint64_t linear,
		 uint64_t *ret_gpa)
{
	uint64_t table = v->cr3 & ENTRY_ADDRESS, entry, size;

	for (unsigned level = v->cr4 & CR4_LA57 ? 4 : 3;; level--) {
		unsigned shift = 12 + 9 * level;

		if (!read_physical(npt, table + (linear >> shift & 511) * 8, &entry, 8) ||
		    !(entry & ENTRY_PRESENT))
			return false;
		size = UINT64_C(1) << shift;
		if (level == 0 || (level <= 2 && (entry & ENTRY_LARGE)))
			break;
		table = entry & ENTRY_ADDRESS;
	}
	*ret_gpa = (entry & ENTRY_ADDRESS & ~(size - 1)) | (linear & (size - 1));
	return true;
}

static size_t fetch(const struct npt *npt, const struct svm_vmcb *v, uint8_t *to)
{
	size_t done = 0;

	while (done < INSTRUCTION_MAX) {
		uint64_t linear = v->rip + done, gpa;
		size_t part =
			min_u64(INSTRUCTION_MAX - done, PAGE_BYTES - (linear & (PAGE_BYTES - 1)));

		if (!walk(npt, v, linear, &gpa) || !read_physical(npt, gpa, to + done, part))
			break;
		done += part;
	}
	return done;
}

static uint64_t register_value(const struct svm_vmcb *v, const struct cpu_registers *r, unsigned n)
{
	const uint64_t values[16] = {
		v->rax, r->rcx, r->rdx, r->rbx, v->rsp, r->rbp, r->rsi, r->rdi,
		r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15,
	};

	return values[n];
}

unsigned emulate_store(const struct npt *npt, const struct svm_vmcb *v,
		       const struct cpu_registers *r, uint32_t *ret_value)
{
	uint8_t bytes[INSTRUCTION_MAX];
	struct store s;

	if (!(v->efer & EFER_LMA) || !(v->cs.attributes & SVM_SEGMENT_LONG))
		return 0;
	s = store_decode(bytes, fetch(npt, v, bytes));
	if (s.len)
		*ret_value = s.constant ? s.value : (uint32_t)register_value(v, r, s.reg);
	return s.len;
}
