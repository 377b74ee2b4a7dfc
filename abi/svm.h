/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AMD's virtualisation extension: the control block of a virtual processor, its exits, its MSRs.
 * Spec: AMD64 Architecture Programmer's Manual, volume 2, chapter 15 and appendices B and C.
 */
#ifndef OYA_ABI_SVM_H
#define OYA_ABI_SVM_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/packed.h"

/* Intercepts of the first word, then of the second. */
#define SVM_INTERCEPT_INTR (1u << 0)
#define SVM_INTERCEPT_NMI (1u << 1)
#define SVM_INTERCEPT_SMI (1u << 2)
#define SVM_INTERCEPT_INIT (1u << 3)
#define SVM_INTERCEPT_VINTR (1u << 4)
#define SVM_INTERCEPT_RDPMC (1u << 15)
#define SVM_INTERCEPT_CPUID (1u << 18)
#define SVM_INTERCEPT_IRET (1u << 20)
#define SVM_INTERCEPT_INVD (1u << 22)
#define SVM_INTERCEPT_HLT (1u << 24)
#define SVM_INTERCEPT_INVLPGA (1u << 26)
#define SVM_INTERCEPT_IO (1u << 27)
#define SVM_INTERCEPT_MSR (1u << 28)
#define SVM_INTERCEPT_SHUTDOWN (1u << 31)

#define SVM_INTERCEPT_VMRUN (1u << 0)
#define SVM_INTERCEPT_VMMCALL (1u << 1)
#define SVM_INTERCEPT_VMLOAD (1u << 2)
#define SVM_INTERCEPT_VMSAVE (1u << 3)
#define SVM_INTERCEPT_STGI (1u << 4)
#define SVM_INTERCEPT_CLGI (1u << 5)
#define SVM_INTERCEPT_SKINIT (1u << 6)
#define SVM_INTERCEPT_RDTSCP (1u << 7)
#define SVM_INTERCEPT_WBINVD (1u << 9)
#define SVM_INTERCEPT_MONITOR (1u << 10)
#define SVM_INTERCEPT_MWAIT (1u << 11)
#define SVM_INTERCEPT_XSETBV (1u << 13)

enum svm_exit {
	SVM_EXIT_EXCEPTION = 0x40, /* plus the vector */
	SVM_EXIT_INTR = 0x60,
	SVM_EXIT_NMI = 0x61,
	SVM_EXIT_SMI = 0x62,
	SVM_EXIT_INIT = 0x63,
	SVM_EXIT_VINTR = 0x64,
	SVM_EXIT_RDPMC = 0x6F,
	SVM_EXIT_CPUID = 0x72,
	SVM_EXIT_IRET = 0x74,
	SVM_EXIT_INVD = 0x76,
	SVM_EXIT_HLT = 0x78,
	SVM_EXIT_INVLPGA = 0x7A,
	SVM_EXIT_IO = 0x7B,
	SVM_EXIT_MSR = 0x7C,
	SVM_EXIT_SHUTDOWN = 0x7F,
	SVM_EXIT_VMRUN = 0x80,
	SVM_EXIT_VMMCALL = 0x81,
	SVM_EXIT_VMLOAD = 0x82,
	SVM_EXIT_VMSAVE = 0x83,
	SVM_EXIT_STGI = 0x84,
	SVM_EXIT_CLGI = 0x85,
	SVM_EXIT_SKINIT = 0x86,
	SVM_EXIT_WBINVD = 0x89,
	SVM_EXIT_MONITOR = 0x8A,
	SVM_EXIT_MWAIT = 0x8B,
	SVM_EXIT_XSETBV = 0x8D,
	SVM_EXIT_NPF = 0x400,
};
#define SVM_EXIT_INVALID UINT64_MAX

#define SVM_TLB_KEEP 0u
#define SVM_TLB_FLUSH_ALL 1u

#define SVM_VINTR_TPR 0xFu /* CR8 */
#define SVM_VINTR_IRQ (1u << 8)
#define SVM_VINTR_PRIORITY_AT 16
#define SVM_VINTR_PRIORITY (0xFu << SVM_VINTR_PRIORITY_AT)
#define SVM_VINTR_IGNORE_TPR (1u << 20)
#define SVM_VINTR_MASKING (1u << 24)

#define SVM_EVENT_VALID (UINT64_C(1) << 31)
#define SVM_EVENT_ERROR (UINT64_C(1) << 11) /* the upper half is an error code */
#define SVM_EVENT_ERROR_AT 32
#define SVM_EVENT_INTR (UINT64_C(0) << 8)
#define SVM_EVENT_NMI (UINT64_C(2) << 8)
#define SVM_EVENT_TYPE (UINT64_C(7) << 8)
#define SVM_EVENT_SOFTWARE (UINT64_C(4) << 8)
#define SVM_EVENT_EXCEPTION (UINT64_C(3) << 8)

#define SVM_NPF_PRESENT (1u << 0)
#define SVM_NPF_WRITE (1u << 1)
#define SVM_NPF_FETCH (1u << 4)
#define SVM_NPF_WALK (UINT64_C(1) << 33) /* of the guest's own tables */

struct svm_segment {
	uint16_t selector, attributes;
	uint32_t limit;
	uint64_t base;
} OYA_PACKED;
OYA_SIZE(struct svm_segment, 16);

/* Attributes: as in a descriptor, the upper four bits moved down. */
#define SVM_SEGMENT_ACCESSED (1u << 0)
#define SVM_SEGMENT_WRITE (1u << 1) /* of code: it may be read */
#define SVM_SEGMENT_DOWN (1u << 2)  /* of data: it reaches from the limit up */
#define SVM_SEGMENT_CODE (1u << 3)
#define SVM_SEGMENT_USER (1u << 4) /* neither a gate nor a system segment */
#define SVM_SEGMENT_PRIVILEGE_AT 5
#define SVM_SEGMENT_PRIVILEGE (3u << SVM_SEGMENT_PRIVILEGE_AT)
#define SVM_SEGMENT_PRESENT (1u << 7)
#define SVM_SEGMENT_LONG (1u << 9)
#define SVM_SEGMENT_32 (1u << 10)
#define SVM_SEGMENT_PAGES (1u << 11)
#define SVM_SEGMENT_LDT 0x2u
#define SVM_SEGMENT_TSS_BUSY_16 0x3u
#define SVM_SEGMENT_TSS_BUSY 0xBu

struct svm_vmcb {
	uint16_t intercept_cr_read, intercept_cr_write, intercept_dr_read, intercept_dr_write;
	uint32_t intercept_exceptions, intercept_1, intercept_2, intercept_3;
	uint8_t reserved_018[0x03C - 0x018];
	uint16_t pause_threshold, pause_count;
	uint64_t io_permissions, msr_permissions, tsc_offset;
	uint32_t asid;
	uint8_t tlb_control, reserved_05d[3];
	uint64_t vintr, interrupt_shadow, exit_code, exit_info_1, exit_info_2, exit_event;
	uint64_t nested_paging, avic_base, ghcb, event, nested_cr3, virt_extensions;
	uint32_t clean, reserved_0c4;
	uint64_t next_rip;
	uint8_t fetched, fetched_bytes[15];
	uint8_t reserved_0e0[0x400 - 0x0E0];
	struct svm_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved_4a0[0x4CB - 0x4A0], cpl;
	uint32_t reserved_4cc;
	uint64_t efer;
	uint8_t reserved_4d8[0x548 - 0x4D8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved_580[0x5D8 - 0x580];
	uint64_t rsp, s_cet, ssp, isst_addr, rax;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp,
		sysenter_eip;
	uint64_t cr2;
	uint8_t reserved_648[0x668 - 0x648];
	uint64_t pat, debug_control, branch_from, branch_to, exception_from, exception_to;
	uint8_t reserved_698[0x1000 - 0x698];
} OYA_PACKED;
OYA_SIZE(struct svm_vmcb, 4096);

OYA_OFFSET(struct svm_vmcb, intercept_exceptions, 0x008);
OYA_OFFSET(struct svm_vmcb, intercept_1, 0x00C);
OYA_OFFSET(struct svm_vmcb, io_permissions, 0x040);
OYA_OFFSET(struct svm_vmcb, asid, 0x058);
OYA_OFFSET(struct svm_vmcb, vintr, 0x060);
OYA_OFFSET(struct svm_vmcb, exit_code, 0x070);
OYA_OFFSET(struct svm_vmcb, exit_event, 0x088);
OYA_OFFSET(struct svm_vmcb, nested_paging, 0x090);
OYA_OFFSET(struct svm_vmcb, event, 0x0A8);
OYA_OFFSET(struct svm_vmcb, nested_cr3, 0x0B0);
OYA_OFFSET(struct svm_vmcb, clean, 0x0C0);
OYA_OFFSET(struct svm_vmcb, next_rip, 0x0C8);
OYA_OFFSET(struct svm_vmcb, es, 0x400);
OYA_OFFSET(struct svm_vmcb, tr, 0x490);
OYA_OFFSET(struct svm_vmcb, cpl, 0x4CB);
OYA_OFFSET(struct svm_vmcb, efer, 0x4D0);
OYA_OFFSET(struct svm_vmcb, cr4, 0x548);
OYA_OFFSET(struct svm_vmcb, rip, 0x578);
OYA_OFFSET(struct svm_vmcb, rsp, 0x5D8);
OYA_OFFSET(struct svm_vmcb, rax, 0x5F8);
OYA_OFFSET(struct svm_vmcb, cr2, 0x640);
OYA_OFFSET(struct svm_vmcb, pat, 0x668);

#define SVM_MSR_VM_CR 0xC0010114u
#define SVM_MSR_HSAVE 0xC0010117u
#define SVM_VM_CR_LOCK (1u << 3)
#define SVM_VM_CR_DISABLED (1u << 4)
#define SVM_CPUID_FEATURES 0x8000000Au
#define SVM_CPUID_NESTED_PAGING (1u << 0) /* of EDX */
#define SVM_CPUID_NEXT_RIP (1u << 3)

/* The bitmap of MSRs: two bits each, read then write, three ranges of 8,192 in 2 KiB each. */
#define SVM_MSR_BITMAP_BYTES 8192u
#define SVM_MSR_RANGE 0x2000u

#endif
