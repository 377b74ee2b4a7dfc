/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/incoming.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/move_message.h"
#include "worker/vm.h"

/* ---- the thread ---- */

/* Memory that is not to come late is better had in large pages. */
static void come_at_once(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	lazy_end(&vm->lazy);
	pthread_mutex_unlock(&vm->lock);
}

static int on_ready(void *ctx, uint64_t features, struct failure *f)
{
	struct vm *vm = ctx;
	struct incoming *in = &vm->incoming;
	int r = 0;

	in->features = features;
	if (!(features & STATE_DISKS) != !in->storage)
		return fail(f, -EBADMSG,
			    in->storage ? "its disks do not come along, and here they are empty"
					: "its disks come along, and here they are the same");
	if (features & STATE_LANES && in->links.count < 2)
		return fail(f, -EINVAL, "the other host has several connections, and here is one");
	if (features & STATE_LANES)
		r = lanes_begin(vm, f);
	if (!(features & STATE_LATE))
		come_at_once(vm);
	return r < 0 ? r
		     : move_send(in->links.fd[0], MOVE_READY,
				 MOVE_READY_COMPRESSED |
					 (lazy_opened(&vm->lazy) ? MOVE_READY_LATE : 0),
				 NULL, f);
}

static int on_blocks(void *ctx, struct state_reader *r, const struct state_record *record,
		     struct failure *f)
{
	struct vm *vm = ctx;

	if (!vm->incoming.storage)
		return state_refuse(r, f, "it has bytes of a disk, which do not come along");
	vm->incoming.wet = true;
	return luggage_take(&vm->storage, r, record, f);
}

/* What has come of disks is on them, so that little is left for when the guest stands still. */
static int flush_disks(struct vm *vm, struct failure *f)
{
	int r = vm->incoming.wet ? storage_sync(&vm->storage, f) : 0;

	vm->incoming.wet = false;
	return r;
}

static int on_mark(void *ctx, uint32_t number, struct failure *f)
{
	struct vm *vm = ctx;
	int r = number ? lanes_await(vm, number, f) : 0; /* 0: a rehearsal */

	if (r == 0 && number)
		r = flush_disks(vm, f);
	return r < 0 ? r : move_send(vm->incoming.links.fd[0], MOVE_SEEN, number, NULL, f);
}

static int on_stands(void *ctx, struct failure *f)
{
	struct vm *vm = ctx;

	vm->incoming.stands_ns = loop_now_ns();
	if (vm->lazy.expects)
		return lanes_pull(vm, f);
	lazy_end(&vm->lazy);
	return 0;
}

/* All is there. The VM is ours once the other side has said so, and then whatever becomes of the
 * connection. */
static int take_over(struct vm *vm, struct failure *f)
{
	struct move_message m;
	int r = move_receive(vm->incoming.links.fd[0], &m, f);

	if (r < 0)
		return r;
	if (m.kind != MOVE_RUN && m.kind != MOVE_STAND)
		return fail(f, -EBADMSG,
			    "the other host says neither that it is to run nor that it "
			    "is to stand still");
	if (!m.value != (vm->lease.fd < 0))
		return fail(f, -EBADMSG,
			    m.value ? "the VM has a lease there, and none here"
				    : "the VM has a lease here, and none there");
	pthread_mutex_lock(&vm->lock);
	r = vm->want_stop ? fail(f, -ECANCELED, "it was told to end") : 0;
	if (r == 0)
		r = storage_lock(&vm->storage, f);
	/* From here on it is ours, and nobody else's. */
	if (r == 0 && m.value)
		r = lease_take(&vm->lease, &vm->config->host_uuid, m.value, &vm->lease_epoch, f);
	if (r == 0)
		r = vm_arrived(vm, m.kind == MOVE_STAND, f);
	if (r == 0)
		__atomic_store_n(&vm->incoming.arrived, true, __ATOMIC_RELEASE);
	/* Before the other side hears of it, who takes them again then. */
	if (r < 0)
		storage_unlock(&vm->storage);
	pthread_mutex_unlock(&vm->lock);
	return r;
}

static int take(struct vm *vm, struct failure *f)
{
	const struct state_live live = {.ready = on_ready,
					.mark = on_mark,
					.blocks = on_blocks,
					.stands = on_stands,
					.ctx = vm};
	struct incoming *in = &vm->incoming;
	int r = move_send(in->links.fd[0], MOVE_HELLO, MOVE_VERSION, NULL, f);

	if (r == 0)
		r = state_load_live(vm, in->links.fd[0], "the stream of the other host", &live, f);
	if (r == 0)
		r = flush_disks(vm, f);
	if (r == 0)
		r = move_send(in->links.fd[0], MOVE_LOADED, loop_now_ns() - in->stands_ns, NULL, f);
	return r < 0 ? r : take_over(vm, f);
}

static void *incoming_thread(void *arg)
{
	struct vm *vm = arg;
	struct incoming *in = &vm->incoming;
	struct failure ignored;
	int r = take(vm, &in->failure);

	if (r == 0) {
		(void)move_send(in->links.fd[0], MOVE_RUNNING, 0, NULL, &ignored);
		if (lazy_pulls(&vm->lazy))
			lanes_take_rest(vm);
	} else {
		/* It may have been cut off for what went wrong on another one. */
		pthread_mutex_lock(&in->lock);
		if (in->lane_result < 0)
			in->failure = in->lane_failure;
		pthread_mutex_unlock(&in->lock);
		(void)move_send(in->links.fd[0], MOVE_REFUSED, 0, in->failure.text, &ignored);
		/* The loop may wait for memory, with the lock, and none comes any more. */
		if (lazy_pulls(&vm->lazy))
			lazy_lose(&vm->lazy, in->failure.text);
		lanes_stop(in);
		pthread_mutex_lock(&vm->lock);
		vm_request_end(vm, in->failure.text);
		pthread_mutex_unlock(&vm->lock);
	}
	lanes_join(in);
	if (r == 0 && lazy_pulls(&vm->lazy) && lazy_whole(&vm->lazy))
		lazy_finish(&vm->lazy);
	descriptors_shut(&in->links, SHUT_WR);
	__atomic_store_n(&in->done, true, __ATOMIC_RELEASE);
	loop_wake(vm->loop);
	return NULL;
}

/* ---- the loop ---- */

void incoming_init(struct incoming *in)
{
	*in = (struct incoming){0};
	pthread_mutex_init(&in->lock, NULL);
	pthread_cond_init(&in->moved, NULL);
}

int incoming_begin(struct vm *vm, struct descriptors links, bool storage, struct failure *f)
{
	struct incoming *in = &vm->incoming;
	int r = 0;

	if (!links.count)
		return fail(f, -EINVAL,
			    "cannot take the VM '%s' over: the request came without a connection",
			    vm->config->name);
	if (vm->state != VM_INCOMING || in->started) {
		descriptors_close(&links);
		return fail(f, -EBUSY, "cannot take the VM '%s' over: it is %s", vm->config->name,
			    in->started ? "on its way already" : vm_state_label(vm));
	}
	in->links = links;
	in->storage = storage;
	r = -pthread_create(&in->thread, NULL, incoming_thread, vm);
	if (r < 0) {
		descriptors_close(&in->links);
		return fail(f, r, "cannot take the VM '%s' over: no thread for it: %s",
			    vm->config->name, strerror(-r));
	}
	in->started = true;
	return 0;
}

bool incoming_ended(struct vm *vm)
{
	struct incoming *in = &vm->incoming;

	if (incoming_over(vm) || __atomic_load_n(&in->arrived, __ATOMIC_ACQUIRE))
		return true;
	lanes_stop(in);
	shutdown(in->links.fd[0], SHUT_RDWR);
	return false;
}

bool incoming_over(const struct vm *vm)
{
	const struct incoming *in = &vm->incoming;

	return !in->started || __atomic_load_n(&in->done, __ATOMIC_ACQUIRE);
}

bool incoming_late(const struct vm *vm)
{
	const struct incoming *in = &vm->incoming;

	return in->started && __atomic_load_n(&in->arrived, __ATOMIC_ACQUIRE) &&
	       lazy_pulls(&vm->lazy);
}

void incoming_done(struct vm *vm)
{
	struct incoming *in = &vm->incoming;

	if (incoming_late(vm))
		lazy_cease(&vm->lazy); /* so that the other side hears of it first */
	if (in->started) {
		lanes_stop(in);
		shutdown(in->links.fd[0], SHUT_RDWR);
		pthread_join(in->thread, NULL);
	}
	descriptors_close(&in->links);
	pthread_cond_destroy(&in->moved);
	pthread_mutex_destroy(&in->lock);
	incoming_init(in);
}
