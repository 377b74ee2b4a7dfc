/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/control_verbs.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "worker/control.h"
#include "worker/control_guest.h"
#include "worker/vm.h"

struct request {
	struct vm *vm;
	json_t *arguments;         /* the request itself */
	struct descriptors *given; /* that came along: who takes them leaves none */
	enum control_turn turn;
};

struct verb {
	const char *name;
	/* 0 and *ret_result (may stay NULL), or -errno and the sentence. */
	int (*act)(struct request *r, json_t **ret_result, struct failure *f);
	unsigned when; /* beside while the VM runs or is paused */
};

enum {
	WHILE_STILL = 1, /* also while it is saving, saved, incoming, ...: no device is touched */
	NOT_MOVING = 2,  /* not while it is being migrated: devices come or go */
	NOT_COPIED = 4,  /* not while its disks are being copied: they come or go */
};

/* The last one, of whoever takes one only; -1: there is none. */
static int take_fd(struct request *r)
{
	int fd = r->given->count ? r->given->fd[--r->given->count] : -1;

	descriptors_close(r->given);
	return fd;
}

static int wrong_state(const struct vm *vm, const char *what, int code, struct failure *f)
{
	return fail(f, code, "cannot %s the VM '%s': it is %s", what, vm->config->name,
		    vm_state_label(vm));
}

static json_t *version_text(uint32_t version)
{
	return version ? json_sprintf("%u.%u", version >> 16, version & 0xffff) : json_null();
}

static json_t *channels(const struct vm *vm)
{
	struct vmbus_channel_info info;
	json_t *list = json_array();

	for (uint32_t relid = 1; vmbus_channel_info(vm->machine.bus, &relid, &info) == 0; relid++)
		json_array_append_new(
			list, json_pack("{s:i, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I}", "relid",
					(int)relid, "device", info.device, "state", info.state,
					"sub_channel", (int)info.sub_channel_index, "packets_in",
					(json_int_t)info.packets_in, "packets_out",
					(json_int_t)info.packets_out, "kicks",
					(json_int_t)info.kicks, "signals", (json_int_t)info.signals,
					"ring_full", (json_int_t)info.ring_full));
	return list;
}

static json_t *services(const struct vm *vm)
{
	struct heartbeat_state heartbeat;
	struct shutdown_state down;
	struct timesync_state timesync;
	struct kvp_state kvp;
	struct keyboard_state keyboard;

	heartbeat_state(vm->integration.heartbeat, &heartbeat);
	shutdown_state(vm->integration.shutdown, &down);
	timesync_state(vm->integration.timesync, &timesync);
	kvp_state(vm->integration.kvp, &kvp);
	keyboard_state(vm->integration.keyboard, &keyboard);
	return json_pack("{s:{s:s, s:o, s:I}, s:{s:s, s:o}, s:{s:s, s:o, s:I}, "
			 "s:{s:s, s:o, s:i, s:i, s:I, s:I}, s:{s:s, s:I, s:i}}",
			 "heartbeat", "state", heartbeat.label, "version",
			 version_text(heartbeat.version), "answers", (json_int_t)heartbeat.answers,
			 "shutdown", "state", down.label, "version", version_text(down.version),
			 "timesync", "state", timesync.label, "version",
			 version_text(timesync.version), "syncs", (json_int_t)timesync.syncs, "kvp",
			 "state", kvp.channel, "version", version_text(kvp.version), "entries",
			 (int)kvp.entries, "changes_waiting", (int)kvp.changes_waiting,
			 "changes_made", (json_int_t)kvp.changes_made, "changes_failed",
			 (json_int_t)kvp.changes_failed, "keyboard", "state", keyboard.label,
			 "keystrokes", (json_int_t)keyboard.sent, "leds", (int)keyboard.leds);
}

json_t *control_status(const struct vm *vm)
{
	const char *pty = console_pty(vm->console);

	return json_pack(
		"{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:i, s:I, s:o, s:b, s:o, s:o, s:o, "
		"s:o, s:i}",
		"version", CONTROL_VERSION, "name", vm->config->name, "state", vm_state_label(vm),
		"reason", vm->reason, "crash", vm->crash, "resets", (json_int_t)vm->resets,
		"crashes", (json_int_t)vm->crashes, "vmbus",
		version_text(vmbus_version(vm->machine.bus)), "integration", services(vm), "cpus",
		(int)vm->config->cpus, "memory_bytes", (json_int_t)vm->config->memory_bytes,
		"console", pty ? json_string(pty) : json_null(), "restored", vm->restored,
		"restoring", lazy_status(&vm->lazy), "save", save_status(vm), "migrate",
		migrate_status(vm), "mirror", mirror_status(vm), "connections",
		(int)DESCRIPTORS_MAX);
}

static int verb_status(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)f;
	*ret_result = control_status(r->vm);
	return *ret_result ? 0 : -ENOMEM;
}

static int verb_watch(struct request *r, json_t **ret_result, struct failure *f)
{
	r->turn = CONTROL_WATCHES;
	return verb_status(r, ret_result, f);
}

static int verb_statistics(struct request *r, json_t **ret_result, struct failure *f)
{
	struct vcpu_stats s = vm_vcpu_stats(r->vm);

	(void)f;
	*ret_result =
		json_pack("{s:{s:I, s:I, s:I, s:I, s:I, s:I}, s:o, s:o, s:o}", "processors",
			  "exits", (json_int_t)s.exits, "port", (json_int_t)s.port_exits, "mmio",
			  (json_int_t)s.mmio_exits, "msr", (json_int_t)s.msr_exits, "hypercalls",
			  (json_int_t)s.hypercalls, "interruptions", (json_int_t)s.interruptions,
			  "channels", channels(r->vm), "disks", storage_statistics(&r->vm->storage),
			  "nics", network_statistics(&r->vm->network));
	return *ret_result ? 0 : -ENOMEM;
}

static int verb_guest(struct request *r, json_t **ret_result, struct failure *f)
{
	const char *key, *value;
	json_t *pairs = json_object();

	(void)f;
	for (unsigned n = 0;
	     kvp_entry(r->vm->integration.kvp, IC_KVP_POOL_AUTO, n, &key, &value) == 0; n++)
		json_object_set_new(pairs, key, json_string(value));
	*ret_result = pairs;
	return pairs ? 0 : -ENOMEM;
}

static int verb_pause(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return vm_pause(r->vm) < 0 ? wrong_state(r->vm, "pause", -EPROTO, f) : 0;
}

static int verb_resume(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return vm_resume(r->vm) < 0 ? wrong_state(r->vm, "resume", -EPROTO, f) : 0;
}

static int verb_reset(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return vm_request_reset(r->vm, "a user asked for it") < 0
		       ? wrong_state(r->vm, "reset", -EPROTO, f)
		       : 0;
}

static int verb_stop(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return vm_request_stop(r->vm, "a user switched it off") < 0
		       ? wrong_state(r->vm, "switch off", -EPROTO, f)
		       : 0;
}

/* The file comes along, opened for writing. */
static int verb_save(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return save_begin(r->vm, take_fd(r), f);
}

static int verb_save_cancel(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return save_cancel(r->vm) < 0 ? wrong_state(r->vm, "cancel saving", -EPROTO, f) : 0;
}

static int wish_number(const struct request *r, const char *name, uint64_t most, uint64_t *value,
		       struct failure *f)
{
	const json_t *given = json_object_get(r->arguments, name);
	json_int_t n = json_integer_value(given);

	if (!given)
		return 0;
	if (!json_is_integer(given) || n < 0 || (uint64_t)n > most)
		return fail(f, -EINVAL, "'%s' is no number from 0 to %llu", name,
			    (unsigned long long)most);
	*value = (uint64_t)n;
	return 0;
}

/* The connection comes along, and perhaps others for pages: stream sockets at whose other ends a
 * worker waits. */
static int verb_migrate(struct request *r, json_t **ret_result, struct failure *f)
{
	struct migrate_wish wish = {
		.downtime_us = MIGRATE_DOWNTIME_US,
		.quick = json_is_true(json_object_get(r->arguments, "quick")),
		.late = json_is_true(json_object_get(r->arguments, "postcopy")),
		.storage = json_is_true(json_object_get(r->arguments, "storage")),
		.compress = !json_is_false(json_object_get(r->arguments, "compress")),
		.strict = json_object_get(r->arguments, "downtime_us") != NULL,
	};
	const char *target = json_string_value(json_object_get(r->arguments, "target"));
	struct descriptors links = descriptors_take(r->given);
	int e;

	(void)ret_result;
	e = wish_number(r, "downtime_us", MIGRATE_DOWNTIME_MAX_US, &wish.downtime_us, f);
	if (e == 0)
		e = wish_number(r, "bandwidth", INT64_MAX, &wish.bandwidth, f);
	if (e == 0 && target && guid_parse(target, &wish.target) < 0)
		e = fail(f, -EINVAL, "'target' is no UUID of a host");
	if (e == 0)
		return migrate_begin(r->vm, links, &wish, f);
	descriptors_close(&links);
	return e;
}

static int verb_migrate_cancel(struct request *r, json_t **ret_result, struct failure *f)
{
	int e = migrate_cancel(r->vm);

	(void)ret_result;
	if (e == -EALREADY)
		return fail(f, e,
			    "cannot cancel the migration of the VM '%s': it runs on the other host "
			    "already, and the rest of its memory is on its way there",
			    r->vm->config->name);
	if (e == -EBUSY)
		return fail(f, e,
			    "cannot cancel the migration of the VM '%s': it may run on the other "
			    "host, and only that one knows",
			    r->vm->config->name);
	return e < 0 ? fail(f, e, "the VM '%s' is not being migrated", r->vm->config->name) : 0;
}

static int verb_migrate_hear(struct request *r, json_t **ret_result, struct failure *f)
{
	const json_t *there = json_object_get(r->arguments, "there");

	(void)ret_result;
	if (!json_is_boolean(there))
		return fail(f, -EINVAL, "'there' is neither true nor false");
	return migrate_hear(r->vm, json_is_true(there)) < 0
		       ? fail(f, -EPROTO, "the VM '%s' does not wait for that", r->vm->config->name)
		       : 0;
}

static int verb_incoming(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return incoming_begin(r->vm, descriptors_take(r->given),
			      json_is_true(json_object_get(r->arguments, "storage")), f);
}

/* With the lock, as who takes the VM over has it: one of the two comes first. */
static int verb_incoming_cancel(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	if (r->vm->state != VM_INCOMING)
		return fail(f, -EALREADY, "the VM '%s' runs here already", r->vm->config->name);
	vm_request_end(r->vm, "it was taken back");
	return 0;
}

static int verb_nmi(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return vm_nmi(r->vm) < 0 ? wrong_state(r->vm, "send an NMI to", -EPROTO, f) : 0;
}

static int ask_guest(struct request *r, enum shutdown_kind kind, const char *what,
		     struct failure *f)
{
	const char *reason = json_string_value(json_object_get(r->arguments, "reason"));
	bool force = json_is_true(json_object_get(r->arguments, "force"));
	int e = shutdown_request(r->vm->integration.shutdown, kind, reason, force);

	if (e < 0)
		return fail(f, e,
			    "cannot ask the guest of the VM '%s' to %s: its shutdown service is "
			    "not ready (%s); wait until it is up, or switch the VM off",
			    r->vm->config->name, what, strerror(-e));
	return 0;
}

static int verb_shutdown(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return ask_guest(r, SHUTDOWN_OFF, "shut down", f);
}

static int verb_reboot(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return ask_guest(r, SHUTDOWN_REBOOT, "reboot", f);
}

/* The request without its verb is a disk as in the configuration. */
static int verb_disk_add(struct request *r, json_t **ret_result, struct failure *f)
{
	struct config_disk d = {0};
	json_t *disk = json_copy(r->arguments);
	int fd = take_fd(r), e;

	if (!disk || json_object_del(disk, "verb") < 0)
		e = fail(f, -ENOMEM, "cannot add a disk: out of memory");
	else
		e = config_decode_disk(disk, &d, f);
	if (e == 0)
		e = storage_add(&r->vm->storage, &d, fd, f);
	else if (fd >= 0)
		close(fd);
	if (e == 0)
		*ret_result =
			json_pack("{s:i, s:i}", "controller", (int)d.controller, "lun", (int)d.lun);
	config_disk_done(&d);
	json_decref(disk);
	return e;
}

static int number(const struct request *r, const char *name, unsigned *ret)
{
	const json_t *value = json_object_get(r->arguments, name);
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value) || n < 0 || n > UINT16_MAX)
		return -EINVAL;
	*ret = (unsigned)n;
	return 0;
}

static int place(const struct request *r, unsigned *ret_controller, unsigned *ret_lun,
		 struct failure *f)
{
	*ret_controller = 0;
	if ((json_object_get(r->arguments, "controller") &&
	     number(r, "controller", ret_controller) < 0) ||
	    number(r, "lun", ret_lun) < 0)
		return fail(f, -EINVAL, "a disk is named by the numbers 'controller' and 'lun'");
	return 0;
}

static int verb_disk_remove(struct request *r, json_t **ret_result, struct failure *f)
{
	unsigned controller = 0, lun = 0;
	bool done = false;
	int e = place(r, &controller, &lun, f);

	if (e == 0)
		e = storage_remove(&r->vm->storage, controller, lun, &done, f);
	if (e == 0)
		*ret_result = json_pack("{s:b}", "done", done);
	return e;
}

static int verb_medium_insert(struct request *r, json_t **ret_result, struct failure *f)
{
	const char *path = json_string_value(json_object_get(r->arguments, "path"));
	unsigned controller, lun;
	int fd = take_fd(r), e = place(r, &controller, &lun, f);

	(void)ret_result;
	if (e == 0)
		return storage_insert(&r->vm->storage, controller, lun, path, fd, f);
	if (fd >= 0)
		close(fd);
	return e;
}

static int verb_medium_eject(struct request *r, json_t **ret_result, struct failure *f)
{
	bool force = json_is_true(json_object_get(r->arguments, "force")), done = false;
	unsigned controller, lun;
	int e = place(r, &controller, &lun, f);

	if (e == 0)
		e = storage_eject(&r->vm->storage, controller, lun, force, &done, f);
	if (e == 0)
		*ret_result = json_pack("{s:b}", "done", done);
	return e;
}

/* The request without its verb is a tap as in the configuration, but for its name. */
static int verb_nic_add(struct request *r, json_t **ret_result, struct failure *f)
{
	struct config_port port = {.type = NIC_TAP};
	json_t *nic = json_copy(r->arguments);
	unsigned number_of = 0;
	int fd = take_fd(r), e;

	if (!nic || json_object_del(nic, "verb") < 0)
		e = fail(f, -ENOMEM, "cannot add a NIC: out of memory");
	else
		e = config_decode_port(nic, &port, f);
	if (e == 0 && fd < 0)
		e = fail(f, -EINVAL,
			 "cannot add a NIC: the request came without a tap's descriptor");
	if (e == 0)
		e = network_add(&r->vm->network, &port, fd, &number_of, f);
	if (fd >= 0)
		close(fd);
	if (e == 0)
		*ret_result = json_pack("{s:i}", "nic", (int)number_of);
	json_decref(nic);
	return e;
}

static int nic_number(const struct request *r, unsigned *ret_number, struct failure *f)
{
	if (number(r, "nic", ret_number) < 0 || *ret_number >= CONFIG_NICS_MAX)
		return fail(f, -EINVAL, "a NIC is named by the number 'nic', from 0 to %u",
			    CONFIG_NICS_MAX - 1);
	return 0;
}

static int verb_nic_remove(struct request *r, json_t **ret_result, struct failure *f)
{
	unsigned nic = 0;
	int e = nic_number(r, &nic, f);

	(void)ret_result;
	return e == 0 ? network_remove(&r->vm->network, nic, f) : e;
}

static int verb_link(struct request *r, json_t **ret_result, struct failure *f)
{
	const json_t *up = json_object_get(r->arguments, "up");
	unsigned nic = 0;
	int e = nic_number(r, &nic, f);

	(void)ret_result;
	if (e < 0)
		return e;
	if (!json_is_boolean(up))
		return fail(f, -EINVAL, "a link is true or false: 'up'");
	return network_set_link(&r->vm->network, nic, json_is_true(up), f);
}

static int verb_console(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	(void)f;
	r->turn = CONTROL_BECOMES_CONSOLE;
	return 0;
}

static int verb_key(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return control_key(r->vm, r->arguments, f);
}

static int verb_type(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return control_type(r->vm, r->arguments, f);
}

static int verb_kvp_get(struct request *r, json_t **ret_result, struct failure *f)
{
	return control_kvp_get(r->vm, r->arguments, ret_result, f);
}

static int verb_kvp_set(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return control_kvp_set(r->vm, r->arguments, f);
}

static int verb_kvp_delete(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return control_kvp_delete(r->vm, r->arguments, f);
}

/* The copy comes along, open for writing. */
static int verb_mirror_add(struct request *r, json_t **ret_result, struct failure *f)
{
	unsigned controller = 0, lun = 0;
	int fd = take_fd(r), e = place(r, &controller, &lun, f);

	(void)ret_result;
	if (e == 0)
		return mirror_add(r->vm, controller, lun, fd, f);
	if (fd >= 0)
		close(fd);
	return e;
}

static int verb_mirror_commit(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return mirror_commit(r->vm, f);
}

/* The lease that the VM has from now on comes along, if it has one. */
static int verb_mirror_switch(struct request *r, json_t **ret_result, struct failure *f)
{
	uint64_t epoch = 0;
	int fd = take_fd(r), e = wish_number(r, "epoch", INT64_MAX, &epoch, f);

	(void)ret_result;
	if (e == 0)
		return mirror_switch(r->vm, fd, epoch, f);
	if (fd >= 0)
		close(fd);
	return e;
}

static int verb_mirror_cancel(struct request *r, json_t **ret_result, struct failure *f)
{
	(void)ret_result;
	return mirror_cancel(r->vm) < 0 ? fail(f, -EPROTO,
					       "the disks of the VM '%s' are not being copied, or "
					       "change at this moment",
					       r->vm->config->name)
					: 0;
}

static const struct verb verbs[] = {
	{"status", verb_status, WHILE_STILL},
	{"watch", verb_watch, WHILE_STILL},
	{"statistics", verb_statistics, WHILE_STILL},
	{"guest", verb_guest, WHILE_STILL},
	{"pause", verb_pause, 0},
	{"resume", verb_resume, 0},
	{"reset", verb_reset, 0},
	{"stop", verb_stop, WHILE_STILL},
	{"save", verb_save, NOT_MOVING},
	{"save-cancel", verb_save_cancel, WHILE_STILL},
	{"migrate", verb_migrate, 0},
	{"migrate-cancel", verb_migrate_cancel, WHILE_STILL},
	{"migrate-hear", verb_migrate_hear, WHILE_STILL},
	{"incoming", verb_incoming, WHILE_STILL},
	{"incoming-cancel", verb_incoming_cancel, WHILE_STILL},
	{"nmi", verb_nmi, 0},
	{"shutdown", verb_shutdown, 0},
	{"reboot", verb_reboot, 0},
	{"console", verb_console, 0},
	{"disk-add", verb_disk_add, NOT_MOVING | NOT_COPIED},
	{"disk-remove", verb_disk_remove, NOT_MOVING | NOT_COPIED},
	{"medium-insert", verb_medium_insert, NOT_MOVING | NOT_COPIED},
	{"medium-eject", verb_medium_eject, NOT_MOVING | NOT_COPIED},
	{"mirror-add", verb_mirror_add, NOT_MOVING},
	{"mirror-commit", verb_mirror_commit, 0},
	{"mirror-switch", verb_mirror_switch, 0},
	{"mirror-cancel", verb_mirror_cancel, 0},
	{"key", verb_key, 0},
	{"type", verb_type, 0},
	{"kvp-get", verb_kvp_get, 0},
	{"kvp-set", verb_kvp_set, 0},
	{"kvp-delete", verb_kvp_delete, 0},
	{"nic-add", verb_nic_add, NOT_MOVING},
	{"nic-remove", verb_nic_remove, NOT_MOVING},
	{"link", verb_link, NOT_MOVING},
};

static int act(struct request *r, json_t **ret_result, struct failure *f)
{
	const char *name = json_string_value(json_object_get(r->arguments, "verb"));

	if (!name)
		return fail(f, -EINVAL, "a request is an object with a 'verb'");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strcmp(verbs[i].name, name) != 0)
			continue;
		if (migrate_runs(r->vm) && verbs[i].when & NOT_MOVING)
			return fail(f, -EBUSY, "cannot %s the VM '%s': it is being migrated",
				    verbs[i].name, r->vm->config->name);
		if (mirror_runs(r->vm) && verbs[i].when & NOT_COPIED)
			return fail(f, -EBUSY, "cannot %s the VM '%s': its disks are being copied",
				    verbs[i].name, r->vm->config->name);
		if (vm_stands_still(r->vm) && !(verbs[i].when & WHILE_STILL))
			return fail(f, -EBUSY, "cannot %s the VM '%s': it is %s", verbs[i].name,
				    r->vm->config->name, vm_state_label(r->vm));
		return verbs[i].act(r, ret_result, f);
	}
	return fail(f, -ENOSYS, "there is no verb '%.32s'", name);
}

/* Names are cut at a number of bytes, which may split a character: JSON takes whole ones only. */
static json_t *sentence(char *text)
{
	json_t *whole = json_string(text);

	if (whole)
		return whole;
	for (char *c = text; *c; c++) {
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	}
	return json_string(text);
}

json_t *control_answer(struct vm *vm, const char *line, size_t len, struct descriptors *given,
		       enum control_turn *ret_turn)
{
	struct request r = {.vm = vm, .arguments = json_loadb(line, len, 0, NULL), .given = given};
	struct failure f = {"out of memory"};
	json_t *result = NULL, *answer;
	int e = r.arguments ? act(&r, &result, &f) : fail(&f, -EINVAL, "the request is not JSON");

	if (e < 0)
		answer = json_pack("{s:b, s:o}", "ok", 0, "error", sentence(f.text));
	else if (result)
		answer = json_pack("{s:b, s:O}", "ok", 1, "result", result);
	else
		answer = json_pack("{s:b}", "ok", 1);
	json_decref(result);
	json_decref(r.arguments);
	*ret_turn = r.turn;
	return answer;
}
