/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A parent that attacks the hypervisor beneath it: a module for tests alone, which does its work
 * when it is loaded and tells of it in the log.
 *
 * What it gives away is its own, so that the kernel it runs in has nothing to fear of what a parent
 * may do to itself; all else that it names must be refused.
 */
#ifndef OYA_TESTS_LAB_ATTACK_H
#define OYA_TESTS_LAB_ATTACK_H

#include <linux/types.h>

/* A finding: what was not refused. */
void attack_found(const char *what, __u64 a, __u64 b);

/* calls.c: wild calls on all processors at once. 0 or a negative errno: no memory for it. */
int attack_calls(__u64 seed, unsigned int milliseconds);

/* machine.c: MSRs, instructions, the hypervisor's memory, INIT, SIPI and NMI. */
void attack_machine(unsigned int rounds);

#endif
