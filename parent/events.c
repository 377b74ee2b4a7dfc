// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/hash.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/version.h>

#include "parent/vm.h"

#define KNOWN_FLAGS \
	(KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_DEASSIGN)

struct event {
	struct hlist_node link;
	bool is_port, any_value;
	u32 bytes; /* 0: any */
	u64 address, value;
	struct eventfd_ctx *fd;
};

static u64 key(u64 address, u64 value)
{
	return hash_64(address, 64) ^ value;
}

static bool is_same(const struct event *e, const struct event *other)
{
	return e->is_port == other->is_port && e->any_value == other->any_value &&
	       e->bytes == other->bytes && e->address == other->address && e->value == other->value;
}

static struct event *find(struct oya_vm *vm, const struct event *wanted)
{
	struct event *e;

	hash_for_each_possible_rcu(vm->events, e, link, key(wanted->address, wanted->value),
				   lockdep_is_held(&vm->lock))
	{
		if (is_same(e, wanted))
			return e;
	}
	return NULL;
}

static int add(struct oya_vm *vm, const struct event *wanted)
{
	struct event *e;

	if (find(vm, wanted))
		return -EEXIST;
	e = kmemdup(wanted, sizeof(*e), GFP_KERNEL_ACCOUNT);
	if (!e)
		return -ENOMEM;
	hash_add_rcu(vm->events, &e->link, key(e->address, e->value));
	return 0;
}

static void drop(struct event *e)
{
	eventfd_ctx_put(e->fd);
	kfree(e);
}

static int remove(struct oya_vm *vm, const struct event *wanted)
{
	struct event *e = find(vm, wanted);

	if (!e || e->fd != wanted->fd)
		return -ENOENT;
	hash_del_rcu(&e->link);
	synchronize_rcu();
	drop(e);
	return 0;
}

int oya_event_set(struct oya_vm *vm, const struct kvm_ioeventfd *wanted)
{
	bool match = wanted->flags & KVM_IOEVENTFD_FLAG_DATAMATCH;
	bool removes = wanted->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	struct event e = {
		.is_port = wanted->flags & KVM_IOEVENTFD_FLAG_PIO,
		.any_value = !match,
		.bytes = wanted->len,
		.address = wanted->addr,
		.value = match ? wanted->datamatch : 0,
	};
	int r;

	if (wanted->flags & ~KNOWN_FLAGS || e.bytes > 8 || (e.bytes & (e.bytes - 1)) ||
	    (match && !e.bytes) || wanted->addr + wanted->len < wanted->addr)
		return -EINVAL;
	e.fd = eventfd_ctx_fdget(wanted->fd);
	if (IS_ERR(e.fd))
		return PTR_ERR(e.fd);
	r = removes ? remove(vm, &e) : add(vm, &e);
	if (r < 0 || removes)
		eventfd_ctx_put(e.fd);
	return r;
}

void oya_events_free(struct oya_vm *vm)
{
	struct hlist_node *next;
	struct event *e;
	int i;

	hash_for_each_safe(vm->events, i, next, e, link)
	{
		hash_del(&e->link);
		drop(e);
	}
}

static void signal(struct eventfd_ctx *fd)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(fd);
#else
	eventfd_signal(fd, 1);
#endif
}

bool oya_event_signal(struct oya_vm *vm, bool is_port, u64 address, u32 bytes, u64 value)
{
	/* The one for this value goes before the one for all. */
	struct event wanted[] = {
		{.is_port = is_port, .address = address, .bytes = bytes, .value = value},
		{.is_port = is_port, .address = address, .bytes = bytes, .any_value = true},
		{.is_port = is_port, .address = address, .any_value = true},
	};
	struct event *e = NULL;
	unsigned int i;

	rcu_read_lock();
	for (i = 0; i < ARRAY_SIZE(wanted) && !e; i++)
		e = find(vm, &wanted[i]);
	if (e)
		signal(e->fd);
	rcu_read_unlock();
	return e;
}
