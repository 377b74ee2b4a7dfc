/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/control_guest.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "devices/input/keys.h"

/* ---- keyboard ---- */

static int press(struct vm *vm, const struct keystroke *strokes, unsigned count, struct failure *f)
{
	int r = keyboard_press(vm->integration.keyboard, strokes, count);

	if (r == -ENOTCONN)
		return fail(f, r,
			    "cannot press keys of the VM '%s': its guest drives no keyboard (yet)",
			    vm->config->name);
	if (r < 0)
		return fail(f, r,
			    "cannot press keys of the VM '%s': its guest does not take those that "
			    "wait already",
			    vm->config->name);
	return 0;
}

int control_key(struct vm *vm, const json_t *arguments, struct failure *f)
{
	const char *keys = json_string_value(json_object_get(arguments, "keys"));
	struct keystroke strokes[2 * KEYS_CHORD_MAX];
	unsigned count;
	int r = keys ? keys_from_chord(keys, strokes, &count) : -EINVAL;

	if (r == -EINVAL)
		return fail(f, r, "'key' takes the string 'keys', such as ctrl-alt-del");
	if (r == -E2BIG)
		return fail(f, r, "'%.32s' are more than %u keys", keys, KEYS_CHORD_MAX);
	if (r < 0)
		return fail(f, r, "'%.32s' holds a key that does not exist", keys);
	return press(vm, strokes, count, f);
}

int control_type(struct vm *vm, const json_t *arguments, struct failure *f)
{
	const char *text = json_string_value(json_object_get(arguments, "text"));
	struct keystroke strokes[KEYS_STROKES_MAX];
	unsigned count, at = 0;
	int r = text ? keys_from_text(text, strokes, &count, &at) : -EINVAL;

	if (r == -EINVAL)
		return fail(f, r, "'type' takes the string 'text', which is not empty");
	if (r == -E2BIG)
		return fail(f, r, "a text to type has at most %u characters", KEYS_TEXT_MAX);
	if (r < 0)
		return fail(f, r, "the text cannot be typed: a US keyboard has no key for byte %u",
			    at);
	return press(vm, strokes, count, f);
}

/* ---- key-value pairs ---- */

static const char *const pools[] = {
	[IC_KVP_POOL_EXTERNAL] = "external",
	[IC_KVP_POOL_GUEST] = "guest",
	[IC_KVP_POOL_AUTO] = "auto",
	[IC_KVP_POOL_PARAMETERS] = "parameters",
};

static int take_pool(const json_t *arguments, enum ic_kvp_pool *ret_pool, struct failure *f)
{
	const char *name = json_string_value(json_object_get(arguments, "pool"));

	for (unsigned i = 0; i < ARRAY_LEN(pools); i++) {
		if (!name || strcmp(pools[i], name) == 0) {
			*ret_pool = name ? (enum ic_kvp_pool)i : IC_KVP_POOL_EXTERNAL;
			return 0;
		}
	}
	return fail(f, -EINVAL, "there is no pool '%.32s': external, guest, auto and parameters",
		    name);
}

int control_kvp_get(struct vm *vm, const json_t *arguments, json_t **ret_result, struct failure *f)
{
	const char *wanted = json_string_value(json_object_get(arguments, "key"));
	const struct kvp *kvp = vm->integration.kvp;
	const char *key, *value;
	enum ic_kvp_pool pool = 0;
	json_t *pairs;
	int r = take_pool(arguments, &pool, f);

	if (r < 0)
		return r;
	if (wanted) {
		value = kvp_get(kvp, pool, wanted);
		if (!value)
			return fail(f, -ENOENT,
				    "the pool '%s' of the VM '%s' has no key '%.64s', as far as is "
				    "known",
				    pools[pool], vm->config->name, wanted);
		*ret_result = json_string(value);
		return *ret_result ? 0 : -ENOMEM;
	}
	pairs = json_object();
	for (unsigned n = 0; kvp_entry(kvp, pool, n, &key, &value) == 0; n++)
		json_object_set_new(pairs, key, json_string(value));
	*ret_result = pairs;
	return pairs ? 0 : -ENOMEM;
}

static int change(struct vm *vm, const json_t *arguments, const char *value, struct failure *f)
{
	const char *key = json_string_value(json_object_get(arguments, "key"));
	enum ic_kvp_pool pool = 0;
	int r = take_pool(arguments, &pool, f);

	if (r < 0)
		return r;
	if (!key)
		return fail(f, -EINVAL, "the string 'key' is missing");
	r = kvp_change(vm->integration.kvp, pool, key, value);
	switch (r) {
	case 0:
		return 0;
	case -EPERM:
		return fail(f, r, "the pool '%s' is the guest's own", pools[pool]);
	case -EMSGSIZE:
		return fail(f, r,
			    "the key or the value is too long or empty: 255 and 1023 characters "
			    "are possible");
	case -ENOTCONN:
		return fail(f, r,
			    "cannot change the pairs of the VM '%s': its guest has no service for "
			    "them (yet)",
			    vm->config->name);
	default:
		return fail(f, r,
			    "cannot change the pairs of the VM '%s': %u changes wait for its guest "
			    "already (%s)",
			    vm->config->name, KVP_CHANGES_MAX, strerror(-r));
	}
}

int control_kvp_set(struct vm *vm, const json_t *arguments, struct failure *f)
{
	const char *value = json_string_value(json_object_get(arguments, "value"));

	return value ? change(vm, arguments, value, f)
		     : fail(f, -EINVAL, "the string 'value' is missing");
}

int control_kvp_delete(struct vm *vm, const json_t *arguments, struct failure *f)
{
	return change(vm, arguments, NULL, f);
}
