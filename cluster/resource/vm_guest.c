/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cluster/resource/vm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/probe.h"
#include "lib/store.h"

#define HEARTBEAT 10 /* levels of monitoring */
#define PROBE 20
#define FAILURES 3
#define FAILURES_MAX 1000
#define LIMIT_MS 5000u /* of one probe */
#define NOTE_FILE "probe"
#define NOTE_BYTES_MAX 128u

/* What is noted of probes of one run of a guest. */
struct note {
	uint64_t worker_ns, resets; /* which one */
	unsigned answered, failures;
};

static int level(void)
{
	const char *text = getenv("OCF_CHECK_LEVEL");

	return text ? atoi(text) : 0;
}

/* 0 and, where there is one, the probe as text (else NULL); or -EINVAL and the sentence. */
static int take_probe(const char **ret_text, struct probe *ret_probe, unsigned *ret_failures,
		      struct failure *f)
{
	const char *failures = ocf_parameter("probe_failures");
	int count = failures ? atoi(failures) : FAILURES;

	if (count < 1 || count > FAILURES_MAX)
		return fail(f, -EINVAL, "the parameter 'probe_failures' is not 1 to %d",
			    FAILURES_MAX);
	*ret_text = ocf_parameter("probe");
	*ret_failures = (unsigned)count;
	return *ret_text ? probe_decode(*ret_text, ret_probe, f) : 0;
}

int vm_guest_check(struct failure *f)
{
	struct probe probe;
	unsigned failures;
	const char *text;

	return take_probe(&text, &probe, &failures, f);
}

/* ---- notes ---- */

/* Nothing is known yet of another worker, nor since a reset. */
static struct note note_read(const struct resource *r, const json_t *vm)
{
	const json_t *resets = json_object_get(json_object_get(vm, "status"), "resets");
	struct note now = {.resets = (uint64_t)json_integer_value(resets)}, old;
	char path[PATH_MAX], *text;
	struct failure ignored;
	struct stat st;
	size_t len;

	vm_run_path(r, "end", path);
	if (stat(path, &st) == 0)
		now.worker_ns = (uint64_t)st.st_ctim.tv_sec * UINT64_C(1000000000) +
				(uint64_t)st.st_ctim.tv_nsec;
	vm_run_path(r, NOTE_FILE, path);
	if (store_read(path, NOTE_BYTES_MAX, &text, &len, &ignored) < 0)
		return now;
	if (sscanf(text, "%20" SCNu64 " %20" SCNu64 " %1u %9u", &old.worker_ns, &old.resets,
		   &old.answered, &old.failures) == 4 &&
	    old.worker_ns == now.worker_ns && old.resets == now.resets)
		now = old;
	free(text);
	return now;
}

static void note_write(const struct resource *r, const struct note *n)
{
	char folder[PATH_MAX], text[NOTE_BYTES_MAX];
	struct failure f;
	int len = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64 " %u %u\n", n->worker_ns,
			   n->resets, n->answered, n->failures);

	vm_run_path(r, "", folder);
	if (store_write(folder, NOTE_FILE, text, (size_t)len, &f) < 0)
		fprintf(stderr, "%s\n", f.text);
}

/* ---- judged ---- */

static enum ocf judge_heartbeat(const struct resource *r, const json_t *vm)
{
	const json_t *services = json_object_get(json_object_get(vm, "status"), "integration");
	const char *heartbeat =
		json_string_value(json_object_get(json_object_get(services, "heartbeat"), "state"));
	struct failure f;

	if (!heartbeat || strcmp(heartbeat, "lost-contact") != 0)
		return OCF_SUCCESS;
	fail(&f, -ETIMEDOUT, "the guest of the VM '%s' does not answer heartbeats any more",
	     r->name);
	return ocf_fail(OCF_ERR_GENERIC, &f);
}

static enum ocf judge_probe(const struct resource *r, const json_t *vm)
{
	struct note before = note_read(r, vm), now = before;
	struct failure f = {""}, why = {""};
	struct probe probe;
	unsigned most;
	const char *text;

	if (take_probe(&text, &probe, &most, &f) < 0)
		fprintf(stderr, "the guest is not probed: %s\n", f.text);
	if (f.text[0] || !text)
		return OCF_SUCCESS;
	if (probe_run(&probe, LIMIT_MS, &why) == 0) {
		now.answered = 1;
		now.failures = 0;
	} else if (before.answered) {
		now.failures++;
	}
	if (now.answered != before.answered || now.failures != before.failures)
		note_write(r, &now);
	if (now.failures < most)
		return OCF_SUCCESS;
	fail(&f, -ETIMEDOUT, "the guest of the VM '%s' does not answer %.200s (%u times): %.100s",
	     r->name, text, now.failures, why.text);
	return ocf_fail(OCF_ERR_GENERIC, &f);
}

enum ocf vm_guest_judge(const struct resource *r, const json_t *vm)
{
	enum ocf said = level() >= HEARTBEAT ? judge_heartbeat(r, vm) : OCF_SUCCESS;

	return said == OCF_SUCCESS && level() >= PROBE ? judge_probe(r, vm) : said;
}
