/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages between the two ends of a VM that moves (abi/move.h), on a stream socket.
 *
 * Threads: none of its own; calls wait for the socket, which shutdown() ends.
 * Trust: what is received is hostile; lengths are limited before anything is read.
 */
#ifndef OYA_LIB_MOVE_MESSAGE_H
#define OYA_LIB_MOVE_MESSAGE_H

#include <stdint.h>

#include "abi/move.h"
#include "lib/fail.h"

struct move_message {
	uint32_t kind; /* enum move_kind */
	uint64_t value;
	char text[MOVE_TEXT_MAX + 1];
};

/* text may be NULL, and is cut to what fits. 0, or -errno and the sentence. */
int move_send(int fd, enum move_kind kind, uint64_t value, const char *text, struct failure *f);

/* The next one. 0, or -errno and the sentence; -ECONNRESET when the connection has ended. */
int move_receive(int fd, struct move_message *ret_message, struct failure *f);

#endif
