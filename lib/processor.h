/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a processor offers a guest (docs/format/processor.md): of one host, of several at once
 * (their intersection), or of an architecture level. A VM that is started with one as its baseline
 * sees no feature beyond it, and so can move to every host that has as much.
 *
 * Trust: descriptions come from files, settings and other hosts; processor_decode() keeps known
 * bits only. Pure, without memory of its own.
 *
 * Spec: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; x86-64 psABI, 3.1.1 (levels).
 */
#ifndef OYA_LIB_PROCESSOR_H
#define OYA_LIB_PROCESSOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/fail.h"

#define PROCESSOR_VERSION 1
#define PROCESSOR_WORDS 14u
#define PROCESSOR_BITS_MIN 32u /* of a physical address */
#define PROCESSOR_BITS_MAX 52u

enum processor_register { PROCESSOR_EAX, PROCESSOR_EBX, PROCESSOR_ECX, PROCESSOR_EDX };

/* A register of CPUID that holds features. */
struct processor_word {
	const char *name;
	uint32_t leaf, subleaf;
	enum processor_register where;
	uint32_t mask; /* that a baseline can have */
	uint32_t kept; /* that tell of topology or repeat others: as the host has them */
};

extern const struct processor_word processor_words[PROCESSOR_WORDS];

struct processor {
	char vendor[13];    /* "": of any */
	unsigned phys_bits; /* of a physical address; 0: as the host has */
	uint32_t word[PROCESSOR_WORDS];
};

/* {"version": 1, "vendor": "...", "physical_bits": n, "words": {"1.ecx": n, ...}}; NULL: no
 * memory. */
json_t *processor_encode(const struct processor *p);

/* Words that are absent are zero, those that are not known no feature. `what` is whose it is, for
 * the sentence. 0, or -EINVAL and it. */
int processor_decode(const char *what, json_t *object, struct processor *ret, struct failure *f);

/* A baseline as settings have it: the name of a level ("x86-64-v2"), or an object. The same. */
int processor_decode_baseline(json_t *value, struct processor *ret, struct failure *f);

/* Makes of p what p and q both have. 0, or -EINVAL and the sentence: they are of two makers. */
int processor_intersect(struct processor *p, const struct processor *q, struct failure *f);

/* Takes what cannot be used without something that is not there: AVX without the state of its
 * registers, and the other way round. */
void processor_settle(struct processor *p);

/* Names what `here` lacks of `there`, the first ten and how many more; false: nothing. */
bool processor_lacks(const struct processor *here, const struct processor *there, char *text,
		     size_t room);

/* The names of features that a register of CPUID has, at most ten; "" of other registers. */
void processor_name_bits(uint32_t leaf, uint32_t subleaf, unsigned where, uint32_t bits, char *text,
			 size_t room);

#endif
