/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hypervisor's role of this host: what the host is, what stands in the way, what is installed.
 *
 * Trust: runs as root and changes the boot loader's menu; what it reads (CPUID, EFI variables,
 * GRUB's environment) is the machine's own.
 */
#ifndef OYA_CLI_ROLE_H
#define OYA_CLI_ROLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/fail.h"

#define ROLE_VERSION_MAX 32

enum role_state {
	ROLE_NEVER_TRIED,
	ROLE_GOOD,   /* the last boot with the hypervisor came up */
	ROLE_TRYING, /* it has begun and not been noted as good yet */
	ROLE_FAILED, /* it did not come up; the plain system is started from then on */
};

/* What matters of this host. */
struct role_host {
	bool amd, svm, nested_paging, long_mode;
	bool firmware_forbids; /* SVM is switched off and locked */
	bool is_guest;         /* under another's hypervisor */
	bool secure_boot;
	bool has_grub;          /* update-grub and its configuration are there */
	bool grub_cannot_write; /* /boot is where GRUB only reads (LVM, RAID, btrfs, ZFS) */
	bool has_dkms;
	bool is_parent;     /* it runs under oya-hv now */
	uint32_t interface; /* of oya-hv, when is_parent */
};

/* What of the role is there. */
struct role_installed {
	bool entry, driver_loaded;
	char version[ROLE_VERSION_MAX]; /* of what is installed; empty: nothing is */
	enum role_state state;
};

void role_host_read(struct role_host *ret_host);

/* Pure: -ENOTSUP and the sentence when this host cannot have the role, else 0. */
int role_host_check(const struct role_host *host, struct failure *f);

void role_installed_read(struct role_installed *ret_installed);

/* Pure: the state of that name in GRUB's environment, a list of lines NAME=VALUE. */
enum role_state role_state_decode(const char *environment);

/* Each does all, or leaves what was there. With `dry` they only tell the steps on standard output.
 * `from`: the folder with oya-hv, driver/ and role/. 0 or -errno and the sentence. */
int role_install(const char *from, bool dry, struct failure *f);
int role_remove(bool dry, struct failure *f);

/* At the start of the system: loads the driver and notes that the boot came up; nothing on a system
 * that is no parent. */
int role_settle(struct failure *f);

#endif
