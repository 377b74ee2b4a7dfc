/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile guest at the whole machine: registers, hypercalls, ports, rings and memory in any
 * order, with the host's own doings in between. The input is a list of steps: a byte that says
 * which, then its operands.
 *
 * Checked after steps: the disk and its controller agree on what is under way and no request
 * was one that a disk must not see; a kick is connected exactly while its channel is open or
 * faulted; a step makes a bounded number of interrupts and lines of log; interrupts, messages and
 * frames are of legal shapes (whole.h). What was refused by a register changes nothing.
 */
#include "fuzz/steps.h"

#define STEPS_MAX 128u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);
	struct whole *w = whole_get();

	for (unsigned n = 0; n < STEPS_MAX && in.left; n++)
		steps_do(w, &in, n % 4 == 0);
	whole_end(w);
	return 0;
}
