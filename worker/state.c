/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A table of records (state.h). A stream has them in the order of the table, those of one kind by
 * rising instance, and none is missing: what the VM has of a kind, the stream has, and nothing
 * else.
 */
#include "worker/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/record.h"
#include "base/util.h"
#include "worker/vm.h"

#define BODY_ROOM 65536u /* at first; a record that needs more says how much */
#define CHANNELS_MAX 512u

struct row {
	uint32_t type;
	unsigned instances; /* at most */
	bool any;           /* the VM does not know how many there are before it has read them */
	bool (*there)(const struct vm *vm, unsigned instance);
	void (*go)(struct vm *vm, unsigned instance, struct record *r);
};

/* ---- the rows ---- */

static bool always(const struct vm *vm, unsigned instance)
{
	(void)vm;
	return instance == 0;
}

static bool has_pc(const struct vm *vm, unsigned instance)
{
	return vm->machine.pc && instance == 0;
}

static bool has_scsi(const struct vm *vm, unsigned instance)
{
	return vm->storage.controller[instance] != NULL;
}

static bool has_nic(const struct vm *vm, unsigned instance)
{
	return vm->network.nic[instance] != NULL;
}

static bool has_channel(const struct vm *vm, unsigned instance)
{
	struct vmbus_channel_info info;
	uint32_t relid = instance;

	return vmbus_channel_info(vm->machine.bus, &relid, &info) == 0 && relid == instance;
}

static bool has_processor(const struct vm *vm, unsigned instance)
{
	return instance < vm->config->cpus;
}

#define ROW_OF(name, call)                                                        \
	static void name(struct vm *vm, unsigned instance, struct record *record) \
	{                                                                         \
		(void)instance;                                                   \
		call;                                                             \
	}

ROW_OF(go_hv, hv_state(vm->machine.hv, record))
ROW_OF(go_ioapic, ioapic_state(vm->machine.ioapic, record))
ROW_OF(go_serial, serial_state(vm->machine.serial, record))
ROW_OF(go_rtc, rtc_state(vm->machine.rtc, record))
ROW_OF(go_pc, pc_state(vm->machine.pc, record))
ROW_OF(go_ide, ide_state(vm->machine.ide, record))
ROW_OF(go_scsi, storvsp_record(vm->storage.controller[instance]->scsi, record))
ROW_OF(go_nic, network_record(&vm->network, instance, record))
ROW_OF(go_heartbeat, heartbeat_record(vm->integration.heartbeat, record))
ROW_OF(go_shutdown, shutdown_record(vm->integration.shutdown, record))
ROW_OF(go_timesync, timesync_record(vm->integration.timesync, record))
ROW_OF(go_kvp, kvp_record(vm->integration.kvp, record))
ROW_OF(go_keyboard, keyboard_record(vm->integration.keyboard, record))
ROW_OF(go_vmbus, vmbus_record(vm->machine.bus, record))
ROW_OF(go_channel, vmbus_channel_record(vm->machine.bus, instance, record))
ROW_OF(go_processor, vcpu_record(vm->vcpus, instance, record))

static const struct row rows[] = {
	{STATE_HV, 1, false, always, go_hv},
	{STATE_IOAPIC, 1, false, always, go_ioapic},
	{STATE_SERIAL, 1, false, always, go_serial},
	{STATE_RTC, 1, false, always, go_rtc},
	{STATE_PC, 1, false, has_pc, go_pc},
	{STATE_IDE, 1, false, has_pc, go_ide},
	{STATE_SCSI, STORAGE_CONTROLLERS_MAX, false, has_scsi, go_scsi},
	{STATE_NIC, CONFIG_NICS_MAX, false, has_nic, go_nic},
	{STATE_HEARTBEAT, 1, false, always, go_heartbeat},
	{STATE_SHUTDOWN, 1, false, always, go_shutdown},
	{STATE_TIMESYNC, 1, false, always, go_timesync},
	{STATE_KVP, 1, false, always, go_kvp},
	{STATE_KEYBOARD, 1, false, always, go_keyboard},
	{STATE_VMBUS, 1, false, always, go_vmbus},
	{STATE_CHANNEL, CHANNELS_MAX, true, has_channel, go_channel},
	{STATE_PROCESSOR, HV_VPS_MAX, false, has_processor, go_processor},
};

static unsigned count_there(const struct vm *vm, const struct row *row)
{
	unsigned count = 0;

	for (unsigned i = 0; i < row->instances; i++)
		count += row->there(vm, i);
	return count;
}

/* ---- out of a VM ---- */

static struct state_piece *add_piece(struct state_image *image)
{
	if (image->count == image->room) {
		unsigned room = image->room ? image->room * 2 : 32;
		struct state_piece *grown = reallocarray(image->piece, room, sizeof(*image->piece));

		if (!grown)
			return NULL;
		image->piece = grown;
		image->room = room;
	}
	image->piece[image->count] = (struct state_piece){0};
	return &image->piece[image->count++];
}

/* Writes a record by `go`, to as much room as it takes. */
static int fill(struct state_piece *piece, struct vm *vm, const struct row *row, unsigned instance,
		struct record *ret_record)
{
	size_t room = BODY_ROOM;

	for (;;) {
		uint8_t *grown = realloc(piece->body, room);

		if (!grown)
			return -ENOMEM;
		piece->body = grown;
		*ret_record = record_writer(1, piece->body, room);
		row->go(vm, instance, ret_record);
		if (record_end(ret_record) == 0)
			break;
		if (ret_record->used <= room || ret_record->used > STATE_BODY_MAX)
			return -EIO;
		room = ret_record->used;
	}
	piece->record = (struct state_record){
		.type = row->type, .version = 1, .instance = instance, .len = ret_record->used};
	return 0;
}

static int collect_one(struct vm *vm, struct state_image *image, const struct row *row,
		       unsigned instance, struct failure *f)
{
	struct state_piece *piece = add_piece(image);
	struct record record = {.wrong = ""};
	uint8_t *exact;
	int r = piece ? fill(piece, vm, row, instance, &record) : -ENOMEM;

	if (r == -ENOMEM)
		return fail(f, r, "cannot save the VM '%s': out of memory", vm->config->name);
	if (r < 0)
		return fail(f, r, "cannot save the VM '%s': %s %u: %s", vm->config->name,
			    state_type_name(row->type), instance, record.wrong);
	exact = realloc(piece->body, piece->record.len ? piece->record.len : 1);
	if (exact)
		piece->body = exact;
	return 0;
}

static void go_machine(struct vm *vm, unsigned instance, struct record *r)
{
	struct state_clocks clocks = {0};

	(void)instance;
	state_machine_record(vm, &clocks, r);
}

static const struct row machine_row = {STATE_MACHINE, 1, false, always, go_machine};

int state_collect_machine(struct vm *vm, struct state_image *ret_image, struct failure *f)
{
	struct state_image image = {0};
	int r = collect_one(vm, &image, &machine_row, 0, f);

	if (r < 0) {
		state_image_done(&image);
		return r;
	}
	*ret_image = image;
	return 0;
}

int state_collect(struct vm *vm, struct state_image *ret_image, struct failure *f)
{
	struct state_image image = {0};
	int r = collect_one(vm, &image, &machine_row, 0, f);

	for (size_t n = 0; r == 0 && n < ARRAY_LEN(rows); n++) {
		for (unsigned i = 0; r == 0 && i < rows[n].instances; i++) {
			if (rows[n].there(vm, i))
				r = collect_one(vm, &image, &rows[n], i, f);
		}
	}
	if (r < 0) {
		state_image_done(&image);
		return r;
	}
	*ret_image = image;
	return 0;
}

void state_image_done(struct state_image *image)
{
	for (unsigned i = 0; i < image->count; i++)
		free(image->piece[i].body);
	free(image->piece);
	*image = (struct state_image){0};
}

static int save_piece(struct state_writer *w, const struct state_piece *piece, struct failure *f)
{
	struct iovec body = {.iov_base = piece->body, .iov_len = piece->record.len};

	return state_write(w, &piece->record, &body, 1, f);
}

int state_save(const struct memory *memory, const struct state_image *image, int fd,
	       const char *name, const struct state_progress *progress, struct failure *f)
{
	struct state_writer w;
	int r = state_write_begin(&w, fd, name, 0, f);

	if (r == 0)
		r = save_piece(&w, &image->piece[0], f);
	if (r == 0)
		r = state_memory_write(memory, &w, progress, f);
	for (unsigned i = 1; r == 0 && i < image->count; i++)
		r = save_piece(&w, &image->piece[i], f);
	return r < 0 ? r : state_write_end(&w, f);
}

/* ---- into a VM ---- */

struct load {
	struct vm *vm;
	const struct state_live *live; /* NULL: a file */
	struct state_reader reader;
	struct state_clocks clocks;
	size_t row;         /* that was read last; all before it are complete */
	unsigned next;      /* the least instance that may follow in it */
	unsigned count;     /* records of it */
	uint64_t marked_ns; /* when the guest was known to run still */
	bool began;         /* a row was read: the clocks go on, there is no more memory */
	uint8_t *body;
	struct state_buffer *buffer; /* once it is needed */
	struct failure *f;
};

static int out_of_memory(const struct load *l)
{
	return fail(l->f, -ENOMEM, "cannot restore the VM '%s': out of memory",
		    l->vm->config->name);
}

static int read_body(struct load *l, const struct state_record *record)
{
	uint8_t *grown = realloc(l->body, record->len ? record->len : 1);
	int r;

	if (!grown)
		return out_of_memory(l);
	l->body = grown;
	r = state_read_some(&l->reader, l->body, record->len, l->f);
	return r < 0 ? r : state_read_done(&l->reader, l->f);
}

static int refuse_record(struct load *l, const struct state_record *record, const char *why)
{
	return state_refuse(&l->reader, l->f, "%s %u: %s", state_type_name(record->type),
			    record->instance, why);
}

static int take_machine(struct load *l, const struct state_record *record)
{
	struct record r;
	int e = read_body(l, record);

	if (e < 0)
		return e;
	if (record->version != 1)
		return refuse_record(l, record, "it has another version");
	r = record_reader(record->version, l->body, record->len);
	state_machine_record(l->vm, &l->clocks, &r);
	return record_end(&r) < 0 ? refuse_record(l, record, r.wrong) : 0;
}

static int read_machine(struct load *l)
{
	struct state_record record;
	int e = state_read_next(&l->reader, &record, l->f);

	if (e == 0 && record.type != STATE_MACHINE)
		return state_refuse(&l->reader, l->f, "it does not begin with a machine");
	return e < 0 ? e : take_machine(l, &record);
}

/* The row that was read last has all that the VM has of it, and so do those without a record up to
 * `to`. */
static int rows_complete(struct load *l, size_t to)
{
	for (; l->row < to; l->row++, l->count = l->next = 0) {
		const struct row *row = &rows[l->row];

		if (!row->any && l->count != count_there(l->vm, row))
			return state_refuse(&l->reader, l->f,
					    "it has %u records of kind %s, and the VM has %u of it",
					    l->count, state_type_name(row->type),
					    count_there(l->vm, row));
	}
	return 0;
}

/* From here on guest memory may be touched. */
static int begin_rows(struct load *l)
{
	if (l->marked_ns)
		l->clocks.most_ns = loop_now_ns() - l->marked_ns;
	state_clocks_go_on(l->vm, &l->clocks);
	l->began = true;
	if (l->live)
		return l->live->stands(l->live->ctx, l->f);
	if (!lazy_opened(&l->vm->lazy))
		return 0;
	return lazy_begin(&l->vm->lazy, l->reader.fd, l->reader.name, l->vm->loop, l->f);
}

/* The record of a row, whose body was read. With the lock. */
static int lay(struct load *l, size_t n, const struct state_record *record)
{
	struct record r;
	int e;

	e = l->began ? 0 : begin_rows(l);
	if (e == 0)
		e = rows_complete(l, n);
	if (e < 0)
		return e;
	if (record->version != 1 || record->instance < l->next ||
	    record->instance >= rows[n].instances)
		return refuse_record(l, record, "it has another version, or no place there");
	/* Which NICs and channels these are, their records say themselves. */
	if (!rows[n].any && record->type != STATE_NIC && !rows[n].there(l->vm, record->instance))
		return refuse_record(l, record, "the VM has none");
	r = record_reader(record->version, l->body, record->len);
	rows[n].go(l->vm, record->instance, &r);
	l->next = record->instance + 1;
	l->count++;
	return record_end(&r) < 0 ? refuse_record(l, record, r.wrong) : 0;
}

/* Who sends a stream may stop amid it: nobody else is kept waiting for that. */
static void lock_live(const struct load *l)
{
	if (l->live)
		pthread_mutex_lock(&l->vm->lock);
}

static void unlock_live(const struct load *l)
{
	if (l->live)
		pthread_mutex_unlock(&l->vm->lock);
}

static int read_row(struct load *l, const struct state_record *record)
{
	size_t n = l->row;
	int e = read_body(l, record);

	while (n < ARRAY_LEN(rows) && rows[n].type != record->type)
		n++;
	if (e < 0 || (n == ARRAY_LEN(rows) && record->flags & STATE_OPTIONAL))
		return e;
	if (n == ARRAY_LEN(rows))
		return state_refuse(&l->reader, l->f,
				    "a record of kind %u has no place there, or is not known",
				    record->type);
	lock_live(l);
	e = lay(l, n, record);
	unlock_live(l);
	return e;
}

static int read_compressed(struct load *l, const struct state_record *record)
{
	if (!l->buffer)
		l->buffer = malloc(sizeof(*l->buffer));
	if (!l->buffer)
		return out_of_memory(l);
	return state_memory_read_buffered(&l->vm->memory, NULL, &l->reader, record, l->buffer,
					  l->f);
}

/* A mark, or a rehearsal, which is nothing but its bytes. */
static int read_mark(struct load *l, const struct state_record *record)
{
	int e = read_body(l, record);

	l->marked_ns = loop_now_ns();
	return e < 0 ? e : l->live->mark(l->live->ctx, record->instance, l->f);
}

static int read_one(struct load *l, const struct state_record *record)
{
	if (!l->began && !l->live && record->type == STATE_MEMORY)
		return state_memory_read(&l->vm->memory, &l->vm->lazy, &l->reader, record, l->f);
	/* As the guest stopped: its clocks above all. */
	if (!l->began && l->live && record->type == STATE_MACHINE)
		return take_machine(l, record);
	if (!l->began && l->live && record->type == STATE_PAGES)
		return state_memory_read_pages(&l->vm->memory, &l->reader, record, l->f);
	if (!l->began && l->live && record->type == STATE_COMPRESSED)
		return read_compressed(l, record);
	if (!l->began && l->live && record->type == STATE_LATER)
		return state_memory_read_later(&l->vm->memory, &l->vm->lazy, &l->reader, record,
					       l->f);
	if (!l->began && l->live && record->type == STATE_BLOCKS)
		return l->live->blocks(l->live->ctx, &l->reader, record, l->f);
	if (!l->began && l->live && (record->type == STATE_MARK || record->type == STATE_REHEARSAL))
		return read_mark(l, record);
	return read_row(l, record);
}

static int read_all_records(struct load *l)
{
	struct state_record record;
	int e = read_machine(l);

	if (e == 0 && l->live)
		e = l->live->ready(l->live->ctx, l->reader.features, l->f);
	while (e == 0) {
		e = state_read_next(&l->reader, &record, l->f);
		if (e < 0 || record.type == STATE_END)
			break;
		e = read_one(l, &record);
	}
	return e < 0 ? e : rows_complete(l, ARRAY_LEN(rows));
}

static int load(struct load *l, int fd, const char *name)
{
	int r;

	state_memory_clear(&l->vm->memory, !lazy_opened(&l->vm->lazy));
	r = state_read_begin(&l->reader, fd, name, l->live ? STATE_LIVE : 0, l->f);
	if (r == 0)
		r = read_all_records(l);
	free(l->buffer);
	free(l->body);
	if (r == 0) {
		lock_live(l);
		vmbus_restored(l->vm->machine.bus);
		unlock_live(l);
	}
	return r;
}

int state_load(struct vm *vm, int fd, const char *name, struct failure *f)
{
	struct load l = {.vm = vm, .f = f};

	return load(&l, fd, name);
}

int state_load_live(struct vm *vm, int fd, const char *name, const struct state_live *live,
		    struct failure *f)
{
	struct load l = {.vm = vm, .f = f, .live = live};

	return load(&l, fd, name);
}
