/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values of options as they are written on a command line, and the objects of a VM's settings that
 * they become. What an option means is checked by who gets the object; here is only how it is
 * written.
 *
 * All return 0, or -EINVAL with the sentence.
 */
#ifndef OYA_CLI_VALUES_H
#define OYA_CLI_VALUES_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/fail.h"

/* Takes the next part of a comma-separated list, which is cut up; false at its end. The value is
 * NULL when the part has no '='. */
bool value_next_part(char **rest, char **ret_name, char **ret_value);

/* A size of memory with its unit, M or G, in MiB. */
int value_memory(const char *text, json_int_t *ret_mib, struct failure *f);

/* Whether the text is written as a size: digits and one of the units M, G and T. */
bool value_is_size(const char *text);
/* Such a one, in MiB. */
int value_size(const char *text, json_int_t *ret_mib, struct failure *f);

/* Sets a member; `key` is for the sentence too. What is not UTF-8 cannot be handed on. */
int value_set_text(json_t *obj, const char *key, const char *text, struct failure *f);
int value_set_number(json_t *obj, const char *key, const char *text, struct failure *f);

/* A disk or a drive, "FILE[,OPTION...]", whose image is named by the member `file`. */
int value_unit(const char *text, bool dvd, const char *file, json_t **ret_unit, struct failure *f);

/* A NIC, "user|tap=IF[,OPTION...]". */
int value_nic(const char *text, json_t **ret_nic, struct failure *f);

#endif
