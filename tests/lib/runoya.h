/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A command of `oya NOUN VERB` within the test, with what it prints. */
#ifndef OYA_TESTS_LIB_RUNOYA_H
#define OYA_TESTS_LIB_RUNOYA_H

struct oya_run {
	int status;
	char *out, *err; /* to be freed by oya_run_done() */
};

/* The words are separated by blanks; one that begins with ' goes up to the next '. A word %s stands
 * for `socket`. */
struct oya_run oya_run(const char *words, const char *socket);
void oya_run_done(struct oya_run *r);

#endif
