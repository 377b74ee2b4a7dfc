/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI persistent reservations: service actions, types and layouts of PERSISTENT RESERVE IN and
 * OUT. As with abi/scsi.h all is big endian and is read and written by offset.
 * Spec: T10 SPC-4, 6.15 (IN), 6.16 (OUT), 5.12 (the model).
 */
#ifndef OYA_ABI_RESERVATION_H
#define OYA_ABI_RESERVATION_H

#define PR_OPCODE_IN 0x5Eu
#define PR_OPCODE_OUT 0x5Fu
#define PR_CDB_BYTES 10u /* action: byte 1; of OUT scope and type: byte 2 */

enum pr_in_action {
	PR_READ_KEYS = 0,
	PR_READ_RESERVATION = 1,
};

enum pr_out_action {
	PR_REGISTER = 0,
	PR_RESERVE = 1,
	PR_CLEAR = 3,
	PR_PREEMPT = 4,
	PR_PREEMPT_AND_ABORT = 5,
	PR_REGISTER_AND_IGNORE = 6,
};

/* Of types, the one in use: who is registered may write, all may read. */
#define PR_WRITE_EXCLUSIVE_REGISTRANTS 5u

#define PR_CDB_IN_LENGTH 7u  /* u16: room for the reply */
#define PR_CDB_OUT_LENGTH 5u /* u32: of the parameters */

/* Replies: u32 generation, u32 length of what follows, then keys or one reservation. */
#define PR_REPLY_HEAD_BYTES 8u
#define PR_KEY_BYTES 8u
#define PR_RESERVATION_BYTES 16u /* u64 key; scope and type at the next offset */
#define PR_RESERVATION_SCOPE_TYPE 13u

/* Parameters of OUT: u64 key of who asks, u64 key of the action; flags. */
#define PR_OUT_BYTES 24u
#define PR_OUT_ACTION_KEY 8u
#define PR_OUT_FLAGS 20u
#define PR_OUT_APTPL 0x01u /* registrations and the reservation outlive a loss of power */

#define PR_STATUS_CONFLICT 0x18u /* SAM-5: RESERVATION CONFLICT */

#endif
