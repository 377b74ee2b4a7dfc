/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State tables: a lifecycle is a set of named states and a table of the transitions that are
 * allowed, nothing else. A machine that is asked for another transition refuses it and stays
 * where it is, so that the caller decides what a wrong order of events means. Freestanding.
 */
#ifndef OYA_BASE_STATE_H
#define OYA_BASE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#define STATE_MAX 32

struct state_table {
	const char *name;          /* of the lifecycle, for messages */
	unsigned count;            /* of states, at most STATE_MAX */
	const char *const *labels; /* count names */
	const uint32_t *next;      /* count bit sets: bit n set when a move to state n is allowed */
};

#define STATE_BIT(s) (UINT32_C(1) << (s))

static inline bool state_allows(const struct state_table *t, unsigned from, unsigned to)
{
	return from < t->count && to < t->count && (t->next[from] & STATE_BIT(to)) != 0;
}

/* Moves *state to `to`; 0, or -EPROTO with the state as it was. */
int state_move(const struct state_table *t, unsigned *state, unsigned to);

/* Name of a state; "?" for a number outside the table. */
const char *state_label(const struct state_table *t, unsigned state);

#endif
