/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two ends of a state must agree on, and the clocks (state.h).
 *
 * A guest's TSC is the host's and an offset. On the host that wrote the state, which is known by
 * its TSC having gone on with the time of day, the offset stays as it was, so that the guest's
 * clock is right to the cycle; on another it follows from the time that has passed. A time of day
 * that went backwards stands for no time.
 */
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include "base/record.h"
#include "base/util.h"
#include "worker/cpuid.h"
#include "worker/state.h"
#include "worker/vm.h"

#define NS_PER_S UINT64_C(1000000000)
#define SAME_CLOCK_NS                                                              \
	(10 * INT64_C(1000000)) /* the time of day is slewed, and read a bit later \
				 */
#define MOMENT_TRIES 4u
#define PPM_MAX 250u   /* that the TSCs of two hosts may differ by */
#define CPUID_WORDS 6u /* function, index, EAX, EBX, ECX, EDX */

static uint64_t ticks_of(uint64_t ns, uint64_t hz)
{
	return (uint64_t)((unsigned __int128)ns * hz / NS_PER_S);
}

static uint64_t ns_of(uint64_t ticks, uint64_t hz)
{
	return (uint64_t)((unsigned __int128)ticks * NS_PER_S / hz);
}

/* The clocks of this host, and the guest's reference counter, at one moment: another program may
 * have had the processor in between, which is seen and tried again. */
struct moment {
	uint64_t tsc, wall_ns, reference;
};

static struct moment moment_now(const struct vm *vm)
{
	struct moment best = {0};
	uint64_t shortest = UINT64_MAX;

	for (unsigned i = 0; i < MOMENT_TRIES; i++) {
		uint64_t tsc = __rdtsc(), took;
		struct moment m = {.tsc = tsc,
				   .wall_ns = machine_clock.wall_ns(NULL),
				   .reference = machine_reference_time(&vm->machine)};

		took = __rdtsc() - tsc;
		if (took < shortest) {
			shortest = took;
			best = m;
		}
	}
	return best;
}

/* ---- what must be the same ---- */

static void same_u64(struct record *r, const char *name, uint64_t here, const char *what)
{
	uint64_t value = here;

	record_u64(r, name, &value);
	if (value != here)
		record_refuse(r, "it had %s %#llx, and the VM has %#llx", what,
			      (unsigned long long)value, (unsigned long long)here);
}

static void features(struct vm *vm, struct record *r)
{
	uint32_t ours[CPUID_ENTRIES_MAX * CPUID_WORDS], theirs[CPUID_ENTRIES_MAX * CPUID_WORDS];
	unsigned count = vcpus_cpuid(vm->vcpus, ours, CPUID_ENTRIES_MAX), their_count = count;
	struct failure f;

	memcpy(theirs, ours, sizeof(theirs));
	record_limited(r, "cpuid_leaves", &their_count, CPUID_ENTRIES_MAX);
	record_u32s(r, "cpuid", theirs, (size_t)their_count * CPUID_WORDS);
	if (!r->reads || !record_ok(r))
		return;
	if (their_count == count &&
	    memcmp(theirs, ours, (size_t)count * CPUID_WORDS * sizeof(*ours)) == 0)
		return;
	if (vcpus_take_cpuid(vm->vcpus, theirs, their_count, &f) < 0)
		record_refuse(r, "%s", f.text);
}

static void clocks_fields(struct vm *vm, struct state_clocks *c, struct record *r)
{
	uint64_t here = vcpus_clock(vm->vcpus).tsc_hz;

	record_u64(r, "tsc_hz", &c->tsc_hz);
	record_u64(r, "tsc_offset", &c->tsc_offset);
	record_u64(r, "host_tsc", &c->host_tsc);
	record_u64(r, "reference_100ns", &c->reference);
	record_u64(r, "wall_ns", &c->wall_ns);
	if (r->reads && record_ok(r)) {
		uint64_t apart = c->tsc_hz > here ? c->tsc_hz - here : here - c->tsc_hz;

		if (apart > here / 1000000 * PPM_MAX)
			record_refuse(r, "its processors' clocks had %llu Hz, and here have %llu",
				      (unsigned long long)c->tsc_hz, (unsigned long long)here);
	}
}

void state_machine_record(struct vm *vm, struct state_clocks *clocks, struct record *r)
{
	const struct config *c = vm->config;
	struct guid uuid = c->uuid;

	if (!r->reads) {
		struct vcpu_clock clock = vcpus_clock(vm->vcpus);
		struct moment now = moment_now(vm);

		*clocks = (struct state_clocks){
			.tsc_hz = clock.tsc_hz,
			.tsc_offset = clock.tsc_offset,
			.reference = now.reference,
			.wall_ns = now.wall_ns,
			.host_tsc = now.tsc,
		};
	}
	record_bytes(r, "uuid", &uuid, sizeof(uuid));
	if (!guid_equal(&uuid, &c->uuid))
		record_refuse(r, "it is of another VM");
	same_u64(r, "memory_bytes", c->memory_bytes, "memory of");
	same_u64(r, "processors", c->cpus, "processors:");
	same_u64(r, "threads", c->threads, "threads a core:");
	same_u64(r, "firmware", c->firmware, "firmware");
	same_u64(r, "apic_msrs", vm->partition.apic_msrs, "the hypervisor's APIC");
	features(vm, r);
	clocks_fields(vm, clocks, r);
}

/* ---- clocks ---- */

void state_clocks_go_on(struct vm *vm, const struct state_clocks *c)
{
	struct moment now = moment_now(vm);
	uint64_t wall = now.wall_ns, tsc = now.tsc, offset;
	uint64_t passed = wall > c->wall_ns ? wall - c->wall_ns : 0;
	uint64_t ticked = ns_of(tsc - c->host_tsc, c->tsc_hz);
	int64_t apart = (int64_t)(ticked - passed);

	/* Two hosts whose times of day are apart: no more than there was since we heard of it. */
	if (c->most_ns && passed > c->most_ns)
		passed = c->most_ns;
	if (tsc >= c->host_tsc && apart < SAME_CLOCK_NS && apart > -SAME_CLOCK_NS) {
		passed = ticked;
		offset = c->tsc_offset;
	} else {
		offset = c->host_tsc + c->tsc_offset + ticks_of(passed, c->tsc_hz) - tsc;
	}
	vcpus_set_tsc(vm->vcpus, offset, tsc + offset);
	machine_continue(&vm->machine, tsc, c->reference + passed / 100);
}
