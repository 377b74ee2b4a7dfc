/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/cluster_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "host/cluster.h"
#include "host/store.h"
#include "lib/log.h"

#define ENGINE_USER "hacluster" /* which the engine's alert agents run as */
#define ALERT_BYTES_MAX 4096u

/* ---- kept ---- */

struct writing {
	struct pool_work work;
	char path[PATH_MAX - 8];
	size_t len;
	char line[];
};

/* What it holds is a help for people: it is not flushed. */
static void append(struct pool_work *w)
{
	struct writing *a = CONTAINER_OF(w, struct writing, work);
	int fd = open(a->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	char old[PATH_MAX];
	struct stat st;

	if (fd < 0 || write(fd, a->line, a->len) != (ssize_t)a->len)
		log_line(LOG_LEVEL_WARNING, "cannot write %s: %s", a->path, strerror(errno));
	if (fd < 0)
		return;
	snprintf(old, sizeof(old), "%s.old", a->path);
	if (fstat(fd, &st) == 0 && st.st_size > (off_t)(CLUSTER_LOG_BYTES_MAX / 2))
		(void)rename(a->path, old);
	close(fd);
}

static void on_appended(struct pool_work *w)
{
	free(CONTAINER_OF(w, struct writing, work));
}

static char *encode(struct record *r)
{
	json_t *object = record_to_json(r);
	char *text;

	if (!object) { /* words of others that are no UTF-8 */
		r->why[0] = '\0';
		object = record_to_json(r);
	}
	text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	return text;
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

void cluster_log_add(struct host *h, const struct record *r)
{
	const struct members *m = cluster_members(h->cluster);
	const struct member *self = m ? members_find_host(m, &h->uuid) : NULL;
	struct record record = *r;
	struct writing *a = NULL;
	char *text;
	size_t len;

	if (!self)
		return;
	if (!record.at_us)
		record.at_us = now_us();
	if (!record.host[0])
		snprintf(record.host, sizeof(record.host), "%s", self->name);
	text = encode(&record);
	len = text ? strlen(text) : 0;
	if (text)
		a = calloc(1, sizeof(*a) + len + 2);
	if (a) {
		a->work = (struct pool_work){
			.work = append, .done = on_appended, .lane = &h->log_lane};
		a->len = len + 1;
		memcpy(a->line, text, len);
		a->line[len] = '\n';
		snprintf(a->path, sizeof(a->path), "%s/" CLUSTER_LOG, h->state);
		pool_submit(h->pool, &a->work);
	}
	free(text);
}

void cluster_log_add_vm(struct host *h, enum record_kind kind, const char *vm, const char *why)
{
	struct record r = {.kind = kind};

	snprintf(r.vm, sizeof(r.vm), "%s", vm);
	record_set_why(&r, why);
	cluster_log_add(h, &r);
}

/* ---- read ---- */

/* A line that is damaged, or that was cut as the power went, is left out. */
static int take_lines(json_t *list, char *text, int64_t since_us)
{
	struct failure ignored;
	struct record record;
	int r = 0;

	for (char *line; r == 0 && (line = strsep(&text, "\n"));) {
		json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		if (object && record_of_json(object, &record, &ignored) == 0 &&
		    record.at_us > since_us)
			r = json_array_append(list, object);
		json_decref(object);
	}
	return r;
}

json_t *cluster_log_read(const char *state, int64_t since_us)
{
	static const char *const names[] = {CLUSTER_LOG ".old", CLUSTER_LOG};
	json_t *list = json_array();
	char path[PATH_MAX], *text;
	struct failure ignored;
	int r = list ? 0 : -1;
	size_t len;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", state, names[i]);
		if (store_read(path, CLUSTER_LOG_BYTES_MAX, &text, &len, &ignored) < 0)
			continue;
		r = take_lines(list, text, since_us);
		free(text);
	}
	if (r == 0)
		return list;
	json_decref(list);
	return NULL;
}

/* ---- alerts ---- */

static int on_alert(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	char bytes[ALERT_BYTES_MAX];
	struct host *h = ctx;
	struct record record;
	struct failure f;
	ssize_t n;
	int r;

	(void)source;
	(void)events;
	n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0)
		return 0;
	if ((size_t)n > sizeof(bytes))
		r = fail(&f, -EINVAL, "an alert of the engine has %zd bytes, more than %u", n,
			 ALERT_BYTES_MAX);
	else
		r = record_of_alert(bytes, (size_t)n, &record, &f);
	if (r == 0)
		cluster_log_add(h, &record);
	else if (r != -ENOENT)
		log_line(LOG_LEVEL_WARNING, "%s", f.text);
	return 0;
}

/* For the engine's user and nobody else; the folder lets it pass. An oyad that is not root has no
 * engine. */
static int open_to_engine(const char *run, const char *path)
{
	struct passwd entry, *found = NULL;
	char names[4096];

	if (getpwnam_r(ENGINE_USER, &entry, names, sizeof(names), &found) != 0 || !found)
		return 0; /* there is no engine */
	if ((chown(path, found->pw_uid, (gid_t)-1) < 0 && errno != EPERM) ||
	    chmod(path, 0600) < 0 || chmod(run, 0711) < 0)
		return -errno;
	return 0;
}

int cluster_log_listen(struct host *h, sd_event_source **ret_source, struct failure *f)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = -1, r = 0;

	if (snprintf(at.sun_path, sizeof(at.sun_path), "%s/" CLUSTER_LOG_ALERTS, h->run) >=
	    (int)sizeof(at.sun_path))
		r = -ENAMETOOLONG;
	if (r == 0)
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (r == 0)
		(void)unlink(at.sun_path);
	if (r == 0 && (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0))
		r = -errno;
	if (r == 0)
		r = open_to_engine(h->run, at.sun_path);
	if (r == 0)
		r = sd_event_add_io(h->event, ret_source, fd, EPOLLIN, on_alert, h);
	if (r >= 0)
		return sd_event_source_set_io_fd_own(*ret_source, true) < 0 ? -EIO : 0;
	if (fd >= 0)
		close(fd);
	return fail(f, r, "cannot take the engine's alerts at %s: %s", at.sun_path, strerror(-r));
}

void cluster_log_deafen(const struct host *h, sd_event_source *source)
{
	char path[PATH_MAX];

	if (!source)
		return;
	sd_event_source_disable_unref(source);
	if (snprintf(path, sizeof(path), "%s/" CLUSTER_LOG_ALERTS, h->run) < (int)sizeof(path))
		(void)unlink(path);
}
