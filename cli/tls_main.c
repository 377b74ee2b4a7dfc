/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection of TLS 1.3, carried by a process of its own, for `oya` and `oyad` alone.
 *
 * oya-tls ADDRESS PORT FINGERPRINT [PASS [FOLDER]]: connects to a host, looks whether its
 * certificate is the one of the fingerprint, and carries bytes between it and standard input, which
 * is a socket. One line on standard output tells how it went: "good"; "new FINGERPRINT", when none
 * was given, or "changed FINGERPRINT", after which it ends without having sent anything; "failed
 * SENTENCE". With a pass, which that host gave out (or ""), TLS there is a process's too. The
 * folder's key and certificate are shown to a host that asks for them.
 *
 * oya-tls --carry CERTIFICATE KEY: the other end of such a connection. Standard input is the
 * connection, from which the pass has been taken; standard output is the socket of the plain bytes.
 *
 * Trust: the other side is nobody until its certificate is the right one, or, where it has none,
 * until who has the plain bytes knows it. GnuTLS decodes what it sends. Who a host is hangs on the
 * fingerprint alone: no CA and no name of a certificate counts. Behind --carry we have no rights of
 * root once the key is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/tls.h"

#define PATIENCE_MS 10000 /* for a connection, and for a handshake */
#define LINGER_MS 2000    /* for the other side to hear that all has been said */
#define NOBODY 65534      /* user and group */
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

/* Without a fingerprint, behind --carry, standard output is not for words. */
static void fail_to_shake(const char *fingerprint, const char *sentence)
{
	if (fingerprint)
		say("failed", sentence);
	else
		fprintf(stderr, "oya-tls: a connection has ended in its handshake: %s\n", sentence);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int left_ms(int64_t end_ms)
{
	int64_t left = end_ms - now_ms();

	return left > 0 ? (int)left : 0;
}

/* Until either side ends. The fingerprint is that of the host; NULL: its client is for others to
 * know. */
static int carry(struct tls_pump *p, const char *fingerprint)
{
	int64_t end_ms = now_ms() + PATIENCE_MS; /* -1: none */
	bool broken = false;
	int r;

	for (;;) {
		struct pollfd fds[] = {{.fd = p->outer}, {.fd = p->inner}};

		r = tls_pump(p, broken);
		if (r == 2) {
			if (fingerprint && !check(p->session, fingerprint))
				return EXIT_FAILURE;
			end_ms = -1;
			continue;
		}
		if (r < 1)
			break;
		fds[0].events = (short)p->outer_events;
		fds[1].events = (short)p->inner_events;
		fds[1].fd = p->inner_events ? p->inner : -1;
		if (p->lingers && end_ms < 0)
			end_ms = now_ms() + LINGER_MS;
		r = poll(fds, 2, end_ms < 0 ? -1 : left_ms(end_ms));
		if (r == 0) {
			r = -ETIMEDOUT;
			break;
		}
		broken = r > 0 && fds[0].revents & (POLLERR | POLLHUP);
	}
	if (!p->shaken && r < 0)
		fail_to_shake(fingerprint, r == -EPROTO ? gnutls_strerror(p->alert) : strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Both sockets are there. */
static int run(struct tls_pump *p, unsigned side, gnutls_certificate_credentials_t credentials,
	       const char *fingerprint)
{
	int flags = fcntl(p->inner, F_GETFL), status = EXIT_FAILURE;

	if (flags < 0 || fcntl(p->inner, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    tls_session_new(side, credentials, p->outer, &p->session) < 0) {
		fail_to_shake(fingerprint, "out of memory");
	} else {
		status = carry(p, fingerprint);
		gnutls_deinit(p->session);
	}
	gnutls_certificate_free_credentials(credentials);
	return status;
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

/* Takes the way of a connection to a host: first the pass, which fits into any socket's buffer. */
static int go_there(struct tls_pump *p, char **argument)
{
	gnutls_certificate_credentials_t credentials;
	const char *pass = argument[3];

	p->inner = STDIN_FILENO;
	p->outer = connect_to(argument[0], argument[1]);
	if (p->outer < 0)
		return EXIT_FAILURE;
	if (pass && *pass && dprintf(p->outer, TLS_PASS_WORD "%s\n", pass) < 0) {
		say("failed", strerror(errno));
		return EXIT_FAILURE;
	}
	if (gnutls_certificate_allocate_credentials(&credentials) < 0) {
		say("failed", "out of memory");
		return EXIT_FAILURE;
	}
	if (pass && argument[4] && !take_identity(credentials, argument[4]))
		return EXIT_FAILURE;
	return run(p, GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT, credentials, argument[2]);
}

/* What the network says is decoded by who may do nothing but go on with its two sockets. */
static int give_up_rights(void)
{
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			       setresuid(NOBODY, NOBODY, NOBODY) < 0))
		return -errno;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int carry_here(struct tls_pump *p, const char *certificate, const char *key)
{
	gnutls_certificate_credentials_t credentials;
	int r = gnutls_certificate_allocate_credentials(&credentials);

	p->outer = STDIN_FILENO;
	p->inner = STDOUT_FILENO;
	if (r == 0)
		r = gnutls_certificate_set_x509_key_file(credentials, certificate, key,
							 GNUTLS_X509_FMT_PEM);
	if (r < 0) {
		fprintf(stderr, "oya-tls: cannot use %s with %s: %s\n", key, certificate,
			gnutls_strerror(r));
		return EXIT_FAILURE;
	}
	r = give_up_rights();
	if (r < 0) {
		fprintf(stderr, "oya-tls: cannot give up the rights of root: %s\n", strerror(-r));
		return EXIT_FAILURE;
	}
	set_options(p->outer);
	return run(p, GNUTLS_SERVER, credentials, NULL);
}

int main(int argc, char **argv)
{
	static struct tls_pump pump;
	bool carries = argc == 4 && strcmp(argv[1], "--carry") == 0;

	if (argc < 4 || argc > 6) {
		fputs("oya-tls is for 'oya --host' and oyad alone\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	return carries ? carry_here(&pump, argv[2], argv[3]) : go_there(&pump, argv + 1);
}
