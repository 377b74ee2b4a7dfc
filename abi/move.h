/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages that go beside the stream of a VM that moves to another host: numbers that both ends
 * agree on. Everything is little endian and encoded field by field.
 * Spec: docs/format/state.md.
 */
#ifndef OYA_ABI_MOVE_H
#define OYA_ABI_MOVE_H

/* magic; u32 kind; u64 value; u32 bytes of text; u32 CRC of what is before it; the text */
#define MOVE_MAGIC 0x564d594fu /* "OYMV" */
#define MOVE_HEAD_BYTES 24u
#define MOVE_TEXT_MAX 400u
/* 1: one connection, and all memory comes before the VM runs; 2: no disk comes along */
#define MOVE_VERSION 3u
#define MOVE_VERSION_DISKS 3u
#define MOVE_READY_LATE 1u       /* in READY's value: memory may come later */
#define MOVE_READY_COMPRESSED 2u /* the same: pages may come compressed */

enum move_kind {
	MOVE_HELLO = 1,   /* from the destination, first; value: MOVE_VERSION */
	MOVE_READY = 2,   /* the VM can be that of the record; value: MOVE_READY_ bits */
	MOVE_SEEN = 3,    /* value: of the mark, or of the rehearsal */
	MOVE_LOADED = 4,  /* all is there, nothing runs; value: ns that it took */
	MOVE_RUN = 5,     /* from the source; value: the lease's epoch, 0: there is none */
	MOVE_STAND = 6,   /* the same for a VM that is paused */
	MOVE_RUNNING = 7, /* the VM is the destination's */
	MOVE_REFUSED = 8, /* and it ends; text: why */
	/* On the last connection, of a VM whose memory comes later: */
	MOVE_WANT = 9,   /* from the destination; value: guest's address of a page */
	MOVE_WHOLE = 10, /* from the destination: it needs no more pages */
	MOVE_KINDS
};

#endif
