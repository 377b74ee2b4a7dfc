/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host service for tests of the command: a thread that listens on a Unix socket and answers each
 * request with the next answer that was written down for it.
 */
#ifndef OYA_TESTS_LIB_FAKEAPI_H
#define OYA_TESTS_LIB_FAKEAPI_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define FAKEAPI_REQUESTS_MAX 16
#define FAKEAPI_REQUEST_MAX 8192

/* Each is used once, in their order, for a request that begins with `request`. */
struct fakeapi_answer {
	const char *request; /* "GET /v1/vms " */
	const char *answer;  /* all of it, head and body */
	bool stays; /* the connection stays open, and what comes is sent back in capitals */
};

struct fakeapi {
	char folder[32], path[64];
	int fd;
	pthread_t thread;
	const struct fakeapi_answer *answers;
	size_t count;
	bool used[FAKEAPI_REQUESTS_MAX];
	char seen[FAKEAPI_REQUESTS_MAX][FAKEAPI_REQUEST_MAX]; /* the requests */
	unsigned seen_count;
	int open[FAKEAPI_REQUESTS_MAX];
	unsigned open_count;
};

/* At most FAKEAPI_REQUESTS_MAX answers; aborts when it cannot listen. */
void fakeapi_start(struct fakeapi *a, const struct fakeapi_answer *answers, size_t count);
/* Whether each answer was asked for, and nothing else. */
bool fakeapi_stop(struct fakeapi *a);

/* The answer with a body of JSON, and one that refuses. */
#define FAKEAPI_JSON(status, body) \
	"HTTP/1.0 " status "\r\nContent-Type: application/json\r\n\r\n" body
#define FAKEAPI_PROBLEM(status, detail)                                         \
	"HTTP/1.0 " status "\r\nContent-Type: application/problem+json\r\n\r\n" \
	"{\"type\":\"about:blank\",\"title\":\"Problem\",\"detail\":\"" detail "\"}"
#define FAKEAPI_EVENTS(text) "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" text

#endif
