/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cluster/witness/cycle.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void *run(void *owner)
{
	struct cycle *c = owner;

	for (;;) {
		while (sem_wait(&c->wanted) < 0)
			;
		if (c->stop)
			return NULL;
		c->error = region_write(c->region, &c->record, &c->failure);
		if (c->error == 0)
			c->error = region_read(c->region, c->seen, &c->failure);
		(void)eventfd_write(c->done_fd, 1);
	}
}

int cycle_init(struct cycle *c, struct region *region)
{
	int r;

	*c = (struct cycle){.region = region, .done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	if (c->done_fd < 0) {
		c->region = NULL;
		return -errno;
	}
	sem_init(&c->wanted, 0, 0);
	r = -pthread_create(&c->thread, NULL, run, c);
	if (r < 0) {
		close(c->done_fd);
		c->region = NULL;
	}
	return r;
}

void cycle_start(struct cycle *c, const struct witness_record *record)
{
	c->record = *record;
	c->running = true;
	sem_post(&c->wanted);
}

int cycle_end(struct cycle *c)
{
	eventfd_t count;

	(void)eventfd_read(c->done_fd, &count);
	c->running = false;
	return c->error;
}

bool cycle_wait(struct cycle *c, unsigned wait_ms)
{
	struct pollfd p = {.fd = c->done_fd, .events = POLLIN};

	if (c->running && poll(&p, 1, (int)wait_ms) != 1)
		return false;
	if (c->running)
		(void)cycle_end(c);
	return true;
}

bool cycle_done(struct cycle *c)
{
	if (!c->region)
		return true;
	if (c->running)
		return false;
	c->stop = true;
	sem_post(&c->wanted);
	pthread_join(c->thread, NULL);
	sem_destroy(&c->wanted);
	close(c->done_fd);
	return true;
}
