/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory of a VM that runs on the other side already: post-copy (docs/design/live.md).
 *
 * What the other side waits for goes over the last connection, on which it asks; everything else
 * over the others at the same time. Each page is sent once, by whoever takes its mark.
 *
 * Trust: the other side may ask for what it likes: a page that there is, and was not sent, is sent.
 * Threads: the server's, of the last connection; one for each other connection, of which the
 * migration's own thread is the first.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/log.h"
#include "lib/move_message.h"
#include "worker/migrate_talk.h"
#include "worker/vm.h"

/* ---- what is waited for ---- */

static int serve(struct talk *t, struct failure *f)
{
	unsigned last = t->lanes - 1;
	struct move_message m;
	int r = 0;

	while (r == 0) {
		r = move_receive(t->m->links.fd[last], &m, f);
		if (r == 0 && m.kind == MOVE_WHOLE)
			break;
		if (r == 0 && m.kind != MOVE_WANT)
			r = fail(f, -EBADMSG, "the other host says what nobody has asked it for");
		if (r == 0)
			r = dirty_push_near(&t->m->dirty, &t->sink[last], m.value, f);
	}
	return r;
}

static void *server_thread(void *arg)
{
	struct talk *t = arg;

	t->why_not = serve(t, &t->server_failure);
	/* The other side cannot do without. Before it runs, the first connection tells why. */
	if (t->why_not < 0 && SHOWN(t->m, phase) == MIGRATE_LATE)
		descriptors_shut(&t->m->links, SHUT_RDWR);
	else if (t->why_not < 0)
		shutdown(t->m->links.fd[t->lanes - 1], SHUT_RDWR);
	return NULL;
}

int late_serve(struct talk *t)
{
	unsigned last = t->lanes - 1;
	int r;

	/* The limit is for the rest; these count for it. */
	t->sink[last].pace = talk_count;
	r = -pthread_create(&t->server, NULL, server_thread, t);
	if (r < 0)
		return fail(t->f, r, "the VM '%s' was not migrated: no thread for it: %s",
			    t->vm->config->name, strerror(-r));
	t->serves = true;
	return 0;
}

void late_cease(struct talk *t)
{
	if (!t->serves)
		return;
	shutdown(t->m->links.fd[t->lanes - 1], SHUT_RDWR);
	pthread_join(t->server, NULL);
}

/* ---- the rest ---- */

struct pusher {
	struct talk *t;
	unsigned number;
	pthread_t thread;
	int result;
	struct failure f;
};

static void *push_thread(void *arg)
{
	struct pusher *p = arg;
	struct talk *t = p->t;
	int r = p->number ? 0 : talk_open_lane(t, 0, &p->f);

	if (r == 0)
		r = dirty_push(&t->m->dirty, &t->sink[p->number], &p->f);
	if (r == 0)
		r = state_write_end(&t->writer[p->number], &p->f);
	p->result = r;
	/* The other side cannot do without; what it has said is read still. */
	if (r < 0)
		descriptors_shut(&t->m->links, SHUT_WR);
	return NULL;
}

/* Over all connections but the last. 0, or -errno and why. */
static int push_all(struct talk *t, struct failure *f)
{
	struct pusher p[STATE_LANES_MAX];
	unsigned began = 1;
	int r = 0;

	for (unsigned i = 0; i < STATE_LANES_MAX; i++)
		p[i] = (struct pusher){.t = t, .number = i};
	while (began < t->lanes - 1 &&
	       pthread_create(&p[began].thread, NULL, push_thread, &p[began]) == 0)
		began++;
	push_thread(&p[0]);
	for (unsigned i = 1; i < began; i++)
		pthread_join(p[i].thread, NULL);
	for (unsigned i = 0; i < began; i++) {
		if (r == 0 && p[i].result < 0) {
			r = p[i].result;
			*f = p[i].f;
		}
	}
	/* For whom there was no thread: nothing is left for these. */
	for (unsigned i = began; r == 0 && i < t->lanes - 1; i++)
		r = state_write_end(&t->writer[i], f);
	return r;
}

void late_push(struct talk *t)
{
	struct migration *m = t->m;
	struct failure why = {""};
	int r;

	pthread_mutex_lock(&m->lock);
	SHOW(m, phase, MIGRATE_LATE);
	pthread_mutex_unlock(&m->lock);
	talk_pace_anew(t);
	r = push_all(t, &why);
	pthread_join(t->server, NULL);
	SHOW(m, pages_left,
	     t->why_not == 0 ? 0 : __atomic_load_n(&m->dirty.left, __ATOMIC_RELAXED));
	t->f->text[0] = '\0';
	if (t->why_not == 0)
		return;
	fail(t->f, t->why_not,
	     "the VM '%s' runs on the other host no more: %llu pages of its memory could not be "
	     "sent there after it: %s; start it there, as after a cut of the power",
	     t->vm->config->name, (unsigned long long)SHOWN(m, pages_left),
	     r < 0 ? why.text : t->server_failure.text);
	log_line(LOG_LEVEL_ERROR, "%s", t->f->text);
}
