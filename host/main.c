/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oyad: the VMs of this host. Exit status: 0 told to end, 1 it failed, 2 wrong use. Its VMs outlive
 * it.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "host/api.h"
#include "host/door.h"
#include "host/events.h"
#include "host/host.h"
#include "lib/log.h"

#ifndef OYA_IMPORT
#define OYA_IMPORT "/usr/libexec/oya/oya-import"
#endif
#ifndef OYA_TLS
#define OYA_TLS "/usr/libexec/oya/oya-tls"
#endif
#ifndef OYA_WORKER
#define OYA_WORKER "/usr/libexec/oya/oya-worker"
#endif

static const char usage[] =
	"usage: oyad [--state FOLDER] [--run FOLDER] [--worker FILE] [--importer FILE]\n"
	"            [--connector FILE] [--listen ADDRESS:PORT] [--memory MIB] [--tag TAG]\n"
	"       oyad --version\n";

struct places {
	struct host_places host;
	const char *listen;
};

struct daemon {
	sd_event *event;
	struct host host;
	struct api api;
	struct door door;
};

static void publish(void *ctx, const char *type, json_t *data)
{
	(void)events_publish(ctx, type, data);
}

/* Nothing is flushed: disks that are in doubt may hang. In a PID namespace it is its end alone. */
static int boot_anew(void)
{
	return reboot(RB_AUTOBOOT) < 0 ? -errno : 0;
}

/* Greater than any of before a restart. */
static uint64_t first_event(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int start(struct daemon *d, const struct places *p, struct failure *f)
{
	int r = events_new(EVENTS_KEPT_MAX, first_event(), &d->api.events);

	if (r < 0)
		return fail(f, r, "cannot start: %s", strerror(-r));
	d->host.publish = publish;
	d->host.publish_ctx = d->api.events;
	d->host.reboot = boot_anew;
	d->api.host = &d->host;
	list_init(&d->api.consoles);
	r = host_init(&d->host, &p->host, d->event, f);
	return r < 0 ? r : door_open(&d->door, &d->api, p->listen, f);
}

static int run(const struct places *p)
{
	struct daemon d = {.event = NULL};
	struct failure f = {"unknown"};
	int r = sd_event_default(&d.event);

	if (r >= 0)
		r = sd_event_add_signal(d.event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(d.event, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_set_watchdog(d.event, true); /* where the unit has one */
	if (r >= 0)
		r = start(&d, p, &f);
	else
		fail(&f, r, "cannot make an event loop: %s", strerror(-r));
	if (r == 0) {
		log_line(LOG_LEVEL_INFO, "version " OYA_VERSION ", %u VMs, listening on %s/api",
			 d.host.vm_count, p->host.run);
		sd_notify(0, "READY=1");
		r = sd_event_loop(d.event);
		if (r < 0)
			fail(&f, r, "the event loop failed: %s", strerror(-r));
	}
	if (r < 0)
		log_line(LOG_LEVEL_ERROR, "%s", f.text);
	sd_notify(0, "STOPPING=1");
	door_close(&d.door);
	host_done(&d.host);
	door_done(&d.door);
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
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* False: told what is wrong. */
static bool take_option(struct places *p, int option)
{
	switch (option) {
	case 's':
		p->host.state = optarg;
		return true;
	case 'r':
		p->host.run = optarg;
		return true;
	case 'w':
		p->host.worker = optarg;
		return true;
	case 'i':
		p->host.importer = optarg;
		return true;
	case 'c':
		p->host.connector = optarg;
		return true;
	case 'l':
		p->listen = optarg;
		return true;
	case 'm':
		if (capacity_take_memory(&p->host.capacity, optarg))
			return true;
		fprintf(stderr, "oyad: '%s' is no number of MiB\n", optarg);
		return false;
	case 't':
		if (capacity_add_tag(&p->host.capacity, optarg))
			return true;
		fprintf(stderr, "oyad: '%s' is no tag, or one of more than %u\n", optarg,
			SCENE_TAGS_MAX);
		return false;
	default:
		fputs(usage, stderr);
		return false;
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"state", required_argument, NULL, 's'},
		{"run", required_argument, NULL, 'r'},
		{"worker", required_argument, NULL, 'w'},
		{"importer", required_argument, NULL, 'i'},
		{"connector", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{"listen", required_argument, NULL, 'l'},
		{"memory", required_argument, NULL, 'm'},
		{"tag", required_argument, NULL, 't'},
		{0},
	};
	struct places places = {.host = {.state = "/var/lib/oya",
					 .run = "/run/oya",
					 .worker = OYA_WORKER,
					 .importer = OYA_IMPORT,
					 .connector = OYA_TLS}};
	int option;

	while ((option = getopt_long(argc, argv, "s:r:w:i:c:l:m:t:hV", options, NULL)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		}
		if (option == 'V') {
			puts("oyad " OYA_VERSION);
			return EXIT_SUCCESS;
		}
		if (!take_option(&places, option))
			return 2;
	}
	if (optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	log_init("oyad", LOG_LEVEL_INFO);
	block_signals();
	umask(0077);
	return run(&places);
}
