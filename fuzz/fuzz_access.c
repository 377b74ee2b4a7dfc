/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * access.json: the input is its text. Checked: what is accepted keeps the limits that the rest
 * relies on, comes back from its encoding with the same rights, and takes a token more and one
 * less; what is refused comes with a sentence.
 */
#include <string.h>

#include "fuzz/harness.h"
#include "host/access.h"
#include "host/settings.h"

static void check_rights(const struct access_rights *rights)
{
	must(rights->who && rights->role >= HTTP_JOINER && rights->role <= HTTP_ADMINISTRATOR);
	must(!rights->vms || (rights->role != HTTP_ADMINISTRATOR && rights->role != HTTP_JOINER &&
			      json_array_size(rights->vms) &&
			      json_array_size(rights->vms) <= ACCESS_VMS_MAX));
	must(rights->vms || access_covers(rights, "any"));
}

static void check_all(const struct access *a)
{
	must(a->tokens <= ACCESS_TOKENS_MAX && a->grants <= ACCESS_GRANTS_MAX);
	for (unsigned i = 0; i < a->tokens; i++) {
		const struct access_token *t = &a->token[i];

		check_rights(&t->rights);
		must(vm_name_allowed(t->name) && t->created_s > 0 && t->expires_s > 0);
		must(access_find(a, t->hash, t->expires_s - 1) == t);
		must(!access_find(a, t->hash, t->expires_s));
	}
	for (unsigned i = 0; i < a->grants; i++) {
		check_rights(&a->grant[i].rights);
		must(a->grant[i].name[0] && strlen(a->grant[i].name) <= ACCESS_NAME_MAX);
	}
}

static void check_encoding(const struct access *a)
{
	char *text = access_encode(a);
	struct access *again;
	struct failure f;

	must(text != NULL);
	must(access_decode(text, strlen(text), &again, &f) == 0);
	must(again->tokens == a->tokens && again->grants == a->grants);
	for (unsigned i = 0; i < a->grants; i++)
		must(again->grant[i].rights.who == a->grant[i].rights.who);
	access_free(again);
	free(text);
}

static void check_change(const struct access *a)
{
	struct access_order order = {.name = "fuzz",
				     .role = HTTP_READER,
				     .created_s = 1,
				     .expires_s = 2,
				     .hash = {1, 2}};
	struct access *more, *less;
	struct failure f = {.text = ""};

	if (access_add(a, &order, &more, &f) < 0) {
		must(f.text[0]);
		return;
	}
	check_all(more);
	must(access_remove(more, "fuzz", 1, &less, &f) == 0);
	must(less->tokens < more->tokens);
	access_free(less);
	access_free(more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct failure f = {.text = ""};
	struct access *a;
	int r = access_decode((const char *)data, size, &a, &f);

	fuzz_tell(&r, sizeof(r));
	if (r < 0) {
		must(f.text[0]);
		return 0;
	}
	check_all(a);
	check_encoding(a);
	check_change(a);
	access_free(a);
	return 0;
}
