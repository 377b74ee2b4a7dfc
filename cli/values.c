/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/values.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define NO_MEMORY(f) fail(f, -ENOMEM, "out of memory")

bool value_next_part(char **rest, char **ret_name, char **ret_value)
{
	char *part = strsep(rest, ",");

	if (!part)
		return false;
	*ret_name = part;
	*ret_value = strchr(part, '=');
	if (*ret_value)
		*(*ret_value)++ = '\0';
	return true;
}

/* ---- sizes and numbers ---- */

/* A number of one of the units, which are each 1024 of the one before; the first is a MiB. */
static int size_of_units(const char *text, const char *units, json_int_t *ret_mib,
			 struct failure *f)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);
	const char *unit = *end ? strchr(units, *end) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units) : 0;

	if (end == text || *text < '0' || *text > '9')
		return fail(f, -EINVAL, "'%s' is no size, such as 512M or 4G", text);
	if (!unit || end[1])
		return fail(f, -EINVAL, "'%s' is no size: %s its units", text,
			    units[2] ? "M, G and T are" : "M and G are");
	if (n > (UINT32_MAX >> shift))
		return fail(f, -EINVAL, "'%s' is more than any VM can have", text);
	*ret_mib = (json_int_t)(n << shift);
	return 0;
}

int value_memory(const char *text, json_int_t *ret_mib, struct failure *f)
{
	return size_of_units(text, "MG", ret_mib, f);
}

bool value_is_size(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits && text[digits] && strchr("MGT", text[digits]) && !text[digits + 1];
}

int value_size(const char *text, json_int_t *ret_mib, struct failure *f)
{
	return size_of_units(text, "MGT", ret_mib, f);
}

int value_set_text(json_t *obj, const char *key, const char *text, struct failure *f)
{
	if (json_object_set_new(obj, key, json_string(text)) < 0)
		return fail(f, -EINVAL, "the %s is not UTF-8 text", key);
	return 0;
}

int value_set_number(json_t *obj, const char *key, const char *text, struct failure *f)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end || n < 0)
		return fail(f, -EINVAL, "'%s' is no number, as %s needs it", text, key);
	return json_object_set_new(obj, key, json_integer(n)) < 0 ? NO_MEMORY(f) : 0;
}

/* ---- disks ---- */

/* A part of a disk that has a value: its name here and in the settings. */
static int set_unit_part(json_t *unit, const char *name, const char *value, struct failure *f)
{
	static const struct {
		const char *name, *key;
		bool number;
	} parts[] = {
		{"cache", "cache", false},
		{"serial", "serial", false},
		{"on-error", "on_error", false},
		{"controller", "controller", true},
		{"lun", "lun", true},
		{"sector-size", "sector_size", true},
	};

	for (size_t i = 0; value && i < ARRAY_LEN(parts); i++) {
		if (strcmp(parts[i].name, name) != 0)
			continue;
		return parts[i].number ? value_set_number(unit, parts[i].key, value, f)
				       : value_set_text(unit, parts[i].key, value, f);
	}
	return fail(f, -EINVAL, "a disk has no option '%s'", name);
}

static int fill_unit(json_t *unit, char *rest, bool dvd, const char *file, struct failure *f)
{
	char *path = strsep(&rest, ","), *name, *value;
	int r = 0;

	if (dvd)
		r = value_set_text(unit, "type", "dvd", f);
	if (r == 0 && (!dvd || strcmp(path, "empty") != 0))
		r = value_set_text(unit, file, path, f);
	while (r == 0 && value_next_part(&rest, &name, &value)) {
		if (strcmp(name, "ro") == 0 && !value)
			r = json_object_set_new(unit, "read_only", json_true());
		else
			r = set_unit_part(unit, name, value, f);
	}
	return r;
}

int value_unit(const char *text, bool dvd, const char *file, json_t **ret_unit, struct failure *f)
{
	char *copy = strdup(text);
	json_t *unit = json_object();
	int r = copy && unit ? fill_unit(unit, copy, dvd, file, f) : NO_MEMORY(f);

	free(copy);
	if (r == 0)
		*ret_unit = unit;
	else
		json_decref(unit);
	return r;
}

/* ---- NICs ---- */

/* What every NIC has. */
static int set_nic_part(json_t *nic, const char *name, const char *value, struct failure *f)
{
	if (strcmp(name, "mac") == 0 && value)
		return value_set_text(nic, "mac", value, f);
	if ((strcmp(name, "mtu") == 0 || strcmp(name, "queues") == 0) && value)
		return value_set_number(nic, name, value, f);
	if (strcmp(name, "spoof-guard") == 0 && !value)
		return json_object_set_new(nic, "spoof_guard", json_true());
	return fail(f, -EINVAL, "a NIC has no option '%s'", name);
}

static int fill_nic(json_t *nic, json_t *forwards, char *rest, struct failure *f)
{
	char *name, *value;
	int r = 0;

	while (r == 0 && value_next_part(&rest, &name, &value)) {
		if (strcmp(name, "user") == 0 && !value) {
			r = value_set_text(nic, "type", "user", f);
		} else if (strcmp(name, "tap") == 0 && value) {
			r = value_set_text(nic, "type", "tap", f);
			if (r == 0)
				r = value_set_text(nic, "ifname", value, f);
		} else if (strcmp(name, "switch") == 0 && value) {
			r = value_set_text(nic, "type", "switch", f);
			if (r == 0)
				r = value_set_text(nic, "switch", value, f);
		} else if (strcmp(name, "vlan") == 0 && value) {
			r = value_set_number(nic, "vlan", value, f);
		} else if (strcmp(name, "forward") == 0 && value) {
			if (json_array_append_new(forwards, json_string(value)) < 0)
				r = fail(f, -EINVAL, "the forward is not UTF-8 text");
		} else {
			r = set_nic_part(nic, name, value, f);
		}
	}
	return r;
}

int value_nic(const char *text, json_t **ret_nic, struct failure *f)
{
	char *copy = strdup(text);
	json_t *nic = json_object(), *forwards = json_array();
	int r = copy && nic && forwards ? fill_nic(nic, forwards, copy, f) : NO_MEMORY(f);

	free(copy);
	if (r == 0 && json_array_size(forwards) && json_object_set(nic, "forward", forwards) < 0)
		r = NO_MEMORY(f);
	json_decref(forwards);
	if (r == 0)
		*ret_nic = nic;
	else
		json_decref(nic);
	return r;
}
