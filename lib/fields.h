/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Members of JSON objects that say what a VM is to be, as files and requests bring them: known
 * ones only, of the right type, within their limits.
 */
#ifndef OYA_LIB_FIELDS_H
#define OYA_LIB_FIELDS_H

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/fail.h"

#define OR_INVALID(f, ...) fail(f, -EINVAL, "cannot use the VM's configuration: " __VA_ARGS__)

struct field {
	const char *name;
	json_type type; /* JSON_TRUE: either boolean; JSON_NULL: its own decoder knows */
};

/* Every member of obj is one of the fields, with its type; unknown ones are refused, so that a
 * misspelt setting is not silently lost. `where` is for the sentence. 0, or -EINVAL and it. */
int fields_check(json_t *obj, const char *where, const struct field *fields, size_t count,
		 struct failure *f);
/* The same of what is no VM's configuration: `what` takes the place of these words. */
int fields_check_of(const char *what, json_t *obj, const char *where, const struct field *fields,
		    size_t count, struct failure *f);

/* Of these an absent member leaves *ret as it is. */
int field_number(json_t *obj, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
		 struct failure *f);
void field_bool(json_t *obj, const char *name, bool *ret);

/* A copy, in place of what *ret was, which is freed. 0 or -ENOMEM. */
int field_string(json_t *obj, const char *name, char **ret);

/* One of `count` words; *ret is its place. `where` is for the sentence. */
int field_word(json_t *obj, const char *name, const char *where, const char *const *words,
	       unsigned count, unsigned *ret, struct failure *f);

#endif
