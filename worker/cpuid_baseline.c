/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/cpuid_baseline.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

#define HV_LEAF_FIRST 0x40000000u
#define HV_LEAF_LAST 0x400000ffu
#define LEAF_XSAVE 0xdu
#define LEAF_ADDRESSES 0x80000008u
#define LAST_BASIC 0xdu
#define LAST_EXTENDED 0x80000021u
#define XSAVE_HEAD_BYTES 576u
#define COMPONENT_FIRST 2u /* behind the legacy region */
#define BITS(eax) ((eax)&0xff)

/* Leaves that a guest with a baseline has, beside those of features: sizes, names, topology. */
static const uint32_t plain[] = {
	0,          2,          4,          6,          0x80000000, 0x80000002, 0x80000003,
	0x80000004, 0x80000005, 0x80000006, 0x80000008, 0x8000001d, 0x8000001e,
};

/* Registers that tell of no feature, or of topology: those of another host are as good. */
static const struct {
	uint32_t leaf;
	unsigned registers; /* bit: enum processor_register */
} free_ones[] = {
	{0, 1},           {1, 3},           {2, 15},          {4, 15},          {5, 15},
	{6, 15},          {0xb, 15},        {0x80000000, 15}, {0x80000001, 3},  {0x80000002, 15},
	{0x80000003, 15}, {0x80000004, 15}, {0x80000005, 15}, {0x80000006, 15}, {0x80000008, 5},
	{0x80000019, 15}, {0x8000001a, 15}, {0x8000001d, 15}, {0x8000001e, 15},
};

static uint32_t *register_of(struct kvm_cpuid_entry2 *e, unsigned which)
{
	uint32_t *all[] = {&e->eax, &e->ebx, &e->ecx, &e->edx};

	return all[which];
}

static struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *list, uint32_t leaf, uint32_t index)
{
	for (uint32_t i = 0; i < list->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &list->entries[i];

		if (e->function == leaf && e->index == index)
			return (struct kvm_cpuid_entry2 *)(uintptr_t)e;
	}
	return NULL;
}

void cpuid_describe(const struct kvm_cpuid2 *list, struct processor *ret)
{
	struct processor p = {.vendor = ""};
	struct kvm_cpuid_entry2 *e = find(list, 0, 0);

	if (e) {
		memcpy(p.vendor, &e->ebx, 4);
		memcpy(p.vendor + 4, &e->edx, 4);
		memcpy(p.vendor + 8, &e->ecx, 4);
	}
	e = find(list, LEAF_ADDRESSES, 0);
	p.phys_bits = e ? BITS(e->eax) : 0;
	for (unsigned i = 0; i < PROCESSOR_WORDS; i++) {
		const struct processor_word *w = &processor_words[i];

		e = find(list, w->leaf, w->subleaf);
		p.word[i] = e ? *register_of(e, w->where) & w->mask : 0;
	}
	*ret = p;
}

static uint64_t components_of(const struct kvm_cpuid2 *list)
{
	const struct kvm_cpuid_entry2 *e = find(list, LEAF_XSAVE, 0);

	return e ? (uint64_t)e->edx << 32 | e->eax : 0;
}

/* ---- a baseline ---- */

static bool is_kept(const struct kvm_cpuid_entry2 *e, uint64_t components)
{
	if (e->function == LEAF_XSAVE && e->index >= COMPONENT_FIRST)
		return e->index < 64 && components >> e->index & 1;
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		if (e->function == plain[i])
			return true;
	}
	for (size_t i = 0; i < PROCESSOR_WORDS; i++) {
		if (e->function == processor_words[i].leaf &&
		    e->index == processor_words[i].subleaf)
			return true;
	}
	return false;
}

/* A register of a leaf of features keeps what the baseline has; one that no word names has none
 * that it could have, unless it tells of something else. */
static void restrict_entry(struct kvm_cpuid_entry2 *e, const struct processor *p)
{
	unsigned named = 0;

	for (size_t i = 0; i < PROCESSOR_WORDS; i++) {
		const struct processor_word *w = &processor_words[i];

		if (e->function != w->leaf || e->index != w->subleaf)
			continue;
		*register_of(e, w->where) &= p->word[i] | w->kept;
		named |= 1u << w->where;
	}
	if (!named)
		return;
	for (size_t i = 0; i < ARRAY_LEN(free_ones); i++)
		named |= free_ones[i].leaf == e->function ? free_ones[i].registers : 0;
	if (e->function == LEAF_XSAVE || (e->function == 7 && e->index == 0))
		named |= e->index == 0 ? 7u : 0; /* sizes; the last of leaf 7 */
	for (unsigned which = 0; which < 4; which++) {
		if (!(named >> which & 1))
			*register_of(e, which) = 0;
	}
}

/* Leaf 0xD tells how much the components need that are left. */
static void size_xsave(struct kvm_cpuid2 *list)
{
	struct kvm_cpuid_entry2 *xsave = find(list, LEAF_XSAVE, 0);
	uint32_t bytes = XSAVE_HEAD_BYTES;

	if (!xsave)
		return;
	for (uint32_t i = 0; i < list->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &list->entries[i];

		if (e->function == LEAF_XSAVE && e->index >= COMPONENT_FIRST &&
		    e->eax + e->ebx > bytes)
			bytes = e->eax + e->ebx;
	}
	if (!xsave->eax)
		bytes = 0;
	xsave->ebx = xsave->ecx = bytes;
}

int cpuid_restrict(struct kvm_cpuid2 *list, const struct processor *p, struct failure *f)
{
	struct processor here;
	char lacks[FAIL_TEXT_MAX / 2];
	struct kvm_cpuid_entry2 *e;
	uint64_t components;
	uint32_t kept = 0;

	cpuid_describe(list, &here);
	if (processor_lacks(&here, p, lacks, sizeof(lacks)))
		return fail(f, -EOPNOTSUPP,
			    "the processor of this host lacks what the VM's baseline has: %s; give "
			    "the VM a baseline that this host has, or start it on another",
			    lacks);
	e = find(list, LEAF_XSAVE, 0);
	if (e)
		restrict_entry(e, p);
	components = components_of(list);
	for (uint32_t i = 0; i < list->nent; i++) {
		struct kvm_cpuid_entry2 one = list->entries[i];

		if (!is_kept(&one, components))
			continue;
		restrict_entry(&one, p);
		if (one.function == 0)
			one.eax = min_u32(one.eax, LAST_BASIC);
		if (one.function == 7 && one.index == 0)
			one.eax = min_u32(one.eax, 1);
		if (one.function == 0x80000000)
			one.eax = min_u32(one.eax, LAST_EXTENDED);
		if (one.function == LEAF_ADDRESSES && p->phys_bits)
			one.eax = (one.eax & ~0xffu) | min_u32(BITS(one.eax), p->phys_bits);
		list->entries[kept++] = one;
	}
	list->nent = kept;
	size_xsave(list);
	return 0;
}

/* ---- the processor of a state ---- */

static bool is_free(uint32_t leaf, unsigned which)
{
	for (size_t i = 0; i < ARRAY_LEN(free_ones); i++) {
		if (free_ones[i].leaf == leaf && free_ones[i].registers >> which & 1)
			return true;
	}
	return false;
}

static bool is_features(const struct kvm_cpuid_entry2 *e, unsigned which)
{
	for (size_t i = 0; i < PROCESSOR_WORDS; i++) {
		const struct processor_word *w = &processor_words[i];

		if (w->leaf == e->function && w->subleaf == e->index && w->where == which)
			return true;
	}
	return false;
}

/* What a register may be here: bits of ours where they are features, sizes up to ours, and else
 * the same or nothing. */
static bool fits(const struct kvm_cpuid_entry2 *e, unsigned which, uint32_t theirs, uint32_t ours,
		 uint32_t xsave_bytes)
{
	if (e->function == LEAF_ADDRESSES && which == PROCESSOR_EAX)
		return BITS(theirs) >= PROCESSOR_BITS_MIN && BITS(theirs) <= BITS(ours);
	if (is_free(e->function, which))
		return true;
	if (e->function == 7 && e->index == 0 && which == PROCESSOR_EAX)
		return true;
	if (is_features(e, which))
		return !(theirs & ~ours);
	if (e->function == LEAF_XSAVE && e->index < COMPONENT_FIRST &&
	    (which == PROCESSOR_EBX || (which == PROCESSOR_ECX && e->index == 0)))
		return theirs <= xsave_bytes;
	if (e->function == LEAF_XSAVE && e->index < COMPONENT_FIRST)
		return !(theirs & ~ours);
	return theirs == ours || (theirs == 0 && e->function != 0 &&
				  (e->function < HV_LEAF_FIRST || e->function > HV_LEAF_LAST));
}

bool cpuid_fits(const struct kvm_cpuid2 *ours, const struct kvm_cpuid_entry2 *theirs,
		uint32_t *ret_lacks, unsigned *ret_register)
{
	static const struct kvm_cpuid_entry2 nothing;
	const struct kvm_cpuid_entry2 *same = find(ours, theirs->function, theirs->index);
	const struct kvm_cpuid_entry2 *xsave = find(ours, LEAF_XSAVE, 0);
	struct kvm_cpuid_entry2 a = *theirs, b = same ? *same : nothing;

	for (unsigned which = 0; which < 4; which++) {
		uint32_t t = *register_of(&a, which), o = *register_of(&b, which);

		if (fits(theirs, which, t, o, xsave ? xsave->ecx : 0))
			continue;
		*ret_lacks = t & ~o ? t & ~o : t ^ o;
		*ret_register = which;
		return false;
	}
	return true;
}
