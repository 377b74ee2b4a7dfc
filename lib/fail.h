/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A failure told in one sentence: what was being done, to what, why it failed, what to do.
 * Made where the failure is understood, carried up, printed once at the edge.
 */
#ifndef OYA_LIB_FAIL_H
#define OYA_LIB_FAIL_H

#define FAIL_TEXT_MAX 512

struct failure {
	char text[FAIL_TEXT_MAX]; /* without a full stop or newline at its end */
};

/* Writes the sentence and returns code (negative errno), so that a caller can return it. */
__attribute__((format(printf, 3, 4))) int fail(struct failure *f, int code, const char *format,
					       ...);

#endif
