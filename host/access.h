/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may use the API, and for what: `access.json` of the state folder (docs/format/access.md),
 * decoded and checked as a whole. Of a token only its hash is kept.
 *
 * Trust: the file is an administrator's, but a mistake in it must not give access: it is decoded as
 * hostile. What a client presents is hostile.
 *
 * Threads: any, an object on one at a time. Pure.
 *
 * Invariants:
 *  1. what is decoded keeps the limits below, and comes back from its encoding;
 *  2. rights with VMs are no administrator's.
 */
#ifndef OYA_HOST_ACCESS_H
#define OYA_HOST_ACCESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/http.h"
#include "lib/fail.h"

#define ACCESS_VERSION 1
#define ACCESS_FILE "access.json"
#define ACCESS_BYTES_MAX (4u << 20)
#define ACCESS_TOKENS_MAX 256u
#define ACCESS_GRANTS_MAX 256u
#define ACCESS_VMS_MAX 64u /* of one token or grant */
#define ACCESS_NAME_MAX 64u
#define ACCESS_HASH_BYTES 32u /* SHA-256 */
#define ACCESS_TOKEN_PREFIX "oya_"
#define ACCESS_TOKEN_LEN 68u /* the prefix and 32 bytes in hexadecimal */
#define ACCESS_DAYS_DEFAULT 90u
#define ACCESS_DAYS_MAX 3650u

struct access_rights {
	uint64_t who; /* the same as long as it is the same token or grant; not 0 */
	enum http_role role;
	const json_t *vms; /* names of those that it is for, which it alone sees; NULL: all */
};

struct access_token {
	struct access_rights rights;
	const char *name;
	uint8_t hash[ACCESS_HASH_BYTES];
	int64_t created_s, expires_s; /* since 1970 */
};

enum access_kind { ACCESS_USER, ACCESS_GROUP, ACCESS_CERTIFICATE };

struct access_grant {
	struct access_rights rights;
	enum access_kind kind;
	const char *name; /* a user's, a group's; of a certificate its subject's common name */
	bool known;       /* the system knows the name: whoever has decoded it has asked */
	uint32_t id;      /* uid or gid */
};

struct access {
	json_t *root; /* all of it, as it is kept */
	struct access_token token[ACCESS_TOKENS_MAX];
	unsigned tokens;
	struct access_grant grant[ACCESS_GRANTS_MAX];
	unsigned grants;
};

/* Reads the text of a file. 0 and *ret_access, or -EINVAL/-ENOMEM and the sentence. */
int access_decode(const char *text, size_t len, struct access **ret_access, struct failure *f);
/* Of a host that has no such file. */
int access_new(struct access **ret_access, struct failure *f);
void access_free(struct access *a);

/* The text for the file, to be freed; NULL: no memory. */
char *access_encode(const struct access *a);

/* What a token is to be. */
struct access_order {
	const char *name;
	enum http_role role;
	const json_t *vms; /* or NULL */
	int64_t created_s, expires_s;
	uint8_t hash[ACCESS_HASH_BYTES];
};

/* Takes what a client asks for: name, role, vms, days. 0, or -EINVAL and the sentence; what it
 * points to is the body's. */
int access_order_decode(json_t *body, int64_t now_s, struct access_order *ret_order,
			struct failure *f);

/* Other objects with one token more or less; of those that have expired, without them. 0 and
 * *ret_access; -EEXIST: there is one of that name; -ENOENT; -ENOSPC: there are too many. */
int access_add(const struct access *a, const struct access_order *order, struct access **ret_access,
	       struct failure *f);
int access_remove(const struct access *a, const char *name, int64_t now_s,
		  struct access **ret_access, struct failure *f);

/* The token of that hash that has not expired; NULL: none. Takes as long whatever the hash is. */
const struct access_token *access_find(const struct access *a,
				       const uint8_t hash[ACCESS_HASH_BYTES], int64_t now_s);
/* What `who` may do now; NULL: it may not any more. */
const struct access_rights *access_rights(const struct access *a, uint64_t who, int64_t now_s);

/* The first grant for a local caller or one of its groups, or for a certificate's name; NULL: none.
 */
const struct access_rights *access_of_user(const struct access *a,
					   const struct http_caller *caller);
const struct access_rights *access_of_certificate(const struct access *a, const char *name);
/* Whether a user or group is granted anything. */
bool access_names_users(const struct access *a);

/* Whether the rights are for that VM. */
bool access_covers(const struct access_rights *rights, const char *vm);

const char *access_role_name(enum http_role role);
/* As the API shows a token; NULL: no memory. */
json_t *access_show_token(const struct access_token *t);

/* The text of a token of 32 bytes, and its hash; false: the text is none. */
bool access_hash(const char *token, uint8_t ret_hash[ACCESS_HASH_BYTES]);
void access_write_token(const uint8_t secret[32], char ret_token[ACCESS_TOKEN_LEN + 1]);

#endif
