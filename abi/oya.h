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
#define OYA_INTERFACE_VERSION 1u

enum oya_call {
	OYA_CALL_NOTHING = 0, /* the cost of a call */
	OYA_CALL_INFO = 1,    /* RBX: which of enum oya_info; the answer in RBX */
};

enum oya_info {
	OYA_INFO_LOG_AT = 0, /* physical address of the log, which may be read */
	OYA_INFO_LOG_BYTES = 1,
	OYA_INFO_MEMORY_AT = 2, /* the range that the parent cannot reach */
	OYA_INFO_MEMORY_BYTES = 3,
	OYA_INFO_PAGES_LEFT = 4, /* of the hypervisor's pool */
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

#endif
