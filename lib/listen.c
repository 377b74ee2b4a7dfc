/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 16

/* Is there a socket without a listener at the address? */
static bool stale(const struct sockaddr_un *address)
{
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool refused;

	if (fd < 0)
		return false;
	refused = lstat(address->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
		  connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
		  errno == ECONNREFUSED;
	close(fd);
	return refused;
}

static int bind_private(int fd, const struct sockaddr_un *address)
{
	mode_t before = umask(0177);
	int r = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;

	umask(before);
	return r;
}

int listen_unix(const char *path, const char *role, struct listener *ret_listener,
		struct failure *f)
{
	struct listener l = {.folder = -1};
	char copy[sizeof(l.name)];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, r;

	if (strlen(path) >= sizeof(address.sun_path))
		return fail(f, -ENAMETOOLONG,
			    "the path of the %s socket %s is longer than %zu characters", role,
			    path, sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(f, -errno, "cannot make the %s socket: %s", role, strerror(errno));
	r = bind_private(fd, &address);
	if (r == -EADDRINUSE && stale(&address))
		r = unlink(path) < 0 && errno != ENOENT ? -errno : bind_private(fd, &address);
	if (r == 0 && listen(fd, LISTEN_BACKLOG) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		if (r == -EADDRINUSE)
			return fail(f, r,
				    "the %s socket %s is in use by another VM or is another kind "
				    "of file; choose another path",
				    role, path);
		return fail(f, r, "cannot make the %s socket %s: %s", role, path, strerror(-r));
	}
	l.fd = fd;
	strcpy(copy, path);
	strcpy(l.name, basename(copy));
	strcpy(copy, path);
	l.folder = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
	*ret_listener = l;
	return 0;
}

void listener_forget(const struct listener *l)
{
	if (l->fd >= 0 && l->folder >= 0)
		(void)unlinkat(l->folder, l->name, 0);
}

void listener_done(struct listener *l)
{
	if (l->fd < 0)
		return;
	listener_forget(l);
	close(l->fd);
	if (l->folder >= 0)
		close(l->folder);
	l->fd = l->folder = -1;
}
