/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Resource agents as Pacemaker knows them (OCF): a program, its action in the command line, its
 * parameters in the environment (OCF_RESKEY_name), its answer an exit status; and for a failure one
 * sentence, which `crm_mon` shows.
 *
 * They are thin: they ask oyad and keep nothing. What bounds them in time is the engine, which ends
 * one that is not done within the timeout of its action.
 *
 * Trust: the environment is the engine's, whose configuration administrators write; answers are
 * oyad's.
 */
#ifndef OYA_CLUSTER_RESOURCE_OCF_H
#define OYA_CLUSTER_RESOURCE_OCF_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/fail.h"

enum ocf {
	OCF_SUCCESS = 0,
	OCF_ERR_GENERIC = 1,
	OCF_ERR_ARGS = 2,
	OCF_ERR_UNIMPLEMENTED = 3,
	OCF_ERR_CONFIGURED = 6,
	OCF_NOT_RUNNING = 7,
};

struct ocf_action {
	const char *name;
	enum ocf (*run)(void);
};

struct ocf_agent {
	const char *name;     /* of the file that it is started by */
	const char *metadata; /* XML */
	const struct ocf_action *actions;
	size_t count;
};

/* A parameter of the resource; NULL: it is not set, or empty. */
const char *ocf_parameter(const char *name);

/* Tells why an action fails, and returns the status. */
enum ocf ocf_fail(enum ocf status, const struct failure *f);

/* One call of oyad's API. 0 with the status and, where there is one, the JSON of the answer (else
 * NULL), of a status of 400 and above also its sentence; or -errno and the sentence. */
struct ocf_call {
	const char *method, *target;
	json_t *body;        /* taken; or NULL */
	unsigned patience_s; /* for an answer; 0: as long as it takes */
};
int ocf_call(const struct ocf_call *call, unsigned *ret_status, json_t **ret_answer,
	     struct failure *f);

/* Whether that failed since oyad does not run, or has just ended: it may come back. */
bool ocf_absent(int r);
/* Until the next try. */
void ocf_pause(void);

/* Does what the command line says. */
enum ocf ocf_main(const struct ocf_agent *const *agents, size_t count, int argc, char **argv);

extern const struct ocf_agent ocf_vm;

#endif
