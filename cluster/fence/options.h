/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fence agent is told: `name=value` lines on standard input, as the engine does it, or
 * --name=value in the command line. Pure.
 *
 * Trust: the engine's configuration, which administrators write; bounded all the same.
 */
#ifndef OYA_CLUSTER_FENCE_OPTIONS_H
#define OYA_CLUSTER_FENCE_OPTIONS_H

#include "base/guid.h"
#include "cluster/fence/unit.h"

#define OPTIONS_TEXT_MAX 16384u
#define OPTIONS_VALUE_MAX 4096u
#define OPTIONS_DEVICES_MAX 64u
#define OPTIONS_NODES_MAX 32u
#define OPTIONS_NODE_NAME_MAX 256u

struct options_node {
	char name[OPTIONS_NODE_NAME_MAX];
	unsigned number;
};

struct options {
	char action[32];
	char initiator[UNIT_NAME_MAX];
	char plug[OPTIONS_NODE_NAME_MAX], nodename[OPTIONS_NODE_NAME_MAX];
	char self[OPTIONS_NODE_NAME_MAX];
	bool has_cluster;
	struct guid cluster;
	unsigned timeout_s;
	char device[OPTIONS_DEVICES_MAX][UNIT_NAME_MAX]; /* in order of their names */
	unsigned devices;
	struct options_node node[OPTIONS_NODES_MAX];
	unsigned nodes;
};

/* What holds where nothing is told. */
void options_init(struct options *o);

/* One of them. 0; -ENOENT: there is none of that name; -EINVAL; with a sentence. */
int options_set(struct options *o, const char *name, const char *value, struct failure *f);

/* Lines; unknown names are the engine's own matter. `text` is written to. */
int options_read(struct options *o, char *text, struct failure *f);

/* The number of a node by its name, or by the number itself. */
int options_number(const struct options *o, const char *node, unsigned *ret, struct failure *f);

/* That what actions on devices need is there. */
int options_check(const struct options *o, struct failure *f);

#endif
