/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Identities that are made up. */
#ifndef OYA_LIB_RANDOM_H
#define OYA_LIB_RANDOM_H

#include <stdint.h>

#include "base/guid.h"

/* Version 4 of RFC 4122, in the wire form. 0 or -EIO. */
int random_uuid(struct guid *ret_uuid);

/* An address of a NIC with Microsoft's prefix, as guests of Hyper-V have it. 0 or -EIO. */
int random_mac(uint8_t ret_mac[6]);

#endif
