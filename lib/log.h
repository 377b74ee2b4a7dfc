/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log: one line per event on standard error, with a syslog priority in front where the
 * journal reads it (JOURNAL_STREAM is set), plain where a person does.
 *
 * Threads: any. The level is the one global of the project.
 */
#ifndef OYA_LIB_LOG_H
#define OYA_LIB_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};

/* Program name for the front of each line, and the level up to which lines are written. */
void log_init(const char *program, enum log_level max);

/* The same with fields for the journal, as lines "NAME=value": what it is about. */
__attribute__((format(printf, 3, 4))) void log_line_of(enum log_level level, const char *fields,
						       const char *format, ...);

__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

/* Lets at most `burst` events through in each period; what a guest can trigger goes through one
 * of these. `ret_suppressed` tells how many were held back before one that passes. */
struct log_limit {
	uint64_t period_ns;
	unsigned burst;
	uint64_t begun_ns; /* of the current period */
	unsigned passed, suppressed;
};

bool log_limit_pass(struct log_limit *l, uint64_t now_ns, unsigned *ret_suppressed);

#endif
