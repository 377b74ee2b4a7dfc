/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/metrics.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/cluster.h"
#include "host/cluster_alarms.h"
#include "host/host.h"
#include "host/http.h"
#include "host/vm.h"

#define US_PER_S UINT64_C(1000000)
#define BYTES_PER_MIB (UINT64_C(1) << 20)
#define PATH_PARTS 3

/* A metric that each VM has once, or has not at present: by a function, or else a number in the
 * status of its worker. */
struct family {
	const char *name, *help;
	bool (*value)(const struct vm *vm, uint64_t now_us, uint64_t *ret);
	const char *path[PATH_PARTS];
};

/* ---- values ---- */

static bool take_number(const json_t *value, uint64_t *ret)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(value);
	return true;
}

/* Of the settings; what they leave to the worker is told by it. */
static bool cpus(const struct vm *vm, uint64_t now_us, uint64_t *ret)
{
	(void)now_us;
	return take_number(json_object_get(vm->settings->root, "cpus"), ret) ||
	       take_number(json_object_get(vm->status, "cpus"), ret);
}

static bool memory_bytes(const struct vm *vm, uint64_t now_us, uint64_t *ret)
{
	uint64_t mib;

	(void)now_us;
	if (!take_number(json_object_get(vm->settings->root, "memory_mib"), &mib) ||
	    mib > UINT64_MAX / BYTES_PER_MIB)
		return take_number(json_object_get(vm->status, "memory_bytes"), ret);
	*ret = mib * BYTES_PER_MIB;
	return true;
}

static bool uptime_seconds(const struct vm *vm, uint64_t now_us, uint64_t *ret)
{
	if (!vm->started_us)
		return false;
	*ret = now_us > vm->started_us ? (now_us - vm->started_us) / US_PER_S : 0;
	return true;
}

static bool crash_restarts(const struct vm *vm, uint64_t now_us, uint64_t *ret)
{
	(void)now_us;
	*ret = vm->restarts;
	return true;
}

static bool heartbeat_ok(const struct vm *vm, uint64_t now_us, uint64_t *ret)
{
	const json_t *services = json_object_get(vm->status, "integration");
	const json_t *heartbeat = json_object_get(services, "heartbeat");
	const char *state = json_string_value(json_object_get(heartbeat, "state"));

	(void)now_us;
	*ret = state && strcmp(state, "ok") == 0;
	return state;
}

static const struct family families[] = {
	{"oya_vm_cpus", "Processors of the VM.", cpus, {NULL}},
	{"oya_vm_memory_bytes", "Memory of the VM.", memory_bytes, {NULL}},
	{"oya_vm_uptime_seconds", "Time since the VM was started.", uptime_seconds, {NULL}},
	{"oya_vm_crash_restarts_total",
	 "Starts of the VM by itself after its worker had crashed.",
	 crash_restarts,
	 {NULL}},
	{"oya_vm_heartbeat_ok", "1: the guest's heartbeat is there.", heartbeat_ok, {NULL}},
	{"oya_vm_heartbeat_answers_total",
	 "Answers of the guest's heartbeat.",
	 NULL,
	 {"integration", "heartbeat", "answers"}},
	{"oya_vm_resets_total", "Resets of the VM.", NULL, {"resets"}},
	{"oya_vm_guest_crashes_total", "Crashes that the guest has told of.", NULL, {"crashes"}},
	{"oya_vm_time_syncs_total",
	 "Messages that told the guest the time.",
	 NULL,
	 {"integration", "timesync", "syncs"}},
	{"oya_vm_keystrokes_total",
	 "Presses and releases of keys that the guest has got.",
	 NULL,
	 {"integration", "keyboard", "keystrokes"}},
	{"oya_vm_kvp_entries",
	 "Pairs that the guest tells of itself.",
	 NULL,
	 {"integration", "kvp", "entries"}},
	{"oya_vm_kvp_changes_waiting",
	 "Changes of pairs that the guest has not made yet.",
	 NULL,
	 {"integration", "kvp", "changes_waiting"}},
	{"oya_vm_kvp_changes_made_total",
	 "Changes of pairs that the guest has made.",
	 NULL,
	 {"integration", "kvp", "changes_made"}},
	{"oya_vm_kvp_changes_failed_total",
	 "Changes of pairs that the guest has refused or lost.",
	 NULL,
	 {"integration", "kvp", "changes_failed"}},
};

static bool value_of(const struct family *f, const struct vm *vm, uint64_t now_us, uint64_t *ret)
{
	const json_t *at = vm->status;

	if (f->value)
		return f->value(vm, now_us, ret);
	for (unsigned i = 0; i < PATH_PARTS && f->path[i]; i++)
		at = json_object_get(at, f->path[i]);
	return take_number(at, ret);
}

/* ---- the text; what ends in _total is a counter, else it is a gauge ---- */

static void put_head(FILE *out, const char *name, const char *help)
{
	static const char total[] = "_total";
	size_t len = strlen(name), end = sizeof(total) - 1;
	bool counts = len > end && strcmp(name + len - end, total) == 0;

	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
		counts ? "counter" : "gauge");
}

static void put_one(FILE *out, const char *name, const char *help, uint64_t value)
{
	put_head(out, name, help);
	fprintf(out, "%s %" PRIu64 "\n", name, value);
}

/* The next VM that can be seen behind `at`; NULL: there is none. */
static const struct vm *next_vm(const struct host *h, const struct list *at)
{
	for (at = at->next; at != &h->vms; at = at->next) {
		const struct vm *vm = CONTAINER_OF(at, struct vm, link);

		if (!vm->making)
			return vm;
	}
	return NULL;
}

static void put_vms_by_state(FILE *out, const struct host *h)
{
	unsigned count[VM_LIVES] = {0};

	for (const struct vm *vm = next_vm(h, &h->vms); vm; vm = next_vm(h, &vm->link))
		count[vm->life]++;
	put_head(out, "oya_vms", "VMs by state.");
	for (unsigned i = 0; i < VM_LIVES; i++)
		fprintf(out, "oya_vms{state=\"%s\"} %u\n", vm_life_text(i), count[i]);
}

static void put_identities_and_states(FILE *out, const struct host *h)
{
	put_head(out, "oya_vm_info", "The identity of the VM, always 1.");
	for (const struct vm *vm = next_vm(h, &h->vms); vm; vm = next_vm(h, &vm->link))
		fprintf(out, "oya_vm_info{vm=\"%s\",uuid=\"%s\"} 1\n", vm->name, vm->uuid);
	put_head(out, "oya_vm_state", "1: the VM is in this state.");
	for (const struct vm *vm = next_vm(h, &h->vms); vm; vm = next_vm(h, &vm->link)) {
		for (unsigned i = 0; i < VM_LIVES; i++)
			fprintf(out, "oya_vm_state{vm=\"%s\",state=\"%s\"} %d\n", vm->name,
				vm_life_text(i), vm->life == i);
	}
}

static void put_family(FILE *out, const struct host *h, const struct family *f, uint64_t now_us)
{
	uint64_t value;

	put_head(out, f->name, f->help);
	for (const struct vm *vm = next_vm(h, &h->vms); vm; vm = next_vm(h, &vm->link)) {
		if (value_of(f, vm, now_us, &value))
			fprintf(out, "%s{vm=\"%s\"} %" PRIu64 "\n", f->name, vm->name, value);
	}
}

/* ---- the cluster, as its engine saw it last ---- */

static unsigned count_of(const json_t *list, const char *name, const char *value)
{
	unsigned count = 0;
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, one)
	{
		const json_t *own = json_object_get(one, name);

		count += value ? json_is_string(own) && strcmp(json_string_value(own), value) == 0
			       : json_is_true(own);
	}
	return count;
}

static void put_failovers(FILE *out, const struct host *h)
{
	put_one(out, "oya_cluster_failovers_total",
		"VMs of hosts that were off, started on this host.", h->failovers);
	if (h->failover_s)
		put_one(out, "oya_cluster_last_failover_timestamp_seconds",
			"When the last of them was, since 1970.", (uint64_t)h->failover_s);
}

static void put_age(FILE *out, uint64_t at_us, uint64_t now_us)
{
	put_one(out, "oya_cluster_status_age_seconds", "How long ago the engine said what follows.",
		now_us > at_us ? (now_us - at_us) / US_PER_S : 0);
}

static void put_hosts(FILE *out, const json_t *seen)
{
	const json_t *hosts = json_object_get(seen, "members");
	unsigned online = count_of(hosts, "online", NULL);

	put_head(out, "oya_cluster_hosts", "Hosts of the cluster by state.");
	fprintf(out,
		"oya_cluster_hosts{state=\"online\"} %u\noya_cluster_hosts{state=\"offline\"} %zu\n",
		online, json_array_size(hosts) - online);
	put_one(out, "oya_cluster_quorate", "1: the cluster has a quorum.",
		json_is_true(json_object_get(seen, "quorum")));
}

static void put_resources(FILE *out, const json_t *seen)
{
	static const char *const states[] = {"Started", "Stopped"};
	const json_t *list = json_object_get(seen, "resources");
	unsigned rest = count_of(list, "agent", "ocf:oya:vm"), count[ARRAY_LEN(states)] = {0};
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, one)
	{
		const char *agent = json_string_value(json_object_get(one, "agent"));
		const char *state = json_string_value(json_object_get(one, "state"));

		for (size_t k = 0; agent && state && k < ARRAY_LEN(states); k++)
			count[k] +=
				strcmp(agent, "ocf:oya:vm") == 0 && strcmp(state, states[k]) == 0;
	}
	put_head(out, "oya_cluster_vms", "VMs of the cluster by state.");
	for (size_t k = 0; k < ARRAY_LEN(states); k++) {
		fprintf(out, "oya_cluster_vms{state=\"%s\"} %u\n", k ? "stopped" : "started",
			count[k]);
		rest -= count[k];
	}
	fprintf(out, "oya_cluster_vms{state=\"other\"} %u\n", rest);
}

static void put_alarms(FILE *out, const json_t *seen)
{
	put_head(out, "oya_cluster_alarms", "What is wrong, by kind.");
	for (unsigned i = 0; cluster_alarm_kinds[i]; i++)
		fprintf(out, "oya_cluster_alarms{kind=\"%s\"} %u\n", cluster_alarm_kinds[i],
			count_of(json_object_get(seen, "alarms"), "kind", cluster_alarm_kinds[i]));
}

static void put_cluster(FILE *out, const struct host *h, uint64_t now_us)
{
	const json_t *seen;
	uint64_t at_us;

	if (!cluster_members(h->cluster))
		return;
	put_failovers(out, h);
	seen = cluster_seen(h->cluster, &at_us);
	if (!seen)
		return;
	put_age(out, at_us, now_us);
	put_hosts(out, seen);
	put_resources(out, seen);
	put_alarms(out, seen);
}

/* Names of VMs, UUIDs and our version have no character that a label would have to escape. */
static void put_all(FILE *out, const struct host *h, const struct http_load *load, uint64_t now_us)
{
	put_head(out, "oya_build_info", "The version of the host service, always 1.");
	fputs("oya_build_info{version=\"" OYA_VERSION "\"} 1\n", out);
	put_vms_by_state(out, h);
	put_identities_and_states(out, h);
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		put_family(out, h, &families[i], now_us);
	put_cluster(out, h, now_us);
	put_one(out, "oya_jobs_running", "Jobs that have not ended.", h->jobs_running);
	put_one(out, "oya_jobs_started_total", "Jobs since the service began.", h->job_last);
	put_one(out, "oya_http_connections", "Connections to the API.", load->connections);
	put_one(out, "oya_http_event_streams", "Connections that listen to events.", load->streams);
}

char *metrics_text(const struct host *h, const struct http_load *load, uint64_t now_us,
		   size_t *ret_len)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	bool bad;

	if (!out)
		return NULL;
	put_all(out, h, load, now_us);
	bad = ferror(out);
	if (fclose(out) != 0 || bad) {
		free(text);
		return NULL;
	}
	*ret_len = len;
	return text;
}
