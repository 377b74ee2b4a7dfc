/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fields of one record of a saved state, by their names: one function of a device names its
 * fields once, and writes or reads them by the mode of the record.
 *
 *	static void fields(struct record *r, struct clock *c)
 *	{
 *		record_u32(r, "divider", &c->divider);
 *		if (record_since(r, 2))
 *			record_bool(r, "masked", &c->masked);
 *	}
 *
 * A device reads into a copy of itself, checks that, and only then becomes it: a record that is
 * refused changes nothing. Fields are read in the order in which they are written.
 *
 * Trust: what is read is hostile. A read beyond the end, of another name, type or length leaves
 * the value as it was and marks the record as failed, as a value beyond its limit does; the
 * caller asks once, at the end. Nothing is allocated.
 * Spec: docs/format/state.md.
 */
#ifndef OYA_BASE_RECORD_H
#define OYA_BASE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_NAME_MAX 31u
#define RECORD_WRONG_MAX 96u

struct record {
	bool reads;
	bool failed;
	uint16_t version; /* of the record's fields */
	uint8_t *to;      /* writes: NULL counts only */
	size_t room, used;
	const uint8_t *from; /* reads */
	size_t left;
	char wrong[RECORD_WRONG_MAX]; /* what failed first */
};

/* A record that is written to [to, to + room); when that does not suffice it fails, and `used`
 * tells how much would have. */
struct record record_writer(uint16_t version, void *to, size_t room);

/* A record that is read from [from, from + len). */
struct record record_reader(uint16_t version, const void *from, size_t len);

static inline bool record_ok(const struct record *r)
{
	return !r->failed;
}

static inline bool record_since(const struct record *r, uint16_t version)
{
	return r->version >= version;
}

/* Marks it as failed; the first reason is kept. */
__attribute__((format(printf, 2, 3))) void record_refuse(struct record *r, const char *why, ...);

/* Numbers of the width of their names, and booleans. */
void record_u8(struct record *r, const char *name, uint8_t *value);
void record_u16(struct record *r, const char *name, uint16_t *value);
void record_u32(struct record *r, const char *name, uint32_t *value);
void record_u64(struct record *r, const char *name, uint64_t *value);
void record_bool(struct record *r, const char *name, bool *value);

/* A number of at most `max`: a count, an index, a state. */
void record_limited(struct record *r, const char *name, unsigned *value, unsigned max);

/* Exactly `len` bytes. */
void record_bytes(struct record *r, const char *name, void *bytes, size_t len);

/* Up to `room` bytes, *len of them. */
void record_some_bytes(struct record *r, const char *name, void *bytes, size_t *len, size_t room);

/* Exactly `count` numbers. */
void record_u32s(struct record *r, const char *name, uint32_t *values, size_t count);
void record_u64s(struct record *r, const char *name, uint64_t *values, size_t count);

/* The name of a field of a part that there are several of: "pit0_load". */
struct record_name {
	char text[RECORD_NAME_MAX + 1];
};
struct record_name record_name_of(const char *part, unsigned number, const char *field);

/* Reads: there is no field left. 0, or -EBADMSG and `wrong`. Writes: 0, or -ENOSPC. */
int record_end(struct record *r);

/* One field as it stands, for who shows a record without knowing it. */
struct record_field {
	char name[RECORD_NAME_MAX + 1];
	uint8_t type; /* enum record_type of abi/state.h */
	const uint8_t *value;
	size_t len; /* bytes */
};

/* The next field of a record that is read. 0; -ENODATA behind the last; -EBADMSG. */
int record_next(struct record *r, struct record_field *ret_field);

#endif
