/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/capacity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "host/cluster.h"
#include "host/host.h"
#include "host/rehearsal.h"
#include "host/resource.h"
#include "host/vm.h"
#include "lib/log.h"

#define STEP_MIB 64u /* so that another kernel, which keeps some more, makes no difference */

struct telling {
	struct pool_work work;
	struct host *host;
	struct scene_host own;
	struct scene_vm vm[SCENE_VMS_MAX];
	unsigned vms;
	struct failure problem; /* or "" */
};

bool capacity_add_tag(struct capacity *c, const char *tag)
{
	if (c->tags == SCENE_TAGS_MAX || !vm_name_allowed(tag))
		return false;
	c->tag[c->tags++] = tag;
	return true;
}

bool capacity_take_memory(struct capacity *c, const char *text)
{
	char *end;
	unsigned long long mib = strtoull(text, &end, 10);

	if (*text < '1' || *text > '9' || *end || mib > SCENE_NUMBER_MAX)
		return false;
	c->memory_mib = mib;
	return true;
}

uint64_t capacity_default_mib(uint64_t memory_mib)
{
	uint64_t kept = memory_mib / 16 + 512;
	uint64_t mib = kept < memory_mib / 2 ? memory_mib - kept : memory_mib / 2;

	return mib > STEP_MIB ? mib - mib % STEP_MIB : mib;
}

/* ---- what differs ---- */

static bool has_tag(const struct scene_host *h, const char *tag)
{
	for (unsigned i = 0; i < h->tags; i++) {
		if (strcmp(h->tag[i], tag) == 0)
			return true;
	}
	return false;
}

static bool same_tags(const struct scene_host *a, const struct scene_host *b)
{
	for (unsigned i = 0; i < a->tags; i++) {
		if (!has_tag(b, a->tag[i]))
			return false;
	}
	return a->tags == b->tags;
}

static void put_tag(FILE *to, unsigned id, const char *tag, bool is_on)
{
	fprintf(to, "<nvpair id=\"oya-%u-tag-%s\" name=\"" SCENE_TAG "%s\" value=\"%s\"/>", id, tag,
		tag, is_on ? "true" : "false");
}

/* A tag that is gone is no longer true; its name stays. */
static void put_host(FILE *to, const struct scene_host *old, const struct scene_host *h)
{
	fprintf(to, "<nodes><node id=\"%u\" uname=\"%s\"><utilization id=\"oya-%u-has\">", old->id,
		old->name, old->id);
	fprintf(to, "<nvpair id=\"oya-%u-memory\" name=\"memory\" value=\"%" PRIu64 "\"/>", old->id,
		h->memory_mib);
	fprintf(to, "<nvpair id=\"oya-%u-cpu\" name=\"cpu\" value=\"%" PRIu64 "\"/></utilization>",
		old->id, h->cpus);
	fprintf(to, "<instance_attributes id=\"oya-%u-tags\">", old->id);
	for (unsigned i = 0; i < h->tags; i++)
		put_tag(to, old->id, h->tag[i], true);
	for (unsigned i = 0; i < old->tags; i++) {
		if (!has_tag(h, old->tag[i]))
			put_tag(to, old->id, old->tag[i], false);
	}
	fputs("</instance_attributes></node></nodes>", to);
}

static bool differs(const struct scene *s, const struct scene_vm *vm)
{
	int at = scene_find_vm(s, vm->name);

	return at >= 0 && (s->vm[at].memory_mib != vm->memory_mib || s->vm[at].cpus != vm->cpus);
}

static void put_vms(FILE *to, const struct scene *s, const struct scene_vm *vm, unsigned vms)
{
	fputs("<resources>", to);
	for (unsigned i = 0; i < vms; i++) {
		if (!differs(s, &vm[i]))
			continue;
		fprintf(to, "<primitive id=\"vm-%s\">", vm[i].name);
		resource_put_needs(to, vm[i].name, vm[i].memory_mib, vm[i].cpus);
		fputs("</primitive>", to);
	}
	fputs("</resources>", to);
}

char *capacity_encode(const struct scene *s, const struct scene_host *host,
		      const struct scene_vm *vm, unsigned vms)
{
	int at = scene_find_host(s, host->name);
	const struct scene_host *old = at >= 0 ? &s->host[at] : NULL;
	bool news = old && (!old->told || old->memory_mib != host->memory_mib ||
			    old->cpus != host->cpus || !same_tags(old, host));
	unsigned changed = 0;
	char *text = NULL;
	size_t len;
	FILE *to;
	bool good;

	for (unsigned i = 0; i < vms; i++)
		changed += differs(s, &vm[i]);
	if (!news && !changed)
		return strdup("");
	to = open_memstream(&text, &len);
	if (!to)
		return NULL;
	fputs("<cib><configuration>", to);
	if (news)
		put_host(to, old, host);
	if (changed)
		put_vms(to, s, vm, vms);
	fputs("</configuration></cib>", to);
	good = !ferror(to);
	if (fclose(to) == 0 && good)
		return text;
	free(text);
	return NULL;
}

/* ---- in the pool ---- */

static int write_news(const struct telling *t, struct rehearsal *r, struct failure *f)
{
	char *xml = capacity_encode(&r->scene, &t->own, t->vm, t->vms);
	const char *const command[] = {"/usr/sbin/cibadmin", "--modify", "--allow-create",
				       "--xml-text",         xml,        NULL};
	int code = 0;

	if (!xml)
		return fail(f, -ENOMEM, "out of memory");
	if (*xml) {
		code = rehearsal_change_engine(r, command, f);
		if (code == 0)
			log_line(LOG_LEVEL_INFO,
				 "cluster: it knows what this host and its VMs are");
	}
	free(xml);
	return code;
}

/* Once all have told, unless somebody has said otherwise. */
static int begin_to_count(struct rehearsal *r, struct failure *f)
{
	static const char *const command[] = {
		"/usr/sbin/crm_attribute", "--type",   "crm_config", "--name",
		"placement-strategy",      "--update", "balanced",   NULL};

	return scene_all_told(&r->scene) && !r->scene.strategy[0]
		       ? rehearsal_change_engine(r, command, f)
		       : 0;
}

static void tell(struct pool_work *w)
{
	struct telling *t = CONTAINER_OF(w, struct telling, work);
	struct rehearsal *r;
	struct failure f;
	int code = rehearsal_new(t->host->run, &r, &f);

	if (code < 0)
		return; /* the engine does not run yet, or not any more */
	code = write_news(t, r, &f);
	if (code == 0)
		code = begin_to_count(r, &f);
	if (code < 0)
		t->problem = f;
	rehearsal_free(r);
}

/* ---- on the loop ---- */

static void on_told(struct pool_work *w)
{
	struct telling *t = CONTAINER_OF(w, struct telling, work);

	struct host *h = t->host;

	/* Once, though it is tried again and again. */
	if (t->problem.text[0] && strcmp(t->problem.text, h->not_told.text) != 0)
		log_line(LOG_LEVEL_WARNING,
			 "cluster: it cannot be told what this host and its VMs are: %s",
			 t->problem.text);
	h->not_told = t->problem;
	h->tells = false;
	free(t);
}

static void take_own(struct telling *t, const struct member *self)
{
	const struct capacity *c = &t->host->capacity;
	uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	snprintf(t->own.name, sizeof(t->own.name), "%s", self->name);
	t->own.memory_mib = c->memory_mib ? c->memory_mib : capacity_default_mib(bytes >> 20);
	t->own.cpus = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN) * CAPACITY_CPUS;
	for (unsigned i = 0; i < c->tags; i++)
		snprintf(t->own.tag[t->own.tags++], VM_NAME_MAX + 1, "%s", c->tag[i]);
}

static void take_vms(struct telling *t)
{
	struct host *h = t->host;

	for (struct list *at = h->vms.next; at != &h->vms && t->vms < SCENE_VMS_MAX;
	     at = at->next) {
		const struct vm *vm = CONTAINER_OF(at, struct vm, link);
		struct scene_vm *to = &t->vm[t->vms];

		if (!vm->clustered || vm->incoming || vm->life != VM_RUNNING)
			continue;
		snprintf(to->name, sizeof(to->name), "%s", vm->name);
		to->memory_mib = settings_memory_mib(vm->settings);
		to->cpus = settings_cpus(vm->settings);
		t->vms++;
	}
}

void capacity_tell(struct host *h)
{
	const struct members *m = cluster_members(h->cluster);
	const struct member *self = m ? members_find_host(m, &h->uuid) : NULL;
	struct telling *t = self && !h->tells ? calloc(1, sizeof(*t)) : NULL;

	if (!t)
		return;
	h->tells = true;
	t->host = h;
	t->work = (struct pool_work){.work = tell, .done = on_told, .lane = &h->placing};
	take_own(t, self);
	take_vms(t);
	pool_submit(h->pool, &t->work);
}
