/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "import/plan.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAC_BYTES 6u
#define NAME_SET "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"

/* Of the character that begins here, by RFC 3629; 0: none does. */
static size_t utf8_len(const unsigned char *t)
{
	size_t len;

	if (t[0] < 0x80)
		return 1;
	if (t[0] < 0xc2 || t[0] > 0xf4)
		return 0;
	len = t[0] < 0xe0 ? 2 : t[0] < 0xf0 ? 3 : 4;
	for (size_t i = 1; i < len; i++) {
		if ((t[i] & 0xc0) != 0x80)
			return 0; /* the NUL at the end too */
	}
	if ((t[0] == 0xe0 && t[1] < 0xa0) || (t[0] == 0xed && t[1] > 0x9f) ||
	    (t[0] == 0xf0 && t[1] < 0x90) || (t[0] == 0xf4 && t[1] > 0x8f))
		return 0;
	return len;
}

static void clean(char *text, const char *kept)
{
	for (unsigned char *t = (unsigned char *)text; *t;) {
		size_t len = utf8_len(t);

		/* 0xc2 0x80 to 0x9f are control characters as well. */
		if (len == 0 || (*t < 0x20 && !strchr(kept, *t)) || *t == 0x7f ||
		    (len == 2 && *t == 0xc2 && t[1] < 0xa0)) {
			len = len ? len : 1;
			memset(t, '?', len);
		}
		t += len;
	}
}

void text_clean(char *text)
{
	clean(text, "");
}

void sentences_add(struct sentences *s, const char *format, ...)
{
	va_list args;
	char *text;

	if (s->count >= PLAN_SENTENCES_MAX)
		return;
	text = s->texts[s->count];
	va_start(args, format);
	vsnprintf(text, FAIL_TEXT_MAX, format, args);
	va_end(args);
	text_clean(text);
	for (unsigned i = 0; i < s->count; i++) {
		if (strcmp(s->texts[i], text) == 0)
			return;
	}
	s->count++;
}

json_t *sentences_json(const struct sentences *s)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < s->count; i++) {
		if (json_array_append_new(list, json_string(s->texts[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

void plan_set_name(struct plan *p, const char *text)
{
	size_t len = 0;

	for (const char *t = text; *t && len < PLAN_NAME_MAX; t++) {
		bool good = strchr(NAME_SET, *t) != NULL;

		if (!good && (*t & 0xc0) == 0x80)
			continue; /* within a character that has its dash already */
		if (len == 0 && (!good || *t == '.' || *t == '-'))
			continue;
		p->name[len++] = good ? *t : '-';
	}
	while (len > 0 && p->name[len - 1] == '-')
		len--;
	p->name[len] = '\0';
	if (len == 0)
		strcpy(p->name, "imported");
}

void plan_set_cpus(struct plan *p, uint64_t cpus)
{
	if (cpus > PLAN_CPUS_MAX)
		plan_warn(p, "the VM has %llu processors and gets %u, the most that a VM may have",
			  (unsigned long long)cpus, PLAN_CPUS_MAX);
	p->cpus = cpus > PLAN_CPUS_MAX ? PLAN_CPUS_MAX : cpus;
}

void plan_set_memory(struct plan *p, uint64_t bytes)
{
	uint64_t mib = bytes / (1u << 20), allowed = mib;

	if (mib < PLAN_MEMORY_MIN_MIB)
		allowed = PLAN_MEMORY_MIN_MIB;
	if (mib > PLAN_MEMORY_MAX_MIB)
		allowed = PLAN_MEMORY_MAX_MIB;
	if (allowed != mib)
		plan_warn(p, "the VM has %llu MiB of memory and gets %llu, which a VM may have",
			  (unsigned long long)mib, (unsigned long long)allowed);
	p->memory_mib = allowed;
}

void plan_set_notes(struct plan *p, const char *text)
{
	snprintf(p->notes, sizeof(p->notes), "%s", text);
	clean(p->notes, "\n\t");
}

struct plan_disk *plan_add_disk(struct plan *p, const char *source)
{
	struct plan_disk *d;

	if (p->disk_count == PLAN_DISKS_MAX || strlen(source) >= PATH_MAX) {
		plan_refuse(p,
			    "the VM has more than %u disks, or a disk's path is longer than %u "
			    "bytes: take over fewer disks",
			    PLAN_DISKS_MAX, PATH_MAX - 1);
		return NULL;
	}
	d = &p->disks[p->disk_count++];
	memset(d, 0, sizeof(*d));
	strcpy(d->source, source);
	return d;
}

void plan_drop_disk(struct plan *p, unsigned index)
{
	if (index >= p->disk_count)
		return;
	p->disk_count--;
	memmove(&p->disks[index], &p->disks[index + 1],
		(p->disk_count - index) * sizeof(p->disks[0]));
}

/* XX:XX:XX:XX:XX:XX, of one receiver. */
static bool mac_decode(const char *text, uint8_t mac[MAC_BYTES])
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	unsigned any = 0;

	if (strlen(text) != 3 * MAC_BYTES - 1)
		return false;
	for (unsigned i = 0; i < MAC_BYTES; i++) {
		const char *high = strchr(digits, text[3 * i]),
			   *low = strchr(digits, text[3 * i + 1]);

		if (!high || !low || (i + 1 < MAC_BYTES && text[3 * i + 2] != ':'))
			return false;
		mac[i] = (uint8_t)(((high - digits) & 15) << 4 | ((low - digits) & 15));
		any |= mac[i];
	}
	return any != 0 && (mac[0] & 1) == 0;
}

void plan_add_nic(struct plan *p, const char *mac)
{
	uint8_t m[MAC_BYTES];
	struct plan_nic *nic;

	if (p->nic_count == PLAN_NICS_MAX) {
		plan_warn(p, "the VM has more than %u NICs; the others are left out",
			  PLAN_NICS_MAX);
		return;
	}
	plan_warn(
		p,
		"NICs become those of Hyper-V: the guest needs the driver hv_netvsc, and may know them "
		"by other names, such as eth0");
	nic = &p->nics[p->nic_count++];
	memset(nic, 0, sizeof(*nic));
	if (mac && mac_decode(mac, m))
		snprintf(nic->mac, sizeof(nic->mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1],
			 m[2], m[3], m[4], m[5]);
	else if (mac && *mac)
		plan_warn(p,
			  "the address '%.32s' of a NIC is none that a NIC can have; it gets a "
			  "new one",
			  mac);
}

static void check_sentences(struct sentences *s)
{
	if (s->count > PLAN_SENTENCES_MAX)
		s->count = PLAN_SENTENCES_MAX;
	for (unsigned i = 0; i < s->count; i++) {
		s->texts[i][FAIL_TEXT_MAX - 1] = '\0';
		text_clean(s->texts[i]);
	}
}

void plan_check(struct plan *p)
{
	char name[sizeof(p->name)];
	uint8_t mac[MAC_BYTES];

	memcpy(name, p->name, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	plan_set_name(p, name);
	p->notes[PLAN_NOTES_MAX] = '\0';
	clean(p->notes, "\n\t");
	check_sentences(&p->warnings);
	check_sentences(&p->refusals);
	if (p->cpus > PLAN_CPUS_MAX)
		p->cpus = PLAN_CPUS_MAX;
	if (p->memory_mib > PLAN_MEMORY_MAX_MIB)
		p->memory_mib = PLAN_MEMORY_MAX_MIB;
	if (p->disk_count > PLAN_DISKS_MAX)
		p->disk_count = PLAN_DISKS_MAX;
	for (unsigned i = 0; i < p->disk_count; i++) {
		p->disks[i].source[PATH_MAX - 1] = '\0';
		if (!format_is_image(p->disks[i].format))
			p->disks[i].format = FORMAT_NONE;
	}
	if (p->nic_count > PLAN_NICS_MAX)
		p->nic_count = PLAN_NICS_MAX;
	for (unsigned i = 0; i < p->nic_count; i++) {
		p->nics[i].mac[sizeof(p->nics[i].mac) - 1] = '\0';
		if (!mac_decode(p->nics[i].mac, mac))
			p->nics[i].mac[0] = '\0';
	}
}

static json_t *disks_json(const struct plan *p)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < p->disk_count; i++) {
		const struct plan_disk *d = &p->disks[i];
		json_t *o =
			json_pack("{s:s, s:s, s:I, s:I, s:I}", "source", d->source, "format",
				  format_word(d->format), "offset", (json_int_t)d->offset, "length",
				  (json_int_t)d->length, "bytes", (json_int_t)d->bytes);

		if (json_array_append_new(list, o) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *nics_json(const struct plan *p)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < p->nic_count; i++) {
		const char *mac = p->nics[i].mac;
		json_t *o = *mac ? json_pack("{s:s}", "mac", mac) : json_object();

		if (json_array_append_new(list, o) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

json_t *plan_json(const struct plan *p)
{
	return json_pack("{s:s, s:I, s:I, s:o, s:o, s:s, s:o, s:o}", "name", p->name, "cpus",
			 (json_int_t)p->cpus, "memory_mib", (json_int_t)p->memory_mib, "disks",
			 disks_json(p), "nics", nics_json(p), "notes", p->notes, "warnings",
			 sentences_json(&p->warnings), "refusals", sentences_json(&p->refusals));
}
