/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile description of a processor: the input is its JSON, or a list of two.
 *
 * Checked: what is taken is encoded and taken as the same again, and lacks nothing of itself; an
 * intersection is settled, and both lack nothing of it. What is refused comes with a sentence.
 */
#include <errno.h>
#include <string.h>

#include "fuzz/harness.h"
#include "lib/processor.h"

static bool take(json_t *object, struct processor *ret)
{
	struct processor again;
	struct failure f = {""};
	char text[64];
	json_t *written;
	int r = processor_decode_baseline(object, ret, &f);

	if (r < 0) {
		must(r == -EINVAL && f.text[0]);
		return false;
	}
	must(!processor_lacks(ret, ret, text, sizeof(text)));
	written = processor_encode(ret);
	/* What is no UTF-8 is no JSON. */
	if (written && json_is_string(json_object_get(written, "vendor"))) {
		must(processor_decode("the file", written, &again, &f) == 0);
		must(memcmp(&again, ret, sizeof(again)) == 0);
	}
	json_decref(written);
	fuzz_tell(ret, sizeof(*ret));
	return true;
}

static void check_both(const struct processor *a, const struct processor *b)
{
	struct processor both = *a, settled;
	struct failure f = {""};
	char text[FAIL_TEXT_MAX];

	if (processor_intersect(&both, b, &f) < 0) {
		must(f.text[0] && strcmp(a->vendor, b->vendor) != 0);
		return;
	}
	settled = both;
	processor_settle(&settled);
	must(memcmp(&settled, &both, sizeof(both)) == 0);
	must(!processor_lacks(a, &both, text, sizeof(text)));
	must(!processor_lacks(b, &both, text, sizeof(text)));
	(void)processor_lacks(&both, a, text, sizeof(text));
	fuzz_tell(text, strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *root = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	struct processor a, b;

	if (root && !json_is_array(root))
		(void)take(root, &a);
	else if (root && take(json_array_get(root, 0), &a) && take(json_array_get(root, 1), &b))
		check_both(&a, &b);
	json_decref(root);
	return 0;
}
