/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/members.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/settings.h"
#include "lib/fields.h"

#define WHAT "the list of members"
#define REFUSE(f, ...) fail(f, -EINVAL, "cannot use " WHAT ": " __VA_ARGS__)

/* ---- decoding ---- */

static int take_name(json_t *obj, char to[MEMBERS_NAME_MAX + 1], struct failure *f)
{
	const char *name = json_string_value(json_object_get(obj, "name"));

	if (!name || strlen(name) > MEMBERS_NAME_MAX || !vm_name_allowed(name))
		return REFUSE(f, "'%.80s' is no name of a host or a cluster", name ? name : "");
	strcpy(to, name);
	return 0;
}

static int take_uuid(json_t *obj, const char *key, struct guid *to, struct failure *f)
{
	const char *text = json_string_value(json_object_get(obj, key));

	return text && guid_parse(text, to) == 0 ? 0 : REFUSE(f, "'%s' is no UUID", key);
}

bool members_address(const char *text, char ret_text[INET6_ADDRSTRLEN])
{
	struct in6_addr address;

	for (unsigned i = 0; i < 2; i++) {
		int family = i ? AF_INET6 : AF_INET;

		if (inet_pton(family, text, &address) == 1)
			return inet_ntop(family, &address, ret_text, INET6_ADDRSTRLEN) != NULL;
	}
	return false;
}

static int take_links(json_t *obj, struct member *m, struct failure *f)
{
	json_t *list = json_object_get(obj, "links"), *address;
	size_t i;

	if (!json_array_size(list) || json_array_size(list) > MEMBERS_LINKS_MAX)
		return REFUSE(f, "the host '%s' has %zu links, allowed are 1 and 2", m->name,
			      json_array_size(list));
	json_array_foreach(list, i, address)
	{
		const char *text = json_string_value(address);

		if (!text || !members_address(text, m->link[m->links++]))
			return REFUSE(f, "'%.80s' is no IP address of a link of the host '%s'",
				      text ? text : "", m->name);
	}
	return 0;
}

static int take_api(json_t *obj, struct member *m, struct failure *f)
{
	const char *api = json_string_value(json_object_get(obj, "api"));
	const char *fingerprint = json_string_value(json_object_get(obj, "fingerprint"));
	int r = peer_decode_name(api ? api : "", &m->peer, f);

	if (r == 0 && (!fingerprint || !peer_decode_fingerprint(fingerprint, m->peer.fingerprint)))
		r = REFUSE(f, "'fingerprint' of the host '%s' is not 64 digits", m->name);
	return r;
}

static int take_member(json_t *obj, struct member *ret_member, struct failure *f)
{
	struct member m = {.id = 0};
	int r = take_name(obj, m.name, f);

	if (r == 0)
		r = take_uuid(obj, "host", &m.host, f);
	if (r == 0)
		r = take_links(obj, &m, f);
	if (r == 0)
		r = take_api(obj, &m, f);
	if (r == 0)
		*ret_member = m;
	return r;
}

int member_of_json(json_t *obj, struct member *ret_member, struct failure *f)
{
	static const struct field fields[] = {
		{"name", JSON_STRING}, {"host", JSON_STRING},        {"links", JSON_ARRAY},
		{"api", JSON_STRING},  {"fingerprint", JSON_STRING},
	};
	int r = fields_check_of(WHAT, obj, "the new member", fields, ARRAY_LEN(fields), f);

	return r < 0 ? r : take_member(obj, ret_member, f);
}

static int decode_member(json_t *obj, struct member *m, struct failure *f)
{
	static const struct field fields[] = {
		{"name", JSON_STRING}, {"host", JSON_STRING},        {"id", JSON_INTEGER},
		{"links", JSON_ARRAY}, {"fingerprint", JSON_STRING}, {"api", JSON_STRING},
	};
	uint64_t id = 0;
	int r = fields_check_of(WHAT, obj, "a member", fields, ARRAY_LEN(fields), f);

	if (r == 0)
		r = take_member(obj, m, f);
	if (r == 0)
		r = field_number(obj, "id", 1, MEMBERS_ID_MAX, &id, f);
	if (r == 0 && !id)
		r = REFUSE(f, "the host '%s' has no 'id'", m->name);
	m->id = (unsigned)id;
	return r;
}

/* ---- one beside the others ---- */

static bool shares_link(const struct member *a, const struct member *b)
{
	for (unsigned i = 0; i < a->links; i++) {
		for (unsigned k = 0; k < b->links; k++) {
			if (strcmp(a->link[i], b->link[k]) == 0)
				return true;
		}
	}
	return false;
}

/* What two members have in common that only one may have; NULL: nothing. */
static const char *clash(const struct member *a, const struct member *b)
{
	if (strcmp(a->name, b->name) == 0)
		return "name";
	if (guid_equal(&a->host, &b->host))
		return "UUID (machine id)";
	if (a->id && a->id == b->id)
		return "id";
	if (strcmp(a->peer.name, b->peer.name) == 0)
		return "address of the API";
	if (strcmp(a->peer.fingerprint, b->peer.fingerprint) == 0)
		return "certificate";
	return shares_link(a, b) ? "address of a link" : NULL;
}

static int check_beside(const struct members *m, const struct member *more, struct failure *f)
{
	if (more->links == 2 && strcmp(more->link[0], more->link[1]) == 0)
		return REFUSE(f, "both links of the host '%s' have one address", more->name);
	for (unsigned i = 0; i < m->count; i++) {
		const char *what = clash(&m->member[i], more);

		if (what)
			return REFUSE(f, "the hosts '%s' and '%s' have the same %s",
				      m->member[i].name, more->name, what);
		if (m->member[i].links != more->links)
			return REFUSE(f,
				      "the host '%s' has %u link%s and '%s' has %u: all hosts have "
				      "as many",
				      m->member[i].name, m->member[i].links,
				      m->member[i].links == 1 ? "" : "s", more->name, more->links);
	}
	return 0;
}

/* ---- the list ---- */

static int decode_all(json_t *root, struct members *m, struct failure *f)
{
	json_t *list = json_object_get(root, "members"), *obj;
	size_t i;
	int r = 0;

	if (!json_array_size(list) || json_array_size(list) > MEMBERS_MAX)
		return REFUSE(f, "%zu members, allowed are 1 to %u", json_array_size(list),
			      MEMBERS_MAX);
	json_array_foreach(list, i, obj)
	{
		struct member *next = &m->member[m->count];

		r = decode_member(obj, next, f);
		if (r == 0)
			r = check_beside(m, next, f);
		if (r < 0)
			return r;
		m->count++;
	}
	return 0;
}

/* It goes to corosync.conf. */
static bool is_path(const char *path)
{
	size_t len = strlen(path);

	if (path[0] != '/' || len > MEMBERS_WITNESS_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (path[i] <= ' ' || path[i] > '~' || strchr("{}#", path[i]))
			return false;
	}
	return true;
}

static int take_witness(json_t *root, uint64_t version, struct members *m, struct failure *f)
{
	const char *path = json_string_value(json_object_get(root, "witness"));

	if (!path != (version < MEMBERS_VERSION))
		return REFUSE(f, "a list of version %u has a 'witness', one of version 1 has none",
			      MEMBERS_VERSION);
	if (path && !is_path(path))
		return REFUSE(f, "'%.80s' is no path of a witness", path);
	strcpy(m->witness, path ? path : "");
	return 0;
}

int members_of_json(json_t *root, struct members *ret_members, struct failure *f)
{
	static const struct field fields[] = {
		{"version", JSON_INTEGER}, {"name", JSON_STRING},   {"uuid", JSON_STRING},
		{"number", JSON_INTEGER},  {"members", JSON_ARRAY}, {"witness", JSON_STRING},
	};
	struct members m = {.count = 0};
	uint64_t version = 0;
	int r = fields_check_of(WHAT, root, "the file", fields, ARRAY_LEN(fields), f);

	if (r == 0)
		r = field_number(root, "version", 1, MEMBERS_VERSION, &version, f);
	if (r == 0)
		r = field_number(root, "number", 1, MEMBERS_NUMBER_MAX, &m.number, f);
	if (r == 0 && (!version || !m.number))
		r = REFUSE(f, "'version' or 'number' is not there");
	if (r == 0)
		r = take_name(root, m.name, f);
	if (r == 0)
		r = take_uuid(root, "uuid", &m.uuid, f);
	if (r == 0)
		r = take_witness(root, version, &m, f);
	if (r == 0)
		r = decode_all(root, &m, f);
	if (r == 0)
		*ret_members = m;
	return r;
}

int members_decode(const char *text, size_t len, struct members *ret_members, struct failure *f)
{
	json_error_t error;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	int r = root ? members_of_json(root, ret_members, f)
		     : REFUSE(f, "line %d is not JSON: %s", error.line, error.text);

	json_decref(root);
	return r;
}

json_t *member_to_json(const struct member *m)
{
	json_t *links = json_array();
	char host[GUID_TEXT_LEN];

	guid_format(&m->host, host);
	for (unsigned i = 0; i < m->links; i++)
		json_array_append_new(links, json_string(m->link[i]));
	return json_pack("{s:s, s:s, s:o*, s:o, s:s, s:s}", "name", m->name, "host", host, "id",
			 m->id ? json_integer(m->id) : NULL, "links", links, "api", m->peer.name,
			 "fingerprint", m->peer.fingerprint);
}

json_t *members_to_json(const struct members *m)
{
	json_t *list = json_array();
	char uuid[GUID_TEXT_LEN];

	guid_format(&m->uuid, uuid);
	for (unsigned i = 0; i < m->count; i++) {
		if (json_array_append_new(list, member_to_json(&m->member[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return json_pack("{s:i, s:s, s:s, s:I, s:s*, s:o}", "version",
			 m->witness[0] ? MEMBERS_VERSION : 1, "name", m->name, "uuid", uuid,
			 "number", (json_int_t)m->number, "witness",
			 m->witness[0] ? m->witness : NULL, "members", list);
}

/* ---- changes ---- */

static unsigned free_id(const struct members *m)
{
	unsigned id = 1;

	for (unsigned i = 0; i < m->count; i++) {
		if (m->member[i].id == id) {
			id++;
			i = UINT32_MAX; /* from the first one again */
		}
	}
	return id;
}

int members_add(const struct members *old, const struct member *more, struct members *ret_members,
		struct failure *f)
{
	struct members m = *old;
	int r = check_beside(old, more, f);

	if (r < 0)
		return r;
	if (m.count == MEMBERS_MAX)
		return fail(f, -ENOSPC, "the cluster '%s' has %u hosts, which is all that it can",
			    m.name, MEMBERS_MAX);
	m.member[m.count] = *more;
	m.member[m.count++].id = free_id(old);
	m.number++;
	*ret_members = m;
	return 0;
}

int members_remove(const struct members *old, const char *name, struct members *ret_members,
		   struct failure *f)
{
	struct members m = *old;
	const struct member *gone = members_find(old, name);

	if (!gone)
		return fail(f, -ENOENT, "the cluster '%s' has no host '%.80s'", old->name, name);
	m.count = 0;
	for (unsigned i = 0; i < old->count; i++) {
		if (&old->member[i] != gone)
			m.member[m.count++] = old->member[i];
	}
	m.number++;
	*ret_members = m;
	return 0;
}

int members_set_witness(const struct members *old, const char *path, struct members *ret_members,
			struct failure *f)
{
	if (path[0] && !is_path(path))
		return fail(f, -EINVAL,
			    "'%.80s' is no path of a witness: it begins with '/', and has neither "
			    "spaces nor any of {}#",
			    path);
	*ret_members = *old;
	ret_members->number++;
	strcpy(ret_members->witness, path);
	return 0;
}

/* ---- found ---- */

const struct member *members_find(const struct members *m, const char *name)
{
	for (unsigned i = 0; i < m->count; i++) {
		if (strcmp(m->member[i].name, name) == 0)
			return &m->member[i];
	}
	return NULL;
}

const struct member *members_find_host(const struct members *m, const struct guid *host)
{
	for (unsigned i = 0; i < m->count; i++) {
		if (guid_equal(&m->member[i].host, host))
			return &m->member[i];
	}
	return NULL;
}

const struct member *members_find_fingerprint(const struct members *m, const char *fingerprint)
{
	for (unsigned i = 0; fingerprint[0] && i < m->count; i++) {
		if (strcmp(m->member[i].peer.fingerprint, fingerprint) == 0)
			return &m->member[i];
	}
	return NULL;
}

/* ---- what Corosync is told ---- */

static void put_nodes(FILE *to, const struct members *m)
{
	for (unsigned i = 0; i < m->count; i++) {
		const struct member *one = &m->member[i];

		fprintf(to, "\n\tnode {\n\t\tname: %s\n\t\tnodeid: %u\n", one->name, one->id);
		for (unsigned k = 0; k < one->links; k++)
			fprintf(to, "\t\tring%u_addr: %s\n", k, one->link[k]);
		fputs("\t}\n", to);
	}
}

/* With knet's own times a link that loses packets goes and comes back all the time. */
static void put_links(FILE *to, const struct members *m)
{
	for (unsigned k = 0; k < m->member[0].links; k++)
		fprintf(to,
			"\n\tinterface {\n\t\tlinknumber: %u\n\t\tmcastport: %u\n"
			"\t\tknet_ping_interval: 250\n\t\tknet_ping_timeout: 3000\n"
			"\t\tknet_pong_count: 1\n\t}\n",
			k, MEMBERS_PORT + k);
}

bool members_witness_votes(const struct members *m)
{
	return m->witness[0] && m->count % 2 == 0;
}

/* Two hosts without a witness: whoever is left has a quorum, and fences. */
static void put_quorum(FILE *to, const struct members *m)
{
	fputs("}\n\nquorum {\n\tprovider: corosync_votequorum\n", to);
	if (members_witness_votes(m))
		fprintf(to,
			"\tdevice {\n\t\tmodel: oya\n\t\tvotes: 1\n\t\ttimeout: 3000\n"
			"\t\tsync_timeout: 3000\n\t\toya {\n\t\t\tpath: %s\n\t\t}\n\t}\n",
			m->witness);
	else if (m->count == 2)
		fputs("\ttwo_node: 1\n\twait_for_all: 1\n", to);
	fputs("}\n", to);
}

char *members_corosync(const struct members *m)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return NULL;
	fprintf(to,
		"# Written by oyad from " MEMBERS_FILE ", list %" PRIu64
		"; what is changed here is lost.\n"
		"system {\n\tallow_knet_handle_fallback: yes\n}\n\n"
		"totem {\n\tversion: 2\n\tcluster_name: %s\n\ttransport: knet\n"
		"\tcrypto_cipher: aes256\n\tcrypto_hash: sha256\n\ttoken: %u\n"
		"\tconfig_version: %" PRIu64 "\n",
		m->number, m->name, MEMBERS_TOKEN_MS, m->number);
	put_links(to, m);
	put_quorum(to, m);
	fputs("\nlogging {\n\tto_stderr: yes\n\tto_syslog: yes\n\ttimestamp: hires\n}\n\nnodelist {",
	      to);
	put_nodes(to, m);
	fputs("}\n", to);
	if (fclose(to) == 0)
		return text;
	free(text);
	return NULL;
}
