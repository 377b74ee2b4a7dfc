/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/integration.h"

#include <errno.h>
#include <string.h>

static uint64_t reference_100ns(void *ctx)
{
	return machine_reference_time(ctx);
}

static const struct timesync_host timesync_host = {.reference_100ns = reference_100ns};

static void shutdown_answered(void *ctx, int result, uint32_t status)
{
	(void)ctx;
	if (result < 0)
		log_line(LOG_LEVEL_WARNING,
			 "the guest did not take the request to shut down: %s (status %#x)",
			 strerror(-result), status);
}

static const struct shutdown_host shutdown_host = {.answered = shutdown_answered};

static void heartbeat_changed(void *ctx, enum heartbeat_health health)
{
	(void)ctx;
	if (health == HEARTBEAT_LOST)
		log_line(LOG_LEVEL_WARNING, "the guest does not answer heartbeats any more");
}

int integration_init(struct integration *in, struct machine *machine, struct failure *f)
{
	struct ic_env env = {
		.bus = machine->bus,
		.timers = loop_timers(machine->loop),
		.clock = &machine_clock,
	};
	int r;

	*in = (struct integration){0};
	r = heartbeat_new(&env, heartbeat_changed, NULL, &in->heartbeat);
	if (r == 0)
		r = shutdown_new(&env, &shutdown_host, NULL, &in->shutdown);
	if (r == 0)
		r = timesync_new(&env, &timesync_host, machine, &in->timesync);
	if (r == 0)
		r = kvp_new(&env, &in->kvp);
	if (r == 0)
		r = keyboard_new(machine->bus, &in->keyboard);
	return r < 0 ? fail(f, r, "cannot make the integration services: %s", strerror(-r)) : 0;
}

void integration_done(struct integration *in)
{
	keyboard_free(in->keyboard);
	kvp_free(in->kvp);
	timesync_free(in->timesync);
	shutdown_free(in->shutdown);
	heartbeat_free(in->heartbeat);
	*in = (struct integration){0};
}
