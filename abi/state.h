/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stream that holds the state of a VM: numbers that both ends agree on. Everything is little
 * endian and encoded field by field.
 * Spec: docs/format/state.md.
 */
#ifndef OYA_ABI_STATE_H
#define OYA_ABI_STATE_H

#include <stdint.h>

/* ---- the head of a stream ---- */
/* magic; u32 version, bytes of a page; u64 features; u32 zero, CRC of what is before it */
#define STATE_HEAD_BYTES 32u
#define STATE_MAGIC "OYASTATE" /* 8 bytes */
#define STATE_VERSION 1u
/* A feature: the VM runs while it is written. Its memory comes as pages, several times; marks come
 * between; messages (abi/move.h) go both ways. */
#define STATE_LIVE UINT64_C(1)
/* Of such a VM: its memory comes by further connections too, each a stream of its own. */
#define STATE_LANES UINT64_C(2)
/* Of such a VM: some of its memory may come when it runs already (post-copy). */
#define STATE_LATE UINT64_C(4)
/* Of such a VM: its disks come along. */
#define STATE_DISKS UINT64_C(8)

/* ---- the head of a record ---- */
/* u32 type; u16 version, flags; u32 instance, zero; u64 bytes of its body; u32 CRC of the body, CRC
 * of what is before it */
#define STATE_RECORD_BYTES 32u
#define STATE_ALIGN 8u /* each record begins at a multiple of it, zeros before */
#define STATE_BODY_MAX (UINT64_C(16) << 20)
#define STATE_RECORDS_MAX (UINT64_C(1) << 32)

#define STATE_OPTIONAL 1u /* flag: who does not know the type passes it over */

/* Types, in the order in which a stream has them; the end is the last. */
enum state_type {
	STATE_END = 0,     /* count of records and digest of their heads */
	STATE_MACHINE = 1, /* what the VM must be made of, and its clocks */
	STATE_MEMORY = 2,  /* some pages */
	STATE_HV = 3,      /* the partition's Hyper-V registers */
	STATE_IOAPIC = 4,
	STATE_SERIAL = 5,
	STATE_RTC = 6,
	STATE_PC = 7, /* what only a machine with firmware has, as the next */
	STATE_IDE = 8,
	STATE_SCSI = 9, /* instance: the controller */
	STATE_NIC = 10, /* instance: its number */
	STATE_HEARTBEAT = 11,
	STATE_SHUTDOWN = 12,
	STATE_TIMESYNC = 13,
	STATE_KVP = 14,
	STATE_KEYBOARD = 15,
	STATE_VMBUS = 16,
	STATE_CHANNEL = 17,   /* instance: its relid */
	STATE_PROCESSOR = 18, /* instance: its index */
	/* Of a VM that runs, behind the machine: */
	STATE_PAGES = 19,     /* memory as it is now */
	STATE_MARK = 20,      /* instance: which one; it is answered */
	STATE_REHEARSAL = 21, /* as many bytes as the devices will take; it is answered */
	STATE_LANE = 22,      /* first on a further connection: which one of whose it is */
	STATE_LATER = 23,     /* pages that come when the VM runs; what came of them is void */
	STATE_BLOCKS = 24,    /* a piece of a disk as it is now */
	/* As STATE_PAGES, where READY says that it is known: */
	STATE_COMPRESSED = 25,
	STATE_TYPES
};

/* The body of a record of memory: u64 guest's address; u32 pages; u32 zeros that follow, so that
 * the pages may begin at a page of a file; these zeros; the pages. */
#define STATE_MEMORY_BYTES 16u

/* The body of a record of pages: u32 spans, zero; for each span u64 guest's address, u32 pages, u32
 * 1 when they are zeros, else 0; then those that are not, in turn. The record's sum covers what is
 * before these: who writes them reads them once, while the guest may change them. */
#define STATE_SPANS_HEAD_BYTES 8u
#define STATE_SPAN_BYTES 16u
#define STATE_SPANS_MAX 256u /* of one record */
#define STATE_SPAN_ZEROS 1u

/* The body of a record of compressed pages: u32 spans, u32 blocks; the spans, as above; for each
 * block u32 its bytes; the blocks. These are the pages that are not zeros, in turn, by
 * STATE_COMPRESSED_BLOCK_BYTES; the last one is what is left. A block that is shorter than its
 * pages is an LZ4 block of them, another one is these pages. The record's sum covers all of it. */
#define STATE_COMPRESSED_BLOCK_BYTES 65536u
#define STATE_COMPRESSED_BLOCKS_MAX 32u /* of one record */

/* The body of a lane: the VM's UUID; u32 number of the connection, of how many. The one of number 0
 * is the stream of the VM itself. */
#define STATE_LANE_BYTES 24u
#define STATE_LANES_MAX 8u

/* The body of a record of pages that come later: u64 guest's address of the first; u32 pages, a
 * multiple of 64; u32 zero; a bit for each: it is one of them. */
#define STATE_LATER_BYTES 16u
#define STATE_LATER_PAGES_MAX 32768u

/* The body of a piece of a disk: u32 controller, LUN; u64 where it begins; u32 bytes, 1 when they
 * are zeros, else 0; those that are not. */
#define STATE_BLOCKS_HEAD_BYTES 24u
#define STATE_BLOCKS_MAX (1u << 20) /* bytes of one */
#define STATE_BLOCKS_ZEROS 1u

/* ---- a field ---- */
/* u8 length of the name, the name, u8 type; the value, before which the types from RECORD_BYTES on
 * have its length in bytes as a u32 */
enum record_type {
	RECORD_U8 = 1,
	RECORD_U16 = 2,
	RECORD_U32 = 4,
	RECORD_U64 = 8,
	RECORD_BYTES = 16,
	RECORD_U32S = 20,
	RECORD_U64S = 24,
};

#endif
