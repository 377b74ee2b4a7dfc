/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts that come from outside of processors: messages, lines that are routed to messages, and
 * descriptors that raise such a line.
 */
#ifndef OYA_PARENT_IRQS_H
#define OYA_PARENT_IRQS_H

#include <linux/types.h>

#define OYA_ROUTES 4096u

struct kvm_irq_level;
struct kvm_irq_routing;
struct kvm_irqfd;
struct kvm_msi;
struct oya_vm;

/* KVM's calls. Those of lines and messages take no lock; the others are with the VM's held. */
long oya_irq_message(struct oya_vm *vm, const struct kvm_msi __user *argument);
long oya_irq_line(struct oya_vm *vm, struct kvm_irq_level __user *argument, bool tells);
long oya_irq_routes(struct oya_vm *vm, const struct kvm_irq_routing __user *argument);
long oya_irq_descriptor(struct oya_vm *vm, const struct kvm_irqfd __user *argument);

/* First of what ends a VM, while its partition is still there. */
void oya_irqs_free(struct oya_vm *vm);

#endif
