/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/access.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/settings.h"
#include "lib/fields.h"

#define WHAT "the access configuration"
#define REFUSE(f, ...) fail(f, -EINVAL, "cannot use " WHAT ": " __VA_ARGS__)
#define TIME_MAX (INT64_C(1) << 53)
#define DAY_S 86400

static const char *const roles[] = {
	[HTTP_JOINER] = "joiner",
	[HTTP_READER] = "reader",
	[HTTP_OPERATOR] = "operator",
	[HTTP_ADMINISTRATOR] = "administrator",
};

static const char *const kinds[] = {
	[ACCESS_USER] = "user",
	[ACCESS_GROUP] = "group",
	[ACCESS_CERTIFICATE] = "certificate",
};

const char *access_role_name(enum http_role role)
{
	return roles[role];
}

/* ---- hashes ---- */

static void hash_text(const char *text, size_t len, uint8_t ret_hash[ACCESS_HASH_BYTES])
{
	memset(ret_hash, 0, ACCESS_HASH_BYTES);
	(void)gnutls_hash_fast(GNUTLS_DIG_SHA256, text, len, ret_hash);
}

/* The part of a hash that names who it is. */
static uint64_t who_of(const uint8_t hash[ACCESS_HASH_BYTES])
{
	uint64_t who;

	memcpy(&who, hash, sizeof(who));
	return who ? who : 1;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Digits of small letters, as we write them. */
static bool decode_hex(const char *text, uint8_t *to, size_t len)
{
	if (strlen(text) != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		to[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static void encode_hex(const uint8_t *bytes, size_t len, char *to)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*to++ = digits[bytes[i] >> 4];
		*to++ = digits[bytes[i] & 15];
	}
	*to = '\0';
}

bool access_hash(const char *token, uint8_t ret_hash[ACCESS_HASH_BYTES])
{
	uint8_t secret[32];

	if (strncmp(token, ACCESS_TOKEN_PREFIX, strlen(ACCESS_TOKEN_PREFIX)) != 0 ||
	    !decode_hex(token + strlen(ACCESS_TOKEN_PREFIX), secret, sizeof(secret)))
		return false;
	hash_text(token, ACCESS_TOKEN_LEN, ret_hash);
	gnutls_memset(secret, 0, sizeof(secret));
	return true;
}

void access_write_token(const uint8_t secret[32], char ret_token[ACCESS_TOKEN_LEN + 1])
{
	strcpy(ret_token, ACCESS_TOKEN_PREFIX);
	encode_hex(secret, 32, ret_token + strlen(ACCESS_TOKEN_PREFIX));
}

/* ---- decoding ---- */

static int decode_role(json_t *obj, enum http_role *ret_role, struct failure *f)
{
	const char *text = json_string_value(json_object_get(obj, "role"));

	for (enum http_role role = HTTP_JOINER; text && role <= HTTP_ADMINISTRATOR; role++) {
		if (strcmp(text, roles[role]) == 0) {
			*ret_role = role;
			return 0;
		}
	}
	return REFUSE(f, "'role' is '%.32s', allowed are joiner, reader, operator and administrator",
		      text ? text : "");
}

static int decode_vms(json_t *obj, struct access_rights *rights, struct failure *f)
{
	json_t *vms = json_object_get(obj, "vms"), *name;
	size_t i;

	if (!vms)
		return 0;
	if (rights->role == HTTP_ADMINISTRATOR || rights->role == HTTP_JOINER)
		return REFUSE(f, "an administrator is for all VMs, a joiner for none: 'vms' cannot "
				 "be there");
	if (!json_array_size(vms) || json_array_size(vms) > ACCESS_VMS_MAX)
		return REFUSE(f, "'vms' has %zu names, allowed are 1 to %u", json_array_size(vms),
			      ACCESS_VMS_MAX);
	json_array_foreach(vms, i, name)
	{
		if (!json_is_string(name) || !vm_name_allowed(json_string_value(name)))
			return REFUSE(f, "'vms' holds what is no name of a VM");
	}
	rights->vms = vms;
	return 0;
}

static int decode_rights(json_t *obj, struct access_rights *rights, struct failure *f)
{
	int r = decode_role(obj, &rights->role, f);

	return r < 0 ? r : decode_vms(obj, rights, f);
}

static int decode_time(json_t *obj, const char *name, int64_t *ret_time, struct failure *f)
{
	json_int_t time = json_integer_value(json_object_get(obj, name));

	if (time <= 0 || time > TIME_MAX)
		return REFUSE(f, "'%s' of a token is no time in seconds since 1970", name);
	*ret_time = time;
	return 0;
}

static int decode_token(json_t *obj, struct access_token *t, struct failure *f)
{
	static const struct field fields[] = {
		{"name", JSON_STRING},   {"role", JSON_STRING},     {"vms", JSON_ARRAY},
		{"sha256", JSON_STRING}, {"created", JSON_INTEGER}, {"expires", JSON_INTEGER},
	};
	const char *hash;
	int r = fields_check_of(WHAT, obj, "a token", fields, ARRAY_LEN(fields), f);

	if (r < 0)
		return r;
	t->name = json_string_value(json_object_get(obj, "name"));
	if (!t->name || !vm_name_allowed(t->name))
		return REFUSE(f,
			      "'%.80s' is no name of a token: 1 to %u letters, digits, dots, "
			      "dashes and underlines, and neither dot nor dash first",
			      t->name ? t->name : "", ACCESS_NAME_MAX);
	hash = json_string_value(json_object_get(obj, "sha256"));
	if (!hash || !decode_hex(hash, t->hash, sizeof(t->hash)))
		return REFUSE(f, "'sha256' of the token '%s' is not 64 hexadecimal digits",
			      t->name);
	t->rights.who = who_of(t->hash);
	r = decode_rights(obj, &t->rights, f);
	if (r == 0)
		r = decode_time(obj, "created", &t->created_s, f);
	return r < 0 ? r : decode_time(obj, "expires", &t->expires_s, f);
}

static int decode_tokens(json_t *list, struct access *a, struct failure *f)
{
	json_t *obj;
	size_t i;

	if (json_array_size(list) > ACCESS_TOKENS_MAX)
		return REFUSE(f, "%zu tokens, at most %u are possible", json_array_size(list),
			      ACCESS_TOKENS_MAX);
	json_array_foreach(list, i, obj)
	{
		struct access_token *t = &a->token[a->tokens];
		int r = decode_token(obj, t, f);

		if (r < 0)
			return r;
		for (unsigned k = 0; k < a->tokens; k++) {
			if (strcmp(a->token[k].name, t->name) == 0 ||
			    a->token[k].rights.who == t->rights.who)
				return REFUSE(f, "the token '%s' is there twice", t->name);
		}
		a->tokens++;
	}
	return 0;
}

/* Visible characters, as far as bytes tell. */
static bool is_name(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
			return false;
	}
	return len && len <= ACCESS_NAME_MAX;
}

static int name_grant(json_t *obj, struct access_grant *g, struct failure *f)
{
	unsigned names = 0;

	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		const char *name = json_string_value(json_object_get(obj, kinds[i]));

		if (!name)
			continue;
		names++;
		g->kind = i;
		g->name = name;
	}
	if (names != 1)
		return REFUSE(f, "a grant names one of user, group and certificate");
	if (!is_name(g->name))
		return REFUSE(f, "'%s' of a grant is no text of 1 to %u bytes", kinds[g->kind],
			      ACCESS_NAME_MAX);
	return 0;
}

static int decode_grant(json_t *obj, struct access_grant *g, struct failure *f)
{
	static const struct field fields[] = {
		{"user", JSON_STRING}, {"group", JSON_STRING}, {"certificate", JSON_STRING},
		{"role", JSON_STRING}, {"vms", JSON_ARRAY},
	};
	uint8_t hash[ACCESS_HASH_BYTES];
	char *text;
	int r = fields_check_of(WHAT, obj, "a grant", fields, ARRAY_LEN(fields), f);

	if (r == 0)
		r = name_grant(obj, g, f);
	if (r == 0)
		r = decode_rights(obj, &g->rights, f);
	if (r < 0)
		return r;
	text = json_dumps(obj, JSON_COMPACT | JSON_SORT_KEYS);
	if (!text)
		return fail(f, -ENOMEM, "cannot use " WHAT ": out of memory");
	hash_text(text, strlen(text), hash);
	free(text);
	g->rights.who = who_of(hash);
	return 0;
}

static int decode_grants(json_t *list, struct access *a, struct failure *f)
{
	json_t *obj;
	size_t i;

	if (json_array_size(list) > ACCESS_GRANTS_MAX)
		return REFUSE(f, "%zu grants, at most %u are possible", json_array_size(list),
			      ACCESS_GRANTS_MAX);
	json_array_foreach(list, i, obj)
	{
		int r = decode_grant(obj, &a->grant[a->grants], f);

		if (r < 0)
			return r;
		a->grants++;
	}
	return 0;
}

/* Takes the root. */
static int of_root(json_t *root, struct access **ret_access, struct failure *f)
{
	static const struct field fields[] = {
		{"version", JSON_INTEGER}, {"tokens", JSON_ARRAY}, {"grants", JSON_ARRAY}};
	struct access *a = root ? calloc(1, sizeof(*a)) : NULL;
	int r;

	if (!a) {
		json_decref(root);
		return fail(f, -ENOMEM, "cannot use " WHAT ": out of memory");
	}
	a->root = root;
	r = fields_check_of(WHAT, root, "the file", fields, ARRAY_LEN(fields), f);
	if (r == 0 && json_integer_value(json_object_get(root, "version")) != ACCESS_VERSION)
		r = REFUSE(f, "'version' is not %d, which this oyad reads", ACCESS_VERSION);
	if (r == 0)
		r = decode_tokens(json_object_get(root, "tokens"), a, f);
	if (r == 0)
		r = decode_grants(json_object_get(root, "grants"), a, f);
	if (r < 0) {
		access_free(a);
		return r;
	}
	*ret_access = a;
	return 0;
}

int access_decode(const char *text, size_t len, struct access **ret_access, struct failure *f)
{
	json_error_t error;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

	if (!root)
		return REFUSE(f, "line %d is not JSON: %s", error.line, error.text);
	return of_root(root, ret_access, f);
}

int access_new(struct access **ret_access, struct failure *f)
{
	return of_root(json_pack("{s:i}", "version", ACCESS_VERSION), ret_access, f);
}

void access_free(struct access *a)
{
	if (!a)
		return;
	json_decref(a->root);
	free(a);
}

char *access_encode(const struct access *a)
{
	return json_dumps(a->root, JSON_INDENT(2));
}

/* ---- changes ---- */

int access_order_decode(json_t *body, int64_t now_s, struct access_order *ret_order,
			struct failure *f)
{
	static const struct field fields[] = {{"name", JSON_STRING},
					      {"role", JSON_STRING},
					      {"vms", JSON_ARRAY},
					      {"days", JSON_INTEGER}};
	struct access_rights rights = {0};
	json_t *days = json_object_get(body, "days");
	json_int_t n = days ? json_integer_value(days) : ACCESS_DAYS_DEFAULT;
	const char *name = json_string_value(json_object_get(body, "name"));
	int r = fields_check_of("the order of a token", body, "the request", fields,
				ARRAY_LEN(fields), f);

	if (r == 0)
		r = decode_rights(body, &rights, f);
	if (r < 0)
		return r;
	if (!name || !vm_name_allowed(name))
		return REFUSE(f, "'%.80s' is no name of a token", name ? name : "");
	if (n < 1 || n > ACCESS_DAYS_MAX)
		return REFUSE(f, "'days' is %lld, allowed are 1 to %u", (long long)n,
			      ACCESS_DAYS_MAX);
	*ret_order = (struct access_order){
		.name = name,
		.role = rights.role,
		.vms = rights.vms,
		.created_s = now_s,
		.expires_s = now_s + n * DAY_S,
	};
	return 0;
}

/* The list of tokens that have not expired, without that name. NULL: no memory. */
static json_t *tokens_without(const struct access *a, const char *name, int64_t now_s)
{
	json_t *list = json_array(), *old = json_object_get(a->root, "tokens");

	for (unsigned i = 0; list && i < a->tokens; i++) {
		if (a->token[i].expires_s <= now_s || strcmp(a->token[i].name, name) == 0)
			continue;
		if (json_array_append_new(list, json_deep_copy(json_array_get(old, i))) < 0) {
			json_decref(list);
			list = NULL;
		}
	}
	return list;
}

/* Takes the list. */
static int with_tokens(const struct access *a, json_t *list, struct access **ret_access,
		       struct failure *f)
{
	json_t *root = json_deep_copy(a->root);

	if (!root || json_object_set_new(root, "tokens", list) < 0) {
		json_decref(root);
		return fail(f, -ENOMEM, "cannot change the tokens: out of memory");
	}
	return of_root(root, ret_access, f);
}

static const struct access_token *token_named(const struct access *a, const char *name)
{
	for (unsigned i = 0; i < a->tokens; i++) {
		if (strcmp(a->token[i].name, name) == 0)
			return &a->token[i];
	}
	return NULL;
}

int access_add(const struct access *a, const struct access_order *order, struct access **ret_access,
	       struct failure *f)
{
	const struct access_token *same = token_named(a, order->name);
	char hash[2 * ACCESS_HASH_BYTES + 1];
	json_t *list, *token;

	if (same && same->expires_s > order->created_s)
		return fail(f, -EEXIST, "there is a token '%s' already; delete it first",
			    order->name);
	list = tokens_without(a, order->name, order->created_s);
	if (json_array_size(list) >= ACCESS_TOKENS_MAX) {
		json_decref(list);
		return fail(f, -ENOSPC, "there are %u tokens already; delete one of them",
			    ACCESS_TOKENS_MAX);
	}
	encode_hex(order->hash, sizeof(order->hash), hash);
	token = json_pack("{s:s, s:s, s:s, s:I, s:I}", "name", order->name, "role",
			  access_role_name(order->role), "sha256", hash, "created",
			  (json_int_t)order->created_s, "expires", (json_int_t)order->expires_s);
	if (!list ||
	    (order->vms && json_object_set_new(token, "vms", json_deep_copy(order->vms)) < 0) ||
	    json_array_append(list, token) < 0) {
		json_decref(list);
		list = NULL;
	}
	json_decref(token);
	return with_tokens(a, list, ret_access, f);
}

int access_remove(const struct access *a, const char *name, int64_t now_s,
		  struct access **ret_access, struct failure *f)
{
	if (!token_named(a, name))
		return fail(f, -ENOENT, "there is no token '%.80s'", name);
	return with_tokens(a, tokens_without(a, name, now_s), ret_access, f);
}

/* ---- looked up ---- */

const struct access_token *access_find(const struct access *a,
				       const uint8_t hash[ACCESS_HASH_BYTES], int64_t now_s)
{
	const struct access_token *found = NULL;

	for (unsigned i = 0; i < a->tokens; i++) {
		if (gnutls_memcmp(a->token[i].hash, hash, ACCESS_HASH_BYTES) == 0)
			found = &a->token[i];
	}
	return found && found->expires_s > now_s ? found : NULL;
}

const struct access_rights *access_rights(const struct access *a, uint64_t who, int64_t now_s)
{
	for (unsigned i = 0; i < a->tokens; i++) {
		if (a->token[i].rights.who == who)
			return a->token[i].expires_s > now_s ? &a->token[i].rights : NULL;
	}
	for (unsigned i = 0; i < a->grants; i++) {
		if (a->grant[i].rights.who == who)
			return &a->grant[i].rights;
	}
	return NULL;
}

static bool is_in_group(const struct http_caller *caller, gid_t group)
{
	for (unsigned i = 0; i < caller->group_count; i++) {
		if (caller->groups[i] == group)
			return true;
	}
	return caller->gid == group;
}

const struct access_rights *access_of_user(const struct access *a, const struct http_caller *caller)
{
	for (unsigned i = 0; i < a->grants; i++) {
		const struct access_grant *g = &a->grant[i];

		if (g->known &&
		    (g->kind == ACCESS_USER ? g->id == caller->uid : is_in_group(caller, g->id)))
			return &g->rights;
	}
	return NULL;
}

const struct access_rights *access_of_certificate(const struct access *a, const char *name)
{
	for (unsigned i = 0; i < a->grants; i++) {
		if (a->grant[i].kind == ACCESS_CERTIFICATE && strcmp(a->grant[i].name, name) == 0)
			return &a->grant[i].rights;
	}
	return NULL;
}

bool access_names_users(const struct access *a)
{
	for (unsigned i = 0; i < a->grants; i++) {
		if (a->grant[i].known)
			return true;
	}
	return false;
}

bool access_covers(const struct access_rights *rights, const char *vm)
{
	json_t *name;
	size_t i;

	if (!rights->vms)
		return true;
	json_array_foreach((json_t *)(uintptr_t)rights->vms, i, name)
	{
		if (strcmp(json_string_value(name), vm) == 0)
			return true;
	}
	return false;
}

json_t *access_show_token(const struct access_token *t)
{
	json_t *vms = t->rights.vms ? json_deep_copy(t->rights.vms) : json_null();

	return json_pack("{s:s, s:s, s:o, s:I, s:I}", "name", t->name, "role",
			 access_role_name(t->rights.role), "vms", vms, "created",
			 (json_int_t)t->created_s, "expires", (json_int_t)t->expires_s);
}
