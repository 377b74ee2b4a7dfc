/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of a device's saved state share: a record there and back, cut short, and changed.
 * Helpers end the test (a failure of cmocka) where the device does not do as base/record.h and
 * docs/design/migration.md say. Records are read from blocks of their exact length, so that a
 * sanitizer sees each byte that is read behind their end.
 */
#ifndef OYA_TESTS_LIB_STATETEST_H
#define OYA_TESTS_LIB_STATETEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/record.h"

#define STATETEST_ROOM (256u * 1024) /* bytes of a record, at most */

/* A device's function, in both directions. */
typedef void (*state_fn)(void *device, struct record *r);

/* Writes the device's record, or counts only (NULL); how long it is. */
size_t statetest_write(state_fn fn, void *device, uint8_t *to, size_t room);

/* Reads a record: 0, or -EBADMSG. Of what was refused, ret_wrong (NULL: not wanted) has the reason,
 * RECORD_WRONG_MAX bytes. */
int statetest_read(state_fn fn, void *device, const uint8_t *from, size_t len, char *ret_wrong);

/* A fresh device that reads what `from` has written writes the same. */
void statetest_same(state_fn fn, void *from, void *fresh);

/* A record that ends anywhere too early is refused, and leaves a fresh device as it was. Of a long
 * record some hundred places are tried, here and below. */
void statetest_cut(state_fn fn, void *from, void *(*make)(void), void (*drop)(void *));

/* So is one that goes on behind its end, for devices that look (record_end()). */
void statetest_more(state_fn fn, void *from, void *(*make)(void), void (*drop)(void *));

/* A record with any byte of it changed is refused, or gives a device that can be driven on. */
void statetest_flip(state_fn fn, void *from, void *(*make)(void), void (*drop)(void *),
		    void (*drive)(void *));

/* The record that `from` writes, with `len` bytes of the value of a field changed, is refused by a
 * fresh device for a reason that has `why` in it, and leaves the device as it was. */
void statetest_refuses(state_fn fn, void *from, void *(*make)(void), void (*drop)(void *),
		       const char *field, size_t at, const void *bytes, size_t len,
		       const char *why);

#endif
