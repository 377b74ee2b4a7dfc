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

struct hv_stimer {
	struct hv *hv;
	uint8_t vp, index;
	bool pending; /* expired, its message waits for a slot */
	uint64_t config, count;
	uint64_t due_ref; /* of the next expiry, or of the one that waits */
	struct timer timer;
};

struct hv {
	struct hv_config config;
	uint64_t guest_os_id;
	uint64_t hypercall_msr;
	uint64_t reference_tsc_msr;
	uint64_t crash_parameter[5];
	struct hv_vp vp[HV_VPS_MAX];
	struct hv_stimer stimer[HV_VPS_MAX][HV_STIMERS];
};

/* synic.c */
bool synic_msr(uint32_t msr);
int synic_read(const struct hv_vp *vp, uint32_t msr, uint64_t *ret_value);
int synic_write(struct hv *hv, unsigned vp_index, uint32_t msr, uint64_t value);
void synic_reset(struct hv_vp *vp);
/* A value that a source may have. */
bool sint_allowed(uint64_t value);
void vp_interrupt(struct hv *hv, unsigned vp, uint8_t vector);

/* stimer.c; reads and writes only of registers for which stimer_msr() is true */
bool stimer_offered(const struct hv *hv);
bool stimer_msr(const struct hv *hv, uint32_t msr);
uint64_t stimer_read(const struct hv *hv, unsigned vp, uint32_t msr);
void stimer_write(struct hv *hv, unsigned vp, uint32_t msr, uint64_t value);
/* Slots of a VP may be free: delivers the messages that wait. */
void stimer_slots_free(struct hv *hv, unsigned vp);
void stimer_reset_all(struct hv *hv);
/* The timers of a VP in a record; `timers` takes what is read. */
struct hv_stimer_fields {
	uint64_t config, count, due_ref;
	bool pending;
};
void stimer_fields(const struct hv *hv, struct record *r, struct hv_stimer_fields *timer);
void stimer_apply(struct hv_stimer *timer, const struct hv_stimer_fields *fields);

/* pages.c */
int hypercall_page_fill(const struct hv *hv, uint64_t gpa);
int reference_tsc_page_fill(const struct hv *hv, uint64_t gpa);
/* The same for a page that the guest uses already. */
void reference_tsc_page_renew(const struct hv *hv, uint64_t gpa);

#endif
