/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/emulate.h"

#include <string.h>

#include "base/util.h"
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

/* How a mode's page tables are made: entries of a table that are told apart by `bits` of the
 * address each. */
struct paging {
	unsigned levels, bits, entry_bytes;
	uint64_t root; /* the bits of CR3 that are an address */
};

static struct paging paging_of(const struct svm_vmcb *v)
{
	if (v->efer & EFER_LMA)
		return (struct paging){v->cr4 & CR4_LA57 ? 5 : 4, 9, 8, ENTRY_ADDRESS};
	if (v->cr4 & CR4_PAE)
		return (struct paging){3, 9, 8, UINT32_MAX - 31};
	return (struct paging){2, 10, 4, UINT32_MAX - 4095};
}

static bool is_large(const struct svm_vmcb *v, const struct paging *p, unsigned level,
		     uint64_t entry)
{
	if (level == 0)
		return true;
	if (!(entry & ENTRY_LARGE))
		return false;
	return p->bits == 10 ? v->cr4 & CR4_PSE : level == 1 || (level == 2 && p->levels > 3);
}

/* Where a linear address leads. */
static bool walk(const struct npt *npt, const struct svm_vmcb *v, uint64_t linear,
		 uint64_t *ret_gpa)
{
	const struct paging p = paging_of(v);
	uint64_t table = v->cr3 & p.root, entry, size;

	if (!(v->cr0 & CR0_PG)) {
		*ret_gpa = linear;
		return true;
	}
	for (unsigned level = p.levels - 1;; level--) {
		unsigned shift = 12 + p.bits * level;
		uint64_t index = linear >> shift & ((1u << p.bits) - 1);

		entry = 0;
		if (!read_physical(npt, table + index * p.entry_bytes, &entry, p.entry_bytes) ||
		    !(entry & ENTRY_PRESENT))
			return false;
		size = UINT64_C(1) << shift;
		if (is_large(v, &p, level, entry))
			break;
		table = entry & ENTRY_ADDRESS;
	}
	*ret_gpa = (entry & ENTRY_ADDRESS & ~(size - 1)) | (linear & (size - 1));
	return true;
}

static unsigned code_bits(const struct svm_vmcb *v)
{
	if ((v->efer & EFER_LMA) && (v->cs.attributes & SVM_SEGMENT_LONG))
		return 64;
	return v->cs.attributes & SVM_SEGMENT_32 ? 32 : 16;
}

static size_t fetch(const struct npt *npt, const struct svm_vmcb *v, uint8_t *to)
{
	bool is_long = code_bits(v) == 64;
	size_t done = 0;

	while (done < INSTRUCTION_MAX) {
		uint64_t linear = is_long ? v->rip + done : (uint32_t)(v->cs.base + v->rip + done);
		uint64_t gpa, left = PAGE_BYTES - (linear & (PAGE_BYTES - 1));
		size_t part = min_u64(INSTRUCTION_MAX - done, left);

		if (!walk(npt, v, linear, &gpa) || !read_physical(npt, gpa, to + done, part))
			break;
		done += part;
	}
	return done;
}

struct access emulate_access(const struct npt *npt, const struct svm_vmcb *v)
{
	uint8_t bytes[INSTRUCTION_MAX];

	return access_decode(bytes, fetch(npt, v, bytes), code_bits(v));
}

void *emulate_memory(const struct npt *npt, const struct svm_vmcb *v, uint64_t linear, size_t len)
{
	uint64_t gpa, physical;
	bool write;

	if (PAGE_BYTES - (linear & (PAGE_BYTES - 1)) < len || !walk(npt, v, linear, &gpa) ||
	    !npt_find(npt, gpa, &physical, &write))
		return NULL;
	return physical_to_pointer(physical);
}

const struct svm_segment *emulate_segment(const struct npt *npt, const struct svm_vmcb *v)
{
	uint8_t bytes[INSTRUCTION_MAX];
	size_t len = fetch(npt, v, bytes);

	for (size_t i = 0; i < len; i++) {
		switch (bytes[i]) {
		case 0x26:
			return &v->es;
		case 0x2E:
			return &v->cs;
		case 0x36:
			return &v->ss;
		case 0x64:
			return &v->fs;
		case 0x65:
			return &v->gs;
		case 0x6E:
		case 0x6F:
			return &v->ds;
		}
	}
	return &v->ds;
}
