/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cluster.json: the input is its text. Checked: what is accepted keeps the invariants that the rest
 * relies on, comes back from its encoding, and takes a member more and one less; what is refused
 * comes with a sentence.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/harness.h"
#include "host/members.h"

static void check_all(const struct members *m)
{
	must(m->count && m->count <= MEMBERS_MAX && m->number && m->name[0]);
	for (unsigned i = 0; i < m->count; i++) {
		const struct member *one = &m->member[i];

		must(one->id && one->id <= MEMBERS_ID_MAX && one->links == m->member[0].links);
		must(one->links && one->links <= MEMBERS_LINKS_MAX);
		must(!one->peer.token[0] && !one->peer.identity);
		must(members_find(m, one->name) == one);
		must(members_find_host(m, &one->host) == one);
		must(members_find_fingerprint(m, one->peer.fingerprint) == one);
	}
	must(!members_find_fingerprint(m, ""));
	must(!m->witness[0] || (m->witness[0] == '/' && !strpbrk(m->witness, " \t\n{}#")));
}

static void check_encoding(const struct members *m)
{
	json_t *root = members_to_json(m);
	char *text = json_dumps(root, JSON_COMPACT), *config = members_corosync(m);
	struct members again;
	struct failure f;

	must(text && members_decode(text, strlen(text), &again, &f) == 0);
	must(again.count == m->count && again.number == m->number);
	for (unsigned i = 0; i < m->count; i++)
		must(strcmp(again.member[i].peer.name, m->member[i].peer.name) == 0);
	/* A line for each name, and none of the input's. */
	must(config && strstr(config, "nodelist {"));
	free(config);
	free(text);
	json_decref(root);
}

static void check_change(const struct members *m)
{
	struct member more = {.name = "fuzz", .links = m->member[0].links};
	struct members next;
	struct failure f = {.text = ""};

	strcpy(more.link[0], "203.0.113.1");
	strcpy(more.link[1], "203.0.113.2");
	strcpy(more.peer.fingerprint, "00");
	if (members_add(m, &more, &next, &f) < 0) {
		must(f.text[0]);
		return;
	}
	must(next.number == m->number + 1 && next.count == m->count + 1);
	must(members_remove(&next, "fuzz", &next, &f) == 0 && next.count == m->count);
	check_all(&next);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct failure f = {.text = ""};
	struct members m;
	int r = members_decode((const char *)data, size, &m, &f);

	fuzz_tell(&r, sizeof(r));
	if (r < 0) {
		must(f.text[0]);
		return 0;
	}
	check_all(&m);
	check_encoding(&m);
	check_change(&m);
	return 0;
}
