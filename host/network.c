/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/network.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "host/host.h"
#include "host/network_priv.h"
#include "host/store.h"
#include "host/vm.h"
#include "lib/fields.h"
#include "lib/log.h"

#define FILE_NAME "host.json"
#define FILE_VERSION 1
#define FILE_BYTES_MAX (1u << 20)

uint64_t network_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- host.json ---- */

static int take_switches(struct network *n, json_t *list, struct failure *f)
{
	json_t *one;
	size_t i;

	if (json_array_size(list) > SWITCHES_MAX)
		return fail(f, -EINVAL, "it has %zu switches, at most %u are possible",
			    json_array_size(list), SWITCHES_MAX);
	json_array_foreach(list, i, one)
	{
		int r = switch_config_decode(one, &n->wanted[i].config, f);

		if (r < 0)
			return r;
		n->wanted[i].kept = true;
		n->wanted_count++;
	}
	return 0;
}

static int decode_file(struct network *n, const char *text, size_t len, struct failure *f)
{
	static const struct field fields[] = {{"version", JSON_INTEGER}, {"switches", JSON_ARRAY}};
	json_error_t error;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	int r;

	if (!root)
		return fail(f, -EINVAL, "line %d is not JSON: %s", error.line, error.text);
	r = fields_check(root, "the host", fields, ARRAY_LEN(fields), f);
	if (r == 0 && json_integer_value(json_object_get(root, "version")) != FILE_VERSION)
		r = fail(f, -EINVAL, "this oyad reads version %d", FILE_VERSION);
	if (r == 0)
		r = take_switches(n, json_object_get(root, "switches"), f);
	json_decref(root);
	return r;
}

/* A file that cannot be read keeps the service from starting: without it the switches of VMs that
 * run would be taken down. */
static int read_file(struct network *n, struct failure *f)
{
	char path[PATH_MAX], *text;
	struct failure why;
	size_t len;
	int r;

	snprintf(path, sizeof(path), "%s/" FILE_NAME, n->host->state);
	r = store_read(path, FILE_BYTES_MAX, &text, &len, f);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = decode_file(n, text, len, &why);
	free(text);
	n->known = true;
	return r < 0 ? fail(f, r, "cannot use %s: %s", path, why.text) : 0;
}

int network_write_file(struct network *n, struct failure *f)
{
	json_t *list = json_array(), *root;
	char *text;
	int r;

	for (size_t i = 0; i < n->wanted_count; i++) {
		if (n->wanted[i].kept)
			json_array_append_new(list, switch_config_encode(&n->wanted[i].config));
	}
	root = json_pack("{s:i, s:o}", "version", FILE_VERSION, "switches", list);
	text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
	json_decref(root);
	if (!text)
		return fail(f, -ENOMEM, "cannot write " FILE_NAME ": out of memory");
	r = store_write(n->host->state, FILE_NAME, text, strlen(text), f);
	free(text);
	return r;
}

/* ---- what is shown, and watched ---- */

struct shown *network_find(const struct network *n, const char *name)
{
	for (struct list *at = n->shown.next; at != &n->shown; at = at->next) {
		struct shown *s = CONTAINER_OF(at, struct shown, link);

		if (strcmp(s->config.name, name) == 0)
			return s;
	}
	return NULL;
}

static void forget(struct shown *s)
{
	list_remove(&s->link);
	sd_event_source_disable_unref(s->timer);
	sd_event_source_disable_unref(s->dhcp);
	free(s);
}

static int on_dhcp_ended(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct shown *s = ctx;

	(void)source;
	(void)fd;
	(void)events;
	s->dhcp = sd_event_source_disable_unref(s->dhcp);
	network_restart_dhcp(s);
	return 0;
}

/* Takes the descriptor. */
static void watch_dhcp(struct shown *s, int fd)
{
	s->dhcp = sd_event_source_disable_unref(s->dhcp);
	if (fd < 0)
		return;
	if (sd_event_add_io(s->network->host->event, &s->dhcp, fd, EPOLLIN, on_dhcp_ended, s) < 0)
		close(fd);
	else
		(void)sd_event_source_set_io_fd_own(s->dhcp, 1);
}

static void show(struct network *n, const struct snapshot *now)
{
	struct shown *s = network_find(n, now->config.name);
	struct list *at = n->shown.next;

	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s) {
			log_line(LOG_LEVEL_ERROR, "the switch '%s' is not shown: out of memory",
				 now->config.name);
			if (now->dhcp_fd >= 0)
				close(now->dhcp_fd);
			return;
		}
		s->network = n;
		s->config = now->config;
		while (at != &n->shown && strcmp(CONTAINER_OF(at, struct shown, link)->config.name,
						 now->config.name) < 0)
			at = at->next;
		list_insert_before(at, &s->link);
	}
	s->kept = now->kept;
	watch_dhcp(s, now->dhcp_fd);
}

/* The lists become what the lane has. */
static void show_all(struct network *n, struct network_work *w)
{
	struct list *at = n->shown.next;

	for (size_t i = 0; i < w->now_count; i++)
		show(n, &w->now[i]);
	while (at != &n->shown) {
		struct shown *s = CONTAINER_OF(at, struct shown, link);
		bool there = false;

		at = at->next;
		for (size_t i = 0; i < w->now_count; i++)
			there |= strcmp(w->now[i].config.name, s->config.name) == 0;
		if (!there)
			forget(s);
	}
	w->now_count = 0;
}

/* ---- work of the lane ---- */

static void take_snapshot(struct network *n, struct network_work *w)
{
	for (size_t i = 0; i < n->wanted_count; i++) {
		int fd = switches_dhcp_fd(n->switches, n->wanted[i].config.name);

		w->now[i] = (struct snapshot){
			.config = n->wanted[i].config,
			.kept = n->wanted[i].kept,
			.dhcp_fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1,
		};
	}
	w->now_count = n->wanted_count;
}

static int need_switches(struct network *n, struct failure *f)
{
	char run[PATH_MAX], state[PATH_MAX];
	const struct switches_options options = {.run_dir = run, .state_dir = state};
	int r = 0;

	if (n->switches)
		return 0;
	snprintf(run, sizeof(run), "%s/network", n->host->run);
	snprintf(state, sizeof(state), "%s/network", n->host->state);
	if (store_make_folder(run, f) < 0 || store_make_folder(state, f) < 0)
		r = -EIO;
	return r < 0 ? r : switches_new(&options, &n->switches, f);
}

static void work(struct pool_work *p)
{
	struct network_work *w = CONTAINER_OF(p, struct network_work, work);
	struct network *n = w->network;

	w->r = need_switches(n, &w->f);
	if (w->r == 0)
		w->r = w->act(w);
	w->changed = n->changed;
	n->changed = false;
	if (n->switches && w->changed)
		take_snapshot(n, w);
}

static void done(struct pool_work *p)
{
	struct network_work *w = CONTAINER_OF(p, struct network_work, work);

	if (w->changed)
		show_all(w->network, w);
	w->then(w);
	free(w->ports);
	free(w);
}

struct network_work *network_work_new(struct network *n, int (*act)(struct network_work *w),
				      void (*then)(struct network_work *w))
{
	struct network_work *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->work = (struct pool_work){.work = work, .done = done, .lane = &n->lane};
	w->network = n;
	w->act = act;
	w->then = then;
	return w;
}

void network_submit(struct network_work *w)
{
	pool_submit(w->network->host->pool, &w->work);
}

/* ---- the start and the end ---- */

int network_new(struct host *h, struct network **ret, struct failure *f)
{
	struct network *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return network_no_memory(f);
	n->host = h;
	list_init(&n->shown);
	r = read_file(n, f);
	if (r < 0) {
		free(n);
		return r;
	}
	/* Before the kernel has them: requests may name them at once. */
	for (size_t i = 0; i < n->wanted_count; i++)
		show(n, &(struct snapshot){n->wanted[i].config, true, -1});
	*ret = n;
	return 0;
}

static int act_start(struct network_work *w)
{
	struct network *n = w->network;
	struct switch_config *all = calloc(n->wanted_count + 1, sizeof(*all));
	struct switches_report report;
	int r;

	if (!all)
		return network_no_memory(&w->f);
	for (size_t i = 0; i < n->wanted_count; i++)
		all[i] = n->wanted[i].config;
	r = switches_reconcile(n->switches, all, n->wanted_count, w->ports, w->port_count, &report,
			       &w->f);
	free(all);
	n->changed = true;
	return r;
}

static void then_started(struct network_work *w)
{
	if (w->r < 0)
		log_line(LOG_LEVEL_ERROR, "not all switches are as wanted: %s", w->f.text);
}

/* A port whose switch is in no list is there, and leads nowhere. */
static void unplug_unknown(const struct network *n, const struct vm *vm, struct port_config *port)
{
	for (size_t i = 0; i < n->wanted_count; i++) {
		if (strcmp(n->wanted[i].config.name, port->switch_name) == 0)
			return;
	}
	log_line(LOG_LEVEL_ERROR, "a NIC of the VM '%s' leads nowhere: there is no switch '%s'",
		 vm->name, port->switch_name);
	port->switch_name[0] = '\0';
}

/* Of all VMs whose workers live. */
static int ports_of_all(struct network *n, struct network_work *w)
{
	struct host *h = n->host;
	struct failure f;

	for (struct list *at = h->vms.next; at != &h->vms; at = at->next) {
		struct vm *vm = CONTAINER_OF(at, struct vm, link);
		struct port_config *ports, *more;
		size_t count;

		if (!vm->adopted || settings_ports(vm->settings, &ports, &count, &f) < 0)
			continue;
		for (size_t i = 0; i < count; i++)
			unplug_unknown(n, vm, &ports[i]);
		more = reallocarray(w->ports, w->port_count + count + 1, sizeof(*more));
		if (!more) {
			free(ports);
			return -ENOMEM;
		}
		w->ports = more;
		memcpy(more + w->port_count, ports, count * sizeof(*ports));
		w->port_count += count;
		vm->plugged = count > 0;
		free(ports);
	}
	return 0;
}

void network_start(struct network *n)
{
	struct network_work *w;

	if (!n->known)
		return;
	w = network_work_new(n, act_start, then_started);
	if (!w || ports_of_all(n, w) < 0) {
		log_line(LOG_LEVEL_ERROR, "the switches are left as they are: out of memory");
		if (w)
			free(w->ports);
		free(w);
		return;
	}
	network_submit(w);
}

void network_free(struct network *n)
{
	if (!n)
		return;
	while (!list_empty(&n->shown))
		forget(CONTAINER_OF(n->shown.next, struct shown, link));
	switches_free(n->switches);
	free(n);
}

/* ---- what the API shows ---- */

bool network_has(const struct network *n, const char *name)
{
	return strcmp(name, NETWORK_DEFAULT) == 0 || network_find(n, name);
}

static json_t *names_of_vms(const struct host *h, const char *name)
{
	json_t *list = json_array();

	for (struct list *at = h->vms.next; at != &h->vms; at = at->next) {
		struct vm *vm = CONTAINER_OF(at, struct vm, link);

		if (settings_use_switch(vm->settings, name))
			json_array_append_new(list, json_string(vm->name));
	}
	return list;
}

static json_t *show_one(const struct shown *s)
{
	char ifname[IFNAMSIZ];
	json_t *obj = switch_config_encode(&s->config);

	switch_ifname(s->config.name, ifname);
	json_object_set_new(obj, "state", json_string(s->kept ? "kept" : "trial"));
	json_object_set_new(obj, "interface", json_string(ifname));
	json_object_set_new(obj, "vms", names_of_vms(s->network->host, s->config.name));
	return obj;
}

json_t *network_show(const struct network *n, const char *name)
{
	const struct shown *s = network_find(n, name);

	return s ? show_one(s) : NULL;
}

json_t *network_list(const struct network *n)
{
	json_t *list = json_array();

	for (struct list *at = n->shown.next; at != &n->shown; at = at->next)
		json_array_append_new(list, show_one(CONTAINER_OF(at, struct shown, link)));
	return list;
}
