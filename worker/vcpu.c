/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pausing: `run` says whether processors may run. A thread clears its immediate_exit, then looks
 * at `run`, then enters the guest; who halts changes `run` first and sets
 * immediate_exit after it, so that no order of the two lets a processor slip through.
 *
 * Order of locks: run_lock is innermost; nothing is called with it held.
 */
#include "worker/vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/machine.h"
#include "base/util.h"
#include "worker/sandbox.h"
#include "worker/vcpu_priv.h"

#define KICK_SIGNAL SIGUSR1
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define CR0_BOOT 0x80010033u /* PG, WP, NE, ET, MP, PE */
#define CR4_PAE (1u << 5)
#define MSR_MTRR_DEFAULT 0x2ffu
#define MTRR_WRITE_BACK 0x806u /* enabled, all memory write-back */

static void on_kick(int signal)
{
	(void)signal; /* it only has to interrupt KVM_RUN */
}

static int install_kick(void)
{
	struct sigaction action = {.sa_handler = on_kick};

	return sigaction(KICK_SIGNAL, &action, NULL) < 0 ? -errno : 0;
}

int vcpu_set_tsc_offset(int fd, uint64_t offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	return ioctl(fd, KVM_SET_DEVICE_ATTR, &attr) < 0 ? -errno : 0;
}

static void find_clock(struct vcpus *v)
{
	int khz = ioctl(v->vcpu[0].fd, KVM_GET_TSC_KHZ, 0);

	v->clock.tsc_hz = khz > 0 ? (uint64_t)khz * 1000 : 0;
	/* The host's own TSC: right also under a KVM that takes an offset but cannot apply it,
	 * since its guests' RDTSC is not intercepted. */
	v->clock.tsc_offset = 0;
	v->clock.common = khz > 0;
	for (unsigned i = 0; i < v->count; i++) {
		if (vcpu_set_tsc_offset(v->vcpu[i].fd, v->clock.tsc_offset) < 0)
			v->clock.common = false;
	}
}

static int create_vcpu(struct vcpus *v, unsigned index)
{
	struct vcpu *c = &v->vcpu[index];
	void *run;

	c->all = v;
	c->index = index;
	c->fd = ioctl(v->partition->vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (c->fd < 0)
		return -errno;
	run = mmap(NULL, (size_t)v->partition->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd,
		   0);
	if (run == MAP_FAILED)
		return -errno;
	c->run = run;
	c->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	return 0;
}

int vcpus_new(const struct partition *p, const struct vcpu_layout *layout,
	      const struct vcpu_ops *ops, void *ctx, struct vcpus **ret_vcpus, struct failure *f)
{
	unsigned count = layout->topology.cpus;
	struct vcpus *v = calloc(1, sizeof(*v) + count * sizeof(v->vcpu[0]));
	int r;

	if (!v)
		return fail(f, -ENOMEM, "cannot make %u processors: out of memory", count);
	v->partition = p;
	v->ops = ops;
	v->ctx = ctx;
	v->count = count;
	v->layout = *layout;
	pthread_mutex_init(&v->run_lock, NULL);
	pthread_cond_init(&v->may_go, NULL);
	pthread_cond_init(&v->parked, NULL);
	for (unsigned i = 0; i < count; i++)
		v->vcpu[i].fd = -1;
	r = install_kick();
	for (unsigned i = 0; r == 0 && i < count; i++)
		r = create_vcpu(v, i);
	if (r < 0) {
		fail(f, r, "cannot make %u processors: %s", count, strerror(-r));
		vcpus_free(v);
		return r;
	}
	find_clock(v);
	if (!v->clock.tsc_hz) {
		vcpus_free(v);
		return fail(f, -EOPNOTSUPP,
			    "cannot make a VM: KVM does not tell the frequency of the processor's "
			    "clock");
	}
	*ret_vcpus = v;
	return 0;
}

struct vcpu_clock vcpus_clock(const struct vcpus *v)
{
	return v->clock;
}

static struct kvm_segment flat_segment(uint16_t selector, bool code)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = code ? 0xb : 0x3,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = code,
		.db = !code,
	};
}

static int set_entry(const struct vcpu *c, const struct boot_entry *entry)
{
	struct kvm_regs regs = {.rip = entry->rip, .rsi = entry->rsi, .rflags = 2};
	struct kvm_segment data = flat_segment(BOOT_DATA_SELECTOR, false);
	struct kvm_sregs sregs;

	if (ioctl(c->fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	sregs.cs = flat_segment(BOOT_CODE_SELECTOR, true);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.gdt.base = entry->gdt;
	sregs.gdt.limit = entry->gdt_limit;
	sregs.idt.base = 0;
	sregs.idt.limit = 0;
	sregs.cr0 = CR0_BOOT;
	sregs.cr3 = entry->cr3;
	sregs.cr4 = CR4_PAE;
	sregs.efer = EFER_LME | EFER_LMA;
	if (ioctl(c->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(c->fd, KVM_SET_REGS, &regs) < 0)
		return -errno;
	return 0;
}

/* Without firmware nobody else switches the memory types on. */
static void set_mtrr(const struct vcpu *c)
{
	union {
		struct kvm_msrs list;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} msrs = {.list.nmsrs = 1};

	msrs.list.entries[0] =
		(struct kvm_msr_entry){.index = MSR_MTRR_DEFAULT, .data = MTRR_WRITE_BACK};
	/* A KVM without MTRRs treats all memory as write-back anyway. */
	(void)ioctl(c->fd, KVM_SET_MSRS, &msrs.list);
}

int vcpus_set_up(struct vcpus *v, const struct hv *hv, const struct boot_entry *entry,
		 struct failure *f)
{
	/* From the last to the first, whose features are kept. */
	for (unsigned i = v->count; i-- > 0;) {
		int r = vcpu_set_cpuid(&v->vcpu[i], hv, &v->features, f);

		if (r < 0)
			return r;
		if (entry)
			set_mtrr(&v->vcpu[i]);
	}
	if (entry && set_entry(&v->vcpu[0], entry) < 0)
		return fail(f, -errno, "cannot set the registers of the first processor: %s",
			    strerror(errno));
	return 0;
}

/* Written by the processor's own thread only, read by others. */
static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

static void exit_port(struct vcpu *c)
{
	struct kvm_run *run = c->run;
	const struct vcpu_ops *ops = c->all->ops;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned bytes = run->io.size;

	count(&c->stats.port_exits);
	if (run->io.port == MACHINE_HYPERCALL_CALL_PORT && run->io.direction == KVM_EXIT_IO_OUT &&
	    bytes == MACHINE_HYPERCALL_PORT_BYTES) {
		struct kvm_regs *regs = &run->s.regs.regs;

		count(&c->stats.hypercalls);
		regs->rax = ops->hypercall(c->all->ctx, regs->rcx, regs->rdx);
		run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
		return;
	}
	if (run->io.count > 1 &&
	    ops->port_string(c->all->ctx, run->io.port, bytes, run->io.direction == KVM_EXIT_IO_OUT,
			     data, run->io.count * bytes))
		return;
	for (uint32_t i = 0; i < run->io.count; i++, data += bytes) {
		uint32_t value = 0;

		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&value, data, bytes);
			ops->port_out(c->all->ctx, run->io.port, bytes, value);
		} else {
			value = ops->port_in(c->all->ctx, run->io.port, bytes);
			memcpy(data, &value, bytes);
		}
	}
}

static void exit_mmio(struct vcpu *c)
{
	struct kvm_run *run = c->run;
	uint64_t value = 0;
	unsigned bytes = run->mmio.len <= 8 ? run->mmio.len : 8;

	count(&c->stats.mmio_exits);
	if (run->mmio.is_write) {
		memcpy(&value, run->mmio.data, bytes);
		c->all->ops->mmio_write(c->all->ctx, run->mmio.phys_addr, bytes, value);
	} else {
		value = c->all->ops->mmio_read(c->all->ctx, run->mmio.phys_addr, bytes);
		memcpy(run->mmio.data, &value, bytes);
	}
}

static void exit_msr(struct vcpu *c, bool write)
{
	struct kvm_run *run = c->run;
	uint64_t value = run->msr.data;
	int r;

	count(&c->stats.msr_exits);
	if (write)
		r = c->all->ops->msr_write(c->all->ctx, c->index, run->msr.index, value);
	else
		r = c->all->ops->msr_read(c->all->ctx, c->index, run->msr.index, &value);
	run->msr.data = value;
	run->msr.error = r < 0;
}

static void stop_here(struct vcpu *c, enum vcpu_stop why, const char *text)
{
	c->dead = true;
	c->all->ops->stopped(c->all->ctx, c->index, why, text);
}

static void exit_unexpected(struct vcpu *c)
{
	const struct kvm_run *run = c->run;
	char text[128];

	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		snprintf(text, sizeof(text), "KVM met an internal error %u at RIP %#llx",
			 run->internal.suberror, (unsigned long long)run->s.regs.regs.rip);
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		snprintf(text, sizeof(text),
			 "the processor refused the guest's state, reason %#llx",
			 (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	else
		snprintf(text, sizeof(text), "KVM left the guest for reason %u", run->exit_reason);
	stop_here(c, VCPU_BROKEN, text);
}

/* Where the guest was, unless KVM has reset the processor by then. */
static void exit_triple_fault(struct vcpu *c)
{
	char text[96];

	snprintf(text, sizeof(text), "its processor met a triple fault at RIP %#llx",
		 (unsigned long long)c->run->s.regs.regs.rip);
	stop_here(c, VCPU_TRIPLE_FAULT, text);
}

static void handle_exit(struct vcpu *c)
{
	count(&c->stats.exits);
	switch (c->run->exit_reason) {
	case KVM_EXIT_IO:
		exit_port(c);
		break;
	case KVM_EXIT_MMIO:
		exit_mmio(c);
		break;
	case KVM_EXIT_X86_RDMSR:
		exit_msr(c, false);
		break;
	case KVM_EXIT_X86_WRMSR:
		exit_msr(c, true);
		break;
	case KVM_EXIT_IOAPIC_EOI:
		c->all->ops->eoi(c->all->ctx, c->run->eoi.vector);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	case KVM_EXIT_SHUTDOWN:
		exit_triple_fault(c);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
	default:
		exit_unexpected(c);
		break;
	}
}

/* An interrupt of the PIC goes to the first processor when that can take one; KVM says when. */
static int offer_pic(struct vcpu *c)
{
	const struct vcpu_ops *ops = c->all->ops;
	struct kvm_interrupt interrupt;
	int vector;

	if (c->index != 0)
		return 0;
	c->run->request_interrupt_window = ops->pic_pending(c->all->ctx);
	if (!c->run->request_interrupt_window || !c->run->ready_for_interrupt_injection)
		return 0;
	vector = ops->pic_take(c->all->ctx);
	if (vector < 0)
		return 0;
	interrupt.irq = (uint32_t)vector;
	c->run->request_interrupt_window = ops->pic_pending(c->all->ctx);
	return ioctl(c->fd, KVM_INTERRUPT, &interrupt);
}

/* What the last exit has read is put into the registers when KVM is entered next. A processor that
 * is to stand still enters it for that, without running the guest: so its registers are whole. */
static void complete_exit(struct vcpu *c)
{
	__atomic_store_n(&c->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	/* An instruction of several accesses has an exit for each. */
	while (!c->dead && ioctl(c->fd, KVM_RUN, 0) == 0)
		handle_exit(c);
	__atomic_store_n(&c->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

/* Waits while the processors are paused; false when the thread is to end. */
static bool may_run(struct vcpu *c)
{
	struct vcpus *v = c->all;
	bool go;

	__atomic_store_n(&c->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&v->run, __ATOMIC_SEQ_CST) == RUN_GOING && !c->dead &&
	    !__atomic_load_n(&v->slowed, __ATOMIC_SEQ_CST))
		return true;
	complete_exit(c);
	pthread_mutex_lock(&v->run_lock);
	v->running--;
	pthread_cond_signal(&v->parked);
	while (v->run == RUN_PAUSED || (v->run == RUN_GOING && (c->dead || v->slowed)))
		pthread_cond_wait(&v->may_go, &v->run_lock);
	go = v->run == RUN_GOING;
	if (go)
		v->running++;
	pthread_mutex_unlock(&v->run_lock);
	return go;
}

int vcpu_check_pin(const cpu_set_t *pin, unsigned count, struct failure *f)
{
	cpu_set_t before;
	int r = 0;

	if (!pin)
		return 0;
	if (sched_getaffinity(0, sizeof(before), &before) < 0)
		return fail(f, -errno, "cannot pin processors: %s", strerror(errno));
	for (unsigned i = 0; r == 0 && i < count; i++) {
		if (sched_setaffinity(0, sizeof(pin[i]), &pin[i]) < 0)
			r = fail(f, -errno,
				 "cannot pin processor %u: none of its processors of the host may "
				 "be used (%s)",
				 i, strerror(errno));
	}
	(void)sched_setaffinity(0, sizeof(before), &before);
	return r;
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *c = arg;
	const cpu_set_t *pin = c->all->layout.pin;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", c->index);
	pthread_setname_np(pthread_self(), name);
	/* Before the thread's own filter, which does not allow it. */
	if (pin && sched_setaffinity(0, sizeof(*pin), &pin[c->index]) < 0)
		stop_here(c, VCPU_BROKEN, "its thread could not be pinned");
	if (sandbox_thread() < 0)
		stop_here(c, VCPU_BROKEN, "its thread could not be confined");
	while (may_run(c)) {
		if (offer_pic(c) == 0 && ioctl(c->fd, KVM_RUN, 0) == 0) {
			handle_exit(c);
		} else if (errno == EINTR || errno == EAGAIN) {
			count(&c->stats.interruptions);
		} else {
			char text[128];

			snprintf(text, sizeof(text), "running the processor failed: %s",
				 strerror(errno));
			stop_here(c, VCPU_BROKEN, text);
		}
	}
	return NULL;
}

int vcpus_start(struct vcpus *v)
{
	v->running = v->count;
	for (unsigned i = 0; i < v->count; i++) {
		int r = pthread_create(&v->vcpu[i].thread, NULL, vcpu_thread, &v->vcpu[i]);

		if (r != 0) {
			pthread_mutex_lock(&v->run_lock);
			v->running -= v->count - i;
			pthread_mutex_unlock(&v->run_lock);
			return -r;
		}
		v->vcpu[i].started = true;
	}
	return 0;
}

/* Makes the processor leave the guest before its next instruction. */
static void kick(struct vcpu *c)
{
	__atomic_store_n(&c->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(c->thread, KICK_SIGNAL);
}

void vcpus_kick_first(struct vcpus *v)
{
	struct vcpu *c = &v->vcpu[0];

	if (c->started && !pthread_equal(c->thread, pthread_self()))
		kick(c);
}

static void kick_all(struct vcpus *v)
{
	for (unsigned i = 0; i < v->count; i++) {
		if (v->vcpu[i].started)
			kick(&v->vcpu[i]);
	}
}

void vcpus_slow(struct vcpus *v, bool on)
{
	pthread_mutex_lock(&v->run_lock);
	__atomic_store_n(&v->slowed, on, __ATOMIC_SEQ_CST);
	pthread_cond_broadcast(&v->may_go);
	pthread_mutex_unlock(&v->run_lock);
	if (on)
		kick_all(v);
}

static void set_run(struct vcpus *v, enum run run)
{
	pthread_mutex_lock(&v->run_lock);
	if (v->run != RUN_ENDED)
		__atomic_store_n(&v->run, run, __ATOMIC_SEQ_CST);
	pthread_cond_broadcast(&v->may_go);
	pthread_mutex_unlock(&v->run_lock);
	if (run != RUN_GOING)
		kick_all(v);
}

void vcpus_resume(struct vcpus *v)
{
	set_run(v, RUN_GOING);
}

void vcpus_halt(struct vcpus *v)
{
	set_run(v, RUN_PAUSED);
}

void vcpus_pause(struct vcpus *v)
{
	set_run(v, RUN_PAUSED);
	pthread_mutex_lock(&v->run_lock);
	while (v->running)
		pthread_cond_wait(&v->parked, &v->run_lock);
	pthread_mutex_unlock(&v->run_lock);
}

void vcpus_free(struct vcpus *v)
{
	if (!v)
		return;
	set_run(v, RUN_ENDED);
	for (unsigned i = 0; i < v->count; i++) {
		struct vcpu *c = &v->vcpu[i];

		if (c->started)
			pthread_join(c->thread, NULL);
		if (c->run)
			munmap(c->run, (size_t)v->partition->run_bytes);
		if (c->fd >= 0)
			close(c->fd);
	}
	pthread_cond_destroy(&v->may_go);
	pthread_cond_destroy(&v->parked);
	pthread_mutex_destroy(&v->run_lock);
	free(v->features);
	free(v);
}

struct vcpu_stats vcpus_stats(const struct vcpus *v)
{
	struct vcpu_stats sum = {0};

	for (unsigned i = 0; i < v->count; i++) {
		const struct vcpu_stats *s = &v->vcpu[i].stats;

		sum.exits += __atomic_load_n(&s->exits, __ATOMIC_RELAXED);
		sum.port_exits += __atomic_load_n(&s->port_exits, __ATOMIC_RELAXED);
		sum.mmio_exits += __atomic_load_n(&s->mmio_exits, __ATOMIC_RELAXED);
		sum.msr_exits += __atomic_load_n(&s->msr_exits, __ATOMIC_RELAXED);
		sum.hypercalls += __atomic_load_n(&s->hypercalls, __ATOMIC_RELAXED);
		sum.interruptions += __atomic_load_n(&s->interruptions, __ATOMIC_RELAXED);
	}
	return sum;
}
