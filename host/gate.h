/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gate: callers of the API held against access.json (host/access.h), which is read and written
 * here.
 *
 * A change reads the file anew, so that what an administrator has written into it meanwhile is
 * taken over and not lost; when it cannot be used, nothing changes.
 *
 * Trust: callers are hostile. Of wrong tokens so many a minute are answered for each peer; a right
 * one is let in whatever else comes from its address, as nobody guesses 256 bits.
 *
 * Threads: the loop's. The file is read and written by the pool.
 */
#ifndef OYA_HOST_GATE_H
#define OYA_HOST_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "host/access.h"
#include "host/http.h"
#include "host/members.h"
#include "lib/fail.h"
#include "lib/pool.h"

#define GATE_PEERS_MAX 256u   /* whose wrong tokens are counted; more share a place */
#define GATE_FAILURES_MAX 10u /* of one in a period */
#define GATE_PERIOD_US 60000000u

struct gate;

/* Reads the file of the folder; when there is none, or it cannot be used, which is logged, nobody
 * has access but by the kernel's word. `changed` is called after each change. 0, or -ENOMEM and the
 * sentence. The folder's name outlives it. */
int gate_new(struct pool *pool, const char *folder, void (*changed)(void *ctx), void *ctx,
	     struct gate **ret_gate, struct failure *f);
/* After the pool: nothing is under way. NULL is fine. */
void gate_free(struct gate *g);

/* As http_config has it; its `who` is 0 for administrators by the kernel's word. */
enum http_role gate_role(struct gate *g, const struct http_caller *caller,
			 const char *authorization, struct http_identity *ret_identity);

/* Whether one that was let in may still be here; and see that VM, or all of the host. */
bool gate_knows(const struct gate *g, uint64_t who);
bool gate_sees(const struct gate *g, uint64_t who, const char *vm);
bool gate_sees_all(const struct gate *g, uint64_t who);

/* Those members are administrators from now on, by the fingerprints of their certificates, and
 * no others; NULL: nobody is. The list stays the caller's, and outlives its use. */
void gate_set_members(struct gate *g, const struct members *members);

/* What is in force now. */
const struct access *gate_access(const struct gate *g);

/* 0 and done(ctx, ...) later: with the token's name and its text, which is told once and is NULL
 * when there is none; or with -errno and the sentence. Else -ENOMEM. */
typedef void gate_done_fn(void *ctx, const struct gate *g, int code, const char *name,
			  const char *token, const struct failure *f);
int gate_add_token(struct gate *g, const struct access_order *order, gate_done_fn *done, void *ctx);
int gate_remove_token(struct gate *g, const char *name, gate_done_fn *done, void *ctx);
int gate_reload(struct gate *g, gate_done_fn *done, void *ctx);

#endif
