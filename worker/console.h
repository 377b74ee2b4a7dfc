/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the guest's serial port leads: standard input and output, a Unix socket, a pseudo
 * terminal. Output is gathered for some milliseconds. What nobody reads is kept up to
 * CONSOLE_BACKLOG bytes, the newest.
 *
 * Threads: with the lock of the devices held.
 */
#ifndef OYA_WORKER_CONSOLE_H
#define OYA_WORKER_CONSOLE_H

#include "devices/chipset/serial.h"
#include "lib/fail.h"
#include "lib/loop.h"
#include "worker/config.h"

#define CONSOLE_BACKLOG 65536u

struct console;

extern const struct serial_host console_serial_ops; /* output and input_room; ctx: the console */

int console_new(const struct config *config, struct loop *loop, struct console **ret_console,
		struct failure *f);
void console_free(struct console *c);

/* The port that input goes to; set once it exists. */
void console_set_port(struct console *c, struct serial *port);

/* Makes a connected stream socket the console's other end, in place of the one before; the
 * descriptor becomes the console's. 0 or -errno. */
int console_attach(struct console *c, int fd);

/* Its socket loses its name: the process ends as it is. Any thread. */
void console_forget(const struct console *c);

/* Descriptor of the folder of the console's socket; -1 when there is none. */
int console_socket_folder(const struct console *c);

/* Path of the pseudo terminal; NULL when the console is none. */
const char *console_pty(const struct console *c);

/* Output that waits for more goes out at once; before timers are held. */
void console_flush(struct console *c);

/* Writes out what is left, without waiting for a reader that does not read. */
void console_drain(struct console *c);

#endif
