/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of this host stands in the way of its VMs: checks, each with what was found and what to do.
 *
 * Trust: files of the system and words of its programs are its own; they are shown clean and
 * cut, never acted on.
 */
#ifndef OYA_CLI_DOCTOR_H
#define OYA_CLI_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/fail.h"

#define DOCTOR_FINDINGS_MAX 48u
#define DOCTOR_TEXT_MAX FAIL_TEXT_MAX

/* DOCTOR_NOTE: worth to know, and nobody has to do anything. */
enum doctor_verdict { DOCTOR_OK, DOCTOR_NOTE, DOCTOR_WRONG };

struct doctor_finding {
	const char *check; /* its name */
	enum doctor_verdict verdict;
	char text[DOCTOR_TEXT_MAX];
	char remedy[DOCTOR_TEXT_MAX]; /* empty: nothing is to be done */
};

struct doctor {
	const char *root; /* of the files that are looked at; "": this system's */
	struct doctor_finding finding[DOCTOR_FINDINGS_MAX];
	unsigned count;
};

/* Notes a finding; `remedy` may be NULL. */
__attribute__((format(printf, 5, 6))) void doctor_note(struct doctor *d, const char *check,
						       enum doctor_verdict verdict,
						       const char *remedy, const char *format, ...);

bool doctor_is_wrong(const struct doctor *d);

/* "ok", "note" or "wrong". */
const char *doctor_word(enum doctor_verdict verdict);

/* Checks of files below `root`: processor, devices, memory, programs, group, networks. */
void doctor_files(struct doctor *d);

/* ---- pure, of what was asked elsewhere ---- */

/* The policy of the chain FORWARD, as 'iptables -S FORWARD' or 'nft list chain' tells it. */
bool doctor_forward_drops(const char *text);

/* What adjtimex() returned, its status and its estimate of the error. */
void doctor_clock(struct doctor *d, int state, int status, long error_us);

/* `version`: of the service that answers; NULL: none does, and `why`. */
void doctor_service(struct doctor *d, const char *version, const char *why);

/* Of a file system: where, and its sizes. */
void doctor_space(struct doctor *d, const char *folder, uint64_t free_bytes, uint64_t all_bytes);

#endif
