/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/config.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/vmbus.h"
#include "base/util.h"
#include "lib/lease.h"
#include "lib/random.h"
#include "worker/config_priv.h"

static int decode_mac(const char *text, uint8_t mac[6])
{
	if (strspn(text, "0123456789abcdefABCDEF:") != 17 || text[17] != '\0')
		return -EINVAL;
	for (int i = 0; i < 6; i++) {
		char *end;

		mac[i] = (uint8_t)strtoul(text + 3 * i, &end, 16);
		if (end != text + 3 * i + 2 || *end != (i < 5 ? ':' : '\0'))
			return -EINVAL;
	}
	/* Neither a group address nor no address at all is a station's. */
	return mac[0] & 1 || !memcmp(mac, (const uint8_t[6]){0}, 6) ? -EINVAL : 0;
}

static int decode_boot(json_t *obj, struct config *c, struct failure *f)
{
	static const struct field keys[] = {
		{"kernel", JSON_STRING}, {"initrd", JSON_STRING},   {"append", JSON_STRING},
		{"unpack", JSON_TRUE},   {"firmware", JSON_STRING},
	};
	const char *firmware = json_string_value(json_object_get(obj, "firmware"));
	int r = fields_check(obj, "'boot'", keys, ARRAY_LEN(keys), f);

	if (r < 0)
		return r;
	c->firmware = firmware;
	if (firmware && strcmp(firmware, "bios") != 0)
		return OR_INVALID(f, "'firmware' of 'boot' is '%.32s', allowed is bios", firmware);
	if (firmware && json_object_size(obj) > 1)
		return OR_INVALID(f,
				  "'boot' has a 'firmware' and a kernel's settings too; a disk's "
				  "boot loader brings its own kernel");
	field_bool(obj, "unpack", &c->unpack);
	r = field_string(obj, "kernel", &c->kernel);
	if (r == 0)
		r = field_string(obj, "initrd", &c->initrd);
	if (r == 0)
		r = field_string(obj, "append", &c->append);
	return r;
}

static int decode_place(json_t *obj, struct config_disk *d, struct failure *f)
{
	uint64_t controller = CONFIG_CONTROLLER_ANY, lun = CONFIG_LUN_ANY, sector = 0;
	int r = field_number(obj, "controller", 0, CONFIG_CONTROLLERS_MAX - 1, &controller, f);

	if (r == 0)
		r = field_number(obj, "lun", 0, CONFIG_LUNS_MAX - 1, &lun, f);
	if (r == 0)
		r = field_number(obj, "sector_size", 512, 4096, &sector, f);
	if (r == 0 && sector && sector != 512 && sector != 4096)
		return OR_INVALID(f, "'sector_size' of a disk is %u, allowed are 512 and 4096",
				  (unsigned)sector);
	d->controller = (uint32_t)controller;
	d->lun = (uint32_t)lun;
	d->sector_bytes = (uint32_t)sector;
	return r;
}

/* A drive reads only, and what is wrong with its medium is for the guest to know. */
static int decode_dvd(json_t *obj, struct config_disk *d, struct failure *f)
{
	if (d->sector_bytes)
		return OR_INVALID(f, "a DVD has no 'sector_size' to choose: it is 2048");
	d->read_only = true;
	d->pause = d->pause && json_object_get(obj, "on_error");
	d->sector_bytes = 2048;
	return 0;
}

static int decode_disk(json_t *obj, struct config_disk *d, struct failure *f)
{
	static const struct field keys[] = {
		{"path", JSON_STRING},         {"type", JSON_STRING},
		{"read_only", JSON_TRUE},      {"cache", JSON_STRING},
		{"controller", JSON_INTEGER},  {"lun", JSON_INTEGER},
		{"serial", JSON_STRING},       {"on_error", JSON_STRING},
		{"sector_size", JSON_INTEGER},
	};
	static const char *const caches[] = {"none", "writeback"};
	static const char *const types[] = {"disk", "dvd"};
	static const char *const errors[] = {"pause", "report"};
	unsigned cache = 0, type = 0, on_error = 0;
	int r = fields_check(obj, "a disk", keys, ARRAY_LEN(keys), f);

	if (r == 0)
		r = field_word(obj, "cache", "a disk", caches, 2, &cache, f);
	if (r == 0)
		r = field_word(obj, "type", "a disk", types, 2, &type, f);
	if (r == 0)
		r = field_word(obj, "on_error", "a disk", errors, 2, &on_error, f);
	if (r < 0)
		return r;
	d->dvd = type == 1;
	d->direct = cache == 0;
	d->pause = on_error == 0;
	field_bool(obj, "read_only", &d->read_only);
	r = decode_place(obj, d, f);
	if (r == 0 && d->dvd)
		r = decode_dvd(obj, d, f);
	if (r == 0)
		r = field_string(obj, "serial", &d->serial);
	if (r == 0)
		r = field_string(obj, "path", &d->path);
	if (r == 0 && d->serial && (!d->serial[0] || strlen(d->serial) > CONFIG_SERIAL_MAX))
		return OR_INVALID(f, "'serial' of a disk has 1 to %u characters",
				  CONFIG_SERIAL_MAX);
	return r;
}

int config_decode_disk(json_t *obj, struct config_disk *d, struct failure *f)
{
	int r = decode_disk(obj, d, f);

	if (d->controller == CONFIG_CONTROLLER_ANY)
		d->controller = 0;
	return r;
}

void config_disk_done(struct config_disk *d)
{
	free(d->path);
	free(d->serial);
	*d = (struct config_disk){0};
}

/* Disks that name no controller are at IDE places while there are some, with firmware, and else
 * at the first controller. */
static void choose_controllers(struct config *c)
{
	unsigned place = 0;

	for (unsigned n = 0; n < c->disk_count; n++) {
		struct config_disk *d = &c->disk[n];

		if (d->controller != CONFIG_CONTROLLER_ANY)
			continue;
		d->controller = 0;
		if (!c->firmware || d->lun != CONFIG_LUN_ANY || place == CONFIG_IDE_PLACES)
			continue;
		d->controller = CONFIG_IDE_FIRST + place++;
		d->lun = 0;
	}
}

/* Disks that do not say where they are take the lowest places that are left. */
static int place_disks(struct config *c, struct failure *f)
{
	uint64_t taken[CONFIG_IDE_FIRST + CONFIG_IDE_PLACES] = {0};

	choose_controllers(c);
	for (unsigned n = 0; n < c->disk_count; n++) {
		struct config_disk *d = &c->disk[n];

		if (d->lun == CONFIG_LUN_ANY)
			continue;
		if (taken[d->controller] >> d->lun & 1)
			return OR_INVALID(f, "two disks are LUN %u of controller %u", d->lun,
					  d->controller);
		taken[d->controller] |= UINT64_C(1) << d->lun;
	}
	for (unsigned n = 0; n < c->disk_count; n++) {
		struct config_disk *d = &c->disk[n];

		if (d->controller >= c->controllers && d->controller < CONFIG_CONTROLLERS_MAX)
			c->controllers = d->controller + 1;
		if (d->lun != CONFIG_LUN_ANY)
			continue;
		if (!~taken[d->controller])
			return OR_INVALID(f, "controller %u has more than %u disks", d->controller,
					  CONFIG_LUNS_MAX);
		d->lun = (uint32_t)__builtin_ctzll(~taken[d->controller]);
		taken[d->controller] |= UINT64_C(1) << d->lun;
	}
	return 0;
}

static int decode_forwards(json_t *list, struct config_port *p, struct failure *f)
{
	size_t count = json_array_size(list);

	if (count > CONFIG_FORWARDS_MAX)
		return OR_INVALID(f, "a NIC forwards %zu ports, at most %u are possible", count,
				  CONFIG_FORWARDS_MAX);
	for (size_t i = 0; i < count; i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (!text)
			return OR_INVALID(f, "'forward' of a NIC holds something else than text");
		p->forward[i] = strdup(text);
		if (!p->forward[i])
			return -ENOMEM;
	}
	return 0;
}

/* What every type of NIC has. */
static int port_values(json_t *obj, struct config_port *p, struct failure *f)
{
	const char *mac = json_string_value(json_object_get(obj, "mac"));
	uint64_t mtu = 0, queues = 0;
	int r = field_number(obj, "mtu", CONFIG_MTU_MIN, CONFIG_MTU_MAX, &mtu, f);

	if (r == 0)
		r = field_number(obj, "queues", 1, CONFIG_QUEUES_MAX, &queues, f);
	if (r < 0)
		return r;
	p->mtu = (unsigned)mtu;
	p->queues = (unsigned)queues;
	field_bool(obj, "spoof_guard", &p->spoof_guard);
	if (mac && decode_mac(mac, p->mac) < 0)
		return OR_INVALID(f, "'%.32s' is no MAC address of a station, such as %s", mac,
				  "00:15:5d:00:00:01");
	return mac ? 0 : random_mac(p->mac);
}

static int decode_nic(json_t *obj, struct config_port *p, struct failure *f)
{
	static const struct field keys[] = {
		{"type", JSON_STRING},      {"mac", JSON_STRING},    {"mtu", JSON_INTEGER},
		{"queues", JSON_INTEGER},   {"ifname", JSON_STRING}, {"forward", JSON_ARRAY},
		{"spoof_guard", JSON_TRUE},
	};
	int r = fields_check(obj, "a NIC", keys, ARRAY_LEN(keys), f);
	const char *type = json_string_value(json_object_get(obj, "type"));

	if (r < 0)
		return r;
	if (type && strcmp(type, "tap") == 0)
		p->type = NIC_TAP;
	else if (!type || strcmp(type, "user") != 0)
		return OR_INVALID(f, "'type' of a NIC is '%.32s', allowed are user and tap",
				  type ? type : "");
	r = port_values(obj, p, f);
	if (r < 0)
		return r;
	r = field_string(obj, "ifname", &p->ifname);
	if (r < 0)
		return r;
	if (p->type == NIC_TAP && !p->ifname)
		return OR_INVALID(f, "a NIC of type tap has no 'ifname'");
	if (p->type == NIC_TAP && json_object_get(obj, "forward"))
		return OR_INVALID(f, "a NIC of type tap forwards no ports; that is for type user");
	if (p->type == NIC_USER && p->ifname)
		return OR_INVALID(f, "a NIC of type user has no 'ifname'; that is for type tap");
	return decode_forwards(json_object_get(obj, "forward"), p, f);
}

int config_decode_port(json_t *obj, struct config_port *p, struct failure *f)
{
	int r;

	if (json_object_get(obj, "type") || json_object_get(obj, "ifname"))
		return OR_INVALID(f, "a NIC that is added has no 'type' and no 'ifname'");
	if (json_object_set_new(obj, "type", json_string("tap")) < 0 ||
	    json_object_set_new(obj, "ifname", json_string("descriptor")) < 0)
		return fail(f, -ENOMEM, "cannot read a NIC's settings: out of memory");
	r = decode_nic(obj, p, f);
	free(p->ifname);
	p->ifname = NULL;
	return r;
}

static int decode_console(json_t *obj, struct config *c, struct failure *f)
{
	static const struct field keys[] = {{"type", JSON_STRING}, {"path", JSON_STRING}};
	static const char *const types[] = {
		[CONSOLE_NONE] = "none",
		[CONSOLE_STDIO] = "stdio",
		[CONSOLE_SOCKET] = "socket",
		[CONSOLE_PTY] = "pty",
	};
	int r = fields_check(obj, "'console'", keys, ARRAY_LEN(keys), f);
	const char *type = json_string_value(json_object_get(obj, "type"));
	unsigned i = 0;

	if (r == 0 && !type)
		return OR_INVALID(f, "the console has no 'type'");
	if (r == 0)
		r = field_word(obj, "type", "the console", types, ARRAY_LEN(types), &i, f);
	if (r < 0)
		return r;
	c->console = (enum config_console)i;
	r = field_string(obj, "path", &c->console_path);
	if (r == 0 && c->console == CONSOLE_SOCKET && !c->console_path)
		return OR_INVALID(f, "a console of type socket has no 'path'");
	return r;
}

static int decode_enlightenments(json_t *obj, struct config *c, struct failure *f)
{
	static const struct field keys[] = {{"stimer", JSON_TRUE}, {"stimer_direct", JSON_TRUE}};
	int r = fields_check(obj, "'enlightenments'", keys, ARRAY_LEN(keys), f);

	if (r == 0)
		field_bool(obj, "stimer", &c->stimer);
	if (r == 0)
		field_bool(obj, "stimer_direct", &c->stimer_direct);
	return r;
}

static int decode_lease(json_t *obj, struct config *c, struct failure *f)
{
	static const struct guid nobody;
	static const struct field keys[] = {
		{"path", JSON_STRING}, {"epoch", JSON_INTEGER}, {"host", JSON_STRING}};
	const char *host = json_string_value(json_object_get(obj, "host"));
	int r = fields_check(obj, "'lease'", keys, ARRAY_LEN(keys), f);

	if (r == 0)
		r = field_string(obj, "path", &c->lease_path);
	if (r == 0)
		r = field_number(obj, "epoch", 1, LEASE_EPOCH_MAX, &c->lease_epoch, f);
	if (r < 0)
		return r;
	if (!c->lease_path || !host || !c->lease_epoch != c->incoming)
		return OR_INVALID(
			f, "'lease' needs a 'path', a 'host', and an 'epoch' unless the VM is "
			   "'incoming'");
	if (guid_parse(host, &c->host_uuid) < 0 || guid_equal(&c->host_uuid, &nobody))
		return OR_INVALID(f, "'%.48s' is no UUID of a host", host);
	return 0;
}

static int decode_processor(json_t *value, struct config *c, struct failure *f)
{
	c->baseline = calloc(1, sizeof(*c->baseline));
	return c->baseline ? processor_decode_baseline(value, c->baseline, f) : -ENOMEM;
}

static int decode_lists(json_t *root, struct config *c, struct failure *f)
{
	json_t *disks = json_object_get(root, "disks"), *nics = json_object_get(root, "nics");
	int r = 0;

	if (json_array_size(disks) > CONFIG_DISKS_MAX)
		return OR_INVALID(f, "%zu disks, at most %u are possible", json_array_size(disks),
				  CONFIG_DISKS_MAX);
	if (json_array_size(nics) > CONFIG_NICS_MAX)
		return OR_INVALID(f, "%zu NICs, at most %u are possible", json_array_size(nics),
				  CONFIG_NICS_MAX);
	while (r == 0 && c->disk_count < json_array_size(disks)) {
		json_t *disk = json_array_get(disks, c->disk_count);

		r = decode_disk(disk, &c->disk[c->disk_count++], f);
		if (r == 0 && !c->disk[c->disk_count - 1].path && !c->disk[c->disk_count - 1].dvd)
			return OR_INVALID(f, "a disk has no 'path'");
	}
	if (r == 0)
		r = place_disks(c, f);
	while (r == 0 && c->nic_count < json_array_size(nics)) {
		json_t *nic = json_array_get(nics, c->nic_count);

		r = decode_nic(nic, &c->nic[c->nic_count++], f);
	}
	return r;
}

static int decode_identity(json_t *root, struct config *c, struct failure *f)
{
	const char *uuid = json_string_value(json_object_get(root, "uuid"));
	const char *vmbus = json_string_value(json_object_get(root, "vmbus_max_version"));
	unsigned major, minor;
	char end;

	if (uuid && guid_parse(uuid, &c->uuid) < 0)
		return OR_INVALID(f, "'%.48s' is no UUID", uuid);
	if (!uuid && random_uuid(&c->uuid) < 0)
		return -EIO;
	if (vmbus) {
		if (sscanf(vmbus, "%u.%u%c", &major, &minor, &end) != 2 || major > 5 || minor > 9 ||
		    VMBUS_VERSION(major, minor) < VMBUS_VERSION(2, 4))
			return OR_INVALID(f,
					  "'%.16s' is no version of VMBus from 2.4 on, such as 4.0",
					  vmbus);
		c->vmbus_max_version = VMBUS_VERSION(major, minor);
	}
	return 0;
}

static const struct field root_keys[] = {
	{"version", JSON_INTEGER},
	{"name", JSON_STRING},
	{"uuid", JSON_STRING},
	{"memory_mib", JSON_INTEGER},
	{"cpus", JSON_INTEGER},
	{"memory_pages", JSON_STRING},
	{"threads", JSON_INTEGER},
	{"numa", JSON_ARRAY},
	{"pin", JSON_ARRAY},
	{"device", JSON_STRING},
	{"processor", JSON_NULL},
	{"boot", JSON_OBJECT},
	{"disks", JSON_ARRAY},
	{"nics", JSON_ARRAY},
	{"console", JSON_OBJECT},
	{"control", JSON_STRING},
	{"end", JSON_STRING},
	{"lease", JSON_OBJECT},
	{"restore", JSON_STRING},
	{"incoming", JSON_TRUE},
	{"sandbox", JSON_TRUE},
	{"user", JSON_INTEGER},
	{"vmbus_max_version", JSON_STRING},
	{"scsi_queues", JSON_INTEGER},
	{"controllers", JSON_INTEGER},
	{"disk_timeout", JSON_INTEGER},
	{"enlightenments", JSON_OBJECT},
};

/* The numbers of the VM as a whole. */
static int decode_sizes(json_t *root, struct config *c, struct failure *f)
{
	uint64_t version = 0, cpus = 1, memory = 1024, queues, controllers = 0, user = 0,
		 timeout = CONFIG_DISK_TIMEOUT_S;
	int r = field_number(root, "version", CONFIG_VERSION, CONFIG_VERSION, &version, f);

	if (r == 0 && version != CONFIG_VERSION)
		return OR_INVALID(f, "it has no 'version'; this worker reads version %d",
				  CONFIG_VERSION);
	if (r == 0)
		r = field_number(root, "cpus", 1, CONFIG_CPUS_MAX, &cpus, f);
	if (r == 0)
		r = field_number(root, "memory_mib", CONFIG_MEMORY_MIN_MIB, CONFIG_MEMORY_MAX_MIB,
				 &memory, f);
	queues = cpus < CONFIG_SCSI_QUEUES_DEFAULT ? cpus : CONFIG_SCSI_QUEUES_DEFAULT;
	if (r == 0)
		r = field_number(root, "scsi_queues", 1, CONFIG_SCSI_QUEUES_MAX, &queues, f);
	if (r == 0)
		r = field_number(root, "controllers", 0, CONFIG_CONTROLLERS_MAX, &controllers, f);
	if (r == 0)
		r = field_number(root, "disk_timeout", 0, CONFIG_DISK_TIMEOUT_MAX_S, &timeout, f);
	c->disk_timeout_s = (unsigned)timeout;
	c->scsi_queues = (unsigned)queues;
	c->controllers = (unsigned)controllers;
	if (r == 0)
		r = field_number(root, "user", 1, CONFIG_USER_MAX, &user, f);
	c->user = (uint32_t)user;
	c->cpus = (unsigned)cpus;
	c->memory_bytes = memory << 20;
	return r;
}

static int decode_root(json_t *root, struct config *c, struct failure *f)
{
	json_t *boot = json_object_get(root, "boot"), *console = json_object_get(root, "console");
	json_t *enlightenments = json_object_get(root, "enlightenments");
	json_t *lease = json_object_get(root, "lease");
	int r = fields_check(root, "the configuration", root_keys, ARRAY_LEN(root_keys), f);

	if (r == 0)
		r = decode_sizes(root, c, f);
	if (r == 0)
		r = config_decode_layout(root, c, f);
	field_bool(root, "sandbox", &c->sandbox);
	field_bool(root, "incoming", &c->incoming);
	if (r == 0)
		r = decode_identity(root, c, f);
	if (r == 0)
		r = field_string(root, "name", &c->name);
	if (r == 0)
		r = field_string(root, "device", &c->device);
	if (r == 0)
		r = field_string(root, "control", &c->control_path);
	if (r == 0)
		r = field_string(root, "end", &c->end_path);
	if (r == 0)
		r = field_string(root, "restore", &c->state_path);
	if (r == 0 && c->state_path && c->incoming)
		r = OR_INVALID(f, "it goes on from a file ('restore') or from a connection "
				  "('incoming'), not from both");
	if (r == 0 && lease)
		r = decode_lease(lease, c, f);
	if (r == 0 && json_object_get(root, "processor"))
		r = decode_processor(json_object_get(root, "processor"), c, f);
	if (r == 0 && boot)
		r = decode_boot(boot, c, f);
	if (r == 0 && console)
		r = decode_console(console, c, f);
	if (r == 0 && enlightenments)
		r = decode_enlightenments(enlightenments, c, f);
	if (r == 0)
		r = decode_lists(root, c, f);
	if (r == 0 && !c->kernel && !c->firmware)
		return OR_INVALID(f,
				  "'boot' names no kernel; give one with --kernel, or boot from a "
				  "disk with --firmware bios");
	return r;
}

static int config_defaults(struct config *c)
{
	c->unpack = c->sandbox = c->stimer_direct = true;
	c->name = strdup("vm");
	c->append = strdup("");
	return c->name && c->append ? 0 : -ENOMEM;
}

int config_decode(const char *json, size_t len, struct config **ret_config, struct failure *f)
{
	json_error_t error;
	json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &error);
	struct config *c = root ? calloc(1, sizeof(*c)) : NULL;
	int r;

	if (!root)
		return OR_INVALID(f, "line %d is not JSON: %s", error.line, error.text);
	f->text[0] = '\0';
	r = c ? config_defaults(c) : -ENOMEM;
	if (r == 0)
		r = decode_root(root, c, f);
	json_decref(root);
	if (r < 0) {
		config_free(c);
		if (!f->text[0])
			fail(f, r, "cannot read the VM's configuration: %s", strerror(-r));
		return r;
	}
	*ret_config = c;
	return 0;
}

int config_load(const char *path, struct config **ret_config, struct failure *f)
{
	int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	char *text = malloc(CONFIG_BYTES_MAX);
	size_t len = 0;
	ssize_t n = 0;
	int r;

	if (fd < 0 || !text)
		r = fail(f, -errno, "cannot read the configuration %s: %s", path, strerror(errno));
	else {
		while (len < CONFIG_BYTES_MAX &&
		       (n = read(fd, text + len, CONFIG_BYTES_MAX - len)) > 0)
			len += (size_t)n;
		if (n < 0)
			r = fail(f, -errno, "cannot read the configuration %s: %s", path,
				 strerror(errno));
		else if (len == CONFIG_BYTES_MAX)
			r = fail(f, -EFBIG, "the configuration %s is longer than 1 MiB", path);
		else
			r = config_decode(text, len, ret_config, f);
	}
	if (fd >= 0)
		close(fd);
	free(text);
	return r;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->disk_count; i++)
		config_disk_done(&c->disk[i]);
	for (unsigned i = 0; i < c->nic_count; i++) {
		free(c->nic[i].ifname);
		for (unsigned k = 0; k < CONFIG_FORWARDS_MAX; k++)
			free(c->nic[i].forward[k]);
	}
	free(c->baseline);
	free(c->pin);
	free(c->name);
	free(c->device);
	free(c->kernel);
	free(c->initrd);
	free(c->append);
	free(c->console_path);
	free(c->control_path);
	free(c->end_path);
	free(c->lease_path);
	free(c->state_path);
	free(c);
}
