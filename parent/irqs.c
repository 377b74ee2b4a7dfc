// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table of routes is replaced as a whole, and read under RCU. A descriptor is waited for in its
 * own queue of waiters: who writes to it sends the message, with interrupts off. It stays until the
 * worker takes it back or the VM ends, also when its last file is closed.
 */
#include "parent/irqs.h"

#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/kvm.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "parent/hypercall.h"
#include "parent/vcpu.h"
#include "parent/vm.h"

struct oya_routes {
	u32 count;
	struct route {
		bool used;
		u32 data;
		u64 address;
	} route[];
};

struct descriptor {
	struct list_head link;
	struct oya_vm *vm;
	struct eventfd_ctx *fd;
	u32 line;
	wait_queue_entry_t waiter;
	poll_table poll;
};

/* How many processors take it, or a negative errno. In any context. */
static long send(struct oya_vm *vm, u64 address, u32 data)
{
	u64 b = vm->number;
	long r = oya_hypercall(OYA_CALL_MESSAGE, &b, address, data, 0);

	if (r < 0)
		return r == -ESRCH ? 0 : r;
	oya_wake(vm, b);
	return 1;
}

long oya_irq_message(struct oya_vm *vm, const struct kvm_msi __user *argument)
{
	struct kvm_msi msi;

	if (copy_from_user(&msi, argument, sizeof(msi)))
		return -EFAULT;
	if (msi.flags)
		return -EINVAL;
	return send(vm, (u64)msi.address_hi << 32 | msi.address_lo, msi.data);
}

/* -1: nothing is routed there. */
static long raise_line(struct oya_vm *vm, u32 line)
{
	const struct oya_routes *routes;
	struct route route = {};

	rcu_read_lock();
	routes = rcu_dereference(vm->routes);
	if (routes && line < routes->count)
		route = routes->route[line];
	rcu_read_unlock();
	return route.used ? send(vm, route.address, route.data) : -1;
}

long oya_irq_line(struct oya_vm *vm, struct kvm_irq_level __user *argument, bool tells)
{
	struct kvm_irq_level line;
	long r = -1;

	if (copy_from_user(&line, argument, sizeof(line)))
		return -EFAULT;
	if (!vm->has_apics)
		return -ENXIO;
	/* A message is an edge: the end of a level means nothing. */
	if (line.level)
		r = raise_line(vm, line.irq);
	line.status = r;
	return tells && copy_to_user(argument, &line, sizeof(line)) ? -EFAULT : 0;
}

static int add_route(struct oya_routes *routes, const struct kvm_irq_routing_entry *from)
{
	struct route *to = &routes->route[from->gsi];

	/* Lines of controllers in the kernel there are none. */
	if (from->flags || from->type != KVM_IRQ_ROUTING_MSI || to->used)
		return -EINVAL;
	*to = (struct route){
		.used = true,
		.data = from->u.msi.data,
		.address = (u64)from->u.msi.address_hi << 32 | from->u.msi.address_lo,
	};
	return 0;
}

static int fill(struct oya_routes *routes, const struct kvm_irq_routing_entry __user *from,
		u32 count)
{
	struct kvm_irq_routing_entry e;
	int r = 0;
	u32 i;

	for (i = 0; r == 0 && i < count; i++) {
		if (copy_from_user(&e, &from[i], sizeof(e)))
			return -EFAULT;
		r = e.gsi < OYA_ROUTES ? add_route(routes, &e) : -EINVAL;
	}
	return r;
}

long oya_irq_routes(struct oya_vm *vm, const struct kvm_irq_routing __user *argument)
{
	struct oya_routes *routes;
	struct kvm_irq_routing head;
	int r;

	if (copy_from_user(&head, argument, sizeof(head)))
		return -EFAULT;
	if (head.flags || head.nr > OYA_ROUTES)
		return -EINVAL;
	routes = kvzalloc(struct_size(routes, route, OYA_ROUTES), GFP_KERNEL_ACCOUNT);
	if (!routes)
		return -ENOMEM;
	routes->count = OYA_ROUTES;
	r = fill(routes, argument->entries, head.nr);
	if (r == 0) {
		routes = rcu_replace_pointer(vm->routes, routes, lockdep_is_held(&vm->lock));
		synchronize_rcu();
	}
	kvfree(routes);
	return r;
}

static void drop(struct descriptor *d)
{
	u64 count;

	list_del(&d->link);
	d->vm->descriptor_count--;
	eventfd_ctx_remove_wait_queue(d->fd, &d->waiter, &count);
	eventfd_ctx_put(d->fd);
	kfree(d);
}

/* With the lock of the descriptor's queue held, and interrupts off. */
static int on_write(wait_queue_entry_t *waiter, unsigned int mode, int sync, void *key)
{
	struct descriptor *d = container_of(waiter, struct descriptor, waiter);
	u64 count;

	if (key_to_poll(key) & EPOLLIN) {
		eventfd_ctx_do_read(d->fd, &count);
		raise_line(d->vm, d->line);
	}
	return 0;
}

static void on_poll(struct file *file, wait_queue_head_t *queue, poll_table *poll)
{
	add_wait_queue_priority(queue, &container_of(poll, struct descriptor, poll)->waiter);
}

static struct descriptor *find(struct oya_vm *vm, const struct eventfd_ctx *fd)
{
	struct descriptor *d;

	list_for_each_entry(d, &vm->descriptors, link)
	{
		if (d->fd == fd)
			return d;
	}
	return NULL;
}

/* Takes over `fd` when it succeeds. */
static int add(struct oya_vm *vm, struct file *file, struct eventfd_ctx *fd, u32 line)
{
	struct descriptor *d;

	if (find(vm, fd))
		return -EBUSY;
	if (vm->descriptor_count >= OYA_ROUTES)
		return -ENOSPC;
	d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	if (!d)
		return -ENOMEM;
	d->vm = vm;
	d->fd = fd;
	d->line = line;
	init_waitqueue_func_entry(&d->waiter, on_write);
	init_poll_funcptr(&d->poll, on_poll);
	list_add(&d->link, &vm->descriptors);
	vm->descriptor_count++;
	/* What was written before counts too. */
	if (vfs_poll(file, &d->poll) & EPOLLIN)
		raise_line(vm, line);
	return 0;
}

static int remove(struct oya_vm *vm, const struct eventfd_ctx *fd, u32 line)
{
	struct descriptor *d = find(vm, fd);

	if (d && d->line == line)
		drop(d);
	return 0;
}

long oya_irq_descriptor(struct oya_vm *vm, const struct kvm_irqfd __user *argument)
{
	struct kvm_irqfd wanted;
	struct eventfd_ctx *fd;
	struct file *file;
	bool removes;
	int r;

	if (copy_from_user(&wanted, argument, sizeof(wanted)))
		return -EFAULT;
	/* Without a second descriptor for the end of a level. */
	if (wanted.flags & ~KVM_IRQFD_FLAG_DEASSIGN || wanted.gsi >= OYA_ROUTES || !vm->has_apics)
		return -EINVAL;
	file = fget(wanted.fd);
	if (!file)
		return -EBADF;
	removes = wanted.flags & KVM_IRQFD_FLAG_DEASSIGN;
	fd = eventfd_ctx_fileget(file);
	if (IS_ERR(fd)) {
		r = PTR_ERR(fd);
	} else {
		r = removes ? remove(vm, fd, wanted.gsi) : add(vm, file, fd, wanted.gsi);
		if (r < 0 || removes)
			eventfd_ctx_put(fd);
	}
	fput(file);
	return r;
}

void oya_irqs_free(struct oya_vm *vm)
{
	struct descriptor *d, *next;

	list_for_each_entry_safe(d, next, &vm->descriptors, link) drop(d);
	kvfree(rcu_dereference_protected(vm->routes, true));
}
