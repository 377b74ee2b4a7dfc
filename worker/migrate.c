/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/migrate.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "worker/vm.h"

static const char *const phase_names[] = {
	[MIGRATE_NONE] = "none",           [MIGRATE_DISKS] = "disks", [MIGRATE_ROUNDS] = "rounds",
	[MIGRATE_SWITCHING] = "switching", [MIGRATE_WAITS] = "waits", [MIGRATE_ASKS] = "asks",
	[MIGRATE_LATE] = "postcopy",       [MIGRATE_DONE] = "done",   [MIGRATE_FAILED] = "failed",
};

static const char *const late_names[] = {
	[MIGRATE_LATE_NEVER] = "never",
	[MIGRATE_LATE_ALLOWED] = "allowed",
	[MIGRATE_LATE_IMPOSSIBLE] = "impossible",
	[MIGRATE_LATE_CHOSEN] = "chosen",
};

/* ---- the thread, and what it asks ---- */

static void *migrate_thread(void *arg)
{
	struct vm *vm = arg;
	struct migration *m = &vm->migration;

	m->result = migrate_talk(vm, &m->failure);
	__atomic_store_n(&m->done, true, __ATOMIC_RELEASE);
	loop_wake(vm->loop);
	return NULL;
}

int migrate_ask(struct vm *vm, enum migrate_ask ask, struct failure *f)
{
	struct migration *m = &vm->migration;
	int r;

	pthread_mutex_lock(&m->lock);
	m->ask = ask;
	m->answer = 1;
	pthread_mutex_unlock(&m->lock);
	loop_wake(vm->loop);
	pthread_mutex_lock(&m->lock);
	while (m->answer > 0)
		pthread_cond_wait(&m->answered, &m->lock);
	r = m->answer;
	if (r < 0)
		*f = m->ask_failure;
	pthread_mutex_unlock(&m->lock);
	return r;
}

static void answer(struct migration *m, int r)
{
	pthread_mutex_lock(&m->lock);
	m->ask = MIGRATE_ASK_NOTHING;
	m->answer = r;
	pthread_cond_signal(&m->answered);
	pthread_mutex_unlock(&m->lock);
}

static unsigned asked(struct migration *m)
{
	unsigned ask;

	pthread_mutex_lock(&m->lock);
	ask = m->ask;
	pthread_mutex_unlock(&m->lock);
	return ask;
}

/* ---- writers stand still for a part of the time ---- */

/* The loop's timer, so that a connection that stalls does not keep the guest where it is. */
static void on_slow(void *owner)
{
	struct vm *vm = owner;
	struct migration *m = &vm->migration;
	uint64_t still = MIGRATE_SLOW_NS * SHOWN(m, slowed) / 100;

	m->slow_on = !m->slow_on && m->links.count;
	if (vm->vcpus)
		vcpus_slow(vm->vcpus, m->slow_on);
	if (m->links.count)
		timerq_arm(loop_timers(vm->loop), &m->slow,
			   loop_now_ns() + (m->slow_on ? still : MIGRATE_SLOW_NS - still));
}

static void slow_begin(struct vm *vm)
{
	struct migration *m = &vm->migration;

	if (m->slow_on || !SHOWN(m, slowed) || vm->state != VM_RUNNING ||
	    timerq_left(&m->slow, 0) != TIMERQ_NEVER)
		return;
	m->slow.fire = on_slow;
	m->slow.owner = vm;
	timerq_arm(loop_timers(vm->loop), &m->slow, loop_now_ns());
}

static void slow_end(struct vm *vm)
{
	struct migration *m = &vm->migration;

	timerq_disarm(&m->slow);
	m->slow_on = false;
	if (vm->vcpus)
		vcpus_slow(vm->vcpus, false);
}

/* ---- steps ---- */

void migrate_init(struct migration *m)
{
	*m = (struct migration){0};
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->answered, NULL);
}

bool migrate_runs(const struct vm *vm)
{
	return vm->migration.links.count > 0;
}

bool migrate_unsure(const struct vm *vm)
{
	return migrate_runs(vm) && SHOWN(&vm->migration, phase) == MIGRATE_WAITS &&
	       __atomic_load_n(&vm->migration.done, __ATOMIC_ACQUIRE);
}

static int may_begin(struct vm *vm, unsigned links, const struct migrate_wish *wish,
		     struct failure *f)
{
	static const struct guid nobody;
	const char *name = vm->config->name;

	if (!links)
		return fail(f, -EINVAL,
			    "cannot migrate the VM '%s': the request came without a connection",
			    name);
	if (wish->late && links < 2)
		return fail(f, -EINVAL,
			    "cannot migrate the VM '%s': post-copy takes a connection of its own "
			    "for pages that are waited for, and the request came with one in all",
			    name);
	if (wish->late && wish->quick)
		return fail(f, -EINVAL,
			    "cannot migrate the VM '%s' quickly and by post-copy: one or the other",
			    name);
	if (wish->late && wish->storage)
		return fail(f, -EINVAL,
			    "cannot migrate the VM '%s' with its disks by post-copy: one or the "
			    "other",
			    name);
	if (migrate_runs(vm))
		return fail(f, -EBUSY, "cannot migrate the VM '%s': that is under way", name);
	if (vm->state != VM_RUNNING && vm->state != VM_PAUSED)
		return fail(f, -EBUSY, "cannot migrate the VM '%s': it is %s", name,
			    vm_state_label(vm));
	if (mirror_runs(vm))
		return fail(f, -EBUSY, "cannot migrate the VM '%s': its disks are being copied",
			    name);
	if (lazy_runs(&vm->lazy))
		return fail(f, -EBUSY,
			    "cannot migrate the VM '%s': its memory is still being read from where "
			    "it was before",
			    name);
	if (vm->lease.fd >= 0 && guid_equal(&wish->target, &nobody))
		return fail(
			f, -EINVAL,
			"cannot migrate the VM '%s': it has a lease, and the request does not say "
			"which host ('target') is to have it",
			name);
	if (vm->disk_failed || vm->want_pause)
		return fail(f, -EBUSY,
			    "cannot migrate the VM '%s': a disk of it has failed, and keeps "
			    "requests of the guest; resume it when the cause is gone",
			    name);
	if (!partition_gives_state(&vm->partition))
		return fail(f, -EOPNOTSUPP,
			    "cannot migrate the VM '%s': the kernel of this host, or its driver of "
			    "the hypervisor, is too old to give all of its state; shut it down "
			    "instead",
			    name);
	return 0;
}

static int start(struct vm *vm, struct descriptors links, const struct migrate_wish *wish,
		 struct failure *f)
{
	struct migration *m = &vm->migration;
	int r = state_collect_machine(vm, &m->image, f);

	if (r == 0)
		r = dirty_begin(&m->dirty, &vm->memory, &vm->partition, !wish->quick, f);
	m->luggage = (struct luggage){.count = 0};
	if (r == 0 && wish->storage)
		r = luggage_begin(&m->luggage, &vm->storage, f);
	if (r == 0) {
		m->links = links;
		m->verdict = MIGRATE_NOT_KNOWN;
		m->wish = *wish;
		m->cancel = m->done = m->abandoned = m->frozen = m->slow_on = false;
		m->progress = (struct migrate_progress){.phase = MIGRATE_ROUNDS,
							.late = wish->late ? MIGRATE_LATE_ALLOWED
									   : MIGRATE_LATE_NEVER};
		m->failure.text[0] = '\0';
		r = -pthread_create(&m->thread, NULL, migrate_thread, vm);
		if (r < 0)
			fail(f, r, "cannot migrate the VM '%s': no thread for it: %s",
			     vm->config->name, strerror(-r));
	}
	if (r < 0) {
		luggage_end(&m->luggage);
		dirty_end(&m->dirty);
		state_image_done(&m->image);
		m->links.count = 0;
		m->progress.phase = MIGRATE_NONE;
	}
	return r;
}

int migrate_begin(struct vm *vm, struct descriptors links, const struct migrate_wish *wish,
		  struct failure *f)
{
	int r = may_begin(vm, links.count, wish, f);

	if (r == 0)
		r = start(vm, links, wish, f);
	if (r < 0)
		descriptors_close(&links);
	return r;
}

int migrate_cancel(struct vm *vm)
{
	struct migration *m = &vm->migration;
	int how = SHUT_RDWR, r = 0;

	if (!migrate_runs(vm))
		return -EPROTO;
	/* Once it waits, the first word ends the connection only: the answer may be there still.
	 * Who runs it by then may need the memory that is left. */
	pthread_mutex_lock(&m->lock);
	if (SHOWN(m, phase) == MIGRATE_LATE)
		r = -EALREADY;
	else if (SHOWN(m, phase) == MIGRATE_ASKS)
		r = -EBUSY;
	else if (SHOWN(m, phase) != MIGRATE_WAITS || __atomic_load_n(&m->done, __ATOMIC_ACQUIRE))
		__atomic_store_n(&m->cancel, true, __ATOMIC_RELAXED);
	else if (SHOWN(m, late) == MIGRATE_LATE_CHOSEN)
		how = SHUT_RD;
	if (r == 0 && how == SHUT_RD)
		shutdown(m->links.fd[0], SHUT_RD);
	else if (r == 0)
		descriptors_shut(&m->links, SHUT_RDWR);
	pthread_mutex_unlock(&m->lock);
	loop_wake(vm->loop);
	return r;
}

int migrate_hear(struct vm *vm, bool there)
{
	struct migration *m = &vm->migration;
	int r = -EPROTO;

	pthread_mutex_lock(&m->lock);
	if (migrate_runs(vm) && SHOWN(m, phase) == MIGRATE_ASKS) {
		m->verdict = there ? MIGRATE_THERE : MIGRATE_HERE;
		pthread_cond_signal(&m->answered);
		r = 0;
	}
	pthread_mutex_unlock(&m->lock);
	return r;
}

/* The devices as they are, the guest stopped for that only. With requests at the disks there is
 * nothing to be seen. */
static int carry_out_rehearsal(struct vm *vm)
{
	struct migration *m = &vm->migration;
	bool runs = vm->state == VM_RUNNING;
	int r = 0;

	if (runs) {
		pthread_mutex_unlock(&vm->lock);
		vcpus_pause(vm->vcpus);
		pthread_mutex_lock(&vm->lock);
	}
	if (storage_quiet(&vm->storage))
		r = state_collect(vm, &m->image, &m->ask_failure);
	/* It may have been paused, or have ended itself, meanwhile. */
	if (runs && vm->state == VM_RUNNING && !vm->want_stop && !vm->want_reset)
		vcpus_resume(vm->vcpus);
	return r;
}

/* 1: not yet; 0: the guest stands still, and all of it is there; -errno. */
static int carry_out_stop(struct vm *vm)
{
	struct migration *m = &vm->migration;
	struct failure *f = &m->ask_failure;
	int r;

	if (!m->frozen) {
		m->stop_ns = loop_now_ns();
		slow_end(vm);
		r = vm_freeze(vm, VM_SWITCHING, &m->from, f);
		if (r < 0)
			return r;
		m->frozen = true;
	}
	if (vm->want_stop || vm->want_reset)
		return fail(f, -ECANCELED, "the VM '%s' was not migrated: it has ended its run",
			    vm->config->name);
	if (vm->want_pause || storage_held(&vm->storage))
		return fail(f, -EIO, "the VM '%s' was not migrated: %s", vm->config->name,
			    vm->reason);
	if (!storage_quiet(&vm->storage))
		return 1;
	r = loop_hold(vm->loop, true);
	return r < 0 ? fail(f, r, "cannot migrate the VM '%s': %s", vm->config->name, strerror(-r))
		     : state_collect(vm, &m->image, f);
}

/* The thread has ended, for better or worse. */
static void conclude(struct vm *vm)
{
	struct migration *m = &vm->migration;

	pthread_join(m->thread, NULL);
	slow_end(vm);
	luggage_end(&m->luggage);
	dirty_end(&m->dirty);
	state_image_done(&m->image);
	descriptors_close(&m->links);
	m->ended++;
	if (m->result == 0) {
		SHOW(m, phase, MIGRATE_DONE);
		vm_moved(vm);
		return;
	}
	log_line(LOG_LEVEL_WARNING, "%s", m->failure.text);
	SHOW(m, phase, MIGRATE_FAILED);
	if (m->frozen)
		vm_thaw(vm, m->from);
}

/* The VM ends here, whatever becomes of it there; but where it runs already, it is waited for. */
static void abandon(struct migration *m)
{
	pthread_mutex_lock(&m->lock);
	if (SHOWN(m, phase) != MIGRATE_LATE) {
		__atomic_store_n(&m->abandoned, true, __ATOMIC_RELAXED);
		pthread_cond_signal(&m->answered);
		descriptors_shut(&m->links, SHUT_RDWR);
	}
	pthread_mutex_unlock(&m->lock);
}

void migrate_step(struct vm *vm)
{
	struct migration *m = &vm->migration;
	int r = 1;

	if (!migrate_runs(vm))
		return;
	if (__atomic_load_n(&m->done, __ATOMIC_ACQUIRE)) {
		if (m->result == 0 || !migrate_unsure(vm) || vm->want_stop ||
		    __atomic_load_n(&m->cancel, __ATOMIC_RELAXED))
			conclude(vm);
		return;
	}
	if (!m->frozen && (vm->want_stop || vm->want_reset))
		migrate_cancel(vm);
	if (vm->want_stop && !m->abandoned)
		abandon(m);
	slow_begin(vm);
	switch (asked(m)) {
	case MIGRATE_ASK_REHEARSAL:
		r = carry_out_rehearsal(vm);
		break;
	case MIGRATE_ASK_STOP:
		r = carry_out_stop(vm);
		break;
	default:
		break;
	}
	if (r <= 0)
		answer(m, r);
}

json_t *migrate_status(const struct vm *vm)
{
	const struct migration *m = &vm->migration;

	if (SHOWN(m, phase) == MIGRATE_NONE)
		return json_null();
	return json_pack(
		"{s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}",
		"phase", phase_names[SHOWN(m, phase)], "channels", (int)SHOWN(m, channels),
		"postcopy", late_names[SHOWN(m, late)], "pages_left",
		(json_int_t)SHOWN(m, pages_left), "round", (json_int_t)SHOWN(m, round),
		"total_bytes", (json_int_t)vm->memory.bytes, "sent_bytes",
		(json_int_t)SHOWN(m, sent_bytes), "spared_bytes",
		(json_int_t)SHOWN(m, spared_bytes), "rate", (json_int_t)SHOWN(m, rate),
		"dirty_rate", (json_int_t)SHOWN(m, dirty_rate), "slowed",
		(json_int_t)SHOWN(m, slowed), "promised_us", (json_int_t)SHOWN(m, promised_us),
		"stopped_us", (json_int_t)SHOWN(m, stopped_us), "disk_bytes",
		(json_int_t)__atomic_load_n(&m->luggage.total_bytes, __ATOMIC_RELAXED),
		"disk_sent_bytes",
		(json_int_t)__atomic_load_n(&m->luggage.sent_bytes, __ATOMIC_RELAXED), "error",
		migrate_runs(vm) && !__atomic_load_n(&m->done, __ATOMIC_ACQUIRE) ? ""
										 : m->failure.text);
}

void migrate_done(struct vm *vm)
{
	struct migration *m = &vm->migration;
	bool runs = migrate_runs(vm);

	if (runs) {
		__atomic_store_n(&m->cancel, true, __ATOMIC_RELAXED);
		__atomic_store_n(&m->abandoned, true, __ATOMIC_RELAXED);
		descriptors_shut(&m->links, SHUT_RDWR);
	}
	/* It may ask once more. */
	while (runs && !__atomic_load_n(&m->done, __ATOMIC_ACQUIRE)) {
		fail(&m->ask_failure, -ECANCELED, "the VM '%s' was not migrated: it has ended",
		     vm->config->name);
		answer(m, -ECANCELED);
		poll(NULL, 0, 1);
	}
	if (runs) {
		pthread_join(m->thread, NULL);
		luggage_end(&m->luggage);
		dirty_end(&m->dirty);
		state_image_done(&m->image);
		descriptors_close(&m->links);
	}
	pthread_cond_destroy(&m->answered);
	pthread_mutex_destroy(&m->lock);
}
