/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Networks of a test's own: namespaces, pairs of NICs between them, and VMs that are no more than
 * an open tap. Nothing touches the machine's network; all of it goes with the process.
 *
 * Helpers abort when an honest step fails. One thread.
 */
#ifndef OYA_TESTS_LIB_NETNS_H
#define OYA_TESTS_LIB_NETNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETNS_MARK 0x88b5 /* ethertype for experiments: nobody else sends it */

/* Goes into a new namespace, with its loopback up. Its descriptor, or -1: it may not be made. */
int netns_new(void);
void netns_enter(int ns);

/* A pair of NICs, one here and one in `ns`, both up. */
void netns_pair(const char *here, int ns, const char *there);
/* In the namespace that one is in. */
void netns_address(const char *ifname, uint32_t address, unsigned prefix);
/* One more beside those that are there, which ends. */
void netns_add_address(const char *ifname, uint32_t address, unsigned prefix, uint32_t lease_s);
/* One of IPv6, always the same. */
void netns_add_address6(const char *ifname);
bool netns_has_address6(const char *ifname);
bool netns_has_route(uint32_t network, unsigned prefix, const char *ifname);
void netns_gateway(const char *ifname, uint32_t gateway);
/* A route to a network. */
void netns_route(uint32_t network, unsigned prefix, uint32_t gateway, const char *ifname);
void netns_down(const char *ifname);
void netns_up(const char *ifname);
unsigned netns_index(const char *ifname); /* 0: there is none */
/* False when there is no such interface. */
bool netns_has_address(const char *ifname, uint32_t address);

struct netns_vm {
	int fd;
	uint8_t mac[6];
};

/* The kernel tells a bridge of a link that came up when it gets to it, which may take a second. */
void netns_wait_port(const char *ifname);
/* Opens the tap of a port as a worker does. */
struct netns_vm netns_vm(const char *tap, uint8_t number);
void netns_vm_done(struct netns_vm *vm);
/* To all, with a value; `vlan`: tagged so, 0: untagged. */
void netns_send(const struct netns_vm *vm, uint16_t vlan, uint8_t value);
/* The same from another MAC to another MAC. */
void netns_send_from(const struct netns_vm *vm, const uint8_t to[6], const uint8_t from[6],
		     uint8_t value);
/* Any frame. */
void netns_send_frame(const struct netns_vm *vm, const uint8_t *frame, size_t len);
/* The value of the next of these frames and its tag; -1: none within wait_ms. */
int netns_receive(const struct netns_vm *vm, int wait_ms, uint16_t *ret_vlan);
/* The next frame that `is` takes; its length, or 0: none within wait_ms. */
size_t netns_receive_frame(const struct netns_vm *vm, int wait_ms, uint8_t frame[2048],
			   bool (*is)(const uint8_t *frame, size_t len));

/* A frame of UDP over IPv4, untagged; its length. */
size_t netns_udp(uint8_t frame[2048], const uint8_t to[6], const uint8_t from[6], uint32_t src,
		 uint32_t dst, uint16_t sport, uint16_t dport, const void *data, size_t len);
/* The MAC that answers for an address; false: nobody. */
bool netns_arp(const struct netns_vm *vm, uint32_t own, uint32_t asked, int wait_ms,
	       uint8_t ret_mac[6]);

uint64_t netns_now_ms(void); /* of CLOCK_MONOTONIC */
/* Removes a folder of files. */
void netns_remove_dir(const char *path);

#endif
