/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket's verbs and lines, against a VM that does not run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"
#include "tests/lib/stillvm.h"
#include "worker/control.h"
#include "worker/control_verbs.h"

static int set_up(void **state)
{
	*state = stillvm_new();
	return 0;
}

static int tear_down(void **state)
{
	stillvm_free(*state);
	return 0;
}

static json_t *ask(struct stillvm *s, const char *line, enum control_turn *ret_turn)
{
	struct descriptors none = {0};
	json_t *answer = control_answer(&s->vm, line, strlen(line), &none, ret_turn);

	assert_true(json_is_object(answer));
	return answer;
}

static void assert_error(struct stillvm *s, const char *line, const char *sentence)
{
	enum control_turn turn = CONTROL_STAYS;
	json_t *answer = ask(s, line, &turn);

	assert_true(json_is_false(json_object_get(answer, "ok")));
	assert_string_equal(json_string_value(json_object_get(answer, "error")), sentence);
	assert_int_equal(turn, CONTROL_STAYS);
	json_decref(answer);
}

static void requests_that_are_none_are_refused(void **state)
{
	assert_error(*state, "", "the request is not JSON");
	assert_error(*state, "status", "the request is not JSON");
	assert_error(*state, "{\"verb\": \"status\"", "the request is not JSON");
	assert_error(*state, "\"status\"", "the request is not JSON");
	assert_error(*state, "[]", "a request is an object with a 'verb'");
	assert_error(*state, "{}", "a request is an object with a 'verb'");
	assert_error(*state, "{\"verb\": 5}", "a request is an object with a 'verb'");
	assert_error(*state, "{\"verb\": \"explode\"}", "there is no verb 'explode'");
}

/* The name is cut after 32 bytes, in the middle of a character. */
static void a_verb_cut_within_a_character_still_gets_an_answer(void **state)
{
	char line[128] = "{\"verb\": \"x";
	char sentence[] = "there is no verb 'x...............................'";

	for (unsigned i = 0; i < 20; i++)
		strcat(line, "é");
	strcat(line, "\"}");
	memset(strchr(sentence, '.'), '?', 31);
	assert_error(*state, line, sentence);
}

static void a_name_that_fills_the_sentence_still_gets_an_answer(void **state)
{
	struct stillvm *s = *state;
	char name[1025] = "";
	enum control_turn turn;
	json_t *answer;

	for (unsigned i = 0; i < 512; i++)
		strcat(name, "ü");
	s->config.name = name;
	answer = ask(s, "{\"verb\": \"pause\"}", &turn);
	assert_non_null(json_string_value(json_object_get(answer, "error")));
	json_decref(answer);
}

static void a_vm_that_does_not_run_refuses_what_needs_a_running_one(void **state)
{
	assert_error(*state, "{\"verb\": \"pause\"}", "cannot pause the VM 'still': it is built");
	assert_error(*state, "{\"verb\": \"resume\"}", "cannot resume the VM 'still': it is built");
	assert_error(*state, "{\"verb\": \"reset\"}", "cannot reset the VM 'still': it is built");
	assert_error(*state, "{\"verb\": \"nmi\"}",
		     "cannot send an NMI to the VM 'still': it is built");
}

static void status_statistics_and_guest_are_told(void **state)
{
	struct stillvm *s = *state;
	static const char *const verbs[] = {"{\"verb\": \"status\"}", "{\"verb\": \"statistics\"}",
					    "{\"verb\": \"guest\"}"};
	enum control_turn turn;

	strcpy(s->vm.crash, "Oops: here\nthere");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		json_t *answer = ask(s, verbs[i], &turn);
		json_t *result = json_object_get(answer, "result");

		assert_true(json_is_true(json_object_get(answer, "ok")));
		assert_true(json_is_object(result));
		if (i == 0) {
			assert_string_equal(json_string_value(json_object_get(result, "state")),
					    "built");
			assert_string_equal(json_string_value(json_object_get(result, "crash")),
					    "Oops: here\nthere");
			assert_true(json_is_null(json_object_get(result, "vmbus")));
		}
		json_decref(answer);
	}
}

static void stop_is_left_for_the_loop(void **state)
{
	struct stillvm *s = *state;
	enum control_turn turn;

	json_decref(ask(s, "{\"verb\": \"stop\"}", &turn));
	assert_true(s->vm.want_stop);
	assert_string_equal(s->vm.reason, "a user switched it off");
}

static void keys_are_checked_before_they_are_pressed(void **state)
{
	const char *absent =
		"cannot press keys of the VM 'still': its guest drives no keyboard (yet)";

	assert_error(*state, "{\"verb\": \"key\"}",
		     "'key' takes the string 'keys', such as ctrl-alt-del");
	assert_error(*state, "{\"verb\": \"key\", \"keys\": \"ctrl-anykey\"}",
		     "'ctrl-anykey' holds a key that does not exist");
	assert_error(*state, "{\"verb\": \"key\", \"keys\": \"a-b-c-d-e-f-g-h-i\"}",
		     "'a-b-c-d-e-f-g-h-i' are more than 8 keys");
	assert_error(*state, "{\"verb\": \"key\", \"keys\": \"ctrl-alt-del\"}", absent);
	assert_error(*state, "{\"verb\": \"type\", \"text\": 5}",
		     "'type' takes the string 'text', which is not empty");
	assert_error(*state, "{\"verb\": \"type\", \"text\": \"ok\u00e4\"}",
		     "the text cannot be typed: a US keyboard has no key for byte 2");
	assert_error(*state, "{\"verb\": \"type\", \"text\": \"ok\"}", absent);
}

static void pairs_are_refused_without_a_guest(void **state)
{
	struct stillvm *s = *state;
	enum control_turn turn;
	json_t *answer;

	assert_error(s, "{\"verb\": \"kvp-set\", \"key\": \"k\"}", "the string 'value' is missing");
	assert_error(s, "{\"verb\": \"kvp-delete\"}", "the string 'key' is missing");
	assert_error(s, "{\"verb\": \"kvp-get\", \"pool\": \"deep\"}",
		     "there is no pool 'deep': external, guest, auto and parameters");
	assert_error(s, "{\"verb\": \"kvp-delete\", \"pool\": \"auto\", \"key\": \"k\"}",
		     "the pool 'auto' is the guest's own");
	assert_error(s, "{\"verb\": \"kvp-set\", \"key\": \"\", \"value\": \"\"}",
		     "the key or the value is too long or empty: 255 and 1023 characters are "
		     "possible");
	assert_error(s, "{\"verb\": \"kvp-set\", \"key\": \"k\", \"value\": \"\"}",
		     "cannot change the pairs of the VM 'still': its guest has no service for them "
		     "(yet)");
	assert_error(s, "{\"verb\": \"kvp-get\", \"key\": \"k\"}",
		     "the pool 'external' of the VM 'still' has no key 'k', as far as is known");
	answer = ask(s, "{\"verb\": \"kvp-get\"}", &turn);
	assert_int_equal(json_object_size(json_object_get(answer, "result")), 0);
	json_decref(answer);
}

static void console_hands_the_connection_over(void **state)
{
	enum control_turn turn = CONTROL_STAYS;

	json_decref(ask(*state, "{\"verb\": \"console\"}", &turn));
	assert_int_equal(turn, CONTROL_BECOMES_CONSOLE);
}

/* ---- the socket ---- */

/* Some turns of the loop: enough for everything that is ready. */
struct turn {
	struct stillvm *s;
	unsigned left;
};

static void count_down(void *owner)
{
	struct turn *t = owner;

	if (!t->left--)
		loop_stop(t->s->vm.loop);
	loop_wake(t->s->vm.loop);
}

static void run_loop(struct stillvm *s)
{
	struct turn turn = {.s = s, .left = 5};

	assert_int_equal(loop_run(s->vm.loop, count_down, &turn), 0);
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void lines_are_answered_in_turn_and_a_line_without_end_is_cut_off(void **state)
{
	struct stillvm *s = *state;
	char path[64], text[8192], *line = text;
	struct control *control;
	struct failure f;
	unsigned answers = 0;
	int fd, flood;
	ssize_t n;

	snprintf(path, sizeof(path), "/tmp/control_test.%d", (int)getpid());
	assert_int_equal(control_new(path, &s->vm, &control, &f), 0);
	fd = connect_to(path);
	flood = connect_to(path);
	memset(text, 'x', sizeof(text));
	assert_int_equal(send(flood, text, sizeof(text), MSG_NOSIGNAL), sizeof(text));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(write(fd, "{\"verb\":\"guest\"}\n{\"ve", 21), 21);
		assert_int_equal(write(fd, "rb\":\"guest\"}\n", 13), 13);
	}
	run_loop(s);
	n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	assert_true(n > 0);
	text[n] = '\0';
	while ((line = strchr(line, '\n'))) {
		line++;
		answers++;
	}
	assert_int_equal(answers, 6);
	assert_true(recv(flood, text, 1, MSG_DONTWAIT) <= 0);
	assert_int_not_equal(errno, EAGAIN);
	close(fd);
	close(flood);
	control_free(control);
	assert_int_not_equal(access(path, F_OK), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void requests_about_nics_name_one_and_bring_a_tap(void **state)
{
	assert_error(*state, "{\"verb\": \"link\", \"nic\": 0, \"up\": true}",
		     "the VM has no NIC 0");
	assert_error(*state, "{\"verb\": \"link\", \"nic\": 8, \"up\": true}",
		     "a NIC is named by the number 'nic', from 0 to 7");
	assert_error(*state, "{\"verb\": \"link\", \"nic\": 0}", "a link is true or false: 'up'");
	assert_error(*state, "{\"verb\": \"nic-remove\", \"nic\": 3}", "the VM has no NIC 3");
	assert_error(*state, "{\"verb\": \"nic-remove\"}",
		     "a NIC is named by the number 'nic', from 0 to 7");
	assert_error(*state, "{\"verb\": \"nic-add\"}",
		     "cannot add a NIC: the request came without a tap's descriptor");
	assert_error(*state, "{\"verb\": \"nic-add\", \"mtu\": 1}",
		     "cannot use the VM's configuration: 'mtu' is 1, allowed are 576 to 9000");
	assert_error(
		*state, "{\"verb\": \"nic-add\", \"ifname\": \"t\"}",
		"cannot use the VM's configuration: a NIC that is added has no 'type' and no 'ifname'");
}

static void descriptor_that_is_no_tap_is_refused_and_closed(void **state)
{
	struct stillvm *s = *state;
	enum control_turn turn = CONTROL_STAYS;
	struct descriptors given = {.count = 2};
	int pair[2];
	char byte;
	json_t *answer;

	assert_int_equal(pipe(pair), 0);
	given.fd[0] = dup(pair[1]); /* of several the last one counts, and none is left open */
	given.fd[1] = pair[1];
	answer = control_answer(&s->vm, "{\"verb\": \"nic-add\"}", 19, &given, &turn);
	assert_string_equal(json_string_value(json_object_get(answer, "error")),
			    "the descriptor is no tap device that was opened with IFF_TAP and "
			    "IFF_NO_PI");
	assert_int_equal(given.count, 0);
	assert_int_equal(read(pair[0], &byte, 1), 0);
	close(pair[0]);
	json_decref(answer);
}

/* Reads what there is and takes the line feed at its end off. */
static json_t *take_line(int fd)
{
	char text[8192];
	ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
	char *end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;

	assert_non_null(end);
	return json_loadb(text, (size_t)(end - text), 0, NULL);
}

static void who_watches_is_told_of_each_change(void **state)
{
	struct stillvm *s = *state;
	struct control *control;
	struct failure f;
	char path[64];
	json_t *line;
	int fd;

	snprintf(path, sizeof(path), "/tmp/control_watch_test.%d", (int)getpid());
	assert_int_equal(control_new(path, &s->vm, &control, &f), 0);
	fd = connect_to(path);
	assert_int_equal(write(fd, "{\"verb\":\"watch\"}\n", 17), 17);
	run_loop(s);
	line = take_line(fd);
	assert_non_null(json_object_get(json_object_get(line, "result"), "state"));
	json_decref(line);
	assert_non_null(s->vm.tell);
	s->vm.tell(s->vm.tell_owner);
	line = take_line(fd);
	assert_string_equal(json_string_value(json_object_get(line, "event")), "status");
	assert_non_null(json_object_get(json_object_get(line, "result"), "state"));
	json_decref(line);
	close(fd);
	run_loop(s);
	s->vm.tell(s->vm.tell_owner); /* nobody is left */
	control_free(control);
	assert_null(s->vm.tell);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_that_are_none_are_refused),
		TEST(a_verb_cut_within_a_character_still_gets_an_answer),
		TEST(a_name_that_fills_the_sentence_still_gets_an_answer),
		TEST(a_vm_that_does_not_run_refuses_what_needs_a_running_one),
		TEST(status_statistics_and_guest_are_told),
		TEST(stop_is_left_for_the_loop),
		TEST(keys_are_checked_before_they_are_pressed),
		TEST(pairs_are_refused_without_a_guest),
		TEST(console_hands_the_connection_over),
		TEST(lines_are_answered_in_turn_and_a_line_without_end_is_cut_off),
		TEST(who_watches_is_told_of_each_change),
		TEST(requests_about_nics_name_one_and_bring_a_tap),
		TEST(descriptor_that_is_no_tap_is_refused_and_closed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
