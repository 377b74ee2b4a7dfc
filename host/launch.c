/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/util.h"
#include "lib/log.h"
#include "lib/process.h"

#define USEC_PER_S UINT64_C(1000000)
#define STOP_USEC (90 * USEC_PER_S)
#define WORKER_FILES UINT64_C(2048) /* as many as its sandbox leaves it */
#define UNIT_MAX 64
#define UNIT_TRIES 100u
#define UNIT_AGAIN_US UINT64_C(100000)
#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER SYSTEMD ".Manager"
#define NOT_EXECUTED 127 /* as posix_spawn() and shells say it */

/* A process that is to be reaped, also when nobody asks for it any more. */
struct child {
	struct launch *launch; /* NULL then */
};

struct launch {
	struct list link; /* as a unit */
	struct launcher *launcher;
	struct launch_wish wish;
	struct child *child;
	sd_bus_slot *call;
	sd_event_source *again;
	unsigned tries;
};

static void config_path(const struct launch_wish *w, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/worker.json", w->run);
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

static int start_process(struct launch *launch)
{
	struct launcher *s = launch->launcher;
	char config[PATH_MAX], log[PATH_MAX];
	const char *const arguments[] = {"--config", config, NULL};
	struct process_wish child = {
		.program = s->worker, .arguments = arguments, .in = -1, .session = true};
	pid_t pid;
	int fd, r;

	config_path(&launch->wish, config);
	snprintf(log, sizeof(log), "%s/log", launch->wish.run);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	child.out = child.errors = fd;
	r = process_start(&child, &pid);
	close(fd);
	return r < 0 ? r : reap(s, launch, pid);
}

/* ---- as a unit ---- */

static int start_unit(struct launch *launch);

static void unit_name(const struct launch *launch, char unit[UNIT_MAX])
{
	snprintf(unit, UNIT_MAX, "oya-vm-%s.service", launch->wish.uuid);
}

static int on_again(sd_event_source *source, uint64_t us, void *ctx)
{
	struct launch *s = ctx;
	int r = start_unit(s);

	(void)source;
	(void)us;
	if (r < 0)
		s->wish.failed(s->wish.ctx, strerror(-r));
	return 0;
}

/* The unit of a worker that has just ended is there until systemd has heard of that. */
static bool try_again(struct launch *s, const sd_bus_error *e)
{
	if (!sd_bus_error_has_name(e, "org.freedesktop.systemd1.UnitExists") ||
	    s->tries++ == UNIT_TRIES)
		return false;
	s->again = sd_event_source_disable_unref(s->again);
	return sd_event_add_time_relative(s->launcher->event, &s->again, CLOCK_MONOTONIC,
					  UNIT_AGAIN_US, 0, on_again, s) >= 0;
}

static int on_asked(sd_bus_message *m, void *ctx, sd_bus_error *error)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);
	struct launch *s = ctx;

	(void)error;
	if (e && !try_again(s, e))
		s->wish.failed(s->wish.ctx, e->message ? e->message : e->name);
	return 0;
}

/* A job of systemd's has ended: of ours only that a unit could not be started is news. */
static int on_job_removed(sd_bus_message *m, void *ctx, sd_bus_error *error)
{
	const char *path, *unit, *result;
	struct launcher *s = ctx;
	char name[UNIT_MAX];
	uint32_t id;

	(void)error;
	if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) < 0 ||
	    strcmp(result, "done") == 0)
		return 0;
	for (struct list *at = s->units.next; at != &s->units; at = at->next) {
		struct launch *launch = CONTAINER_OF(at, struct launch, link);
		char why[FAIL_TEXT_MAX];

		unit_name(launch, name);
		if (strcmp(unit, name) != 0 || launch->again)
			continue;
		snprintf(why, sizeof(why), "systemd says '%.32s'; 'journalctl -u %s' tells why",
			 result, name);
		launch->wish.failed(launch->wish.ctx, why);
		break;
	}
	return 0;
}

static void close_bus(struct launcher *s)
{
	if (s->bus)
		sd_bus_flush_close_unref(s->bus);
	s->bus = NULL;
}

/* Also anew, when the bus was started anew. */
static int open_bus(struct launcher *s)
{
	int r;

	close_bus(s);
	r = sd_bus_open_system(&s->bus);
	if (r >= 0)
		r = sd_bus_attach_event(s->bus, s->event, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = sd_bus_match_signal_async(s->bus, NULL, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER,
					      "JobRemoved", on_job_removed, NULL, s);
	/* Else it tells of no jobs. */
	if (r >= 0)
		r = sd_bus_call_method_async(s->bus, NULL, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER,
					     "Subscribe", NULL, NULL, NULL);
	return r < 0 ? r : 0;
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

/* When the host ends the unit is stopped behind oya-vms.service, which stops VMs as their settings
 * say, and before networks, file systems and the VM's folder go. */
static int append_order(sd_bus_message *m, const struct launch_wish *w)
{
	return sd_bus_message_append(m, "(sv)(sv)(sv)", "Before", "as", 1, "oya-vms.service",
				     "After", "as", 2, "network.target", "remote-fs.target",
				     "RequiresMountsFor", "as", 1, w->folder);
}

static int append_limits(sd_bus_message *m, const struct launch_wish *w)
{
	int r = sd_bus_message_append(m, "(sv)(sv)", "LimitNOFILE", "t", WORKER_FILES, "CPUWeight",
				      "t", (uint64_t)w->cpu_weight);

	if (r >= 0 && w->cpu_percent)
		r = sd_bus_message_append(m, "(sv)", "CPUQuotaPerSecUSec", "t",
					  w->cpu_percent * (USEC_PER_S / 100));
	return r;
}

/* What the worker says is found by its VM: journalctl OYA_VM=NAME. */
static int append_log_fields(sd_bus_message *m, const struct launch_wish *w)
{
	char name[128], uuid[128];
	int r = sd_bus_message_open_container(m, 'r', "sv");

	snprintf(name, sizeof(name), "OYA_VM=%s", w->name);
	snprintf(uuid, sizeof(uuid), "OYA_VM_UUID=%s", w->uuid);
	if (r >= 0)
		r = sd_bus_message_append(m, "s", "LogExtraFields");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "aay");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "ay");
	if (r >= 0)
		r = sd_bus_message_append_array(m, 'y', name, strlen(name));
	if (r >= 0)
		r = sd_bus_message_append_array(m, 'y', uuid, strlen(uuid));
	for (int i = 0; r >= 0 && i < 3; i++)
		r = sd_bus_message_close_container(m);
	return r;
}

static int append_properties(sd_bus_message *m, const struct launch_wish *w, const char *worker,
			     const char *config)
{
	char text[128];
	int r = sd_bus_message_open_container(m, 'a', "(sv)");

	snprintf(text, sizeof(text), "Oya VM %s", w->name);
	/* A helper that runs out of memory is not the VM's end. */
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)(sv)", "Description", "s",
					  text, "Slice", "s", "oya.slice", "Type", "s", "exec",
					  "KillMode", "s", "mixed", "OOMPolicy", "s", "continue",
					  "TimeoutStopUSec", "t", STOP_USEC, "CollectMode", "s",
					  "inactive-or-failed");
	if (r >= 0)
		r = append_order(m, w);
	if (r >= 0)
		r = append_limits(m, w);
	if (r >= 0)
		r = append_log_fields(m, w);
	if (r >= 0)
		r = append_exec(m, worker, config);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int start_unit(struct launch *launch)
{
	struct launcher *s = launch->launcher;
	char unit[UNIT_MAX], config[PATH_MAX];
	sd_bus_message *m = NULL;
	int r = 0;

	unit_name(launch, unit);
	config_path(&launch->wish, config);
	launch->call = sd_bus_slot_unref(launch->call);
	launch->again = sd_event_source_disable_unref(launch->again);
	if (sd_bus_is_open(s->bus) <= 0)
		r = open_bus(s);
	if (r >= 0)
		r = sd_bus_message_new_method_call(s->bus, &m, SYSTEMD, SYSTEMD_PATH,
						   SYSTEMD_MANAGER, "StartTransientUnit");
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", unit, "fail");
	if (r >= 0)
		r = append_properties(m, &launch->wish, s->worker, config);
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 0);
	if (r >= 0)
		r = sd_bus_call_async(s->bus, &launch->call, m, on_asked, launch, 0);
	sd_bus_message_unref(m);
	return r < 0 ? r : 0;
}

/* ---- either ---- */

int launcher_init(struct launcher *s, sd_event *event, const char *worker)
{
	*s = (struct launcher){.event = event, .worker = worker};
	list_init(&s->units);
	s->has_systemd = sd_booted() > 0;
	return s->has_systemd ? open_bus(s) : 0;
}

void launcher_done(struct launcher *s)
{
	close_bus(s);
}

void launch_free(struct launch *s)
{
	if (!s)
		return;
	if (s->child)
		s->child->launch = NULL;
	if (list_linked(&s->link))
		list_remove(&s->link);
	sd_bus_slot_unref(s->call);
	sd_event_source_disable_unref(s->again);
	free(s);
}

int launch_start(struct launcher *s, const struct launch_wish *wish, struct launch **ret_launch,
		 struct failure *f)
{
	struct launch *launch = calloc(1, sizeof(*launch));
	int r = -ENOMEM;

	if (launch) {
		launch->launcher = s;
		launch->wish = *wish;
		if (s->has_systemd)
			list_append(&s->units, &launch->link);
		r = s->has_systemd ? start_unit(launch) : start_process(launch);
	}
	if (r < 0) {
		launch_free(launch);
		return fail(f, r, "cannot start the worker %s of the VM '%s': %s", s->worker,
			    wish->name, strerror(-r));
	}
	*ret_launch = launch;
	return 0;
}
