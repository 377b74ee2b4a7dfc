/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The synthetic interrupt controller of each VP: message slots, event flags, 16 sources.
 *
 * A message goes into its slot only when the slot's type is zero. When it is not, the pending
 * flag asks the guest to write EOM once it has read the slot; the flag is set first and the slot
 * looked at again, so that a guest that just emptied it is not missed.
 *
 * Trust: the pages are the guest's; their addresses are looked up at each use, and only words
 * whose value decides nothing for us are read from them.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "devices/hv/internal.h"

#define MSI_ADDRESS 0xfee00000u
#define PAGE_MASK UINT64_C(0xfff)

void synic_reset(struct hv_vp *vp)
{
	*vp = (struct hv_vp){0};
	for (unsigned i = 0; i < HV_SINTS; i++)
		vp->sint[i] = HV_SINT_RESET;
}

bool synic_msr(uint32_t msr)
{
	return (msr >= HV_MSR_SCONTROL && msr <= HV_MSR_EOM) ||
	       (msr >= HV_MSR_SINT0 && msr <= HV_MSR_SINT15);
}

int synic_read(const struct hv_vp *vp, uint32_t msr, uint64_t *ret_value)
{
	switch (msr) {
	case HV_MSR_SCONTROL:
		*ret_value = vp->scontrol;
		return 0;
	case HV_MSR_SVERSION:
		*ret_value = 1;
		return 0;
	case HV_MSR_SIEFP:
		*ret_value = vp->siefp;
		return 0;
	case HV_MSR_SIMP:
		*ret_value = vp->simp;
		return 0;
	case HV_MSR_EOM:
		*ret_value = 0;
		return 0;
	default:
		*ret_value = vp->sint[msr - HV_MSR_SINT0];
		return 0;
	}
}

/* The page is zeroed when it is switched on or moved, as a guest may find rubbish in it otherwise.
 */
static int place_page(struct hv *hv, uint64_t *reg, uint64_t value)
{
	bool placed = ((value ^ *reg) & (~PAGE_MASK | HV_PAGE_ENABLE)) != 0;

	if ((value & HV_PAGE_ENABLE) && placed &&
	    gmem_zero(hv->config.gmem, value & ~PAGE_MASK, 4096) < 0)
		return -EPERM;
	*reg = value;
	return 0;
}

/* The world goes first, where a timer shares its source: only the guest's requests can fill that
 * slot so often that the timer starves, and not the other way round. */
static void slots_free(struct hv *hv, unsigned vp)
{
	for (unsigned sint = 0; sint < HV_SINTS; sint++)
		hv->config.world->slot_free(hv->config.world_ctx, sint);
	stimer_slots_free(hv, vp);
}

bool sint_allowed(uint64_t value)
{
	/* Vectors 0-15 belong to exceptions. */
	return (value & HV_SINT_MASKED) || (value & HV_SINT_VECTOR_MASK) >= 16;
}

int synic_write(struct hv *hv, unsigned vp_index, uint32_t msr, uint64_t value)
{
	struct hv_vp *vp = &hv->vp[vp_index];
	int r = 0;

	switch (msr) {
	case HV_MSR_SCONTROL:
		vp->scontrol = value;
		break;
	case HV_MSR_SVERSION:
		return -EPERM;
	case HV_MSR_SIEFP:
		return place_page(hv, &vp->siefp, value);
	case HV_MSR_SIMP:
		r = place_page(hv, &vp->simp, value);
		break;
	case HV_MSR_EOM:
		break;
	default:
		if (!sint_allowed(value))
			return -EPERM;
		vp->sint[msr - HV_MSR_SINT0] = value;
		return 0;
	}
	if (r == 0)
		slots_free(hv, vp_index);
	return r;
}

void vp_interrupt(struct hv *hv, unsigned vp, uint8_t vector)
{
	hv->config.irq->msi(hv->config.irq_ctx, MSI_ADDRESS | (uint64_t)vp << 12, vector);
}

static void sint_raise(struct hv *hv, unsigned vp, unsigned sint)
{
	uint64_t value = hv->vp[vp].sint[sint];

	if (!(value & HV_SINT_MASKED))
		vp_interrupt(hv, vp, (uint8_t)(value & HV_SINT_VECTOR_MASK));
}

static void *synic_slot(struct hv *hv, const struct hv_vp *vp, uint64_t reg, unsigned sint)
{
	if (!(vp->scontrol & HV_PAGE_ENABLE) || !(reg & HV_PAGE_ENABLE))
		return NULL;
	return gmem_span(hv->config.gmem, (reg & ~PAGE_MASK) + sint * 256u, 256);
}

int hv_post(struct hv *hv, unsigned vp, unsigned sint, uint32_t type, const void *payload,
	    size_t len)
{
	struct hv_message_slot *slot;

	if (vp >= hv->config.vp_count || sint >= HV_SINTS || len > HV_MESSAGE_PAYLOAD || !type)
		return -EINVAL;
	slot = synic_slot(hv, &hv->vp[vp], hv->vp[vp].simp, sint);
	if (!slot)
		return -ENXIO;
	if (gmem_load32(&slot->type)) {
		__atomic_fetch_or(&slot->flags, HV_MESSAGE_PENDING, __ATOMIC_SEQ_CST);
		gmem_written(hv->config.gmem, slot, sizeof(*slot));
		gmem_full_barrier();
		if (gmem_load32(&slot->type))
			return -EAGAIN;
	}
	slot->payload_bytes = (uint8_t)len;
	slot->flags = 0;
	slot->reserved = 0;
	slot->sender = 0;
	memcpy(slot->payload, payload, len);
	memset(slot->payload + len, 0, HV_MESSAGE_PAYLOAD - len);
	gmem_store32(&slot->type, type);
	gmem_written(hv->config.gmem, slot, sizeof(*slot));
	sint_raise(hv, vp, sint);
	return 0;
}

int hv_signal(struct hv *hv, unsigned vp, unsigned sint, unsigned flag)
{
	uint64_t *flags, bit, before;

	if (vp >= hv->config.vp_count || sint >= HV_SINTS || flag >= HV_EVENT_FLAGS)
		return -EINVAL;
	flags = synic_slot(hv, &hv->vp[vp], hv->vp[vp].siefp, sint);
	if (!flags)
		return -ENXIO;
	bit = UINT64_C(1) << (flag % 64);
	before = __atomic_fetch_or(&flags[flag / 64], bit, __ATOMIC_SEQ_CST);
	gmem_written(hv->config.gmem, &flags[flag / 64], sizeof(bit));
	if (!(before & bit))
		sint_raise(hv, vp, sint);
	return 0;
}
