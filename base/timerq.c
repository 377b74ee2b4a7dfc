/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/timerq.h"

static struct timer *timer_of(struct list *link)
{
	return CONTAINER_OF(link, struct timer, link);
}

void timerq_init(struct timerq *q)
{
	list_init(&q->sorted);
}

void timerq_arm(struct timerq *q, struct timer *t, uint64_t due_ns)
{
	struct list *at;

	timerq_disarm(t);
	t->due_ns = due_ns;
	at = q->sorted.next;
	while (at != &q->sorted && timer_of(at)->due_ns <= due_ns)
		at = at->next;
	list_insert_before(at, &t->link);
}

void timerq_disarm(struct timer *t)
{
	if (list_linked(&t->link))
		list_remove(&t->link);
}

uint64_t timerq_left(const struct timer *t, uint64_t now_ns)
{
	if (!list_linked(&t->link))
		return TIMERQ_NEVER;
	return t->due_ns > now_ns ? t->due_ns - now_ns : 0;
}

void timerq_arm_left(struct timerq *q, struct timer *t, uint64_t now_ns, uint64_t left_ns)
{
	timerq_disarm(t);
	if (left_ns == TIMERQ_NEVER)
		return;
	/* What would wrap is never due either, and still armed. */
	timerq_arm(q, t, left_ns < TIMERQ_NEVER - 1 - now_ns ? now_ns + left_ns : TIMERQ_NEVER - 1);
}

uint64_t timerq_next(const struct timerq *q)
{
	if (list_empty(&q->sorted))
		return TIMERQ_NEVER;
	return timer_of(q->sorted.next)->due_ns;
}

void timerq_run(struct timerq *q, uint64_t now_ns)
{
	while (timerq_next(q) <= now_ns && !list_empty(&q->sorted)) {
		struct timer *t = timer_of(list_pop(&q->sorted));

		t->fire(t->owner);
	}
}
