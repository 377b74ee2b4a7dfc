/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oya-tls ADDRESS PORT FINGERPRINT [FOLDER]: for `oya` and `oyad` alone. Connects to a host by TLS
 * 1.3, looks whether its certificate is the one of the fingerprint, and carries bytes between it and
 * standard input, which is a socket. The folder's key and certificate are shown to a host that asks
 * for them. One line on standard output tells how it went: "good"; "new FINGERPRINT", when
 * none was given, or "changed FINGERPRINT", after which it ends without having sent anything;
 * "failed SENTENCE".
 *
 * Trust: the host is nobody until its certificate is the right one. GnuTLS decodes what it sends.
 * Who it is hangs on the fingerprint alone: no CA and no name of a certificate counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/tls.h"

#define PATIENCE_MS 10000 /* for a connection, and for a handshake */
#define SILENCE_MS 20000u /* of a host that has lost its power: a VM may stand still meanwhile */

static void say(const char *word, const char *text)
{
	dprintf(STDOUT_FILENO, "%s%s%s\n", word, *text ? " " : "", text);
	/* The end of the line is awaited, and so perhaps that of the stream. */
	close(STDOUT_FILENO);
}

static int connect_one(const struct addrinfo *a)
{
	int fd =
		socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int code = 0, r;
	socklen_t len = sizeof(code);

	if (fd < 0)
		return -errno;
	r = connect(fd, a->ai_addr, a->ai_addrlen) < 0 ? -errno : 0;
	if (r == -EINPROGRESS) {
		r = poll(&p, 1, PATIENCE_MS) > 0 ? 0 : -ETIMEDOUT;
		if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) == 0)
			r = -code;
	}
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

/* A host that is gone without a word is found out while there are bytes for it, and while there are
 * none. */
static void set_options(int fd)
{
	static const int on = 1, idle_s = 5, pause_s = 5;
	static const unsigned silence_ms = SILENCE_MS;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &pause_s, sizeof(pause_s));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof(silence_ms));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/* The first of its addresses that answers; -1: told. */
static int connect_to(const char *address, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list;
	int r = getaddrinfo(address, port, &hints, &list), fd = -EHOSTUNREACH;

	if (r != 0) {
		say("failed", gai_strerror(r));
		return -1;
	}
	for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
		fd = connect_one(a);
	freeaddrinfo(list);
	if (fd < 0) {
		say("failed", strerror(-fd));
		return -1;
	}
	set_options(fd);
	return fd;
}

/* False: the host is not, or not yet, to be trusted. */
static bool check(gnutls_session_t session, const char *wanted)
{
	char found[TLS_FINGERPRINT_LEN + 1];

	if (!tls_peer_fingerprint(session, found)) {
		say("failed", "it has no certificate");
		return false;
	}
	if (strcmp(found, wanted) == 0) {
		say("good", "");
		return true;
	}
	say(*wanted ? "changed" : "new", found);
	return false;
}

/* Until either side ends. */
static int carry(struct tls_pump *p, const char *fingerprint)
{
	bool broken = false;
	int r;

	for (;;) {
		struct pollfd fds[] = {{.fd = p->outer}, {.fd = p->inner}};

		r = tls_pump(p, broken);
		if (r == 2 && !check(p->session, fingerprint))
			return EXIT_FAILURE;
		if (r == 2)
			continue;
		if (r < 1)
			break;
		fds[0].events = (short)p->outer_events;
		fds[1].events = (short)p->inner_events;
		fds[1].fd = p->inner_events ? p->inner : -1;
		r = poll(fds, 2, p->shaken ? -1 : PATIENCE_MS);
		if (r == 0) {
			say("failed", "it does not come to an end with its handshake");
			return EXIT_FAILURE;
		}
		broken = r > 0 && fds[0].revents & (POLLERR | POLLHUP);
	}
	if (!p->shaken)
		say("failed", r == -EPROTO ? gnutls_strerror(p->alert) : strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* False: told. */
static bool take_identity(gnutls_certificate_credentials_t credentials, const char *folder)
{
	char key[PATH_MAX], certificate[PATH_MAX];
	int r;

	snprintf(key, sizeof(key), "%s/" TLS_KEY_FILE, folder);
	snprintf(certificate, sizeof(certificate), "%s/" TLS_CERTIFICATE_FILE, folder);
	r = gnutls_certificate_set_x509_key_file(credentials, certificate, key,
						 GNUTLS_X509_FMT_PEM);
	if (r < 0)
		say("failed", gnutls_strerror(r));
	return r >= 0;
}

int main(int argc, char **argv)
{
	static struct tls_pump pump;
	gnutls_certificate_credentials_t credentials;
	int status, flags = fcntl(STDIN_FILENO, F_GETFL);

	if (argc < 4 || argc > 5 || flags < 0) {
		fputs("oya-tls is for 'oya --host' and oyad alone\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	pump.inner = STDIN_FILENO;
	pump.outer = connect_to(argv[1], argv[2]);
	if (pump.outer < 0)
		return EXIT_FAILURE;
	if (fcntl(STDIN_FILENO, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    gnutls_certificate_allocate_credentials(&credentials) < 0 ||
	    tls_session_new(GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT, credentials, pump.outer,
			    &pump.session) < 0) {
		say("failed", "out of memory");
		return EXIT_FAILURE;
	}
	if (argc == 5 && !take_identity(credentials, argv[4]))
		return EXIT_FAILURE;
	status = carry(&pump, argv[3]);
	gnutls_deinit(pump.session);
	gnutls_certificate_free_credentials(credentials);
	return status;
}
