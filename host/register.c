/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/register.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "host/admission.h"
#include "host/cluster.h"
#include "host/clustered.h"
#include "host/engine.h"
#include "host/host.h"
#include "host/resource_read.h"
#include "host/store.h"
#include "lib/log.h"

#define CIBADMIN "/usr/sbin/cibadmin"
#define CRM_RESOURCE "/usr/sbin/crm_resource"
#define PATIENCE_S 30u
#define SETTLE_S 620u     /* for all that the engine has begun */
#define STOP_SLACK_S 120u /* beyond the time of the guest: its worker's end, a state written */

struct registration {
	struct pool_work work;
	struct host *host;
	char name[VM_NAME_MAX + 1], uuid[GUID_TEXT_LEN], id[VM_NAME_MAX + 4];
	char vms[PATH_MAX], own[PATH_MAX], folder[PATH_MAX];
	struct guid guid;
	bool leaves;            /* the cluster */
	unsigned stop_s, hosts; /* hosts: of the cluster; 0: unknown */
	uint64_t memory_mib, cpus;
	char node[MEMBERS_NAME_MAX + 1]; /* of this host */
	bool force;
	struct resource_wish wish;
	struct resource_found found; /* of the engine's configuration */
	struct settings *settings;   /* of one that is this host's again */
	int r;
	struct failure f;
	vm_done_fn *done;
	void *ctx;
};

static void end(struct registration *g)
{
	char sentence[FAIL_TEXT_MAX];

	snprintf(sentence, sizeof(sentence), "the VM '%s' cannot be %s: %.380s", g->name,
		 g->leaves ? "taken out of the cluster" : "as wanted in the cluster", g->f.text);
	g->done(g->ctx, g->r < 0 ? sentence : NULL);
	settings_free(g->settings);
	resource_found_done(&g->found);
	free(g);
}

/* ---- in the pool ---- */

/* What the engine has of it; of its wish's group too. */
static int find(const char *name, const struct resource_wish *w, struct resource_found *ret_found,
		struct failure *f)
{
	char query[RESOURCE_QUERY_MAX + 1], *text;
	const char *const command[] = {CIBADMIN, "--query", "--xpath", query, NULL};
	int r;

	resource_query(name, w, query);
	r = engine_tool(command, PATIENCE_S, &text, f);
	if (r < 0)
		return r;
	r = resource_read(text, strlen(text), name, ret_found, f);
	free(text);
	return r;
}

/* It is in no group but that of its wish, or in none (NULL). */
static int leave_groups(struct registration *g, const struct resource_wish *w)
{
	static const char groups[] =
		"//rsc_colocation[starts-with(@id,'apart-') or starts-with(@id,'rather-apart-')]";
	char keep[RESOURCE_GROUP_MAX + 1] = "", path[sizeof(groups) + 4 * VM_NAME_MAX + 160];
	const char *const command[] = {CIBADMIN, "--delete-all", "--force", "--xpath", path, NULL};
	int r;

	if (w && w->apart[0])
		resource_group_id(w, keep);
	/* A group of nobody is none to the engine. */
	snprintf(path, sizeof(path),
		 "%s[@id!='%s'][count(resource_set/resource_ref)=1]"
		 "[resource_set/resource_ref/@id='%s']",
		 groups, keep, g->id);
	r = engine_tool(command, PATIENCE_S, NULL, &g->f);
	snprintf(path, sizeof(path), "%s[@id!='%s']/resource_set/resource_ref[@id='%s']", groups,
		 keep, g->id);
	return r < 0 ? r : engine_tool(command, PATIENCE_S, NULL, &g->f);
}

/* A host for each of a group: else one would run nowhere. */
static int check_group(struct registration *g)
{
	char id[RESOURCE_GROUP_MAX + 1], names[200] = "";
	size_t i, count = 1, at = 0;
	json_t *vm;

	if (!g->wish.apart[0] || g->wish.rather || !g->hosts)
		return 0;
	resource_group_id(&g->wish, id);
	json_array_foreach(json_object_get(g->found.groups, id), i, vm)
	{
		if (strcmp(json_string_value(vm), g->name) == 0)
			continue;
		count++;
		if (at < sizeof(names))
			at += (size_t)snprintf(names + at, sizeof(names) - at, "'%s', ",
					       json_string_value(vm));
	}
	if (count <= g->hosts)
		return 0;
	return fail(&g->f, -EBUSY,
		    "the group '%s' would have %zu VMs, %sand this one, and the cluster has %u "
		    "hosts: one of them would run nowhere; add a host, or have them rather apart",
		    g->wish.apart, count, names, g->hosts);
}

static int delete_xml(struct registration *g, const char *element, const char *after)
{
	char xml[VM_NAME_MAX + 64];
	const char *const command[] = {CIBADMIN, "--delete", "--xml-text", xml, NULL};

	snprintf(xml, sizeof(xml), "<%s id=\"%s%s\"/>", element, g->id, after);
	return engine_tool(command, PATIENCE_S, NULL, &g->f);
}

/* Only a link leads to a folder that other hosts may reach. */
static int find_folder(struct registration *g)
{
	ssize_t n = readlink(g->own, g->folder, sizeof(g->folder) - 1);

	if (n <= 0 || g->folder[0] != '/')
		return fail(&g->f, -EINVAL,
			    "its folder is this host's alone; move it to storage that all hosts "
			    "reach under one path, and make %s a link to it",
			    g->own);
	g->folder[n] = '\0';
	return 0;
}

/* Whether there is room for it; a new one will be found running here. */
static int admit(struct registration *g, const char *const *command, bool is_new)
{
	char xml[VM_NAME_MAX + 64], found[2 * VM_NAME_MAX + 32];
	const char *const drop[] = {CIBADMIN, "--delete", "--xml-text", xml, NULL};
	const struct admission a = {.run = g->host->run,
				    .before = g->found.ours ? NULL : drop,
				    .change = command,
				    .found = is_new ? found : NULL,
				    .force = g->force};

	snprintf(xml, sizeof(xml), "<rsc_location id=\"%s-hosts\"/>", g->id);
	snprintf(found, sizeof(found), "%s_monitor_0@%s=0", g->id, g->node);
	return admission_ask(&a, &g->f);
}

static int enter_group(struct registration *g)
{
	char *xml = resource_encode_group(g->name, &g->wish);
	const char *const command[] = {CIBADMIN,     "--modify", "--allow-create",
				       "--xml-text", xml,        NULL};
	int r = xml ? engine_tool(command, PATIENCE_S, NULL, &g->f)
		    : fail(&g->f, -ENOMEM, "out of memory");

	free(xml);
	return r;
}

/* The mark comes first: nothing but the engine starts it from then on. */
static int tell_engine(struct registration *g, const char *const *command, bool was)
{
	struct failure ignored;
	int r = was ? 0 : store_write(g->folder, CLUSTERED_FILE, "", 0, &g->f);

	if (r < 0)
		return r;
	r = leave_groups(g, &g->wish);
	if (r == 0 && !g->found.ours)
		(void)delete_xml(g, "rsc_location", "-hosts"); /* left, or there is none */
	if (r == 0)
		r = engine_tool(command, PATIENCE_S, NULL, &g->f);
	if (r == 0 && g->wish.apart[0])
		r = enter_group(g);
	if (r < 0 && !was)
		(void)store_remove(g->folder, CLUSTERED_FILE, &ignored);
	return r;
}

static int enter(struct registration *g, bool was)
{
	const struct resource resource = {.name = g->name,
					  .uuid = g->uuid,
					  .folder = g->folder,
					  .stop_s = g->stop_s,
					  .memory_mib = g->memory_mib,
					  .cpus = g->cpus};
	bool is_new = !g->found.ours;
	char *xml = is_new ? resource_encode(&resource, &g->wish)
			   : resource_encode_change(&resource, &g->wish);
	const char *const command[] = {CIBADMIN, is_new ? "--modify" : "--patch",  "--xml-text",
				       xml,      is_new ? "--allow-create" : NULL, NULL};
	int r = xml ? admit(g, command, !was) : fail(&g->f, -ENOMEM, "out of memory");

	if (r == 0)
		r = tell_engine(g, command, was);
	free(xml);
	return r;
}

static void add(struct pool_work *w)
{
	struct registration *g = CONTAINER_OF(w, struct registration, work);
	bool was = clustered_is(g->own);

	g->r = find_folder(g);
	if (g->r == 0)
		g->r = find(g->name, &g->wish, &g->found, &g->f);
	if (g->r == 0)
		g->r = check_group(g);
	if (g->r == 0)
		g->r = enter(g, was);
}

static int stop(struct registration *g)
{
	const char *const stopped[] = {
		CRM_RESOURCE,  "--resource",        g->id,     "--meta", "--set-parameter",
		"target-role", "--parameter-value", "Stopped", NULL};
	static const char *const settle[] = {CRM_RESOURCE, "--wait", "--timeout=600", NULL};
	int r = engine_tool(stopped, PATIENCE_S, NULL, &g->f);

	return r < 0 ? r : engine_tool(settle, SETTLE_S, NULL, &g->f);
}

static void undo(struct pool_work *w)
{
	struct registration *g = CONTAINER_OF(w, struct registration, work);

	g->r = find_folder(g);
	if (g->r == 0)
		g->r = stop(g);
	if (g->r == 0 && access(g->own, F_OK) == 0)
		g->r = fail(&g->f, -EBUSY, "the engine has not stopped it");
	if (g->r < 0)
		return;
	(void)delete_xml(g, "rsc_location", "-hosts"); /* or there is none */
	g->r = leave_groups(g, NULL);
	if (g->r == 0)
		g->r = delete_xml(g, "primitive", "");
	if (g->r == 0)
		g->r = store_remove(g->folder, CLUSTERED_FILE, &g->f);
	if (g->r == 0)
		g->r = store_link(g->folder, g->own, &g->f);
	if (g->r == 0)
		g->r = clustered_read(g->folder, &g->guid, &g->settings, &g->f);
}

/* ---- on the loop ---- */

static void on_added(struct pool_work *w)
{
	struct registration *g = CONTAINER_OF(w, struct registration, work);
	struct vm *vm = host_find(g->host, g->name);

	if (vm && strcmp(vm->uuid, g->uuid) == 0)
		vm->clustered = clustered_is(g->own);
	end(g);
}

static void on_undone(struct pool_work *w)
{
	struct registration *g = CONTAINER_OF(w, struct registration, work);
	struct vm *vm = NULL;

	if (g->r == 0 && !host_find(g->host, g->name) && !host_find_uuid(g->host, g->uuid))
		vm = vm_new(g->host, g->name, g->own, g->settings);
	if (vm) {
		g->settings = NULL;
		host_add(g->host, vm);
		host_publish(g->host, "vm", vm_show(vm));
	} else if (g->r == 0) {
		log_line(LOG_LEVEL_WARNING, "the VM '%s' is listed with the next start of oyad",
			 g->name);
	}
	end(g);
}

static int check(const struct vm *vm, struct failure *f)
{
	if (vm->migration || vm->incoming || (vm->life != VM_RUNNING && vm->life != VM_PAUSED))
		return fail(
			f, -EBUSY, "the cluster takes and gives VMs as they run; the VM '%s' is %s",
			vm->name, vm->migration ? "on its way to another host" : vm_life_label(vm));
	return 0;
}

/* NULL: no memory, or the host's paths are too long. */
static struct registration *registration_new(const struct vm *vm, vm_done_fn *done, void *ctx)
{
	const struct members *members = cluster_members(vm->host->cluster);
	const struct member *self = members ? members_find_host(members, &vm->host->uuid) : NULL;
	struct registration *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	if (snprintf(g->vms, sizeof(g->vms), "%s/vms", vm->host->state) >= (int)sizeof(g->vms) ||
	    snprintf(g->own, sizeof(g->own), "%s/%s", g->vms, vm->name) >= (int)sizeof(g->own)) {
		free(g);
		return NULL;
	}
	g->host = vm->host;
	g->hosts = members ? members->count : 0;
	g->guid = vm->settings->uuid;
	g->stop_s = vm->settings->stop_timeout_s + STOP_SLACK_S;
	g->memory_mib = settings_memory_mib(vm->settings);
	g->cpus = settings_cpus(vm->settings);
	snprintf(g->name, sizeof(g->name), "%s", vm->name);
	snprintf(g->uuid, sizeof(g->uuid), "%s", vm->uuid);
	snprintf(g->id, sizeof(g->id), "vm-%s", vm->name);
	snprintf(g->node, sizeof(g->node), "%s", self ? self->name : "");
	g->done = done;
	g->ctx = ctx;
	return g;
}

static int begin(struct vm *vm, const struct resource_wish *w, bool force, vm_done_fn *done,
		 void *ctx, struct failure *f)
{
	int r = check(vm, f);
	struct registration *g = r == 0 ? registration_new(vm, done, ctx) : NULL;

	if (r < 0)
		return r;
	if (!g)
		return fail(f, -ENOMEM, "cannot tell the cluster of the VM '%s': out of memory",
			    vm->name);
	g->leaves = !w;
	if (w)
		g->wish = *w;
	g->force = force;
	g->work = (struct pool_work){.work = w ? add : undo,
				     .done = w ? on_added : on_undone,
				     .lane = w ? &vm->host->placing : NULL};
	pool_submit(vm->host->pool, &g->work);
	return 0;
}

int register_vm(struct vm *vm, const struct resource_wish *w, bool force, vm_done_fn *done,
		void *ctx, struct failure *f)
{
	return begin(vm, w, force, done, ctx, f);
}

int register_undo(struct vm *vm, vm_done_fn *done, void *ctx, struct failure *f)
{
	if (!vm->clustered)
		return fail(f, -EBUSY, "the VM '%s' is in no cluster", vm->name);
	return begin(vm, NULL, false, done, ctx, f);
}

/* ---- shown ---- */

struct showing {
	struct pool_work work;
	char name[VM_NAME_MAX + 1];
	struct resource_found found;
	int r;
	struct failure f;
	register_shown_fn *done;
	void *ctx;
};

static void look(struct pool_work *w)
{
	struct showing *s = CONTAINER_OF(w, struct showing, work);

	s->r = find(s->name, NULL, &s->found, &s->f);
	if (s->r == 0 && !s->found.known)
		s->r = fail(&s->f, -ENOENT, "it has no resource vm-%s", s->name);
}

static void on_looked(struct pool_work *w)
{
	struct showing *s = CONTAINER_OF(w, struct showing, work);
	char sentence[FAIL_TEXT_MAX];

	snprintf(sentence, sizeof(sentence), "the engine does not tell of the VM '%s': %.400s",
		 s->name, s->f.text);
	if (s->r < 0)
		s->done(s->ctx, NULL, sentence);
	else
		s->done(s->ctx, json_incref(s->found.shown), NULL);
	resource_found_done(&s->found);
	free(s);
}

int register_show(struct vm *vm, register_shown_fn *done, void *ctx, struct failure *f)
{
	struct showing *s;

	if (!vm->clustered)
		return fail(f, -EBUSY, "the VM '%s' is in no cluster", vm->name);
	s = calloc(1, sizeof(*s));
	if (!s)
		return fail(f, -ENOMEM, "cannot ask the engine of the VM '%s': out of memory",
			    vm->name);
	s->work = (struct pool_work){.work = look, .done = on_looked};
	snprintf(s->name, sizeof(s->name), "%s", vm->name);
	s->done = done;
	s->ctx = ctx;
	pool_submit(vm->host->pool, &s->work);
	return 0;
}
