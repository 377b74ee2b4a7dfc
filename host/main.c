/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oyad: the VMs of this host. Exit status: 0 told to end, 1 it failed, 2 wrong use. Its VMs outlive
 * it.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "host/api.h"
#include "host/events.h"
#include "host/host.h"
#include "host/http.h"
#include "lib/listen.h"
#include "lib/log.h"

#ifndef OYA_WORKER
#define OYA_WORKER "/usr/libexec/oya/oya-worker"
#endif
#define GROUP "oya"

static const char usage[] = "usage: oyad [--state FOLDER] [--run FOLDER] [--worker FILE]\n"
			    "       oyad --version\n";

struct daemon {
	sd_event *event;
	struct host host;
	struct api api;
	struct http *http;
	struct listener listener;
};

static void publish(void *ctx, const char *type, json_t *data)
{
	(void)events_publish(ctx, type, data);
}

static gid_t group(void)
{
	struct group entry, *found = NULL;
	char names[4096];

	if (getgrnam_r(GROUP, &entry, names, sizeof(names), &found) != 0 || !found)
		return (gid_t)-1;
	return found->gr_gid;
}

/* Nothing, where there is no such group. */
static int share(const char *path, mode_t mode, struct failure *f)
{
	gid_t gid = group();

	if (gid == (gid_t)-1 || (chown(path, (uid_t)-1, gid) == 0 && chmod(path, mode) == 0))
		return 0;
	return fail(f, -errno, "cannot give %s to the group %s: %s", path, GROUP, strerror(errno));
}

/* Members of the group may reach the socket and connect; what they may do is the http's to say. */
static int open_socket(struct daemon *d, struct failure *f)
{
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%s/api", d->host.run);
	r = listen_unix(path, "API", &d->listener, f);
	if (r < 0)
		return r;
	r = share(d->host.run, 0750, f);
	if (r == 0)
		r = share(path, 0660, f);
	return r < 0 ? r : http_listen_unix(d->http, d->listener.fd, f);
}

/* Greater than any of before a restart. */
static uint64_t first_event(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int start(struct daemon *d, const char *state, const char *run, const char *worker,
		 struct failure *f)
{
	struct http_config config = {
		.route = api_routes,
		.routes = api_route_count,
		.owner = &d->api,
		.group = group(),
	};
	int r = events_new(EVENTS_KEPT_MAX, first_event(), &d->api.events);

	if (r < 0)
		return fail(f, r, "cannot start: %s", strerror(-r));
	d->host.publish = publish;
	d->host.publish_ctx = d->api.events;
	d->api.host = &d->host;
	r = host_init(&d->host, state, run, worker, d->event, f);
	if (r == 0)
		r = http_new(d->event, &config, &d->http, f);
	if (r == 0)
		r = open_socket(d, f);
	return r;
}

static int run(const char *state, const char *run_folder, const char *worker)
{
	struct daemon d = {.listener = {.fd = -1, .folder = -1}};
	struct failure f = {"unknown"};
	int r = sd_event_default(&d.event);

	if (r >= 0)
		r = sd_event_add_signal(d.event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(d.event, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_set_watchdog(d.event, true); /* where the unit has one */
	if (r >= 0)
		r = start(&d, state, run_folder, worker, &f);
	else
		fail(&f, r, "cannot make an event loop: %s", strerror(-r));
	if (r == 0) {
		log_line(LOG_LEVEL_INFO, "version " OYA_VERSION ", %u VMs, listening on %s/api",
			 d.host.vm_count, run_folder);
		sd_notify(0, "READY=1");
		r = sd_event_loop(d.event);
		if (r < 0)
			fail(&f, r, "the event loop failed: %s", strerror(-r));
	}
	if (r < 0)
		log_line(LOG_LEVEL_ERROR, "%s", f.text);
	sd_notify(0, "STOPPING=1");
	http_free(d.http);
	listener_done(&d.listener);
	host_done(&d.host);
	events_free(d.api.events);
	sd_event_unref(d.event);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Before any thread is made, so that all inherit the mask. */
static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"state", required_argument, NULL, 's'},  {"run", required_argument, NULL, 'r'},
		{"worker", required_argument, NULL, 'w'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},      {0},
	};
	const char *state = "/var/lib/oya", *run_folder = "/run/oya", *worker = OYA_WORKER;
	int option;

	while ((option = getopt_long(argc, argv, "s:r:w:hV", options, NULL)) != -1) {
		switch (option) {
		case 's':
			state = optarg;
			break;
		case 'r':
			run_folder = optarg;
			break;
		case 'w':
			worker = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("oyad " OYA_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	log_init("oyad", LOG_LEVEL_INFO);
	block_signals();
	umask(0077);
	return run(state, run_folder, worker);
}
