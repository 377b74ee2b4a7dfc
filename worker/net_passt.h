/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A NIC's back end on passt: network for guests without any privilege on the host. passt is a
 * process of its own that translates between Ethernet frames, on a stream socket, and the host's
 * ordinary sockets.
 *
 * Ownership: the worker opens it, gives the port to a NIC, and registers the descriptor with its
 * event loop, level-triggered: readable while net_passt_wants_read(), writable while
 * net_passt_wants_write(). passt lives as long as its socket: it ends when the worker closes it or
 * dies in whatever way.
 * Trust: passt handles the world's packets and is taken for hostile: lengths are checked, its
 * frames are bytes that pass through.
 * Threads: all calls with the lock of the devices held; net_passt_open() on a thread that lives
 * as long as the worker, since the kernel ends passt with it.
 * Spec: passt(1); the socket protocol is that of QEMU's stream netdev: a length of 4 bytes, big
 * endian, then the frame.
 */
#ifndef OYA_WORKER_NET_PASST_H
#define OYA_WORKER_NET_PASST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/netport.h"

#define NET_PASST_FORWARDS_MAX 64u

struct net_passt;

struct net_passt_config {
	const char *program; /* NULL: passt, by PATH */
	/* Ports of the host that lead into the guest: "tcp:8080:80", "udp:127.0.0.1:53:53",
	 * "tcp:[::1]:2222:22". */
	const char *const *forwards;
	unsigned forward_count;
	uint8_t mac[6];     /* the guest's; all zero: not known */
	uint32_t mtu;       /* told to the guest by DHCP and NDP; 0: 1500 */
	bool host_loopback; /* the guest's gateway address leads to the host's loopback */
	/* net_passt_wants_read() or _write() changed; may come from within any call of the NIC. */
	void (*poll_changed)(void *ctx);
	/* passt is gone; the link is dead from now on, and the sentence tells why. Comes from
	 * within net_passt_readable(), once. */
	void (*ended)(void *ctx, const char *sentence);
	void *ctx;
};

/* Starts passt and waits (some 30 ms, at most 2 s) until it serves. 0 and *ret; or -errno, with a
 * sentence for the user in err (err_len bytes with the closing NUL). */
int net_passt_open(const struct net_passt_config *config, struct net_passt **ret, char *err,
		   size_t err_len);

/* The same protocol over a socket that is connected already, non-blocking; it is owned from
 * success on. 0 and *ret, or -ENOMEM. */
int net_passt_attach(const struct net_passt_config *config, int fd, struct net_passt **ret);

/* Ends passt. The NIC must have been freed before. NULL is fine. */
void net_passt_close(struct net_passt *passt);

struct netport *net_passt_port(struct net_passt *passt);
int net_passt_fd(const struct net_passt *passt);
int net_passt_pid(const struct net_passt *passt); /* 0: none of ours */
bool net_passt_wants_read(const struct net_passt *passt);
bool net_passt_wants_write(const struct net_passt *passt);

/* Reads once, gives what came to the NIC. */
void net_passt_readable(struct net_passt *passt);
/* Writes the rest of a frame that did not fit before. */
void net_passt_writable(struct net_passt *passt);

/* One forward as passt's option takes it: "127.0.0.1/8080:80". *ret_udp tells which option.
 * 0, or -EINVAL. Pure. */
int net_passt_forward_spec(const char *forward, char *spec, size_t spec_len, bool *ret_udp);

#endif
