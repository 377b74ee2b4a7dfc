/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/carrier.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/tls_keys.h"
#include "lib/peer.h"
#include "lib/process.h"

/* It is reaped, and no more: its end is that of its connection. */
static int on_ended(sd_event_source *source, const siginfo_t *info, void *ctx)
{
	(void)info;
	(void)ctx;
	sd_event_source_set_floating(source, false); /* the loop's own reference goes */
	return 0;
}

int carrier_start(sd_event *event, const struct carrier_wish *w, struct failure *f)
{
	char certificate[PATH_MAX], key[PATH_MAX];
	const char *const arguments[] = {"--carry", certificate, key, NULL};
	/* Of its own session: it outlives the daemon. */
	const struct process_wish wish = {.program = w->helper,
					  .arguments = arguments,
					  .in = w->outer,
					  .out = w->inner,
					  .errors = STDERR_FILENO,
					  .session = true};
	static const int bytes = PEER_STREAM_BYTES;
	pid_t pid;
	int r = 0;

	(void)setsockopt(w->inner, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));

	if (snprintf(certificate, PATH_MAX, "%s/" TLS_CERTIFICATE_FILE, w->folder) >= PATH_MAX ||
	    snprintf(key, PATH_MAX, "%s/" TLS_KEY_FILE, w->folder) >= PATH_MAX)
		r = -ENAMETOOLONG;
	if (r == 0)
		r = process_start(&wish, &pid);
	if (r < 0)
		return fail(f, r, "cannot start %s: %s", w->helper, strerror(-r));
	r = sd_event_add_child(event, NULL, pid, WEXITED, on_ended, NULL);
	if (r < 0) {
		kill(pid, SIGKILL);
		return fail(f, r, "cannot watch %s: %s", w->helper, strerror(-r));
	}
	return 0;
}
