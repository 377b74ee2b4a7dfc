/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a VM is to be: `vm.json` of its folder (docs/format/vm.md), decoded and checked as a whole,
 * and what its worker is told of it.
 *
 * Trust: the file may come from a volume that others write to, and changes come from clients:
 * all of it is hostile until it is decoded here. What the worker alone understands (numbers of
 * queues, places of disks) is handed on as it is, and checked by the worker's own decoder before
 * it is kept (host/check.c).
 */
#ifndef OYA_HOST_SETTINGS_H
#define OYA_HOST_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/guid.h"
#include "lib/fail.h"

#define SETTINGS_VERSION 1
#define SETTINGS_BYTES_MAX (1u << 20)
#define VM_NAME_MAX 64u

struct json_t;

enum start_action { START_NEVER, START_RESTORE, START_ALWAYS }; /* when the host starts */
enum stop_action { STOP_SHUTDOWN, STOP_OFF, STOP_SAVE };        /* when the host ends */
enum crash_action { CRASH_RESTART, CRASH_LEAVE };

struct settings {
	struct json_t *root; /* all of it, as it is kept */
	struct guid uuid;
	enum start_action start;
	unsigned start_delay_s;
	enum stop_action stop;
	unsigned stop_timeout_s; /* for the guest to shut down, then it is switched off */
	enum crash_action crash;
	unsigned crash_most, crash_within_s; /* restarts, and in which time */
	bool postcopy;                       /* a move may let it go before all of its memory */
	unsigned cpu_percent;                /* of one processor at most; 0: no limit */
	unsigned cpu_weight;                 /* beside others, 1 to 10000 */
};

/* Where the parts of a VM are. */
struct vm_places {
	const char *name;
	const char *folder; /* absolute */
	const char *run;    /* of its sockets, absolute */
};

/* 1 to 64 of letters, digits, dots, dashes and underlines, and neither dot nor dash first. */
bool vm_name_allowed(const char *name);

/* Reads the text of a file. 0 and *ret_settings, or -EINVAL/-ENOMEM and the sentence. */
int settings_decode(const char *text, size_t len, struct settings **ret_settings,
		    struct failure *f);

/* The same of an object, which is copied; what a client leaves out is made: `version`, `uuid`,
 * the addresses of NICs. */
int settings_make(const struct json_t *object, struct settings **ret_settings, struct failure *f);

/* As they are after a merge patch (RFC 7396); `uuid` and `version` stay. */
int settings_patch(const struct settings *s, const struct json_t *patch,
		   struct settings **ret_settings, struct failure *f);

void settings_free(struct settings *s);

/* What a VM is given; where they do not say, by the worker's defaults. */
uint64_t settings_memory_mib(const struct settings *s);
uint64_t settings_cpus(const struct settings *s);

/* The ports of its NICs on switches, to be freed; 0, or -errno and the sentence. */
struct port_config;
int settings_ports(const struct settings *s, struct port_config **ret_ports, size_t *ret_count,
		   struct failure *f);
/* That of one NIC; NULL in *ret_port: it has none. */
int settings_port(const struct settings *s, const struct json_t *nic, struct port_config **ret_port,
		  struct failure *f);
/* Whether a NIC is on this switch. */
bool settings_use_switch(const struct settings *s, const char *name);

/* Where a disk is for the guest: a SCSI controller and LUN, or the first IDE places' numbers. */
struct disk_place {
	unsigned controller, lun;
};

/* Settings with one more disk or NIC, and it as it is in them; or without one, and what it was.
 * 0, or -errno and the sentence. pinned: the disk is told its SCSI place, as a guest that runs
 * needs it. */
int settings_add_disk(const struct settings *s, const struct json_t *disk, bool pinned,
		      struct settings **ret_settings, struct json_t **ret_disk, struct failure *f);
int settings_remove_disk(const struct settings *s, struct disk_place place,
			 struct settings **ret_settings, struct json_t **ret_disk,
			 struct failure *f);
int settings_add_nic(const struct settings *s, const struct json_t *nic,
		     struct settings **ret_settings, struct json_t **ret_nic, struct failure *f);
int settings_remove_nic(const struct settings *s, const char *mac, struct settings **ret_settings,
			struct json_t **ret_nic, struct failure *f);

/* As the settings have it; NULL: there is none. Theirs. */
struct json_t *settings_disk_at(const struct settings *s, struct disk_place place);

/* Copies of its disks, each with its `place`, "CONTROLLER:LUN"; NULL: no memory. */
struct json_t *settings_show_disks(const struct settings *s);

/* One of them as the worker has it; NULL: no memory. */
struct json_t *settings_disk_for_worker(const struct json_t *disk, const char *folder);
struct json_t *settings_nic_for_worker(const struct settings *s, const struct json_t *nic);

/* The configuration for the worker (docs/format/worker-config.md); NULL: no memory. */
struct json_t *settings_for_worker(const struct settings *s, const struct vm_places *places);

#endif
