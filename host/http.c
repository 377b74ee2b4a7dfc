/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/http.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "host/http_impl.h"

#define ACCEPTS_MAX 16          /* in one turn of the loop */
#define ACCEPT_PAUSE_US 100000u /* when descriptors are short */
#define DEADLINE_ACCURACY_US 50000u
#define SPLITS_MAX 64u /* of a query, by '&' */

uint64_t http_now_us(const struct http *h)
{
	uint64_t now = 0;

	sd_event_now(h->loop, CLOCK_MONOTONIC, &now);
	return now;
}

bool http_may_log(struct http *h, struct log_limit *l)
{
	unsigned suppressed;

	if (!log_limit_pass(l, http_now_us(h) * 1000, &suppressed))
		return false;
	if (suppressed)
		log_line(LOG_LEVEL_WARNING, "http: %u messages were left out", suppressed);
	return true;
}

/* ---- running libmicrohttpd ---- */

/* It has its timers off: what it wants is "now" or nothing. */
static void set_timer(struct http_listener *l)
{
	MHD_UNSIGNED_LONG_LONG ms = 0;

	if (!l->timer)
		return; /* it is being stopped */
	if (l->kicked || MHD_get_timeout(l->mhd, &ms) == MHD_YES) {
		sd_event_source_set_time(l->timer, http_now_us(l->h) + ms * 1000);
		sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
	} else {
		sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
	}
}

/* Driven from outside, libmicrohttpd neither wakes its descriptor nor tells a timeout for a
 * connection that goes on. */
void http_kick(struct http_listener *l)
{
	l->kicked = true;
	set_timer(l);
}

static void run(struct http_listener *l)
{
	l->kicked = false;
	MHD_run(l->mhd);
	set_timer(l);
}

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *owner)
{
	(void)source;
	(void)fd;
	(void)events;
	run(owner);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t us, void *owner)
{
	(void)source;
	(void)us;
	run(owner);
	return 0;
}

/* Also when the client has only said that it sends no more: libmicrohttpd reads before it writes
 * when a connection goes on, and would end it then. */
static int on_hangup(sd_event_source *source, int fd, uint32_t events, void *owner)
{
	struct http_connection *c = owner;

	(void)fd;
	(void)events;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	http_exchange_gone(c->x);
	http_resume(c);
	return 0;
}

void http_suspend(struct http_connection *c)
{
	struct http *h = c->l->h;

	if (c->suspended)
		return;
	MHD_suspend_connection(c->mhd);
	c->suspended = true;
	if (sd_event_add_io(h->loop, &c->hangup, c->fd, EPOLLRDHUP, on_hangup, c) < 0 &&
	    http_may_log(h, &h->faults))
		log_line(LOG_LEVEL_WARNING, "http: cannot watch a waiting client: out of memory");
}

void http_resume(struct http_connection *c)
{
	if (!c->suspended)
		return;
	c->hangup = sd_event_source_disable_unref(c->hangup);
	c->suspended = false;
	MHD_resume_connection(c->mhd);
	http_kick(c->l);
}

/* libmicrohttpd finds the end of the stream, or cannot write. */
void http_cut(struct http_connection *c)
{
	c->condemned = true;
	http_await(c, false);
	shutdown(c->fd, SHUT_RDWR);
	http_resume(c);
}

/* ---- deadlines ---- */

static void set_deadline(struct http *h)
{
	if (list_empty(&h->waiting)) {
		sd_event_source_set_enabled(h->deadline, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(
		h->deadline,
		CONTAINER_OF(h->waiting.next, struct http_connection, waiting)->deadline_us);
	sd_event_source_set_enabled(h->deadline, SD_EVENT_ONESHOT);
}

void http_await(struct http_connection *c, bool awaits)
{
	struct http *h = c->l->h;

	if (list_linked(&c->waiting))
		list_remove(&c->waiting);
	if (awaits && !c->condemned) {
		c->deadline_us = http_now_us(h) + h->config.idle_ms * 1000;
		list_append(&h->waiting, &c->waiting);
	}
	set_deadline(h);
}

static int on_deadline(sd_event_source *source, uint64_t us, void *owner)
{
	struct http *h = owner;
	uint64_t now = http_now_us(h);

	(void)source;
	(void)us;
	while (!list_empty(&h->waiting)) {
		struct http_connection *c =
			CONTAINER_OF(h->waiting.next, struct http_connection, waiting);

		if (c->deadline_us > now)
			break;
		http_cut(c);
	}
	set_deadline(h);
	return 0;
}

/* ---- what libmicrohttpd calls ---- */

/* libmicrohttpd splits the query by itself; when it runs out of memory over that, it leaves the
 * connection as it is, with neither an answer nor an end. */
static bool splits_too_often(const char *target)
{
	unsigned splits = 0;

	for (; *target && splits <= SPLITS_MAX; target++)
		splits += *target == '&';
	return splits > SPLITS_MAX;
}

static void *on_target(void *owner, const char *target, struct MHD_Connection *mhd)
{
	struct http_connection *c =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;

	(void)owner;
	if (!c->x)
		c->x = http_exchange_new(c, target ? target : "");
	if (c->x && splits_too_often(c->x->target))
		http_cut(c);
	return c->x;
}

static enum MHD_Result on_request(void *owner, struct MHD_Connection *mhd, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_len, void **context)
{
	struct http_exchange *x = *context;

	(void)owner;
	(void)mhd;
	if (!x)
		return MHD_NO; /* no memory */
	if (!x->begun)
		return http_exchange_begin(x, url, method, version);
	if (*upload_len) {
		http_exchange_body(x, upload, *upload_len);
		*upload_len = 0;
		return MHD_YES;
	}
	return http_exchange_finish(x);
}

static void on_completed(void *owner, struct MHD_Connection *mhd, void **context,
			 enum MHD_RequestTerminationCode code)
{
	struct http_exchange *x = *context;
	struct http_connection *c = x ? x->c : NULL;

	(void)owner;
	(void)mhd;
	(void)code;
	*context = NULL;
	if (!x)
		return;
	http_exchange_detach(x);
	c->x = NULL;
	http_await(c, true);
}

static void connection_free(struct http_connection *c)
{
	struct http *h = c->l->h;

	http_await(c, false);
	sd_event_source_disable_unref(c->hangup);
	list_remove(&c->all);
	h->count--;
	tls_session_release(c->tls);
	free(c->groups);
	free(c);
}

/* The connection of a descriptor that libmicrohttpd has not begun with. */
static struct http_connection *find_new(struct http *h, int fd)
{
	for (struct list *at = h->connections.prev; at != &h->connections; at = at->prev) {
		struct http_connection *c = CONTAINER_OF(at, struct http_connection, all);

		if (c->fd == fd && !c->mhd)
			return c;
	}
	return NULL;
}

static void on_connection(void *owner, struct MHD_Connection *mhd, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http_listener *l = owner;
	struct http_connection *c = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		c = find_new(l->h, MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)
					   ->connect_fd);
		c->mhd = mhd;
		http_await(c, true);
		*context = c;
	} else if (c) {
		*context = NULL;
		connection_free(c);
	}
}

/* Targets are decoded here and not there. */
static size_t leave_escapes(void *owner, struct MHD_Connection *mhd, char *text)
{
	(void)owner;
	(void)mhd;
	return strlen(text);
}

__attribute__((format(printf, 2, 0))) static void on_words(void *owner, const char *format,
							   va_list args)
{
	struct http_listener *l = owner;
	char text[256];

	unsigned suppressed;

	if (!log_limit_pass(&l->h->library, http_now_us(l->h) * 1000, &suppressed))
		return;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	log_line(LOG_LEVEL_DEBUG, "http: libmicrohttpd: %s", text);
}

/* ---- clients come ---- */

/* NULL: it is to be let in; or why not. */
static const char *look_at(struct http_listener *l, int fd, struct http_connection *c)
{
	struct http *h = l->h;
	struct http_identity nobody = {0};
	int r = l->tls ? http_caller_ask_remote(fd, &c->caller)
		       : http_caller_ask(fd, h->config.group, &c->caller, &c->groups);

	if (r < 0)
		return "it is unknown who it is";
	c->outsider = h->config.role(h->config.owner, &c->caller, NULL, &nobody) < HTTP_JOINER;
	return http_make_room_for(h, &c->caller, c->outsider);
}

static void turn_away(struct http *h, struct http_connection *c, int fd, const char *problem)
{
	char text[HTTP_CALLER_TEXT_MAX];

	if (http_may_log(h, &h->clients))
		log_line(LOG_LEVEL_WARNING, "http: a client (%s) was turned away: %s",
			 c ? http_caller_text(&c->caller, text) : "unknown", problem);
	if (c)
		free(c->groups);
	free(c);
	if (fd >= 0)
		close(fd);
}

static void welcome(struct http_listener *l, int fd)
{
	struct sockaddr address = {.sa_family = AF_UNIX};
	struct http *h = l->h;
	struct http_connection *c = calloc(1, sizeof(*c));
	const char *problem = c ? look_at(l, fd, c) : "out of memory";

	if (!problem && l->tls && tls_open(l->tls, fd, &fd, &c->tls) < 0) {
		problem = "there are too many sessions of TLS";
		fd = -1; /* it is closed */
	}
	if (problem) {
		turn_away(h, c, fd, problem);
		return;
	}
	c->l = l;
	c->fd = fd;
	list_append(&h->connections, &c->all);
	h->count++;
	/* When it fails, the descriptor is closed; behind on_connection() the connection is freed.
	 */
	if (MHD_add_connection(l->mhd, fd, &address, sizeof(address)) == MHD_NO) {
		c = find_new(h, fd);
		if (c)
			connection_free(c);
	}
}

/* Without descriptors the listener would stay ready and nothing could be done. */
static void pause_accepting(struct http_listener *l)
{
	struct http *h = l->h;

	if (http_may_log(h, &h->faults))
		log_line(LOG_LEVEL_ERROR, "http: cannot take a client: %s", strerror(errno));
	(void)http_make_room(h, false);
	sd_event_source_set_enabled(l->accept, SD_EVENT_OFF);
	sd_event_source_set_time(l->again, http_now_us(h) + ACCEPT_PAUSE_US);
	sd_event_source_set_enabled(l->again, SD_EVENT_ONESHOT);
}

static int on_again(sd_event_source *source, uint64_t us, void *owner)
{
	struct http_listener *l = owner;

	(void)source;
	(void)us;
	sd_event_source_set_enabled(l->accept, SD_EVENT_ON);
	return 0;
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *owner)
{
	struct http_listener *l = owner;

	(void)source;
	(void)events;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (client >= 0) {
			welcome(l, client);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_accepting(l);
		break;
	}
	set_timer(l);
	return 0;
}

/* ---- life ---- */

static void listener_free(struct http_listener *l)
{
	l->accept = sd_event_source_disable_unref(l->accept);
	l->again = sd_event_source_disable_unref(l->again);
	l->io = sd_event_source_disable_unref(l->io);
	l->timer = sd_event_source_disable_unref(l->timer);
	if (l->mhd)
		MHD_stop_daemon(l->mhd);
	free(l);
}

/* Newer versions know how to be stricter by themselves. */
#if MHD_VERSION >= 0x01000000
#define STRICTNESS MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1
#else
#define STRICTNESS MHD_OPTION_STRICT_FOR_CLIENT, 0
#endif

static int start_library(struct http_listener *l)
{
	unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
			 MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG;
	unsigned max = l->h->config.connections_max + HTTP_CLOSING_MAX;

	l->mhd = MHD_start_daemon(
		flags, 0, NULL, NULL, on_request, l, MHD_OPTION_EXTERNAL_LOGGER, on_words, l,
		MHD_OPTION_CONNECTION_LIMIT, max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)HTTP_POOL_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, 0u,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, l, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, l, MHD_OPTION_NOTIFY_CONNECTION, on_connection, l,
		MHD_OPTION_UNESCAPE_CALLBACK, leave_escapes, l, STRICTNESS, MHD_OPTION_END);
	return l->mhd ? 0 : -ENOMEM;
}

static int watch(struct http_listener *l)
{
	sd_event *loop = l->h->loop;
	int r, epoll = MHD_get_daemon_info(l->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;

	if ((r = sd_event_add_io(loop, &l->io, epoll, EPOLLIN, on_ready, l)) < 0 ||
	    (r = sd_event_add_time(loop, &l->timer, CLOCK_MONOTONIC, 0, 1, on_timer, l)) < 0 ||
	    (r = sd_event_add_time(loop, &l->again, CLOCK_MONOTONIC, 0, 1, on_again, l)) < 0)
		return r;
	sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
	sd_event_source_set_enabled(l->again, SD_EVENT_OFF);
	r = sd_event_add_io(loop, &l->accept, l->fd, EPOLLIN, on_accept, l);
	/* However many come from outside, this host's own clients come first. */
	return r < 0 || !l->tls ? r
				: sd_event_source_set_priority(l->accept, SD_EVENT_PRIORITY_IDLE);
}

static int listen_at(struct http *h, int fd, struct tls_server *tls, struct failure *f)
{
	struct http_listener *l = calloc(1, sizeof(*l));
	int r = -ENOMEM;

	if (l) {
		l->h = h;
		l->fd = fd;
		l->tls = tls;
		r = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 ? -errno : 0;
	}
	if (r == 0)
		r = start_library(l);
	if (r == 0)
		r = watch(l);
	if (r < 0) {
		if (l)
			listener_free(l);
		return fail(f, r, "cannot serve HTTP: %s", strerror(-r));
	}
	l->next = h->listener;
	h->listener = l;
	return 0;
}

int http_listen_unix(struct http *h, int fd, struct failure *f)
{
	return listen_at(h, fd, NULL, f);
}

int http_listen_tls(struct http *h, int fd, struct tls_server *tls, struct failure *f)
{
	return listen_at(h, fd, tls, f);
}

static void take_config(struct http *h, const struct http_config *config)
{
	struct http_config *c = &h->config;

	*c = *config;
	if (!c->role)
		c->role = http_role_of;
	if (!c->connections_max)
		c->connections_max = HTTP_CONNECTIONS_MAX;
	if (!c->user_connections_max)
		c->user_connections_max = HTTP_USER_CONNECTIONS_MAX;
	if (!c->idle_ms)
		c->idle_ms = HTTP_IDLE_MS;
	if (!c->alive_ms)
		c->alive_ms = HTTP_ALIVE_MS;
	if (!c->keys_max)
		c->keys_max = HTTP_KEYS_MAX;
	if (!c->keys_bytes_max)
		c->keys_bytes_max = HTTP_KEYS_BYTES_MAX;
	if (!c->keys_ms)
		c->keys_ms = HTTP_KEYS_MS;
}

int http_new(sd_event *loop, const struct http_config *config, struct http **ret_http,
	     struct failure *f)
{
	static const struct log_limit limit = {.period_ns = 10000000000, .burst = 10};
	struct http *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return fail(f, -ENOMEM, "cannot serve HTTP: out of memory");
	take_config(h, config);
	h->clients = h->faults = h->library = limit;
	list_init(&h->connections);
	list_init(&h->waiting);
	list_init(&h->keys);
	h->loop = sd_event_ref(loop);
	r = sd_event_add_time(loop, &h->deadline, CLOCK_MONOTONIC, 0, DEADLINE_ACCURACY_US,
			      on_deadline, h);
	if (r < 0) {
		http_free(h);
		return fail(f, r, "cannot serve HTTP: %s", strerror(-r));
	}
	sd_event_source_set_enabled(h->deadline, SD_EVENT_OFF);
	*ret_http = h;
	return 0;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	h->ending = true;
	/* Nothing may be suspended when libmicrohttpd stops. */
	for (struct list *at = h->connections.next; at != &h->connections; at = at->next) {
		struct http_connection *c = CONTAINER_OF(at, struct http_connection, all);

		if (c->x)
			http_exchange_gone(c->x);
		http_resume(c);
	}
	while (h->listener) {
		struct http_listener *l = h->listener;

		h->listener = l->next;
		listener_free(l);
	}
	http_keys_free(h);
	sd_event_source_disable_unref(h->deadline);
	sd_event_unref(h->loop);
	free(h);
}
