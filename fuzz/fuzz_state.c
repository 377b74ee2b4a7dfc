/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A saved state of the whole machine, as it is or as somebody has changed it. The input is steps of
 * a guest (steps.h) up to a byte END; a number of changes, each a record, a place and a value; and
 * steps of the guest that goes on in another machine.
 *
 * Checked: a state that nobody has changed is taken, and is the same when it is written again; one
 * that was changed is refused, or makes a machine that stands all that a guest does.
 */
#include "base/record.h"
#include "fuzz/steps.h"

#define BEFORE_MAX 64u
#define AFTER_MAX 64u
#define END 0xffu
#define RECORDS 11u
#define CHANNELS 16u
#define ROOM (256u << 10)

struct saved {
	uint8_t *body;
	size_t len;
	uint32_t relid; /* of a channel */
};

struct states {
	struct saved record[RECORDS + CHANNELS];
	unsigned count;
	uint8_t *ram;
	uint64_t now_ns;
};

static void go(struct whole *w, unsigned kind, uint32_t relid, struct record *r)
{
	switch (kind) {
	case 0:
		hv_state(w->hv, r);
		break;
	case 1:
		ioapic_state(w->ioapic, r);
		break;
	case 2:
		serial_state(w->serial, r);
		break;
	case 3:
		rtc_state(w->rtc, r);
		break;
	case 4:
		storvsp_record(w->sp, r);
		break;
	case 5:
		netvsp_state(w->nic, r);
		break;
	case 6:
		heartbeat_record(w->hb, r);
		break;
	case 7:
		shutdown_record(w->sd, r);
		break;
	case 8:
		timesync_record(w->ts, r);
		break;
	case 9:
		kvp_record(w->kvp, r);
		break;
	case 10:
		vmbus_record(w->bus, r);
		break;
	default:
		vmbus_channel_record(w->bus, relid, r);
		break;
	}
}

static void write_one(struct whole *w, struct states *s, unsigned kind, uint32_t relid)
{
	static uint8_t room[ROOM];
	struct record r = record_writer(1, room, sizeof(room));
	struct saved *saved = &s->record[s->count++];

	go(w, kind, relid, &r);
	must(record_end(&r) == 0);
	*saved = (struct saved){.body = malloc(r.used + 1), .len = r.used, .relid = relid};
	must(saved->body != NULL);
	memcpy(saved->body, room, r.used);
}

static void write_all(struct whole *w, struct states *s)
{
	struct vmbus_channel_info info;

	for (unsigned kind = 0; kind < RECORDS; kind++)
		write_one(w, s, kind, 0);
	for (uint32_t relid = 0; vmbus_channel_info(w->bus, &relid, &info) == 0; relid++) {
		must(s->count < ARRAY_LEN(s->record));
		write_one(w, s, RECORDS, relid);
	}
}

static void drop(struct states *s)
{
	for (unsigned i = 0; i < s->count; i++)
		free(s->record[i].body);
	s->count = 0;
}

static bool change(struct states *s, struct cursor *in)
{
	unsigned changes = cursor_u8(in) % 8;
	bool changed = false;

	for (unsigned i = 0; i < changes; i++) {
		struct saved *saved = &s->record[cursor_u8(in) % s->count];
		size_t at = cursor_u16(in) % (saved->len + 1);
		uint8_t value = cursor_u8(in);

		if (at == saved->len) {
			changed |= saved->len != value;
			saved->len = min_u64(value, saved->len); /* cut */
		} else {
			changed |= saved->body[at] != value;
			saved->body[at] = value;
		}
	}
	return changed;
}

static bool read_all(struct whole *w, const struct states *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		const struct saved *saved = &s->record[i];
		struct record r = record_reader(1, saved->body, saved->len);

		go(w, i < RECORDS ? i : RECORDS, saved->relid, &r);
		if (record_end(&r) < 0)
			return false;
	}
	return true;
}

static void must_be_same(struct whole *w, const struct states *s)
{
	struct states again = {.count = 0};

	write_all(w, &again);
	must(again.count == s->count);
	for (unsigned i = 0; i < s->count; i++)
		must(again.record[i].len == s->record[i].len &&
		     memcmp(again.record[i].body, s->record[i].body, s->record[i].len) == 0);
	drop(&again);
}

static void leave(struct whole *w)
{
	whole_end(w);
	whole_forget(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);
	struct whole *w = whole_get();
	struct states s = {.count = 0};
	bool changed, pending;

	for (unsigned n = 0; n < BEFORE_MAX && in.left && *in.at != END; n++)
		steps_do(w, &in, n % 4 == 0);
	(void)cursor_u8(&in);
	w->disk->refuse = 0;
	memdisk_complete_all(w->disk);
	must(storvsp_inflight(w->sp) == 0);
	s.ram = malloc(WHOLE_RAM);
	must(s.ram != NULL);
	write_all(w, &s);
	memcpy(s.ram, w->ram, WHOLE_RAM);
	s.now_ns = w->now_ns;
	pending = w->requests != w->answers;
	leave(w);

	changed = change(&s, &in);
	w = whole_get();
	memcpy(w->ram, s.ram, WHOLE_RAM);
	w->now_ns = s.now_ns;
	w->requests = pending || changed; /* a state may claim one */
	if (read_all(w, &s)) {
		if (!changed)
			must_be_same(w, &s);
		vmbus_restored(w->bus);
		whole_run_deferred(w);
		for (unsigned n = 0; n < AFTER_MAX && in.left; n++)
			steps_do(w, &in, n % 4 == 0);
	} else {
		must(changed);
	}
	leave(w);
	drop(&s);
	free(s.ram);
	return 0;
}
