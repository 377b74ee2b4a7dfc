/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/save.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "worker/vm.h"

/* ---- the thread ---- */

static bool on_progress(void *ctx, uint64_t done_bytes)
{
	struct saver *s = ctx;

	__atomic_store_n(&s->done_bytes, done_bytes, __ATOMIC_RELAXED);
	return !__atomic_load_n(&s->cancel, __ATOMIC_RELAXED);
}

/* What the guest takes for written must be so on the disk when its memory is: it will not write it
 * again. */
static int flush(struct vm *vm, struct failure *f)
{
	int r = storage_sync(&vm->storage, f);

	if (r == 0 && fdatasync(vm->saver.fd) < 0)
		r = fail(f, -errno, "cannot write the state of the VM '%s' to the disk: %s",
			 vm->config->name, strerror(errno));
	return r;
}

static void *save_thread(void *arg)
{
	struct vm *vm = arg;
	struct saver *s = &vm->saver;
	const struct state_progress progress = {.at = on_progress, .ctx = s};

	s->result = state_save(&vm->memory, &s->image, s->fd, "its file", &progress, &s->failure);
	if (s->result == 0)
		s->result = flush(vm, &s->failure);
	__atomic_store_n(&s->done, true, __ATOMIC_RELEASE);
	loop_wake(vm->loop);
	return NULL;
}

/* ---- steps ---- */

int save_begin(struct vm *vm, int fd, struct failure *f)
{
	struct saver *s = &vm->saver;
	int r = 0;

	if (fd < 0)
		return fail(f, -EINVAL, "cannot save the VM '%s': the request came without a file",
			    vm->config->name);
	if (!partition_gives_state(&vm->partition))
		r = fail(f, -EOPNOTSUPP,
			 "cannot save the VM '%s': the kernel of this host, or its driver of the "
			 "hypervisor, is too old to give all of its state; shut it down instead",
			 vm->config->name);
	else if (migrate_runs(vm))
		r = fail(f, -EBUSY, "cannot save the VM '%s': it is being migrated",
			 vm->config->name);
	else if (mirror_runs(vm))
		r = fail(f, -EBUSY, "cannot save the VM '%s': its disks are being copied",
			 vm->config->name);
	else if (vm->disk_failed || vm->want_pause)
		r = fail(f, -EBUSY,
			 "cannot save the VM '%s': a disk of it has failed, and keeps "
			 "requests of the guest; resume it when the cause is gone",
			 vm->config->name);
	if (r == 0)
		r = vm_freeze(vm, VM_SAVING, &s->from, f);
	if (r < 0) {
		close(fd);
		return r;
	}
	s->fd = fd;
	s->started = s->cancel = s->done = false;
	s->done_bytes = 0;
	s->failure.text[0] = '\0';
	loop_wake(vm->loop);
	return 0;
}

/* The state is with the caller, or there is none; the VM stays as it is. */
static void forget(struct saver *s)
{
	s->ended++;
	state_image_done(&s->image);
	close(s->fd);
	s->fd = -1;
}

static void give_up(struct vm *vm)
{
	struct saver *s = &vm->saver;

	log_line(LOG_LEVEL_WARNING, "%s", s->failure.text);
	forget(s);
	vm_thaw(vm, s->from);
}

static int start(struct vm *vm)
{
	struct saver *s = &vm->saver;
	int r = loop_hold(vm->loop, true);

	if (r < 0)
		return fail(&s->failure, r, "cannot save the VM '%s': %s", vm->config->name,
			    strerror(-r));
	r = state_collect(vm, &s->image, &s->failure);
	if (r < 0)
		return r;
	r = -pthread_create(&s->thread, NULL, save_thread, vm);
	if (r < 0)
		return fail(&s->failure, r, "cannot save the VM '%s': no thread for it: %s",
			    vm->config->name, strerror(-r));
	s->started = true;
	return 0;
}

static int may_start(struct vm *vm)
{
	struct saver *s = &vm->saver;

	if (s->cancel)
		return fail(&s->failure, -ECANCELED, "the VM '%s' was not saved: cancelled",
			    vm->config->name);
	if (vm->want_stop || vm->want_reset)
		return fail(&s->failure, -ECANCELED,
			    "the VM '%s' was not saved: it has ended its run", vm->config->name);
	if (vm->want_pause || storage_held(&vm->storage))
		return fail(&s->failure, -EIO, "the VM '%s' was not saved: %s", vm->config->name,
			    vm->reason);
	/* What is not there yet cannot be written. */
	return lazy_runs(&vm->lazy) ? 0 : storage_quiet(&vm->storage);
}

void save_step(struct vm *vm)
{
	struct saver *s = &vm->saver;
	int r;

	if (vm->state != VM_SAVING)
		return;
	if (!s->started) {
		r = may_start(vm);
		if (r > 0)
			r = start(vm);
		if (r < 0)
			give_up(vm);
		return;
	}
	if (vm->want_stop)
		__atomic_store_n(&s->cancel, true, __ATOMIC_RELAXED);
	if (!__atomic_load_n(&s->done, __ATOMIC_ACQUIRE))
		return;
	pthread_join(s->thread, NULL);
	s->started = false;
	if (s->result == 0 && s->cancel) /* too late for the thread, and not for us */
		s->result = fail(&s->failure, -ECANCELED, "the VM '%s' was not saved: cancelled",
				 vm->config->name);
	if (s->result < 0) {
		give_up(vm);
		return;
	}
	forget(s);
	vm_saved(vm);
}

int save_cancel(struct vm *vm)
{
	struct saver *s = &vm->saver;

	if (vm->state == VM_SAVING) {
		__atomic_store_n(&s->cancel, true, __ATOMIC_RELAXED);
		loop_wake(vm->loop);
		return 0;
	}
	if (vm->state != VM_SAVED)
		return -EPROTO;
	vm_thaw(vm, s->from);
	return 0;
}

json_t *save_status(const struct vm *vm)
{
	const struct saver *s = &vm->saver;

	if (vm->state != VM_SAVING && vm->state != VM_SAVED && !s->failure.text[0])
		return json_null();
	return json_pack("{s:I, s:I, s:s}", "done_bytes",
			 (json_int_t)__atomic_load_n(&s->done_bytes, __ATOMIC_RELAXED),
			 "total_bytes", (json_int_t)vm->memory.bytes, "error", s->failure.text);
}
