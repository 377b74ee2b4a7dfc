/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual processor in a saved state (vcpu.h).
 *
 * KVM's order: what was stopped first is written first, events last. To be read, registers come
 * before events (setting them drops exceptions that wait), segment registers before the local
 * APIC, that before the MSRs, and the deadline of the APIC's timer last of these: it counts by the
 * TSC, which must be right by then.
 *
 * Trust: records are hostile; what KVM takes it checks itself, and a processor whose registers
 * cannot be is refused by it. MSRs are those that KVM lists as its guests' state.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "abi/hv.h"
#include "base/util.h"
#include "worker/vcpu_priv.h"

#define MSR_TSC 0x10u
#define MSR_ARCH_CAPABILITIES 0x10au
#define MSR_PERF_CAPABILITIES 0x345u
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_KVM_FIRST 0x4b564d00u /* of KVM's own interface, which our guests are not offered */
#define MSR_KVM_LAST 0x4b564dffu
#define MSRS_MAX 512u
#define XSAVE_MAX 16384u
#define XSAVE_USED_AT 512u /* XSTATE_BV of the header */
#define XCRS_MAX 16u

static int get(struct record *r, const struct vcpu *c, unsigned long call, void *to,
	       const char *what)
{
	if (!record_ok(r) || ioctl(c->fd, call, to) >= 0)
		return 0;
	record_refuse(r, "KVM does not tell its %s: %s", what, strerror(errno));
	return -1;
}

static void set(struct record *r, const struct vcpu *c, unsigned long call, const void *from,
		const char *what)
{
	if (r->reads && record_ok(r) && ioctl(c->fd, call, from) < 0)
		record_refuse(r, "KVM does not take its %s: %s", what, strerror(errno));
}

/* ---- registers ---- */

static void run_state(const struct vcpu *c, struct record *r)
{
	struct kvm_mp_state mp = {0};

	if (!r->reads)
		get(r, c, KVM_GET_MP_STATE, &mp, "run state");
	record_u32(r, "run_state", &mp.mp_state);
	set(r, c, KVM_SET_MP_STATE, &mp, "run state");
}

static void general(const struct vcpu *c, struct record *r)
{
	struct kvm_regs regs = {0};

	static_assert(offsetof(struct kvm_regs, rip) == 16 * sizeof(uint64_t), "16 in a row");
	if (!r->reads)
		get(r, c, KVM_GET_REGS, &regs, "registers");
	record_u64s(r, "general", (uint64_t *)&regs.rax, 16);
	record_u64(r, "rip", (uint64_t *)&regs.rip);
	record_u64(r, "rflags", (uint64_t *)&regs.rflags);
	set(r, c, KVM_SET_REGS, &regs, "registers");
	/* A stale copy must not be put over what was set. */
	if (r->reads && record_ok(r))
		c->run->kvm_dirty_regs = 0;
}

static uint16_t attributes_of(const struct kvm_segment *s)
{
	return (uint16_t)((s->type & 15) | (s->s & 1) << 4 | (s->dpl & 3) << 5 |
			  (s->present & 1) << 7 | (s->avl & 1) << 8 | (s->l & 1) << 9 |
			  (s->db & 1) << 10 | (s->g & 1) << 11 | (s->unusable & 1) << 12);
}

static void segment(struct record *r, const char *name, struct kvm_segment *s)
{
	uint64_t f[4] = {s->selector, s->base, s->limit, attributes_of(s)};
	uint16_t a;

	record_u64s(r, name, f, ARRAY_LEN(f));
	if (!r->reads)
		return;
	if (f[0] > UINT16_MAX || f[2] > UINT32_MAX || f[3] >= 1u << 13) {
		record_refuse(r, "its segment '%s' cannot be", name);
		return;
	}
	a = (uint16_t)f[3];
	*s = (struct kvm_segment){
		.selector = (uint16_t)f[0],
		.base = f[1],
		.limit = (uint32_t)f[2],
		.type = a & 15,
		.s = a >> 4 & 1,
		.dpl = a >> 5 & 3,
		.present = a >> 7 & 1,
		.avl = a >> 8 & 1,
		.l = a >> 9 & 1,
		.db = a >> 10 & 1,
		.g = a >> 11 & 1,
		.unusable = a >> 12 & 1,
	};
}

static void table(struct record *r, const char *base, const char *limit, struct kvm_dtable *t)
{
	record_u64(r, base, (uint64_t *)&t->base);
	record_u16(r, limit, &t->limit);
}

static void system_registers(const struct vcpu *c, struct record *r)
{
	struct kvm_sregs s = {0};

	if (!r->reads)
		get(r, c, KVM_GET_SREGS, &s, "system registers");
	segment(r, "cs", &s.cs);
	segment(r, "ds", &s.ds);
	segment(r, "es", &s.es);
	segment(r, "fs", &s.fs);
	segment(r, "gs", &s.gs);
	segment(r, "ss", &s.ss);
	segment(r, "tr", &s.tr);
	segment(r, "ldt", &s.ldt);
	table(r, "gdt_base", "gdt_limit", &s.gdt);
	table(r, "idt_base", "idt_limit", &s.idt);
	record_u64(r, "cr0", (uint64_t *)&s.cr0);
	record_u64(r, "cr2", (uint64_t *)&s.cr2);
	record_u64(r, "cr3", (uint64_t *)&s.cr3);
	record_u64(r, "cr4", (uint64_t *)&s.cr4);
	record_u64(r, "cr8", (uint64_t *)&s.cr8);
	record_u64(r, "efer", (uint64_t *)&s.efer);
	record_u64(r, "apic_base", (uint64_t *)&s.apic_base);
	record_u64s(r, "interrupts", (uint64_t *)s.interrupt_bitmap, ARRAY_LEN(s.interrupt_bitmap));
	set(r, c, KVM_SET_SREGS, &s, "system registers");
}

/* Only XCR0 exists; 0: there is none, since bit 0 of it is always set. */
static void extended_control(const struct vcpu *c, struct record *r)
{
	struct kvm_xcrs x = {0};
	uint64_t value = 0;

	/* Without XSAVE KVM has either none to tell of, or refuses. */
	if (!r->reads && ioctl(c->fd, KVM_GET_XCRS, &x) == 0) {
		for (uint32_t i = 0; i < min_u32(x.nr_xcrs, XCRS_MAX); i++) {
			if (x.xcrs[i].xcr == 0)
				value = x.xcrs[i].value;
		}
	}
	record_u64(r, "xcr0", &value);
	x = (struct kvm_xcrs){.nr_xcrs = 1, .xcrs[0].value = value};
	if (value)
		set(r, c, KVM_SET_XCRS, &x, "XCR0");
}

/* A host with more components than the guest tells of them as well: no other needs to have them. */
static void limit_components(const struct vcpu *c, void *area)
{
	uint64_t used;

	memcpy(&used, (uint8_t *)area + XSAVE_USED_AT, sizeof(used));
	used &= vcpus_components(c->all);
	memcpy((uint8_t *)area + XSAVE_USED_AT, &used, sizeof(used));
}

static void extended_state(const struct vcpu *c, struct record *r)
{
	int wanted = ioctl(c->all->partition->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	size_t room =
		wanted > (int)sizeof(struct kvm_xsave) ? (size_t)wanted : sizeof(struct kvm_xsave);
	size_t len = room;
	void *area = room <= XSAVE_MAX ? calloc(1, room) : NULL;

	if (!area) {
		record_refuse(r, "its extended state of %zu bytes is more than is known", room);
		return;
	}
	if (!r->reads)
		get(r, c, wanted > 0 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, area, "extended state");
	limit_components(c, area);
	record_some_bytes(r, "xsave", area, &len, room);
	set(r, c, KVM_SET_XSAVE, area, "extended state");
	free(area);
}

static void debug_registers(const struct vcpu *c, struct record *r)
{
	struct kvm_debugregs d = {0};

	if (!r->reads)
		get(r, c, KVM_GET_DEBUGREGS, &d, "debug registers");
	record_u64s(r, "dr0_to_dr3", (uint64_t *)d.db, ARRAY_LEN(d.db));
	record_u64(r, "dr6", (uint64_t *)&d.dr6);
	record_u64(r, "dr7", (uint64_t *)&d.dr7);
	set(r, c, KVM_SET_DEBUGREGS, &d, "debug registers");
}

static void local_apic(const struct vcpu *c, struct record *r)
{
	struct kvm_lapic_state apic = {0};

	if (!r->reads)
		get(r, c, KVM_GET_LAPIC, &apic, "local APIC");
	record_bytes(r, "local_apic", apic.regs, sizeof(apic.regs));
	set(r, c, KVM_SET_LAPIC, &apic, "local APIC");
}

/* ---- MSRs ---- */

static bool is_state(const struct vcpu *c, uint32_t index)
{
	if (index >= HV_MSR_FIRST && index < HV_MSR_FIRST + HV_MSR_COUNT)
		return false; /* devices/hv has them, but for those of the local APIC */
	if (index >= MSR_KVM_FIRST && index <= MSR_KVM_LAST)
		return false;
	/* KVM has its own values there for guests that have not heard of them. */
	if (index == MSR_ARCH_CAPABILITIES)
		return vcpus_have(c->all, 7, 3, 29);
	if (index == MSR_PERF_CAPABILITIES)
		return vcpus_have(c->all, 1, 2, 15);
	/* The TSC is set by its offset, the deadline last. */
	return index != MSR_TSC && index != MSR_TSC_DEADLINE;
}

static struct kvm_msrs *msrs_alloc(void)
{
	return calloc(1, sizeof(struct kvm_msrs) + MSRS_MAX * sizeof(struct kvm_msr_entry));
}

static int add_listed(const struct vcpu *c, struct kvm_msrs *msrs)
{
	struct kvm_msr_list *list =
		calloc(1, sizeof(struct kvm_msr_list) + MSRS_MAX * sizeof(uint32_t));
	int r = -ENOMEM;

	if (list) {
		list->nmsrs = MSRS_MAX - 1;
		r = ioctl(c->all->partition->device_fd, KVM_GET_MSR_INDEX_LIST, list) < 0 ? -errno
											  : 0;
	}
	for (uint32_t i = 0; r == 0 && i < list->nmsrs; i++) {
		if (is_state(c, list->indices[i]))
			msrs->entries[msrs->nmsrs++].index = list->indices[i];
	}
	free(list);
	return r;
}

/* KVM stops at the first MSR that this processor does not have; those are left out. */
static int get_msrs(const struct vcpu *c, struct kvm_msrs *msrs)
{
	for (;;) {
		int got = ioctl(c->fd, KVM_GET_MSRS, msrs);

		if (got < 0)
			return -errno;
		if ((uint32_t)got >= msrs->nmsrs)
			return 0;
		msrs->nmsrs--;
		memmove(&msrs->entries[got], &msrs->entries[got + 1],
			(msrs->nmsrs - (uint32_t)got) * sizeof(msrs->entries[0]));
	}
}

static void write_msrs(const struct vcpu *c, struct kvm_msrs *msrs, struct record *r)
{
	int e = add_listed(c, msrs);

	msrs->entries[msrs->nmsrs++].index = MSR_TSC_DEADLINE;
	if (e == 0)
		e = get_msrs(c, msrs);
	if (e < 0)
		record_refuse(r, "KVM does not tell its MSRs: %s", strerror(-e));
}

static void set_msrs(const struct vcpu *c, const struct kvm_msrs *msrs, struct record *r)
{
	int done;

	if (!record_ok(r))
		return;
	done = ioctl(c->fd, KVM_SET_MSRS, msrs);
	if (done >= 0 && (uint32_t)done < msrs->nmsrs)
		record_refuse(r, "KVM does not take the value of its MSR %#x",
			      msrs->entries[done].index);
	else if (done < 0)
		record_refuse(r, "KVM does not take its MSRs: %s", strerror(errno));
}

static bool is_listed(const struct kvm_msrs *listed, uint32_t index)
{
	for (uint32_t i = 0; i < listed->nmsrs; i++) {
		if (listed->entries[i].index == index)
			return true;
	}
	return false;
}

/* Those of a record: KVM's own, and the deadline at their end. */
static void read_msrs(const struct vcpu *c, const uint32_t *index, const uint64_t *value,
		      unsigned count, struct record *r)
{
	struct kvm_msrs *msrs = msrs_alloc(), *listed = msrs_alloc();

	if (!msrs || !listed || add_listed(c, listed) < 0)
		record_refuse(r, "there is no memory for its MSRs, or KVM does not list them");
	for (unsigned i = 0; record_ok(r) && i < count; i++) {
		bool known = is_listed(listed, index[i]) ||
			     (index[i] == MSR_TSC_DEADLINE && i + 1 == count);

		/* One that this host does not have, and that the guest has not used. */
		if (!known && value[i] == 0 && is_state(c, index[i]))
			continue;
		if (!known)
			record_refuse(r, "its MSR %#x has no place there", index[i]);
		msrs->entries[msrs->nmsrs++] =
			(struct kvm_msr_entry){.index = index[i], .data = value[i]};
	}
	if (record_ok(r))
		set_msrs(c, msrs, r);
	free(msrs);
	free(listed);
}

static void msrs_fields(const struct vcpu *c, struct record *r)
{
	uint32_t index[MSRS_MAX] = {0};
	uint64_t value[MSRS_MAX] = {0};
	struct kvm_msrs *msrs = r->reads ? NULL : msrs_alloc();
	unsigned count = 0;

	if (msrs)
		write_msrs(c, msrs, r);
	else if (!r->reads)
		record_refuse(r, "there is no memory for its MSRs");
	for (; msrs && count < msrs->nmsrs; count++) {
		index[count] = msrs->entries[count].index;
		value[count] = msrs->entries[count].data;
	}
	free(msrs);
	record_limited(r, "msrs", &count, MSRS_MAX);
	record_u32s(r, "msr_index", index, count);
	record_u64s(r, "msr_value", value, count);
	if (r->reads && record_ok(r))
		read_msrs(c, index, value, count, r);
}

/* Hyper-V's MSRs of the local APIC, where KVM has them. */
static void assist_page(const struct vcpu *c, struct record *r)
{
	union {
		struct kvm_msrs list;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} msrs = {.list.nmsrs = 1};
	uint64_t value = 0;

	msrs.list.entries[0].index = HV_MSR_VP_ASSIST_PAGE;
	if (!r->reads && c->all->partition->apic_msrs &&
	    ioctl(c->fd, KVM_GET_MSRS, &msrs.list) == 1)
		value = msrs.list.entries[0].data;
	record_u64(r, "assist_page", &value);
	if (!r->reads || !record_ok(r) || !value)
		return;
	msrs.list.entries[0].data = value;
	if (!c->all->partition->apic_msrs || ioctl(c->fd, KVM_SET_MSRS, &msrs.list) != 1)
		record_refuse(r, "KVM does not take its assist page");
}

/* ---- events ---- */

static void event(struct record *r, const char *name, uint8_t *injected, uint8_t *nr, uint8_t *flag,
		  uint32_t *error)
{
	uint32_t f[4] = {*injected, *nr, *flag, *error};

	record_u32s(r, name, f, ARRAY_LEN(f));
	if (f[0] > 1 || f[1] > UINT8_MAX || f[2] > UINT8_MAX)
		record_refuse(r, "its event '%s' cannot be", name);
	*injected = (uint8_t)f[0];
	*nr = (uint8_t)f[1];
	*flag = (uint8_t)f[2];
	*error = f[3];
}

static void events(const struct vcpu *c, struct record *r)
{
	struct kvm_vcpu_events e = {0};
	uint32_t none = 0;

	if (!r->reads)
		get(r, c, KVM_GET_VCPU_EVENTS, &e, "events");
	event(r, "exception", &e.exception.injected, &e.exception.nr, &e.exception.has_error_code,
	      &e.exception.error_code);
	record_u8(r, "exception_pending", &e.exception.pending);
	event(r, "interrupt", &e.interrupt.injected, &e.interrupt.nr, &e.interrupt.soft, &none);
	record_u8(r, "interrupt_shadow", &e.interrupt.shadow);
	record_u8(r, "nmi_injected", &e.nmi.injected);
	record_u8(r, "nmi_pending", &e.nmi.pending);
	record_u8(r, "nmi_masked", &e.nmi.masked);
	record_u32(r, "sipi_vector", &e.sipi_vector);
	if (!r->reads)
		return;
	e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
		  KVM_VCPUEVENT_VALID_SHADOW;
	set(r, c, KVM_SET_VCPU_EVENTS, &e, "events");
}

void vcpus_set_tsc(struct vcpus *v, uint64_t offset, uint64_t tsc)
{
	union {
		struct kvm_msrs list;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} msrs = {.list.nmsrs = 1};

	msrs.list.entries[0] = (struct kvm_msr_entry){.index = MSR_TSC, .data = tsc};
	v->clock.tsc_offset = offset;
	for (unsigned i = 0; i < v->count; i++) {
		if (vcpu_set_tsc_offset(v->vcpu[i].fd, offset) == 0)
			continue;
		v->clock.common = false;
		(void)ioctl(v->vcpu[i].fd, KVM_SET_MSRS, &msrs.list);
	}
}

void vcpu_record(struct vcpus *v, unsigned index, struct record *r)
{
	struct vcpu *c = &v->vcpu[index];

	if (c->dead) {
		record_refuse(r, "it cannot go on");
		return;
	}
	run_state(c, r);
	general(c, r);
	system_registers(c, r);
	extended_control(c, r);
	extended_state(c, r);
	debug_registers(c, r);
	local_apic(c, r);
	msrs_fields(c, r);
	assist_page(c, r);
	events(c, r);
}
