/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Thousands of histories of a cluster whose hosts lose power, stand still, are cut off from each
 * other in one or both directions and are fenced by power or by reservation, while fencing fails at
 * times, workers crash and VMs move: never do two write to one disk, and once all is well again
 * each VM runs, and once.
 *
 * OYA_SIM_SEED and OYA_SIM_HISTORIES choose other ones. A history that fails names its own seed and
 * number: OYA_SIM_FIRST=number with that seed begins there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/cluster_sim.h"

#define HISTORIES_DEFAULT 10000u
#define FAULTS_MS 90000u
#define REST_MS 90000u
#define PERCENT_RESERVATIONS 40u

uint32_t sim_draw(struct sim *s, uint32_t below)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return (uint32_t)(s->random >> 20) % below;
}

static void tell_host(const struct sim *s, unsigned host)
{
	static const char known[] = "-oUc"; /* absent, online, unclean, clean */
	const struct sim_host *h = &s->host[host];

	printf("# host %u:%s%s%s%s sees %x, book %llu ", host, sim_lives(s, host) ? " lives" : "",
	       h->power ? "" : " off", h->cut ? " cut" : "", h->fenced ? " fenced" : "", h->view,
	       (unsigned long long)h->book.version);
	for (unsigned i = 0; i < s->hosts; i++)
		putchar(known[h->book.host[i]]);
	for (unsigned vm = 0; vm < VMS; vm++)
		printf(" vm %u: step %d%s%s id %llu", vm, h->worker[vm].step,
		       h->worker[vm].runs ? " runs" : "", h->worker[vm].stands ? " stands" : "",
		       (unsigned long long)h->worker[vm].id);
	putchar('\n');
}

void sim_failed(const struct sim *s, const char *what, int line)
{
	printf("not ok 1 - no_disk_has_two_writers_and_each_vm_comes_back\n"
	       "# line %d: %s; seed %llu, history %llu, %u hosts, %s, at %llu ms\n",
	       line, what, (unsigned long long)s->seed, (unsigned long long)s->history, s->hosts,
	       s->reservations ? "reservations" : "power", (unsigned long long)s->now_ms);
	for (unsigned i = 0; i < s->hosts; i++)
		tell_host(s, i);
	fflush(stdout);
	abort();
}

/* ---- faults ---- */

static void cut(struct sim *s)
{
	hosts_t side = sim_draw(s, 1u << s->hosts);
	bool both = sim_draw(s, 3);

	for (unsigned i = 0; i < s->hosts; i++) {
		if (side >> i & 1)
			s->host[i].deaf |= ~side & ((1u << s->hosts) - 1);
		else if (both)
			s->host[i].deaf |= side;
	}
}

static void heal(struct sim *s)
{
	for (unsigned i = 0; i < s->hosts; i++)
		s->host[i].deaf = 0;
}

static void fault(struct sim *s)
{
	unsigned host = sim_draw(s, s->hosts);
	struct sim_host *h = &s->host[host];
	struct worker *w = &h->worker[sim_draw(s, VMS)];

	switch (sim_draw(s, 8)) {
	case 0:
		if (h->power)
			sim_power_off(s, host);
		break;
	case 1:
	case 2:
		if (sim_lives(s, host))
			h->thaws_ms = s->now_ms + 100 + sim_draw(s, 15000);
		break;
	case 3:
		cut(s);
		break;
	case 4:
	case 5:
		heal(s);
		break;
	case 6:
		s->fencing_works = sim_draw(s, 3) != 0;
		break;
	case 7: /* a worker dies; its daemon frees the lease */
		if (sim_lives(s, host) && w->runs && w->step == IDLE) {
			w->runs = false;
			sim_begin(s, host, (unsigned)(w - h->worker), STOP_FREE, 200);
		}
		break;
	}
}

/* ---- a history ---- */

static void power(struct sim *s)
{
	for (unsigned i = 0; i < s->hosts; i++) {
		struct sim_host *h = &s->host[i];

		if (!h->power && sim_draw(s, s->calm ? 20 : 200) == 0)
			sim_boot(s, i);
		if (h->boots_ms && s->now_ms >= h->boots_ms) {
			h->boots_ms = 0;
			for (unsigned vm = 0; vm < VMS; vm++)
				sim_begin(s, i, vm, STOP_FREE, 1000);
		}
		if (h->thaws_ms && s->now_ms >= h->thaws_ms)
			h->thaws_ms = 0;
	}
}

static void tick(struct sim *s)
{
	unsigned first = sim_draw(s, s->hosts);

	s->now_ms += TICK_MS;
	power(s);
	sim_views(s);
	for (unsigned n = 0; n < s->hosts; n++) {
		unsigned host = (first + n) % s->hosts;

		if (sim_lives(s, host))
			sim_host_tick(s, host);
		if (sim_lives(s, host))
			sim_engine_tick(s, host);
	}
}

static void make(struct sim *s)
{
	s->now_ms = 1;
	s->hosts = 2 + sim_draw(s, HOSTS_MAX - 1);
	s->reservations = sim_draw(s, 100) < PERCENT_RESERVATIONS;
	s->fencing_works = true;
	s->calm = false;
	for (unsigned vm = 0; vm < VMS; vm++) {
		SIM_MUST(s, ftruncate(s->lease[vm].fd, 0) == 0);
		s->last_writer[vm] = 0;
	}
	memset(s->host, 0, sizeof(s->host));
	for (unsigned i = 0; i < s->hosts; i++)
		sim_boot(s, i);
}

static void settle(struct sim *s)
{
	heal(s);
	s->fencing_works = true;
	s->calm = true;
	for (unsigned i = 0; i < s->hosts; i++)
		s->host[i].thaws_ms = 0;
	for (uint64_t end = s->now_ms + REST_MS; s->now_ms < end;)
		tick(s);
	for (unsigned vm = 0; vm < VMS; vm++) {
		unsigned runs = 0;

		for (unsigned i = 0; i < s->hosts; i++) {
			const struct worker *w = &s->host[i].worker[vm];

			runs += sim_lives(s, i) && w->runs && !w->stands && !s->host[i].cut;
		}
		SIM_MUST(s, runs == 1);
	}
}

static void history(struct sim *s, uint64_t number)
{
	uint64_t end;

	s->history = number;
	s->random = (s->seed * UINT64_C(1000003) + number) * UINT64_C(0x9e3779b97f4a7c15) + 1;
	make(s);
	/* All come up, or not. */
	for (end = s->now_ms + (sim_draw(s, 4) ? 30000 : 0); s->now_ms < end;)
		tick(s);
	for (end = s->now_ms + FAULTS_MS; s->now_ms < end;) {
		tick(s);
		if (sim_draw(s, 60) == 0)
			fault(s);
	}
	settle(s);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

int main(void)
{
	static struct sim sim;
	struct sim *s = &sim;
	uint64_t first = from_environment("OYA_SIM_FIRST", 0);
	uint64_t histories = from_environment("OYA_SIM_HISTORIES", HISTORIES_DEFAULT);

	s->seed = from_environment("OYA_SIM_SEED", (uint64_t)time(NULL));
	printf("1..1\n# seed %llu, %llu histories\n", (unsigned long long)s->seed,
	       (unsigned long long)histories);
	for (unsigned vm = 0; vm < VMS; vm++) {
		s->lease[vm] = (struct lease_file){.fd = memfd_create("lease", MFD_CLOEXEC),
						   .name = "the lease"};
		SIM_MUST(s, s->lease[vm].fd >= 0);
		s->lease[vm].vm.b[0] = (uint8_t)(0x80 + vm);
	}
	for (uint64_t n = first; n < first + histories; n++)
		history(s, n);
	for (unsigned vm = 0; vm < VMS; vm++)
		lease_close(&s->lease[vm]);
	printf("# %llu starts, %llu with the lease of a host that was off, %llu refused; %llu "
	       "fenced, %llu times in vain; %llu moves begun, %llu done, %llu taken back\n"
	       "ok 1 - no_disk_has_two_writers_and_each_vm_comes_back\n",
	       (unsigned long long)s->count.starts, (unsigned long long)s->count.forced,
	       (unsigned long long)s->count.refused, (unsigned long long)s->count.fenced,
	       (unsigned long long)s->count.fence_failed, (unsigned long long)s->count.moves,
	       (unsigned long long)s->count.moved, (unsigned long long)s->count.taken_back);
	return 0;
}
