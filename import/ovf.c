/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "import/ovf.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "lib/xml.h"

#define FILES_MAX 256u
#define ITEMS_MAX 256u
#define ID_MAX 128u

/* Resource types of CIM. */
enum { CPUS = 3, MEMORY = 4, NIC = 10, FLOPPY = 14, CD = 15, DVD = 16, DISK = 17, USB = 23 };
#define SOUND 35

struct reference {
	char id[ID_MAX];
	char href[PATH_MAX];
	bool changed; /* cut into chunks, or compressed */
};

struct disk {
	char id[ID_MAX], file[ID_MAX];
	bool parent, used;
};

struct item {
	unsigned type;
	uint64_t quantity;
	char units[64], address[32], host[ID_MAX + 16];
};

struct ovf {
	struct plan *plan;
	bool envelope;
	unsigned systems, file_count, disk_count;
	struct reference files[FILES_MAX];
	struct disk disks[FILES_MAX];
	struct item item; /* the one that is being read */
};

static void copy(char *to, size_t room, const char *text)
{
	snprintf(to, room, "%s", text ? text : "");
}

static bool ends_with(const char *path, const char *end)
{
	size_t len = strlen(path), end_len = strlen(end);

	return len >= end_len && strcmp(path + len - end_len, end) == 0;
}

static void take_file(struct ovf *o, const char **attributes)
{
	const char *compression = xml_attribute(attributes, "compression");
	struct reference *f;

	if (o->file_count == FILES_MAX) {
		plan_refuse(o->plan, "the description names more than %u files", FILES_MAX);
		return;
	}
	f = &o->files[o->file_count++];
	copy(f->id, sizeof(f->id), xml_attribute(attributes, "id"));
	copy(f->href, sizeof(f->href), xml_attribute(attributes, "href"));
	f->changed = xml_attribute(attributes, "chunkSize") ||
		     (compression && *compression && strcmp(compression, "identity") != 0);
}

static void take_disk(struct ovf *o, const char **attributes)
{
	struct disk *d;

	if (o->disk_count == FILES_MAX) {
		plan_refuse(o->plan, "the description names more than %u disks", FILES_MAX);
		return;
	}
	d = &o->disks[o->disk_count++];
	copy(d->id, sizeof(d->id), xml_attribute(attributes, "diskId"));
	copy(d->file, sizeof(d->file), xml_attribute(attributes, "fileRef"));
	d->parent = xml_attribute(attributes, "parentRef") != NULL;
}

static void take_setting(struct ovf *o, const char **attributes)
{
	const char *key = xml_attribute(attributes, "key"),
		   *value = xml_attribute(attributes, "value");

	if (!key || !value)
		return;
	if (strcasecmp(key, "firmware") == 0 && strcasecmp(value, "efi") == 0)
		plan_refuse(o->plan, "the VM boots by UEFI only, which Oya does not have yet: "
				     "install it anew for BIOS, or make its disk boot by BIOS "
				     "on the old system first");
}

/* VirtualBox says it in an element of its own. */
static void take_firmware(struct ovf *o, const char **attributes)
{
	const char *type = xml_attribute(attributes, "type");

	if (type && strncasecmp(type, "efi", 3) == 0)
		plan_refuse(o->plan, "the VM boots by UEFI only, which Oya does not have yet: "
				     "install it anew for BIOS, or make its disk boot by BIOS "
				     "on the old system first");
}

static bool is_item(const char *path)
{
	return ends_with(path, "/VirtualHardwareSection/Item") ||
	       ends_with(path, "/VirtualHardwareSection/StorageItem") ||
	       ends_with(path, "/VirtualHardwareSection/EthernetPortItem");
}

static void on_begin(void *ctx, const char *path, const char **attributes)
{
	struct ovf *o = ctx;

	if (strcmp(path, "/Envelope") == 0)
		o->envelope = true;
	else if (strcmp(path, "/Envelope/References/File") == 0)
		take_file(o, attributes);
	else if (strcmp(path, "/Envelope/DiskSection/Disk") == 0)
		take_disk(o, attributes);
	else if (ends_with(path, "/VirtualHardwareSection/Config"))
		take_setting(o, attributes);
	else if (ends_with(path, "/Machine/Hardware/Firmware"))
		take_firmware(o, attributes);
	else if (is_item(path))
		memset(&o->item, 0, sizeof(o->item));
	else if (ends_with(path, "/VirtualSystem") && ++o->systems == 1 &&
		 xml_attribute(attributes, "id"))
		plan_set_name(o->plan, xml_attribute(attributes, "id"));
}

/* "byte * 2^20", or a word of old. */
static uint64_t memory_bytes(const struct item *i)
{
	static const struct {
		const char *word;
		unsigned shift;
	} words[] = {{"kilo", 10}, {"kb", 10}, {"giga", 30}, {"gb", 30}, {"tera", 40}, {"tb", 40}};
	const char *power = strstr(i->units, "2^");
	unsigned shift = 20;
	uint64_t bytes;

	if (power)
		shift = (unsigned)strtoul(power + 2, NULL, 10);
	else if (strcasecmp(i->units, "byte") == 0 || strcasecmp(i->units, "bytes") == 0)
		shift = 0;
	for (size_t w = 0; !power && w < ARRAY_LEN(words); w++) {
		if (strncasecmp(i->units, words[w].word, strlen(words[w].word)) == 0)
			shift = words[w].shift;
	}
	if (shift > 50 || __builtin_mul_overflow(i->quantity, UINT64_C(1) << shift, &bytes))
		return UINT64_MAX;
	return bytes;
}

/* The path of a reference, relative and within the description's folder. */
static bool href_allowed(const char *href)
{
	if (!*href || *href == '/' || strstr(href, "://") || strncasecmp(href, "file:", 5) == 0)
		return false;
	for (const char *at = href; *at;) {
		size_t len = strcspn(at, "/\\");

		if (len == 2 && strncmp(at, "..", 2) == 0)
			return false;
		at += len;
		at += *at != '\0';
	}
	return true;
}

/* What stands for some characters in a URI (%20). 0, or -EINVAL. */
static int unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		char hex[3] = {0};

		if (*from != '%') {
			*to = *from++;
			continue;
		}
		hex[0] = from[1];
		hex[1] = hex[0] ? from[2] : '\0';
		if (!isxdigit((unsigned char)hex[0]) || !isxdigit((unsigned char)hex[1]))
			return -EINVAL;
		*to = (char)strtoul(hex, NULL, 16);
		if (!*to)
			return -EINVAL;
		from += 3;
	}
	*to = '\0';
	return 0;
}

static void use_file(struct ovf *o, const struct disk *d)
{
	for (unsigned i = 0; i < o->file_count; i++) {
		const struct reference *f = &o->files[i];
		char path[PATH_MAX];

		if (strcmp(f->id, d->file) != 0)
			continue;
		copy(path, sizeof(path), f->href);
		if (unescape(path) < 0 || !href_allowed(path))
			plan_refuse(o->plan,
				    "the description names the file '%.256s', which is not in its "
				    "own folder: put the disk there and change the reference",
				    f->href);
		else if (f->changed)
			plan_refuse(o->plan,
				    "the file '%.256s' is compressed or cut into pieces: export "
				    "the VM without that",
				    f->href);
		else
			plan_add_disk(o->plan, path);
		return;
	}
	plan_refuse(o->plan,
		    "the description names no file for the disk '%.128s': export the VM anew",
		    d->id);
}

static void use_disk(struct ovf *o, struct disk *d)
{
	d->used = true;
	if (d->parent)
		plan_refuse(o->plan,
			    "the disk '%.128s' differs from another one only: delete the "
			    "snapshots on the old system and export the VM anew",
			    d->id);
	else if (!d->file[0])
		plan_warn(o->plan,
			  "the disk '%.128s' is empty and has no file; add a new one by 'oya disk "
			  "add' when it is needed",
			  d->id);
	else
		use_file(o, d);
}

/* "ovf:/disk/ID" or "/disk/ID". */
static void use_disk_of(struct ovf *o, const char *host)
{
	const char *id = strrchr(host, '/');

	for (unsigned i = 0; id && strstr(host, "/disk/") && i < o->disk_count; i++) {
		if (strcmp(o->disks[i].id, id + 1) == 0 && !o->disks[i].used) {
			use_disk(o, &o->disks[i]);
			return;
		}
	}
	/* The rest is taken at the end. */
}

static void take_item(struct ovf *o)
{
	const struct item *i = &o->item;

	if (o->systems > 1)
		return;
	if (i->type == CPUS)
		plan_set_cpus(o->plan, i->quantity);
	else if (i->type == MEMORY)
		plan_set_memory(o->plan, memory_bytes(i));
	else if (i->type == NIC)
		plan_add_nic(o->plan, i->address);
	else if (i->type == DISK)
		use_disk_of(o, i->host);
	else if (i->type == FLOPPY || i->type == CD || i->type == DVD)
		plan_warn(o->plan, "CD and floppy drives are left out; add one by 'oya disk add' "
				   "when it is needed");
	else if (i->type == USB)
		plan_warn(o->plan, "USB is left out: Oya has none");
	else if (i->type == SOUND)
		plan_warn(o->plan, "sound is left out: Oya has none");
}

static void on_member(struct item *i, const char *name, const char *text)
{
	if (strcmp(name, "ResourceType") == 0)
		i->type = (unsigned)strtoul(text, NULL, 10);
	else if (strcmp(name, "VirtualQuantity") == 0)
		i->quantity = strtoull(text, NULL, 10);
	else if (strcmp(name, "AllocationUnits") == 0)
		copy(i->units, sizeof(i->units), text);
	else if (strcmp(name, "Address") == 0)
		copy(i->address, sizeof(i->address), text);
	else if (strcmp(name, "HostResource") == 0)
		copy(i->host, sizeof(i->host), text);
}

static void on_end(void *ctx, const char *path, const char *text)
{
	struct ovf *o = ctx;
	const char *name = strrchr(path, '/');
	char parent[1024];

	copy(parent, sizeof(parent), path);
	parent[name - path] = '\0';
	if (is_item(path))
		take_item(o);
	else if (is_item(parent))
		on_member(&o->item, name + 1, text);
	else if (ends_with(parent, "/VirtualSystem") && strcmp(name, "/Name") == 0 &&
		 o->systems == 1 && *text)
		plan_set_name(o->plan, text);
	else if (ends_with(path, "/AnnotationSection/Annotation") && o->systems <= 1)
		plan_set_notes(o->plan, text);
}

int ovf_decode(const char *text, size_t len, struct plan *p, struct failure *f)
{
	static const struct xml_calls calls = {on_begin, on_end};
	struct ovf *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return fail(f, -ENOMEM, "cannot read the description: out of memory");
	o->plan = p;
	p->kind = PLAN_OVF;
	r = xml_parse(text, len, &calls, o, "the description", f);
	if (r == 0 && (!o->envelope || o->systems == 0))
		r = fail(f, -EINVAL, "the description is no OVF envelope with a VM in it");
	if (r == 0 && o->systems > 1)
		plan_refuse(p, "the description has %u VMs: export them one by one", o->systems);
	for (unsigned i = 0; r == 0 && i < o->disk_count; i++) {
		if (!o->disks[i].used)
			use_disk(o, &o->disks[i]);
	}
	if (r == 0 && p->disk_count > 0)
		plan_warn(p, "the disks' controllers become SCSI of Hyper-V: the guest needs the "
			     "driver hv_storvsc");
	free(o);
	return r;
}
