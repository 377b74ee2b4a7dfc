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
#include "lib/fail.h"

enum option_id {
	OPT_KERNEL = 1,
	OPT_INITRD,
	OPT_APPEND,
	OPT_DISK,
	OPT_NET,
	OPT_MEMORY,
	OPT_CPUS,
	OPT_NAME,
	OPT_UUID,
	OPT_CONSOLE,
	OPT_CONTROL,
	OPT_DEVICE,
	OPT_NO_UNPACK,
	OPT_NO_SANDBOX,
	OPT_VMBUS,
	OPT_STIMER,
	OPT_HELP,
};

static const struct option options[] = {
	{"kernel", required_argument, NULL, OPT_KERNEL},
	{"initrd", required_argument, NULL, OPT_INITRD},
	{"append", required_argument, NULL, OPT_APPEND},
	{"disk", required_argument, NULL, OPT_DISK},
	{"net", required_argument, NULL, OPT_NET},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"cpus", required_argument, NULL, OPT_CPUS},
	{"name", required_argument, NULL, OPT_NAME},
	{"uuid", required_argument, NULL, OPT_UUID},
	{"console", required_argument, NULL, OPT_CONSOLE},
	{"control", required_argument, NULL, OPT_CONTROL},
	{"device", required_argument, NULL, OPT_DEVICE},
	{"no-unpack", no_argument, NULL, OPT_NO_UNPACK},
	{"no-sandbox", no_argument, NULL, OPT_NO_SANDBOX},
	{"vmbus", required_argument, NULL, OPT_VMBUS},
	{"stimer", no_argument, NULL, OPT_STIMER},
	{"help", no_argument, NULL, OPT_HELP},
	{0},
};

static const char help_text[] =
	"usage: oya run --kernel FILE [OPTION...]\n"
	"\n"
	"Runs one VM in the foreground until its guest powers off.\n"
	"\n"
	"  --kernel FILE     Linux kernel: vmlinuz (bzImage) or ELF\n"
	"  --initrd FILE     its initial RAM disk\n"
	"  --append TEXT     its command line; may be given more than once\n"
	"  --disk FILE[,ro][,cache=none|writeback]\n"
	"                    raw image or block device; up to 64\n"
	"  --net user[,mac=MAC][,forward=tcp|udp:[ADDRESS:]PORT:GUESTPORT...]\n"
	"                    NIC with user-mode networking; nothing is set up on the host\n"
	"  --net tap=IF[,mac=MAC]\n"
	"                    NIC on the tap interface IF; both take [,mtu=N][,queues=N]\n"
	"                    [,spoof-guard]\n"
	"  --memory SIZE     such as 512M or 4G; default 1G\n"
	"  --cpus N          virtual processors, 1 to 64; default 1\n"
	"  --name NAME       for messages; default vm\n"
	"  --uuid UUID       identity that the guest sees; default a new one\n"
	"  --console stdio|pty|none|socket=PATH\n"
	"                    where the serial port leads; default stdio\n"
	"  --control PATH    control socket\n"
	"  --device PATH     interface to the processors; default /dev/kvm\n"
	"  --no-unpack       let the guest decompress its kernel\n"
	"  --no-sandbox      keep the worker's rights; only for guests that you trust\n"
	"  --vmbus VERSION   offer VMBus up to this version only, such as 4.0\n"
	"  --stimer          offer synthetic timers\n"
	"\n"
	"On the console, Ctrl-] begins a command: s asks the guest to shut down, r resets,\n"
	"n sends an NMI, q switches off, ? lists these, Ctrl-] sends itself.\n";

struct run_options {
	json_t *config, *boot, *disks, *nics;
	char *append;
	char *control;
	bool stdio, help;
};

/* Takes the next part of a comma-separated list; a NULL value when it has no '='. */
static bool next_part(char **rest, char **ret_name, char **ret_value)
{
	char *part = strsep(rest, ",");

	if (!part)
		return false;
	*ret_name = part;
	*ret_value = strchr(part, '=');
	if (*ret_value)
		*(*ret_value)++ = '\0';
	return true;
}

/* Sets a text; what is not UTF-8 cannot be handed on. */
static int set_text(const struct cli_verb *verb, json_t *obj, const char *key, const char *text)
{
	if (json_object_set_new(obj, key, json_string(text)) < 0)
		return cli_usage(verb, "the %s is not UTF-8 text", key);
	return 0;
}

static int add_disk(const struct cli_verb *verb, struct run_options *o, const char *argument)
{
	char *copy = strdup(argument), *rest = copy, *name, *value;
	json_t *disk = json_object();
	int status = set_text(verb, disk, "path", strsep(&rest, ","));

	while (status == 0 && next_part(&rest, &name, &value)) {
		if (strcmp(name, "ro") == 0 && !value)
			json_object_set_new(disk, "read_only", json_true());
		else if (strcmp(name, "cache") == 0 && value)
			status = set_text(verb, disk, "cache", value);
		else
			status = cli_usage(verb, "a disk has no option '%s'", name);
	}
	json_array_append_new(o->disks, disk);
	free(copy);
	return status;
}

/* What every NIC has; -ENOENT for another name. */
static int nic_option(const struct cli_verb *verb, json_t *nic, const char *name, const char *value)
{
	if (strcmp(name, "mac") == 0 && value)
		return set_text(verb, nic, "mac", value);
	if ((strcmp(name, "mtu") == 0 || strcmp(name, "queues") == 0) && value) {
		char *end;
		long n = strtol(value, &end, 10);

		if (end == value || *end)
			return cli_usage(verb, "'%s' is no number", value);
		return json_object_set_new(nic, name, json_integer(n));
	}
	if (strcmp(name, "spoof-guard") == 0 && !value)
		return json_object_set_new(nic, "spoof_guard", json_true());
	return -ENOENT;
}

static int add_nic(const struct cli_verb *verb, struct run_options *o, const char *argument)
{
	char *copy = strdup(argument), *rest = copy, *name, *value;
	json_t *nic = json_object(), *forwards = json_array();
	int status = 0;

	while (status == 0 && next_part(&rest, &name, &value)) {
		if (strcmp(name, "user") == 0 && !value) {
			json_object_set_new(nic, "type", json_string("user"));
		} else if (strcmp(name, "tap") == 0 && value) {
			json_object_set_new(nic, "type", json_string("tap"));
			status = set_text(verb, nic, "ifname", value);
		} else if (strcmp(name, "forward") == 0 && value) {
			json_array_append_new(forwards, json_string(value));
		} else {
			status = nic_option(verb, nic, name, value);
			if (status == -ENOENT)
				status = cli_usage(verb, "a NIC has no option '%s'", name);
		}
	}
	if (json_array_size(forwards))
		json_object_set(nic, "forward", forwards);
	json_decref(forwards);
	json_array_append_new(o->nics, nic);
	free(copy);
	return status;
}

static int set_memory(const struct cli_verb *verb, struct run_options *o, const char *argument)
{
	char *end;
	unsigned long long n = strtoull(argument, &end, 10);
	unsigned shift = 0; /* from the unit to MiB */

	if (end == argument || *argument == '-')
		return cli_usage(verb, "'%s' is no size, such as 512M or 4G", argument);
	if (strcmp(end, "G") == 0)
		shift = 10;
	else if (strcmp(end, "M") != 0)
		return cli_usage(verb, "'%s' is no size: M and G are its units", argument);
	if (n > (UINT32_MAX >> shift))
		return cli_usage(verb, "'%s' of memory is more than any VM can have", argument);
	json_object_set_new(o->config, "memory_mib", json_integer((json_int_t)(n << shift)));
	return 0;
}

static int set_cpus(const struct cli_verb *verb, struct run_options *o, const char *argument)
{
	char *end;
	long n = strtol(argument, &end, 10);

	if (end == argument || *end || n < 0)
		return cli_usage(verb, "'%s' is no number of processors", argument);
	json_object_set_new(o->config, "cpus", json_integer(n));
	return 0;
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

static int add_append(struct run_options *o, const char *text)
{
	char *joined = NULL;

	if (asprintf(&joined, "%s%s%s", o->append ? o->append : "", o->append ? " " : "", text) < 0)
		return EXIT_FAILURE;
	free(o->append);
	o->append = joined;
	return 0;
}

static int take_option(const struct cli_verb *verb, struct run_options *o, int id)
{
	switch ((enum option_id)id) {
	case OPT_KERNEL:
		return set_text(verb, o->boot, "kernel", optarg);
	case OPT_INITRD:
		return set_text(verb, o->boot, "initrd", optarg);
	case OPT_APPEND:
		return add_append(o, optarg);
	case OPT_DISK:
		return add_disk(verb, o, optarg);
	case OPT_NET:
		return add_nic(verb, o, optarg);
	case OPT_MEMORY:
		return set_memory(verb, o, optarg);
	case OPT_CPUS:
		return set_cpus(verb, o, optarg);
	case OPT_NAME:
		return set_text(verb, o->config, "name", optarg);
	case OPT_UUID:
		return set_text(verb, o->config, "uuid", optarg);
	case OPT_CONSOLE:
		return set_console(verb, o, optarg);
	case OPT_CONTROL:
		free(o->control);
		o->control = strdup(optarg);
		return 0;
	case OPT_DEVICE:
		return set_text(verb, o->config, "device", optarg);
	case OPT_NO_UNPACK:
		return json_object_set_new(o->boot, "unpack", json_false());
	case OPT_NO_SANDBOX:
		return json_object_set_new(o->config, "sandbox", json_false());
	case OPT_VMBUS:
		return set_text(verb, o->config, "vmbus_max_version", optarg);
	case OPT_STIMER:
		return json_object_set_new(o->config, "enlightenments",
					   json_pack("{s:b}", "stimer", 1));
	case OPT_HELP:
	default:
		o->help = true;
		return 0;
	}
}

static int take_options(const struct cli_verb *verb, struct run_options *o, int argc, char **argv)
{
	int id, status = 0;

	opterr = 0;
	optind = 1;
	while (status == 0 && !o->help &&
	       (id = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (id == ':')
			status = cli_usage(verb, "'%s' lacks its argument", argv[optind - 1]);
		else if (id == '?')
			status = cli_usage(verb, "'%s' is no option", argv[optind - 1]);
		else
			status = take_option(verb, o, id);
	}
	if (o->help)
		return 0;
	if (status == 0 && optind < argc)
		status = cli_usage(verb, "'%s' is not expected", argv[optind]);
	if (status == 0 && !json_object_get(o->boot, "kernel"))
		status = cli_usage(verb, "--kernel is missing");
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
