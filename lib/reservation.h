/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI-3 persistent reservations of a logical unit: who is registered, who holds it, and how a host
 * is cut off. Commands and replies are made and read here; a unit carries them (SG_IO, iSCSI, or a
 * test).
 *
 * Keys are made of the cluster's UUID and the node's number, so that a key of another cluster, or
 * of other software, is known as such.
 *
 * Trust: replies are the target's and hostile; they are decoded with limits. A list of keys that
 * did not arrive whole is an error: what is missing from it proves nothing.
 * Threads: one at a time for a unit. Specification: abi/reservation.h.
 */
#ifndef OYA_LIB_RESERVATION_H
#define OYA_LIB_RESERVATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/reservation.h"
#include "base/guid.h"
#include "lib/fail.h"

#define RESERVATION_KEYS_MAX 256u
#define RESERVATION_REPLY_MAX (PR_REPLY_HEAD_BYTES + RESERVATION_KEYS_MAX * PR_KEY_BYTES)
#define RESERVATION_NODE_MAX 0xffffu

struct reservation_keys {
	uint32_t generation; /* one more with each change */
	unsigned count;
	uint64_t key[RESERVATION_KEYS_MAX];
};

struct reservation_held {
	bool held;
	uint8_t type;
	uint64_t key; /* of the holder */
};

struct reservation_command {
	uint8_t cdb[PR_CDB_BYTES];
	uint8_t out[PR_OUT_BYTES];
	size_t out_len; /* 0: bytes come in */
	bool empty;     /* no bytes go either way */
	uint8_t in[RESERVATION_REPLY_MAX];
	/* The answer. */
	size_t in_len;
	uint8_t status, sense_key;
};

struct reservation_unit {
	const char *name; /* for sentences */
	/* 0 with the answer, whatever its status; or -errno and a sentence when none came. */
	int (*carry)(struct reservation_unit *unit, struct reservation_command *c,
		     struct failure *f);
};

/* The key of a node, 1 to RESERVATION_NODE_MAX. */
uint64_t reservation_key(const struct guid *cluster, unsigned node);
/* Whether both are keys of one cluster. */
bool reservation_same_cluster(uint64_t a, uint64_t b);
bool reservation_has(const struct reservation_keys *keys, uint64_t key);

/* 0, -EBADMSG, or -E2BIG: there are more keys than RESERVATION_KEYS_MAX. */
int reservation_decode_keys(const uint8_t *bytes, size_t len, struct reservation_keys *ret);
int reservation_decode_held(const uint8_t *bytes, size_t len, struct reservation_held *ret);

/* Both at once. 0, or -errno and a sentence. */
int reservation_look(struct reservation_unit *unit, struct reservation_keys *ret_keys,
		     struct reservation_held *ret_held, struct failure *f);

/* Lets this host, whose key is `own`, in: it is registered, and the unit is reserved for who is.
 * Only for who knows that a cluster with quorum has taken this host in: a host that was cut off
 * comes back by this. -EEXIST: others have reserved it. */
int reservation_enter(struct reservation_unit *unit, uint64_t own, struct failure *f);

/* The same without the reservation: for a unit that hosts write to while they are let in. */
int reservation_join(struct reservation_unit *unit, uint64_t own, struct failure *f);

/* Removes all keys and the reservation: whoever sees the unit may write then. */
int reservation_clear(struct reservation_unit *unit, uint64_t own, struct failure *f);

/* Writes nothing, zero blocks of it: 0: the unit takes writes of this path; -EBADE: it refuses
 * them, by its reservation; else -errno and a sentence. */
int reservation_try_write(struct reservation_unit *unit, struct failure *f);

/* For a session that lives as long as this process and is none of the host's own: lends it the
 * host's key, which must be there, and takes it back when another has changed anything meanwhile.
 */
int reservation_lend(struct reservation_unit *unit, uint64_t own, struct failure *f);

/* 0 when this host is registered and the unit is reserved for who is; else -errno and why. */
int reservation_check(struct reservation_unit *unit, uint64_t own, struct failure *f);

/* Cuts `victim` off: 0 when the unit says that its key is gone, ours is there, and it is reserved
 * for who is registered. Else -errno and why; then nothing is known of what the victim can do.
 * -EBADE: this host itself has been cut off. */
int reservation_evict(struct reservation_unit *unit, uint64_t own, uint64_t victim,
		      struct failure *f);

#endif
