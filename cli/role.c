/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/role.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"

static const char help_text[] =
	"usage: oya role install [--from DIR] [--dry-run]\n"
	"       oya role remove [--dry-run]\n"
	"       oya role status [-o json]\n"
	"\n"
	"The hypervisor's role of this host. With it the hypervisor starts first at the next\n"
	"boot, and the system that is installed goes on as its parent partition.\n"
	"\n"
	"Options:\n"
	"  --from DIR        where the hypervisor's parts are; default " OYA_PARTS "\n"
	"  --dry-run         tell what would be done, and do nothing\n"
	"  -o, --output FORMAT\n"
	"                    text or json\n"
	"  --help            this text\n";

struct role_options {
	const char *from;
	bool dry, json, help;
};

static const char *next_boot(const struct role_host *h, const struct role_installed *i)
{
	if (!i->entry)
		return h->is_parent ? "plain Linux: the role is removed" : "plain Linux";
	switch (i->state) {
	case ROLE_FAILED:
		return "plain Linux: the last boot with the hypervisor did not come up; "
		       "'oya role install' has it tried again";
	case ROLE_TRYING:
		return h->is_parent
			       ? "plain Linux, unless oya-role.service notes that this boot came up"
			       : "plain Linux: the last boot with the hypervisor did not come up";
	default:
		return "the hypervisor, and this system as its parent partition";
	}
}

static const char *state_name(enum role_state state)
{
	static const char *const names[] = {"never tried", "good", "trying", "failed"};

	return names[state];
}

static void show_json(const struct role_host *h, const struct role_installed *i)
{
	bool hypervisor = i->entry && (i->state == ROLE_GOOD || i->state == ROLE_NEVER_TRIED);
	json_t *all =
		json_pack("{s:b, s:s, s:b, s:i, s:b, s:s, s:s}", "installed", i->entry, "version",
			  i->version, "parent", h->is_parent, "interface", (int)h->interface,
			  "driver_loaded", i->driver_loaded, "last_boot", state_name(i->state),
			  "next_boot", hypervisor ? "hypervisor" : "linux");

	json_dumpf(all, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(all);
}

static int status(const struct role_options *o, struct failure *f)
{
	struct role_host host;
	struct role_installed installed;

	(void)f;
	role_host_read(&host);
	role_installed_read(&installed);
	if (o->json) {
		show_json(&host, &installed);
		return 0;
	}
	printf("Role:         %s%s\n", installed.entry ? "installed, version " : "not installed",
	       installed.version);
	if (host.is_parent)
		printf("This system:  the parent partition of oya-hv, interface %u\n",
		       host.interface);
	else
		printf("This system:  plain Linux\n");
	printf("Driver:       %s\n",
	       installed.driver_loaded ? "loaded, VMs run on /dev/oya" : "not loaded");
	printf("Next boot:    %s\n", next_boot(&host, &installed));
	return 0;
}

static int install(const struct role_options *o, struct failure *f)
{
	int r = role_install(o->from, o->dry, f);

	if (r == 0)
		printf("At the next boot the hypervisor%s first. If that boot does not come up, the one "
		       "after it starts this system as it is now.\n",
		       o->dry ? " would start" : " starts");
	return r;
}

static int withdraw(const struct role_options *o, struct failure *f)
{
	int r = role_remove(o->dry, f);

	if (r == 0)
		printf("From the next boot on this system %s without the hypervisor.\n",
		       o->dry ? "would start" : "starts");
	return r;
}

static int settle(const struct role_options *o, struct failure *f)
{
	(void)o;
	return role_settle(f);
}

static const struct {
	const char *name;
	int (*run)(const struct role_options *o, struct failure *f);
} verbs[] = {
	{"install", install},
	{"remove", withdraw},
	{"status", status},
	{"settle", settle}, /* oya-role.service */
};

static int take_options(const struct cli_verb *verb, struct role_options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{"from", required_argument, NULL, 'f'},
		{"dry-run", no_argument, NULL, 'd'},
		{"output", required_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int id;

	opterr = 0;
	while ((id = getopt_long(argc, argv, ":o:", options, NULL)) != -1) {
		switch (id) {
		case 'f':
			o->from = optarg;
			break;
		case 'd':
			o->dry = true;
			break;
		case 'o':
			o->json = strcmp(optarg, "json") == 0;
			if (!o->json && strcmp(optarg, "text") != 0)
				return cli_usage(verb, "'%s' is no format", optarg);
			break;
		case 'h':
			o->help = true;
			return 0;
		case ':':
			return cli_usage(verb, "'%s' lacks its argument", argv[optind - 1]);
		default:
			return cli_usage(verb, "'%s' is no option", argv[optind - 1]);
		}
	}
	return 0;
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
	struct role_options o = {.from = OYA_PARTS};
	struct failure f;
	int r = take_options(verb, &o, argc, argv);

	if (r != 0)
		return r;
	if (o.help) {
		fputs(verb->help, stdout);
		return 0;
	}
	if (optind + 1 != argc)
		return cli_usage(verb,
				 optind < argc ? "'%s' is one word too many"
					       : "it wants install, remove or status%s",
				 optind < argc ? argv[argc - 1] : "");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strcmp(argv[optind], verbs[i].name) != 0)
			continue;
		r = verbs[i].run(&o, &f);
		if (r < 0)
			fprintf(stderr, "oya role: %s\n", f.text);
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	return cli_usage(verb, "'%s' is none of install, remove and status", argv[optind]);
}

const struct cli_verb cli_verb_role = {
	.name = "role",
	.summary = "add or remove the hypervisor beneath this host",
	.help = help_text,
	.run = run,
};
