/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Key-value pairs: reads what the guest tells of itself (name, system, addresses), by walks
 * through its pool of automatic keys, every 30 seconds.
 *
 * Role: owned by the worker, which shows the pairs.
 *
 * Trust, threads: see ic.h. Keys and values are the guest's words: UTF-8 without NUL, else
 * anything, so who shows them escapes them. Memory is bounded: KVP_ENTRIES_MAX pairs in
 * KVP_TEXT_BYTES of text; what is more is left out.
 *
 * In the guest a daemon answers. While there is none, the guest leaves the request in the ring: one
 * request waits, however long, and the walk goes on when the daemon comes.
 *
 * Invariant: readers see whole walks only; a walk that fails leaves the pairs of the last one.
 */
#ifndef OYA_DEVICES_IC_KVP_H
#define OYA_DEVICES_IC_KVP_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/ic/ic.h"
#include "devices/ic/utf16.h"

#define KVP_ENTRIES_MAX 64u
#define KVP_TEXT_BYTES 16384u
#define KVP_FIRST_NS (2 * IC_NS_PER_S)
#define KVP_PERIOD_NS (30 * IC_NS_PER_S)

struct kvp;

struct kvp_state {
	const char *label;   /* of the walk: "resting" or "walking" */
	const char *channel; /* of the channel's state */
	uint32_t version;    /* IC_VERSION; 0 before it is agreed on */
	unsigned entries;
	bool truncated;        /* the guest had more than we keep */
	uint64_t walks;        /* complete ones since the channel was opened */
	uint64_t refreshed_ns; /* monotonic time of the last complete one */
};

/* 0, -ENOMEM or -ENOSPC. */
int kvp_new(const struct ic_env *env, struct kvp **ret_kvp);
void kvp_free(struct kvp *kvp);

/* The value of a key, or NULL. Texts are valid until the next call into any device. */
const char *kvp_get(const struct kvp *kvp, const char *key);

/* The nth pair; -ENOENT past the last one. */
int kvp_entry(const struct kvp *kvp, unsigned nth, const char **ret_key, const char **ret_value);

void kvp_state(const struct kvp *kvp, struct kvp_state *ret_state);

/* One pair as a guest sends it, in our text. key and value: the sizes that the macro names.
 * 0; -EPROTO when lengths do not fit; -ENOTSUP for a type of value that we do not know. Pure. */
#define KVP_KEY_TEXT_MAX UTF8_BYTES_OF_UTF16(IC_KVP_KEY_BYTES)
#define KVP_VALUE_TEXT_MAX UTF8_BYTES_OF_UTF16(IC_KVP_VALUE_BYTES)
int kvp_decode(const uint8_t *body, size_t len, char *ret_key, char *ret_value);

#endif
