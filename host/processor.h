/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest may have found in a processor, as two hosts compare it before a VM moves. Coarse, so
 * that a wrong host is told at once: the workers compare what this one guest has been given.
 */
#ifndef OYA_HOST_PROCESSOR_H
#define OYA_HOST_PROCESSOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/fail.h"

#define PROCESSOR_WORDS 8u

struct processor {
	char vendor[13];
	uint32_t word[PROCESSOR_WORDS]; /* of CPUID, but for bits that no guest gets */
};

void processor_read(struct processor *ret);

/* {"vendor": "...", "words": {"1.ecx": n, ...}}; NULL: no memory. */
json_t *processor_encode(const struct processor *p);
/* Words that are absent are zero. 0, or -EINVAL and the sentence. */
int processor_decode(json_t *object, struct processor *ret, struct failure *f);

/* Names what `here` lacks of what a guest of `there` may use, the first ten and how many more;
 * false: nothing. */
bool processor_lacks(const struct processor *here, const struct processor *there, char *text,
		     size_t room);

#endif
