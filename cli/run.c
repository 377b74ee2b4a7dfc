/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oya run: one VM in the foreground, with its console on the terminal. The options become the
 * worker's configuration (docs/format/worker-config.md); whether they make sense together is for
 * the worker to say.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/foreground.h"
#include "cli/values.h"
#include "lib/fail.h"

static const char help_text[] =
	"usage: oya run --kernel FILE [OPTION...]\n"
	"       oya run --firmware bios --disk FILE [OPTION...]\n"
	"\n"
	"Runs one VM in the foreground until its guest powers off.\n"
	"\n"
	"  --kernel FILE     Linux kernel: vmlinuz (bzImage) or ELF\n"
	"  --initrd FILE     its initial RAM disk\n"
	"  --append TEXT     its command line; may be given more than once\n"
	"  --firmware bios   boot from the disks and drives by their own boot loaders, in their order\n"
	"  --disk FILE[,ro][,cache=none|writeback][,controller=N][,lun=N][,serial=TEXT]\n"
	"      [,sector-size=512|4096][,on-error=pause|report]\n"
	"                    raw image or block device; up to 64 a controller\n"
	"  --dvd FILE|empty[,controller=N][,lun=N]\n"
	"                    DVD-ROM drive with an ISO image or nothing in it\n"
	"  --controllers N   SCSI controllers, up to 4; default those that have disks\n"
	"  --scsi-queues N   channels of a controller, up to 16; default one a processor, up to 8\n"
	"  --disk-timeout S  pause the VM when a disk does not answer for S seconds; default 60, 0: never\n"
	"  --net user[,mac=MAC][,forward=tcp|udp:[ADDRESS:]PORT:GUESTPORT...]\n"
	"                    NIC with user-mode networking; nothing is set up on the host\n"
	"  --net tap=IF[,mac=MAC]\n"
	"                    NIC on the tap interface IF; both take [,mtu=N][,queues=N]\n"
	"                    [,spoof-guard]\n"
	"  --memory SIZE     such as 512M or 4G; default 1G\n"
	"  --cpus N          virtual processors, 1 to 64; default 1\n"
	"  --memory-pages transparent|4k|2m|1g\n"
	"                    pages of the host that the memory is made of\n"
	"  --threads N       threads of each core, 1 or 2; default 1\n"
	"  --numa memory=SIZE[,cpus=N][,host=NODE]\n"
	"                    a NUMA node of the guest; once for each\n"
	"  --pin LIST[:LIST...]\n"
	"                    the host's processors for each of the guest's, such as 0-3,8\n"
	"  --name NAME       for messages; default vm\n"
	"  --uuid UUID       identity that the guest sees; default a new one\n"
	"  --console stdio|pty|none|socket=PATH\n"
	"                    where the serial port leads; default stdio\n"
	"  --control PATH    control socket\n"
	"  --device PATH     interface to the processors; /dev/oya if there, else /dev/kvm\n"
	"  --no-unpack       let the guest decompress its kernel\n"
	"  --no-sandbox      keep the worker's rights; only for guests that you trust\n"
	"  --vmbus VERSION   offer VMBus up to this version only, such as 4.0\n"
	"  --stimer          offer synthetic timers\n"
	"  --stimer-messages the same without direct mode\n"
	"\n"
	"On the console, Ctrl-] begins a command: s asks the guest to shut down, r resets,\n"
	"n sends an NMI, q switches off, ? lists these, Ctrl-] sends itself.\n";

struct run_options {
	json_t *config, *boot, *disks, *nics, *nodes;
	char *append;
	char *control;
	bool stdio, help;
};

/* A value that is not written as it is to be. */
static int refuse(const struct cli_verb *verb, int code, const struct failure *f)
{
	return code == 0 ? 0 : cli_usage(verb, "%s", f->text);
}

static int set_text(const struct cli_verb *verb, json_t *obj, const char *key, const char *text)
{
	struct failure f;

	return refuse(verb, value_set_text(obj, key, text, &f), &f);
}

static int set_number(const struct cli_verb *verb, json_t *obj, const char *key, const char *text)
{
	struct failure f;

	return refuse(verb, value_set_number(obj, key, text, &f), &f);
}

static int add_unit(const struct cli_verb *verb, struct run_options *o, const char *argument,
		    bool dvd)
{
	json_t *unit = NULL;
	struct failure f;
	int code = value_unit(argument, dvd, "path", &unit, &f);

	if (code == 0)
		json_array_append_new(o->disks, unit);
	return refuse(verb, code, &f);
}

static int add_disk(const struct cli_verb *verb, struct run_options *o, const char *argument)
{
	return add_unit(verb, o, argument, false);
}

static int add_dvd(const struct cli_verb *verb, struct run_options *o, const char *argument)
{
	return add_unit(verb, o, argument, true);
}

static int add_nic(const struct cli_verb *verb, struct run_options *o, const char *argument)
{
	json_t *nic = NULL;
	struct failure f;
	int code = value_nic(argument, &nic, &f);

	if (code == 0)
		json_array_append_new(o->nics, nic);
	return refuse(verb, code, &f);
}

static int take_size(const struct cli_verb *verb, const char *argument, json_int_t *ret_mib)
{
	struct failure f;

	return refuse(verb, value_memory(argument, ret_mib, &f), &f);
}

static int set_memory(const struct cli_verb *verb, struct run_options *o, const char *argument)
{
	json_int_t mib;
	int status = take_size(verb, argument, &mib);

	return status == 0 ? json_object_set_new(o->config, "memory_mib", json_integer(mib))
			   : status;
}

static int add_node(const struct cli_verb *verb, struct run_options *o, const char *argument)
{
	char *copy = strdup(argument), *rest = copy, *name, *value;
	json_t *node = json_object();
	json_int_t mib;
	int status = 0;

	while (status == 0 && value_next_part(&rest, &name, &value)) {
		if (strcmp(name, "memory") == 0 && value) {
			status = take_size(verb, value, &mib);
			if (status == 0)
				json_object_set_new(node, "memory_mib", json_integer(mib));
		} else if (strcmp(name, "cpus") == 0 && value) {
			status = set_number(verb, node, "cpus", value);
		} else if (strcmp(name, "host") == 0 && value) {
			status = set_number(verb, node, "host_node", value);
		} else {
			status = cli_usage(verb, "a node has no option '%s'", name);
		}
	}
	json_array_append_new(o->nodes, node);
	free(copy);
	return status;
}

static int set_pin(const struct cli_verb *verb, struct run_options *o, const char *argument)
{
	char *copy = strdup(argument), *rest = copy, *list;
	json_t *pin = json_array();
	int status = 0;

	while (status == 0 && (list = strsep(&rest, ":"))) {
		if (json_array_append_new(pin, json_string(list)) < 0)
			status = cli_usage(verb, "the list of processors is not UTF-8 text");
	}
	json_object_set_new(o->config, "pin", pin);
	free(copy);
	return status;
}

static int set_console(const struct cli_verb *verb, struct run_options *o, const char *argument)
{
	static const char *const types[] = {"stdio", "pty", "none"};
	const char *path = strncmp(argument, "socket=", 7) == 0 ? argument + 7 : NULL;
	json_t *console = json_object();
	int status = 0;
	size_t i = 0;

	json_object_set_new(o->config, "console", console);
	while (!path && i < ARRAY_LEN(types) && strcmp(argument, types[i]) != 0)
		i++;
	if (i == ARRAY_LEN(types) || (path && !*path))
		return cli_usage(verb, "'%s' is no console: stdio, pty, none or socket=PATH",
				 argument);
	o->stdio = !path && i == 0;
	json_object_set_new(console, "type", json_string(path ? "socket" : types[i]));
	if (path)
		status = set_text(verb, console, "path", path);
	return status;
}

static int add_append(const struct cli_verb *verb, struct run_options *o, const char *text)
{
	char *joined = NULL;

	(void)verb;
	if (asprintf(&joined, "%s%s%s", o->append ? o->append : "", o->append ? " " : "", text) < 0)
		return EXIT_FAILURE;
	free(o->append);
	o->append = joined;
	return 0;
}

static int set_control(const struct cli_verb *verb, struct run_options *o, const char *argument)
{
	(void)verb;
	free(o->control);
	o->control = strdup(argument);
	return 0;
}

static int set_stimer(const struct cli_verb *verb, struct run_options *o, const char *argument)
{
	(void)verb;
	(void)argument;
	return json_object_set_new(o->config, "enlightenments", json_pack("{s:b}", "stimer", 1));
}

static int set_stimer_messages(const struct cli_verb *verb, struct run_options *o,
			       const char *argument)
{
	(void)verb;
	(void)argument;
	return json_object_set_new(o->config, "enlightenments",
				   json_pack("{s:b, s:b}", "stimer", 1, "stimer_direct", 0));
}

static int set_help(const struct cli_verb *verb, struct run_options *o, const char *argument)
{
	(void)verb;
	(void)argument;
	o->help = true;
	return 0;
}

/* An option and what becomes of it: a setting of the configuration, or a call. */
static const struct rule {
	const char *name;
	int argument; /* no_argument or required_argument */
	enum { TEXT, NUMBER, OFF, BOOT_TEXT, BOOT_OFF, CALL } kind;
	const char *key;
	int (*call)(const struct cli_verb *verb, struct run_options *o, const char *argument);
} rules[] = {
	{"kernel", required_argument, BOOT_TEXT, "kernel", NULL},
	{"initrd", required_argument, BOOT_TEXT, "initrd", NULL},
	{"append", required_argument, CALL, NULL, add_append},
	{"firmware", required_argument, BOOT_TEXT, "firmware", NULL},
	{"disk", required_argument, CALL, NULL, add_disk},
	{"dvd", required_argument, CALL, NULL, add_dvd},
	{"controllers", required_argument, NUMBER, "controllers", NULL},
	{"disk-timeout", required_argument, NUMBER, "disk_timeout", NULL},
	{"scsi-queues", required_argument, NUMBER, "scsi_queues", NULL},
	{"net", required_argument, CALL, NULL, add_nic},
	{"memory", required_argument, CALL, NULL, set_memory},
	{"cpus", required_argument, NUMBER, "cpus", NULL},
	{"memory-pages", required_argument, TEXT, "memory_pages", NULL},
	{"threads", required_argument, NUMBER, "threads", NULL},
	{"numa", required_argument, CALL, NULL, add_node},
	{"pin", required_argument, CALL, NULL, set_pin},
	{"name", required_argument, TEXT, "name", NULL},
	{"uuid", required_argument, TEXT, "uuid", NULL},
	{"console", required_argument, CALL, NULL, set_console},
	{"control", required_argument, CALL, NULL, set_control},
	{"device", required_argument, TEXT, "device", NULL},
	{"no-unpack", no_argument, BOOT_OFF, "unpack", NULL},
	{"no-sandbox", no_argument, OFF, "sandbox", NULL},
	{"vmbus", required_argument, TEXT, "vmbus_max_version", NULL},
	{"stimer", no_argument, CALL, NULL, set_stimer},
	{"stimer-messages", no_argument, CALL, NULL, set_stimer_messages},
	{"help", no_argument, CALL, NULL, set_help},
};

static int take_option(const struct cli_verb *verb, struct run_options *o, const struct rule *rule)
{
	switch (rule->kind) {
	case TEXT:
		return set_text(verb, o->config, rule->key, optarg);
	case NUMBER:
		return set_number(verb, o->config, rule->key, optarg);
	case OFF:
		return json_object_set_new(o->config, rule->key, json_false());
	case BOOT_TEXT:
		return set_text(verb, o->boot, rule->key, optarg);
	case BOOT_OFF:
		return json_object_set_new(o->boot, rule->key, json_false());
	case CALL:
	default:
		return rule->call(verb, o, optarg);
	}
}

static int take_options(const struct cli_verb *verb, struct run_options *o, int argc, char **argv)
{
	struct option options[ARRAY_LEN(rules) + 1] = {0};
	int id, status = 0;

	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		options[i] = (struct option){rules[i].name, rules[i].argument, NULL, (int)i + 1};
	opterr = 0;
	optind = 1;
	while (status == 0 && !o->help &&
	       (id = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (id == ':')
			status = cli_usage(verb, "'%s' lacks its argument", argv[optind - 1]);
		else if (id == '?')
			status = cli_usage(verb, "'%s' is no option", argv[optind - 1]);
		else
			status = take_option(verb, o, &rules[id - 1]);
	}
	if (o->help)
		return 0;
	if (status == 0 && optind < argc)
		status = cli_usage(verb, "'%s' is not expected", argv[optind]);
	if (status == 0 && !json_object_get(o->boot, "kernel") &&
	    !json_object_get(o->boot, "firmware"))
		status = cli_usage(verb, "--kernel or --firmware is missing");
	return status < 0 ? EXIT_FAILURE : status;
}

static void default_console(struct run_options *o)
{
	if (!json_object_get(o->config, "console"))
		json_object_set_new(o->config, "console", json_pack("{s:s}", "type", "stdio"));
}

/* Hands the options to a worker and waits for its end. */
static int run_vm(const struct cli_verb *verb, struct run_options *o)
{
	struct failure f;
	int status;

	if (o->append && set_text(verb, o->boot, "append", o->append) != 0)
		return EXIT_USAGE;
	json_object_set(o->config, "boot", o->boot);
	json_object_set(o->config, "disks", o->disks);
	json_object_set(o->config, "nics", o->nics);
	if (json_array_size(o->nodes))
		json_object_set(o->config, "numa", o->nodes);
	default_console(o);
	status = foreground_run(o->config, o->control, o->stdio, &f);
	if (status < 0) {
		fprintf(stderr, "oya: %s\n", f.text);
		status = EXIT_FAILURE;
	}
	return status;
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
	struct run_options o = {
		.config = json_pack("{s:i}", "version", 1),
		.boot = json_object(),
		.disks = json_array(),
		.nics = json_array(),
		.nodes = json_array(),
		.stdio = true,
	};
	int status = take_options(verb, &o, argc, argv);

	if (o.help)
		fputs(verb->help, stdout);
	else if (status == 0)
		status = run_vm(verb, &o);
	json_decref(o.config);
	json_decref(o.boot);
	json_decref(o.disks);
	json_decref(o.nics);
	json_decref(o.nodes);
	free(o.append);
	free(o.control);
	return status;
}

const struct cli_verb cli_verb_run = {
	.name = "run",
	.summary = "run one VM in the foreground",
	.help = help_text,
	.run = run,
};
