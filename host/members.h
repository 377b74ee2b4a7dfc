/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The members of the cluster that this host is in: `cluster.json` of the state folder
 * (docs/format/cluster.md), decoded and checked as a whole, and what Corosync is told of them.
 *
 * Trust: the list comes from the disk and from other members: it is decoded as hostile.
 *
 * Threads: any, an object on one at a time. Pure.
 *
 * Invariants:
 *  1. names, hosts, ids, fingerprints, APIs and addresses of links are each one member's alone;
 *  2. each member has as many links as the others;
 *  3. a list that is made of another has a number that is greater by one.
 */
#ifndef OYA_HOST_MEMBERS_H
#define OYA_HOST_MEMBERS_H

#include <jansson.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "base/guid.h"
#include "lib/fail.h"
#include "lib/peer.h"

#define MEMBERS_VERSION 2 /* 1: of a list without a witness, as it is written still */
#define MEMBERS_FILE "cluster.json"
#define MEMBERS_BYTES_MAX (64u << 10)
#define MEMBERS_MAX 16u
#define MEMBERS_LINKS_MAX 2u
#define MEMBERS_NAME_MAX 64u
#define MEMBERS_TOKEN_MS 1000u /* without one a host is taken for lost */
#define MEMBERS_WITNESS_MAX 255u
#define MEMBERS_ID_MAX 65535u
#define MEMBERS_NUMBER_MAX (UINT64_C(1) << 53)
#define MEMBERS_PORT 5405u /* UDP, of the first link; the second has the next */

struct member {
	char name[MEMBERS_NAME_MAX + 1]; /* of the host and of its node */
	struct guid host;                /* as in leases */
	unsigned id;                     /* of the node; 0: none yet */
	char link[MEMBERS_LINKS_MAX][INET6_ADDRSTRLEN];
	unsigned links;
	struct peer peer; /* its API and the fingerprint of its certificate; without a token */
};

struct members {
	char name[MEMBERS_NAME_MAX + 1]; /* of the cluster */
	struct guid uuid;
	uint64_t number;                       /* of the list: greater with each change */
	char witness[MEMBERS_WITNESS_MAX + 1]; /* path of the disk or file; empty: none */
	struct member member[MEMBERS_MAX];
	unsigned count;
};

/* Reads the text of a file. 0, or -EINVAL and the sentence. */
int members_decode(const char *text, size_t len, struct members *ret_members, struct failure *f);
/* The same of what a request or an answer brings. */
int members_of_json(json_t *root, struct members *ret_members, struct failure *f);
/* NULL: no memory. */
json_t *members_to_json(const struct members *m);

/* One that is to become a member: a member of the list without its `id`. */
int member_of_json(json_t *obj, struct member *ret_member, struct failure *f);
json_t *member_to_json(const struct member *m);

/* The next list: with one more, who gets an id; or without one. 0, or -errno and the sentence;
 * *ret_members may be the old one. */
int members_add(const struct members *old, const struct member *more, struct members *ret_members,
		struct failure *f);
int members_remove(const struct members *old, const char *name, struct members *ret_members,
		   struct failure *f);

/* NULL: there is none. */
const struct member *members_find(const struct members *m, const char *name);
const struct member *members_find_host(const struct members *m, const struct guid *host);
const struct member *members_find_fingerprint(const struct members *m, const char *fingerprint);

/* An address in the form that is kept; false: it is none. */
bool members_address(const char *text, char ret_text[INET6_ADDRSTRLEN]);

/* Another witness; "": none. */
int members_set_witness(const struct members *old, const char *path, struct members *ret_members,
			struct failure *f);
/* Whether it votes: of an odd number of hosts half is no part. */
bool members_witness_votes(const struct members *m);

/* corosync.conf, to be freed; NULL: no memory. */
char *members_corosync(const struct members *m);

#endif
