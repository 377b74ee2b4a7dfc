/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's serial line on the terminal: keys go to the guest, what it writes comes to the screen,
 * and Ctrl-] begins a command, which is the next key.
 *
 * Trust: what the guest writes goes to the terminal as it is, as on a real serial line.
 * Threads: the caller's.
 */
#ifndef OYA_CLI_TERMINAL_H
#define OYA_CLI_TERMINAL_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

/* A command of the console. press() may write a line to `err`, with CR and LF around it. */
struct terminal_key {
	char key;
	const char *text; /* what it does, for the list of them */
	void (*press)(void *owner);
};

struct terminal {
	int guest; /* the socket of the serial line */
	int in, out, err;
	int stop;          /* the relay ends when it becomes readable; -1: none */
	const char *early; /* what the guest has written before */
	size_t early_len;
	const struct terminal_key *keys;
	size_t key_count;
	void *owner;

	/* of the relay */
	bool raw; /* `in` is a terminal, and raw now */
	bool escaped, left;
	struct termios before;
};

/* Carries bytes both ways until the guest's end closes, `stop` says so, or a key has called
 * terminal_leave(). Where `in` is a terminal it is raw meanwhile, and as before afterwards. The end
 * of `in` ends nothing. */
void terminal_relay(struct terminal *t);

void terminal_leave(struct terminal *t);

/* Keys come one by one, and are not shown; Ctrl-C stays a signal. False: it is no terminal. */
bool terminal_take_keys(int fd, struct termios *ret_before);

/* Signals that would end us are held back, so that the terminal can be made as before first. The
 * descriptor becomes readable when one has come; -1: none. */
int terminal_take_signals(sigset_t *ret_before);
/* Closes it; one that has come ends us now. */
void terminal_give_signals(int fd, const sigset_t *before);

#endif
