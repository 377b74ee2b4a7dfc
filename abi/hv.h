/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest interface of the Microsoft hypervisor: CPUID leaves, MSRs, hypercalls, SynIC pages.
 * Spec: Hypervisor Top Level Functional Specification (public), 6.0b.
 */
#ifndef OYA_ABI_HV_H
#define OYA_ABI_HV_H

#include "abi/packed.h"

/* CPUID */
#define HV_CPUID_BASE 0x40000000u
#define HV_CPUID_INTERFACE 0x40000001u
#define HV_CPUID_VERSION 0x40000002u
#define HV_CPUID_FEATURES 0x40000003u
#define HV_CPUID_HINTS 0x40000004u
#define HV_CPUID_LIMITS 0x40000005u
#define HV_CPUID_LAST HV_CPUID_LIMITS
#define HV_CPUID_INTERFACE_ID 0x31237648u /* "Hv#1" */

/* Leaf 4000_0003 EAX: MSRs that the partition may use */
#define HV_ACCESS_REFERENCE_COUNT (1u << 1)
#define HV_ACCESS_SYNIC (1u << 2)
#define HV_ACCESS_STIMERS (1u << 3)
#define HV_ACCESS_APIC (1u << 4) /* EOI, ICR, TPR, the assist page */
#define HV_ACCESS_HYPERCALL (1u << 5)
#define HV_ACCESS_VP_INDEX (1u << 6)
#define HV_ACCESS_REFERENCE_TSC (1u << 9)
#define HV_ACCESS_FREQUENCIES (1u << 11)
/* EBX */
#define HV_POST_MESSAGES (1u << 4)
#define HV_SIGNAL_EVENTS (1u << 5)
/* EDX */
#define HV_FREQUENCY_MSRS (1u << 8)
#define HV_CRASH_MSRS (1u << 10)
#define HV_DIRECT_STIMERS (1u << 19)
/* Leaf 4000_0004 EAX: hints */
#define HV_HINT_APIC_MSRS (1u << 3) /* end interrupts by HV_MSR_EOI and the assist page */
#define HV_HINT_RELAXED_TIMING (1u << 5)
#define HV_HINT_NO_AUTO_EOI (1u << 9)

/* MSRs */
#define HV_MSR_FIRST 0x40000000u
#define HV_MSR_COUNT 0x200u
#define HV_MSR_GUEST_OS_ID 0x40000000u
#define HV_MSR_HYPERCALL 0x40000001u
#define HV_MSR_VP_INDEX 0x40000002u
#define HV_MSR_REFERENCE_COUNT 0x40000020u
#define HV_MSR_REFERENCE_TSC 0x40000021u
#define HV_MSR_TSC_FREQUENCY 0x40000022u
#define HV_MSR_APIC_FREQUENCY 0x40000023u
#define HV_MSR_EOI 0x40000070u
#define HV_MSR_ICR 0x40000071u
#define HV_MSR_TPR 0x40000072u
#define HV_MSR_VP_ASSIST_PAGE 0x40000073u
#define HV_MSR_SCONTROL 0x40000080u
#define HV_MSR_SVERSION 0x40000081u
#define HV_MSR_SIEFP 0x40000082u
#define HV_MSR_SIMP 0x40000083u
#define HV_MSR_EOM 0x40000084u
#define HV_MSR_SINT0 0x40000090u
#define HV_MSR_SINT15 0x4000009Fu
#define HV_MSR_STIMER0_CONFIG 0x400000B0u /* timer n: + 2n, its count + 2n + 1 */
#define HV_MSR_STIMER0_COUNT 0x400000B1u
#define HV_MSR_STIMER3_COUNT 0x400000B7u
#define HV_MSR_CRASH_P0 0x40000100u
#define HV_MSR_CRASH_P4 0x40000104u
#define HV_MSR_CRASH_CTL 0x40000105u

#define HV_PAGE_ENABLE 1u                    /* bit 0 of the MSRs that place a page */
#define HV_CRASH_NOTIFY (UINT64_C(1) << 63)  /* written: the parameters are complete */
#define HV_CRASH_MESSAGE (UINT64_C(1) << 62) /* P3 is the GPA and P4 the length of a text */
#define HV_SINT_VECTOR_MASK 0xffu
#define HV_SINT_MASKED (1u << 16)
#define HV_SINT_AUTO_EOI (1u << 17)
#define HV_SINT_RESET ((uint64_t)HV_SINT_MASKED)
#define HV_SINTS 16u
#define HV_EVENT_FLAGS 2048u /* of one SINT */

#define HV_STIMERS 4u /* of one VP */
#define HV_STIMER_ENABLE UINT64_C(1)
#define HV_STIMER_PERIODIC (UINT64_C(1) << 1)
#define HV_STIMER_LAZY (UINT64_C(1) << 2)
#define HV_STIMER_AUTO_ENABLE (UINT64_C(1) << 3) /* a write to the count enables */
#define HV_STIMER_VECTOR_SHIFT 4
#define HV_STIMER_VECTOR_MASK (UINT64_C(0xff) << HV_STIMER_VECTOR_SHIFT)
#define HV_STIMER_DIRECT (UINT64_C(1) << 12) /* an interrupt of that vector, no message */
#define HV_STIMER_SINT_SHIFT 16
#define HV_STIMER_SINT_MASK (UINT64_C(0xf) << HV_STIMER_SINT_SHIFT)

/* Hypercalls: control word in RCX */
#define HV_CALL_NOTIFY_LONG_SPIN_WAIT 0x0008u
#define HV_CALL_POST_MESSAGE 0x005Cu
#define HV_CALL_SIGNAL_EVENT 0x005Du
#define HV_CONTROL_CODE(control) ((uint16_t)(control))
#define HV_CONTROL_FAST (UINT64_C(1) << 16)
#define HV_CONTROL_REP_COUNT(control) ((uint32_t)((control) >> 32) & 0xfffu)

#define HV_STATUS_SUCCESS 0u
#define HV_STATUS_INVALID_CODE 2u
#define HV_STATUS_INVALID_INPUT 3u
#define HV_STATUS_INVALID_ALIGNMENT 4u
#define HV_STATUS_INVALID_PARAMETER 5u
#define HV_STATUS_INSUFFICIENT_BUFFERS 19u
#define HV_STATUS_INVALID_CONNECTION_ID 18u

#define HV_MESSAGE_PAYLOAD 240u

struct hv_post_message {
	uint32_t connection_id;
	uint32_t reserved;
	uint32_t message_type;
	uint32_t payload_bytes;
	uint8_t payload[HV_MESSAGE_PAYLOAD];
} OYA_PACKED;
OYA_SIZE(struct hv_post_message, 256);

/* One slot of the message page; naturally aligned, its first word is shared by atomics. */
struct hv_message_slot {
	uint32_t type; /* 0: the slot is free */
	uint8_t payload_bytes;
	uint8_t flags; /* bit 0: another message waits, write EOM */
	uint16_t reserved;
	uint64_t sender;
	uint8_t payload[HV_MESSAGE_PAYLOAD];
};
OYA_SIZE(struct hv_message_slot, 256);
#define HV_MESSAGE_PENDING 1u
#define HV_MESSAGE_TIMER_EXPIRED 0x80000010u

struct hv_stimer_payload {
	uint32_t timer;
	uint32_t reserved;
	uint64_t expiration_time; /* both in reference time */
	uint64_t delivery_time;
} OYA_PACKED;
OYA_SIZE(struct hv_stimer_payload, 24);
OYA_OFFSET(struct hv_stimer_payload, expiration_time, 8);

struct hv_reference_tsc_page {
	uint32_t sequence; /* 0: not valid, read the MSR */
	uint32_t reserved;
	uint64_t scale; /* 64.64 fixed point: 100 ns units per TSC tick */
	int64_t offset;
	uint8_t reserved2[4072];
};
OYA_SIZE(struct hv_reference_tsc_page, 4096);

#endif
