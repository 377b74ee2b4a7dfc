/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a worker is told to run: decoded from JSON (docs/format/worker-config.md), checked as a
 * whole before anything is opened.
 */
#ifndef OYA_WORKER_CONFIG_H
#define OYA_WORKER_CONFIG_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/guid.h"
#include "lib/fail.h"
#include "lib/processor.h"

#define CONFIG_VERSION 1
#define CONFIG_CONTROLLERS_MAX 4u
#define CONFIG_LUNS_MAX 64u
#define CONFIG_DISKS_MAX (CONFIG_CONTROLLERS_MAX * CONFIG_LUNS_MAX)
#define CONFIG_LUN_ANY UINT32_MAX
/* With firmware: four more, of one unit each, which are the places of the IDE channels. */
#define CONFIG_IDE_FIRST CONFIG_CONTROLLERS_MAX
#define CONFIG_IDE_PLACES 4u
#define CONFIG_CONTROLLER_ANY UINT32_MAX
#define CONFIG_SERIAL_MAX 64u
#define CONFIG_NICS_MAX 8u
#define CONFIG_FORWARDS_MAX 16u
#define CONFIG_USER_MAX 2147483647
#define CONFIG_CPUS_MAX 64u
#define CONFIG_SCSI_QUEUES_MAX 16u
#define CONFIG_DISK_TIMEOUT_S 60u
#define CONFIG_DISK_TIMEOUT_MAX_S 3600u
#define CONFIG_SCSI_QUEUES_DEFAULT 8u /* at most, one for each processor */
#define CONFIG_THREADS_MAX 2u
#define CONFIG_NODES_MAX 8u
#define CONFIG_MEMORY_MIN_MIB 32u
#define CONFIG_MEMORY_MAX_MIB (4u * 1024 * 1024)
#define CONFIG_BYTES_MAX (1024u * 1024)

#define CONFIG_MTU_MIN 576u
#define CONFIG_MTU_MAX 9000u
#define CONFIG_QUEUES_MAX 8u

enum config_console { CONSOLE_NONE, CONSOLE_STDIO, CONSOLE_SOCKET, CONSOLE_PTY };
enum config_nic { NIC_USER, NIC_TAP };
enum config_pages { PAGES_TRANSPARENT, PAGES_4K, PAGES_2M, PAGES_1G };

/* A node of the guest: the next part of its memory and the next processors. */
struct config_node {
	uint64_t memory_bytes;
	unsigned cpus;
	int host_node; /* where the memory is to lie; -1: anywhere */
};

struct config_disk {
	char *path;   /* NULL: an empty drive */
	char *serial; /* NULL: made of the VM's UUID and the place */
	bool dvd;
	bool read_only;
	bool direct;           /* past the host's page cache */
	bool pause;            /* the VM, when the disk fails */
	uint32_t sector_bytes; /* 0: as the image has it */
	uint32_t controller, lun;
};

struct config_port {
	enum config_nic type;
	uint8_t mac[6];
	unsigned mtu;                           /* 0: of Ethernet */
	unsigned queues;                        /* 0: as many as processors, at most 8 */
	bool spoof_guard;                       /* the guest sends with its own address only */
	char *ifname;                           /* tap */
	char *forward[CONFIG_FORWARDS_MAX + 1]; /* user: "tcp:HOSTPORT:GUESTPORT", NULL-ended */
};

struct config {
	char *name;
	struct guid uuid;
	uint64_t memory_bytes;
	enum config_pages memory_pages;
	unsigned cpus, threads; /* threads of a core */
	unsigned node_count;    /* 0: the guest hears nothing of nodes */
	struct config_node node[CONFIG_NODES_MAX];
	cpu_set_t *pin; /* for each processor the host's that may run it; NULL: all may */
	struct processor *baseline; /* that the guest sees no feature beyond; NULL: none */
	char *device;               /* of the partition interface; NULL: what this host has */
	char *kernel, *initrd, *append;
	bool firmware; /* boot by it, from a disk; else the kernel */
	bool sandbox;  /* give up all rights once everything is open */
	uint32_t user; /* become this user and group then; 0: stay who one is */
	bool unpack;   /* decompress the kernel on the host */
	unsigned disk_count, nic_count;
	struct config_disk disk[CONFIG_DISKS_MAX];
	struct config_port nic[CONFIG_NICS_MAX];
	enum config_console console;
	char *console_path;
	char *control_path;   /* NULL: no control socket */
	char *state_path;     /* of a saved state to go on from; NULL: the VM boots */
	bool incoming;        /* it comes from another worker, over a connection */
	char *end_path;       /* NULL: nobody wants to know how it ended */
	char *lease_path;     /* NULL: nobody else could run it */
	uint64_t lease_epoch; /* at which host_uuid holds it; 0: it is to be offered to it */
	struct guid host_uuid;
	uint32_t vmbus_max_version; /* 0: the newest */
	bool stimer;                /* offer synthetic timers */
	unsigned scsi_queues;       /* channels of a disk controller */
	unsigned controllers;       /* of disks */
	unsigned disk_timeout_s;    /* for a disk to answer; 0: any */
	bool stimer_direct;         /* with direct mode */
};

/* Reads len bytes of JSON. 0 and *ret_config, or -EINVAL/-ENOMEM and the sentence. */
int config_decode(const char *json, size_t len, struct config **ret_config, struct failure *f);

/* Reads one disk, as a member of 'disks' is; its place may be CONFIG_LUN_ANY. 0, or -EINVAL/-ENOMEM
 * and the sentence; d is to be given to config_disk_done() either way. */
struct json_t;
int config_decode_disk(struct json_t *obj, struct config_disk *d, struct failure *f);
void config_disk_done(struct config_disk *d);

/* Reads the settings of a tap that comes as a descriptor; obj is changed. 0, or -errno and the
 * sentence. */
int config_decode_port(struct json_t *obj, struct config_port *p, struct failure *f);

/* The same from a file; "-" is standard input. */
int config_load(const char *path, struct config **ret_config, struct failure *f);

void config_free(struct config *c);

#endif
