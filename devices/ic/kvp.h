/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Key-value pairs: reads what the guest tells of itself (name, system, addresses) and the other
 * pools of its pairs, by walks every 30 seconds, and sets and deletes pairs there.
 *
 * Role: owned by the worker, which shows the pairs.
 *
 * Trust, threads: see ic.h. Keys and values are the guest's words: UTF-8 without NUL, else
 * anything, so who shows them escapes them. Memory is bounded: KVP_ENTRIES_MAX pairs in
 * KVP_TEXT_BYTES of text for each pool; what is more is left out.
 *
 * In the guest a daemon answers. While there is none, the guest leaves the request in the ring: one
 * request waits, however long, and the walk goes on when the daemon comes; changes wait as well,
 * KVP_CHANGES_MAX at most.
 *
 * Invariants:
 *  1. readers see whole walks of a pool only; one that fails leaves the pairs of the last one;
 *  2. changes are made in the order in which they were asked for, before the next walk, which
 *     follows at once; a channel that closes drops those that wait.
 */
#ifndef OYA_DEVICES_IC_KVP_H
#define OYA_DEVICES_IC_KVP_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/ic/ic.h"
#include "devices/ic/utf16.h"

#define KVP_ENTRIES_MAX 64u
#define KVP_TEXT_BYTES 16384u
#define KVP_CHANGES_MAX 16u
#define KVP_FIRST_NS (2 * IC_NS_PER_S)
#define KVP_PERIOD_NS (30 * IC_NS_PER_S)

struct kvp;

struct kvp_state {
	const char *label;     /* "off", "resting", "walking" or "changing" */
	const char *channel;   /* of the channel's state */
	uint32_t version;      /* IC_VERSION; 0 before it is agreed on */
	unsigned entries;      /* of the automatic pool */
	bool truncated;        /* it has more than we keep */
	uint64_t walks;        /* complete ones since the channel was opened */
	uint64_t refreshed_ns; /* monotonic time of the last complete one */
	unsigned changes_waiting;
	uint64_t changes_made, changes_failed; /* since the service was made */
};

/* 0, -ENOMEM or -ENOSPC. */
int kvp_new(const struct ic_env *env, struct kvp **ret_kvp);
void kvp_free(struct kvp *kvp);

/* The value of a key of a pool, or NULL. Texts are valid until the next call into any device. */
const char *kvp_get(const struct kvp *kvp, enum ic_kvp_pool pool, const char *key);

/* The nth pair of a pool; -ENOENT past the last one. */
int kvp_entry(const struct kvp *kvp, enum ic_kvp_pool pool, unsigned nth, const char **ret_key,
	      const char **ret_value);

/* Asks the guest to set a pair, or to delete it where value is NULL. Any pool but the automatic
 * one, which is the guest's own. 0: the request waits or is under way, its end shows in the counts
 * of kvp_state() and in the pairs; -EPERM for the automatic pool; -ENOTCONN without a guest that
 * has the service; -EMSGSIZE for a key that is empty or either text too long: 255 and 1023
 * UTF-16 units, 511 and 2047 bytes; -ENOSPC when too many wait; -ENOMEM. */
int kvp_change(struct kvp *kvp, enum ic_kvp_pool pool, const char *key, const char *value);

void kvp_state(const struct kvp *kvp, struct kvp_state *ret_state);

/* One pair as a guest sends it, in our text. key and value: the sizes that the macro names.
 * 0; -EPROTO when lengths do not fit; -ENOTSUP for a type of value that we do not know. Pure. */
#define KVP_KEY_TEXT_MAX UTF8_BYTES_OF_UTF16(IC_KVP_KEY_BYTES)
#define KVP_VALUE_TEXT_MAX UTF8_BYTES_OF_UTF16(IC_KVP_VALUE_BYTES)
int kvp_decode(const uint8_t *body, size_t len, char *ret_key, char *ret_value);

/* In a saved state; read into one whose channel no guest has opened. Changes that wait are part of
 * it, the pairs are not: a walk begins as soon as nothing else is under way. */
void kvp_record(struct kvp *kvp, struct record *r);

#endif
