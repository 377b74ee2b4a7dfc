/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/state.h"
#include "base/util.h"
#include "lib/log.h"

static const char *const labels[] = {
	[VM_BUILT] = "built",         [VM_RUNNING] = "running",   [VM_PAUSED] = "paused",
	[VM_RESETTING] = "resetting", [VM_STOPPED] = "stopped",   [VM_SAVING] = "saving",
	[VM_SAVED] = "saved",         [VM_INCOMING] = "incoming", [VM_SWITCHING] = "switching",
	[VM_MOVED] = "moved",
};

static const uint32_t next_states[] = {
	[VM_BUILT] = STATE_BIT(VM_RUNNING) | STATE_BIT(VM_STOPPED) | STATE_BIT(VM_INCOMING),
	[VM_RUNNING] = STATE_BIT(VM_PAUSED) | STATE_BIT(VM_RESETTING) | STATE_BIT(VM_STOPPED) |
		       STATE_BIT(VM_SAVING) | STATE_BIT(VM_SWITCHING),
	[VM_PAUSED] = STATE_BIT(VM_RUNNING) | STATE_BIT(VM_RESETTING) | STATE_BIT(VM_STOPPED) |
		      STATE_BIT(VM_SAVING) | STATE_BIT(VM_SWITCHING),
	[VM_RESETTING] = STATE_BIT(VM_RUNNING) | STATE_BIT(VM_STOPPED),
	[VM_STOPPED] = 0,
	/* It stops by way of where it was, once its thread has ended. */
	[VM_SAVING] = STATE_BIT(VM_RUNNING) | STATE_BIT(VM_PAUSED) | STATE_BIT(VM_SAVED),
	[VM_SAVED] = STATE_BIT(VM_RUNNING) | STATE_BIT(VM_PAUSED) | STATE_BIT(VM_STOPPED),
	[VM_INCOMING] = STATE_BIT(VM_RUNNING) | STATE_BIT(VM_PAUSED) | STATE_BIT(VM_STOPPED),
	[VM_SWITCHING] = STATE_BIT(VM_RUNNING) | STATE_BIT(VM_PAUSED) | STATE_BIT(VM_MOVED),
	[VM_MOVED] = STATE_BIT(VM_STOPPED),
};

static const struct state_table vm_states = {
	.name = "VM",
	.count = ARRAY_LEN(labels),
	.labels = labels,
	.next = next_states,
};

#define MSI_ALL_NMI_ADDRESS 0xfee00000u
#define CRASH_LOG_BURST 3u
#define CRASH_LOG_PERIOD_NS UINT64_C(60000000000)
#define MSI_DELIVERY_NMI (4u << 8)
#define RESTORED "its state was restored"

static void note(struct vm *vm, const char *reason)
{
	snprintf(vm->reason, sizeof(vm->reason), "%.255s", reason);
}

static void on_machine_event(void *ctx, enum machine_event event, const char *text)
{
	struct vm *vm = ctx;

	note(vm, text);
	if (event == MACHINE_RESET) {
		vm->want_reset = true;
	} else {
		vm->want_stop = true;
		vm->failed = event != MACHINE_POWER_OFF;
	}
	loop_wake(vm->loop);
}

static void on_crash(void *ctx, const struct hv_crash *crash)
{
	struct vm *vm = ctx;
	const char *line = crash->text;
	unsigned suppressed;

	vm->crashes++;
	memcpy(vm->crash, crash->text, sizeof(vm->crash));
	/* A hostile guest crashes without end, a whole text each time. */
	if (!log_limit_pass(&vm->crash_limit, loop_now_ns(), &suppressed))
		return;
	if (suppressed)
		log_line(LOG_LEVEL_WARNING, "%u crashes of the guest were left out", suppressed);
	log_line(LOG_LEVEL_WARNING, "the guest crashed: %016llx %016llx %016llx %016llx %016llx",
		 (unsigned long long)crash->parameter[0], (unsigned long long)crash->parameter[1],
		 (unsigned long long)crash->parameter[2], (unsigned long long)crash->parameter[3],
		 (unsigned long long)crash->parameter[4]);
	while (*line) {
		size_t len = strcspn(line, "\n");

		if (len)
			log_line(LOG_LEVEL_WARNING, "guest: %.*s", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

/* The largest power of two of processors that no border between nodes cuts. */
static unsigned cache_span(const struct config *c)
{
	unsigned borders = 0, at = 0;

	for (unsigned i = 0; i < c->node_count; i++) {
		borders |= at;
		at += c->node[i].cpus;
	}
	return borders ? borders & -borders : 0;
}

static struct vcpu_layout vcpu_layout_of(const struct config *c)
{
	return (struct vcpu_layout){
		.topology = {.cpus = c->cpus, .threads = c->threads, .cache_span = cache_span(c)},
		.baseline = c->baseline,
		.pin = c->pin,
	};
}

/* Everything that one run of the guest needs; undone by end_run(). */
static int begin_run(struct vm *vm, struct failure *f)
{
	const struct config *c = vm->config;
	struct boot_source source = {
		.kernel = c->kernel,
		.initrd = c->initrd,
		.files = vm->files,
		.command_line = c->append,
		.unpack = c->unpack,
	};
	struct boot_load *load = NULL;
	struct boot_entry entry;
	struct vcpu_layout layout = vcpu_layout_of(c);
	bool comes = vm->state_fd >= 0 || (c->incoming && vm->state == VM_BUILT);
	bool boots = !c->firmware && !comes;
	int r = !boots ? 0 : boot_begin(&source, &vm->memory.gmem, &load, f);

	if (r == 0)
		r = partition_create(&vm->partition, vm->device_fd, &vm->memory.gmem, f);
	if (r == 0)
		r = vcpus_new(&vm->partition, &layout, &machine_vcpu_ops, &vm->machine, &vm->vcpus,
			      f);
	if (r == 0)
		r = machine_begin(&vm->machine, c, &vm->partition, vm->vcpus, &source.rsdp, f);
	if (r == 0 && boots)
		r = boot_finish(load, source.rsdp, &entry, f);
	if (r == 0)
		r = vcpus_set_up(vm->vcpus, vm->machine.hv, boots ? &entry : NULL, f);
	boot_end(load);
	return r;
}

static void add_stats(struct vcpu_stats *to, const struct vcpu_stats *from)
{
	to->exits += from->exits;
	to->port_exits += from->port_exits;
	to->mmio_exits += from->mmio_exits;
	to->msr_exits += from->msr_exits;
	to->hypercalls += from->hypercalls;
	to->interruptions += from->interruptions;
}

/* A disk has failed and keeps the guest's requests; called from within the devices. */
static void on_disk_failed(void *ctx, const char *sentence, bool hangs)
{
	struct vm *vm = ctx;

	vm->disk_hangs = hangs;
	if (!vm->want_stop && !vm->want_reset)
		note(vm, sentence);
	vm->want_pause = true;
	loop_wake(vm->loop);
}

/* A VM that was paused for a disk that hung goes on, unless another disk has failed since. */
static void on_disk_answered(void *ctx)
{
	struct vm *vm = ctx;

	if (!vm->disk_hangs)
		return;
	vm->disk_hangs = vm->want_pause = false;
	if (!vm->want_stop && !vm->want_reset)
		note(vm, "");
	if (vm_resume(vm) == 0)
		log_line(LOG_LEVEL_WARNING, "resumed: the disk has answered");
}

/* Ends the run but for what is at the disks still. Without the lock, since the processors' threads
 * may be waiting for it. */
static void halt_run(struct vm *vm)
{
	struct vcpus *vcpus = vm->vcpus;
	struct vcpu_stats last = {0};

	if (vcpus) {
		vcpus_pause(vcpus);
		last = vcpus_stats(vcpus);
	}
	pthread_mutex_lock(&vm->lock);
	machine_end(&vm->machine);
	vm->vcpus = NULL;
	vm->want_pause = vm->disk_failed = vm->disk_hangs = false;
	pthread_mutex_unlock(&vm->lock);
	vcpus_free(vcpus);
	partition_destroy(&vm->partition);
	add_stats(&vm->past, &last);
}

static int open_state(struct vm *vm, struct failure *f)
{
	vm->state_fd = open(vm->config->state_path, O_RDONLY | O_CLOEXEC);
	if (vm->state_fd < 0)
		return fail(f, -errno, "cannot restore the VM '%s': opening %s failed: %s",
			    vm->config->name, vm->config->state_path, strerror(errno));
	return 0;
}

/* Before anything of the VM is touched that another host may be using. */
static int open_lease(struct vm *vm, struct failure *f)
{
	const struct config *c = vm->config;
	struct failure why;
	int r;

	vm->lease.vm = c->uuid;
	vm->lease.name = c->lease_path;
	r = lease_open(&vm->lease, false, &why);
	if (r == 0)
		r = c->incoming ? 0 : lease_holds(&vm->lease, &c->host_uuid, c->lease_epoch, &why);
	vm->lease_epoch = c->lease_epoch;
	return r < 0 ? fail(f, r, "cannot run the VM '%s': %s", c->name, why.text) : 0;
}

static struct vm *alloc_vm(const struct config *config)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->config = config;
	vm->device_fd = vm->memory.fd = vm->partition.vm_fd = -1;
	vm->saver.fd = vm->state_fd = vm->lease.fd = -1;
	migrate_init(&vm->migration);
	mirror_init(&vm->mirror);
	incoming_init(&vm->incoming);
	lazy_init(&vm->lazy);
	vm->files = (struct boot_files){-1, -1};
	vm->storage.source.fd = -1;
	vm->crash_limit =
		(struct log_limit){.period_ns = CRASH_LOG_PERIOD_NS, .burst = CRASH_LOG_BURST};
	pthread_mutex_init(&vm->lock, NULL);
	return vm;
}

int vm_new(const struct config *config, struct vm **ret_vm, struct failure *f)
{
	struct vm *vm = alloc_vm(config);
	struct machine_host host = {
		.event = on_machine_event,
		.crash = on_crash,
		.ctx = vm,
		.console = console_serial_ops,
	};
	int r;

	if (!vm)
		return fail(f, -ENOMEM, "cannot make the VM: out of memory");
	r = loop_new(&vm->lock, &vm->loop);
	if (r < 0)
		fail(f, r, "cannot make the event loop: %s", strerror(-r));
	if (r == 0 && config->lease_path)
		r = open_lease(vm, f);
	if (r == 0 && config->state_path)
		r = open_state(vm, f);
	if (r == 0)
		r = partition_open_device(config->device, &vm->device_fd, f);
	if (r == 0)
		r = config->firmware ? firmware_open(&vm->firmware, f)
				     : boot_open(config->kernel, config->initrd, &vm->files, f);
	if (r == 0)
		r = vcpu_check_pin(config->pin, config->cpus, f);
	if (r == 0)
		r = memory_init(&vm->memory, config, f);
	if (r == 0)
		r = console_new(config, vm->loop, &vm->console, f);
	host.console_ctx = vm->console;
	if (r == 0)
		r = machine_init(&vm->machine, config, &vm->lock, vm->loop, &vm->memory.gmem, &host,
				 f);
	if (r == 0) {
		vm->machine.firmware = &vm->firmware;
		console_set_port(vm->console, vm->machine.serial);
		r = storage_init(&vm->storage, config, vm->machine.bus, vm->machine.ide, vm->loop,
				 f);
		vm->storage.failed = on_disk_failed;
		vm->storage.answered = on_disk_answered;
		vm->storage.ctx = vm;
	}
	if (r == 0)
		r = network_init(&vm->network, config, vm->machine.bus, vm->loop, f);
	if (r == 0)
		r = integration_init(&vm->integration, &vm->machine, f);
	if (r == 0)
		r = begin_run(vm, f);
	if (r < 0) {
		vm_free(vm);
		return r;
	}
	if ((vm->state_fd >= 0 || config->incoming) && partition_follows_memory(&vm->partition))
		lazy_open(&vm->lazy, &vm->memory);
	*ret_vm = vm;
	return 0;
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	/* Processors and disks may wait for memory that still comes. */
	if (!incoming_late(vm))
		incoming_done(vm);
	migrate_done(vm);
	mirror_done(vm);
	if (vm->machine.bus)
		halt_run(vm);
	storage_drain(&vm->storage);
	incoming_done(vm);
	lazy_end(&vm->lazy);
	integration_done(&vm->integration);
	network_done(&vm->network);
	storage_done(&vm->storage);
	if (vm->machine.bus)
		machine_done(&vm->machine);
	console_free(vm->console);
	memory_done(&vm->memory);
	boot_close(&vm->files);
	firmware_close(&vm->firmware);
	if (vm->device_fd >= 0)
		close(vm->device_fd);
	if (vm->state_fd >= 0)
		close(vm->state_fd);
	lease_close(&vm->lease);
	loop_free(vm->loop);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

/* The processors' threads, which inherit what the calling one has given up. */
static int start_processors(struct vm *vm, struct failure *f)
{
	int r = vcpus_start(vm->vcpus);

	return r < 0 ? fail(f, r, "cannot start the processors' threads: %s", strerror(-r)) : 0;
}

/* The run is halted and nothing is at the disks. */
static int begin_anew(struct vm *vm, struct failure *f)
{
	int r;

	incoming_done(vm);
	lazy_end(&vm->lazy);
	r = memory_clear(&vm->memory);
	if (r < 0)
		return fail(f, r, "cannot clear the VM's memory for its reset: %s", strerror(-r));
	r = begin_run(vm, f);
	if (r == 0)
		r = start_processors(vm, f);
	if (r == 0) {
		state_move(&vm_states, &vm->state, VM_RUNNING);
		loop_hold_timers(vm->loop, false);
		vcpus_resume(vm->vcpus);
	}
	return r;
}

struct run_context {
	struct vm *vm;
	struct failure *f;
	int result;
};

/* A disk's failure pauses a running VM; one that stands still has its reason from the failure. */
static void pause_for_disk(struct vm *vm)
{
	vm->want_pause = false;
	vm->disk_failed = true;
	if (vm_pause(vm) < 0)
		vm->disk_hangs = false; /* somebody else has paused it */
	else
		log_line(LOG_LEVEL_WARNING, "paused: %s; %s", vm->reason,
			 vm->disk_hangs ? "it goes on when the disk answers"
					: "resume it when the cause is gone");
}

/* With the lock: what was asked for. True when a run is to be ended. */
static bool take_wishes(struct run_context *run)
{
	struct vm *vm = run->vm;

	/* It goes back first, or what is under way ends. */
	if (vm->state == VM_SAVING || vm->state == VM_SWITCHING)
		return false;
	if (migrate_runs(vm) && (vm->want_stop || vm->want_reset))
		return false;
	if (vm->want_stop && !incoming_ended(vm))
		return false;
	if (vm->want_pause && !vm->want_stop && !vm->want_reset)
		pause_for_disk(vm);
	if (vm->want_stop && state_move(&vm_states, &vm->state, VM_STOPPED) == 0) {
		run->result = vm->failed ? fail(run->f, -EIO, "the VM '%s' stopped: %s",
						vm->config->name, vm->reason)
					 : 0;
		return true;
	}
	return vm->want_reset && state_move(&vm_states, &vm->state, VM_RESETTING) == 0;
}

static void say_whats_awaited(struct vm *vm)
{
	if (!storage_idle(&vm->storage))
		log_line(LOG_LEVEL_INFO, "waiting for the disks to end what is under way");
}

/* Nothing is left of a run: another one, or the end. */
static void go_on(struct run_context *run)
{
	struct vm *vm = run->vm;

	if (vm->state == VM_RESETTING) {
		run->result = begin_anew(vm, run->f);
		if (run->result < 0)
			state_move(&vm_states, &vm->state, VM_STOPPED);
	}
	if (vm->state == VM_STOPPED)
		loop_stop(vm->loop);
}

static void tell_news(struct vm *vm)
{
	struct heartbeat_state heartbeat;
	struct shutdown_state down;
	struct kvp_state kvp;
	struct vm_news now;

	heartbeat_state(vm->integration.heartbeat, &heartbeat);
	shutdown_state(vm->integration.shutdown, &down);
	kvp_state(vm->integration.kvp, &kvp);
	memset(&now, 0, sizeof(now)); /* its padding is compared */
	now.state = vm->state;
	now.vmbus = vmbus_version(vm->machine.bus);
	now.resets = vm->resets;
	now.crashes = vm->crashes;
	now.guest = kvp.walks;
	now.saves = vm->saver.ended;
	now.migrations = vm->migration.ended;
	now.unsure = migrate_unsure(vm);
	now.mirror = __atomic_load_n(&vm->mirror.phase, __ATOMIC_RELAXED);
	now.heartbeat = heartbeat.label;
	now.shutdown = down.label;
	if (memcmp(&now, &vm->told, sizeof(now)) == 0)
		return;
	vm->told = now;
	vm->tell(vm->tell_owner);
}

/* Between two waits of the loop, without the lock. */
static void carry_out(void *owner)
{
	struct run_context *run = owner;
	struct vm *vm = run->vm;
	bool ends;

	pthread_mutex_lock(&vm->lock);
	storage_settle(&vm->storage);
	machine_run_deferred(&vm->machine);
	storage_watch(&vm->storage);
	save_step(vm);
	migrate_step(vm);
	if (incoming_over(vm))
		lazy_settle(&vm->lazy);
	mirror_step(vm);
	ends = take_wishes(run);
	pthread_mutex_unlock(&vm->lock);
	if (ends) {
		halt_run(vm);
		/* Now no processor is left that could ask or give a reason. */
		if (vm->want_reset && vm->state == VM_RESETTING) {
			log_line(LOG_LEVEL_INFO, "reset: %s", vm->reason);
			vm->want_reset = false;
			vm->resets++;
		}
		say_whats_awaited(vm);
	}
	if ((vm->state == VM_RESETTING || vm->state == VM_STOPPED) && storage_idle(&vm->storage))
		go_on(run);
	if (vm->tell) {
		pthread_mutex_lock(&vm->lock);
		tell_news(vm);
		pthread_mutex_unlock(&vm->lock);
	}
}

/* Lays the state over the VM, which then waits to be resumed: who started it sees to it that the
 * file is not used again. */
static int restore(struct vm *vm, struct failure *f)
{
	int r;

	pthread_mutex_lock(&vm->lock);
	r = state_load(vm, vm->state_fd, vm->config->state_path, f);
	pthread_mutex_unlock(&vm->lock);
	close(vm->state_fd);
	vm->state_fd = -1;
	return r;
}

/* Waits for a stream, with nothing served but who may bring it. */
static int await_incoming(struct vm *vm, struct failure *f)
{
	int r = loop_hold(vm->loop, true);

	if (r < 0)
		return fail(f, r, "cannot wait for the VM '%s': %s", vm->config->name,
			    strerror(-r));
	state_move(&vm_states, &vm->state, VM_INCOMING);
	loop_hold_timers(vm->loop, true);
	return 0;
}

int vm_run(struct vm *vm, struct failure *f)
{
	struct run_context run = {.vm = vm, .f = f};
	bool restores = vm->state_fd >= 0;
	int r = restores ? restore(vm, f) : 0;

	if (r == 0)
		r = start_processors(vm, f);
	if (r == 0 && vm->config->incoming)
		r = await_incoming(vm, f);
	if (r < 0)
		return r;
	if (vm->state != VM_INCOMING)
		state_move(&vm_states, &vm->state, VM_RUNNING);
	if (restores) {
		state_move(&vm_states, &vm->state, VM_PAUSED);
		note(vm, RESTORED);
		vm->restored = true;
		loop_hold_timers(vm->loop, true);
	} else if (vm->state == VM_RUNNING) {
		vcpus_resume(vm->vcpus);
	}
	r = loop_run(vm->loop, carry_out, &run);
	if (r < 0)
		return fail(f, r, "the event loop failed: %s", strerror(-r));
	console_drain(vm->console);
	return run.result;
}

int vm_pause(struct vm *vm)
{
	int r = state_move(&vm_states, &vm->state, VM_PAUSED);

	if (r < 0)
		return r;
	/* A processor on its way out of an exit needs the lock. */
	pthread_mutex_unlock(&vm->lock);
	vcpus_pause(vm->vcpus);
	pthread_mutex_lock(&vm->lock);
	console_flush(vm->console);
	loop_hold_timers(vm->loop, true); /* a guest that stands still misses no heartbeat */
	return 0;
}

int vm_resume(struct vm *vm)
{
	struct failure f;
	int r = -EPROTO;

	if (vm->state == VM_PAUSED)
		r = storage_lock(&vm->storage, &f);
	if (r == 0)
		r = state_move(&vm_states, &vm->state, VM_RUNNING);
	/* A guest that ended itself while it was being paused must not run on. */
	if (r == 0 && !vm->want_stop && !vm->want_reset) {
		if (vm->disk_failed || vm->restored)
			note(vm, "");
		vm->disk_failed = vm->disk_hangs = vm->restored = false;
		storage_retry(&vm->storage);
		mirror_retry(vm);
		loop_hold_timers(vm->loop, false);
		vcpus_resume(vm->vcpus);
	}
	return r;
}

int vm_freeze(struct vm *vm, enum vm_state in, unsigned *ret_from, struct failure *f)
{
	unsigned from = vm->state;

	if (state_move(&vm_states, &vm->state, in) < 0)
		return fail(f, -EPROTO, "cannot %s the VM '%s': it is %s",
			    in == VM_SAVING ? "save" : "migrate", vm->config->name,
			    vm_state_label(vm));
	*ret_from = from;
	if (from == VM_PAUSED)
		return 0;
	pthread_mutex_unlock(&vm->lock);
	vcpus_pause(vm->vcpus);
	pthread_mutex_lock(&vm->lock);
	console_flush(vm->console);
	loop_hold_timers(vm->loop, true);
	return 0;
}

void vm_thaw(struct vm *vm, unsigned to)
{
	int r = loop_hold(vm->loop, false);
	struct failure f;

	if (r < 0)
		log_line(LOG_LEVEL_ERROR, "a descriptor is lost to the event loop: %s",
			 strerror(-r));
	if (vm->state == VM_SAVED)
		note(vm, vm->restored ? RESTORED : "");
	/* Who took the disks meanwhile has them. */
	if (storage_lock(&vm->storage, &f) < 0) {
		log_line(LOG_LEVEL_ERROR, "paused: %s", f.text);
		note(vm, f.text);
		to = VM_PAUSED;
	}
	state_move(&vm_states, &vm->state, to);
	loop_wake(vm->loop);
	if (to != VM_RUNNING)
		return;
	loop_hold_timers(vm->loop, false);
	/* A guest that ended itself while it was being paused must not run on. */
	if (!vm->want_stop && !vm->want_reset)
		vcpus_resume(vm->vcpus);
}

void vm_saved(struct vm *vm)
{
	state_move(&vm_states, &vm->state, VM_SAVED);
	note(vm, "its state was saved");
}

void vm_moved(struct vm *vm)
{
	state_move(&vm_states, &vm->state, VM_MOVED);
	note(vm, "it was migrated to another host");
	vm->want_stop = true;
	loop_wake(vm->loop);
}

int vm_arrived(struct vm *vm, bool paused, struct failure *f)
{
	int r;

	if (vm->want_stop)
		return fail(f, -ECANCELED, "the VM '%s' was not taken over: it was told to end",
			    vm->config->name);
	r = loop_hold(vm->loop, false);
	if (r < 0)
		return fail(f, r, "the VM '%s' was not taken over: the event loop failed: %s",
			    vm->config->name, strerror(-r));
	state_move(&vm_states, &vm->state, paused ? VM_PAUSED : VM_RUNNING);
	if (!paused) {
		loop_hold_timers(vm->loop, false);
		vcpus_resume(vm->vcpus);
	}
	network_announce(&vm->network);
	loop_wake(vm->loop);
	return 0;
}

bool vm_stands_still(const struct vm *vm)
{
	return vm->state >= VM_SAVING;
}

int vm_request_reset(struct vm *vm, const char *reason)
{
	if (!state_allows(&vm_states, vm->state, VM_RESETTING))
		return -EPROTO;
	note(vm, reason);
	vm->want_reset = true;
	loop_wake(vm->loop);
	return 0;
}

void vm_request_end(struct vm *vm, const char *reason)
{
	note(vm, reason);
	vm->want_stop = vm->failed = true;
	loop_wake(vm->loop);
}

int vm_request_stop(struct vm *vm, const char *reason)
{
	if (vm->state != VM_SAVING && vm->state != VM_SWITCHING &&
	    !state_allows(&vm_states, vm->state, VM_STOPPED))
		return -EPROTO;
	if (vm->state != VM_SAVED)
		note(vm, reason);
	/* So that nobody takes it for one that has run here. */
	if (vm->state == VM_INCOMING)
		vm->failed = true;
	vm->want_stop = true;
	loop_wake(vm->loop);
	return 0;
}

void vm_on_news(struct vm *vm, void (*tell)(void *owner), void *owner)
{
	vm->tell = tell;
	vm->tell_owner = owner;
}

void vm_on_lost(struct vm *vm, void (*lost)(void *owner, const char *sentence), void *owner)
{
	vm->lazy.lost = lost;
	vm->lazy.owner = owner;
}

int vm_nmi(struct vm *vm)
{
	if (vm->state != VM_RUNNING && vm->state != VM_PAUSED)
		return -EPROTO;
	for (uint64_t i = 0; i < vm->config->cpus; i++)
		partition_msi(&vm->partition, MSI_ALL_NMI_ADDRESS | i << 12, MSI_DELIVERY_NMI);
	return 0;
}

const char *vm_state_label(const struct vm *vm)
{
	return state_label(&vm_states, vm->state);
}

struct vcpu_stats vm_vcpu_stats(const struct vm *vm)
{
	struct vcpu_stats sum = vm->vcpus ? vcpus_stats(vm->vcpus) : (struct vcpu_stats){0};

	add_stats(&sum, &vm->past);
	return sum;
}
