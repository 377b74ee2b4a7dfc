/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The partition in a saved state (hv.h).
 *
 * Trust: records are hostile. Pages that the registers name are looked up at each use, as when the
 * guest wrote them; here they only have to be RAM, so that nobody wonders later.
 */
#include <stdlib.h>
#include <string.h>

#include "devices/hv/internal.h"

#define PAGE_MASK UINT64_C(0xfff)

static void page_fields(const struct hv *hv, struct record *r, const char *name, uint64_t *reg)
{
	record_u64(r, name, reg);
	if ((*reg & HV_PAGE_ENABLE) && !gmem_span(hv->config.gmem, *reg & ~PAGE_MASK, 4096))
		record_refuse(r, "its page '%s' at %#llx is no RAM", name,
			      (unsigned long long)(*reg & ~PAGE_MASK));
}

static void vp_fields(const struct hv *hv, struct record *r, struct hv_vp *vp)
{
	record_u64(r, "scontrol", &vp->scontrol);
	page_fields(hv, r, "siefp", &vp->siefp);
	page_fields(hv, r, "simp", &vp->simp);
	record_u64s(r, "sint", vp->sint, HV_SINTS);
	for (unsigned i = 0; i < HV_SINTS; i++) {
		if (!sint_allowed(vp->sint[i]))
			record_refuse(r, "the source %u raises the vector of an exception", i);
	}
	page_fields(hv, r, "assist_page", &vp->assist_page);
}

/* What is read, until all of it is known to be right. */
struct hv_fields {
	uint64_t guest_os_id, hypercall, reference_tsc, crash[5];
	unsigned vps;
	struct hv_vp vp[HV_VPS_MAX];
	struct hv_stimer_fields timer[HV_VPS_MAX][HV_STIMERS];
};

static void fields(const struct hv *hv, struct record *r, struct hv_fields *f)
{
	record_u64(r, "guest_os_id", &f->guest_os_id);
	page_fields(hv, r, "hypercall_page", &f->hypercall);
	if ((f->hypercall & HV_PAGE_ENABLE) && !f->guest_os_id)
		record_refuse(r, "it has a hypercall page of no guest");
	page_fields(hv, r, "reference_tsc_page", &f->reference_tsc);
	record_u64s(r, "crash", f->crash, 5);
	record_limited(r, "processors", &f->vps, HV_VPS_MAX);
	if (f->vps != hv->config.vp_count)
		record_refuse(r, "it has %u processors, and the VM has %u", f->vps,
			      hv->config.vp_count);
	for (unsigned i = 0; i < hv->config.vp_count && record_ok(r); i++) {
		vp_fields(hv, r, &f->vp[i]);
		for (unsigned n = 0; n < HV_STIMERS; n++)
			stimer_fields(hv, r, &f->timer[i][n]);
	}
}

static void take(const struct hv *hv, struct hv_fields *f)
{
	f->guest_os_id = hv->guest_os_id;
	f->hypercall = hv->hypercall_msr;
	f->reference_tsc = hv->reference_tsc_msr;
	memcpy(f->crash, hv->crash_parameter, sizeof(f->crash));
	f->vps = hv->config.vp_count;
	memcpy(f->vp, hv->vp, sizeof(f->vp));
	for (unsigned i = 0; i < hv->config.vp_count; i++) {
		for (unsigned n = 0; n < HV_STIMERS; n++) {
			const struct hv_stimer *t = &hv->stimer[i][n];

			f->timer[i][n] = (struct hv_stimer_fields){t->config, t->count, t->due_ref,
								   t->pending};
		}
	}
}

static void apply(struct hv *hv, const struct hv_fields *f)
{
	hv->guest_os_id = f->guest_os_id;
	hv->hypercall_msr = f->hypercall;
	hv->reference_tsc_msr = f->reference_tsc;
	memcpy(hv->crash_parameter, f->crash, sizeof(f->crash));
	memcpy(hv->vp, f->vp, sizeof(f->vp));
	for (unsigned i = 0; i < hv->config.vp_count; i++) {
		for (unsigned n = 0; n < HV_STIMERS; n++)
			stimer_apply(&hv->stimer[i][n], &f->timer[i][n]);
	}
	hv_move_reference(hv, hv->config.tsc_offset);
}

void hv_state(struct hv *hv, struct record *r)
{
	struct hv_fields *f = calloc(1, sizeof(*f));

	if (!f) {
		record_refuse(r, "there is no memory for it");
		return;
	}
	if (!r->reads)
		take(hv, f);
	fields(hv, r, f);
	if (record_end(r) == 0 && r->reads)
		apply(hv, f);
	free(f);
}

void hv_move_reference(struct hv *hv, uint64_t tsc_offset)
{
	hv->config.tsc_offset = tsc_offset;
	if (hv->reference_tsc_msr & HV_PAGE_ENABLE)
		reference_tsc_page_renew(hv, hv->reference_tsc_msr & ~PAGE_MASK);
}
