/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/kicks.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "abi/machine.h"
#include "base/util.h"

struct kick {
	struct list link;
	struct kicks *all;
	uint32_t connection_id;
	int fd;
	struct loop_source source;
};

void kicks_init(struct kicks *k, struct loop *loop,
		void (*kicked)(void *ctx, uint32_t connection_id), void *ctx)
{
	k->loop = loop;
	k->kicked = kicked;
	k->ctx = ctx;
	list_init(&k->all);
}

static void on_event(void *owner, uint32_t events)
{
	struct kick *kick = owner;

	(void)events;
	kick->all->kicked(kick->all->ctx, kick->connection_id);
}

static void kick_free(struct kick *kick)
{
	loop_remove(&kick->source);
	if (kick->fd >= 0)
		close(kick->fd);
	free(kick);
}

int kicks_bind(struct kicks *k, struct partition *p, uint32_t connection_id)
{
	struct kick *kick = calloc(1, sizeof(*kick));
	int r = 0;

	if (!kick)
		return -ENOMEM;
	kick->all = k;
	kick->connection_id = connection_id;
	kick->source.fd = -1;
	kick->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (kick->fd < 0)
		r = -errno;
	if (r == 0)
		r = loop_add(k->loop, &kick->source, kick->fd, EPOLLIN | EPOLLET, on_event, kick);
	if (r == 0)
		r = partition_bind(p, MACHINE_HYPERCALL_KICK_PORT, connection_id, kick->fd);
	if (r < 0) {
		kick_free(kick);
		return r;
	}
	list_append(&k->all, &kick->link);
	return 0;
}

void kicks_unbind(struct kicks *k, struct partition *p, uint32_t connection_id)
{
	for (struct list *at = k->all.next; at != &k->all; at = at->next) {
		struct kick *kick = CONTAINER_OF(at, struct kick, link);

		if (kick->connection_id != connection_id)
			continue;
		partition_unbind(p, MACHINE_HYPERCALL_KICK_PORT, connection_id, kick->fd);
		list_remove(&kick->link);
		kick_free(kick);
		return;
	}
}
