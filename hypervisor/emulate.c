/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/emulate.h"

#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "hypervisor/memory.h"
#include "hypervisor/x86.h"

#define INSTRUCTION_HLT 0xF4u
#define ENTRY_PRESENT 1u
#define ENTRY_WRITE (1u << 1)
#define ENTRY_USER (1u << 2)
#define ENTRY_ACCESSED (1u << 5)
#define ENTRY_DIRTY (1u << 6)
#define ENTRY_LARGE (1u << 7)
#define ENTRY_ADDRESS UINT64_C(0x000FFFFFFFFFF000)

/* NULL: no memory is there, or none that may be written. */
static void *find(const struct npt *npt, uint64_t gpa, size_t len, bool write)
{
	uint64_t physical;
	bool may_write;

	if (!npt_find(npt, gpa, &physical, &may_write) || (write && !may_write) ||
	    !range_within(physical, len, PHYSICAL_BYTES))
		return NULL;
	return physical_to_pointer(physical);
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

/* Once, since another processor may change it. */
static uint64_t load_entry(const void *at, unsigned bytes)
{
	return bytes == 8 ? *(const volatile uint64_t *)at : *(const volatile uint32_t *)at;
}

/* Where a linear address leads. What it is led by is added to a memo that is not NULL. */
static bool walk(const struct npt *npt, const struct svm_vmcb *v, uint64_t linear,
		 uint64_t *ret_gpa, struct emulate_memo *memo)
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
		const void *at = find(npt, table + index * p.entry_bytes, p.entry_bytes, false);

		if (!at)
			return false;
		entry = load_entry(at, p.entry_bytes);
		if (!(entry & ENTRY_PRESENT))
			return false;
		if (memo) {
			memo->entry_at[memo->levels] = at;
			memo->entry[memo->levels++] = entry;
		}
		size = UINT64_C(1) << shift;
		if (is_large(v, &p, level, entry))
			break;
		table = entry & ENTRY_ADDRESS;
	}
	*ret_gpa = (entry & ENTRY_ADDRESS & ~(size - 1)) | (linear & (size - 1));
	return true;
}

/* As the processor notes what it used, where that may be written. False: another has changed the
 * entry meanwhile. */
static bool note_use(void *at, unsigned bytes, uint64_t entry, uint64_t bits)
{
	uint32_t half = (uint32_t)entry;

	if (!at || (entry & bits) == bits)
		return true;
	if (bytes == sizeof(half))
		return __atomic_compare_exchange_n((uint32_t *)at, &half, half | (uint32_t)bits,
						   false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return __atomic_compare_exchange_n((uint64_t *)at, &entry, entry | bits, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Whether a page with these rights may be reached as data. */
static bool is_allowed(const struct svm_vmcb *v, uint64_t rights, bool write)
{
	bool user = v->cpl == 3;

	if (user && !(rights & ENTRY_USER))
		return false;
	if (!user && (rights & ENTRY_USER) && (v->cr4 & CR4_SMAP) && !(v->rflags & RFLAGS_AC))
		return false;
	return !write || (rights & ENTRY_WRITE) || (!user && !(v->cr0 & CR0_WP));
}

/* Like walk(), as an access to data: with rights, and with what it leaves in the entries. */
static enum emulate_reach translate(const struct npt *npt, const struct svm_vmcb *v,
				    uint64_t linear, bool write, struct emulate_page *page)
{
	const struct paging p = paging_of(v);
	uint64_t table = v->cr3 & p.root, entry, size, rights = ENTRY_WRITE | ENTRY_USER;
	const void *from;

	page->error = (write ? PAGE_FAULT_WRITE : 0) | (v->cpl == 3 ? PAGE_FAULT_USER : 0);
	page->gpa = linear;
	if (!(v->cr0 & CR0_PG))
		return EMULATE_REACHED;
	for (unsigned level = p.levels - 1;; level--) {
		unsigned shift = 12 + p.bits * level;
		uint64_t index = linear >> shift & ((1u << p.bits) - 1), used = ENTRY_ACCESSED;
		uint64_t at = table + index * p.entry_bytes;
		bool has_rights = p.levels != 3 || level < 2; /* PAE's first level has none */

		from = find(npt, at, p.entry_bytes, false);
		if (!from)
			return EMULATE_NOWHERE;
		entry = load_entry(from, p.entry_bytes);
		if (!(entry & ENTRY_PRESENT))
			return EMULATE_FAULT;
		if (has_rights)
			rights &= entry;
		size = UINT64_C(1) << shift;
		if (is_large(v, &p, level, entry)) {
			page->error |= PAGE_FAULT_PRESENT;
			if (!is_allowed(v, rights, write))
				return EMULATE_FAULT;
			used |= write ? ENTRY_DIRTY : 0;
		}
		if (has_rights &&
		    !note_use(find(npt, at, p.entry_bytes, true), p.entry_bytes, entry, used))
			return EMULATE_AGAIN;
		if (has_rights && (entry & used) != used)
			npt_note_write(npt, at);
		if (is_large(v, &p, level, entry))
			break;
		table = entry & ENTRY_ADDRESS;
	}
	page->gpa = (entry & ENTRY_ADDRESS & ~(size - 1)) | (linear & (size - 1));
	return EMULATE_REACHED;
}

enum emulate_reach emulate_reach(const struct npt *npt, const struct svm_vmcb *v, uint64_t linear,
				 bool write, struct emulate_page *ret_page)
{
	struct emulate_page page = {0};
	enum emulate_reach r = translate(npt, v, linear, write, &page);

	if (r == EMULATE_REACHED) {
		page.at = find(npt, page.gpa, PAGE_BYTES - page.gpa % PAGE_BYTES, write);
		if (!page.at)
			r = EMULATE_NOWHERE;
		else if (write)
			npt_note_write(npt, page.gpa);
	}
	*ret_page = page;
	return r;
}

unsigned emulate_code_bits(const struct svm_vmcb *v)
{
	if ((v->efer & EFER_LMA) && (v->cs.attributes & SVM_SEGMENT_LONG))
		return 64;
	return v->cs.attributes & SVM_SEGMENT_32 ? 32 : 16;
}

static size_t fetch(const struct npt *npt, const struct svm_vmcb *v, uint8_t *to)
{
	bool is_long = emulate_code_bits(v) == 64;
	size_t done = 0;

	while (done < INSTRUCTION_MAX) {
		uint64_t linear = is_long ? v->rip + done : (uint32_t)(v->cs.base + v->rip + done);
		uint64_t gpa, left = PAGE_BYTES - (linear & (PAGE_BYTES - 1));
		size_t part = min_u64(INSTRUCTION_MAX - done, left);
		const void *from =
			walk(npt, v, linear, &gpa, NULL) ? find(npt, gpa, part, false) : NULL;

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

	return access_decode(bytes, fetch(npt, v, bytes), emulate_code_bits(v));
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
	uint64_t gpa;

	*m = (struct emulate_memo){
		.rip = v->rip,
		.cr0 = v->cr0,
		.cr3 = v->cr3,
		.cr4 = v->cr4,
		.efer = v->efer,
		.cs_attributes = v->cs.attributes,
		.changes = changes_of(npt),
	};
	if (emulate_code_bits(v) != 64 ||
	    (v->rip & (PAGE_BYTES - 1)) > PAGE_BYTES - sizeof(m->bytes) ||
	    !walk(npt, v, v->rip, &gpa, m))
		return false;
	m->code = find(npt, gpa, sizeof(m->bytes), false);
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
