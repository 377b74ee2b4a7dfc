/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/util.h"
#include "lib/log.h"

#define USEC_PER_S UINT64_C(1000000)
#define STOP_USEC (90 * USEC_PER_S)
#define NOT_EXECUTED 127 /* as posix_spawn() and shells say it */

/* A process that is to be reaped, also when nobody asks for it any more. */
struct child {
	struct launch *launch; /* NULL then */
};

struct launch {
	struct launch_wish wish;
	struct child *child;
	sd_bus_slot *call;
};

int launcher_init(struct launcher *s, sd_event *event, const char *worker)
{
	int r = 0;

	*s = (struct launcher){.event = event, .worker = worker};
	if (sd_booted() <= 0)
		return 0;
	r = sd_bus_open_system(&s->bus);
	if (r >= 0)
		r = sd_bus_attach_event(s->bus, event, SD_EVENT_PRIORITY_NORMAL);
	return r < 0 ? r : 0;
}

void launcher_done(struct launcher *s)
{
	if (s->bus)
		sd_bus_flush_close_unref(s->bus);
	s->bus = NULL;
}

void launch_free(struct launch *s)
{
	if (!s)
		return;
	if (s->child)
		s->child->launch = NULL;
	sd_bus_slot_unref(s->call);
	free(s);
}

/* ---- as a process ---- */

static int on_child(sd_event_source *source, const siginfo_t *info, void *ctx)
{
	struct child *c = ctx;
	struct launch *l = c->launch;

	if (l)
		l->child = NULL;
	/* With a status of its own it has said more in its file. */
	if (l && (info->si_code != CLD_EXITED || info->si_status == NOT_EXECUTED))
		l->wish.failed(l->wish.ctx, "it could not be executed, or was killed at once");
	sd_event_source_disable_unref(source);
	free(c);
	return 0;
}

static int reap(struct launcher *s, struct launch *launch, pid_t pid)
{
	struct child *c = calloc(1, sizeof(*c));
	sd_event_source *source;
	int r = c ? sd_event_add_child(s->event, &source, pid, WEXITED, on_child, c) : -ENOMEM;

	if (r < 0) {
		free(c);
		return r;
	}
	c->launch = launch;
	launch->child = c;
	return 0;
}

static int prepare(posix_spawnattr_t *attr, posix_spawn_file_actions_t *files, const char *log)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = -posix_spawnattr_init(attr);
	if (r == 0)
		r = -posix_spawn_file_actions_init(files);
	if (r == 0)
		r = -posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
							    POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = -posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = -posix_spawnattr_setsigdefault(attr, &all);
	if (r == 0)
		r = -posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = -posix_spawn_file_actions_addopen(files, 1, log, O_WRONLY | O_CREAT | O_APPEND,
						      0600);
	if (r == 0)
		r = -posix_spawn_file_actions_adddup2(files, 1, 2);
	return r;
}

static int start_process(struct launcher *s, struct launch *launch, const char *config)
{
	char *argv[] = {(char *)(uintptr_t)s->worker, (char *)(uintptr_t) "--config",
			(char *)(uintptr_t)config, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	char log[PATH_MAX];
	pid_t pid;
	int r;

	snprintf(log, sizeof(log), "%s/log", launch->wish.run);
	r = prepare(&attr, &files, log);
	if (r == 0)
		r = -posix_spawn(&pid, s->worker, &files, &attr, argv, environ);
	if (r == 0)
		r = reap(s, launch, pid);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return r < 0 ? r : 0;
}

/* ---- as a unit ---- */

static int on_started(sd_bus_message *m, void *ctx, sd_bus_error *error)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);
	struct launch *s = ctx;

	(void)error;
	if (e)
		s->wish.failed(s->wish.ctx, e->message ? e->message : e->name);
	return 0;
}

static int append_exec(sd_bus_message *m, const char *worker, const char *config)
{
	const char *const argv[] = {worker, "--config", config};
	int r = sd_bus_message_open_container(m, 'r', "sv");

	if (r >= 0)
		r = sd_bus_message_append(m, "s", "ExecStart");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "a(sasb)");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sasb)");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'r', "sasb");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", worker);
	if (r >= 0)
		r = sd_bus_message_append(m, "as", (int)ARRAY_LEN(argv), argv[0], argv[1], argv[2]);
	if (r >= 0)
		r = sd_bus_message_append(m, "b", 0);
	for (int i = 0; r >= 0 && i < 4; i++)
		r = sd_bus_message_close_container(m);
	return r;
}

static int append_properties(sd_bus_message *m, const struct launch_wish *w, const char *worker,
			     const char *config)
{
	char text[128];
	int r = sd_bus_message_open_container(m, 'a', "(sv)");

	snprintf(text, sizeof(text), "Oya VM %s", w->name);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)", "Description", "s", text,
					  "Slice", "s", "oya.slice", "Type", "s", "exec",
					  "KillMode", "s", "mixed", "TimeoutStopUSec", "t",
					  STOP_USEC, "CollectMode", "s", "inactive-or-failed");
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)", "CPUWeight", "t", (uint64_t)w->cpu_weight);
	if (r >= 0 && w->cpu_percent)
		r = sd_bus_message_append(m, "(sv)", "CPUQuotaPerSecUSec", "t",
					  w->cpu_percent * (USEC_PER_S / 100));
	if (r >= 0)
		r = append_exec(m, worker, config);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int start_unit(struct launcher *s, struct launch *launch, const char *config)
{
	sd_bus_message *m = NULL;
	char unit[64];
	int r;

	snprintf(unit, sizeof(unit), "oya-vm-%s.service", launch->wish.uuid);
	r = sd_bus_message_new_method_call(
		s->bus, &m, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
		"org.freedesktop.systemd1.Manager", "StartTransientUnit");
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", unit, "fail");
	if (r >= 0)
		r = append_properties(m, &launch->wish, s->worker, config);
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 0);
	if (r >= 0)
		r = sd_bus_call_async(s->bus, &launch->call, m, on_started, launch, 0);
	sd_bus_message_unref(m);
	return r < 0 ? r : 0;
}

int launch_start(struct launcher *s, const struct launch_wish *wish, struct launch **ret_launch,
		 struct failure *f)
{
	struct launch *launch = calloc(1, sizeof(*launch));
	char config[PATH_MAX];
	int r = -ENOMEM;

	snprintf(config, sizeof(config), "%s/worker.json", wish->run);
	if (launch) {
		launch->wish = *wish;
		r = s->bus ? start_unit(s, launch, config) : start_process(s, launch, config);
	}
	if (r < 0) {
		launch_free(launch);
		return fail(f, r, "cannot start the worker %s of the VM '%s': %s", s->worker,
			    wish->name, strerror(-r));
	}
	*ret_launch = launch;
	return 0;
}
