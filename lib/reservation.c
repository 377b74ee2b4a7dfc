/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/reservation.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "abi/scsi.h"
#include "base/bytes.h"
#include "base/crc32c.h"

#define KEY_MARK ((uint64_t)0x6F79 << 48) /* "oy" */
#define KEY_CLUSTER_BITS 16u              /* the node below, the cluster above */
#define LENDS_MAX 4u
#define ATTENTIONS_MAX 8u /* that a unit has for us before it does what it is told */

/* ---- keys ---- */

uint64_t reservation_key(const struct guid *cluster, unsigned node)
{
	uint64_t number = crc32c(0, cluster, sizeof(*cluster));

	return KEY_MARK | number << KEY_CLUSTER_BITS | (node & RESERVATION_NODE_MAX);
}

bool reservation_same_cluster(uint64_t a, uint64_t b)
{
	return a >> KEY_CLUSTER_BITS == b >> KEY_CLUSTER_BITS;
}

bool reservation_has(const struct reservation_keys *keys, uint64_t key)
{
	for (unsigned i = 0; i < keys->count; i++)
		if (keys->key[i] == key)
			return true;
	return false;
}

/* ---- replies ---- */

/* Bytes behind the head, all of which have arrived and are a multiple of `each`. */
static int body_of(const uint8_t *bytes, size_t len, size_t each, size_t max, size_t *ret_len)
{
	size_t told;

	if (len < PR_REPLY_HEAD_BYTES)
		return -EBADMSG;
	told = be32_load(bytes + sizeof(uint32_t));
	if (told % each != 0)
		return -EBADMSG;
	if (told > max)
		return -E2BIG;
	if (told > len - PR_REPLY_HEAD_BYTES)
		return -EBADMSG;
	*ret_len = told;
	return 0;
}

int reservation_decode_keys(const uint8_t *bytes, size_t len, struct reservation_keys *ret)
{
	size_t body;
	int r = body_of(bytes, len, PR_KEY_BYTES, sizeof(ret->key), &body);

	if (r < 0)
		return r;
	ret->generation = be32_load(bytes);
	ret->count = (unsigned)(body / PR_KEY_BYTES);
	for (unsigned i = 0; i < ret->count; i++)
		ret->key[i] = be64_load(bytes + PR_REPLY_HEAD_BYTES + i * PR_KEY_BYTES);
	return 0;
}

int reservation_decode_held(const uint8_t *bytes, size_t len, struct reservation_held *ret)
{
	const uint8_t *at = bytes + PR_REPLY_HEAD_BYTES;
	size_t body;
	int r = body_of(bytes, len, PR_RESERVATION_BYTES, PR_RESERVATION_BYTES, &body);

	if (r < 0)
		return r;
	*ret = (struct reservation_held){.held = body > 0};
	if (ret->held) {
		if (at[PR_RESERVATION_SCOPE_TYPE] >> 4 != 0)
			return -EBADMSG; /* not of the whole unit */
		ret->type = at[PR_RESERVATION_SCOPE_TYPE] & 0xf;
		ret->key = be64_load(at);
	}
	return 0;
}

/* ---- commands ---- */

/* Sends it until the unit has told us all that happened to it. 0 with a good status; -EBADE:
 * reservation conflict; -EOPNOTSUPP: it does not know that. */
static int ask(struct reservation_unit *unit, struct reservation_command *c, const char *what,
	       struct failure *f)
{
	for (unsigned i = 0; i < ATTENTIONS_MAX; i++) {
		int r = unit->carry(unit, c, f);

		if (r < 0)
			return r;
		if (c->status == SCSI_STATUS_GOOD)
			return 0;
		if (c->status == PR_STATUS_CONFLICT)
			return fail(f, -EBADE,
				    "%s refuses to %s: this host is not registered there, since "
				    "another has cut it off or it has never been let in",
				    unit->name, what);
		if (c->status != SCSI_STATUS_CHECK_CONDITION)
			return fail(f, -EIO, "%s cannot %s: its status is 0x%02x", unit->name, what,
				    c->status);
		if (c->sense_key == SCSI_KEY_ILLEGAL_REQUEST)
			return fail(f, -EOPNOTSUPP,
				    "%s cannot %s: it has no such command; use a target with "
				    "SCSI-3 persistent reservations",
				    unit->name, what);
		if (c->sense_key != SCSI_KEY_UNIT_ATTENTION)
			return fail(f, -EIO, "%s cannot %s: its sense key is %u", unit->name, what,
				    c->sense_key);
	}
	return fail(f, -EIO, "%s cannot %s: it has nothing but unit attentions", unit->name, what);
}

static int ask_in(struct reservation_unit *unit, struct reservation_command *c,
		  enum pr_in_action action, struct failure *f)
{
	*c = (struct reservation_command){.cdb = {PR_OPCODE_IN, (uint8_t)action}};
	be16_store(c->cdb + PR_CDB_IN_LENGTH, sizeof(c->in));
	return ask(unit, c, "tell its reservations", f);
}

static int ask_out_flags(struct reservation_unit *unit, enum pr_out_action action, uint64_t own,
			 uint64_t key, uint8_t flags, struct failure *f)
{
	static const char *const what[] = {
		[PR_RESERVE] = "be reserved",
		[PR_CLEAR] = "be cleared of keys",
		[PR_PREEMPT] = "cut a host off",
		[PR_PREEMPT_AND_ABORT] = "cut a host off and abort what it asked",
		[PR_REGISTER_AND_IGNORE] = "register this host",
	};
	bool registers = action == PR_REGISTER_AND_IGNORE;
	struct reservation_command c = {
		.cdb = {PR_OPCODE_OUT, (uint8_t)action,
			registers ? 0 : PR_WRITE_EXCLUSIVE_REGISTRANTS},
		.out_len = PR_OUT_BYTES,
	};

	be32_store(c.cdb + PR_CDB_OUT_LENGTH, PR_OUT_BYTES);
	be64_store(c.out, registers ? 0 : own);
	be64_store(c.out + PR_OUT_ACTION_KEY, key);
	c.out[PR_OUT_FLAGS] = flags;
	return ask(unit, &c, what[action], f);
}

static int ask_out(struct reservation_unit *unit, enum pr_out_action action, uint64_t own,
		   uint64_t key, struct failure *f)
{
	return ask_out_flags(unit, action, own, key, 0, f);
}

/* Kept over a loss of the unit's power, where it can. */
static int register_key(struct reservation_unit *unit, uint64_t own, struct failure *f)
{
	int r = ask_out_flags(unit, PR_REGISTER_AND_IGNORE, own, own, PR_OUT_APTPL, f);

	return r == -EOPNOTSUPP ? ask_out(unit, PR_REGISTER_AND_IGNORE, own, own, f) : r;
}

static int told_wrong(const struct reservation_unit *unit, int r, struct failure *f)
{
	if (r == -E2BIG)
		return fail(f, r, "%s has more than %u keys: not all of them can be known",
			    unit->name, RESERVATION_KEYS_MAX);
	return fail(f, r, "%s tells its reservations in bytes that make no sense", unit->name);
}

int reservation_look(struct reservation_unit *unit, struct reservation_keys *ret_keys,
		     struct reservation_held *ret_held, struct failure *f)
{
	struct reservation_command c;
	int r = ask_in(unit, &c, PR_READ_KEYS, f);

	if (r < 0)
		return r;
	r = reservation_decode_keys(c.in, c.in_len, ret_keys);
	if (r < 0)
		return told_wrong(unit, r, f);
	r = ask_in(unit, &c, PR_READ_RESERVATION, f);
	if (r < 0)
		return r;
	r = reservation_decode_held(c.in, c.in_len, ret_held);
	return r < 0 ? told_wrong(unit, r, f) : 0;
}

/* ---- what is done with them ---- */

/* What is there is ours alone: a reservation of another kind lets hosts write that we do not see,
 * and keys of others would be cut off, or cut us off, by rules that we do not know. */
static int refuse_others(const struct reservation_unit *unit, uint64_t own,
			 const struct reservation_keys *keys, const struct reservation_held *held,
			 struct failure *f)
{
	for (unsigned i = 0; i < keys->count; i++)
		if (!reservation_same_cluster(keys->key[i], own))
			return fail(f, -EEXIST,
				    "%s has the key 0x%016" PRIx64
				    " of something that is not this cluster; see that nobody "
				    "else uses it, and clear its keys",
				    unit->name, keys->key[i]);
	if (held->held && held->type != PR_WRITE_EXCLUSIVE_REGISTRANTS)
		return fail(f, -EEXIST,
			    "%s is reserved by 0x%016" PRIx64
			    " in another way (type %u); see that nobody else uses it, and clear it",
			    unit->name, held->key, held->type);
	return 0;
}

static int join(struct reservation_unit *unit, uint64_t own, struct reservation_held *held,
		struct failure *f)
{
	struct reservation_keys keys;
	int r = reservation_look(unit, &keys, held, f);

	if (r == 0)
		r = refuse_others(unit, own, &keys, held, f);
	return r < 0 ? r : register_key(unit, own, f);
}

int reservation_join(struct reservation_unit *unit, uint64_t own, struct failure *f)
{
	struct reservation_held held;

	return join(unit, own, &held, f);
}

static int reserve(struct reservation_unit *unit, uint64_t own, struct failure *f)
{
	int r = ask_out(unit, PR_RESERVE, own, 0, f);

	/* Another host of ours may have been faster: the check tells. */
	return r < 0 && r != -EBADE ? r : reservation_check(unit, own, f);
}

int reservation_enter(struct reservation_unit *unit, uint64_t own, struct failure *f)
{
	struct reservation_held held;
	int r = join(unit, own, &held, f);

	if (r < 0)
		return r;
	return held.held ? reservation_check(unit, own, f) : reserve(unit, own, f);
}

int reservation_try_write(struct reservation_unit *unit, struct failure *f)
{
	struct reservation_command c = {.cdb = {SCSI_WRITE_10}, .empty = true};

	return ask(unit, &c, "take writes", f);
}

static int check(const struct reservation_unit *unit, uint64_t own,
		 const struct reservation_keys *keys, const struct reservation_held *held,
		 struct failure *f)
{
	int r = refuse_others(unit, own, keys, held, f);

	if (r < 0)
		return r;
	if (!reservation_has(keys, own))
		return fail(f, -EBADE,
			    "%s does not have this host's key: another has cut it off or it has "
			    "never been let in; let it join the cluster anew",
			    unit->name);
	if (!held->held)
		return fail(f, -ENOLCK,
			    "%s is not reserved: whoever sees it may write; register this host "
			    "there once more",
			    unit->name);
	return 0;
}

int reservation_check(struct reservation_unit *unit, uint64_t own, struct failure *f)
{
	struct reservation_keys keys;
	struct reservation_held held;
	int r = reservation_look(unit, &keys, &held, f);

	return r < 0 ? r : check(unit, own, &keys, &held, f);
}

int reservation_clear(struct reservation_unit *unit, uint64_t own, struct failure *f)
{
	struct reservation_keys keys;
	struct reservation_held held;
	int r = reservation_look(unit, &keys, &held, f);

	if (r == 0)
		r = refuse_others(unit, own, &keys, &held, f);
	return r < 0 || !keys.count ? r : ask_out(unit, PR_CLEAR, own, 0, f);
}

/* Between the look and the registration this host may be cut off, and would be back: then the
 * generation tells. */
int reservation_lend(struct reservation_unit *unit, uint64_t own, struct failure *f)
{
	for (unsigned i = 0; i < LENDS_MAX; i++) {
		struct reservation_keys before = {0}, after = {0};
		struct reservation_held held;
		int r = reservation_look(unit, &before, &held, f);

		if (r == 0)
			r = check(unit, own, &before, &held, f);
		if (r == 0)
			r = register_key(unit, own, f);
		if (r == 0)
			r = reservation_look(unit, &after, &held, f);
		if (r < 0 || after.generation == before.generation + 1)
			return r;
		r = ask_out(unit, PR_REGISTER_AND_IGNORE, own, 0, f);
		if (r < 0)
			return r;
	}
	return fail(f, -EAGAIN, "the keys of %s change all the time; try again", unit->name);
}

int reservation_evict(struct reservation_unit *unit, uint64_t own, uint64_t victim,
		      struct failure *f)
{
	struct reservation_keys keys;
	struct reservation_held held;
	int r = reservation_look(unit, &keys, &held, f);

	if (r == 0)
		r = check(unit, own, &keys, &held, f);
	if (r < 0 || !reservation_has(&keys, victim))
		return r;
	r = ask_out(unit, PR_PREEMPT_AND_ABORT, own, victim, f);
	if (r == -EOPNOTSUPP)
		r = ask_out(unit, PR_PREEMPT, own, victim, f);
	if (r == 0)
		r = reservation_look(unit, &keys, &held, f);
	if (r == 0)
		r = check(unit, own, &keys, &held, f);
	if (r == 0 && reservation_has(&keys, victim))
		return fail(f, -EIO, "%s still has the key of the host that is to be cut off",
			    unit->name);
	return r;
}
