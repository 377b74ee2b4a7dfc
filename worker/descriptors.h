/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that came together with a request of the control socket. Who has them closes them.
 */
#ifndef OYA_WORKER_DESCRIPTORS_H
#define OYA_WORKER_DESCRIPTORS_H

#include <sys/socket.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 8u

struct descriptors {
	unsigned count;
	int fd[DESCRIPTORS_MAX];
};

static inline void descriptors_close(struct descriptors *d)
{
	while (d->count)
		close(d->fd[--d->count]);
}

/* Of sockets: as shutdown(). */
static inline void descriptors_shut(const struct descriptors *d, int how)
{
	for (unsigned i = 0; i < d->count; i++)
		shutdown(d->fd[i], how);
}

/* All of them; none are left. */
static inline struct descriptors descriptors_take(struct descriptors *d)
{
	struct descriptors all = *d;

	d->count = 0;
	return all;
}

#endif
