/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parent partition sees of the hypervisor: how to find it, its log, its calls.
 *
 * CPUID leaf OYA_CPUID: EAX the version of this interface, EBX, ECX, EDX the signature. A call is
 * VMMCALL in ring 0 of the parent: RAX the number, RBX, RCX, RDX and RSI its operands; RAX is 0 or
 * a negative errno, RBX a result. Elsewhere VMMCALL is an invalid instruction.
 */
#ifndef OYA_ABI_OYA_H
#define OYA_ABI_OYA_H

#include <stdint.h>

#include "abi/packed.h"

#define OYA_CPUID 0x4F796100u
#define OYA_CPUID_EBX 0x4179614Fu /* "OyaA" */
#define OYA_CPUID_ECX 0x7A696275u /* "ubiz" */
#define OYA_CPUID_EDX 0x00766874u /* "thv" */
#define OYA_INTERFACE_VERSION 4u

#define OYA_CHUNK_BYTES 0x200000u /* what a partition is given at a time, so aligned */
#define OYA_LIST_MAX 512u         /* pages in one call */
#define OYA_WRITTEN_MAX 8192u

enum oya_call {
	OYA_CALL_NOTHING = 0, /* the cost of a call */
	OYA_CALL_INFO = 1,    /* RBX: which (enum oya_info); the answer in RBX */
	/* RBX: address of a first chunk of memory, which the parent loses; RCX: kHz of the TSC;
	 * RDX: an interrupt vector of the parent's, which ends the run of a processor that has
	 * another thing to do. The partition's number in RBX. */
	OYA_CALL_CREATE = 2,
	/* RBX: partition; RCX: address of a chunk for its tables and processors. */
	OYA_CALL_DONATE = 3,
	/* RBX: partition. -EAGAIN: there is more to do, call again. At 0 all chunks and pages are
	 * the parent's again; the chunks are zeros. -EBUSY: a call for it is under way. */
	OYA_CALL_DESTROY = 4,
	/* RBX: partition; RCX: its address, with rights in the low bits; RDX: address of a page of
	 * the parent with the addresses of its pages, 64 bits each; RSI: how many. They stay the
	 * parent's too. RBX: how many were mapped, also when it fails: -ENOMEM: donate and go on;
	 * -EBUSY: the page is another's; -EEXIST: something is mapped there. */
	OYA_CALL_MAP = 5,
	/* RBX: partition; RCX: its address; RDX: bytes, OYA_CHUNK_BYTES at most. What is not mapped
	 * is passed over. */
	OYA_CALL_UNMAP = 6,
	/* RBX: partition; RCX: number of the processor; RDX: address of a page of the parent, which
	 * both share from then on: struct oya_processor; its lowest bit: OYA_PROCESSOR_APIC. */
	OYA_CALL_CREATE_PROCESSOR = 7,
	/* RBX: partition; RCX: processor. Returns with its next exit, told in the shared page. RDX:
	 * 0, or OYA_RUN_FINISH. */
	OYA_CALL_RUN = 8,
	/* RBX: partition; RCX: processor; RDX: address of a page of the parent: struct oya_state.
	 */
	OYA_CALL_GET_STATE = 9,
	OYA_CALL_SET_STATE = 10,
	/* The same with an array of struct oya_cpuid; RSI: how many. */
	OYA_CALL_SET_CPUID = 11,
	/* An interrupt message, as a device writes it. RBX: partition; RCX: address; RDX: data.
	 * RBX: whom to wake (OYA_WAKE_...). -ESRCH: no processor takes it. */
	OYA_CALL_MESSAGE = 12,
	/* RBX: partition; RCX: processor; RDX: address of a page of the parent: the area of XSAVE,
	 * not compact, without the states that lie behind the page. -EINVAL: not one to be loaded.
	 */
	OYA_CALL_GET_FPU = 13,
	OYA_CALL_SET_FPU = 14,
	/* The same with the registers of the APIC, 16 bytes apart as in its own page, those of
	 * xAPIC mode. -ENOENT: it has none; -EINVAL: another's identity. */
	OYA_CALL_GET_APIC = 15,
	OYA_CALL_SET_APIC = 16,
	/* RBX: partition; RCX: its address; RDX: address of a page of the parent; RSI: how many
	 * pages, OYA_WRITTEN_MAX at most. Adds there the bits of those that were written since the
	 * last call, or since they were mapped. -ENOMEM, with those so far: donate and go on. */
	OYA_CALL_TAKE_WRITTEN = 17,
};

/* With a local APIC: then HLT, INIT and SIPI are as on a machine, and processors but 0 wait for
 * their SIPI. */
#define OYA_PROCESSOR_APIC 1u

/* Whom to wake: nobody, the processor of this number less one, or all with `ready` set. */
#define OYA_WAKE_NONE 0u
#define OYA_WAKE_MANY 0xFFFFFFFFu

#define OYA_MAP_WRITE 1u /* in the low bits of an address */
#define OYA_MAP_LARGE 2u /* pages of 2 MiB */

enum oya_info {
	OYA_INFO_LOG_AT = 0, /* physical address of the log, which may be read */
	OYA_INFO_LOG_BYTES = 1,
	OYA_INFO_MEMORY_AT = 2, /* the range that the parent cannot reach */
	OYA_INFO_MEMORY_BYTES = 3,
	OYA_INFO_PAGES_LEFT = 4, /* of the hypervisor's pool */
	OYA_INFO_PARTITIONS = 5, /* there are */
	OYA_INFO_IOMMUS = 6,     /* that keep devices out of what is ours; 0: nothing does */
	OYA_INFO_COUNT,
};

/* The log: text from `written` modulo the room backwards. */
struct oya_log {
	uint64_t written; /* bytes since the start */
	uint32_t room;    /* bytes of text */
	uint32_t reserved;
	char text[];
} OYA_PACKED;
OYA_SIZE(struct oya_log, 16);

enum oya_exit {
	OYA_EXIT_INTERRUPT = 0, /* one for the parent waits: it comes as soon as it may */
	OYA_EXIT_PORT = 1, /* the instruction is done but for the value of an IN: see `value` */
	/* `count` elements of `bytes` each in `data`, or to be put there. `count` 0: not done, its
	 * memory is a device or the instruction is not known. */
	OYA_EXIT_PORT_STRING = 2,
	/* Nothing is mapped there, or it may not be written. The instruction, or an element of a
	 * string, is done but for the value of a load; `bytes` 0: it is not one that is known, and
	 * not done. */
	OYA_EXIT_MEMORY = 3,
	OYA_EXIT_HALT = 4, /* behind the instruction; with an APIC: until `ready`, or `deadline` */
	OYA_EXIT_MSR = 5,  /* done but for the value of a read, or for `fault` */
	OYA_EXIT_SHUTDOWN = 6,
	OYA_EXIT_BROKEN = 7,  /* its state is not one that can run; `address`: the exit code */
	OYA_EXIT_WAKE = 8,    /* `value`: whom to wake */
	OYA_EXIT_TIMER = 9,   /* `deadline` is earlier than it was */
	OYA_EXIT_EOI = 10,    /* `value`: a level-triggered vector that has ended */
	OYA_EXIT_WINDOW = 11, /* an interrupt of the parent's could be taken */
	OYA_EXIT_TPR = 12,    /* CR8 is lower than it was, without APIC */
	OYA_EXIT_DEBUG = 13,  /* `port`: the exception; not done; see oya_debug */
};

/* An interrupt whose vector comes from a controller that the parent or its worker has. */
#define OYA_INTERRUPT (1u << 31)

#define OYA_TAKES_INTERRUPT 1u /* such a one, now */
#define OYA_INTERRUPTS_ON 2u   /* RFLAGS.IF */

/* Of RUN: what the last exit left for the parent to answer is finished, and nothing is run: the
 * state is whole then. */
#define OYA_RUN_FINISH 1u

enum oya_debug {
	OYA_DEBUG_STEP = 1,        /* exit behind each instruction */
	OYA_DEBUG_BREAKPOINTS = 2, /* INT3 is an exit */
};

#define OYA_STRING_BYTES 1024u

/* The page that a processor shares with the parent. What the hypervisor reads of it, each time that
 * it enters: `value` or `data`, `fault`, `changed` and, where that is set, the registers;
 * `interrupt`, `window`, `debug` and, without APIC, `cr8`. */
struct oya_processor {
	uint32_t exit; /* enum oya_exit */
	uint32_t port; /* or the MSR */
	uint8_t bytes; /* of a port or of memory: 1, 2, 4, 8 */
	uint8_t write; /* OUT, a store, WRMSR */
	uint8_t fault; /* set by the parent: the MSR is refused */
	uint8_t changed;
	uint32_t ready;    /* set when it need no longer wait; cleared by the parent */
	uint64_t value;    /* written, or what the next RUN has the instruction read */
	uint64_t address;  /* in the partition's memory */
	uint64_t exits;    /* so far, all */
	uint64_t deadline; /* of its timer, by the processor's TSC: run it then; 0: none */
	/* Told with all exits but OYA_EXIT_INTERRUPT. */
	uint64_t general[16], rip, rflags;
	uint32_t interrupt; /* a vector with OYA_INTERRUPT: taken, and cleared, when it may be */
	uint8_t window;     /* set by the parent: OYA_EXIT_WINDOW is wanted */
	uint8_t debug;      /* set by the parent: enum oya_debug */
	uint8_t cr8, takes; /* the second: OYA_TAKES_INTERRUPT, OYA_INTERRUPTS_ON */
	uint64_t apic_base;
	uint32_t count, reserved; /* of OYA_EXIT_PORT_STRING */
	uint8_t data[OYA_STRING_BYTES];
} OYA_PACKED;
OYA_SIZE(struct oya_processor, 1240);

struct oya_segment {
	uint16_t selector, attributes; /* as in SVM's control block: of the descriptor, joined */
	uint32_t limit;
	uint64_t base;
} OYA_PACKED;
OYA_SIZE(struct oya_segment, 16);

/* A processor's registers; those of general use in the order of their encoding. */
struct oya_state {
	uint64_t general[16], rip, rflags;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, xcr0, debug[8];
	struct oya_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip, pat, tsc_offset;
	uint64_t event; /* to be injected, or that was being delivered: as in SVM's control block */
	uint64_t interrupt_shadow;
	uint64_t activity; /* enum oya_activity */
	uint64_t nmi;      /* OYA_NMI_... */
	uint64_t apic_base;
	uint64_t tsc_deadline; /* of the APIC's timer, by its own TSC; 0: none, or another mode */
} OYA_PACKED;

enum oya_activity { OYA_RUNNABLE, OYA_HALTED, OYA_WAITS_FOR_SIPI };

#define OYA_NMI_PENDING 1u
#define OYA_NMI_MASKED 2u

#define OYA_APIC_BYTES 1024u /* of an APIC's page */
#define OYA_CPUID_MAX 96u

struct oya_cpuid {
	uint32_t leaf, sub, has_sub, eax, ebx, ecx, edx, reserved;
} OYA_PACKED;
OYA_SIZE(struct oya_cpuid, 32);

#endif
