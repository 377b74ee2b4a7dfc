/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/cluster.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "host/capacity.h"
#include "host/cluster_impl.h"
#include "host/cluster_log.h"
#include "host/crm.h"
#include "host/drain_impl.h"
#include "host/store.h"
#include "host/tls.h"
#include "lib/log.h"
#include "lib/random.h"

#define LOOK_US UINT64_C(1000000)
#define LOOKS_MAX 120u /* until the engine has a host online */
#define FETCH_US UINT64_C(20000000)
#define TOOL_S 30u

/* ---- steps ---- */

struct cluster_task *cluster_task_new(struct cluster *c)
{
	struct cluster_task *t = calloc(1, sizeof(*t));

	if (t) {
		t->c = c;
		t->seen = c->members;
	}
	return t;
}

struct cluster_task *cluster_begin(struct cluster *c, const char *what, struct failure *f)
{
	struct cluster_task *t;

	if (c->task) {
		fail(f, -EBUSY, "the cluster is being changed on this host just now");
		return NULL;
	}
	t = cluster_task_new(c);
	if (t && what)
		t->job = job_new(c->host, what, "");
	if (!t || (what && !t->job)) {
		free(t);
		fail(f, -ENOMEM, "cannot change the cluster: out of memory, or too many jobs");
		return NULL;
	}
	c->task = t;
	return t;
}

static void task_free(struct cluster_task *t)
{
	far_cancel(t->far);
	sd_event_source_disable_unref(t->timer);
	json_decref(t->answer);
	json_decref(t->facts);
	drain_free(t->drain);
	explicit_bzero(t, sizeof(*t));
	free(t);
}

void cluster_end(struct cluster_task *t, json_t *answer)
{
	if (t->r < 0)
		log_line(LOG_LEVEL_WARNING, "cluster: %s", t->f.text);
	if (t->c->task == t)
		t->c->task = NULL;
	if (t->job)
		job_end(t->c->host, t->job, t->r < 0 ? t->f.text : NULL);
	if (t->done)
		t->done(t->ctx, t->r, answer, &t->f);
	else
		json_decref(answer);
	task_free(t);
}

static void work(struct pool_work *w)
{
	struct cluster_task *t = CONTAINER_OF(w, struct cluster_task, work);

	t->r = t->step(t);
}

static void on_work(struct pool_work *w)
{
	struct cluster_task *t = CONTAINER_OF(w, struct cluster_task, work);

	t->then(t);
}

static void submit(struct cluster_task *t, struct pool_lane *lane,
		   int (*step)(struct cluster_task *t), cluster_then_fn *then)
{
	t->step = step;
	t->then = then;
	t->work = (struct pool_work){.work = work, .done = on_work, .lane = lane};
	pool_submit(t->c->host->pool, &t->work);
}

void cluster_in_pool(struct cluster_task *t, int (*step)(struct cluster_task *t),
		     cluster_then_fn *then)
{
	submit(t, &t->c->lane, step, then);
}

void cluster_in_fencing(struct cluster_task *t, int (*step)(struct cluster_task *t),
			cluster_then_fn *then)
{
	submit(t, fencing_lane(t->c->fencing), step, then);
}

static int on_later(sd_event_source *source, uint64_t us, void *ctx)
{
	struct cluster_task *t = ctx;

	(void)source;
	(void)us;
	t->then(t);
	return 0;
}

void cluster_later(struct cluster_task *t, uint64_t us, cluster_then_fn *then)
{
	t->then = then;
	t->timer = sd_event_source_disable_unref(t->timer);
	if (sd_event_add_time_relative(t->c->host->event, &t->timer, CLOCK_MONOTONIC, us, 0,
				       on_later, t) < 0)
		then(t);
}

static void on_called(void *ctx, const struct far_answer *a)
{
	struct cluster_task *t = ctx;

	t->far = NULL;
	t->status = a->status;
	json_decref(t->answer);
	t->answer = json_incref(a->body);
	t->r = 0;
	if (a->code < 0 || a->status >= 400)
		t->r = fail(&t->f, a->code < 0 ? a->code : -EIO, "%s", a->f->text);
	t->then(t);
}

void cluster_call(struct cluster_task *t, const struct peer *peer, const char *method,
		  const char *target, json_t *body, cluster_then_fn *then)
{
	struct peer shown = *peer;
	const struct far_wish wish = {.helper = t->c->host->connector,
				      .peer = &shown,
				      .method = method,
				      .target = target,
				      .body = body};

	shown.identity = t->c->host->state;
	t->then = then;
	t->status = 0;
	t->r = far_start(t->c->host->event, &wish, on_called, t, &t->far, &t->f);
	json_decref(body);
	explicit_bzero(&shown, sizeof(shown));
	if (t->r < 0)
		then(t);
}

/* ---- the list in force ---- */

int cluster_write_list(struct cluster *c, const struct members *m, struct failure *f)
{
	json_t *root = members_to_json(m);
	char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
	int r = text ? store_write(c->host->state, MEMBERS_FILE, text, strlen(text), f)
		     : fail(f, -ENOMEM, "cannot write " MEMBERS_FILE ": out of memory");

	json_decref(root);
	free(text);
	return r;
}

void cluster_adopt(struct cluster *c, const struct members *m)
{
	if (m)
		c->members = *m;
	c->in = m != NULL;
	tls_server_ask(c->tls, c->in);
	gate_set_members(c->gate, c->in ? &c->members : NULL);
	if (!c->in)
		fencing_leave(c->fencing);
	else
		fencing_look_soon(c->fencing);
	log_line(LOG_LEVEL_INFO, c->in ? "cluster '%s': list %llu of %u members" : "in no cluster",
		 c->members.name, (unsigned long long)c->members.number, c->members.count);
	capacity_tell(c->host);
}

const struct members *cluster_members(const struct cluster *c)
{
	return c && c->in ? &c->members : NULL;
}

int cluster_peer(const struct cluster *c, const char *node, struct peer *ret_peer,
		 struct failure *f)
{
	const struct members *m = cluster_members(c);
	const struct member *member = m ? members_find(m, node) : NULL;

	if (!member)
		return fail(f, -ENOENT, "the host '%.80s' is no member of this host's cluster",
			    node);
	*ret_peer = member->peer;
	ret_peer->identity = c->host->state;
	return 0;
}

struct fencing *cluster_fencing(const struct cluster *c)
{
	return c && c->in ? c->fencing : NULL;
}

static const struct member *own(const struct cluster *c, const struct members *m)
{
	return members_find_host(m, &c->host->uuid);
}

/* The engine forgets hosts that have gone. What does not succeed here does on another host. */
static void forget(const struct members *old, const struct members *next)
{
	const char *command[] = {"/usr/sbin/crm_node", "--force", "--remove", NULL, NULL};
	struct failure f;

	for (unsigned i = 0; i < old->count; i++) {
		command[3] = old->member[i].name;
		if (!members_find(next, command[3]) && engine_tool(command, TOOL_S, NULL, &f) < 0)
			log_line(LOG_LEVEL_WARNING, "cluster: %s", f.text);
	}
}

int cluster_uninstall(struct cluster_task *t)
{
	const struct host *h = t->c->host;
	int r = cluster_run_witness(t->c, NULL, &t->f);

	if (r == 0)
		r = engine_stop(h->run, &t->f);

	if (r == 0)
		r = engine_clean(&t->f);
	return r < 0 ? r : store_remove(h->state, MEMBERS_FILE, &t->f);
}

int cluster_apply(struct cluster_task *t)
{
	struct failure f;
	int r;

	if (!own(t->c, &t->next))
		return cluster_uninstall(t);
	r = cluster_write_list(t->c, &t->next, &t->f);
	if (r == 0)
		r = engine_write(&t->next, NULL, &t->f);
	if (r < 0)
		return r;
	if (engine_reload(&f) < 0)
		log_line(LOG_LEVEL_WARNING, "cluster: %s", f.text);
	if (cluster_run_witness(t->c, &t->next, &f) < 0)
		log_line(LOG_LEVEL_WARNING, "cluster: %s", f.text);
	forget(&t->c->members, &t->next);
	fencing_follow(&t->c->members, &t->next, own(t->c, &t->next)->name);
	return 0;
}

static void adopt_next(struct cluster_task *t)
{
	cluster_adopt(t->c, own(t->c, &t->next) ? &t->next : NULL);
}

/* ---- a change goes round ---- */

static void go_round(struct cluster_task *t);

static void on_applied(struct cluster_task *t)
{
	if (t->r < 0 && !t->taken) {
		t->after(t);
		return;
	}
	if (t->r < 0)
		log_line(LOG_LEVEL_ERROR, "cluster: %s", t->f.text);
	else
		adopt_next(t);
	t->taken = true;
	go_round(t);
}

static void on_offered(struct cluster_task *t)
{
	const struct failure why = t->f;

	if (t->r < 0 && t->status && !t->taken) { /* it refuses: it has another list */
		fail(&t->f, t->r, "the list of members was not taken: %.400s", why.text);
		t->after(t);
		return;
	}
	if (t->r < 0)
		log_line(LOG_LEVEL_WARNING, "cluster: it gets the list when it is back: %s",
			 t->f.text);
	else
		t->taken = true;
	go_round(t);
}

/* The one of the next id. */
static void go_round(struct cluster_task *t)
{
	const struct members *old = &t->seen; /* ours may be the next one by now */
	const struct member *m = NULL;

	for (unsigned i = 0; i < old->count; i++) {
		const struct member *one = &old->member[i];

		if (one->id > t->id && strcmp(one->name, t->gone) != 0 && (!m || one->id < m->id))
			m = one;
	}
	if (!m) {
		t->r = t->taken ? 0 : fail(&t->f, -EHOSTUNREACH, "no member could be reached");
		t->after(t);
		return;
	}
	t->id = m->id;
	if (guid_equal(&m->host, &t->c->host->uuid))
		cluster_in_pool(t, cluster_apply, on_applied);
	else
		cluster_call(t, &m->peer, "PUT", "/v1/cluster/members", members_to_json(&t->next),
			     on_offered);
}

void cluster_change(struct cluster_task *t, cluster_then_fn *then)
{
	t->after = then;
	t->id = 0;
	t->taken = false;
	go_round(t);
}

/* ---- a list comes ---- */

static void on_taken(struct cluster_task *t)
{
	if (t->r == 0)
		adopt_next(t);
	cluster_end(t, NULL);
}

int cluster_take(struct cluster *c, const struct members *m, cluster_done_fn *done, void *ctx,
		 struct failure *f)
{
	struct cluster_task *t;

	if (!c->in || !guid_equal(&m->uuid, &c->members.uuid))
		return fail(f, -EINVAL, "this host is not in the cluster '%s'", m->name);
	if (m->number <= c->members.number)
		return fail(f, -EBUSY,
			    "this host has list %llu of the cluster already: try it again",
			    (unsigned long long)c->members.number);
	t = cluster_begin(c, NULL, f);
	if (!t)
		return -EBUSY;
	t->next = *m;
	t->done = done;
	t->ctx = ctx;
	cluster_in_pool(t, cluster_apply, on_taken);
	return 0;
}

static void on_fetched(void *ctx, const struct far_answer *a)
{
	struct cluster *c = ctx;
	struct members m;
	struct failure f;

	c->far = NULL;
	if (a->code < 0 || a->status != 200 || members_of_json(a->body, &m, &f) < 0)
		return;
	if (c->in && m.number > c->members.number && cluster_take(c, &m, NULL, NULL, &f) < 0)
		log_line(LOG_LEVEL_WARNING, "cluster: %s", f.text);
}

const struct member *cluster_next_member(const struct cluster *c, unsigned id)
{
	const struct member *next = NULL, *first = NULL;

	for (unsigned i = 0; c->in && i < c->members.count; i++) {
		const struct member *one = &c->members.member[i];

		if (guid_equal(&one->host, &c->host->uuid))
			continue;
		if (!first || one->id < first->id)
			first = one;
		if (one->id > id && (!next || one->id < next->id))
			next = one;
	}
	return next ? next : first;
}

/* One member after the other is asked whether it has a newer list. */
static void fetch(struct cluster *c)
{
	const struct member *next = cluster_next_member(c, c->turn);
	struct peer peer;
	struct failure f;
	struct far_wish wish = {.helper = c->host->connector,
				.peer = &peer,
				.method = "GET",
				.target = "/v1/cluster/members"};

	if (!next || c->far)
		return;
	c->turn = next->id;
	peer = next->peer;
	peer.identity = c->host->state;
	(void)far_start(c->host->event, &wish, on_fetched, c, &c->far, &f);
}

static int on_timer(sd_event_source *source, uint64_t us, void *ctx)
{
	struct cluster *c = ctx;

	if (!c->task && c->in) {
		fetch(c);
		capacity_tell(c->host);
	} else if (!c->task) {
		cluster_undo(c);
	}
	sd_event_source_set_time(source, us + FETCH_US);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

/* ---- a new cluster ---- */

int cluster_install(struct cluster_task *t)
{
	const struct host *h = t->c->host;
	int r = engine_stop(h->run, &t->f);

	if (r == 0)
		r = engine_clean(&t->f);
	if (r == 0)
		r = engine_write(&t->next, t->key, &t->f);
	if (r == 0)
		r = engine_start(h->run, &t->f);
	return r < 0 ? r : cluster_run_witness(t->c, &t->next, &t->f);
}

int cluster_look_online(struct cluster_task *t)
{
	static const char *const command[] = {"/usr/sbin/crm_mon", "--one-shot", "--output-as=xml",
					      NULL};
	struct crm_view view = {.online = false};
	char *text;
	int r = engine_tool(command, TOOL_S, &text, &t->f);

	if (r < 0)
		return r;
	r = crm_decode(text, strlen(text), t->self.name, &view, &t->f);
	free(text);
	if (r == 0 && !(view.decides && view.online))
		r = fail(&t->f, -EAGAIN, "the engine has the host '%s' not online", t->self.name);
	return r;
}

static int configure(struct cluster_task *t)
{
	static const struct {
		const char *type, *name, *value;
	} wanted[] = {
		{"crm_config", "stonith-enabled", "true"},
		{"crm_config", "no-quorum-policy", "stop"},
		{"crm_config", "dc-deadtime", "5s"},
		/* By default the engine starts one VM after the other on a cluster of which one
		 * host is busy, and a host whose guests have work is. */
		{"crm_config", "load-threshold", "0%"},
		/* At once on a host: a start waits more than it computes. */
		{"crm_config", "node-action-limit", "64"},
		{"crm_config", "migration-limit", "2"}, /* live moves at once, of a host */
		{"rsc_defaults", "resource-stickiness", "100"},
	};
	static const char *const alert[] = {
		"/usr/sbin/cibadmin",
		"--modify",
		"--allow-create",
		"--xml-text",
		"<cib><configuration><alerts><alert id=\"oya\" path=\"" OYA_ALERT "\"><select>"
		"<select_fencing/><select_nodes/></select></alert></alerts></configuration></cib>",
		NULL};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(wanted); i++) {
		const char *const command[] = {"/usr/sbin/crm_attribute",
					       "--type",
					       wanted[i].type,
					       "--name",
					       wanted[i].name,
					       "--update",
					       wanted[i].value,
					       NULL};

		r = engine_tool(command, TOOL_S, NULL, &t->f);
	}
	if (r == 0)
		r = engine_tool(alert, TOOL_S, NULL, &t->f);
	return r < 0 ? r : cluster_write_list(t->c, &t->next, &t->f);
}

static void on_undone(struct cluster_task *t)
{
	if (t->r == 0)
		t->f = t->why;
	t->r = -EIO;
	cluster_end(t, NULL);
}

static void on_configured(struct cluster_task *t)
{
	if (t->r < 0) {
		t->why = t->f;
		cluster_in_pool(t, cluster_uninstall, on_undone);
		return;
	}
	cluster_adopt(t->c, &t->next);
	cluster_end(t, NULL);
}

static void look_again(struct cluster_task *t);

static void on_looked(struct cluster_task *t)
{
	if (t->r == 0)
		cluster_in_pool(t, configure, on_configured);
	else if (++t->tries < LOOKS_MAX)
		cluster_later(t, LOOK_US, look_again);
	else
		on_configured(t);
}

static void look_again(struct cluster_task *t)
{
	cluster_in_pool(t, cluster_look_online, on_looked);
}

static void on_installed(struct cluster_task *t)
{
	if (t->r < 0)
		on_configured(t);
	else
		look_again(t);
}

static void on_prepared(struct cluster_task *t)
{
	if (t->r < 0)
		cluster_end(t, NULL);
	else
		cluster_in_pool(t, cluster_install, on_installed);
}

static int prepare(struct cluster_task *t)
{
	int r = engine_look(&t->f);

	return r < 0 ? r : engine_make_key(t->key, &t->f);
}

int cluster_create(struct cluster *c, const struct cluster_wish *w, struct job **ret_job,
		   struct failure *f)
{
	struct members m = {.number = 0};
	struct cluster_task *t;
	struct member self;
	int r;

	if (c->in)
		return fail(f, -EEXIST, "this host is in the cluster '%s' already",
			    c->members.name);
	r = cluster_take_self(c, w, NULL, &self, f);
	if (r == 0 && random_uuid(&m.uuid) < 0)
		r = fail(f, -EIO, "cannot make a cluster: there are no random numbers");
	snprintf(m.name, sizeof(m.name), "%s", w->name);
	if (r == 0)
		r = members_add(&m, &self, &m, f);
	if (r < 0)
		return r;
	t = cluster_begin(c, "create-cluster", f);
	if (!t)
		return -EBUSY;
	t->self = self;
	t->next = m;
	*ret_job = t->job;
	cluster_in_pool(t, prepare, on_prepared);
	return 0;
}

/* ---- life ---- */

static int read_list(struct cluster *c, struct failure *f)
{
	struct failure why;
	char path[PATH_MAX], *text;
	size_t len;
	int r;

	snprintf(path, sizeof(path), "%s/" MEMBERS_FILE, c->host->state);
	r = store_read(path, MEMBERS_BYTES_MAX, &text, &len, f);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = members_decode(text, len, &c->members, &why);
	free(text);
	if (r < 0)
		return fail(f, r, "%s: %s", path, why.text);
	c->in = true;
	return 0;
}

static int start_engine(struct cluster_task *t)
{
	int r = engine_start(t->c->host->run, &t->f);

	return r < 0 ? r : cluster_run_witness(t->c, &t->c->members, &t->f);
}

static void on_started(struct cluster_task *t)
{
	cluster_end(t, NULL);
}

int cluster_new(struct host *h, struct gate *gate, struct tls_server *tls, const char *listen,
		struct cluster **ret_cluster, struct failure *f)
{
	struct cluster *c = calloc(1, sizeof(*c));
	struct cluster_task *t;

	if (!c)
		return fail(f, -ENOMEM, "cannot start: out of memory");
	*c = (struct cluster){.host = h, .gate = gate, .tls = tls, .listen = listen};
	list_init(&c->drains);
	if (read_list(c, f) < 0)
		log_line(LOG_LEVEL_ERROR, "this host is in no cluster until it is right: %s",
			 f->text);
	c->fencing = fencing_new(c);
	if (!c->fencing || sd_event_add_time_relative(h->event, &c->timer, CLOCK_MONOTONIC, LOOK_US,
						      0, on_timer, c) < 0) {
		fencing_close(c->fencing);
		fencing_free(c->fencing);
		free(c);
		return fail(f, -ENOMEM, "cannot start: out of memory");
	}
	if (cluster_log_listen(h, &c->alerts, f) < 0)
		log_line(LOG_LEVEL_WARNING, "%s", f->text);
	if (c->in)
		cluster_adopt(c, &c->members);
	t = c->in ? cluster_begin(c, NULL, f) : NULL;
	if (t)
		cluster_in_pool(t, start_engine, on_started);
	*ret_cluster = c;
	return 0;
}

void cluster_close(struct cluster *c)
{
	if (!c)
		return;
	c->timer = sd_event_source_disable_unref(c->timer);
	cluster_log_deafen(c->host, c->alerts);
	c->alerts = NULL;
	far_cancel(c->far);
	c->far = NULL;
	fencing_close(c->fencing);
}

void cluster_free(struct cluster *c)
{
	if (!c)
		return;
	if (c->task)
		task_free(c->task);
	while (!list_empty(&c->drains))
		task_free(CONTAINER_OF(c->drains.next, struct drain, link)->t);
	fencing_free(c->fencing);
	json_decref(c->seen);
	free(c);
}
