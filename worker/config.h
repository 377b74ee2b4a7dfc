/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a worker is told to run: decoded from JSON (docs/format/worker-config.md), checked as a
 * whole before anything is opened.
 */
#ifndef OYA_WORKER_CONFIG_H
#define OYA_WORKER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/guid.h"
#include "lib/fail.h"

#define CONFIG_VERSION 1
#define CONFIG_DISKS_MAX 64u
#define CONFIG_NICS_MAX 8u
#define CONFIG_FORWARDS_MAX 16u
#define CONFIG_USER_MAX 2147483647
#define CONFIG_CPUS_MAX 64u
#define CONFIG_MEMORY_MIN_MIB 32u
#define CONFIG_MEMORY_MAX_MIB (4u * 1024 * 1024)
#define CONFIG_BYTES_MAX (1024u * 1024)

enum config_console { CONSOLE_NONE, CONSOLE_STDIO, CONSOLE_SOCKET, CONSOLE_PTY };
enum config_nic { NIC_USER, NIC_TAP };

struct config_disk {
	char *path;
	bool read_only;
	bool direct; /* past the host's page cache */
};

struct config_port {
	enum config_nic type;
	uint8_t mac[6];
	char *ifname;                           /* tap */
	char *forward[CONFIG_FORWARDS_MAX + 1]; /* user: "tcp:HOSTPORT:GUESTPORT", NULL-ended */
};

struct config {
	char *name;
	struct guid uuid;
	uint64_t memory_bytes;
	unsigned cpus;
	char *device; /* of the partition interface: /dev/kvm */
	char *kernel, *initrd, *append;
	bool sandbox;  /* give up all rights once everything is open */
	uint32_t user; /* become this user and group then; 0: stay who one is */
	bool unpack;   /* decompress the kernel on the host */
	unsigned disk_count, nic_count;
	struct config_disk disk[CONFIG_DISKS_MAX];
	struct config_port nic[CONFIG_NICS_MAX];
	enum config_console console;
	char *console_path;
	char *control_path;         /* NULL: no control socket */
	uint32_t vmbus_max_version; /* 0: the newest */
	bool stimer;                /* offer synthetic timers */
};

/* Reads len bytes of JSON. 0 and *ret_config, or -EINVAL/-ENOMEM and the sentence. */
int config_decode(const char *json, size_t len, struct config **ret_config, struct failure *f);

/* The same from a file; "-" is standard input. */
int config_load(const char *path, struct config **ret_config, struct failure *f);

void config_free(struct config *c);

#endif
