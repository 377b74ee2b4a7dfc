/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oya-witness: the disk or file that votes in a cluster. Exit status: 0 done, or told to end; 1 it
 * failed; 2 wrong use.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/guid.h"
#include "cluster/witness/daemon.h"
#include "cluster/witness/region.h"
#include "lib/log.h"

static const char usage[] = "usage: oya-witness [--path PATH]\n"
			    "       oya-witness --init PATH --cluster NAME\n"
			    "       oya-witness --show PATH\n"
			    "       oya-witness --version\n";

static void show_slot(uint32_t node, const struct witness_seen *s)
{
	const struct witness_record *r = &s->record;

	if (s->kind == WITNESS_BAD)
		printf("node %u: unreadable\n", node);
	if (s->kind != WITNESS_GOOD)
		return;
	printf("node %u: %s; written %" PRIu64 " times, last at %" PRIu64, node,
	       witness_state_name(r->state), r->count, r->since_s);
	printf("; partition %u.%" PRIu64 " of nodes", r->ring.node, r->ring.seq);
	for (uint32_t id = 1; id <= WITNESS_NODES_MAX; id++) {
		if (r->ring.members >> (id - 1) & 1)
			printf(" %u", id);
	}
	printf("\n");
}

static int show(const char *path, struct failure *f)
{
	struct witness_seen seen[WITNESS_SLOTS_MAX];
	char id[GUID_TEXT_LEN];
	struct region r;
	int error = region_open(&r, path, f);

	if (error < 0)
		return error;
	error = region_read(&r, seen, f);
	if (error == 0) {
		guid_format(&r.id, id);
		printf("witness %s of the cluster %s\n", id, r.cluster);
		for (uint32_t i = 0; i < WITNESS_SLOTS_MAX; i++)
			show_slot(1 + i / 2, &seen[i]);
	}
	region_close(&r);
	return error;
}

/* Before any thread is made. */
static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

struct wish {
	const char *path, *init, *cluster, *show;
};

static int carry_out(const struct wish *w, struct failure *f)
{
	if (w->init)
		return region_make(w->init, w->cluster, f);
	if (w->show)
		return show(w->show, f);
	block_signals();
	return daemon_run(w->path, f);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"path", required_argument, NULL, 'p'},
		{"init", required_argument, NULL, 'i'},
		{"cluster", required_argument, NULL, 'c'},
		{"show", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	struct wish w = {.path = NULL};
	struct failure f = {"unknown"};
	int option;

	while ((option = getopt_long(argc, argv, "p:i:c:s:hV", options, NULL)) != -1) {
		switch (option) {
		case 'p':
			w.path = optarg;
			break;
		case 'i':
			w.init = optarg;
			break;
		case 'c':
			w.cluster = optarg;
			break;
		case 's':
			w.show = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("oya-witness " OYA_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc || !w.init != !w.cluster || !!w.path + !!w.init + !!w.show > 1) {
		fputs(usage, stderr);
		return 2;
	}
	log_init("oya-witness", LOG_LEVEL_INFO);
	if (carry_out(&w, &f) < 0) {
		log_line(LOG_LEVEL_ERROR, "%s", f.text);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
