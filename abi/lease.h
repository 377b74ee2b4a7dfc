/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lease of a VM: a file that says which host runs it. Two slots, little endian; an epoch is in
 * the slot of its parity, so the one before it stays whole while it is written.
 * Spec: docs/format/lease.md.
 */
#ifndef OYA_ABI_LEASE_H
#define OYA_ABI_LEASE_H

#include "abi/guid.h"
#include "abi/packed.h"

#define LEASE_MAGIC "OYALEASE" /* 8 bytes */
#define LEASE_VERSION 1u
#define LEASE_SLOTS 2u
#define LEASE_SLOT_BYTES 512u
#define LEASE_FILE_BYTES (LEASE_SLOTS * LEASE_SLOT_BYTES)
#define LEASE_EPOCH_MAX UINT64_C(0x7fffffffffffffff)

enum lease_state { LEASE_FREE = 0, LEASE_HELD = 1, LEASE_OFFERED = 2, LEASE_STATES };

struct lease_slot {
	uint8_t magic[8];
	uint32_t version;
	uint32_t state; /* enum lease_state */
	uint64_t epoch;
	struct guid vm;
	struct guid owner;  /* host; zero: free */
	struct guid target; /* host; zero: not offered */
	uint64_t since_s;   /* since 1970 by the clock of who wrote it; for people */
	uint8_t zero[428];
	uint32_t sum; /* CRC-32C of what is before it */
} OYA_PACKED;
OYA_SIZE(struct lease_slot, LEASE_SLOT_BYTES);
OYA_OFFSET(struct lease_slot, version, 8);
OYA_OFFSET(struct lease_slot, state, 12);
OYA_OFFSET(struct lease_slot, epoch, 16);
OYA_OFFSET(struct lease_slot, vm, 24);
OYA_OFFSET(struct lease_slot, owner, 40);
OYA_OFFSET(struct lease_slot, target, 56);
OYA_OFFSET(struct lease_slot, since_s, 72);
OYA_OFFSET(struct lease_slot, sum, 508);

#endif
