/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the role's parts lie on a host, and the programs that are asked for them. */
#ifndef OYA_CLI_ROLE_FILES_H
#define OYA_CLI_ROLE_FILES_H

#include <stdbool.h>
#include <stddef.h>

#define ROLE_FOLDER "/boot/oya"
#define ROLE_HYPERVISOR ROLE_FOLDER "/oya-hv"
#define ROLE_VERSION ROLE_FOLDER "/version"
#define ROLE_GRUB_SCRIPT "/etc/grub.d/42_oya"
#define ROLE_GRUB_CONFIG "/boot/grub/grub.cfg"
#define ROLE_GRUB_ENVIRONMENT "/boot/grub/grubenv"
#define ROLE_UNIT "/etc/systemd/system/oya-role.service"
#define ROLE_WANTED "/etc/systemd/system/multi-user.target.wants/oya-role.service"
#define ROLE_VARIABLE "oya_state" /* in GRUB's environment */
#define ROLE_MODULE "oya-kvm"     /* as DKMS calls it */
#define ROLE_SOURCE "/usr/src/" ROLE_MODULE "-" OYA_VERSION
#define ROLE_PACKAGED "packaged" /* a file there: it belongs to the package oya-parent-dkms */

struct role_output {
	char *text; /* of standard output, cut to what fits; ends with 0 */
	size_t room;
	bool errors; /* and of standard error, which else nobody hears */
};

/* Runs a program of the PATH to its end, standard input empty. Its output goes to `output`, to
 * nowhere when `output` is NULL. Its exit status; -errno when it could not be run. */
int role_command(const char *const *argv, struct role_output *output);
bool role_command_exists(const char *name);

/* Whether /boot is on what GRUB cannot write to. */
bool role_grub_only_reads(void);

/* GRUB's environment as lines of NAME=VALUE. 0 or -errno. */
int role_grub_environment(char *to, size_t room);

/* Copies a file so that the copy is there whole, or what was there before. 0 or -errno. */
int role_file_copy(const char *from, const char *to, unsigned mode);

#endif
