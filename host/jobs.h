/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Long work, which a client is told of at once and asks for later. Jobs are kept in memory: after
 * the daemon's own restart what was under way is seen by what it was to change.
 *
 * Threads: the loop's.
 */
#ifndef OYA_HOST_JOBS_H
#define OYA_HOST_JOBS_H

#include <jansson.h>
#include <stdint.h>

#include "base/list.h"
#include "lib/fail.h"

#define JOBS_ENDED_MAX 256u /* that are remembered */
#define JOBS_RUNNING_MAX 4096u
#define JOB_LOG_MAX 64u /* sentences */

struct host;

enum job_state { JOB_RUNNING, JOB_DONE, JOB_FAILED };

struct job {
	struct list link;
	uint64_t id;
	char what[32]; /* "start", ... */
	char vm[80];   /* its name; or empty */
	enum job_state state;
	unsigned percent; /* of it is done; told when it is above 0 */
	char problem[FAIL_TEXT_MAX];
	int64_t began_s, ended_s; /* since 1970; 0: not yet */
	json_t *log;              /* sentences; or NULL */
	json_t *details;          /* more of how far it is; or NULL */
	/* Ends it early: job_end() follows. NULL: it cannot be cancelled. */
	void (*cancel)(void *ctx);
	void *ctx;
};

/* A job that runs; kept by the host for some time after job_end(). NULL: too many, or no memory.
 */
struct job *job_new(struct host *h, const char *what, const char *vm);

/* Tells how far it is, 0 to 100. */
void job_progress(struct host *h, struct job *job, unsigned percent);

/* More of how far it is, an object that is taken. */
void job_details(struct host *h, struct job *job, json_t *details);

/* A sentence that whoever asked for it should read. */
void job_log(struct host *h, struct job *job, const char *sentence);

/* NULL: done; else why it failed. */
void job_end(struct host *h, struct job *job, const char *sentence);

struct job *job_find(const struct host *h, uint64_t id);
json_t *job_show(const struct job *job);
void jobs_done(struct host *h);

#endif
