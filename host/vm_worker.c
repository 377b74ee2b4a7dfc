/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM's worker as its files show it: `worker.json` that it reads, `control` that it listens on,
 * `end` that it holds locked while it lives and writes when it ends. All lie below /run, in memory,
 * so that none of this waits for a disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "host/host.h"
#include "host/save.h"
#include "host/store.h"
#include "host/vm.h"
#include "lib/log.h"

#define END_BYTES_MAX 4096u
#define CONNECT_TRIES 200u
#define CONNECT_AGAIN_US 5000u

/* ---- its end ---- */

/* What `end` says, as an object that has a result; NULL: nothing. */
static json_t *read_end(const struct vm *vm)
{
	char path[PATH_MAX], *text;
	struct failure f;
	json_t *end;
	size_t len;

	snprintf(path, sizeof(path), "%s/end", vm->run);
	if (store_read(path, END_BYTES_MAX, &text, &len, &f) < 0)
		return NULL;
	end = json_loadb(text, len, JSON_DISABLE_EOF_CHECK, NULL);
	free(text);
	if (json_is_string(json_object_get(end, "result")))
		return end;
	json_decref(end);
	return NULL;
}

void vm_worker_take_end(struct vm *vm)
{
	static const char *const left[] = {"end",
					   "control"}; /* told once; of one that was killed */
	json_t *end = read_end(vm);
	const char *result = json_string_value(json_object_get(end, "result"));
	const char *reason = json_string_value(json_object_get(end, "reason"));
	char why[FAIL_TEXT_MAX] = "its worker was killed", path[PATH_MAX];
	bool failed = !result || strcmp(result, "off") != 0;

	if (result && strcmp(result, "moved") == 0) {
		/* The file stays until the VM has left this host. */
		vm_gone(vm, json_object_get(end, "migrate"));
		json_decref(end);
		return;
	}
	if (result)
		snprintf(why, sizeof(why), "%s", reason ? reason : "");
	json_decref(end);
	for (size_t i = 0; i < ARRAY_LEN(left); i++) {
		snprintf(path, sizeof(path), "%s/%s", vm->run, left[i]);
		(void)unlink(path);
	}
	vm_ended(vm, failed, why);
}

static void on_launch_failed(void *ctx, const char *sentence)
{
	struct vm *vm = ctx;
	char why[FAIL_TEXT_MAX];

	snprintf(why, sizeof(why), "its worker did not start: %s", sentence);
	vm_ended(vm, true, why);
}

bool vm_worker_lives(const struct vm *vm)
{
	char path[PATH_MAX];
	bool lives;
	int fd;

	snprintf(path, sizeof(path), "%s/end", vm->run);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	lives = flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	close(fd);
	return lives;
}

void vm_worker_kill(struct vm *vm)
{
	if (vm->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, vm->pidfd, SIGKILL, NULL, 0);
}

void vm_worker_forget(struct vm *vm)
{
	link_free(vm->worker);
	vm->worker = NULL;
	launch_free(vm->launch);
	vm->launch = NULL;
	vm->files = sd_event_source_disable_unref(vm->files);
	vm->again = sd_event_source_disable_unref(vm->again);
	if (vm->pidfd >= 0)
		close(vm->pidfd);
	vm->pidfd = -1;
	vm->end_told = false;
	json_decref(vm->status);
	json_decref(vm->guest);
	vm->status = vm->guest = NULL;
}

/* ---- the connection ---- */

static int on_connect_again(sd_event_source *source, uint64_t us, void *ctx);

static void connect_later(struct vm *vm)
{
	vm->again = sd_event_source_disable_unref(vm->again);
	if (vm->tries++ == CONNECT_TRIES ||
	    sd_event_add_time_relative(vm->host->event, &vm->again, CLOCK_MONOTONIC,
				       CONNECT_AGAIN_US, 0, on_connect_again, vm) < 0)
		log_line_of(LOG_LEVEL_ERROR, vm->log_fields,
			    "the worker of the VM '%s' does not listen", vm->name);
}

/* A worker that starts holds no lock yet. */
static int on_connect_again(sd_event_source *source, uint64_t us, void *ctx)
{
	struct vm *vm = ctx;
	bool starts = vm->life == VM_STARTING || vm->life == VM_INCOMING;

	(void)source;
	(void)us;
	if ((vm->end_told || !starts) && !vm_worker_lives(vm))
		vm_worker_take_end(vm);
	else if (vm->end_told)
		connect_later(vm);
	else
		vm_worker_connect(vm);
	return 0;
}

static void on_status(void *ctx, json_t *status)
{
	vm_told(ctx, status);
}

/* The end of the worker is told by its file. One that lives has let us go: we come back. */
static void on_link_ended(void *ctx)
{
	struct vm *vm = ctx;

	link_free(vm->worker);
	vm->worker = NULL;
	if (vm_worker_lives(vm))
		connect_later(vm);
}

static int peer_pidfd(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	return (int)syscall(SYS_pidfd_open, peer.pid, 0);
}

void vm_worker_connect(struct vm *vm)
{
	const struct link_owner owner = {.status = on_status, .ended = on_link_ended, .ctx = vm};
	char path[PATH_MAX];
	int fd;

	if (vm->worker)
		return;
	snprintf(path, sizeof(path), "%s/control", vm->run);
	fd = link_connect(path);
	if (fd < 0) {
		connect_later(vm);
		return;
	}
	vm->tries = 0;
	if (vm->pidfd < 0)
		vm->pidfd = peer_pidfd(fd);
	launch_free(vm->launch);
	vm->launch = NULL;
	if (link_new(vm->host->event, fd, &owner, &vm->worker) < 0)
		connect_later(vm);
	else if (vm->life == VM_STOPPING && vm->off_wanted) /* before it listened */
		(void)link_request(vm->worker, json_pack("{s:s}", "verb", "stop"), -1, NULL, NULL);
}

/* ---- its files ---- */

/* The kernel tells of it before it takes the lock away. */
static void on_end_closed(struct vm *vm)
{
	if (!vm_worker_lives(vm)) {
		vm_worker_take_end(vm);
		return;
	}
	vm->end_told = true;
	vm->tries = 0;
	connect_later(vm);
}

static int on_file(sd_event_source *source, const struct inotify_event *e, void *ctx)
{
	struct vm *vm = ctx;

	(void)source;
	/* Of a queue that ran over it is not known what was lost. */
	if (e->mask & IN_Q_OVERFLOW) {
		if (!vm_worker_lives(vm))
			vm_worker_take_end(vm);
		else
			vm_worker_connect(vm);
	} else if ((e->mask & IN_CREATE) && strcmp(e->name, "control") == 0) {
		vm_worker_connect(vm);
	} else if ((e->mask & IN_CLOSE_WRITE) && strcmp(e->name, "end") == 0) {
		on_end_closed(vm);
	}
	return 0;
}

int vm_worker_watch(struct vm *vm)
{
	int r = sd_event_add_inotify(vm->host->event, &vm->files, vm->run,
				     IN_CREATE | IN_CLOSE_WRITE | IN_ONLYDIR, on_file, vm);

	vm->tries = 0;
	return r < 0 ? r : 0;
}

static int make_folder(const struct vm *vm)
{
	static const char *const old[] = {"end", "control", VM_STREAMS_FILE};
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/vm", vm->host->run);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (mkdir(vm->run, 0700) < 0 && errno != EEXIST)
		return -errno;
	for (size_t i = 0; i < ARRAY_LEN(old); i++) {
		snprintf(path, sizeof(path), "%s/%s", vm->run, old[i]);
		if (unlink(path) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

static int write_config(const struct vm *vm, struct failure *f)
{
	const struct vm_places places = {.name = vm->name, .folder = vm->folder, .run = vm->run};
	json_t *config = settings_for_worker(vm->settings, &places);
	char *text = NULL;
	int r;

	if (config && vm->incoming)
		(void)json_object_set_new(config, "incoming", json_true());
	if (config && vm_lease_config(vm, config) == 0 &&
	    (!vm->saved || json_object_set_new(config, "restore",
					       json_sprintf("%s/%s", vm->folder, SAVE_FILE)) == 0))
		text = json_dumps(config, JSON_INDENT(2));

	json_decref(config);
	if (!text)
		return fail(f, -ENOMEM, "cannot start the VM '%s': out of memory", vm->name);
	r = store_write(vm->run, "worker.json", text, strlen(text), f);
	free(text);
	return r;
}

int vm_worker_start(struct vm *vm, struct failure *f)
{
	const struct launch_wish wish = {
		.uuid = vm->uuid,
		.name = vm->name,
		.folder = vm->folder,
		.run = vm->run,
		.cpu_percent = vm->settings->cpu_percent,
		.cpu_weight = vm->settings->cpu_weight,
		.failed = on_launch_failed,
		.ctx = vm,
	};
	int r;

	if (vm_worker_lives(vm))
		return fail(f, -EBUSY, "cannot start the VM '%s': a worker of it lives already",
			    vm->name);
	r = make_folder(vm);
	if (r < 0)
		return fail(f, r, "cannot start the VM '%s': cannot make %s: %s", vm->name, vm->run,
			    strerror(-r));
	r = write_config(vm, f);
	if (r < 0)
		return r;
	r = vm_worker_watch(vm);
	if (r < 0)
		return fail(f, r, "cannot start the VM '%s': cannot watch %s: %s", vm->name,
			    vm->run, strerror(-r));
	r = launch_start(&vm->host->launcher, &wish, &vm->launch, f);
	if (r < 0)
		vm_worker_forget(vm);
	return r;
}
