/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Switches made, tried and removed; and their DHCP services, which are started again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "host/network_priv.h"
#include "host/vm.h"
#include "lib/log.h"

#define TRIAL_STEP_US 300000u

int network_no_memory(struct failure *f)
{
	return fail(f, -ENOMEM, "cannot change the switches: out of memory");
}

static void tell(struct network_work *w)
{
	w->done(w->ctx, w->r, &w->f);
}

static void publish(struct network *n, const char *name)
{
	json_t *data = network_show(n, name);

	if (data)
		host_publish(n->host, "switch", data);
	else
		host_publish(n->host, "switch-removed", json_pack("{s:s}", "name", name));
}

/* ---- in the lane ---- */

struct wanted *network_find_wanted(struct network *n, const char *name)
{
	for (size_t i = 0; i < n->wanted_count; i++) {
		if (strcmp(n->wanted[i].config.name, name) == 0)
			return &n->wanted[i];
	}
	return NULL;
}

static void drop_wanted(struct network *n, struct wanted *one)
{
	*one = n->wanted[--n->wanted_count];
	n->changed = true;
}

/* In the kernel first: what is in the file is made at each start. */
int network_make(struct network *n, const struct switch_config *config, struct failure *f)
{
	bool kept = config->kind != SWITCH_EXTERNAL;
	struct failure ignored;
	int r = switches_add(n->switches, config, f);

	if (r < 0)
		return r;
	n->wanted[n->wanted_count++] = (struct wanted){*config, kept};
	n->changed = true;
	r = kept ? network_write_file(n, f) : 0;
	if (r < 0) {
		(void)switches_remove(n->switches, config->name, &ignored);
		drop_wanted(n, network_find_wanted(n, config->name));
	}
	return r;
}

static int act_add(struct network_work *w)
{
	return network_make(w->network, &w->config, &w->f);
}

/* Out of the file first: what a crash leaves of it in the kernel goes with the next start. */
static int act_remove(struct network_work *w)
{
	struct network *n = w->network;
	struct wanted *one = network_find_wanted(n, w->config.name);
	bool kept;
	int r;

	if (!one)
		return fail(&w->f, -ENOENT, "there is no switch '%s'", w->config.name);
	kept = one->kept;
	one->kept = false;
	r = kept ? network_write_file(n, &w->f) : 0;
	if (r == 0)
		r = switches_remove(n->switches, one->config.name, &w->f);
	if (r == 0) {
		drop_wanted(n, one);
		return 0;
	}
	one->kept = kept;
	if (kept) {
		struct failure ignored;

		(void)network_write_file(n, &ignored);
	}
	return r;
}

static int act_keep(struct network_work *w)
{
	struct network *n = w->network;
	struct wanted *one = network_find_wanted(n, w->config.name);
	unsigned leases = 0;
	int r = switches_keep(n->switches, w->config.name, &leases, &w->f);

	if (r < 0)
		return r;
	one->kept = true;
	n->changed = true;
	r = network_write_file(n, &w->f);
	one->kept = r == 0;
	if (leases)
		log_line(LOG_LEVEL_INFO,
			 "the switch '%s' keeps %u addresses of a lease for good: the service that "
			 "renewed them knows the NIC alone",
			 w->config.name, leases);
	return r;
}

static int act_probe(struct network_work *w)
{
	int r = switches_probe(w->network->switches, w->config.name, &w->f);

	w->answers = r == 1;
	return r < 0 ? r : 0;
}

static int act_restart_dhcp(struct network_work *w)
{
	struct network *n = w->network;

	n->changed = true;
	return switches_dhcp_ended(n->switches, w->config.name, network_now_ms(), &w->wait_ms,
				   &w->f);
}

/* ---- on the loop ---- */

static struct network_work *work_on(const struct shown *s, int (*act)(struct network_work *w),
				    void (*then)(struct network_work *w))
{
	struct network_work *w = network_work_new(s->network, act, then);

	if (w)
		w->config = s->config;
	return w;
}

static int set_timer(struct shown *s, uint64_t us,
		     int (*due)(sd_event_source *source, uint64_t us, void *ctx))
{
	s->timer = sd_event_source_disable_unref(s->timer);
	return sd_event_add_time_relative(s->network->host->event, &s->timer, CLOCK_MONOTONIC, us,
					  0, due, s);
}

/* Taken back; it failed for a reason that is told, whatever came of this. */
static void then_taken_back(struct network_work *w)
{
	if (w->r < 0)
		log_line(LOG_LEVEL_ERROR, "%s", w->f.text);
	publish(w->network, w->config.name);
	w->done(w->ctx, w->code, &w->reason);
}

static void take_back(struct shown *s, int code, const struct failure *reason)
{
	struct network_work *w = work_on(s, act_remove, then_taken_back);

	if (!w) {
		s->tried(s->tried_ctx, code, reason);
		return;
	}
	w->code = code;
	w->reason = *reason;
	w->done = s->tried;
	w->ctx = s->tried_ctx;
	network_submit(w);
}

static void take_back_late(struct shown *s)
{
	struct failure f;

	fail(&f, -ETIMEDOUT,
	     "the network did not answer by the switch '%s' in time%s: it has been taken back, and "
	     "the NIC '%s' is as it was",
	     s->config.name, s->trial.confirm ? ", or nobody confirmed it" : "", s->config.nic);
	take_back(s, -ETIMEDOUT, &f);
}

static void then_kept(struct network_work *w)
{
	struct shown *s = network_find(w->network, w->config.name);

	if (w->r < 0 && s) {
		take_back(s, w->r, &w->f);
		return;
	}
	publish(w->network, w->config.name);
	tell(w);
}

static void keep(struct shown *s)
{
	struct network_work *w = work_on(s, act_keep, then_kept);
	struct failure f;

	if (!w) {
		take_back(s, network_no_memory(&f), &f);
		return;
	}
	w->done = s->tried;
	w->ctx = s->tried_ctx;
	network_submit(w);
}

static int on_step(sd_event_source *source, uint64_t us, void *ctx);

static void then_probed(struct network_work *w)
{
	struct shown *s = network_find(w->network, w->config.name);

	if (!s)
		return;
	if (w->r < 0)
		log_line(LOG_LEVEL_WARNING, "%s", w->f.text);
	switch (switch_trial_step(&s->trial, network_now_ms(), w->answers, s->confirmed)) {
	case TRIAL_KEPT:
		keep(s);
		break;
	case TRIAL_FAILED:
		take_back_late(s);
		break;
	case TRIAL_WAITING:
		if (set_timer(s, TRIAL_STEP_US, on_step) < 0)
			take_back_late(s);
		break;
	}
}

static int on_step(sd_event_source *source, uint64_t us, void *ctx)
{
	struct shown *s = ctx;
	struct network_work *w = work_on(s, act_probe, then_probed);

	(void)source;
	(void)us;
	if (w)
		network_submit(w);
	else
		take_back_late(s);
	return 0;
}

static void then_added(struct network_work *w)
{
	struct shown *s = network_find(w->network, w->config.name);

	if (w->r < 0 || !s) {
		if (w->r == 0)
			w->r = network_no_memory(&w->f);
		tell(w);
		return;
	}
	publish(w->network, w->config.name);
	if (s->kept) {
		tell(w);
		return;
	}
	switch_trial_begin(&s->trial, network_now_ms(), w->wish.wait_s * UINT64_C(1000),
			   w->wish.confirm);
	s->tried = w->done;
	s->tried_ctx = w->ctx;
	(void)on_step(NULL, 0, s);
}

int network_add(struct network *n, const struct switch_config *config,
		const struct network_trial_wish *wish, network_done_fn *done, void *ctx,
		struct failure *f)
{
	struct network_work *w;

	if (network_find(n, config->name))
		return fail(f, -EEXIST, "there is a switch '%s' already", config->name);
	w = network_work_new(n, act_add, then_added);
	if (!w)
		return network_no_memory(f);
	w->config = *config;
	w->wish = *wish;
	w->done = done;
	w->ctx = ctx;
	network_submit(w);
	return 0;
}

int network_confirm(struct network *n, const char *name, struct failure *f)
{
	struct shown *s = network_find(n, name);

	if (!s)
		return fail(f, -ENOENT, "there is no switch '%s'", name);
	if (s->kept)
		return fail(f, -EBUSY, "the switch '%s' is kept already", name);
	s->confirmed = true;
	return 0;
}

static void then_removed(struct network_work *w)
{
	if (w->r == 0)
		publish(w->network, w->config.name);
	tell(w);
}

int network_remove(struct network *n, const char *name, network_done_fn *done, void *ctx,
		   struct failure *f)
{
	const struct shown *s = network_find(n, name);
	const struct host *h = n->host;
	struct network_work *w;

	if (!s)
		return fail(f, -ENOENT, "there is no switch '%s'", name);
	if (!s->kept)
		return fail(f, -EBUSY, "cannot remove the switch '%s': it is on trial", name);
	for (struct list *at = h->vms.next; at != &h->vms; at = at->next) {
		const struct vm *vm = CONTAINER_OF(at, struct vm, link);

		if (settings_use_switch(vm->settings, name))
			return fail(f, -EBUSY,
				    "cannot remove the switch '%s': the VM '%s' has a NIC on it; "
				    "change its 'nics' first",
				    name, vm->name);
	}
	w = work_on(s, act_remove, then_removed);
	if (!w)
		return network_no_memory(f);
	w->done = done;
	w->ctx = ctx;
	network_submit(w);
	return 0;
}

/* ---- DHCP services ---- */

static int on_dhcp_due(sd_event_source *source, uint64_t us, void *ctx)
{
	(void)source;
	(void)us;
	network_restart_dhcp(ctx);
	return 0;
}

static void then_dhcp_restarted(struct network_work *w)
{
	struct shown *s = network_find(w->network, w->config.name);

	if (w->r < 0 && s) /* else it was removed meanwhile */
		log_line(LOG_LEVEL_ERROR, "%s", w->f.text);
	if (s && w->wait_ms && set_timer(s, w->wait_ms * 1000, on_dhcp_due) < 0)
		log_line(LOG_LEVEL_ERROR, "the DHCP service of '%s' is not started again",
			 s->config.name);
}

void network_restart_dhcp(struct shown *s)
{
	struct network_work *w = work_on(s, act_restart_dhcp, then_dhcp_restarted);

	if (w)
		network_submit(w);
	else
		log_line(LOG_LEVEL_ERROR, "the DHCP service of '%s' is not started again",
			 s->config.name);
}
