/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "base/util.h"
#include "host/tls_keys.h"
#include "lib/log.h"
#include "lib/tls.h"

struct tls_server {
	sd_event *loop;
	struct tls_keys keys;
	struct list sessions;
	unsigned count;
	struct log_limit log;
	bool asks;           /* every client for a certificate, whoever has signed it */
	tls_carry_fn *carry; /* or NULL */
	void *carry_ctx;
};

struct tls_session {
	struct list link;
	struct tls_server *server;
	struct tls_pump pump;
	sd_event_source *outer, *inner, *timer;
	char name[HTTP_CERTIFICATE_NAME_MAX + 1];
	char fingerprint[TLS_FINGERPRINT_LEN + 1];
	uint64_t sent; /* when the deadline was set */
	char pass[TLS_PASS_LINE_LEN];
	size_t pass_len;
	bool begun;   /* TLS has, not a pass */
	bool waits;   /* for its client to read; it has a deadline */
	bool lingers; /* so has this */
	bool ended, released;
};

static uint64_t now_us(const struct tls_server *s)
{
	uint64_t now = 0;

	sd_event_now(s->loop, CLOCK_MONOTONIC, &now);
	return now;
}

static void maybe_free(struct tls_session *t)
{
	if (t->ended && t->released)
		free(t);
}

static void end(struct tls_session *t)
{
	sd_event_source_disable_unref(t->outer);
	sd_event_source_disable_unref(t->inner);
	sd_event_source_disable_unref(t->timer);
	gnutls_deinit(t->pump.session);
	close(t->pump.outer);
	close(t->pump.inner);
	list_remove(&t->link);
	t->server->count--;
	t->ended = true;
	maybe_free(t);
}

static void tell(struct tls_server *s, const char *what)
{
	unsigned suppressed;

	if (log_limit_pass(&s->log, now_us(s) * 1000, &suppressed))
		log_line(LOG_LEVEL_INFO, "tls: a connection was ended: %s", what);
}

/* Takes the name out of a certificate that GnuTLS has verified. */
static int take_name(struct tls_session *t, const gnutls_datum_t *certificate)
{
	gnutls_x509_crt_t crt;
	size_t len = sizeof(t->name);
	int r = gnutls_x509_crt_init(&crt);

	if (r < 0)
		return r;
	r = gnutls_x509_crt_import(crt, certificate, GNUTLS_X509_FMT_DER);
	if (r == 0)
		r = gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, t->name,
						  &len);
	gnutls_x509_crt_deinit(crt);
	if (r < 0 || strlen(t->name) != len)
		t->name[0] = '\0'; /* it is nobody's name: as if there were no certificate */
	return 0;
}

/* A certificate need not be shown. One that is has to be our CA's, unless clients are known by
 * their fingerprints: then one that is not has no name. */
static bool verify(struct tls_session *t)
{
	gnutls_typed_vdata_st purpose = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
	unsigned count = 0, status = 0;
	const gnutls_datum_t *list = gnutls_certificate_get_peers(t->pump.session, &count);

	if (!list || !count)
		return true;
	if (t->server->asks && !tls_fingerprint(list, t->fingerprint))
		t->fingerprint[0] = '\0';
	if (!t->server->keys.has_ca)
		return true;
	if (gnutls_certificate_verify_peers(t->pump.session, &purpose, 1, &status) == 0 &&
	    status == 0)
		return take_name(t, list) == 0;
	if (t->server->asks)
		return true;
	(void)gnutls_alert_send(t->pump.session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
	tell(t->server, "its client's certificate is not of our CA, or not good any more");
	return false;
}

static void watch(sd_event_source *source, uint32_t events, bool always)
{
	sd_event_source_set_io_events(source, events);
	sd_event_source_set_enabled(source, events || always ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void set_timer(struct tls_session *t, uint64_t us)
{
	sd_event_source_set_time(t->timer, now_us(t->server) + us);
	sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT);
}

/* Of a client that does not read, whatever it sends; handshakes have one from the start. */
static void set_deadline(struct tls_session *t)
{
	bool waits = t->pump.outer_events & EPOLLOUT;

	if (!t->pump.shaken || t->lingers)
		return;
	if (t->pump.lingers)
		set_timer(t, TLS_LINGER_US);
	else if (waits && (!t->waits || t->sent != t->pump.sent))
		set_timer(t, TLS_STALL_US);
	else if (!waits)
		sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
	t->sent = t->pump.sent;
	t->lingers = t->pump.lingers;
	t->waits = waits;
}

/* What a connection may begin with. 1: TLS, which is left to the pump; 0: more is to come; -1: a
 * pass, or what looks like one, and this session has served. */
static int take_pass(struct tls_session *t)
{
	const struct tls_server *s = t->server;
	char pass[TLS_PASS_LEN + 1];
	ssize_t n;

	if (!t->pass_len) {
		n = recv(t->pump.outer, t->pass, 1, MSG_PEEK | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n <= 0 || t->pass[0] != TLS_PASS_WORD[0])
			return 1;
	}
	n = recv(t->pump.outer, t->pass + t->pass_len, sizeof(t->pass) - t->pass_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	t->pass_len += n > 0 ? (size_t)n : 0;
	if (n > 0 && t->pass_len < sizeof(t->pass))
		return 0;
	if (n <= 0 || !tls_decode_pass(t->pass, pass) || !s->carry ||
	    !s->carry(s->carry_ctx, pass, t->pump.outer, t->pump.inner))
		tell(t->server, "it begins with a pass that is none");
	return -1;
}

static void go_on(struct tls_session *t, bool broken)
{
	int r = t->begun ? 1 : take_pass(t);

	if (r < 0)
		end(t);
	if (r <= 0)
		return;
	t->begun = true;
	r = tls_pump(&t->pump, broken);
	if (r == 2)
		r = verify(t) ? tls_pump(&t->pump, false) : 0;
	if (r == -EPROTO)
		tell(t->server, gnutls_strerror(t->pump.alert));
	if (r <= 0) {
		end(t);
		return;
	}
	watch(t->outer, t->pump.outer_events, true);
	watch(t->inner, t->pump.inner_events, false);
	set_deadline(t);
}

static int on_outer(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	(void)source;
	(void)fd;
	go_on(ctx, events & (EPOLLERR | EPOLLHUP));
	return 0;
}

static int on_inner(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	(void)source;
	(void)fd;
	(void)events;
	((struct tls_session *)ctx)->begun = true; /* before it has, this is the end of it */
	go_on(ctx, false);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t us, void *ctx)
{
	struct tls_session *t = ctx;

	(void)source;
	(void)us;
	if (!t->pump.shaken)
		tell(t->server, "its handshake has not come to an end in 10 s");
	else if (!t->pump.lingers)
		tell(t->server, "its client does not read");
	end(t);
	return 0;
}

/* Clients that vanish without a word are found by keep-alives. */
static void set_options(int fd)
{
	static const int on = 1, idle_s = 60, pause_s = 20, tries = 3;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &pause_s, sizeof(pause_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof(tries));
}

static int start(struct tls_session *t, int fd, int inner)
{
	struct tls_server *s = t->server;
	int r = tls_session_new(GNUTLS_SERVER, s->keys.credentials, fd, &t->pump.session);

	if (r < 0)
		return r;
	gnutls_certificate_server_set_request(t->pump.session, s->keys.has_ca || s->asks
								       ? GNUTLS_CERT_REQUEST
								       : GNUTLS_CERT_IGNORE);
	t->pump.outer = fd;
	t->pump.inner = inner;
	if ((r = sd_event_add_io(s->loop, &t->outer, fd, EPOLLIN, on_outer, t)) >= 0 &&
	    (r = sd_event_add_io(s->loop, &t->inner, inner, EPOLLRDHUP, on_inner, t)) >= 0 &&
	    (r = sd_event_add_time(s->loop, &t->timer, CLOCK_MONOTONIC,
				   now_us(s) + TLS_HANDSHAKE_US, 100000, on_timer, t)) >= 0) {
		/* Whatever is done to us from outside, this host's own clients come first. */
		sd_event_source_set_priority(t->outer, SD_EVENT_PRIORITY_IDLE);
		return 0;
	}
	sd_event_source_disable_unref(t->outer);
	sd_event_source_disable_unref(t->inner);
	gnutls_deinit(t->pump.session);
	return r;
}

int tls_open(struct tls_server *s, int fd, int *ret_inner, struct tls_session **ret_session)
{
	struct tls_session *t = s->count < TLS_SESSIONS_MAX ? calloc(1, sizeof(*t)) : NULL;
	int pair[2], r = t ? 0 : -ENOMEM;

	if (r == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		r = -errno;
	if (r == 0) {
		t->server = s;
		set_options(fd);
		r = start(t, fd, pair[1]);
		if (r < 0) {
			close(pair[0]);
			close(pair[1]);
		}
	}
	if (r < 0) {
		close(fd);
		free(t);
		return r;
	}
	list_append(&s->sessions, &t->link);
	s->count++;
	*ret_inner = pair[0];
	*ret_session = t;
	return 0;
}

void tls_server_set_carrier(struct tls_server *s, tls_carry_fn *carry, void *ctx)
{
	s->carry = carry;
	s->carry_ctx = ctx;
}

const char *tls_session_name(const struct tls_session *t)
{
	return t->name;
}

const char *tls_session_fingerprint(const struct tls_session *t)
{
	return t->fingerprint;
}

void tls_session_release(struct tls_session *t)
{
	if (!t)
		return;
	t->released = true;
	maybe_free(t);
}

int tls_server_new(sd_event *loop, const char *folder, struct tls_server **ret_server,
		   struct failure *f)
{
	struct tls_server *s = calloc(1, sizeof(*s));
	int r = s ? 0 : fail(f, -ENOMEM, "cannot listen: out of memory");

	if (r == 0)
		r = tls_keys_load(folder, &s->keys, f);
	if (r < 0) {
		free(s);
		return r;
	}
	list_init(&s->sessions);
	s->log = (struct log_limit){.period_ns = 10000000000, .burst = 10};
	s->loop = sd_event_ref(loop);
	*ret_server = s;
	return 0;
}

void tls_server_free(struct tls_server *s)
{
	if (!s)
		return;
	while (!list_empty(&s->sessions))
		end(CONTAINER_OF(s->sessions.next, struct tls_session, link));
	tls_keys_done(&s->keys);
	sd_event_unref(s->loop);
	free(s);
}

void tls_server_ask(struct tls_server *s, bool asks)
{
	s->asks = asks;
}

const char *tls_server_fingerprint(const struct tls_server *s)
{
	return s->keys.fingerprint;
}
