/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/offer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/lease.h"
#include "base/util.h"
#include "host/store.h"
#include "lib/fields.h"
#include "lib/random.h"

#define MEMORY_MORE_MIB 128u /* beside the guest's */
#define MEMINFO_BYTES 4096u

void offer_reason(json_t *reasons, const char *format, ...)
{
	char text[FAIL_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (json_array_size(reasons) < OFFER_REASONS_MAX)
		json_array_append_new(reasons, json_string(text));
}

/* ---- images ---- */

/* The path of an image, "" of a drive without one; whether it is only read. False: no memory. */
static bool image_of(const json_t *disk, const char *folder, char path[PATH_MAX],
		     bool *ret_read_only)
{
	json_t *config = settings_disk_for_worker(disk, folder);
	const char *file = json_string_value(json_object_get(config, "path"));
	const char *type = json_string_value(json_object_get(config, "type"));
	bool good = config != NULL;

	*ret_read_only = json_is_true(json_object_get(config, "read_only")) ||
			 (type && strcmp(type, "dvd") == 0);
	path[0] = '\0';
	if (file)
		good = snprintf(path, PATH_MAX, "%s", file) < PATH_MAX;
	json_decref(config);
	return good;
}

/* Opens it as a worker would. */
static int look_at(const char *path, bool read_only, struct offer_disk *ret)
{
	int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 ? -errno : 0;
	struct stat st;
	off_t end = 0;

	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r == 0 && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		r = -EINVAL;
	if (r == 0)
		end = lseek(fd, 0, SEEK_END);
	if (r == 0 && end < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (r == 0)
		*ret = (struct offer_disk){.there = true,
					   .bytes = (uint64_t)end,
					   .data = (uint64_t)st.st_blocks * 512,
					   .inode = S_ISREG(st.st_mode) ? st.st_ino : 0};
	return r;
}

/* ---- the source ---- */

/* What the other host compares its own with; null of a drive without a medium. */
static int look_at_all(const char *folder, const struct settings *s, bool storage, json_t *list,
		       struct failure *f)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(s->root, "disks"), i, disk)
	{
		struct offer_disk found = {.there = false};
		char path[PATH_MAX];
		bool read_only;
		int r = 0;

		if (!image_of(disk, folder, path, &read_only))
			return fail(f, -ENOMEM, "cannot look at the disks: out of memory");
		if (path[0])
			r = look_at(path, read_only, &found);
		if (r < 0)
			return fail(f, r, "cannot look at the image %s: %s", path, strerror(-r));
		if (json_array_append_new(
			    list, found.there
					  ? json_pack("{s:I, s:I, s:o*}", "bytes",
						      (json_int_t)found.bytes, "inode",
						      (json_int_t)(found.inode & INT64_MAX), "data",
						      storage ? json_integer((json_int_t)found.data)
							      : NULL)
					  : json_null()) < 0)
			return fail(f, -ENOMEM, "cannot look at the disks: out of memory");
	}
	return 0;
}

static int make_proof(const char *folder, char proof[GUID_TEXT_LEN], struct failure *f)
{
	struct guid random;
	char path[PATH_MAX];
	int r = random_uuid(&random), fd;

	if (r < 0)
		return fail(f, r, "cannot make an offer: %s", strerror(-r));
	guid_format(&random, proof);
	if (snprintf(path, sizeof(path), "%s/" OFFER_PROOF_FILE "%s", folder, proof) >=
	    (int)sizeof(path))
		return fail(f, -ENAMETOOLONG, "the path of %s is too long", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail(f, -errno, "cannot make the file %s: %s", path, strerror(errno));
	close(fd);
	return 0;
}

int offer_make(const char *folder, const struct settings *s, bool storage,
	       char ret_proof[GUID_TEXT_LEN], json_t **ret_disks, char ret_folder[PATH_MAX],
	       struct failure *f)
{
	json_t *list = json_array();
	int r = look_at_all(folder, s, storage, list, f);

	if (r == 0 && !realpath(folder, ret_folder))
		r = fail(f, -errno, "cannot find %s: %s", folder, strerror(errno));
	if (r == 0)
		r = make_proof(folder, ret_proof, f);
	if (r < 0) {
		json_decref(list);
		return r;
	}
	*ret_disks = list;
	return 0;
}

void offer_clean(const char *folder, const char *proof)
{
	DIR *list = opendir(folder);
	struct dirent *entry;

	if (!list)
		return;
	while ((entry = readdir(list))) {
		const char *name = entry->d_name;

		if (strncmp(name, OFFER_PROOF_FILE, strlen(OFFER_PROOF_FILE)) == 0 &&
		    (!proof || strcmp(name + strlen(OFFER_PROOF_FILE), proof) == 0))
			(void)unlinkat(dirfd(list), name, 0);
	}
	closedir(list);
}

/* ---- decoding ---- */

static int decode_disk(json_t *object, struct offer_disk *d, struct failure *f)
{
	static const struct field fields[] = {
		{"bytes", JSON_INTEGER}, {"inode", JSON_INTEGER}, {"data", JSON_INTEGER}};
	int r;

	if (json_is_null(object))
		return 0;
	r = fields_check_of("the offer", object, "a disk", fields, ARRAY_LEN(fields), f);
	if (r == 0)
		r = field_number(object, "bytes", 0, INT64_MAX, &d->bytes, f);
	if (r == 0)
		r = field_number(object, "inode", 0, INT64_MAX, &d->inode, f);
	if (r == 0)
		r = field_number(object, "data", 0, INT64_MAX, &d->data, f);
	d->there = r == 0;
	return r;
}

static int decode_disks(json_t *list, struct offer *o, struct failure *f)
{
	json_t *object;
	size_t i;
	int r = 0;

	o->disks = json_array_size(list);
	o->disk = calloc(o->disks + 1, sizeof(*o->disk));
	if (!o->disk)
		return fail(f, -ENOMEM, "cannot take the offer: out of memory");
	json_array_foreach(list, i, object)
	{
		if (r == 0)
			r = decode_disk(object, &o->disk[i], f);
	}
	if (r == 0 && o->settings &&
	    o->disks != json_array_size(json_object_get(o->settings->root, "disks")))
		return fail(f, -EINVAL, "the offer does not tell of each disk of its settings");
	return r;
}

/* Texts, each of which has to be there. */
static int decode_texts(json_t *body, struct offer *o, struct failure *f)
{
	const char *name = json_string_value(json_object_get(body, "name"));
	const char *host = json_string_value(json_object_get(body, "host"));
	const char *host_uuid = json_string_value(json_object_get(body, "host_uuid"));
	const char *oya = json_string_value(json_object_get(body, "oya"));
	const char *folder = json_string_value(json_object_get(body, "folder"));
	const char *proof = json_string_value(json_object_get(body, "proof"));
	struct guid g;

	if (!name || !vm_name_allowed(name))
		return fail(f, -EINVAL, "'%.80s' is no name of a VM", name ? name : "");
	if (!folder || folder[0] != '/' || strlen(folder) >= PATH_MAX)
		return fail(f, -EINVAL, "'folder' of the offer is no absolute path");
	if (!proof || guid_parse(proof, &g) < 0)
		return fail(f, -EINVAL, "'proof' of the offer is no UUID");
	if (!host_uuid || guid_parse(host_uuid, &o->host_uuid) < 0)
		return fail(f, -EINVAL, "'host_uuid' of the offer is no UUID");
	snprintf(o->name, sizeof(o->name), "%s", name);
	snprintf(o->host, sizeof(o->host), "%s", host ? host : "another host");
	snprintf(o->oya, sizeof(o->oya), "%s", oya ? oya : "");
	snprintf(o->folder, sizeof(o->folder), "%s", folder);
	snprintf(o->proof, sizeof(o->proof), "%s", proof);
	return 0;
}

/* Settings that this host cannot use are a reason among others. */
static void decode_settings(json_t *object, struct offer *o)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	if (!text || settings_decode(text, strlen(text), &o->settings, &o->why) < 0)
		o->settings = NULL;
	if (!text)
		fail(&o->why, -EINVAL, "the offer has no settings");
	free(text);
}

/* Whose disks come along. */
static int decode_storage(json_t *object, struct offer *o, struct failure *f)
{
	static const struct field fields[] = {{"epoch", JSON_INTEGER}};
	int r = object ? fields_check_of("the offer", object, "'storage'", fields,
					 ARRAY_LEN(fields), f)
		       : 0;

	if (r == 0 && object)
		r = field_number(object, "epoch", 1, LEASE_EPOCH_MAX - 1, &o->epoch, f);
	if (r == 0 && object && !o->epoch)
		r = fail(f, -EINVAL, "the offer does not say the epoch of its lease");
	o->storage = object != NULL;
	return r;
}

int offer_decode(json_t *body, struct offer **ret_offer, struct failure *f)
{
	static const struct field fields[] = {
		{"version", JSON_INTEGER},     {"oya", JSON_STRING},
		{"name", JSON_STRING},         {"host", JSON_STRING},
		{"folder", JSON_STRING},       {"proof", JSON_STRING},
		{"settings", JSON_OBJECT},     {"disks", JSON_ARRAY},
		{"processor", JSON_OBJECT},    {"host_uuid", JSON_STRING},
		{"connections", JSON_INTEGER}, {"storage", JSON_OBJECT},
	};
	struct offer *o = calloc(1, sizeof(*o));
	int r = o ? fields_check_of("the offer", body, "the request", fields, ARRAY_LEN(fields), f)
		  : fail(f, -ENOMEM, "cannot take the offer: out of memory");

	if (r == 0)
		r = field_number(body, "version", 0, INT64_MAX, &o->version, f);
	if (r == 0) {
		o->connections = 1;
		r = field_number(body, "connections", 1, OFFER_CONNECTIONS_MAX, &o->connections, f);
	}
	if (r == 0)
		r = decode_storage(json_object_get(body, "storage"), o, f);
	if (r == 0)
		r = decode_texts(body, o, f);
	if (r == 0) {
		decode_settings(json_object_get(body, "settings"), o);
		r = decode_disks(json_object_get(body, "disks"), o, f);
	}
	if (r == 0)
		r = processor_decode("the offer", json_object_get(body, "processor"), &o->processor,
				     f);
	if (r < 0) {
		offer_free(o);
		return r;
	}
	*ret_offer = o;
	return 0;
}

void offer_free(struct offer *o)
{
	if (!o)
		return;
	settings_free(o->settings);
	free(o->disk);
	free(o);
}

/* ---- looking ---- */

bool offer_is_shared(const struct offer *o)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/" OFFER_PROOF_FILE "%s", o->folder, o->proof) <
		       (int)sizeof(path) &&
	       access(path, F_OK) == 0;
}

static void look_at_disk(const struct offer_disk *there, const json_t *disk, const char *folder,
			 json_t *reasons)
{
	struct offer_disk here = {.there = false};
	char path[PATH_MAX];
	bool read_only;
	int r;

	if (!image_of(disk, folder, path, &read_only) || !path[0] || !there->there)
		return;
	r = look_at(path, read_only, &here);
	if (r < 0)
		offer_reason(reasons, "the image %s cannot be opened here%s: %s", path,
			     read_only ? "" : " for writing", strerror(-r));
	else if (here.bytes != there->bytes || (here.inode & INT64_MAX) != there->inode)
		offer_reason(reasons,
			     "the image %s is another one here: both hosts have to reach the same",
			     path);
}

/* Of /proc/meminfo; 0: not known. */
static uint64_t free_mib(void)
{
	char text[MEMINFO_BYTES];
	const char *line;
	ssize_t n;
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	line = strstr(text, "MemAvailable:");
	return line ? strtoull(line + strlen("MemAvailable:"), NULL, 10) >> 10 : 0;
}

/* Large pages are reserved by who sets the host up: the worker tells whether there are enough. */
static void look_at_memory(const struct settings *s, json_t *reasons)
{
	uint64_t wanted = settings_memory_mib(s), found = free_mib();

	if (!json_object_get(s->root, "memory_pages") && found && wanted + MEMORY_MORE_MIB > found)
		offer_reason(reasons,
			     "its memory of %" PRIu64 " MiB is not free here: %" PRIu64
			     " MiB are, and a worker needs some itself",
			     wanted, found);
}

void offer_look(const struct offer *o, const struct settings *s, const char *folder,
		const struct processor *here, json_t *reasons)
{
	char lacks[FAIL_TEXT_MAX / 2];
	json_t *disk;
	size_t i;

	if (here && processor_lacks(here, &o->processor, lacks, sizeof(lacks)))
		offer_reason(reasons, "the processor here lacks what its guest may use: %s", lacks);
	if (!s)
		return;
	look_at_memory(s, reasons);
	json_array_foreach(json_object_get(s->root, "disks"), i, disk)
	{
		if (folder)
			look_at_disk(&o->disk[i], disk, folder, reasons);
	}
}
