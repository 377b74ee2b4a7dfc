/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/emulate.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "hypervisor/memory.h"
#include "hypervisor/x86.h"

#define FAULT_PRESENT 1u
#define FAULT_WRITE 2u
#define FAULT_USER 4u
#define INSTRUCTION_HLT 0xF4u
#define ENTRY_PRESENT 1u
#define ENTRY_WRITE 2u
#define ENTRY_USER 4u
#define ENTRY_RIGHTS (ENTRY_WRITE | ENTRY_USER)
#define ENTRY_LARGE (1u << 7)
#define ENTRY_ADDRESS UINT64_C(0x000FFFFFFFFFF000)

/* NULL: no memory is there. */
static const void *find(const struct npt *npt, uint64_t gpa, size_t len)
{
	uint64_t physical;
	bool write;

	return npt_find(npt, gpa, &physical, &write) && range_within(physical, len, PHYSICAL_BYTES)
		       ? physical_to_pointer(physical)
		       : NULL;
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

/* Where a linear address leads, and which of ENTRY_RIGHTS all levels grant. 0, -EFAULT when the
 * guest's tables say that nothing is there, -ENOENT when they lie where no memory is. */
static int walk_noting(const struct npt *npt, const struct svm_vmcb *v, uint64_t linear,
		       uint64_t *ret_gpa, uint64_t *ret_rights, struct emulate_memo *memo)
{
	const struct paging p = paging_of(v);
	uint64_t table = v->cr3 & p.root, entry, size;
	const void *at;

	*ret_gpa = linear;
	*ret_rights = ENTRY_RIGHTS;
	if (!(v->cr0 & CR0_PG))
		return 0;
	for (unsigned level = p.levels - 1;; level--) {
		unsigned shift = 12 + p.bits * level;
		uint64_t index = linear >> shift & ((1u << p.bits) - 1);

		at = find(npt, table + index * p.entry_bytes, p.entry_bytes);
		if (!at)
			return -ENOENT;
		entry = p.entry_bytes == 8 ? *(const volatile uint64_t *)at
					   : *(const volatile uint32_t *)at;
		if (!(entry & ENTRY_PRESENT))
			return -EFAULT;
		if (memo) {
			memo->entry_at[memo->levels] = at;
			memo->entry[memo->levels++] = entry;
		}
		/* The topmost entries of 32-bit tables with 8 bytes each grant nothing. */
		if (p.levels != 3 || level != 2)
			*ret_rights &= entry;
		size = UINT64_C(1) << shift;
		if (is_large(v, &p, level, entry))
			break;
		table = entry & ENTRY_ADDRESS;
	}
	*ret_gpa = (entry & ENTRY_ADDRESS & ~(size - 1)) | (linear & (size - 1));
	return 0;
}

static int walk(const struct npt *npt, const struct svm_vmcb *v, uint64_t linear, uint64_t *ret_gpa,
		uint64_t *ret_rights)
{
	return walk_noting(npt, v, linear, ret_gpa, ret_rights, NULL);
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
		uint64_t gpa, rights, left = PAGE_BYTES - (linear & (PAGE_BYTES - 1));
		size_t part = min_u64(INSTRUCTION_MAX - done, left);
		int r = walk(npt, v, linear, &gpa, &rights);
		const void *from = r == 0 ? find(npt, gpa, part) : NULL;

		if (!from)
			break;
		memcpy(to + done, from, part);
		done += part;
	}
	return done;
}

struct access emulate_access(const struct npt *npt, const struct svm_vmcb *v)
{
	uint8_t bytes[INSTRUCTION_MAX];

	return access_decode(bytes, fetch(npt, v, bytes), code_bits(v));
}

static uint64_t changes_of(const struct npt *npt)
{
	return __atomic_load_n(&npt->changes, __ATOMIC_SEQ_CST);
}

static bool is_as_met(const struct npt *npt, const struct svm_vmcb *v, const struct emulate_memo *m)
{
	if (!m->code || m->rip != v->rip || m->cr3 != v->cr3 || m->cr0 != v->cr0 ||
	    m->cr4 != v->cr4 || m->efer != v->efer || m->cs_attributes != v->cs.attributes ||
	    m->changes != changes_of(npt))
		return false;
	for (unsigned i = 0; i < m->levels; i++) {
		if (*m->entry_at[i] != m->entry[i])
			return false;
	}
	return le64_load(m->code) == m->bytes[0] && le64_load(m->code + 8) == m->bytes[1];
}

/* In 64-bit mode with paging, and not at the end of a page. */
static bool meet(const struct npt *npt, const struct svm_vmcb *v, struct emulate_memo *m)
{
	uint64_t gpa, rights;

	*m = (struct emulate_memo){
		.rip = v->rip,
		.cr0 = v->cr0,
		.cr3 = v->cr3,
		.cr4 = v->cr4,
		.efer = v->efer,
		.cs_attributes = v->cs.attributes,
		.changes = changes_of(npt),
	};
	if (code_bits(v) != 64 || (v->rip & (PAGE_BYTES - 1)) > PAGE_BYTES - sizeof(m->bytes) ||
	    walk_noting(npt, v, v->rip, &gpa, &rights, m) < 0)
		return false;
	m->code = find(npt, gpa, sizeof(m->bytes));
	if (!m->code)
		return false;
	m->bytes[0] = le64_load(m->code);
	m->bytes[1] = le64_load(m->code + 8);
	m->access = access_decode((const uint8_t *)m->bytes, INSTRUCTION_MAX, 64);
	return true;
}

struct access emulate_access_again(const struct npt *npt, const struct svm_vmcb *v,
				   struct emulate_memo *m)
{
	return is_as_met(npt, v, m) || meet(npt, v, m) ? m->access : emulate_access(npt, v);
}

void emulate_pass_halt(const struct npt *npt, struct svm_vmcb *v)
{
	uint8_t bytes[INSTRUCTION_MAX];

	if (!(v->interrupt_shadow & 1) || !fetch(npt, v, bytes) || bytes[0] != INSTRUCTION_HLT)
		return;
	v->rip++;
	v->interrupt_shadow = 0;
}

static bool is_granted(const struct svm_vmcb *v, uint64_t rights, bool write)
{
	bool user = v->cpl == 3;

	if (user && !(rights & ENTRY_USER))
		return false;
	if (!user && (rights & ENTRY_USER) && (v->cr0 & CR0_PG) && (v->cr4 & CR4_SMAP) &&
	    !(v->rflags & RFLAGS_AC))
		return false;
	return !write || (rights & ENTRY_WRITE) || (!user && !(v->cr0 & CR0_WP));
}

enum emulate_reach emulate_reach(const struct npt *npt, const struct svm_vmcb *v, uint64_t linear,
				 size_t len, bool write, void **ret_at, uint32_t *ret_error)
{
	uint64_t gpa, rights, physical;
	bool writable;
	int r = walk(npt, v, linear, &gpa, &rights);

	if (r == -EFAULT || (r == 0 && !is_granted(v, rights, write))) {
		*ret_error = (r == 0 ? FAULT_PRESENT : 0) | (write ? FAULT_WRITE : 0) |
			     (v->cpl == 3 ? FAULT_USER : 0);
		return EMULATE_FAULTS;
	}
	if (r < 0 || PAGE_BYTES - (linear & (PAGE_BYTES - 1)) < len ||
	    !npt_find(npt, gpa, &physical, &writable) || (write && !writable) ||
	    !range_within(physical, len, PHYSICAL_BYTES))
		return EMULATE_ELSEWHERE;
	*ret_at = physical_to_pointer(physical);
	return EMULATE_REACHED;
}

uint64_t emulate_linear(const struct svm_vmcb *v, const struct svm_segment *segment,
			uint64_t offset)
{
	if (code_bits(v) != 64)
		return (uint32_t)(segment->base + offset);
	return offset + (segment == &v->fs || segment == &v->gs ? segment->base : 0);
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
