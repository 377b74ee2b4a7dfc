/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/scene.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "lib/xml.h"

#define CONFIGURATION "/cib/configuration"
#define STATUS "/pacemaker-result/cluster_status"
#define ACTION "/pacemaker-result/actions/rsc_action"
#define WORTH_PERCENT 5 /* of a host's memory, that a move has to gain */

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static bool is(const char **attributes, const char *name, const char *value)
{
	const char *has = xml_attribute(attributes, name);

	return has && strcmp(has, value) == 0;
}

/* ---- the configuration ---- */

struct reading {
	struct scene *scene;
	struct scene_host *host; /* that is being read; or NULL */
	struct scene_vm *vm;
	const char *too_many;
	bool off;   /* fencing is */
	bool fence; /* there is a device */
};

/* False: it is none, or greater than any that can be meant. */
static bool take_number(const char *text, uint64_t *ret)
{
	char *end;
	uint64_t value;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end || errno || value > SCENE_NUMBER_MAX)
		return false;
	*ret = value;
	return true;
}

static void begin_host(struct reading *r, const char **attributes)
{
	const char *name = xml_attribute(attributes, "uname");
	const char *id = xml_attribute(attributes, "id");
	struct scene *s = r->scene;
	uint64_t number;

	r->host = NULL;
	/* Names of hosts are as those of VMs. */
	if (!name || !vm_name_allowed(name) || !id || !take_number(id, &number) ||
	    number > MEMBERS_ID_MAX || scene_find_host(s, name) >= 0)
		return;
	if (s->hosts == MEMBERS_MAX) {
		r->too_many = "hosts";
		return;
	}
	r->host = &s->host[s->hosts++];
	*r->host = (struct scene_host){.id = (unsigned)number};
	memcpy(r->host->name, name, strlen(name) + 1);
}

/* Of a VM "web" the resource is "vm-web". */
static const char *vm_of(const char *id)
{
	return id && begins(id, "vm-") && vm_name_allowed(id + 3) ? id + 3 : NULL;
}

static void begin_primitive(struct reading *r, const char **attributes)
{
	const char *name = vm_of(xml_attribute(attributes, "id"));
	struct scene *s = r->scene;

	r->vm = NULL;
	r->fence |= is(attributes, "class", "stonith");
	if (!name || !is(attributes, "provider", "oya") || !is(attributes, "type", "vm") ||
	    scene_find_vm(s, name) >= 0)
		return;
	if (s->vms == SCENE_VMS_MAX) {
		r->too_many = "VMs";
		return;
	}
	r->vm = &s->vm[s->vms++];
	*r->vm = (struct scene_vm){.live = false};
	memcpy(r->vm->name, name, strlen(name) + 1);
}

static void take_tag(struct scene_host *h, const char *tag, const char *value)
{
	if (strcmp(value, "true") == 0 && vm_name_allowed(tag) && h->tags < SCENE_TAGS_MAX)
		memcpy(h->tag[h->tags++], tag, strlen(tag) + 1);
}

/* Of a utilization; true: it was memory. */
static bool take_use(const char *name, const char *value, uint64_t *memory_mib, uint64_t *cpus)
{
	if (strcmp(name, "cpu") == 0)
		(void)take_number(value, cpus);
	return strcmp(name, "memory") == 0 && take_number(value, memory_mib);
}

static void take_pair(struct reading *r, const char *path, const char *name, const char *value)
{
	struct scene_host *h = r->host;
	struct scene_vm *vm = r->vm;

	if (xml_path_ends(path, "/cluster_property_set/nvpair")) {
		if (strcmp(name, "placement-strategy") == 0)
			snprintf(r->scene->strategy, sizeof(r->scene->strategy), "%s", value);
		r->off |= strcmp(name, "stonith-enabled") == 0 && strcmp(value, "false") == 0;
	} else if (h && xml_path_ends(path, "/node/utilization/nvpair")) {
		h->told |= take_use(name, value, &h->memory_mib, &h->cpus);
	} else if (h && xml_path_ends(path, "/node/instance_attributes/nvpair")) {
		if (begins(name, SCENE_TAG))
			take_tag(h, name + strlen(SCENE_TAG), value);
	} else if (vm && xml_path_ends(path, "/primitive/utilization/nvpair")) {
		(void)take_use(name, value, &vm->memory_mib, &vm->cpus);
	} else if (vm && xml_path_ends(path, "/primitive/meta_attributes/nvpair")) {
		if (strcmp(name, "allow-migrate") == 0)
			vm->live = strcmp(value, "true") == 0;
	}
}

static void on_configured(void *ctx, const char *path, const char **attributes)
{
	struct reading *r = ctx;
	const char *name = xml_attribute(attributes, "name");
	const char *value = xml_attribute(attributes, "value");

	if (!begins(path, CONFIGURATION "/"))
		return;
	if (strcmp(path, CONFIGURATION "/nodes/node") == 0)
		begin_host(r, attributes);
	else if (xml_path_ends(path, "/primitive"))
		begin_primitive(r, attributes);
	else if (name && value)
		take_pair(r, path, name, value);
}

static void on_end(void *ctx, const char *path, const char *text)
{
	(void)ctx;
	(void)path;
	(void)text;
}

int scene_decode(const char *text, size_t len, struct scene *ret_scene, struct failure *f)
{
	static const struct xml_calls calls = {.begin = on_configured, .end = on_end};
	struct reading r = {.scene = ret_scene};
	int code;

	memset(ret_scene, 0, sizeof(*ret_scene));
	code = xml_parse(text, len, &calls, &r, "the configuration of the cluster", f);
	if (code < 0)
		return code;
	if (r.too_many)
		return fail(f, -E2BIG, "the configuration of the cluster has too many %s",
			    r.too_many);
	ret_scene->fences = r.fence && !r.off;
	return 0;
}

bool scene_counts(const struct scene *s)
{
	return s->strategy[0] && strcmp(s->strategy, "default") != 0;
}

bool scene_all_told(const struct scene *s)
{
	for (unsigned i = 0; i < s->hosts; i++) {
		if (!s->host[i].told)
			return false;
	}
	return s->hosts > 0;
}

int scene_find_host(const struct scene *s, const char *name)
{
	for (unsigned i = 0; i < s->hosts; i++) {
		if (strcmp(s->host[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

int scene_find_vm(const struct scene *s, const char *name)
{
	for (unsigned i = 0; i < s->vms; i++) {
		if (strcmp(s->vm[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

/* ---- what the simulator says ---- */

struct watching {
	const struct scene *scene;
	struct scene_play *play;
	int vm; /* that is being read; or -1 */
	bool told;
};

static void begin_resource(struct watching *w, const char **attributes)
{
	const char *name = vm_of(xml_attribute(attributes, "id"));

	w->vm = name ? scene_find_vm(w->scene, name) : -1;
	if (w->vm >= 0 && !is(attributes, "target_role", "Stopped") &&
	    !is(attributes, "managed", "false"))
		w->play->at[w->vm] = SCENE_NOWHERE;
	else
		w->vm = -1;
}

/* What the engine would do to a VM; what it starts anew where it is has neither of both hosts. */
static void take_action(struct watching *w, const char **attributes)
{
	const char *name = vm_of(xml_attribute(attributes, "resource"));
	const char *to = xml_attribute(attributes, "dest");
	int vm = name ? scene_find_vm(w->scene, name) : -1;

	if (is(attributes, "action", "start"))
		to = xml_attribute(attributes, "node");
	if (vm < 0 || w->play->at[vm] == SCENE_IDLE)
		return;
	if (is(attributes, "action", "stop") || is(attributes, "blocked", "true"))
		w->play->at[vm] = SCENE_NOWHERE;
	else if (to)
		w->play->at[vm] = scene_find_host(w->scene, to); /* or nowhere that is known */
}

static void on_played(void *ctx, const char *path, const char **attributes)
{
	struct watching *w = ctx;
	const char *name = xml_attribute(attributes, "name");
	int host = name ? scene_find_host(w->scene, name) : -1;

	if (strcmp(path, ACTION) == 0) {
		take_action(w, attributes);
	} else if (!begins(path, STATUS "/")) {
		return;
	} else if (strcmp(path, STATUS "/nodes/node") == 0) {
		w->told = true;
		if (host >= 0)
			w->play->online[host] = is(attributes, "online", "true") &&
						!is(attributes, "standby", "true");
	} else if (xml_path_ends(path, "/resource")) {
		begin_resource(w, attributes);
	} else if (xml_path_ends(path, "/resource/node") && w->vm >= 0 && host >= 0) {
		w->play->at[w->vm] = host;
	}
}

int scene_decode_play(const struct scene *s, const char *text, size_t len,
		      struct scene_play *ret_play, struct failure *f)
{
	static const struct xml_calls calls = {.begin = on_played, .end = on_end};
	struct watching w = {.scene = s, .play = ret_play, .vm = -1};
	int r;

	memset(ret_play, 0, sizeof(*ret_play));
	for (unsigned i = 0; i < s->vms; i++)
		ret_play->at[i] = SCENE_IDLE;
	r = xml_parse(text, len, &calls, &w, "what the cluster's simulator says", f);
	if (r == 0 && !w.told)
		r = fail(f, -EIO, "the cluster's simulator does not say what would come of it");
	return r;
}

void scene_leave(const struct scene *s, struct scene_play *p, const char *host)
{
	int lost = scene_find_host(s, host);

	for (unsigned i = 0; i < s->vms; i++) {
		if (lost >= 0 && p->at[i] == lost)
			p->at[i] = SCENE_NOWHERE;
	}
}

int64_t scene_free_mib(const struct scene *s, const struct scene_play *p, unsigned host)
{
	int64_t mib = (int64_t)s->host[host].memory_mib;

	for (unsigned i = 0; i < s->vms; i++) {
		if (p->at[i] == (int)host)
			mib -= (int64_t)s->vm[i].memory_mib;
	}
	return mib;
}

/* ---- the loss of a host ---- */

struct scene_loss scene_judge_loss(const struct scene *s, const struct scene_play *base,
				   const struct scene_play *lost, const struct scene_play *roomy)
{
	struct scene_loss room = {.played = true, .vm = -1};
	struct scene_loss rule = {.played = true, .vm = -1, .by_rule = true};

	for (unsigned i = 0; i < s->vms; i++) {
		struct scene_loss *l = &room;

		if (base->at[i] < 0 || lost->at[i] != SCENE_NOWHERE)
			continue;
		if (roomy && roomy->at[i] == SCENE_NOWHERE)
			l = &rule;
		l->more += l->vm >= 0;
		if (l->vm < 0)
			l->vm = (int)i;
	}
	return room.vm < 0 && rule.vm >= 0 ? rule : room;
}

bool scene_judge_votes(const char *text)
{
	const char *votes = strstr(text, "\nTotal votes:"), *quorum = strstr(text, "\nQuorum:");
	unsigned has, needs;

	return votes && quorum && sscanf(votes, "\nTotal votes: %6u", &has) == 1 &&
	       sscanf(quorum, "\nQuorum: %6u", &needs) == 1 && has > needs;
}

/* "web (8 GiB)" */
static void name_vm(const struct scene *s, int vm, char *text, size_t size)
{
	const struct scene_vm *v = &s->vm[vm];
	bool gib = v->memory_mib && v->memory_mib % 1024 == 0;

	snprintf(text, size, "%s (%" PRIu64 " %s)", v->name,
		 gib ? v->memory_mib / 1024 : v->memory_mib, gib ? "GiB" : "MiB");
}

static void tell_loss(const struct scene *s, const struct scene_loss *l, const char *host,
		      struct failure *ret)
{
	char vm[VM_NAME_MAX + 40], more[40] = "";

	name_vm(s, l->vm, vm, sizeof(vm));
	if (l->more)
		snprintf(more, sizeof(more), " and %u more", l->more);
	if (l->by_rule)
		fail(ret, -EBUSY, "VM %s%s may run on no other host when %s is lost", vm, more,
		     host);
	else
		fail(ret, -EBUSY, "VM %s%s %s nowhere when %s is lost", vm, more,
		     l->more ? "fit" : "fits", host);
}

/* 1: it survives; 0: not, for that reason; -1: nobody knows. */
static int judge(const struct scene *s, const struct scene_survival *v, struct failure *why)
{
	char vm[VM_NAME_MAX + 40];
	unsigned online = 0;

	for (unsigned i = 0; i < s->hosts; i++)
		online += v->loss[i].played;
	if (!scene_counts(s)) {
		fail(why, 0, "%s",
		     s->strategy[0] ? "the engine is told not to look at memory "
				      "(placement-strategy)"
		     : scene_all_told(s)
			     ? "VMs would be moved if the engine looked at memory; the "
			       "log of oyad says which"
			     : "not all hosts have told the cluster what memory they have");
		return -1;
	}
	if (!s->fences)
		return fail(why, 0, "there is no fencing");
	if (online < 2)
		return fail(why, 0, "no other host is online");
	if (!v->quorate)
		return fail(why, 0, "with one host less there is no quorum");
	for (unsigned i = 0; i < s->vms; i++) {
		if (v->base.at[i] != SCENE_NOWHERE)
			continue;
		name_vm(s, (int)i, vm, sizeof(vm));
		return fail(why, 0, "VM %s fits nowhere as it is", vm);
	}
	for (unsigned i = 0; i < s->hosts; i++) {
		if (v->loss[i].played && v->loss[i].vm >= 0) {
			tell_loss(s, &v->loss[i], s->host[i].name, why);
			return 0;
		}
	}
	return 1;
}

json_t *scene_tell(const struct scene *s, const struct scene_survival *v)
{
	json_t *losses = json_array();
	struct failure why = {""};
	int known = judge(s, v, &why);

	for (unsigned i = 0; i < s->hosts; i++) {
		const struct scene_loss *l = &v->loss[i];
		struct failure text = {""};

		if (!l->played)
			continue;
		if (l->vm >= 0)
			tell_loss(s, l, s->host[i].name, &text);
		json_array_append_new(losses,
				      json_pack("{s:s, s:b, s:o}", "host", s->host[i].name,
						"survives", l->vm < 0, "reason",
						l->vm < 0 ? json_null() : json_string(text.text)));
	}
	return json_pack("{s:o, s:o, s:o}", "survives",
			 known < 0 ? json_null() : json_boolean(known), "reason",
			 known == 1 ? json_null() : json_string(why.text), "losses", losses);
}

int scene_keep(const struct scene *s, const struct scene_play *before,
	       const struct scene_play *after, struct failure *f)
{
	char vm[VM_NAME_MAX + 40];

	for (unsigned i = 0; i < s->vms; i++) {
		if (before->at[i] < 0 || after->at[i] == before->at[i])
			continue;
		name_vm(s, (int)i, vm, sizeof(vm));
		return fail(f, -EBUSY, "VM %s would not stay on %s", vm,
			    s->host[before->at[i]].name);
	}
	return 0;
}

int scene_admit(const struct scene *s, const struct scene_survival *before,
		const struct scene_survival *after, bool force, struct failure *f)
{
	struct failure why;
	char vm[VM_NAME_MAX + 40];

	for (unsigned i = 0; i < s->vms; i++) {
		if (after->base.at[i] != SCENE_NOWHERE || before->base.at[i] == SCENE_NOWHERE)
			continue;
		name_vm(s, (int)i, vm, sizeof(vm));
		return fail(f, -EBUSY, "VM %s would fit nowhere", vm);
	}
	for (unsigned i = 0; !force && i < s->hosts; i++) {
		const struct scene_loss *was = &before->loss[i], *is_now = &after->loss[i];

		if (!is_now->played || is_now->vm < 0 || is_now->by_rule ||
		    (was->vm >= 0 && !was->by_rule))
			continue;
		tell_loss(s, is_now, s->host[i].name, &why);
		return fail(f, -EBUSY,
			    "that would take the room that is kept for the loss of a host: %s; "
			    "--force does it all the same",
			    why.text);
	}
	return 0;
}

/* ---- balance ---- */

bool scene_ends(const struct scene *s, const struct scene_play *p, unsigned *ret_full,
		unsigned *ret_empty)
{
	int full = -1, empty = -1;

	for (unsigned i = 0; i < s->hosts; i++) {
		if (!p->online[i] || !s->host[i].told)
			continue;
		if (full < 0 || scene_free_mib(s, p, i) < scene_free_mib(s, p, (unsigned)full))
			full = (int)i;
		if (empty < 0 || scene_free_mib(s, p, i) > scene_free_mib(s, p, (unsigned)empty))
			empty = (int)i;
	}
	if (full == empty)
		return false;
	*ret_full = (unsigned)full;
	*ret_empty = (unsigned)empty;
	return true;
}

/* By how much the lesser of what both have free becomes more. */
static int64_t gain(const struct scene *s, const struct scene_play *p, int vm, unsigned from,
		    unsigned to)
{
	int64_t gap = scene_free_mib(s, p, to) - scene_free_mib(s, p, from);
	int64_t size = (int64_t)s->vm[vm].memory_mib;

	return size < gap - size ? size : gap - size;
}

static bool is_worth_it(const struct scene *s, int64_t mib, unsigned from)
{
	return mib > 0 && mib * 100 >= (int64_t)s->host[from].memory_mib * WORTH_PERCENT;
}

unsigned scene_candidates(const struct scene *s, const struct scene_play *p, unsigned full,
			  unsigned empty, int ret_vm[SCENE_CANDIDATES_MAX])
{
	int64_t gains[SCENE_CANDIDATES_MAX];
	unsigned count = 0, at;

	for (unsigned i = 0; i < s->vms; i++) {
		int64_t mib;

		if (p->at[i] != (int)full || !s->vm[i].live)
			continue;
		mib = gain(s, p, (int)i, full, empty);
		if (!is_worth_it(s, mib, full))
			continue;
		for (at = count; at > 0 && gains[at - 1] < mib; at--) {
			if (at < SCENE_CANDIDATES_MAX) {
				gains[at] = gains[at - 1];
				ret_vm[at] = ret_vm[at - 1];
			}
		}
		if (at < SCENE_CANDIDATES_MAX) {
			gains[at] = mib;
			ret_vm[at] = (int)i;
			count += count < SCENE_CANDIDATES_MAX;
		}
	}
	return count;
}

int scene_judge_move(const struct scene *s, const struct scene_play *before,
		     const struct scene_play *after, int vm)
{
	int from = before->at[vm], to = after->at[vm];

	for (unsigned i = 0; i < s->vms; i++) {
		if ((int)i != vm && before->at[i] != after->at[i])
			return -1;
	}
	if (from < 0 || to < 0 || from == to)
		return -1;
	return is_worth_it(s, gain(s, before, vm, (unsigned)from, (unsigned)to), (unsigned)from)
		       ? to
		       : -1;
}

void scene_tell_move(const struct scene *s, const struct scene_play *before, int vm, unsigned to,
		     struct failure *ret_reason)
{
	unsigned from = (unsigned)before->at[vm];
	int64_t one = scene_free_mib(s, before, from), other = scene_free_mib(s, before, to);
	int64_t size = (int64_t)s->vm[vm].memory_mib;

	fail(ret_reason, 0,
	     "%s has %" PRId64 " MiB free and %s %" PRId64 "; then they have %" PRId64
	     " and %" PRId64,
	     s->host[from].name, one, s->host[to].name, other, one + size, other - size);
}
