/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The features of virtual processors (vcpu.h): those of the host or of a baseline at the start of
 * a guest, and those that it has had elsewhere where it goes on.
 *
 * Trust: leaves of a state are hostile; each is held against all that a guest can have here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/util.h"
#include "worker/cpuid_baseline.h"
#include "worker/vcpu_priv.h"

#define LEAF_XSAVE 0xdu
#define LEGACY_COMPONENTS UINT64_C(3)
#define HV_LEAF_FIRST 0x40000000u
#define HV_LEAF_LAST 0x400000ffu
#define WORDS 6u /* of a leaf: function, index, EAX, EBX, ECX, EDX */

static int set(const struct vcpu *c, const struct kvm_cpuid2 *list, struct failure *f)
{
	if (ioctl(c->fd, KVM_SET_CPUID2, list) >= 0)
		return 0;
	return fail(f, -errno, "cannot set the features of processor %u: %s", c->index,
		    strerror(errno));
}

int vcpu_set_cpuid(const struct vcpu *c, const struct hv *hv, struct kvm_cpuid2 **keep,
		   struct failure *f)
{
	struct cpuid_wish wish = {
		.topology = &c->all->layout.topology,
		.index = c->index,
		.baseline = c->all->layout.baseline,
	};
	struct kvm_cpuid2 *cpuid;
	struct hv_leaf leaf;
	int r;

	while (hv_cpuid_leaf(hv, wish.extra, &leaf))
		wish.extra++;
	r = partition_cpuid(c->all->partition->device_fd, &wish, &cpuid, f);
	if (r < 0)
		return r;
	for (unsigned i = 0; hv_cpuid_leaf(hv, i, &leaf); i++)
		cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
			.function = leaf.function,
			.eax = leaf.eax,
			.ebx = leaf.ebx,
			.ecx = leaf.ecx,
			.edx = leaf.edx,
		};
	r = set(c, cpuid, f);
	free(*keep);
	*keep = cpuid;
	return r;
}

unsigned vcpus_cpuid(const struct vcpus *v, uint32_t *ret_words, unsigned max)
{
	unsigned count = min_u32(v->features->nent, max);

	for (unsigned i = 0; i < count; i++) {
		const struct kvm_cpuid_entry2 *e = &v->features->entries[i];
		const uint32_t words[WORDS] = {e->function, e->index, e->eax,
					       e->ebx,      e->ecx,   e->edx};

		memcpy(ret_words + i * ARRAY_LEN(words), words, sizeof(words));
	}
	return count;
}

static const struct kvm_cpuid_entry2 *find(const struct vcpus *v, uint32_t leaf, uint32_t index)
{
	for (uint32_t i = 0; i < v->features->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &v->features->entries[i];

		if (e->function == leaf && e->index == index)
			return e;
	}
	return NULL;
}

bool vcpus_have(const struct vcpus *v, uint32_t leaf, unsigned which, unsigned bit)
{
	const struct kvm_cpuid_entry2 *e = find(v, leaf, 0);
	const uint32_t words[] = {e ? e->eax : 0, e ? e->ebx : 0, e ? e->ecx : 0, e ? e->edx : 0};

	return words[which] >> bit & 1;
}

uint64_t vcpus_components(const struct vcpus *v)
{
	const struct kvm_cpuid_entry2 *e = find(v, LEAF_XSAVE, 0);

	return (e ? (uint64_t)e->edx << 32 | e->eax : 0) | LEGACY_COMPONENTS;
}

/* ---- of another host ---- */

/* All that the guest could have here. */
static int find_possible(const struct vcpus *v, struct kvm_cpuid2 **ret_list, struct failure *f)
{
	struct cpuid_wish wish = {.topology = &v->layout.topology, .extra = v->features->nent};
	struct kvm_cpuid2 *list;
	int r = partition_cpuid(v->partition->device_fd, &wish, &list, f);

	for (uint32_t i = 0; r == 0 && i < v->features->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &v->features->entries[i];

		if (e->function >= HV_LEAF_FIRST && e->function <= HV_LEAF_LAST)
			list->entries[list->nent++] = *e;
	}
	if (r == 0)
		*ret_list = list;
	return r;
}

/* Leaves that have several are told apart by what KVM says of them here. */
static uint32_t flags_of(const struct kvm_cpuid2 *ours, uint32_t leaf, uint32_t index)
{
	for (uint32_t i = 0; i < ours->nent; i++) {
		if (ours->entries[i].function == leaf)
			return ours->entries[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	}
	return index ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
}

static int compare(const struct kvm_cpuid2 *ours, const struct kvm_cpuid2 *theirs,
		   struct failure *f)
{
	static const char *const registers[] = {"EAX", "EBX", "ECX", "EDX"};
	char name[FAIL_TEXT_MAX / 4];

	for (uint32_t i = 0; i < theirs->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &theirs->entries[i];
		unsigned which;
		uint32_t lacks;

		if (cpuid_fits(ours, e, &lacks, &which))
			continue;
		processor_name_bits(e->function, e->index, which, lacks, name, sizeof(name));
		/* Short, for it becomes a part of the sentence on the state. */
		if (name[0])
			return fail(f, -EOPNOTSUPP, "the processor here lacks %s", name);
		return fail(f, -EOPNOTSUPP, "processors differ: CPUID %#x.%u %s differs by %#x",
			    e->function, e->index, registers[which], lacks);
	}
	return 0;
}

int vcpus_take_cpuid(struct vcpus *v, const uint32_t *words, unsigned count, struct failure *f)
{
	struct kvm_cpuid2 *ours = NULL, *theirs;
	int r = find_possible(v, &ours, f);

	if (r < 0)
		return r;
	theirs = calloc(1, sizeof(*theirs) + (count + 1) * sizeof(struct kvm_cpuid_entry2));
	if (!theirs)
		r = fail(f, -ENOMEM, "there is no memory for its processors");
	for (unsigned i = 0; r == 0 && i < count; i++, words += WORDS)
		theirs->entries[theirs->nent++] = (struct kvm_cpuid_entry2){
			.function = words[0],
			.index = words[1],
			.flags = flags_of(ours, words[0], words[1]),
			.eax = words[2],
			.ebx = words[3],
			.ecx = words[4],
			.edx = words[5],
		};
	if (r == 0)
		r = compare(ours, theirs, f);
	free(ours);
	for (unsigned i = v->count; r == 0 && i-- > 0;) {
		cpuid_set_index(theirs, i, &v->layout.topology);
		r = set(&v->vcpu[i], theirs, f);
	}
	if (r < 0) {
		free(theirs);
		return r;
	}
	free(v->features);
	v->features = theirs;
	return 0;
}
