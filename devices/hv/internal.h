/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Structures shared by the files of this folder.
 */
#ifndef OYA_DEVICES_HV_INTERNAL_H
#define OYA_DEVICES_HV_INTERNAL_H

#include "devices/hv/hv.h"

struct hv_vp {
	uint64_t scontrol, siefp, simp;
	uint64_t sint[HV_SINTS];
	uint64_t assist_page;
};

struct hv {
	struct hv_config config;
	uint64_t guest_os_id;
	uint64_t hypercall_msr;
	uint64_t reference_tsc_msr;
	uint64_t crash_parameter[5];
	struct hv_vp vp[HV_VPS_MAX];
};

/* synic.c */
bool synic_msr(uint32_t msr);
int synic_read(const struct hv_vp *vp, uint32_t msr, uint64_t *ret_value);
int synic_write(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t value);
void synic_reset(struct hv_vp *vp);

/* pages.c */
int hypercall_page_fill(const struct hv *hv, uint64_t gpa);
int reference_tsc_page_fill(const struct hv *hv, uint64_t gpa);

#endif
