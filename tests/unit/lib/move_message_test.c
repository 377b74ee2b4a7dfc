/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/move_message.h"

static struct failure f;

static void make_pair(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
}

static void close_pair(const int pair[2])
{
	close(pair[0]);
	close(pair[1]);
}

static void messages_come_as_they_were_sent(void **state)
{
	struct move_message m;
	int pair[2];

	(void)state;
	make_pair(pair);
	assert_int_equal(move_send(pair[0], MOVE_SEEN, UINT64_MAX, NULL, &f), 0);
	assert_int_equal(move_send(pair[0], MOVE_REFUSED, 0, "no room", &f), 0);
	assert_int_equal(move_receive(pair[1], &m, &f), 0);
	assert_int_equal(m.kind, MOVE_SEEN);
	assert_true(m.value == UINT64_MAX);
	assert_string_equal(m.text, "");
	assert_int_equal(move_receive(pair[1], &m, &f), 0);
	assert_int_equal(m.kind, MOVE_REFUSED);
	assert_string_equal(m.text, "no room");
	close_pair(pair);
}

static void a_long_text_is_cut(void **state)
{
	char text[MOVE_TEXT_MAX + 100];
	struct move_message m;
	int pair[2];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	make_pair(pair);
	assert_int_equal(move_send(pair[0], MOVE_REFUSED, 0, text, &f), 0);
	assert_int_equal(move_receive(pair[1], &m, &f), 0);
	assert_int_equal(strlen(m.text), MOVE_TEXT_MAX);
	close_pair(pair);
}

static void what_a_terminal_would_obey_is_not_shown(void **state)
{
	struct move_message m;
	int pair[2];

	(void)state;
	make_pair(pair);
	assert_int_equal(move_send(pair[0], MOVE_REFUSED, 0, "a\x1b[2Jb\n", &f), 0);
	assert_int_equal(move_receive(pair[1], &m, &f), 0);
	assert_string_equal(m.text, "a?[2Jb?");
	close_pair(pair);
}

static void each_damaged_byte_of_a_head_is_noticed(void **state)
{
	uint8_t bytes[MOVE_HEAD_BYTES];
	struct move_message m;
	int pair[2];

	(void)state;
	make_pair(pair);
	assert_int_equal(move_send(pair[0], MOVE_SEEN, 7, NULL, &f), 0);
	assert_int_equal(read(pair[1], bytes, sizeof(bytes)), sizeof(bytes));
	for (unsigned i = 0; i < sizeof(bytes); i++) {
		bytes[i] ^= 1;
		assert_int_equal(write(pair[0], bytes, sizeof(bytes)), sizeof(bytes));
		assert_int_equal(move_receive(pair[1], &m, &f), -EBADMSG);
		bytes[i] ^= 1;
	}
	close_pair(pair);
}

static void an_end_is_no_message(void **state)
{
	struct move_message m;
	int pair[2];

	(void)state;
	make_pair(pair);
	assert_int_equal(write(pair[0], "OYMV", 4), 4);
	close(pair[0]);
	assert_int_equal(move_receive(pair[1], &m, &f), -ECONNRESET);
	assert_int_equal(move_send(pair[1], MOVE_SEEN, 0, NULL, &f), -EPIPE);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_as_they_were_sent),
		cmocka_unit_test(a_long_text_is_cut),
		cmocka_unit_test(what_a_terminal_would_obey_is_not_shown),
		cmocka_unit_test(each_damaged_byte_of_a_head_is_noticed),
		cmocka_unit_test(an_end_is_no_message),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
