/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/door.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/carrier.h"
#include "host/cluster.h"
#include "host/events.h"
#include "host/incoming.h"
#include "host/tls.h"
#include "lib/log.h"

#define GROUP "oya"
#define BACKLOG 64

static gid_t group(void)
{
	struct group entry, *found = NULL;
	char names[4096];

	if (getgrnam_r(GROUP, &entry, names, sizeof(names), &found) != 0 || !found)
		return (gid_t)-1;
	return found->gr_gid;
}

/* ---- the Unix socket ---- */

/* Who may connect. Where access.json names users and groups, all may: the kernel tells who each of
 * them is, and those who are not named come as far as any stranger of the network. The folder
 * above has to let them pass; what else is in it does not. */
static int set_mode(const struct door *d, struct failure *f)
{
	bool others = access_names_users(gate_access(d->api->gate));
	bool has_group = d->group != (gid_t)-1;
	const char *run = d->api->host->run;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/api", run);
	if ((has_group && chown(path, (uid_t)-1, d->group) < 0) ||
	    chmod(path, others      ? 0666
			: has_group ? 0660
				    : 0600) < 0 ||
	    ((others || has_group) && chmod(run, 0711) < 0))
		return fail(f, -errno, "cannot open %s to its users: %s", path, strerror(errno));
	return 0;
}

static int open_socket(struct door *d, struct failure *f)
{
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%s/api", d->api->host->run);
	r = listen_unix(path, "API", &d->socket, f);
	if (r == 0)
		r = set_mode(d, f);
	return r < 0 ? r : http_listen_unix(d->http, d->socket.fd, f);
}

/* ---- TCP ---- */

/* Cuts "ADDRESS:PORT" or "[ADDRESS]:PORT" in two; false when it is neither. */
static bool split(char *text, const char **ret_address, const char **ret_port)
{
	char *colon = strrchr(text, ':');

	if (!colon || colon == text || !colon[1])
		return false;
	*colon = '\0';
	*ret_port = colon + 1;
	*ret_address = text;
	if (text[0] != '[')
		return !strchr(text, ':');
	if (colon[-1] != ']')
		return false;
	colon[-1] = '\0';
	*ret_address = text + 1;
	return true;
}

static int bind_to(const struct addrinfo *a, struct failure *f, const char *where)
{
	static const int on = 1, off = 0;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r = 0;

	if (fd < 0)
		return fail(f, -errno, "cannot listen on %s: %s", where, strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* An address that comes up later is fine. */
	setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		r = fail(f, -errno, "cannot listen on %s: %s", where, strerror(errno));
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

static int open_tcp(const char *where, struct failure *f)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
	struct addrinfo *list;
	const char *address, *port;
	char text[256];
	int fd;

	snprintf(text, sizeof(text), "%s", where);
	if (!split(text, &address, &port) || getaddrinfo(address, port, &hints, &list) != 0)
		return fail(f, -EINVAL,
			    "cannot listen on '%s': it is no ADDRESS:PORT, such as 0.0.0.0:7443 "
			    "or [::]:7443",
			    where);
	fd = bind_to(list, f, where);
	freeaddrinfo(list);
	return fd;
}

/* Who has a pass of a VM that comes. */
static bool carry(void *ctx, const char *pass, int outer, int inner)
{
	const struct host *h = ((const struct door *)ctx)->api->host;
	struct failure f;

	if (!incoming_takes_pass(h, pass))
		return false;
	if (carrier_start(h->event, &(struct carrier_wish){h->connector, h->state, outer, inner},
			  &f) < 0)
		log_line(LOG_LEVEL_ERROR, "%s", f.text);
	return true;
}

static int open_tls(struct door *d, const char *where, struct failure *f)
{
	int r = tls_server_new(d->event, d->api->host->state, &d->tls, f);

	if (r < 0)
		return r;
	d->tcp = open_tcp(where, f);
	if (d->tcp < 0)
		return d->tcp;
	tls_server_set_carrier(d->tls, carry, d);
	d->api->certificate = tls_server_fingerprint(d->tls);
	log_line(LOG_LEVEL_INFO, "listening on %s, certificate SHA256 %s", where,
		 d->api->certificate);
	r = cluster_new(d->api->host, d->api->gate, d->tls, where, &d->cluster, f);
	d->api->host->cluster = d->cluster;
	return r < 0 ? r : http_listen_tls(d->http, d->tcp, d->tls, f);
}

/* ---- who is let in ---- */

static enum http_role role(void *owner, const struct http_caller *caller, const char *authorization,
			   struct http_identity *ret_identity)
{
	const struct api *api = owner;

	return gate_role(api->gate, caller, authorization, ret_identity);
}

static enum events_sight sight(void *ctx, uint64_t who, const char *vm)
{
	const struct gate *gate = ((const struct api *)ctx)->gate;

	if (!gate_knows(gate, who))
		return EVENTS_ENDED;
	return vm ? (gate_sees(gate, who, vm) ? EVENTS_SEEN : EVENTS_HIDDEN)
		  : (gate_sees_all(gate, who) ? EVENTS_SEEN : EVENTS_HIDDEN);
}

static void on_changed(void *ctx)
{
	struct door *d = ctx;
	struct failure f;

	api_look_again(d->api);
	if (d->socket.fd >= 0 && set_mode(d, &f) < 0)
		log_line(LOG_LEVEL_ERROR, "%s", f.text);
}

static void on_reloaded(void *ctx, const struct gate *g, int code, const char *name,
			const char *token, const struct failure *f)
{
	(void)ctx;
	(void)g;
	(void)name;
	(void)token;
	if (code < 0)
		log_line(LOG_LEVEL_ERROR, "what was in force stays so: %s", f->text);
	else
		log_line(LOG_LEVEL_INFO, ACCESS_FILE " was read again");
}

static int on_hup(sd_event_source *source, const struct signalfd_siginfo *info, void *ctx)
{
	struct door *d = ctx;

	(void)source;
	(void)info;
	if (gate_reload(d->api->gate, on_reloaded, d) < 0)
		log_line(LOG_LEVEL_ERROR, "cannot read " ACCESS_FILE " again: out of memory");
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t us, void *ctx)
{
	struct door *d = ctx;

	api_look_again(d->api);
	sd_event_source_set_time(source, us + DOOR_LOOK_US);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

static int watch(struct door *d, struct failure *f)
{
	uint64_t now = 0;
	int r = sd_event_add_signal(d->event, &d->hup, SIGHUP, on_hup, d);

	sd_event_now(d->event, CLOCK_MONOTONIC, &now);
	if (r >= 0)
		r = sd_event_add_time(d->event, &d->timer, CLOCK_MONOTONIC, now + DOOR_LOOK_US,
				      1000000, on_timer, d);
	return r < 0 ? fail(f, r, "cannot listen: %s", strerror(-r)) : 0;
}

/* ---- life ---- */

int door_open(struct door *d, struct api *api, const char *listen, struct failure *f)
{
	struct http_config config = {
		.route = api_routes,
		.routes = api_route_count,
		.owner = api,
		.role = role,
	};
	int r;

	*d = (struct door){.event = api->host->event,
			   .api = api,
			   .group = group(),
			   .socket = {.fd = -1, .folder = -1},
			   .tcp = -1};
	config.group = d->group;
	r = gate_new(api->host->pool, api->host->state, on_changed, d, &api->gate, f);
	if (r == 0)
		r = http_new(d->event, &config, &d->http, f);
	if (r == 0)
		r = watch(d, f);
	if (r < 0)
		return r;
	events_set_sight(api->events, sight, api);
	r = listen ? open_tls(d, listen, f) : 0;
	/* The last one: who finds it finds all. */
	return r < 0 ? r : open_socket(d, f);
}

void door_close(struct door *d)
{
	if (!d->api)
		return;
	cluster_close(d->cluster);
	http_free(d->http);
	listener_done(&d->socket);
	if (d->tcp >= 0)
		close(d->tcp);
	d->hup = sd_event_source_disable_unref(d->hup);
	d->timer = sd_event_source_disable_unref(d->timer);
}

void door_done(struct door *d)
{
	if (!d->api)
		return;
	cluster_free(d->cluster);
	tls_server_free(d->tls);
	gate_free(d->api->gate);
}
