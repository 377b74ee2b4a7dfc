/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID leaves 4000_0000 and up. Left out on purpose: leaf 3 EBX bit 0 (create partitions) and 12
 * (root), 20, 22, which make Linux think it is the parent; remote TLB flush and cluster IPI hints,
 * which Linux then does by its own APIC.
 */
#include "base/util.h"
#include "devices/hv/internal.h"

#define HV_VENDOR_EBX 0x7263694du /* "Micr" */
#define HV_VENDOR_ECX 0x666f736fu /* "osof" */
#define HV_VENDOR_EDX 0x76482074u /* "t Hv" */
#define HV_BUILD 20348u           /* Windows Server 2022: the version whose interface this is */
#define HV_MAJOR_MINOR (10u << 16)
#define HV_SPIN_RETRIES_NEVER 0xffffffffu

static struct hv_leaf features(const struct hv *hv)
{
	struct hv_leaf leaf = {
		.function = HV_CPUID_FEATURES,
		.eax = HV_ACCESS_REFERENCE_COUNT | HV_ACCESS_SYNIC | HV_ACCESS_HYPERCALL |
		       HV_ACCESS_VP_INDEX | HV_ACCESS_FREQUENCIES,
		.ebx = HV_POST_MESSAGES | HV_SIGNAL_EVENTS,
		.edx = HV_FREQUENCY_MSRS | HV_CRASH_MSRS,
	};

	if (hv->config.apic_msrs)
		leaf.eax |= HV_ACCESS_APIC;
	if (hv->config.reference_tsc)
		leaf.eax |= HV_ACCESS_REFERENCE_TSC;
	if (stimer_offered(hv)) {
		leaf.eax |= HV_ACCESS_STIMERS;
		if (!hv->config.timers_by_message)
			leaf.edx |= HV_DIRECT_STIMERS;
	}
	return leaf;
}

bool hv_cpuid_leaf(const struct hv *hv, unsigned n, struct hv_leaf *ret_leaf)
{
	const uint32_t apic = hv->config.apic_msrs ? HV_HINT_APIC_MSRS : 0;
	const struct hv_leaf leaves[] = {
		{HV_CPUID_BASE, HV_CPUID_LAST, HV_VENDOR_EBX, HV_VENDOR_ECX, HV_VENDOR_EDX},
		{HV_CPUID_INTERFACE, HV_CPUID_INTERFACE_ID, 0, 0, 0},
		{HV_CPUID_VERSION, HV_BUILD, HV_MAJOR_MINOR, 0, 0},
		features(hv),
		{HV_CPUID_HINTS, apic | HV_HINT_RELAXED_TIMING | HV_HINT_NO_AUTO_EOI,
		 HV_SPIN_RETRIES_NEVER, 0, 0},
		{HV_CPUID_LIMITS, HV_VPS_MAX, HV_VPS_MAX, 0, 0},
	};

	if (n >= ARRAY_LEN(leaves))
		return false;
	*ret_leaf = leaves[n];
	return true;
}
