/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of verbs as people meet it: help, wrong use, completion. */
#include "cli/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tests/lib/fakeapi.h"
#include "tests/lib/runoya.h"

/* ---- the table ---- */

static void each_noun_of_a_verb_is_in_the_list_of_nouns(void **state)
{
	(void)state;
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &command_table[i];
		size_t n = 0;

		while (n < command_noun_count && strcmp(command_nouns[n].name, c->noun) != 0)
			n++;
		assert_true(n < command_noun_count);
		assert_ptr_equal(command_find(c->noun, c->verb), c); /* once */
	}
}

static void help_of_each_verb_names_all_of_its_options(void **state)
{
	(void)state;
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &command_table[i];
		const struct command_option *o;
		char words[64], option[64];
		struct oya_run r;
		unsigned n = 0;

		snprintf(words, sizeof(words), "%s %s --help", c->noun, c->verb ? c->verb : "");
		r = oya_run(words, NULL);
		assert_int_equal(r.status, 0);
		assert_string_equal(r.err, "");
		assert_non_null(strstr(r.out, c->operands));
		for (; (o = command_option_at(c, n)); n++) {
			snprintf(option, sizeof(option), "--%s", o->name);
			assert_non_null(strstr(r.out, option));
		}
		assert_true(n < COMMAND_OPTIONS_MAX);
		oya_run_done(&r);
	}
}

static void wrong_use_says_how_to_get_help(void **state)
{
	struct oya_run r;

	(void)state;
	r = oya_run("vm dance", NULL);
	assert_int_equal(r.status, 2);
	assert_string_equal(r.err,
			    "oya vm: there is no verb 'dance'; 'oya vm --help' lists them\n");
	oya_run_done(&r);
	r = oya_run("vm", NULL);
	assert_int_equal(r.status, 2);
	assert_non_null(strstr(r.err, "usage: oya vm VERB"));
	oya_run_done(&r);
	r = oya_run("console", NULL);
	assert_int_equal(r.status, 2);
	assert_string_equal(r.err, "oya console: it wants NAME; 'oya console --help' tells the "
				   "options\n");
	oya_run_done(&r);
	r = oya_run("vm list --no-wait", NULL);
	assert_int_equal(r.status, 2);
	oya_run_done(&r);
	r = oya_run("job show x", NULL);
	assert_int_equal(r.status, 2);
	oya_run_done(&r);
}

/* ---- completion ---- */

static void offers(const char *line, const char *expected)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	command_complete(line, f);
	fclose(f);
	assert_string_equal(text, expected);
	free(text);
}

static void verbs_and_options_are_completed(void **state)
{
	(void)state;
	offers("oya vm st", "word start\nword stop\nword stat\n");
	offers("oya job ", "word list\nword show\nword wait\nword cancel\nword --help\n");
	offers("oya vm stop web --o", "word --off\nword --output\n");
	offers("oya vm list -o ", "word table\nword json\n");
	offers("oya vm list --output j", "word json\n");
	offers("oya vm delete web --disks ", "word keep\nword delete\n");
	offers("oya vm create web --disk a", "run\n");
	offers("oya vm list --socket ", "file\n");
	offers("oya --host a vm st", "word start\nword stop\nword stat\n");
	offers("oya --host a ho", "word host\n");
	offers("oya token create ci --role o", "word operator\n");
	offers("oya vm create ",
	       "word --cpus\nword --memory\nword --image\nword --size\nword --disk\nword --dvd\nword --net\n"
	       "word --firmware\nword --kernel\nword --initrd\nword --append\n"
	       "word --notes\nword --tag\nword --start\nword --no-wait\n"
	       "word --output\nword --dry-run\nword --show-api\nword --socket\n"
	       "word --host\n"
	       "word --help\n");
	offers("oya vm set web start.", "part start.action=\npart start.delay=\n");
	offers("oya vm dance ", "");
	offers("oya", "");
	offers("", "");
}

static void names_and_jobs_come_from_the_host_service(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"GET /v1/vms?limit=1000 ",
		 FAKEAPI_JSON("200 OK", "{\"vms\": [{\"name\": \"db\"}, {\"name\": \"web\"}, "
					"{\"name\": \"web2\"}], \"next\": null}"),
		 false},
		{"GET /v1/vms?limit=1000 ",
		 FAKEAPI_JSON("200 OK", "{\"vms\": [{\"name\": \"db\"}], \"next\": null}"), false},
		{"GET /v1/jobs?limit=1000 ",
		 FAKEAPI_JSON("200 OK", "{\"jobs\": [{\"id\": 12}, {\"id\": 3}], \"next\": null}"),
		 false},
	};
	static struct fakeapi server;

	(void)state;
	fakeapi_start(&server, answers, ARRAY_LEN(answers));
	setenv("OYA_SOCKET", server.path, 1);
	offers("oya vm start w", "word web\nword web2\n");
	offers("oya console ", "word db\n");
	offers("oya job show 1", "word 12\n");
	unsetenv("OYA_SOCKET");
	assert_true(fakeapi_stop(&server));
	/* Without a service: nothing, and no word about it. */
	offers("oya vm start --socket /nowhere/api ", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_noun_of_a_verb_is_in_the_list_of_nouns),
		cmocka_unit_test(help_of_each_verb_names_all_of_its_options),
		cmocka_unit_test(wrong_use_says_how_to_get_help),
		cmocka_unit_test(verbs_and_options_are_completed),
		cmocka_unit_test(names_and_jobs_come_from_the_host_service),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
