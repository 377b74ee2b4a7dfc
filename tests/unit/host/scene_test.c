/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Places in a cluster: the engine's configuration and its simulator's words, and what they mean. */
#include "host/scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tests/lib/failheap.h"

#define PAIR(name, value) "<nvpair id=\"x\" name=\"" name "\" value=\"" value "\"/>"
#define HOST(id, name, memory)                                                                 \
	"<node id=\"" id "\" uname=\"" name "\"><utilization id=\"u\">" PAIR("memory", memory) \
		PAIR("cpu", "16") "</utilization><instance_attributes id=\"t\">" PAIR(         \
			"oya-tag-ssd", "true")                                                 \
			PAIR("oya-tag-old", "false") "</instance_attributes></node>"
#define VM(name, memory, live)                                                                  \
	"<primitive id=\"vm-" name "\" class=\"ocf\" provider=\"oya\" type=\"vm\">"             \
	"<meta_attributes id=\"m\">" PAIR("allow-migrate",                                      \
					  live) "</meta_attributes>"                            \
						"<utilization id=\"u\">" PAIR("memory", memory) \
							PAIR("cpu", "2") "</utilization>"       \
									 "</primitive>"
#define CIB(properties, nodes, resources)                                                          \
	"<cib><configuration><crm_config><cluster_property_set id=\"p\">" properties               \
	"</cluster_property_set></crm_config><nodes>" nodes "</nodes><resources>" resources        \
	"<primitive id=\"power\" class=\"stonith\" type=\"x\"/>"                                   \
	"<primitive id=\"vm-other\" class=\"ocf\" provider=\"heartbeat\" type=\"VirtualDomain\"/>" \
	"</resources></configuration><status><node_state uname=\"n9\"/></status></cib>"
#define BALANCED PAIR("placement-strategy", "balanced")

static const char three[] =
	CIB(BALANCED, HOST("1", "n1", "16384") HOST("2", "n2", "16384") HOST("3", "n3", "16384"),
	    VM("web", "8192", "true") VM("db", "4096", "true") VM("old", "1000", "false"));

#define NODE(name, online) "<node name=\"" name "\" online=\"" online "\"/>"
#define ON(vm, host)                                                                      \
	"<resource id=\"vm-" vm "\" role=\"Started\" managed=\"true\"><node name=\"" host \
	"\"/></resource>"
#define OFF(vm, more) "<resource id=\"vm-" vm "\" role=\"Stopped\" managed=\"true\" " more "/>"
#define PLAY(n2, resources, actions)                                                        \
	"<pacemaker-result><cluster_status><nodes>" NODE("n1", "true") NODE("n2", n2)       \
		NODE("n3", "true")                                                          \
			NODE("n9", "true") "</nodes><resources>" resources                  \
					   "</resources></cluster_status><actions>" actions \
					   "</actions></pacemaker-result>"
#define DO(action, vm, where) "<rsc_action action=\"" action "\" resource=\"vm-" vm "\" " where "/>"

static struct scene scene;

static int decode(const char *text)
{
	struct failure f;

	return scene_decode(text, strlen(text), &scene, &f);
}

static struct scene_play play(const char *text)
{
	struct scene_play p;
	struct failure f;

	assert_int_equal(scene_decode_play(&scene, text, strlen(text), &p, &f), 0);
	return p;
}

static int setup(void **state)
{
	(void)state;
	return decode(three);
}

static void hosts_and_vms_are_those_of_the_configuration(void **state)
{
	(void)state;
	assert_int_equal(scene.hosts, 3);
	assert_int_equal(scene.vms, 3);
	assert_string_equal(scene.host[1].name, "n2");
	assert_int_equal(scene.host[1].id, 2);
	assert_true(scene.host[1].told && scene.host[1].memory_mib == 16384);
	assert_int_equal(scene.host[1].cpus, 16);
	assert_int_equal(scene.host[1].tags, 1);
	assert_string_equal(scene.host[1].tag[0], "ssd");
	assert_string_equal(scene.vm[0].name, "web");
	assert_int_equal(scene.vm[0].memory_mib, 8192);
	assert_int_equal(scene.vm[0].cpus, 2);
	assert_true(scene.vm[0].live && !scene.vm[2].live);
	assert_true(scene_counts(&scene) && scene.fences);
	assert_int_equal(scene_find_vm(&scene, "other"), -1);
}

static void numbers_that_cannot_be_meant_are_none(void **state)
{
	static const char *const wrong[] = {
		"-1", "", "x", "1x", "99999999999999999999999", "1099511627777"};
	char text[4096];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		snprintf(text, sizeof(text), CIB("", HOST("1", "n1", "%s"), ""), wrong[i]);
		assert_int_equal(decode(text), 0);
		assert_false(scene.host[0].told);
	}
	assert_int_equal(decode(CIB("", HOST("70000", "n1", "1") HOST("1", "a b", "1"), "")), 0);
	assert_int_equal(scene.hosts, 0);
	assert_int_equal(decode("<cib"), -EINVAL);
}

static void too_much_is_refused(void **state)
{
	char *text = calloc(1, 1u << 20), *at = text;

	(void)state;
	assert_non_null(text);
	at += sprintf(at, "<cib><configuration><resources>");
	for (unsigned i = 0; i <= SCENE_VMS_MAX; i++)
		at += sprintf(at, "<primitive id=\"vm-%u\" provider=\"oya\" type=\"vm\"/>", i);
	sprintf(at, "</resources></configuration></cib>");
	assert_int_equal(decode(text), -E2BIG);
	at = text;
	at += sprintf(at, "<cib><configuration><nodes>");
	for (unsigned i = 0; i <= MEMBERS_MAX; i++)
		at += sprintf(at, "<node id=\"%u\" uname=\"n%u\"/>", i, i);
	sprintf(at, "</nodes></configuration></cib>");
	assert_int_equal(decode(text), -E2BIG);
	free(text);
}

static void without_a_device_or_switched_off_there_is_no_fencing(void **state)
{
	(void)state;
	assert_int_equal(decode(CIB(PAIR("stonith-enabled", "false"), "", "")), 0);
	assert_false(scene.fences || scene_counts(&scene));
	assert_int_equal(decode("<cib/>"), 0);
	assert_false(scene.fences);
	assert_int_equal(decode(CIB(PAIR("placement-strategy", "default"), "", "")), 0);
	assert_false(scene_counts(&scene));
}

static void a_play_tells_where_vms_come_to_be(void **state)
{
	struct scene_play p = play(PLAY(
		"false", ON("web", "n1") OFF("db", "") OFF("old", "target_role=\"Stopped\""), ""));
	struct failure f;

	(void)state;
	assert_true(p.online[0] && !p.online[1] && p.online[2]);
	assert_int_equal(p.at[0], 0);
	assert_int_equal(p.at[1], SCENE_NOWHERE);
	assert_int_equal(p.at[2], SCENE_IDLE);
	assert_int_equal(scene_free_mib(&scene, &p, 0), 8192);
	p = play(PLAY("true", "<group id=\"g\">" ON("web", "n9") "</group>", ""));
	assert_int_equal(p.at[0], SCENE_NOWHERE);
	assert_int_equal(p.at[1], SCENE_IDLE);
	p = play("<pacemaker-result><cluster_status><nodes><node name=\"n1\" "
		 "online=\"true\" standby=\"true\"/></nodes></cluster_status>"
		 "</pacemaker-result>");
	assert_false(p.online[0]);
	assert_int_equal(scene_decode_play(&scene, "<a/>", 4, &p, &f), -EIO);
	assert_int_equal(scene_decode_play(&scene, "<a", 2, &p, &f), -EINVAL);
}

static void what_the_engine_would_do_is_done(void **state)
{
	struct scene_play p = play(PLAY(
		"true", ON("web", "n1") OFF("db", "") ON("old", "n2"),
		DO("move", "web", "source=\"n1\" dest=\"n3\"") DO("start", "db", "node=\"n1\"")
			DO("restart", "old", "source=\"n2\"") DO("stop", "other", "node=\"n2\"")));

	(void)state;
	assert_int_equal(p.at[0], 2);
	assert_int_equal(p.at[1], 0);
	assert_int_equal(p.at[2], 1);
	scene_leave(&scene, &p, "n2");
	assert_int_equal(p.at[2], SCENE_NOWHERE);
	p = play(PLAY("true", ON("web", "n1") ON("db", "n1") OFF("old", "target_role=\"Stopped\""),
		      DO("stop", "web", "node=\"n1\"")
			      DO("recover", "db", "source=\"n1\" dest=\"n2\" blocked=\"true\"")
				      DO("start", "old", "node=\"n1\"")));
	assert_int_equal(p.at[0], SCENE_NOWHERE);
	assert_int_equal(p.at[1], SCENE_NOWHERE);
	assert_int_equal(p.at[2], SCENE_IDLE);
	p = play(PLAY("true", ON("web", "n1"), DO("migrate", "web", "source=\"n1\" dest=\"n8\"")));
	assert_int_equal(p.at[0], SCENE_NOWHERE);
}

static void assert_told(const struct scene_survival *v, json_type survives, const char *reason)
{
	json_t *told = scene_tell(&scene, v);
	const char *text = json_string_value(json_object_get(told, "reason"));

	assert_int_equal(json_typeof(json_object_get(told, "survives")), survives);
	if (reason && (!text || !strstr(text, reason)))
		print_error("'%s' is not in '%s'\n", reason, text ? text : "");
	assert_true(reason ? text && strstr(text, reason) : !text);
	json_decref(told);
}

/* All is well with web on n1, and n2 lost. */
static struct scene_survival well(void)
{
	struct scene_survival v = {.quorate = true};

	v.base = play(PLAY("true", ON("web", "n1") ON("db", "n2") ON("old", "n2"), ""));
	for (unsigned i = 0; i < 3; i++)
		v.loss[i] = scene_judge_loss(&scene, &v.base, &v.base, NULL);
	return v;
}

static void what_fits_nowhere_is_told_by_its_name_and_size(void **state)
{
	struct scene_survival v = well();
	struct scene_play lost =
		play(PLAY("false", OFF("web", "") ON("db", "n1") OFF("old", ""), ""));
	struct scene_play roomy =
		play(PLAY("false", OFF("web", "") ON("db", "n1") ON("old", "n3"), ""));

	(void)state;
	assert_told(&v, JSON_TRUE, NULL);
	v.loss[1] = scene_judge_loss(&scene, &v.base, &lost, NULL);
	assert_told(&v, JSON_FALSE, "VM web (8 GiB) and 1 more fit nowhere when n2 is lost");
	/* One that lacks room is told before one whose rules leave it no host. */
	v.loss[1] = scene_judge_loss(&scene, &v.base, &lost, &roomy);
	assert_told(&v, JSON_FALSE, "VM old (1000 MiB) fits nowhere when n2 is lost");
	v.loss[1] = scene_judge_loss(&scene, &v.base, &lost, &lost);
	assert_told(&v, JSON_FALSE, "may run on no other host when n2 is lost");
	v = well();
	v.base.at[1] = SCENE_NOWHERE;
	assert_told(&v, JSON_FALSE, "VM db (4 GiB) fits nowhere as it is");
	v = well();
	v.quorate = false;
	assert_told(&v, JSON_FALSE, "there is no quorum");
	v = well();
	v.loss[0].played = v.loss[1].played = false;
	assert_told(&v, JSON_FALSE, "no other host is online");
	scene.fences = false;
	assert_told(&v, JSON_FALSE, "there is no fencing");
	snprintf(scene.strategy, sizeof(scene.strategy), "default");
	assert_told(&v, JSON_NULL, "is told not to look at memory");
	scene.strategy[0] = '\0';
	assert_told(&v, JSON_NULL, "VMs would be moved");
	scene.host[2].told = false;
	assert_told(&v, JSON_NULL, "not all hosts have told");
}

static void only_what_a_change_breaks_is_held_against_it(void **state)
{
	struct scene_survival before = well(), after = well();
	struct failure f = {""};

	(void)state;
	assert_int_equal(scene_admit(&scene, &before, &after, false, &f), 0);
	after.loss[1].vm = 0;
	assert_int_equal(scene_admit(&scene, &before, &after, false, &f), -EBUSY);
	assert_non_null(strstr(f.text, "VM web (8 GiB) fits nowhere when n2 is lost; --force"));
	assert_int_equal(scene_admit(&scene, &before, &after, true, &f), 0);
	/* That loss was not survived before. */
	before.loss[1].vm = 1;
	assert_int_equal(scene_admit(&scene, &before, &after, false, &f), 0);
	/* Another one was. */
	after.loss[2].vm = 0;
	assert_int_equal(scene_admit(&scene, &before, &after, false, &f), -EBUSY);
	/* A VM that is bound to its host takes nobody's room, and does not hide who does. */
	after.loss[2].by_rule = true;
	assert_int_equal(scene_admit(&scene, &before, &after, false, &f), 0);
	before.loss[1].by_rule = true;
	assert_int_equal(scene_admit(&scene, &before, &after, false, &f), -EBUSY);
	/* Nobody forces what would not even run. */
	after.base.at[1] = SCENE_NOWHERE;
	assert_int_equal(scene_admit(&scene, &before, &after, true, &f), -EBUSY);
	assert_non_null(strstr(f.text, "VM db (4 GiB) would fit nowhere"));
	before.base.at[1] = SCENE_NOWHERE;
	assert_int_equal(scene_admit(&scene, &before, &after, true, &f), 0);
}

static void a_vm_that_moves_or_stops_does_not_stay(void **state)
{
	struct scene_play before = play(PLAY("true", ON("web", "n1") OFF("db", ""), "")),
			  after = before;
	struct failure f;

	(void)state;
	after.at[1] = 2; /* it had no place */
	assert_int_equal(scene_keep(&scene, &before, &after, &f), 0);
	after.at[0] = 1;
	assert_int_equal(scene_keep(&scene, &before, &after, &f), -EBUSY);
	assert_string_equal(f.text, "VM web (8 GiB) would not stay on n1");
	after.at[0] = SCENE_NOWHERE;
	assert_int_equal(scene_keep(&scene, &before, &after, &f), -EBUSY);
}

static void votes_have_to_outlive_one_host(void **state)
{
	(void)state;
	assert_true(scene_judge_votes("x\nTotal votes:      3\nQuorum:           2  \n"));
	assert_false(scene_judge_votes("x\nTotal votes:      2\nQuorum:           2 Activity\n"));
	assert_true(scene_judge_votes("x\nTotal votes:      2\nQuorum:           1\n"));
	assert_false(scene_judge_votes("x\nTotal votes:      2\n"));
	assert_false(scene_judge_votes(""));
}

static void the_vm_that_evens_out_most_goes_first(void **state)
{
	struct scene_play p =
		play(PLAY("true", ON("web", "n1") ON("db", "n1") ON("old", "n1"), ""));
	struct scene_play after = p;
	unsigned full, empty;
	int vm[SCENE_CANDIDATES_MAX];
	struct failure why;

	(void)state;
	assert_true(scene_ends(&scene, &p, &full, &empty));
	assert_int_equal(full, 0);
	assert_true(empty == 1 || empty == 2);
	/* 13288 MiB lie between: web brings 5096, db 4096; old cannot move as it runs. */
	assert_int_equal(scene_candidates(&scene, &p, full, empty, vm), 2);
	assert_int_equal(vm[0], 0);
	assert_int_equal(vm[1], 1);
	after.at[0] = 1;
	assert_int_equal(scene_judge_move(&scene, &p, &after, 0), 1);
	scene_tell_move(&scene, &p, 0, 1, &why);
	assert_string_equal(why.text,
			    "n1 has 3096 MiB free and n2 16384; then they have 11288 and 8192");
	/* Back again is not worth it; nor what takes another VM along, or has no end. */
	assert_int_equal(scene_judge_move(&scene, &after, &p, 0), -1);
	after.at[1] = 2;
	assert_int_equal(scene_judge_move(&scene, &p, &after, 0), -1);
	after = p;
	after.at[0] = SCENE_NOWHERE;
	assert_int_equal(scene_judge_move(&scene, &p, &after, 0), -1);
}

static void the_best_candidates_are_kept_of_many(void **state)
{
	struct scene_play p = {.online = {true, true}};
	int vm[SCENE_CANDIDATES_MAX];

	(void)state;
	scene.vms = 20;
	for (unsigned i = 0; i < 20; i++) {
		scene.vm[i] = (struct scene_vm){.memory_mib = 1000 + i, .live = true};
		p.at[i] = i < 12 ? 0 : SCENE_IDLE;
	}
	assert_int_equal(scene_candidates(&scene, &p, 0, 1, vm), SCENE_CANDIDATES_MAX);
	for (unsigned i = 0; i < SCENE_CANDIDATES_MAX; i++)
		assert_int_equal(vm[i], 11 - i);
	p.online[0] = false;
	assert_false(scene_ends(&scene, &p, &(unsigned){0}, &(unsigned){0}));
}

static int decode_all(void *ctx)
{
	struct scene_play *p = ctx;
	static const char text[] = PLAY("true", ON("web", "n1"), "");
	struct failure f;
	int r = scene_decode(three, sizeof(three) - 1, &scene, &f);

	return r < 0 ? r : scene_decode_play(&scene, text, sizeof(text) - 1, p, &f);
}

static void decoding_survives_a_failing_heap(void **state)
{
	struct scene_play p;

	(void)state;
	assert_true(failheap_sweep(decode_all, &p) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(hosts_and_vms_are_those_of_the_configuration, setup),
		cmocka_unit_test(numbers_that_cannot_be_meant_are_none),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(without_a_device_or_switched_off_there_is_no_fencing),
		cmocka_unit_test_setup(a_play_tells_where_vms_come_to_be, setup),
		cmocka_unit_test_setup(what_the_engine_would_do_is_done, setup),
		cmocka_unit_test_setup(what_fits_nowhere_is_told_by_its_name_and_size, setup),
		cmocka_unit_test_setup(only_what_a_change_breaks_is_held_against_it, setup),
		cmocka_unit_test_setup(a_vm_that_moves_or_stops_does_not_stay, setup),
		cmocka_unit_test(votes_have_to_outlive_one_host),
		cmocka_unit_test_setup(the_vm_that_evens_out_most_goes_first, setup),
		cmocka_unit_test_setup(the_best_candidates_are_kept_of_many, setup),
		cmocka_unit_test(decoding_survives_a_failing_heap),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
