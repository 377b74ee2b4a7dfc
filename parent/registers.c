// SPDX-License-Identifier: GPL-2.0-or-later
#include "parent/registers.h"

#include <linux/string.h>

/* A segment's attributes: those of its descriptor, joined. */
#define TYPE 0xFu
#define S_AT 4
#define DPL_AT 5
#define PRESENT_AT 7
#define AVL_AT 8
#define LONG_AT 9
#define DB_AT 10
#define GRANULARITY_AT 11

/* KVM's order, by the numbers of the encoding: rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8 to r15.
 */
static const u8 order[16] = {0, 3, 1, 2, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15};

void oya_registers_get(const u64 *general, u64 rip, u64 rflags, struct kvm_regs *to)
{
	__u64 *at = &to->rax;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(order); i++)
		at[i] = general[order[i]];
	to->rip = rip;
	to->rflags = rflags;
}

void oya_registers_set(u64 *general, u64 *rip, u64 *rflags, const struct kvm_regs *from)
{
	const __u64 *at = &from->rax;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(order); i++)
		general[order[i]] = at[i];
	*rip = from->rip;
	*rflags = from->rflags;
}

static struct kvm_segment segment_get(const struct oya_segment *s)
{
	u16 a = s->attributes;

	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = a & TYPE,
		.s = a >> S_AT & 1,
		.dpl = a >> DPL_AT & 3,
		.present = a >> PRESENT_AT & 1,
		.avl = a >> AVL_AT & 1,
		.l = a >> LONG_AT & 1,
		.db = a >> DB_AT & 1,
		.g = a >> GRANULARITY_AT & 1,
		.unusable = !(a >> PRESENT_AT & 1),
	};
}

static struct oya_segment segment_set(const struct kvm_segment *s)
{
	u16 a = (s->type & TYPE) | (s->s & 1) << S_AT | (s->dpl & 3) << DPL_AT |
		(s->avl & 1) << AVL_AT | (s->l & 1) << LONG_AT | (s->db & 1) << DB_AT |
		(s->g & 1) << GRANULARITY_AT;

	if (s->present && !s->unusable)
		a |= 1 << PRESENT_AT;
	return (struct oya_segment){s->selector, a, s->limit, s->base};
}

void oya_system_get(const struct oya_state *s, struct kvm_sregs *to)
{
	*to = (struct kvm_sregs){
		.cs = segment_get(&s->cs),
		.ds = segment_get(&s->ds),
		.es = segment_get(&s->es),
		.fs = segment_get(&s->fs),
		.gs = segment_get(&s->gs),
		.ss = segment_get(&s->ss),
		.tr = segment_get(&s->tr),
		.ldt = segment_get(&s->ldtr),
		.gdt = {.base = s->gdtr.base, .limit = s->gdtr.limit},
		.idt = {.base = s->idtr.base, .limit = s->idtr.limit},
		.cr0 = s->cr0,
		.cr2 = s->cr2,
		.cr3 = s->cr3,
		.cr4 = s->cr4,
		.cr8 = s->cr8,
		.efer = s->efer,
		.apic_base = s->apic_base,
	};
}

void oya_system_set(struct oya_state *s, const struct kvm_sregs *from)
{
	s->cs = segment_set(&from->cs);
	s->ds = segment_set(&from->ds);
	s->es = segment_set(&from->es);
	s->fs = segment_set(&from->fs);
	s->gs = segment_set(&from->gs);
	s->ss = segment_set(&from->ss);
	s->tr = segment_set(&from->tr);
	s->ldtr = segment_set(&from->ldt);
	s->gdtr = (struct oya_segment){.base = from->gdt.base, .limit = from->gdt.limit};
	s->idtr = (struct oya_segment){.base = from->idt.base, .limit = from->idt.limit};
	s->cr0 = from->cr0;
	s->cr2 = from->cr2;
	s->cr3 = from->cr3;
	s->cr4 = from->cr4;
	s->cr8 = from->cr8;
	s->efer = from->efer;
	s->apic_base = from->apic_base;
}
