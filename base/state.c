/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/state.h"

#include <errno.h>

int state_move(const struct state_table *t, unsigned *state, unsigned to)
{
	if (!state_allows(t, *state, to))
		return -EPROTO;
	*state = to;
	return 0;
}

const char *state_label(const struct state_table *t, unsigned state)
{
	return state < t->count ? t->labels[state] : "?";
}
