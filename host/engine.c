/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "host/store.h"
#include "lib/process.h"

#define ETC "/etc/corosync"
#define CONF "corosync.conf"
#define KEY "authkey"
#define SAVED "corosync.conf.before-oya"
#define OURS "# Written by oyad"
#define CIB "/var/lib/pacemaker/cib"
#define CONF_BYTES_MAX (1u << 20)
#define COROSYNC "/usr/sbin/corosync"
#define PACEMAKERD "/usr/sbin/pacemakerd"
#define TOOL_S 20u
#define STOP_S 90u /* the engine stops its resources first */
#define NAP_NS 100000000

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* ---- tools ---- */

/* Up to the end of what is printed. 0, -ETIMEDOUT or -EFBIG. */
static int read_all(int fd, int64_t until_ms, char *text, size_t *len)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (*len < ENGINE_TEXT_MAX) {
		int64_t left = until_ms - now_ms();
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return -ETIMEDOUT;
		n = read(fd, text + *len, ENGINE_TEXT_MAX - *len);
		if (n == 0)
			return 0;
		*len += n > 0 ? (size_t)n : 0;
	}
	return -EFBIG;
}

static int judge(const char *program, int status, char *text, struct failure *f)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	return fail(f, -EIO, "%s failed: %.300s", program, text[0] ? text : "it gives no reason");
}

int engine_tool(const char *const *command, unsigned seconds, char **ret_text, struct failure *f)
{
	struct process_wish wish = {.program = command[0], .arguments = command + 1, .in = -1};
	char *text = calloc(1, ENGINE_TEXT_MAX + 1);
	int pair[2], status = 0, r;
	size_t len = 0;
	pid_t pid;

	if (!text || pipe2(pair, O_CLOEXEC) < 0) {
		free(text);
		return fail(f, -ENOMEM, "cannot run %s: out of memory", command[0]);
	}
	wish.out = wish.errors = pair[1];
	r = process_start(&wish, &pid);
	close(pair[1]);
	if (r == 0) {
		r = read_all(pair[0], now_ms() + seconds * INT64_C(1000), text, &len);
		if (r < 0)
			kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	close(pair[0]);
	r = r < 0 ? fail(f, r, "cannot run %s: %s", command[0], strerror(-r))
		  : judge(command[0], status, text, f);
	if (r == 0 && ret_text)
		*ret_text = text;
	else
		free(text);
	return r;
}

/* ---- what is there ---- */

/* The one of Debian's package is nobody's cluster. */
static bool is_free(const char *text)
{
	return strncmp(text, OURS, strlen(OURS)) == 0 || strstr(text, "cluster_name: debian\n");
}

static int ask_version(const char *const *command, const char *before, char *to, struct failure *f)
{
	char *text, *at;
	int r = engine_tool(command, TOOL_S, &text, f);

	if (r < 0)
		return r;
	at = strstr(text, before);
	at = at ? at + strlen(before) : text;
	at[strspn(at, "0123456789.+-~abcdefghijklmnopqrstuvwxyz")] = '\0';
	snprintf(to, ENGINE_VERSION_MAX + 1, "%s", at);
	free(text);
	return to[0] ? 0 : fail(f, -EIO, "%s tells no version", command[0]);
}

static const char *const package[] = {"/usr/bin/dpkg-query", "--show", "--showformat=${Version}",
				      "corosync", NULL};

/* Those of Debian 12 before this one have holes that packets of strangers reach. */
static int check_holes(struct failure *f)
{
	char version[ENGINE_VERSION_MAX + 1];
	struct failure ignored;
	unsigned update = 0;

	if (ask_version(package, "", version, &ignored) < 0 ||
	    strncmp(version, "3.1.7-1", 7) != 0 ||
	    (sscanf(version, "3.1.7-1+deb12u%u", &update) == 1 && update >= 2))
		return 0;
	return fail(f, -EPERM,
		    "Corosync %s of this host has known holes: 'apt upgrade' brings "
		    "3.1.7-1+deb12u2 or later",
		    version);
}

int engine_look(struct failure *f)
{
	char *text;
	size_t len;
	int r;

	if (access(COROSYNC, X_OK) < 0 || access(PACEMAKERD, X_OK) < 0)
		return fail(
			f, -ENOENT,
			"the cluster engine is not installed: 'apt install oya-cluster' brings it");
	r = store_read(ETC "/" CONF, CONF_BYTES_MAX, &text, &len, f);
	if (r == -ENOENT)
		return check_holes(f);
	if (r < 0)
		return r;
	r = is_free(text) ? check_holes(f)
			  : fail(f, -EEXIST,
				 "this host is in a cluster that Oya has not made: " ETC "/" CONF
				 "; take it out of it, and remove that file");
	free(text);
	return r;
}

int engine_versions(char corosync[ENGINE_VERSION_MAX + 1], char pacemaker[ENGINE_VERSION_MAX + 1],
		    struct failure *f)
{
	static const char *const program[] = {COROSYNC, "-v", NULL};
	static const char *const manager[] = {PACEMAKERD, "--version", NULL};
	int r = ask_version(package, "", corosync, f);

	if (r < 0)
		r = ask_version(program, "version '", corosync, f);
	return r < 0 ? r : ask_version(manager, "Pacemaker ", pacemaker, f);
}

/* ---- files ---- */

int engine_make_key(char ret_key[ENGINE_KEY_TEXT + 1], struct failure *f)
{
	uint8_t key[ENGINE_KEY_BYTES];

	if (gnutls_rnd(GNUTLS_RND_KEY, key, sizeof(key)) < 0)
		return fail(f, -EIO, "cannot make a key: there are no random numbers");
	for (unsigned i = 0; i < sizeof(key); i++)
		sprintf(ret_key + 2 * i, "%02x", key[i]);
	gnutls_memset(key, 0, sizeof(key));
	return 0;
}

/* It is kept as its digits, which are as good as bytes to Corosync. */
int engine_read_key(char ret_key[ENGINE_KEY_TEXT + 1], struct failure *f)
{
	char *text;
	size_t len;
	int r = store_read(ETC "/" KEY, ENGINE_KEY_TEXT, &text, &len, f);

	if (r < 0)
		return r;
	if (len == ENGINE_KEY_TEXT && strspn(text, "0123456789abcdef") == len)
		memcpy(ret_key, text, len + 1);
	else
		r = fail(f, -EBADMSG, ETC "/" KEY " is not what oyad has written");
	explicit_bzero(text, len);
	free(text);
	return r;
}

/* Whether there is a configuration, and who has made it. */
enum conf { CONF_NONE, CONF_OURS, CONF_OTHER };

static enum conf whose_conf(void)
{
	struct failure ignored;
	char *text;
	size_t len;
	bool ours;

	if (store_read(ETC "/" CONF, CONF_BYTES_MAX, &text, &len, &ignored) < 0)
		return CONF_NONE;
	ours = strncmp(text, OURS, strlen(OURS)) == 0;
	free(text);
	return ours ? CONF_OURS : CONF_OTHER;
}

/* What is not ours is kept aside. */
static int save_other(struct failure *f)
{
	if (whose_conf() != CONF_OTHER)
		return 0;
	(void)unlink(ETC "/" SAVED);
	return store_rename(ETC "/" CONF, ETC "/" SAVED, f);
}

static int write_one(const char *name, const char *text, mode_t mode, struct failure *f)
{
	char path[PATH_MAX];
	int r = store_write(ETC, name, text, strlen(text), f);

	snprintf(path, sizeof(path), ETC "/%s", name);
	if (r == 0 && chmod(path, mode) < 0)
		r = fail(f, -errno, "cannot write %s: %s", path, strerror(errno));
	return r;
}

int engine_write(const struct members *m, const char *key, struct failure *f)
{
	char *text = members_corosync(m);
	int r = text ? store_make_folder(ETC, f)
		     : fail(f, -ENOMEM, "cannot write " CONF ": out of memory");

	if (r == 0)
		r = save_other(f);
	if (r == 0 && key)
		r = write_one(KEY, key, 0400, f);
	if (r == 0)
		r = write_one(CONF, text, 0644, f);
	free(text);
	return r;
}

/* Else a host that joins another cluster brings this one's along. */
static int forget_resources(struct failure *f)
{
	DIR *list = opendir(CIB);
	struct dirent *entry;
	int r = 0;

	while (list && r == 0 && (entry = readdir(list))) {
		if (strncmp(entry->d_name, "cib", 3) == 0)
			r = store_remove(CIB, entry->d_name, f);
	}
	if (list)
		closedir(list);
	return r;
}

int engine_clean(struct failure *f)
{
	bool ours = whose_conf() == CONF_OURS;
	int r = ours ? store_remove(ETC, KEY, f) : 0;

	if (r == 0 && ours)
		r = store_remove(ETC, CONF, f);
	if (r == 0 && whose_conf() == CONF_NONE && access(ETC "/" SAVED, F_OK) == 0)
		r = store_rename(ETC "/" SAVED, ETC "/" CONF, f);
	return r < 0 ? r : forget_resources(f);
}

/* ---- as processes ---- */

static void pid_path(const char *run, const char *program, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s%s.pid", run, strrchr(program, '/'));
}

/* The process that was noted, when it still is that program; 0: none. One that has ended and was
 * not waited for has no command line any more. */
static pid_t find(const char *run, const char *program)
{
	char path[PATH_MAX], line[64] = "", *text;
	struct failure ignored;
	size_t len;
	long pid;
	pid_t ended;
	int fd;

	pid_path(run, program, path);
	if (store_read(path, 32, &text, &len, &ignored) < 0)
		return 0;
	pid = strtol(text, NULL, 10);
	free(text);
	if (pid <= 1 || pid > INT32_MAX)
		return 0;
	/* Our own child may not have its command line yet. */
	ended = waitpid((pid_t)pid, NULL, WNOHANG);
	if (ended >= 0)
		return ended ? 0 : (pid_t)pid;
	snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, line, sizeof(line) - 1) <= 0)
		line[0] = '\0';
	if (fd >= 0)
		close(fd);
	return strcmp(line, program) == 0 ? (pid_t)pid : 0;
}

static int start_process(const char *run, const char *program, const char *const *arguments,
			 struct failure *f)
{
	const char *name = strrchr(program, '/') + 1;
	struct process_wish wish = {
		.program = program, .arguments = arguments, .in = -1, .session = true};
	char path[PATH_MAX], text[32];
	pid_t pid;
	int fd, r;

	if (find(run, program))
		return 0;
	snprintf(path, sizeof(path), "%s/%s.log", run, name);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(f, -errno, "cannot write %s: %s", path, strerror(errno));
	wish.out = wish.errors = fd;
	r = process_start(&wish, &pid);
	close(fd);
	if (r < 0)
		return fail(f, r, "cannot start %s: %s", program, strerror(-r));
	snprintf(text, sizeof(text), "%d\n", (int)pid);
	snprintf(path, sizeof(path), "%s.pid", name);
	return store_write(run, path, text, strlen(text), f);
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
}

static void stop_process(const char *run, const char *program)
{
	int64_t until = now_ms() + STOP_S * INT64_C(1000);
	char path[PATH_MAX];
	pid_t pid = find(run, program);

	if (pid)
		kill(pid, SIGTERM);
	while (find(run, program) && now_ms() < until)
		nap();
	if (find(run, program))
		kill(pid, SIGKILL);
	pid_path(run, program, path);
	(void)unlink(path);
}

/* By the last line of what it has said. */
static int ended_at_once(const char *run, struct failure *f)
{
	char path[PATH_MAX], *text, *end;
	struct failure ignored;
	size_t len;

	snprintf(path, sizeof(path), "%s/corosync.log", run);
	if (store_read(path, CONF_BYTES_MAX, &text, &len, &ignored) < 0)
		return fail(f, -EIO, "Corosync ends at once, without a word");
	while (len && text[len - 1] == '\n')
		text[--len] = '\0';
	end = strrchr(text, '\n');
	fail(f, -EIO, "Corosync ends at once: %.300s", end ? end + 1 : text);
	free(text);
	return -EIO;
}

/* Pacemaker ends at once where Corosync does not answer yet. */
static int wait_for_corosync(const char *run, struct failure *f)
{
	static const char *const ask[] = {"/usr/sbin/corosync-cfgtool", "-s", NULL};
	int64_t until = now_ms() + TOOL_S * INT64_C(1000);
	int r;

	while ((r = engine_tool(ask, TOOL_S, NULL, f)) < 0 && now_ms() < until) {
		if (!find(run, COROSYNC))
			return ended_at_once(run, f);
		nap();
	}
	return r;
}

/* ---- either ---- */

static const char *const foreground[] = {"-f", NULL};

/* Whether its units are enabled is left as it is: a member's oyad starts them at each boot. */

int engine_start(const char *run, struct failure *f)
{
	static const char *const start[] = {"/usr/bin/systemctl", "start", "corosync", "pacemaker",
					    NULL};
	int r;

	if (sd_booted() > 0)
		return engine_tool(start, STOP_S, NULL, f);
	r = start_process(run, COROSYNC, foreground, f);
	if (r == 0)
		r = wait_for_corosync(run, f);
	return r < 0 ? r : start_process(run, PACEMAKERD, foreground, f);
}

int engine_stop(const char *run, struct failure *f)
{
	static const char *const stop[] = {"/usr/bin/systemctl", "stop", "pacemaker", "corosync",
					   NULL};

	if (sd_booted() > 0)
		return engine_tool(stop, 2 * STOP_S, NULL, f);
	stop_process(run, PACEMAKERD);
	stop_process(run, COROSYNC);
	return 0;
}

/* As a unit it begins again when it has failed, until it has what it needs. */
int engine_start_witness(const char *run, struct failure *f)
{
	static const char *const start[] = {"/usr/bin/systemctl", "start", "--no-block",
					    "oya-witness", NULL};
	static const char *const none[] = {NULL};

	return sd_booted() > 0 ? engine_tool(start, TOOL_S, NULL, f)
			       : start_process(run, ENGINE_WITNESS, none, f);
}

int engine_stop_witness(const char *run, struct failure *f)
{
	static const char *const stop[] = {"/usr/bin/systemctl", "stop", "oya-witness", NULL};

	if (sd_booted() > 0)
		return engine_tool(stop, STOP_S, NULL, f);
	stop_process(run, ENGINE_WITNESS);
	return 0;
}

int engine_reload(struct failure *f)
{
	static const char *const reload[] = {"/usr/sbin/corosync-cfgtool", "-R", NULL};

	return engine_tool(reload, TOOL_S, NULL, f);
}
