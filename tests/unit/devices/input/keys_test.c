/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts and chords as keystrokes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "devices/input/keys.h"

static struct keystroke strokes[KEYS_STROKES_MAX];
static unsigned count, at;

static void assert_stroke(unsigned n, uint16_t code, uint16_t flags)
{
	assert_int_equal(strokes[n].code, code);
	assert_int_equal(strokes[n].flags, flags);
}

static void small_letters_are_pressed_and_released(void **state)
{
	(void)state;
	assert_int_equal(keys_from_text("a\n", strokes, &count, &at), 0);
	assert_int_equal(count, 4);
	assert_stroke(0, 0x1e, 0);
	assert_stroke(1, 0x1e, KEYBOARD_BREAK);
	assert_stroke(2, 0x1c, 0);
}

static void capitals_are_within_shift(void **state)
{
	(void)state;
	assert_int_equal(keys_from_text("Z", strokes, &count, &at), 0);
	assert_int_equal(count, 4);
	assert_stroke(0, 0x2a, 0);
	assert_stroke(1, 0x2c, 0);
	assert_stroke(2, 0x2c, KEYBOARD_BREAK);
	assert_stroke(3, 0x2a, KEYBOARD_BREAK);
}

static void every_printable_character_has_a_key_of_its_own(void **state)
{
	unsigned seen[128][2] = {{0}};

	(void)state;
	for (char c = ' '; c < 0x7f; c++) {
		const char text[2] = {c, '\0'};
		unsigned shift;

		assert_int_equal(keys_from_text(text, strokes, &count, &at), 0);
		shift = count == 4;
		assert_int_equal(seen[strokes[shift].code][shift]++, 0);
	}
}

static void characters_without_a_key_are_told_by_their_place(void **state)
{
	(void)state;
	assert_int_equal(keys_from_text("ab\xC3\xA4", strokes, &count, &at), -EILSEQ);
	assert_int_equal(at, 2);
	assert_int_equal(keys_from_text("\x7f", strokes, &count, &at), -EILSEQ);
	assert_int_equal(keys_from_text("", strokes, &count, &at), -EINVAL);
}

static void texts_are_bounded(void **state)
{
	char text[KEYS_TEXT_MAX + 2];

	(void)state;
	memset(text, 'A', sizeof(text));
	text[KEYS_TEXT_MAX + 1] = '\0';
	assert_int_equal(keys_from_text(text, strokes, &count, &at), -E2BIG);
	text[KEYS_TEXT_MAX] = '\0';
	assert_int_equal(keys_from_text(text, strokes, &count, &at), 0);
	assert_int_equal(count, KEYS_STROKES_MAX);
}

static void a_chord_is_released_the_other_way_round(void **state)
{
	(void)state;
	assert_int_equal(keys_from_chord("ctrl-alt-del", strokes, &count), 0);
	assert_int_equal(count, 6);
	assert_stroke(0, 0x1d, 0);
	assert_stroke(1, 0x38, 0);
	assert_stroke(2, 0x53, KEYBOARD_E0);
	assert_stroke(3, 0x53, KEYBOARD_E0 | KEYBOARD_BREAK);
	assert_stroke(5, 0x1d, KEYBOARD_BREAK);
	assert_int_equal(keys_from_chord("f12", strokes, &count), 0);
	assert_stroke(0, 0x58, 0);
	assert_int_equal(keys_from_chord("alt-x", strokes, &count), 0);
	assert_stroke(1, 0x2d, 0);
}

static void wrong_chords_are_refused(void **state)
{
	static const char *const wrong[] = {"", "-", "ctrl-", "ctrl--a", "Ctrl", "ctrl-A", "a b"};

	(void)state;
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(keys_from_chord(wrong[i], strokes, &count), -ENOENT);
	assert_int_equal(keys_from_chord("a-b-c-d-e-f-g-h", strokes, &count), 0);
	assert_int_equal(keys_from_chord("a-b-c-d-e-f-g-h-i", strokes, &count), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_letters_are_pressed_and_released),
		cmocka_unit_test(capitals_are_within_shift),
		cmocka_unit_test(every_printable_character_has_a_key_of_its_own),
		cmocka_unit_test(characters_without_a_key_are_told_by_their_place),
		cmocka_unit_test(texts_are_bounded),
		cmocka_unit_test(a_chord_is_released_the_other_way_round),
		cmocka_unit_test(wrong_chords_are_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
