/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/util.h"
#include "host/host.h"

static const char *const states[] = {
	[JOB_RUNNING] = "running", [JOB_DONE] = "done", [JOB_FAILED] = "failed"};

struct job *job_new(struct host *h, const char *what, const char *vm)
{
	struct job *j = h->jobs_running < JOBS_RUNNING_MAX ? calloc(1, sizeof(*j)) : NULL;

	if (!j)
		return NULL;
	j->id = ++h->job_last;
	j->began_s = time(NULL);
	snprintf(j->what, sizeof(j->what), "%s", what);
	snprintf(j->vm, sizeof(j->vm), "%s", vm);
	list_append(&h->jobs, &j->link);
	h->jobs_running++;
	host_publish(h, "job", job_show(j));
	return j;
}

static void job_free(struct job *j)
{
	json_decref(j->log);
	json_decref(j->details);
	free(j);
}

/* The oldest of those that have ended. */
static void forget_one(struct host *h)
{
	for (struct list *at = h->jobs.next; at != &h->jobs; at = at->next) {
		struct job *j = CONTAINER_OF(at, struct job, link);

		if (j->state == JOB_RUNNING)
			continue;
		list_remove(at);
		job_free(j);
		h->jobs_ended--;
		return;
	}
}

void job_progress(struct host *h, struct job *job, unsigned percent)
{
	if (percent == job->percent)
		return;
	job->percent = percent;
	host_publish(h, "job", job_show(job));
}

void job_details(struct host *h, struct job *job, json_t *details)
{
	json_decref(job->details);
	job->details = details;
	host_publish(h, "job", job_show(job));
}

void job_log(struct host *h, struct job *job, const char *sentence)
{
	if (!job->log)
		job->log = json_array();
	if (json_array_size(job->log) >= JOB_LOG_MAX)
		return;
	json_array_append_new(job->log, json_string(sentence));
	host_publish(h, "job", job_show(job));
}

void job_end(struct host *h, struct job *job, const char *sentence)
{
	job->state = sentence ? JOB_FAILED : JOB_DONE;
	if (!sentence && job->percent)
		job->percent = 100;
	job->ended_s = time(NULL);
	job->cancel = NULL;
	snprintf(job->problem, sizeof(job->problem), "%s", sentence ? sentence : "");
	h->jobs_running--;
	h->jobs_ended++;
	host_publish(h, "job", job_show(job));
	while (h->jobs_ended > JOBS_ENDED_MAX)
		forget_one(h);
}

struct job *job_find(const struct host *h, uint64_t id)
{
	for (struct list *at = h->jobs.next; at != &h->jobs; at = at->next) {
		struct job *j = CONTAINER_OF(at, struct job, link);

		if (j->id == id)
			return j;
	}
	return NULL;
}

json_t *job_show(const struct job *j)
{
	return json_pack("{s:I, s:s, s:s, s:s, s:s, s:I, s:o, s:o*, s:O*, s:O*}", "id",
			 (json_int_t)j->id, "what", j->what, "vm", j->vm, "state", states[j->state],
			 "problem", j->problem, "began", (json_int_t)j->began_s, "ended",
			 j->ended_s ? json_integer(j->ended_s) : json_null(), "progress",
			 j->percent ? json_integer(j->percent) : NULL, "log", j->log, "details",
			 j->details);
}

void jobs_done(struct host *h)
{
	struct list *first;

	while ((first = list_pop(&h->jobs)))
		job_free(CONTAINER_OF(first, struct job, link));
}
