/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The partition: registers that are not of the SynIC, hypercalls, crash reports.
 * Trust and spec: hv.h.
 */
#include "devices/hv/hv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "devices/hv/internal.h"

#define PAGE_MASK UINT64_C(0xfff)
#define HYPERCALL_LOCKED 2u /* bit 1 of the hypercall MSR: no further writes */

int hv_new(const struct hv_config *config, struct hv **ret_hv)
{
	struct hv *hv;

	if (!config->vp_count || config->vp_count > HV_VPS_MAX || config->tsc_hz <= 10000000)
		return -EINVAL;
	hv = calloc(1, sizeof(*hv));
	if (!hv)
		return -ENOMEM;
	hv->config = *config;
	hv_reset(hv);
	*ret_hv = hv;
	return 0;
}

void hv_free(struct hv *hv)
{
	if (hv)
		stimer_reset_all(hv);
	free(hv);
}

void hv_reset(struct hv *hv)
{
	hv->guest_os_id = hv->hypercall_msr = hv->reference_tsc_msr = 0;
	memset(hv->crash_parameter, 0, sizeof(hv->crash_parameter));
	for (unsigned i = 0; i < hv->config.vp_count; i++)
		synic_reset(&hv->vp[i]);
	stimer_reset_all(hv);
}

uint64_t hv_guest_os_id(const struct hv *hv)
{
	return hv->guest_os_id;
}

int hv_msr_read(struct hv *hv, unsigned vp, uint32_t msr, uint64_t *ret_value)
{
	if (vp >= hv->config.vp_count)
		return -EPERM;
	if (synic_msr(msr))
		return synic_read(&hv->vp[vp], msr, ret_value);
	if (stimer_msr(hv, msr)) {
		*ret_value = stimer_read(hv, vp, msr);
		return 0;
	}
	if (msr >= HV_MSR_CRASH_P0 && msr <= HV_MSR_CRASH_P4) {
		*ret_value = hv->crash_parameter[msr - HV_MSR_CRASH_P0];
		return 0;
	}
	switch (msr) {
	case HV_MSR_GUEST_OS_ID:
		*ret_value = hv->guest_os_id;
		return 0;
	case HV_MSR_HYPERCALL:
		*ret_value = hv->hypercall_msr;
		return 0;
	case HV_MSR_VP_INDEX:
		*ret_value = vp;
		return 0;
	case HV_MSR_REFERENCE_COUNT:
		*ret_value = hv->config.world->reference_time(hv->config.world_ctx);
		return 0;
	case HV_MSR_REFERENCE_TSC:
		*ret_value = hv->reference_tsc_msr;
		return 0;
	case HV_MSR_TSC_FREQUENCY:
		*ret_value = hv->config.tsc_hz;
		return 0;
	case HV_MSR_APIC_FREQUENCY:
		*ret_value = hv->config.apic_hz;
		return 0;
	case HV_MSR_VP_ASSIST_PAGE:
		*ret_value = hv->vp[vp].assist_page;
		return 0;
	case HV_MSR_CRASH_CTL:
		*ret_value = HV_CRASH_NOTIFY | HV_CRASH_MESSAGE; /* what we take */
		return 0;
	default:
		return -EPERM;
	}
}

static int write_hypercall(struct hv *hv, uint64_t value)
{
	if (hv->hypercall_msr & HYPERCALL_LOCKED)
		return 0;
	if (!hv->guest_os_id)
		value &= ~(uint64_t)HV_PAGE_ENABLE; /* the guest must say who it is first */
	if ((value & HV_PAGE_ENABLE) && hypercall_page_fill(hv, value & ~PAGE_MASK) < 0)
		return -EPERM;
	hv->hypercall_msr = value;
	return 0;
}

static int write_reference_tsc(struct hv *hv, uint64_t value)
{
	if ((value & HV_PAGE_ENABLE) && reference_tsc_page_fill(hv, value & ~PAGE_MASK) < 0)
		return -EPERM;
	hv->reference_tsc_msr = value;
	return 0;
}

static int write_assist_page(struct hv *hv, struct hv_vp *vp, uint64_t value)
{
	if ((value & HV_PAGE_ENABLE) && gmem_zero(hv->config.gmem, value & ~PAGE_MASK, 4096) < 0)
		return -EPERM;
	vp->assist_page = value;
	return 0;
}

/* What a terminal or a JSON decoder could stumble over becomes a question mark. */
static void make_plain(char *text)
{
	for (; *text; text++) {
		if ((*text < ' ' || *text > '~') && *text != '\n')
			*text = *text == '\t' || *text == '\r' ? ' ' : '?';
	}
}

static void report_crash(struct hv *hv, uint64_t control)
{
	struct hv_crash crash = {{0}, ""};
	uint64_t len = hv->crash_parameter[4];

	memcpy(crash.parameter, hv->crash_parameter, sizeof(crash.parameter));
	if ((control & HV_CRASH_MESSAGE) && len && len < HV_CRASH_TEXT_MAX &&
	    gmem_read(hv->config.gmem, hv->crash_parameter[3], crash.text, len) < 0)
		crash.text[0] = '\0';
	make_plain(crash.text);
	hv->config.world->crash(hv->config.world_ctx, &crash);
}

int hv_msr_write(struct hv *hv, unsigned vp, uint32_t msr, uint64_t value)
{
	if (vp >= hv->config.vp_count)
		return -EPERM;
	if (synic_msr(msr))
		return synic_write(hv, vp, msr, value);
	if (stimer_msr(hv, msr)) {
		stimer_write(hv, vp, msr, value);
		return 0;
	}
	if (msr >= HV_MSR_CRASH_P0 && msr <= HV_MSR_CRASH_P4) {
		hv->crash_parameter[msr - HV_MSR_CRASH_P0] = value;
		return 0;
	}
	switch (msr) {
	case HV_MSR_GUEST_OS_ID:
		hv->guest_os_id = value;
		if (!value) /* the hypercall page goes with the identity */
			hv->hypercall_msr &= ~(uint64_t)HV_PAGE_ENABLE;
		return 0;
	case HV_MSR_HYPERCALL:
		return write_hypercall(hv, value);
	case HV_MSR_REFERENCE_TSC:
		return write_reference_tsc(hv, value);
	case HV_MSR_VP_ASSIST_PAGE:
		return write_assist_page(hv, &hv->vp[vp], value);
	case HV_MSR_CRASH_CTL:
		if (value & HV_CRASH_NOTIFY)
			report_crash(hv, value);
		return 0;
	default:
		return -EPERM;
	}
}

/* Hypercalls below: decode checks everything and changes nothing. */
static uint64_t decode_post_message(struct hv *hv, uint64_t control, uint64_t input,
				    struct hv_post_message *ret_msg)
{
	if (control & HV_CONTROL_FAST) /* no message fits into the registers */
		return HV_STATUS_INVALID_INPUT;
	if (!is_aligned(input, 8))
		return HV_STATUS_INVALID_ALIGNMENT;
	if (gmem_read(hv->config.gmem, input, ret_msg, sizeof(*ret_msg)) < 0)
		return HV_STATUS_INVALID_PARAMETER;
	if (ret_msg->payload_bytes > HV_MESSAGE_PAYLOAD)
		return HV_STATUS_INVALID_PARAMETER;
	return HV_STATUS_SUCCESS;
}

static uint64_t call_post_message(struct hv *hv, uint64_t control, uint64_t input)
{
	struct hv_post_message msg;
	uint64_t status = decode_post_message(hv, control, input, &msg);
	int r;

	if (status != HV_STATUS_SUCCESS)
		return status;
	r = hv->config.world->message(hv->config.world_ctx, msg.connection_id, msg.payload,
				      msg.payload_bytes);
	if (r == -ENOENT)
		return HV_STATUS_INVALID_CONNECTION_ID;
	return r < 0 ? HV_STATUS_INVALID_PARAMETER : HV_STATUS_SUCCESS;
}

static uint64_t call_signal_event(struct hv *hv, uint64_t control, uint64_t input)
{
	if (!(control & HV_CONTROL_FAST)) {
		if (!is_aligned(input, 8))
			return HV_STATUS_INVALID_ALIGNMENT;
		if (gmem_read(hv->config.gmem, input, &input, sizeof(input)) < 0)
			return HV_STATUS_INVALID_PARAMETER;
	}
	if (input >> 32) /* a flag number: our connections have one flag each */
		return HV_STATUS_INVALID_PARAMETER;
	if (hv->config.world->event(hv->config.world_ctx, (uint32_t)input) < 0)
		return HV_STATUS_INVALID_CONNECTION_ID;
	return HV_STATUS_SUCCESS;
}

uint64_t hv_hypercall(struct hv *hv, uint64_t control, uint64_t input)
{
	switch (HV_CONTROL_CODE(control)) {
	case HV_CALL_NOTIFY_LONG_SPIN_WAIT:
		return HV_STATUS_SUCCESS;
	case HV_CALL_POST_MESSAGE:
		return call_post_message(hv, control, input);
	case HV_CALL_SIGNAL_EVENT:
		return call_signal_event(hv, control, input);
	default:
		return HV_STATUS_INVALID_CODE;
	}
}
