/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tap back end (net_tap.h). A frame that the NIC has no room for is kept, and reading stops until
 * the NIC wants frames again: the queue is the kernel's, and it drops as a switch does.
 */
#include "worker/net_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TAP_BATCH 64 /* frames before the event loop goes on */

struct net_tap {
	struct netport port;
	int fd;
	bool wanted; /* by the NIC */
	size_t kept; /* length of the frame that waits in `frame`, 0: none */
	void (*poll_changed)(void *ctx);
	void *ctx;
	uint8_t frame[NETPORT_FRAME_MAX];
};

static int tap_send(void *ctx, const struct iovec *iov, unsigned iov_count, size_t len)
{
	struct net_tap *tap = ctx;

	(void)len;
	if (writev(tap->fd, iov, (int)iov_count) >= 0)
		return 0;
	return -errno;
}

/* Gives the frame to the NIC, or keeps it. */
static void tap_deliver(struct net_tap *tap, size_t len)
{
	const struct netport_sink *sink = &tap->port.sink;

	tap->kept = 0;
	if (sink->receive && sink->receive(sink->owner, tap->frame, len) == -EAGAIN)
		tap->kept = len;
}

static void tap_want(void *ctx, bool on)
{
	struct net_tap *tap = ctx;
	bool before = tap->wanted;

	tap->wanted = on;
	if (on && tap->kept)
		tap_deliver(tap, tap->kept); /* may come back here with false */
	if (tap->wanted != before)
		tap->poll_changed(tap->ctx);
}

static const struct netport_ops tap_ops = {.send = tap_send, .want = tap_want};

static const char *tap_hint(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		return "; run as root, or make the device for this user with "
		       "'ip tuntap add dev NAME mode tap user USER'";
	case EBUSY:
		return "; another process uses it";
	case EINVAL:
		return "; an interface of that name is no tap device of a single queue";
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return "; load the kernel module with 'modprobe tun'";
	default:
		return "";
	}
}

static int tap_error(const char *doing, const char *ifname, int error, char *err, size_t err_len)
{
	snprintf(err, err_len, "cannot %s tap device '%s': %s%s", doing, ifname, strerror(error),
		 tap_hint(error));
	return -error;
}

/* Without the right to do so the interface stays as its owner has set it. */
static void tap_bring_up(const struct ifreq *tap_request)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = *tap_request;

	if (s < 0)
		return;
	if (ioctl(s, SIOCGIFFLAGS, &request) == 0 && !(request.ifr_flags & IFF_UP)) {
		request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
		(void)ioctl(s, SIOCSIFFLAGS, &request);
	}
	close(s);
}

int net_tap_open(const struct net_tap_config *config, struct net_tap **ret, char *err,
		 size_t err_len)
{
	const char *ifname = config->ifname;
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	struct net_tap *tap;
	int fd, r;

	if (!ifname[0] || strlen(ifname) >= sizeof(request.ifr_name) || strpbrk(ifname, "/% ")) {
		snprintf(err, err_len,
			 "'%s' cannot be the name of a tap device: it takes 1 to %zu characters "
			 "and no '/', '%%' or space",
			 ifname, sizeof(request.ifr_name) - 1);
		return -EINVAL;
	}
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return tap_error("open /dev/net/tun for", ifname, errno, err, err_len);
	memcpy(request.ifr_name, ifname, strlen(ifname));
	if (ioctl(fd, TUNSETIFF, &request) < 0) {
		r = tap_error("open", ifname, errno, err, err_len);
		close(fd);
		return r;
	}
	tap = calloc(1, sizeof(*tap));
	if (!tap) {
		close(fd);
		return tap_error("open", ifname, ENOMEM, err, err_len);
	}
	tap_bring_up(&request);
	tap->fd = fd;
	tap->port = (struct netport){.ops = &tap_ops, .ctx = tap};
	tap->poll_changed = config->poll_changed;
	tap->ctx = config->ctx;
	*ret = tap;
	return 0;
}

void net_tap_close(struct net_tap *tap)
{
	if (!tap)
		return;
	close(tap->fd);
	free(tap);
}

struct netport *net_tap_port(struct net_tap *tap)
{
	return &tap->port;
}

int net_tap_fd(const struct net_tap *tap)
{
	return tap->fd;
}

bool net_tap_wants_read(const struct net_tap *tap)
{
	return tap->wanted;
}

void net_tap_readable(struct net_tap *tap)
{
	for (int i = 0; i < TAP_BATCH && tap->wanted; i++) {
		ssize_t n = read(tap->fd, tap->frame, sizeof(tap->frame));

		/* Nothing there, or an interface that is down: it wakes us when that ends. */
		if (n <= 0)
			return;
		tap_deliver(tap, (size_t)n);
	}
}
