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

static int on_ready(void *ctx, struct failure *f)
{
	const struct vm *vm = ctx;

	return move_send(vm->incoming.fd, MOVE_READY, 0, NULL, f);
}

static int on_mark(void *ctx, uint32_t number, struct failure *f)
{
	const struct vm *vm = ctx;

	return move_send(vm->incoming.fd, MOVE_SEEN, number, NULL, f);
}

static void on_stands(void *ctx)
{
	struct vm *vm = ctx;

	vm->incoming.stands_ns = loop_now_ns();
}

/* All is there. The VM is ours once the other side has said so, and then whatever becomes of the
 * connection. */
static int take_over(struct vm *vm, struct failure *f)
{
	struct move_message m;
	int r = move_receive(vm->incoming.fd, &m, f);

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
	/* Before the other side hears of it, who takes them again then. */
	if (r < 0)
		storage_unlock(&vm->storage);
	pthread_mutex_unlock(&vm->lock);
	return r;
}

static int take(struct vm *vm, struct failure *f)
{
	const struct state_live live = {
		.ready = on_ready, .mark = on_mark, .stands = on_stands, .ctx = vm};
	struct incoming *in = &vm->incoming;
	int r = move_send(in->fd, MOVE_HELLO, MOVE_VERSION, NULL, f);

	if (r == 0)
		r = state_load_live(vm, in->fd, "the stream of the other host", &live, f);
	if (r == 0)
		r = move_send(in->fd, MOVE_LOADED, loop_now_ns() - in->stands_ns, NULL, f);
	return r < 0 ? r : take_over(vm, f);
}

static void *incoming_thread(void *arg)
{
	struct vm *vm = arg;
	struct incoming *in = &vm->incoming;
	struct failure ignored;
	int r = take(vm, &in->failure);

	if (r == 0) {
		(void)move_send(in->fd, MOVE_RUNNING, 0, NULL, &ignored);
	} else {
		(void)move_send(in->fd, MOVE_REFUSED, 0, in->failure.text, &ignored);
		pthread_mutex_lock(&vm->lock);
		vm_request_end(vm, in->failure.text);
		pthread_mutex_unlock(&vm->lock);
	}
	shutdown(in->fd, SHUT_WR);
	__atomic_store_n(&in->done, true, __ATOMIC_RELEASE);
	loop_wake(vm->loop);
	return NULL;
}

/* ---- the loop ---- */

void incoming_init(struct incoming *in)
{
	*in = (struct incoming){.fd = -1};
}

int incoming_begin(struct vm *vm, int fd, struct failure *f)
{
	struct incoming *in = &vm->incoming;
	int r = 0;

	if (fd < 0)
		return fail(f, -EINVAL,
			    "cannot take the VM '%s' over: the request came without a connection",
			    vm->config->name);
	if (vm->state != VM_INCOMING || in->started)
		r = fail(f, -EBUSY, "cannot take the VM '%s' over: it is %s", vm->config->name,
			 in->started ? "on its way already" : vm_state_label(vm));
	if (r == 0) {
		in->fd = fd;
		r = -pthread_create(&in->thread, NULL, incoming_thread, vm);
		if (r < 0)
			fail(f, r, "cannot take the VM '%s' over: no thread for it: %s",
			     vm->config->name, strerror(-r));
	}
	if (r < 0) {
		close(fd);
		if (!in->started)
			in->fd = -1;
		return r;
	}
	in->started = true;
	return 0;
}

bool incoming_ended(struct vm *vm)
{
	struct incoming *in = &vm->incoming;

	if (!in->started || __atomic_load_n(&in->done, __ATOMIC_ACQUIRE))
		return true;
	shutdown(in->fd, SHUT_RDWR);
	return false;
}

void incoming_done(struct vm *vm)
{
	struct incoming *in = &vm->incoming;

	if (in->started) {
		shutdown(in->fd, SHUT_RDWR);
		pthread_join(in->thread, NULL);
	}
	if (in->fd >= 0)
		close(in->fd);
	*in = (struct incoming){.fd = -1};
}
