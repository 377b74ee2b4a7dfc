/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM that went with its disks, and the answer to the word by which it was given away was lost:
 * each host has a lease of its own, so only the other one knows whether it runs there. Until that
 * has told, the VM does not run here: neither its worker, which stands still, nor another one.
 *
 * The other host is asked by what undoes a VM that comes: "204, it is undone" and "410, it runs
 * here" are each for good, whenever they come and however often; all else tells nothing.
 *
 * Threads: the loop's; files are the pool's, in the VM's lane.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "host/host.h"
#include "host/migrate_priv.h"
#include "lib/log.h"

#define ASK_EACH 4u /* of the times that one looks */

static void reclaim(struct pool_work *w)
{
	struct migration *m = CONTAINER_OF(w, struct migration, work);

	m->r = vm_lease_reclaim(m->vm->folder, &m->vm->settings->uuid, &m->host->uuid, &m->f);
}

static void on_reclaimed(struct pool_work *w)
{
	struct migration *m = CONTAINER_OF(w, struct migration, work);

	if (m->r < 0) {
		log_line_of(LOG_LEVEL_ERROR, m->vm->log_fields, "%s", m->f.text);
		m->step = MIGRATE_DOUBT;
		migrate_look_later(m);
		return;
	}
	m->vm->problem[0] = '\0';
	m->offered = true;
	migrate_give_up(m, "it did not come there");
}

static void hear(struct migration *m, bool there)
{
	struct vm *vm = m->vm;

	if (m->step == MIGRATE_DOUBT && vm->life != VM_OFF)
		return; /* its user has decided */
	log_line_of(LOG_LEVEL_INFO, vm->log_fields, "the VM '%s' %s %s, that host says", vm->name,
		    there ? "runs on" : "has not come to", m->move.host);
	if (m->step == MIGRATE_DOUBT && there) {
		migrate_gone(vm, NULL);
	} else if (m->step == MIGRATE_DOUBT) {
		m->step = MIGRATE_JUDGES;
		m->look = sd_event_source_disable_unref(m->look);
		migrate_in_pool(m, reclaim, on_reclaimed);
	} else if (vm->worker) {
		(void)link_request(vm->worker,
				   json_pack("{s:s, s:b}", "verb", "migrate-hear", "there", there),
				   -1, NULL, NULL);
	}
}

static void on_answer(void *ctx, const struct far_answer *a)
{
	struct migration *m = ctx;

	m->far = NULL;
	if (a->code == 0 && (a->status == 204 || a->status == 410)) {
		hear(m, a->status == 410);
		return;
	}
	log_line_of(LOG_LEVEL_WARNING, m->vm->log_fields,
		    "whether the VM '%s' runs on %s is not known: %s", m->vm->name, m->move.host,
		    a->f->text);
	if (m->job && m->asks <= ASK_EACH)
		job_log(m->host, m->job,
			"the other host does not tell whether the VM runs there: it stands still "
			"until it does");
}

static bool may_ask(const struct migration *m)
{
	return m->peer.token[0] || m->peer.identity;
}

void migrate_ask(struct migration *m)
{
	char target[MIGRATE_TARGET_MAX];
	bool due = m->asks++ % ASK_EACH == 0;

	if (m->job)
		m->job->cancel = NULL;
	if (m->step == MIGRATE_DOUBT && may_ask(m))
		migrate_look_later(m);
	if (!due || m->far || !may_ask(m))
		return;
	migrate_undo_target(m, false, target);
	migrate_call(m, "DELETE", target, NULL, NULL, on_answer);
	if (m->r < 0)
		log_line_of(LOG_LEVEL_WARNING, m->vm->log_fields, "%s", m->f.text);
}

int migrate_ask_again(struct vm *vm, const struct migrate_wish *w, struct job **ret_job,
		      struct failure *f)
{
	struct migration *m = vm->migration;
	bool doubt = (m->step == MIGRATE_DOUBT && vm->life == VM_OFF) ||
		     (m->step == MIGRATE_MOVES && m->asks);

	if (!doubt || !m->move.storage || !w->storage || strcmp(w->peer.name, m->move.host) != 0)
		return 1;
	if (!m->job)
		m->job = job_new(m->host, "migrate", vm->name);
	if (!m->job)
		return fail(f, -ENOMEM, "cannot ask %s: out of memory, or too many jobs",
			    w->peer.name);
	far_cancel(m->far);
	m->far = NULL;
	m->peer = w->peer;
	m->asks = 0;
	migrate_ask(m);
	*ret_job = m->job;
	return 0;
}
