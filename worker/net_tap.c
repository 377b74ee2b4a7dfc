/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tap back end (net_tap.h). A frame that the NIC has no room for is kept, and reading stops until
 * the NIC wants frames again: the queue is the kernel's, and it drops as a switch does.
 *
 * Where the kernel can do it a header goes before each frame, as virtio's network device has it:
 * it carries the facts of base/netport.h, so that checksums and the cutting of long frames are
 * left to whoever comes last, and mostly to nobody.
 *
 * Long frames come one after the other: behind one, the next is read with all but its begin going
 * straight to where the NIC wants it. Small ones alone do not pay for asking the NIC.
 */
#include "worker/net_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TAP_BATCH 64 /* frames before the event loop goes on */
#define TAP_IOV_MAX 512u

struct net_tap {
	struct netport port;
	int fd;
	bool facts;        /* a header goes before each frame */
	bool wanted;       /* by the NIC */
	bool expects_long; /* frame next, as the last was */
	size_t kept;       /* length of the frame that waits in `frame`, 0: none */
	void (*poll_changed)(void *ctx);
	void *ctx;
	struct virtio_net_hdr header; /* of the frame */
	uint8_t frame[NETPORT_FRAME_MAX];
};

static void header_encode(const struct netport_facts *f, struct virtio_net_hdr *h)
{
	*h = (struct virtio_net_hdr){0};
	if (f->checksum_missing) {
		h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->csum_start = f->checksum_start;
		h->csum_offset = f->checksum_offset;
	}
	if (f->segments) {
		h->gso_type = f->segments == NETPORT_TCP4 ? VIRTIO_NET_HDR_GSO_TCPV4
							  : VIRTIO_NET_HDR_GSO_TCPV6;
		h->gso_size = f->segment_bytes;
		h->hdr_len = f->header_len;
	}
}

/* Frames of a kind that was not asked for have a kind that no NIC takes. */
static void header_decode(const struct virtio_net_hdr *h, struct netport_facts *f)
{
	*f = (struct netport_facts){
		.checksum_missing = (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0,
		.checksum_valid = (h->flags & VIRTIO_NET_HDR_F_DATA_VALID) != 0,
		.segment_bytes = h->gso_size,
		.header_len = h->hdr_len,
		.checksum_start = h->csum_start,
		.checksum_offset = h->csum_offset,
	};
	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		break;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		f->segments = NETPORT_TCP4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		f->segments = NETPORT_TCP6;
		break;
	default:
		f->segments = UINT8_MAX;
		break;
	}
}

static int tap_send(void *ctx, const struct iovec *iov, unsigned iov_count, size_t len,
		    const struct netport_facts *facts)
{
	struct net_tap *tap = ctx;
	struct virtio_net_hdr header;
	struct iovec all[TAP_IOV_MAX + 1];
	ssize_t n;

	(void)len;
	if (iov_count > TAP_IOV_MAX)
		return -EMSGSIZE;
	if (tap->facts) {
		header_encode(facts, &header);
		all[0] = (struct iovec){.iov_base = &header, .iov_len = sizeof(header)};
		memcpy(all + 1, iov, iov_count * sizeof(*iov));
		n = writev(tap->fd, all, (int)iov_count + 1);
	} else {
		n = writev(tap->fd, iov, (int)iov_count);
	}
	return n >= 0 ? 0 : -errno;
}

/* Gives the frame to the NIC, or keeps it. `placed`: only its begin is in `frame`. */
static void tap_deliver(struct net_tap *tap, size_t len, bool placed)
{
	const struct netport_sink *sink = &tap->port.sink;
	struct netport_facts facts = {0};

	tap->kept = 0;
	if (tap->facts)
		header_decode(&tap->header, &facts);
	tap->expects_long = facts.segments != 0;
	if (placed)
		sink->receive_placed(sink->owner, tap->frame, len, &facts);
	else if (sink->receive && sink->receive(sink->owner, tap->frame, len, &facts) == -EAGAIN)
		tap->kept = len;
}

static void tap_flush(struct net_tap *tap)
{
	if (tap->port.sink.flush)
		tap->port.sink.flush(tap->port.sink.owner);
}

static void tap_want(void *ctx, bool on)
{
	struct net_tap *tap = ctx;
	bool before = tap->wanted;

	tap->wanted = on;
	if (on && tap->kept) {
		tap_deliver(tap, tap->kept, false); /* may come back here with false */
		tap_flush(tap);
	}
	if (tap->wanted != before)
		tap->poll_changed(tap->ctx);
}

/* Best effort: what the kernel does not leave to us comes finished. */
static void tap_accept(void *ctx, unsigned features)
{
	struct net_tap *tap = ctx;
	unsigned long offloads = features & NETPORT_CHECKSUM ? TUN_F_CSUM : 0;

	if (!tap->facts)
		return;
	if (offloads && (features & NETPORT_TCP4))
		offloads |= TUN_F_TSO4 | TUN_F_TSO_ECN;
	if (offloads && (features & NETPORT_TCP6))
		offloads |= TUN_F_TSO6 | TUN_F_TSO_ECN;
	(void)ioctl(tap->fd, TUNSETOFFLOAD, offloads);
}

static void tap_pull(void *ctx)
{
	struct net_tap *tap = ctx;
	const struct netport_sink *sink = &tap->port.sink;
	struct iovec iov[2 + NETPORT_ROOM_MAX] = {
		{.iov_base = &tap->header, .iov_len = tap->facts ? sizeof(tap->header) : 0},
		{.iov_base = tap->frame},
	};
	ssize_t head = (ssize_t)iov[0].iov_len;

	for (int i = 0; i < TAP_BATCH && tap->wanted; i++) {
		size_t begin = sizeof(tap->frame);
		unsigned pieces = 0;
		ssize_t n;

		if (tap->expects_long && sink->room)
			pieces = sink->room(sink->owner, iov + 2, &begin);
		iov[1].iov_len = begin;
		n = readv(tap->fd, iov, 2 + (int)pieces);
		/* Nothing there, or an interface that is down: it wakes us when that ends. */
		if (n <= head)
			break;
		tap_deliver(tap, (size_t)(n - head), (size_t)(n - head) > begin);
	}
	tap_flush(tap);
}

static const struct netport_ops tap_ops = {
	.send = tap_send, .want = tap_want, .accept = tap_accept, .pull = tap_pull};

void net_tap_readable(struct net_tap *tap)
{
	tap_pull(tap);
}

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
static void tap_bring_up(const struct ifreq *tap_request, unsigned mtu)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = *tap_request;

	if (s < 0)
		return;
	if (ioctl(s, SIOCGIFFLAGS, &request) == 0 && !(request.ifr_flags & IFF_UP)) {
		request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
		(void)ioctl(s, SIOCSIFFLAGS, &request);
	}
	if (mtu) {
		request.ifr_mtu = (int)mtu;
		(void)ioctl(s, SIOCSIFMTU, &request);
	}
	close(s);
}

static int tap_new(const struct net_tap_config *config, int fd, bool facts, struct net_tap **ret)
{
	struct net_tap *tap = calloc(1, sizeof(*tap));

	if (!tap)
		return -ENOMEM;
	tap->fd = fd;
	tap->facts = facts;
	tap->port = (struct netport){.ops = &tap_ops, .ctx = tap};
	if (facts)
		tap->port.features = NETPORT_CHECKSUM | NETPORT_TCP4 | NETPORT_TCP6;
	tap->poll_changed = config->poll_changed;
	tap->ctx = config->ctx;
	tap_accept(tap, 0);
	*ret = tap;
	return 0;
}

/* Attaches fd to the interface; the header of virtio where the kernel knows it. */
static int tap_attach(int fd, struct ifreq *request, bool *ret_facts)
{
	int size = sizeof(struct virtio_net_hdr);
	unsigned features = 0;

	if (ioctl(fd, TUNGETFEATURES, &features) < 0)
		features = 0;
	if (features & IFF_VNET_HDR)
		request->ifr_flags |= IFF_VNET_HDR;
	if (ioctl(fd, TUNSETIFF, request) < 0)
		return -errno;
	*ret_facts = (features & IFF_VNET_HDR) != 0;
	if (*ret_facts && ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
		return -errno;
	return 0;
}

int net_tap_open(const struct net_tap_config *config, struct net_tap **ret, char *err,
		 size_t err_len)
{
	const char *ifname = config->ifname;
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	bool facts = false;
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
	r = tap_attach(fd, &request, &facts);
	if (r == 0)
		r = tap_new(config, fd, facts, ret);
	if (r < 0) {
		close(fd);
		return tap_error("open", ifname, -r, err, err_len);
	}
	tap_bring_up(&request, config->mtu);
	return 0;
}

int net_tap_adopt(const struct net_tap_config *config, int fd, struct net_tap **ret, char *err,
		  size_t err_len)
{
	int size = sizeof(struct virtio_net_hdr), own, r = 0;
	struct ifreq request = {0};

	if (ioctl(fd, TUNGETIFF, &request) < 0 || !(request.ifr_flags & IFF_TAP) ||
	    !(request.ifr_flags & IFF_NO_PI)) {
		snprintf(err, err_len,
			 "the descriptor is no tap device that was opened with IFF_TAP and "
			 "IFF_NO_PI");
		return -EINVAL;
	}
	own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return tap_error("use", request.ifr_name, errno, err, err_len);
	if ((request.ifr_flags & IFF_VNET_HDR) && ioctl(own, TUNSETVNETHDRSZ, &size) < 0)
		r = -errno;
	if (r == 0 && fcntl(own, F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	if (r == 0)
		r = tap_new(config, own, (request.ifr_flags & IFF_VNET_HDR) != 0, ret);
	if (r < 0) {
		close(own);
		return tap_error("use", request.ifr_name, -r, err, err_len);
	}
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
