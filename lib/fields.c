/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/fields.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fields_check_of(const char *what, json_t *obj, const char *where, const struct field *fields,
		    size_t count, struct failure *f)
{
	const char *name;
	json_t *value;

	if (!json_is_object(obj))
		return fail(f, -EINVAL, "cannot use %s: %s is not an object", what, where);
	json_object_foreach(obj, name, value)
	{
		size_t i = 0;

		while (i < count && strcmp(fields[i].name, name) != 0)
			i++;
		if (i == count)
			return fail(f, -EINVAL, "cannot use %s: %s has no setting '%.64s'", what,
				    where, name);
		if (fields[i].type != JSON_NULL && json_typeof(value) != fields[i].type &&
		    !(json_is_boolean(value) && fields[i].type == JSON_TRUE))
			return fail(f, -EINVAL, "cannot use %s: '%s' of %s has the wrong type",
				    what, name, where);
	}
	return 0;
}

int fields_check(json_t *obj, const char *where, const struct field *fields, size_t count,
		 struct failure *f)
{
	return fields_check_of("the VM's configuration", obj, where, fields, count, f);
}

int field_string(json_t *obj, const char *name, char **ret)
{
	const char *text = json_string_value(json_object_get(obj, name));
	char *copy;

	if (!text)
		return 0;
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	free(*ret);
	*ret = copy;
	return 0;
}

int field_number(json_t *obj, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
		 struct failure *f)
{
	json_t *value = json_object_get(obj, name);
	json_int_t n = json_integer_value(value);

	if (!value)
		return 0;
	if (n < 0 || (uint64_t)n < min || (uint64_t)n > max)
		return OR_INVALID(f, "'%s' is %lld, allowed are %llu to %llu", name, (long long)n,
				  (unsigned long long)min, (unsigned long long)max);
	*ret = (uint64_t)n;
	return 0;
}

void field_bool(json_t *obj, const char *name, bool *ret)
{
	json_t *value = json_object_get(obj, name);

	if (value)
		*ret = json_is_true(value);
}

int field_word(json_t *obj, const char *name, const char *where, const char *const *words,
	       unsigned count, unsigned *ret, struct failure *f)
{
	const char *text = json_string_value(json_object_get(obj, name));
	char allowed[256] = "";

	if (!text)
		return 0;
	for (unsigned i = 0; i < count; i++) {
		size_t len = strlen(allowed);

		if (strcmp(text, words[i]) == 0) {
			*ret = i;
			return 0;
		}
		snprintf(allowed + len, sizeof(allowed) - len, "%s%s",
			 i == 0           ? ""
			 : i + 1 == count ? " and "
					  : ", ",
			 words[i]);
	}
	return OR_INVALID(f, "'%s' of %s is '%.32s', allowed are %s", name, where, text, allowed);
}
