/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile host that offers a VM, and a hostile file of `moves`: the input is the JSON of either.
 *
 * Checked: what is accepted has a name that is one, an absolute path, a proof that is no path, and
 * facts of each disk of its settings; a processor that was taken is encoded and taken as the same
 * again; a move that is taken has a state and a name. What is refused comes with a sentence.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "fuzz/harness.h"
#include "host/offer.h"

static void check_processor(const struct processor *p)
{
	json_t *object = processor_encode(p);
	struct processor again;
	struct failure f;
	char text[64];

	/* What is no UTF-8 is no JSON. */
	if (object && json_is_string(json_object_get(object, "vendor"))) {
		must(processor_decode("the offer", object, &again, &f) == 0);
		must(memcmp(&again, p, sizeof(again)) == 0);
		must(!processor_lacks(p, &again, text, sizeof(text)));
	}
	json_decref(object);
}

static void check_offer(json_t *body)
{
	struct offer *o = NULL;
	struct failure f = {""};
	int r = offer_decode(body, &o, &f);

	if (r < 0) {
		must(r == -EINVAL && f.text[0] && !o);
		return;
	}
	must(vm_name_allowed(o->name) && o->folder[0] == '/');
	must(!strchr(o->proof, '/') && strlen(o->proof) == GUID_TEXT_LEN - 1);
	must(o->settings || o->why.text[0]);
	must(o->connections >= 1 && o->connections <= OFFER_CONNECTIONS_MAX);
	if (o->settings)
		must(o->disks == json_array_size(json_object_get(o->settings->root, "disks")));
	check_processor(&o->processor);
	fuzz_tell(&o->disks, sizeof(o->disks));
	fuzz_tell(&o->processor, sizeof(o->processor));
	offer_free(o);
}

static void check_move(const char *text, size_t len)
{
	struct move m = {.state = MOVE_NONE};
	struct failure f = {""};
	int r = move_decode(text, len, &m, &f);

	if (r < 0) {
		must(r == -EINVAL && f.text[0] && m.state == MOVE_NONE);
		return;
	}
	must(m.state == MOVE_INCOMING || m.state == MOVE_LEAVING || m.state == MOVE_GONE);
	must(vm_name_allowed(m.name));
	fuzz_tell(&m.state, sizeof(m.state));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *body = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);

	if (body)
		check_offer(body);
	json_decref(body);
	check_move((const char *)data, size);
	return 0;
}
