/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the engine's status says of a host, and whether that is enough to take its lease. */
#include "host/crm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tests/lib/failheap.h"

#define DC "<current_dc present=\"true\" with_quorum=\"true\" name=\"n1\"/>"
#define FENCES "<cluster_options stonith-enabled=\"true\"/>"
#define STATUS(summary, nodes)                                                          \
	"<pacemaker-result api-version=\"2.25\"><summary>" summary "</summary><nodes>"  \
	"<node name=\"n1\" online=\"true\" unclean=\"false\" pending=\"false\"/>" nodes \
	"</nodes></pacemaker-result>"
#define N2(online, unclean, pending) \
	"<node name=\"n2\" online=\"" online "\" unclean=\"" unclean "\" pending=\"" pending "\"/>"

/* The sentence with which n2's lease is left to it; NULL: it may be taken. */
static const char *why_not(const char *text)
{
	static struct failure f;
	struct crm_view view;

	f.text[0] = '\0';
	assert_int_equal(crm_decode(text, strlen(text), "n2", &view, &f), 0);
	return crm_judge(&view, &f) < 0 ? f.text : NULL;
}

static void only_a_host_that_is_off_for_certain_loses_its_lease(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{STATUS(DC FENCES, N2("false", "false", "false")), NULL},
		{STATUS(DC FENCES, N2("true", "false", "false")), "online"},
		{STATUS(DC FENCES, N2("false", "true", "false")), "has not been fenced"},
		{STATUS(DC FENCES, N2("true", "true", "false")), "online"},
		{STATUS(DC FENCES, N2("false", "false", "true")), "online"},
		{STATUS(DC FENCES, "<node name=\"n2\" online=\"false\"/>"), "not been fenced"},
		{STATUS(DC FENCES, "<node name=\"n2\" unclean=\"false\"/>"), "online"},
		{STATUS(DC FENCES, ""), "knows no host"},
		{STATUS(DC FENCES, N2("false", "false", "false") N2("true", "false", "false")),
		 "online"},
		{STATUS(DC, N2("false", "false", "false")), "fencing is off"},
		{STATUS(DC "<cluster_options stonith-enabled=\"false\"/>",
			N2("false", "false", "false")),
		 "fencing is off"},
		{STATUS(FENCES, N2("false", "false", "false")), "no quorum"},
		{STATUS("<current_dc present=\"false\"/>" FENCES, N2("false", "false", "false")),
		 "no quorum"},
		{STATUS("<current_dc present=\"true\" with_quorum=\"false\"/>" FENCES,
			N2("false", "false", "false")),
		 "no quorum"},
		{"<pacemaker-result/>", "no quorum"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *why = why_not(cases[i].text);

		if (!cases[i].why)
			assert_null(why);
		else
			assert_true(why && strstr(why, cases[i].why));
	}
}

static void a_host_that_leaves_in_order_is_known(void **state)
{
	static const char *const texts[] = {
		STATUS(DC FENCES, "<node name=\"n2\" online=\"true\" shutdown=\"true\"/>"),
		STATUS(DC FENCES, "<node name=\"n2\" online=\"true\" shutdown=\"false\"/>"),
		STATUS(DC FENCES, "<node name=\"n3\" online=\"true\" shutdown=\"true\"/>")};
	struct crm_view view;
	struct failure f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(crm_decode(texts[i], strlen(texts[i]), "n2", &view, &f), 0);
		assert_int_equal(view.leaves, i == 0);
	}
}

static void what_is_no_status_is_refused(void **state)
{
	static const char *const wrong[] = {"", "<a>", "<!DOCTYPE a><a/>", "{}"};
	struct crm_view view;
	struct failure f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(crm_decode(wrong[i], strlen(wrong[i]), "n2", &view, &f), -EINVAL);
}

static int decode(void *ctx)
{
	static const char text[] = STATUS(DC FENCES, N2("false", "false", "false"));
	struct crm_view view;
	struct failure f;

	(void)ctx;
	return crm_decode(text, sizeof(text) - 1, "n2", &view, &f);
}

static void decoding_survives_a_failing_heap(void **state)
{
	(void)state;
	assert_true(failheap_sweep(decode, NULL) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_a_host_that_is_off_for_certain_loses_its_lease),
		cmocka_unit_test(a_host_that_leaves_in_order_is_known),
		cmocka_unit_test(what_is_no_status_is_refused),
		cmocka_unit_test(decoding_survives_a_failing_heap),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
