/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fields by their names. Trust and spec: record.h. */
#include "base/record.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "abi/state.h"
#include "base/bytes.h"

struct record record_writer(uint16_t version, void *to, size_t room)
{
	return (struct record){.version = version, .to = to, .room = room};
}

struct record record_reader(uint16_t version, const void *from, size_t len)
{
	return (struct record){.reads = true, .version = version, .from = from, .left = len};
}

void record_refuse(struct record *r, const char *why, ...)
{
	va_list args;

	if (r->failed)
		return;
	r->failed = true;
	va_start(args, why);
	vsnprintf(r->wrong, sizeof(r->wrong), why, args);
	va_end(args);
}

/* ---- writing ---- */

static void put(struct record *r, const void *bytes, size_t len)
{
	if (r->to && len && r->used <= r->room && len <= r->room - r->used)
		memcpy(r->to + r->used, bytes, len);
	else if (r->to && len)
		record_refuse(r, "there is no room for the record");
	r->used += len;
}

static void put_field(struct record *r, const char *name, uint8_t type, const void *value,
		      size_t len)
{
	uint8_t name_len = (uint8_t)strnlen(name, RECORD_NAME_MAX), four[4];

	put(r, &name_len, 1);
	put(r, name, name_len);
	put(r, &type, 1);
	if (type >= RECORD_BYTES) {
		le32_store(four, (uint32_t)len);
		put(r, four, sizeof(four));
	}
	put(r, value, len);
}

/* ---- reading ---- */

static const uint8_t *take(struct record *r, size_t len)
{
	const uint8_t *at = r->from;

	if (r->failed)
		return NULL;
	if (len > r->left) {
		record_refuse(r, "it ends amid a field");
		return NULL;
	}
	r->from += len;
	r->left -= len;
	return at;
}

static bool plain_name(const char *name)
{
	for (; *name; name++) {
		if ((*name < 'a' || *name > 'z') && (*name < '0' || *name > '9') && *name != '_')
			return false;
	}
	return true;
}

static bool take_name(struct record *r, char name[RECORD_NAME_MAX + 1])
{
	const uint8_t *len = take(r, 1), *text;

	if (len && (!*len || *len > RECORD_NAME_MAX))
		record_refuse(r, "a field has a name of %u characters", *len);
	text = len ? take(r, *len) : NULL;
	if (!text)
		return false;
	memcpy(name, text, *len);
	name[*len] = '\0';
	if (strlen(name) != *len || !plain_name(name))
		record_refuse(r, "a field has a name that is none");
	return !r->failed;
}

/* Width of the type's value, or of one of its numbers; 0: there is no such type. */
static size_t width_of(uint8_t type)
{
	switch (type) {
	case RECORD_U8:
	case RECORD_U16:
	case RECORD_U32:
	case RECORD_U64:
		return type;
	case RECORD_BYTES:
		return 1;
	case RECORD_U32S:
		return 4;
	case RECORD_U64S:
		return 8;
	default:
		return 0;
	}
}

int record_next(struct record *r, struct record_field *ret_field)
{
	struct record_field f = {0};
	const uint8_t *p;
	size_t width;

	if (!r->failed && !r->left)
		return -ENODATA;
	if (!take_name(r, f.name) || !(p = take(r, 1)))
		return -EBADMSG;
	f.type = *p;
	width = width_of(f.type);
	f.len = width;
	if (f.type >= RECORD_BYTES && (p = take(r, 4)))
		f.len = le32_load(p);
	if (!width || f.len % width)
		record_refuse(r, "the field '%s' has no known type", f.name);
	f.value = take(r, f.len);
	if (!f.value)
		return -EBADMSG;
	*ret_field = f;
	return 0;
}

/* The next field, which must be this one; NULL when it is not. */
static const uint8_t *get_field(struct record *r, const char *name, uint8_t type, size_t *ret_len)
{
	struct record_field f;
	int e = record_next(r, &f);

	if (e == -ENODATA)
		record_refuse(r, "the field '%s' is missing", name);
	if (e < 0)
		return NULL;
	if (strcmp(f.name, name) != 0 || f.type != type) {
		record_refuse(r, "there is a field '%s' where '%s' is expected", f.name, name);
		return NULL;
	}
	*ret_len = f.len;
	return f.value;
}

/* ---- fields ---- */

static void exact(struct record *r, const char *name, uint8_t type, void *value, size_t len)
{
	const uint8_t *from;
	size_t found;

	if (!r->reads) {
		put_field(r, name, type, value, len);
		return;
	}
	from = get_field(r, name, type, &found);
	if (from && found != len)
		record_refuse(r, "the field '%s' has %zu bytes where %zu are expected", name, found,
			      len);
	else if (from && len)
		memcpy(value, from, len);
}

void record_u8(struct record *r, const char *name, uint8_t *value)
{
	exact(r, name, RECORD_U8, value, sizeof(*value));
}

void record_u16(struct record *r, const char *name, uint16_t *value)
{
	exact(r, name, RECORD_U16, value, sizeof(*value));
}

void record_u32(struct record *r, const char *name, uint32_t *value)
{
	exact(r, name, RECORD_U32, value, sizeof(*value));
}

void record_u64(struct record *r, const char *name, uint64_t *value)
{
	exact(r, name, RECORD_U64, value, sizeof(*value));
}

void record_bool(struct record *r, const char *name, bool *value)
{
	uint8_t byte = *value;

	record_u8(r, name, &byte);
	if (byte > 1)
		record_refuse(r, "the field '%s' is neither true nor false", name);
	else
		*value = byte;
}

void record_limited(struct record *r, const char *name, unsigned *value, unsigned max)
{
	uint32_t number = *value;

	record_u32(r, name, &number);
	if (number > max)
		record_refuse(r, "the field '%s' is %u, more than %u", name, number, max);
	else
		*value = number;
}

void record_bytes(struct record *r, const char *name, void *bytes, size_t len)
{
	exact(r, name, RECORD_BYTES, bytes, len);
}

void record_some_bytes(struct record *r, const char *name, void *bytes, size_t *len, size_t room)
{
	const uint8_t *from;
	size_t found;

	if (!r->reads) {
		put_field(r, name, RECORD_BYTES, bytes, *len);
		return;
	}
	from = get_field(r, name, RECORD_BYTES, &found);
	if (from && found > room) {
		record_refuse(r, "the field '%s' has %zu bytes, more than %zu", name, found, room);
	} else if (from) {
		memcpy(bytes, from, found);
		*len = found;
	}
}

/* Little endian is the machine's own order (bytes.h). */
void record_u32s(struct record *r, const char *name, uint32_t *values, size_t count)
{
	exact(r, name, RECORD_U32S, values, count * sizeof(*values));
}

void record_u64s(struct record *r, const char *name, uint64_t *values, size_t count)
{
	exact(r, name, RECORD_U64S, values, count * sizeof(*values));
}

struct record_name record_name_of(const char *part, unsigned number, const char *field)
{
	struct record_name name;

	snprintf(name.text, sizeof(name.text), "%s%u_%s", part, number, field);
	return name;
}

int record_end(struct record *r)
{
	if (r->reads && !r->failed && r->left)
		record_refuse(r, "%zu bytes follow its last field", r->left);
	if (!r->failed)
		return 0;
	return r->reads ? -EBADMSG : -ENOSPC;
}
