/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks that hang: requests are under way and none of them ends. The VM is paused then, since its
 * guest would take the silence for a fault of its own, and goes on when the disk does.
 *
 * A timer looks while something is under way, and only then; no request pays for it.
 */
#include <stdio.h>

#include "worker/storage.h"

#define LOOKS 4u /* within the time that a disk has */
#define SENTENCE_MAX 256u

typedef bool (*place_test)(struct storage *s, struct storage_place *p);

/* Whether the test holds for some image; it is made for all of them. */
static bool any(struct storage *s, place_test test)
{
	bool some = false;

	for (unsigned n = 0; n < STORAGE_CONTROLLERS_MAX; n++) {
		for (unsigned lun = 0; s->controller[n] && lun < CONFIG_LUNS_MAX; lun++) {
			struct storage_place *p = &s->controller[n]->place[lun];

			if (p->used && p->image)
				some |= test(s, p);
		}
	}
	return some;
}

static bool has_answered(const struct storage_place *p)
{
	return !raw_inflight(p->image) || raw_completed(p->image) != p->watch.completed;
}

static bool begins_to_hang(struct storage *s, struct storage_place *p)
{
	char sentence[SENTENCE_MAX];

	if (has_answered(p)) {
		p->watch = (struct storage_watch){.completed = raw_completed(p->image)};
		return false;
	}
	if (!p->config.pause || p->watch.hangs || ++p->watch.silent <= LOOKS)
		return false;
	p->watch.hangs = true;
	snprintf(sentence, sizeof(sentence), "the disk %.160s has not answered for %u s",
		 storage_name(&p->config), s->config->disk_timeout_s);
	if (s->failed)
		s->failed(s->ctx, sentence, true);
	return true;
}

static bool still_hangs(struct storage *s, struct storage_place *p)
{
	(void)s;
	p->watch.hangs = p->watch.hangs && !has_answered(p);
	return p->watch.hangs;
}

static bool forget(struct storage *s, struct storage_place *p)
{
	(void)s;
	p->watch = (struct storage_watch){.completed = raw_completed(p->image)};
	return false;
}

static void look(void *owner)
{
	struct storage *s = owner;

	s->watched = false;
	s->hanging |= any(s, begins_to_hang);
}

void storage_watch(struct storage *s)
{
	if (s->hanging && !any(s, still_hangs)) {
		s->hanging = false;
		if (s->answered)
			s->answered(s->ctx);
	}
	if (s->watched || !s->config->disk_timeout_s || storage_idle(s))
		return;
	s->watched = true;
	s->look.fire = look;
	s->look.owner = s;
	timerq_arm(loop_timers(s->loop), &s->look,
		   loop_now_ns() + s->config->disk_timeout_s * UINT64_C(1000000000) / LOOKS);
}

void storage_watch_anew(struct storage *s)
{
	s->hanging = false;
	any(s, forget);
}
