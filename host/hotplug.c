/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/hotplug.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/util.h"
#include "host/check.h"
#include "host/host.h"
#include "host/images.h"
#include "host/network.h"
#include "lib/log.h"

/* One change of a VM that runs; the VM is `edited` meanwhile, so it stays. */
struct hot {
	struct pool_work work;
	struct vm *vm;
	struct settings *settings; /* as they are to be */
	json_t *config;            /* the same for the worker, to be checked */
	json_t *member;            /* the disk or NIC, as the settings have it */
	json_t *request;           /* for the worker */
	json_t *images;            /* to be made */
	struct port_config *port;  /* of a NIC on a switch */
	bool plugged;              /* it is there */
	int fd;                    /* for the worker */
	int r;
	struct failure f;
	edit_done_fn *done;
	void *ctx;
};

static int no_memory(const struct vm *vm, struct failure *f)
{
	return fail(f, -ENOMEM, "cannot change the VM '%s': out of memory", vm->name);
}

static void hot_free(struct hot *h)
{
	settings_free(h->settings);
	json_decref(h->config);
	json_decref(h->member);
	json_decref(h->request);
	json_decref(h->images);
	free(h->port);
	if (h->fd >= 0)
		close(h->fd);
	free(h);
}

/* Whether it can be changed now, and how: false: by its settings alone. */
static int check_life(const struct vm *vm, bool *ret_hot, struct failure *f)
{
	if (vm->migration)
		return fail(f, -EBUSY,
			    "cannot change the VM '%s': it is on its way to another host",
			    vm->name);
	if (vm->edited)
		return fail(f, -EBUSY, "the VM '%s' is being changed by another request", vm->name);
	*ret_hot = vm->life == VM_RUNNING || vm->life == VM_PAUSED;
	if (*ret_hot || vm->life == VM_OFF)
		return 0;
	return fail(f, -EBUSY, "cannot change the VM '%s': it is %s", vm->name, vm_life_label(vm));
}

/* ---- the end ---- */

static void finish(struct hot *h, int r, const struct failure *f)
{
	h->vm->edited = false;
	h->done(h->ctx, h->vm, r, f);
	hot_free(h);
}

static void undo(struct pool_work *w)
{
	struct hot *h = CONTAINER_OF(w, struct hot, work);

	images_remove(h->images, h->vm->folder);
}

static void on_undone(struct pool_work *w)
{
	struct hot *h = CONTAINER_OF(w, struct hot, work);

	finish(h, h->r, &h->f);
}

/* It failed by h->r and h->f: what was made for it goes. */
static void take_back(struct hot *h)
{
	if (h->plugged) {
		network_unplug(h->vm->host->network, h->port, 1);
		h->port = NULL;
	}
	if (!json_array_size(h->images)) {
		finish(h, h->r, &h->f);
		return;
	}
	h->work = (struct pool_work){.work = undo, .done = on_undone, .lane = &h->vm->lane};
	pool_submit(h->vm->host->pool, &h->work);
}

static void on_settled(void *ctx, struct vm *vm, int r, const struct failure *f)
{
	struct hot *h = ctx;

	(void)vm;
	if (r < 0)
		log_line_of(LOG_LEVEL_ERROR, h->vm->log_fields,
			    "the VM '%s' runs otherwise than its settings say until it is switched "
			    "off: %s",
			    h->vm->name, f->text);
	finish(h, r, f);
}

/* The guest has it so; the settings follow. */
static void settle(struct hot *h)
{
	struct settings *settings = h->settings;

	h->settings = NULL;
	h->r = edit_settle(h->vm, settings, NULL, on_settled, h, &h->f);
	if (h->r < 0)
		finish(h, h->r, &h->f);
}

static void on_answer(void *ctx, json_t *result, const char *sentence)
{
	struct hot *h = ctx;

	(void)result;
	if (!sentence) {
		settle(h);
		return;
	}
	h->r = fail(&h->f, -EBUSY, "%s", sentence);
	take_back(h);
}

/* The worker carries it out. */
static void ask(struct hot *h, link_answer_fn *answer)
{
	json_t *request = h->request;
	int fd = h->fd;

	h->request = NULL;
	h->fd = -1;
	h->r = vm_ask(h->vm, "change", request, fd, answer, h, &h->f);
	if (h->r < 0)
		take_back(h);
}

/* ---- in the pool ---- */

/* As a worker's tap, which the port has made. */
static int open_tap(const char *ifname, struct failure *f)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) {
		int r = fail(f, -errno, "cannot open the tap '%s': %s", ifname, strerror(errno));

		if (fd >= 0)
			close(fd);
		return r;
	}
	return fd;
}

static int open_image(const struct hot *h, struct failure *f)
{
	json_t *disk = settings_disk_for_worker(h->member, h->vm->folder);
	const char *path = json_string_value(json_object_get(disk, "path"));
	const char *type = json_string_value(json_object_get(disk, "type"));
	bool read_only = json_is_true(json_object_get(disk, "read_only")) ||
			 (type && strcmp(type, "dvd") == 0);
	int fd = -1;

	if (path)
		fd = open(path,
			  (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (path && fd < 0)
		fd = fail(f, -errno, "cannot open the image %s: %s", path, strerror(errno));
	json_decref(disk);
	return path ? fd : -ENOENT;
}

static void prepare_disk(struct pool_work *w)
{
	struct hot *h = CONTAINER_OF(w, struct hot, work);

	h->r = check_config(h->vm->host->launcher.worker, h->config, &h->f);
	if (h->r == 0)
		h->r = images_make(h->images, h->vm->folder, &h->f);
	if (h->r < 0) {
		json_decref(h->images); /* none of them is there */
		h->images = NULL;
		return;
	}
	if (!json_object_get(h->member, "file")) /* a drive without a medium */
		return;
	h->fd = open_image(h, &h->f);
	h->r = h->fd < 0 ? h->fd : 0;
}

static void prepare_nic(struct pool_work *w)
{
	struct hot *h = CONTAINER_OF(w, struct hot, work);
	const char *ifname = json_string_value(json_object_get(h->request, "ifname"));

	h->r = check_config(h->vm->host->launcher.worker, h->config, &h->f);
	if (h->r < 0)
		return;
	h->fd = open_tap(ifname ? ifname : "", &h->f);
	h->r = h->fd < 0 ? h->fd : 0;
}

static void on_prepared(struct pool_work *w)
{
	struct hot *h = CONTAINER_OF(w, struct hot, work);

	(void)json_object_del(h->request, "ifname");
	if (h->r < 0)
		take_back(h);
	else
		ask(h, on_answer);
}

static void prepare(struct hot *h, void (*work)(struct pool_work *w))
{
	h->work = (struct pool_work){.work = work, .done = on_prepared, .lane = &h->vm->lane};
	pool_submit(h->vm->host->pool, &h->work);
}

/* ---- the begin ---- */

/* Takes settings, member and images. Of a VM that is off the settings are all: then *ret_hot is
 * NULL, and done() follows. */
static int begin(struct vm *vm, struct settings *settings, json_t *member, json_t *images, bool hot,
		 edit_done_fn *done, void *ctx, struct hot **ret_hot, struct failure *f)
{
	const struct vm_places places = {.name = vm->name, .folder = vm->folder, .run = vm->run};
	struct hot *h = hot ? calloc(1, sizeof(*h)) : NULL;

	*ret_hot = NULL;
	if (!h) {
		json_decref(member);
		if (!hot)
			return edit_settle(vm, settings, images, done, ctx, f);
		settings_free(settings);
		json_decref(images);
		return no_memory(vm, f);
	}
	*h = (struct hot){.vm = vm, .fd = -1, .settings = settings, .member = member};
	h->images = images;
	h->config = settings_for_worker(settings, &places);
	h->done = done;
	h->ctx = ctx;
	if (!h->config) {
		hot_free(h);
		return no_memory(vm, f);
	}
	*ret_hot = h;
	return 0;
}

/* The settings with one disk more, and the images that are to be made; hot: for a guest that runs.
 */
static int take_disk(const struct vm *vm, const json_t *disk, const char *brought, bool *ret_hot,
		     struct settings **ret_settings, json_t **ret_member, json_t **ret_images,
		     struct failure *f)
{
	json_t *wanted = json_pack("{s:[o]}", "disks", json_deep_copy(disk)), *images = NULL;
	int r = check_life(vm, ret_hot, f);

	if (r == 0)
		r = images_take(wanted, brought, &images, f);
	if (r == 0)
		r = settings_add_disk(vm->settings,
				      json_array_get(json_object_get(wanted, "disks"), 0), *ret_hot,
				      ret_settings, ret_member, f);
	json_decref(wanted);
	if (r < 0)
		json_decref(images);
	else
		*ret_images = images;
	return r;
}

int hotplug_check_disk(const struct vm *vm, const json_t *disk, struct failure *f)
{
	json_t *images, *member;
	struct settings *settings;
	bool hot;
	int r = take_disk(vm, disk, "", &hot, &settings, &member, &images, f);

	if (r < 0)
		return r;
	settings_free(settings);
	json_decref(member);
	json_decref(images);
	return 0;
}

int hotplug_add_disk(struct vm *vm, const json_t *disk, const char *brought, edit_done_fn *done,
		     void *ctx, struct failure *f)
{
	json_t *images, *member;
	struct settings *settings;
	struct hot *h = NULL;
	bool hot;
	int r = take_disk(vm, disk, brought, &hot, &settings, &member, &images, f);

	if (r < 0)
		return r;
	r = begin(vm, settings, member, images, hot, done, ctx, &h, f);
	if (r < 0 || !h)
		return r;
	h->request = settings_disk_for_worker(member, vm->folder);
	if (!h->request || json_object_set_new(h->request, "verb", json_string("disk-add")) < 0) {
		hot_free(h);
		return no_memory(vm, f);
	}
	vm->edited = true;
	prepare(h, prepare_disk);
	return 0;
}

int hotplug_remove_disk(struct vm *vm, struct disk_place place, edit_done_fn *done, void *ctx,
			struct failure *f)
{
	struct settings *settings;
	struct hot *h = NULL;
	json_t *member;
	bool hot;
	int r = check_life(vm, &hot, f);

	if (r == 0)
		r = settings_remove_disk(vm->settings, place, &settings, &member, f);
	if (r == 0)
		r = begin(vm, settings, member, NULL, hot, done, ctx, &h, f);
	if (r < 0 || !h)
		return r;
	h->request = json_pack("{s:s, s:i, s:i}", "verb", "disk-remove", "controller",
			       (int)place.controller, "lun", (int)place.lun);
	vm->edited = true;
	ask(h, on_answer);
	return 0;
}

/* ---- NICs ---- */

static void on_plugged(void *ctx, int r, const struct failure *f)
{
	struct hot *h = ctx;

	h->plugged = r == 0;
	if (r == 0) {
		h->vm->plugged = true;
		prepare(h, prepare_nic);
		return;
	}
	h->r = r;
	h->f = *f;
	take_back(h);
}

/* The port first, of which the lane gets a copy. */
static int plug(struct hot *h, struct failure *f)
{
	struct port_config *copy = malloc(sizeof(*copy));

	if (!copy)
		return no_memory(h->vm, f);
	*copy = *h->port;
	return network_plug(h->vm->host->network, copy, 1, on_plugged, h, f);
}

int hotplug_add_nic(struct vm *vm, const json_t *nic, edit_done_fn *done, void *ctx,
		    struct failure *f)
{
	struct settings *settings;
	json_t *member;
	struct hot *h = NULL;
	bool hot;
	int r = check_life(vm, &hot, f);

	if (r == 0)
		r = settings_add_nic(vm->settings, nic, &settings, &member, f);
	if (r < 0)
		return r;
	r = edit_check_switches(vm->host, settings, f);
	if (r < 0) {
		settings_free(settings);
		json_decref(member);
		return r;
	}
	r = begin(vm, settings, member, NULL, hot, done, ctx, &h, f);
	if (r < 0 || !h)
		return r;
	h->request = settings_nic_for_worker(settings, member);
	r = settings_port(settings, member, &h->port, f);
	if (r == 0 && !json_object_get(h->request, "ifname"))
		r = fail(
			f, -EINVAL,
			"a NIC of user-mode networking cannot be added while the VM '%s' runs; add "
			"one on a switch, or switch the VM off",
			vm->name);
	if (r == 0 && (json_object_del(h->request, "type") < 0 ||
		       json_object_set_new(h->request, "verb", json_string("nic-add")) < 0))
		r = no_memory(vm, f);
	if (r == 0 && h->port)
		r = plug(h, f);
	if (r < 0) {
		hot_free(h);
		return r;
	}
	vm->edited = true;
	if (!h->port)
		prepare(h, prepare_nic);
	return 0;
}

static void on_nic_removed(void *ctx, json_t *result, const char *sentence)
{
	struct hot *h = ctx;

	if (!sentence && h->port) {
		network_unplug(h->vm->host->network, h->port, 1);
		h->port = NULL;
	}
	on_answer(ctx, result, sentence);
}

/* The worker's number of the NIC. */
static void on_statistics(void *ctx, json_t *result, const char *sentence)
{
	struct hot *h = ctx;
	const char *mac = json_string_value(json_object_get(h->member, "mac"));
	json_t *nic;
	size_t i;

	json_array_foreach(json_object_get(result, "nics"), i, nic)
	{
		const char *of = json_string_value(json_object_get(nic, "mac"));

		if (sentence || !of || !mac || strcasecmp(of, mac) != 0)
			continue;
		h->request = json_pack("{s:s, s:O}", "verb", "nic-remove", "nic",
				       json_object_get(nic, "number"));
		ask(h, on_nic_removed);
		return;
	}
	if (sentence)
		h->r = fail(&h->f, -EBUSY, "%s", sentence);
	else
		h->r = fail(&h->f, -ENOENT,
			    "the worker of the VM '%s' has no NIC with the address %s", h->vm->name,
			    mac ? mac : "-");
	take_back(h);
}

int hotplug_remove_nic(struct vm *vm, const char *mac, edit_done_fn *done, void *ctx,
		       struct failure *f)
{
	struct settings *settings;
	json_t *member;
	struct hot *h = NULL;
	bool hot;
	int r = check_life(vm, &hot, f);

	if (r == 0)
		r = settings_remove_nic(vm->settings, mac, &settings, &member, f);
	if (r == 0)
		r = begin(vm, settings, member, NULL, hot, done, ctx, &h, f);
	if (r < 0 || !h)
		return r;
	r = settings_port(vm->settings, member, &h->port, f);
	if (r < 0) {
		hot_free(h);
		return r;
	}
	h->request = json_pack("{s:s}", "verb", "statistics");
	vm->edited = true;
	ask(h, on_statistics);
	return 0;
}
