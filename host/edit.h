/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs made, changed and removed. Each of these checks at once what can be checked, does the rest in
 * the pool, and calls done() on the loop once it is on the disk.
 *
 * A VM that is being made is in the host's list already, so that its name is taken; `making` says
 * that it cannot be used yet.
 */
#ifndef OYA_HOST_EDIT_H
#define OYA_HOST_EDIT_H

#include <jansson.h>
#include <stdbool.h>

#include "host/vm.h"

struct host;

/* `r` is 0, or -errno with the sentence; then everything is as it was. vm: NULL when it is not
 * there any more. */
typedef void edit_done_fn(void *ctx, struct vm *vm, int r, const struct failure *f);

/* brought: the folder of images that are `from` elsewhere; or NULL (host/images.h). 0: done()
 * follows. Else -errno and the sentence. */
int edit_create(struct host *h, const char *name, const json_t *settings, const char *brought,
		edit_done_fn *done, void *ctx, struct failure *f);
/* Whether that would be refused now. 0, or -errno and the sentence. */
int edit_check_new(const struct host *h, const char *name, const json_t *settings,
		   struct failure *f);
int edit_change(struct vm *vm, const json_t *patch, edit_done_fn *done, void *ctx,
		struct failure *f);
/* Settings that are made already, and images of theirs; both are taken, also on failure. For who
 * has seen to it that the VM can have them now. */
int edit_settle(struct vm *vm, struct settings *settings, json_t *images, edit_done_fn *done,
		void *ctx, struct failure *f);
/* Whether the switches of its NICs are there. */
int edit_check_switches(const struct host *h, const struct settings *s, struct failure *f);
/* with_disks: its whole folder; else its settings alone. */
int edit_remove(struct vm *vm, bool with_disks, edit_done_fn *done, void *ctx, struct failure *f);

#endif
