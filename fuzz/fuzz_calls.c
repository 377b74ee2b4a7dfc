/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A parent at the hypervisor's calls: partitions, chunks, mappings, processors. Beside them stands
 * a model of whose each page is. Checked after each call: what was taken was the parent's alone,
 * mappings lead where they were made to and nowhere else, and pages that nobody has are the
 * parent's. At the end all is given back, as zeros.
 *
 * Processors are the harness's own: those of the hypervisor run the machine's instructions.
 *
 * Input: records: call (u8), partition (u8), then operands as the call has them.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/oya.h"
#include "base/cursor.h"
#include "fuzz/harness.h"
#include "hypervisor/calls.h"
#include "hypervisor/child.h"
#include "hypervisor/cpu.h"
#include "hypervisor/frames.h"
#include "hypervisor/iommu.h"
#include "hypervisor/memory.h"
#include "hypervisor/parent.h"
#include "hypervisor/x86.h"

#define CHUNKS 8u
#define RAM (CHUNKS * PAGE_2M)
#define RAM_END (RAM - PAGE_2M / 2) /* the last chunk is memory by half */
#define HV_AT PAGE_2M               /* one chunk is the hypervisor's */
#define FRAMES (RAM / PAGE_BYTES)
#define STEPS_MAX 64u
#define NUMBERS 8u /* partitions of the model: there cannot be more chunks */
#define MAPS_MAX 2048u
#define GUEST_SPAN (4 * PAGE_2M)
#define NOBODY 1000u /* no partition has this number */
#define PROBES 8u

/* Beside the calls: those that fill a partition come more often. */
enum { MAP_AGAIN = OYA_CALL_TAKE_WRITTEN + 1, UNMAP_AGAIN, UNKNOWN, OPS };

struct child {
	uint64_t shared;
	bool taken;
};

struct mapping {
	unsigned partition;
	uint64_t guest, at, bytes;
	bool write;
};

static uint8_t *ram;
static unsigned chunk_of[CHUNKS]; /* the partition whose it is; 0: the parent's */
static bool hidden[CHUNKS], no_table;
static bool there[NUMBERS + 1], ends[NUMBERS + 1];
static bool logged[NUMBERS + 2]; /* its large pages may have been split, which is not told */
static uint8_t lent[FRAMES];
static uint16_t lent_to[FRAMES];
static struct mapping maps[MAPS_MAX];
static unsigned map_count;
static struct {
	unsigned partition;
	uint64_t at;
} shared[256 * NUMBERS];
static unsigned shared_count;

void *physical_to_pointer(uint64_t physical)
{
	return (void *)((uintptr_t)ram + physical); /* wild ones are not yet refused here */
}

uint64_t pointer_to_physical(const void *at)
{
	return (uint64_t)((const uint8_t *)at - ram);
}

uint64_t hv_physical_start(void)
{
	return HV_AT;
}

unsigned pool_left(void)
{
	return 0;
}

struct parent_log parent_log(void)
{
	return (struct parent_log){HV_AT, PAGE_BYTES};
}

int parent_hide_chunk(uint64_t at)
{
	must(at % PAGE_2M == 0 && at < RAM && !hidden[at / PAGE_2M]);
	if (no_table)
		return -ENOMEM;
	hidden[at / PAGE_2M] = true;
	return 0;
}

/* From here on the parent can read it. */
void parent_show_chunk(uint64_t at)
{
	static const uint8_t zeros[PAGE_BYTES];

	must(at % PAGE_2M == 0 && at < RAM && hidden[at / PAGE_2M]);
	for (uint64_t i = 0; i < PAGE_2M; i += PAGE_BYTES)
		must(memcmp(ram + at + i, zeros, PAGE_BYTES) == 0);
	hidden[at / PAGE_2M] = false;
}

void cpu_flush_everywhere(void)
{
}

void lock_take(bool *lock)
{
	must(!*lock); /* one thread: nobody else can have it */
	*lock = true;
}

void lock_release(bool *lock)
{
	must(*lock);
	*lock = false;
}

int child_create(struct partition *p, uint64_t number, uint64_t page)
{
	struct child *c;
	int r;

	page &= ~(uint64_t)OYA_PROCESSOR_APIC;
	if (number >= PROCESSORS_MAX || page % PAGE_BYTES)
		return -EINVAL;
	if (p->ends || p->child[number])
		return p->ends ? -ENOENT : -EEXIST;
	c = partition_take(p, 3);
	r = c ? frames_lend(page, PAGE_BYTES, p->number) : -ENOMEM;
	if (r == 0) {
		c->shared = page;
		p->child[number] = c;
	}
	return r;
}

struct child *child_take(struct partition *p, uint64_t number)
{
	return number < PROCESSORS_MAX && !p->ends ? p->child[number] : NULL;
}

void child_release(struct child *c)
{
	(void)c;
}

void child_run(struct child *c, bool finish_only)
{
	(void)finish_only;
	memset(physical_to_pointer(c->shared), 0x5A, sizeof(struct oya_processor));
}

void child_get_state(struct child *c, struct oya_state *ret_state)
{
	(void)c;
	memset(ret_state, 0x5A, sizeof(*ret_state));
}

int child_set_state(struct child *c, const struct oya_state *state)
{
	(void)c;
	return state->rip % 2 ? -EINVAL : 0;
}

int child_set_cpuid(struct child *c, const struct oya_cpuid *leaves, uint64_t count)
{
	uint32_t sum = 0;

	(void)c;
	must(count <= OYA_CPUID_MAX);
	for (uint64_t i = 0; i < count; i++)
		sum += leaves[i].eax;
	return sum % 2 ? -EINVAL : 0;
}

void child_get_fpu(struct child *c, void *ret_page)
{
	(void)c;
	memset(ret_page, 0x5A, PAGE_BYTES);
}

int child_set_fpu(struct child *c, const void *page)
{
	(void)c;
	return *(const uint8_t *)page % 2 ? -EINVAL : 0;
}

int child_get_apic(struct child *c, void *ret_page)
{
	(void)c;
	memset(ret_page, 0x5A, OYA_APIC_BYTES);
	return 0;
}

int child_set_apic(struct child *c, const void *page)
{
	return child_set_fpu(c, page);
}

unsigned iommu_count(void)
{
	return 0;
}

void iommu_flush(void)
{
}

void iommu_tell_faults(void)
{
}

int child_message(struct partition *p, uint64_t address, uint64_t data, uint64_t *ret_wake)
{
	(void)p;
	*ret_wake = address ^ data;
	return 0;
}

uint64_t child_shared(const struct child *c)
{
	return c->shared;
}

static bool is_parents(uint64_t page)
{
	return page < RAM_END && page / PAGE_2M != HV_AT / PAGE_2M && !chunk_of[page / PAGE_2M];
}

static void lend(uint64_t at, uint64_t bytes, unsigned partition)
{
	for (uint64_t page = at; page < at + bytes; page += PAGE_BYTES) {
		must(is_parents(page));
		must(!lent[page / PAGE_BYTES] || lent_to[page / PAGE_BYTES] == partition);
		must(lent[page / PAGE_BYTES]++ < FRAMES_LENT_MAX);
		lent_to[page / PAGE_BYTES] = (uint16_t)partition;
	}
}

static void take_back(uint64_t at, uint64_t bytes)
{
	for (uint64_t page = at; page < at + bytes; page += PAGE_BYTES)
		must(lent[page / PAGE_BYTES]-- > 0);
}

/* A chunk has gone to a partition. */
static void give(uint64_t at, unsigned partition)
{
	must(at % PAGE_2M == 0 && at < RAM && hidden[at / PAGE_2M]);
	for (uint64_t page = at; page < at + PAGE_2M; page += PAGE_BYTES)
		must(is_parents(page) && !lent[page / PAGE_BYTES]);
	chunk_of[at / PAGE_2M] = partition;
}

/* Whether the table of owners agrees about a page. */
static void probe(uint64_t page)
{
	bool is_free = is_parents(page) && !lent[page / PAGE_BYTES];

	/* A partition that goes gives back by and by. */
	if (lent[page / PAGE_BYTES] && ends[lent_to[page / PAGE_BYTES]])
		return;
	must((frames_lend(page, PAGE_BYTES, NOBODY) == 0) == is_free);
	if (is_free)
		frames_return(page, PAGE_BYTES);
}

static void check_mapping(const struct mapping *m)
{
	struct partition *p = partition_get(m->partition);
	uint64_t at;
	bool write;

	must(p && npt_find(&p->npt, m->guest, &at, &write) && at == m->at && write == m->write);
	must(npt_find(&p->npt, m->guest + m->bytes - 1, &at, &write) && at == m->at + m->bytes - 1);
	partition_put(p);
}

/* What a partition reaches at an address is what was mapped there. */
static void check_address(unsigned number, uint64_t guest)
{
	struct partition *p = partition_get(number);
	bool found = false, write;
	uint64_t at;

	if (!p)
		return;
	for (unsigned i = 0; i < map_count; i++)
		found |= maps[i].partition == number && guest - maps[i].guest < maps[i].bytes;
	if (!ends[number])
		must(npt_find(&p->npt, guest, &at, &write) == found);
	partition_put(p);
}

static void check(uint64_t n)
{
	for (unsigned i = 0; i < PROBES; i++)
		probe((n * 2654435761u + i * 1021) % FRAMES * PAGE_BYTES);
	if (map_count && !ends[maps[n % map_count].partition])
		check_mapping(&maps[n % map_count]);
	for (unsigned i = 1; i <= NUMBERS; i++)
		check_address(i, n * PAGE_BYTES % GUEST_SPAN);
	for (unsigned i = 0; i < CHUNKS; i++)
		must(hidden[i] == (chunk_of[i] != 0));
}

/* An address: of a chunk, of a page, or wild. */
static uint64_t address(struct cursor *c)
{
	uint8_t kind = cursor_u8(c);

	switch (kind >> 6) {
	case 0:
		return kind % (CHUNKS + 1) * PAGE_2M;
	case 1:
	case 2:
		return cursor_u16(c) % (FRAMES + 2) * PAGE_BYTES;
	default:
		return cursor_u64(c);
	}
}

static void create(struct cursor *c)
{
	uint64_t at = address(c), b = at, kick = cursor_u8(c), khz = cursor_u16(c);

	no_table = cursor_u8(c) == 0xFF;
	if (call(OYA_CALL_CREATE, &b, khz, kick, 0) == 0) {
		must(b >= 1 && b <= NUMBERS && !there[b]);
		there[b] = true;
		ends[b] = false;
		give(at, (unsigned)b);
	}
	no_table = false;
}

static void forget(unsigned number)
{
	for (unsigned i = map_count; i-- > 0;) {
		if (maps[i].partition != number)
			continue;
		take_back(maps[i].at, maps[i].bytes);
		maps[i] = maps[--map_count];
	}
	for (unsigned i = shared_count; i-- > 0;) {
		if (shared[i].partition != number)
			continue;
		take_back(shared[i].at, PAGE_BYTES);
		shared[i] = shared[--shared_count];
	}
	for (unsigned i = 0; i < CHUNKS; i++) {
		if (chunk_of[i] == number)
			chunk_of[i] = 0;
	}
	there[number] = ends[number] = logged[number] = false;
}

/* True: it has gone. What is half gone may be taken back early: nothing more is told of it. */
static bool destroy(uint64_t number)
{
	uint64_t b = number;
	int64_t r = call(OYA_CALL_DESTROY, &b, 0, 0, 0);

	if (number == 0 || number > NUMBERS || !there[number]) {
		must(r == -ENOENT);
		return true;
	}
	must(r == 0 || r == -EAGAIN);
	ends[number] = true;
	if (r == 0)
		forget((unsigned)number);
	return r == 0;
}

static void map(unsigned number, struct cursor *c)
{
	static uint64_t list[OYA_LIST_MAX];
	uint64_t guest = cursor_u16(c) % (GUEST_SPAN / PAGE_BYTES) * PAGE_BYTES, page = address(c);
	uint64_t rights = cursor_u8(c), pages = cursor_u8(c) % 24, b = number, bytes;
	bool room = page <= RAM_END - PAGE_BYTES && is_parents(page) && page % PAGE_BYTES == 0;
	int64_t r;

	if (rights & 0x80)
		guest = address(c) & ~UINT64_C(3);
	bytes = rights & OYA_MAP_LARGE ? PAGE_2M : PAGE_BYTES;
	for (unsigned i = 0; i < pages; i++)
		list[i] = address(c);
	if (room)
		memcpy(ram + page, list, pages * sizeof(list[0]));
	if (map_count + pages > MAPS_MAX)
		return;
	r = call(OYA_CALL_MAP, &b, guest | (rights & 3), page, pages);
	if (r == -ENOENT && b == number)
		return;
	must(b <= pages && (r < 0 || b == pages) && (b == 0 || room));
	for (uint64_t i = 0; i < b; i++) {
		lend(list[i], bytes, number);
		maps[map_count++] = (struct mapping){number, guest + i * bytes, list[i], bytes,
						     rights & OYA_MAP_WRITE};
	}
}

static void unmap(unsigned number, struct cursor *c)
{
	uint64_t guest = cursor_u16(c) % (GUEST_SPAN / PAGE_BYTES) * PAGE_BYTES, b = number;
	uint64_t bytes = cursor_u8(c) & 0x80 ? address(c) : cursor_u8(c) * PAGE_BYTES;

	/* Of one that is not split a part cannot go alone; so here all of it goes. */
	if (logged[number]) {
		guest -= guest % PAGE_2M;
		bytes = PAGE_2M;
	}
	if (call(OYA_CALL_UNMAP, &b, guest, bytes, 0) != 0)
		return;
	must(bytes <= OYA_CHUNK_BYTES);
	if (!bytes)
		return; /* also in the midst of a large page */
	for (unsigned i = map_count; i-- > 0;) {
		if (maps[i].partition != number || maps[i].guest >= guest + bytes ||
		    guest >= maps[i].guest + maps[i].bytes)
			continue;
		take_back(maps[i].at, maps[i].bytes);
		maps[i] = maps[--map_count];
	}
}

static void processor(unsigned number, uint8_t op, struct cursor *c)
{
	uint64_t b = number, cpu = cursor_u8(c) & 0x80 ? address(c) : cursor_u8(c) % 4;
	uint64_t page = address(c), s = cursor_u16(c);
	int64_t r = call(op, &b, cpu, page, s);

	logged[number] |= op == OYA_CALL_TAKE_WRITTEN;
	if (op != OYA_CALL_CREATE_PROCESSOR || r != 0)
		return;
	page &= ~(uint64_t)OYA_PROCESSOR_APIC;
	lend(page, PAGE_BYTES, number);
	shared[shared_count].partition = number;
	shared[shared_count++].at = page;
}

static void donate(unsigned number, struct cursor *c)
{
	uint64_t b = number, at = address(c);

	no_table = cursor_u8(c) == 0xFF;
	if (call(OYA_CALL_DONATE, &b, at, 0, 0) == 0)
		give(at, number);
	no_table = false;
}

static void step(struct cursor *c)
{
	uint8_t op = cursor_u8(c) % OPS, number = cursor_u8(c) % (NUMBERS + 2);
	uint64_t b, d;

	switch (op) {
	case OYA_CALL_CREATE:
		create(c);
		break;
	case OYA_CALL_DONATE:
		donate(number, c);
		break;
	case OYA_CALL_DESTROY:
		destroy(number);
		break;
	case OYA_CALL_MAP:
	case MAP_AGAIN:
		map(number, c);
		break;
	case OYA_CALL_UNMAP:
	case UNMAP_AGAIN:
		unmap(number, c);
		break;
	case OYA_CALL_NOTHING:
	case OYA_CALL_INFO:
	case UNKNOWN:
		b = address(c);
		d = address(c);
		(void)call(op == UNKNOWN ? d | 64 : op, &b, d, d, 0);
		break;
	default:
		processor(number, op, c);
	}
}

/* The parent writes to what is its own, so that what is given away is not zeros. */
static void start(void)
{
	static uint16_t table[FRAMES + PAGE_BYTES];

	if (!ram)
		ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(ram != MAP_FAILED && sizeof(table) >= frames_bytes(RAM));
	frames_init(table, RAM);
	frames_add(0, HV_AT);
	frames_add(HV_AT + PAGE_2M, RAM_END - HV_AT - PAGE_2M);
}

static void end(void)
{
	for (unsigned number = 1; number <= NUMBERS; number++) {
		while (there[number] && !destroy(number))
			;
	}
	must(map_count == 0 && shared_count == 0 && partition_count() == 0);
	for (uint64_t page = 0; page < RAM; page += PAGE_BYTES)
		probe(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);

	start();
	for (unsigned n = 0; n < STEPS_MAX && c.left >= 2; n++) {
		step(&c);
		check(n * 37 + c.left);
	}
	end();
	return 0;
}
