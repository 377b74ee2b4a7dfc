/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/ending.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/util.h"
#include "host/jobs.h"
#include "host/save.h"
#include "host/vm.h"
#include "lib/log.h"
#include "lib/loop.h"

#define US_PER_S UINT64_C(1000000)
#define TICK_US US_PER_S
#define WORKER_US (60 * US_PER_S) /* for a worker, once it was told to end */

struct ending {
	struct host *host;
	struct job *job;  /* NULL: told already, or of one VM */
	vm_done_fn *done; /* of one VM; or NULL */
	void *ctx;
	const char *reason; /* that guests are told */
	sd_event_source *timer;
	struct list parts;
	unsigned all, open; /* VMs; those that are waited for */
	unsigned held;      /* parts that are still known elsewhere */
	char problem[FAIL_TEXT_MAX];
};

/* One VM. Held by the wait for its end, and by a request that is under way. */
struct part {
	struct list link;
	struct ending *ending;
	struct vm *vm; /* NULL: it is off, or given up */
	uint64_t due_us;
	unsigned holds;
	bool asking, agreed; /* its guest, to shut down */
	bool saves;          /* it is being saved, or that has failed */
};

static uint64_t now_us(void)
{
	return loop_now_ns() / 1000;
}

/* ---- its own end ---- */

static void put_ending(struct ending *e)
{
	if (--e->held)
		return;
	sd_event_source_disable_unref(e->timer);
	free(e);
}

static void put_part(struct part *p)
{
	if (--p->holds)
		return;
	list_remove(&p->link);
	put_ending(p->ending);
	free(p);
}

static void finish(struct ending *e)
{
	e->timer = sd_event_source_disable_unref(e->timer);
	if (e->done) {
		e->done(e->ctx, e->problem[0] ? e->problem : NULL);
		return;
	}
	e->host->ending = NULL;
	if (!e->problem[0])
		log_line(LOG_LEVEL_INFO, "all VMs are off");
	job_end(e->host, e->job, e->problem[0] ? e->problem : NULL);
	e->job = NULL;
}

/* The VM needs no more of us. */
static void close_part(struct part *p)
{
	struct ending *e = p->ending;

	if (!p->vm)
		return;
	p->vm = NULL;
	e->open--;
	if (e->job)
		job_progress(e->host, e->job, 100 * (e->all - e->open) / e->all);
	if (!e->open)
		finish(e);
}

static void on_off(void *ctx, const char *sentence)
{
	struct part *p = ctx;

	/* It is off; or no longer here, which for the host's end is as good. */
	if (sentence && p->ending->done)
		snprintf(p->ending->problem, sizeof(p->ending->problem), "%s", sentence);
	close_part(p);
	put_part(p);
}

/* ---- steps ---- */

static void on_answer(void *ctx, json_t *result, const char *sentence)
{
	struct part *p = ctx;

	(void)result;
	p->asking = false;
	p->agreed = !sentence;
	put_part(p);
}

/* What a paused one has not written yet is lost unless it goes on. A guest that has no shutdown
 * service may have one later: it may be starting. */
static void ask(struct part *p)
{
	struct vm *vm = p->vm;
	struct failure f;

	if (vm->settings->stop == STOP_SAVE && !p->saves) {
		struct job *job;

		p->saves = true;
		if (save_start(vm, &job, &f) == 0)
			return;
		log_line_of(LOG_LEVEL_WARNING, vm->log_fields, "%s", f.text);
	}
	if (vm->saving)
		return; /* when that fails, its guest is asked after all */
	if (vm->life == VM_PAUSED) {
		(void)vm_ask(vm, "resume", json_pack("{s:s}", "verb", "resume"), -1, NULL, NULL,
			     &f);
		return;
	}
	if (p->asking || p->agreed)
		return;
	p->holds++;
	p->asking = true;
	if (vm_shutdown(vm, false, p->ending->reason, on_answer, p, &f) == 0)
		return;
	p->asking = false;
	p->holds--;
}

static void switch_off(struct part *p)
{
	struct failure f;

	/* One that waits for its start has no guest yet. */
	if (p->vm->settings->stop != STOP_OFF && p->vm->life != VM_WAITING &&
	    p->vm->life != VM_INCOMING)
		log_line_of(
			LOG_LEVEL_WARNING, p->vm->log_fields,
			"the guest of the VM '%s' has not shut down within %u s (stop.timeout): "
			"it is switched off",
			p->vm->name, p->vm->settings->stop_timeout_s);
	(void)vm_off(p->vm, &f);
}

static void give_up(struct part *p)
{
	struct ending *e = p->ending;

	snprintf(e->problem, sizeof(e->problem),
		 "the worker of the VM '%s' does not end, though it was killed", p->vm->name);
	log_line(LOG_LEVEL_ERROR, "%s", e->problem);
	close_part(p);
}

static void step(struct part *p, uint64_t now)
{
	if (!p->vm)
		return;
	if (now >= p->due_us + WORKER_US)
		give_up(p);
	else if (p->vm->life == VM_STOPPING || (p->vm->life == VM_SAVING && now < p->due_us))
		return; /* it has been told, and is killed when it does not obey */
	else if (now >= p->due_us || p->vm->life == VM_WAITING || p->vm->life == VM_INCOMING)
		switch_off(p);
	else if (p->vm->life == VM_RUNNING || p->vm->life == VM_PAUSED)
		ask(p);
}

/* A step may end its part, and with the last one the whole. */
static void step_all(struct ending *e)
{
	uint64_t now = now_us();

	e->held++;
	for (struct list *at = e->parts.next, *next; at != &e->parts; at = next) {
		next = at->next;
		step(CONTAINER_OF(at, struct part, link), now);
	}
	put_ending(e);
}

static int on_tick(sd_event_source *source, uint64_t us, void *ctx)
{
	(void)us;
	(void)sd_event_source_set_time_relative(source, TICK_US);
	(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	step_all(ctx);
	return 0;
}

/* ---- its start ---- */

static int add_part(struct ending *e, struct vm *vm)
{
	const struct settings *s = vm->settings;
	struct part *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct part){.ending = e, .vm = vm, .holds = 1, .due_us = now_us()};
	if (s->stop != STOP_OFF)
		p->due_us += s->stop_timeout_s * US_PER_S;
	list_append(&e->parts, &p->link);
	e->held++;
	e->all++;
	e->open++;
	if (vm->life != VM_INCOMING && !e->done)
		vm_host_ends(vm);
	if (vm_wait(vm, VM_OFF, on_off, p) == 0)
		return 0;
	close_part(p);
	put_part(p);
	return -ENOMEM;
}

static int add_parts(struct ending *e)
{
	struct host *h = e->host;
	int r = 0;

	for (struct list *at = h->vms.next; at != &h->vms; at = at->next) {
		struct vm *vm = CONTAINER_OF(at, struct vm, link);

		if (vm->life != VM_OFF && vm->life != VM_SAVED && add_part(e, vm) < 0)
			r = -ENOMEM;
	}
	return r;
}

/* Nothing ends before all have begun. NULL: no memory. */
static struct ending *ending_new(struct host *h)
{
	struct ending *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->host = h;
	e->held = e->open = 1;
	list_init(&e->parts);
	return e;
}

/* All that is to be stopped is known. */
static void run(struct ending *e)
{
	if (sd_event_add_time_relative(e->host->event, &e->timer, CLOCK_MONOTONIC, TICK_US, 0,
				       on_tick, e) < 0)
		snprintf(e->problem, sizeof(e->problem), "memory was short: not all were stopped");
	step_all(e);
	if (!--e->open)
		finish(e);
	put_ending(e);
}

int ending_start(struct host *h, struct job **ret_job, struct failure *f)
{
	struct ending *e = h->ending;

	if (e) {
		*ret_job = e->job;
		return 0;
	}
	e = ending_new(h);
	if (e)
		e->job = job_new(h, "stop-vms", "");
	if (!e || !e->job) {
		free(e);
		return fail(f, -ENOMEM, "cannot stop the VMs of this host: out of memory");
	}
	*ret_job = e->job;
	e->reason = "the host is going down";
	h->ending = e;
	if (add_parts(e) < 0)
		snprintf(e->problem, sizeof(e->problem), "memory was short: not all were stopped");
	log_line(LOG_LEVEL_INFO, "%u VMs are stopped, since the host ends", e->all);
	run(e);
	return 0;
}

int ending_start_one(struct vm *vm, vm_done_fn *done, void *ctx, struct failure *f)
{
	struct ending *e = ending_new(vm->host);

	if (!e)
		return fail(f, -ENOMEM, "cannot stop the VM '%s': out of memory", vm->name);
	e->done = done;
	e->ctx = ctx;
	e->reason = "the cluster stops this virtual machine here";
	if (add_part(e, vm) < 0)
		snprintf(e->problem, sizeof(e->problem), "out of memory");
	run(e);
	return 0;
}
