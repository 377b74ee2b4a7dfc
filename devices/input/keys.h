/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keystrokes of texts and of named keys, on a US keyboard: what the guest makes of a key is its
 * own affair, so its layout must be that of the US for texts to arrive as they were written.
 *
 * Trust: texts come from clients of the control socket; both functions are pure and bounded.
 */
#ifndef OYA_DEVICES_INPUT_KEYS_H
#define OYA_DEVICES_INPUT_KEYS_H

#include "devices/input/keyboard.h"

#define KEYS_TEXT_MAX 256u /* characters of a text */
#define KEYS_CHORD_MAX 8u  /* keys that are held together */
#define KEYS_STROKES_MAX (4u * KEYS_TEXT_MAX)

/* strokes has room for KEYS_STROKES_MAX. 0 and *ret_count; -EILSEQ for a character that has no key
 * (*ret_at is its place); -E2BIG; -EINVAL for none at all. */
int keys_from_text(const char *text, struct keystroke *strokes, unsigned *ret_count,
		   unsigned *ret_at);

/* Keys with a dash between, such as ctrl-alt-del: pressed in order, released the other way round.
 * 0 and *ret_count; -ENOENT for an unknown name; -E2BIG. */
int keys_from_chord(const char *names, struct keystroke *strokes, unsigned *ret_count);

#endif
