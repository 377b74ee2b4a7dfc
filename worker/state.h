/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole of a VM as records of a state, and a VM laid over by them: which records there are, and
 * their order (docs/format/state.md).
 *
 * Threads: the loop's with the lock of the devices held, but for state_save(), which any thread
 * may call while the VM stands still.
 * Trust: a stream that is read is hostile; a VM that was laid over by one that was refused is good
 * for nothing but its end.
 */
#ifndef OYA_WORKER_STATE_H
#define OYA_WORKER_STATE_H

#include <stdint.h>

#include "base/record.h"
#include "lib/fail.h"
#include "lib/state_stream.h"
#include "worker/state_memory.h"

struct vm;

struct state_piece {
	struct state_record record;
	uint8_t *body;
};

/* All of a VM but its memory, at one moment. */
struct state_image {
	struct state_piece *piece;
	unsigned count, room;
};

/* What the VM is now. Its processors are paused, and nothing is at its disks. 0, or -errno and the
 * sentence. */
int state_collect(struct vm *vm, struct state_image *ret_image, struct failure *f);
/* Only what the VM is made of, as the first piece: at any moment. */
int state_collect_machine(struct vm *vm, struct state_image *ret_image, struct failure *f);
void state_image_done(struct state_image *image);

/* Image and memory to a descriptor, from its present place on. `name` is for sentences. */
int state_save(const struct memory *memory, const struct state_image *image, int fd,
	       const char *name, const struct state_progress *progress, struct failure *f);

/* The stream at `fd` into a VM that was made of the same configuration and has not run. */
int state_load(struct vm *vm, int fd, const char *name, struct failure *f);

/* The same while the VM still runs elsewhere, by a thread of its own without the lock, which is
 * held while a record is laid over a device, and not while one is waited for. */
struct state_live {
	/* The VM can be made of this one, whose stream has these features; a mark, or a rehearsal,
	 * was read with all that is before it; the devices follow, and from now on memory may be
	 * touched. 0, or -errno and the sentence. */
	int (*ready)(void *ctx, uint64_t features, struct failure *f);
	int (*mark)(void *ctx, uint32_t number, struct failure *f);
	/* A piece of a disk, whose body is to be read. */
	int (*blocks)(void *ctx, struct state_reader *r, const struct state_record *record,
		      struct failure *f);
	int (*stands)(void *ctx, struct failure *f);
	void *ctx;
};
int state_load_live(struct vm *vm, int fd, const char *name, const struct state_live *live,
		    struct failure *f);

/* state_machine.c: what the VM is made of, and its clocks. What was read says where these stood;
 * they go on from there by state_clocks_go_on(). */
struct state_clocks {
	uint64_t tsc_hz, tsc_offset, host_tsc, reference, wall_ns;
	uint64_t most_ns; /* that can have passed since, of this host's clock; 0: unknown */
};
void state_machine_record(struct vm *vm, struct state_clocks *clocks, struct record *r);
void state_clocks_go_on(struct vm *vm, const struct state_clocks *clocks);

#endif
