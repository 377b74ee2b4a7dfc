/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oya-alert: what the cluster engine tells of hosts and of fencing, for oyad's log of the cluster
 * (docs/design/cluster.md). The engine starts it for each event, as its own unprivileged user, with
 * the event in the environment; it hands that on in one datagram, "name=value" with a NUL behind
 * each, and ends. An oyad that is away may be coming: the engine's timeout is the end of the wait.
 *
 * Trust: the environment is the engine's; oyad checks what it gets.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BYTES_MAX 4096u
#define PREFIX "CRM_alert_"
#define PAUSE_NS 100000000

static const char *const names[] = {"kind",          "node", "desc", "rc", "timestamp_epoch",
				    "timestamp_usec"};

/* How long it is; what does not fit is left out. */
static size_t collect(char bytes[BYTES_MAX])
{
	char variable[64];
	size_t len = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value;
		int n;

		snprintf(variable, sizeof(variable), PREFIX "%s", names[i]);
		value = getenv(variable);
		n = value ? snprintf(bytes + len, BYTES_MAX - len, "%s=%s", names[i], value) : -1;
		if (n >= 0 && (size_t)n < BYTES_MAX - len)
			len += (size_t)n + 1;
	}
	return len;
}

int main(void)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	const char *run = getenv("OYA_RUN");
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char bytes[BYTES_MAX];
	size_t len = collect(bytes);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s/engine", run && *run ? run : "/run/oya");
	if (fd < 0 || !len) {
		fputs("oya-alert: there is no alert in the environment\n", stderr);
		return EXIT_FAILURE;
	}
	while (sendto(fd, bytes, len, 0, (struct sockaddr *)&at, sizeof(at)) < 0) {
		if (errno != ENOENT && errno != ECONNREFUSED && errno != EACCES && errno != EINTR) {
			fprintf(stderr, "oya-alert: cannot tell oyad: %s\n", strerror(errno));
			return EXIT_FAILURE;
		}
		nanosleep(&pause, NULL);
	}
	return EXIT_SUCCESS;
}
