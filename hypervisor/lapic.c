/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/lapic.h"

#include <string.h>

#include "base/util.h"

enum {
	ID = 0x02,
	VERSION = 0x03,
	TASK_PRIORITY = 0x08,
	PRIORITY = 0x0A,
	END = 0x0B,
	LOGICAL = 0x0D,
	FORMAT = 0x0E,
	SPURIOUS = 0x0F,
	SERVED = 0x10,
	LEVEL = 0x18,
	WAITING = 0x20,
	ERRORS = 0x28,
	ICR = 0x30,
	ICR_HIGH = 0x31,
	LVT = 0x32,
	LVT_END = 0x38,
	COUNT = 0x38,
	COUNT_NOW = 0x39,
	DIVIDE = 0x3E,
	SELF = 0x3F,
};

#define VERSION_VALUE 0x50014u /* six local vectors */
#define BASE_ENABLED (UINT64_C(1) << 11)
#define BASE_X2 (UINT64_C(1) << 10)
#define BASE_FIRST (UINT64_C(1) << 8)
#define SPURIOUS_RESET 0xFFu
#define SPURIOUS_ON (1u << 8)
#define SPURIOUS_MASK 0x1FFu
#define LVT_MASKED (1u << 16)
#define LVT_MASK 0x1F7FFu /* of what can be set; the mode of the timer besides */
#define LVT_MODE (7u << 8)
#define LVT_OUTSIDE (7u << 8)
#define LINT0 3u
#define TIMER_MODE_AT 17
#define TIMER_MODE (3u << TIMER_MODE_AT)
#define TIMER_ONCE 0u
#define TIMER_PERIODIC 1u
#define TIMER_DEADLINE 2u
#define DIVIDE_MASK 0xBu
#define ERROR_SENT_VECTOR (1u << 5)
#define FIRST_VECTOR 16u
#define ICR_MASK 0xCCFFFu
#define ICR_LOGICAL (1u << 11)
#define ICR_ASSERT (1u << 14)
#define ICR_LEVEL (1u << 15)
#define MSI_LOGICAL (1u << 2)
#define FORMAT_FLAT 0xFu
#define BROADCAST 0xFFu
#define NS_PER_MS 1000000u
#define US_PER_MS 1000u
#define PERIOD_LEAST_US 200u

void lapic_reset(struct lapic *a)
{
	*a = (struct lapic){
		.id = a->id,
		.khz = a->khz,
		.base = a->base,
		.dfr = UINT32_MAX,
		.spurious = SPURIOUS_RESET,
	};
	for (unsigned i = 0; i < ARRAY_LEN(a->lvt); i++)
		a->lvt[i] = LVT_MASKED;
}

bool lapic_is_x2(const struct lapic *a)
{
	return a->base & BASE_X2;
}

bool lapic_set_base(struct lapic *a, uint64_t value)
{
	bool on = value & BASE_ENABLED, x2 = value & BASE_X2;

	if ((value & ~(BASE_ENABLED | BASE_X2 | BASE_FIRST)) != LAPIC_PAGE || (x2 && !on) ||
	    (lapic_is_x2(a) && on && !x2))
		return false;
	/* From "off" there is no way but through xAPIC. */
	if (x2 && !(a->base & BASE_ENABLED))
		return false;
	a->base = (value & ~BASE_FIRST) | (a->base & BASE_FIRST);
	if (!on) /* from xAPIC to x2APIC mode all registers stay */
		lapic_reset(a);
	return true;
}

/* Asked at each entry, and nearly always true. */
static bool is_empty(const uint32_t *set)
{
	uint64_t words[4];

	_Static_assert(sizeof(words) == 8 * sizeof(set[0]), "a set");
	__builtin_memcpy(words, set, sizeof(words));
	return !(words[0] | words[1] | words[2] | words[3]);
}

bool lapic_base_allowed(uint64_t value)
{
	if (!(value & BASE_ENABLED))
		return (value & ~BASE_FIRST) == LAPIC_PAGE || (value & ~BASE_FIRST) == 0;
	return (value & ~(BASE_ENABLED | BASE_X2 | BASE_FIRST)) == LAPIC_PAGE;
}

bool lapic_takes_outside(const struct lapic *a)
{
	return !(a->base & BASE_ENABLED) ||
	       (a->lvt[LINT0] & (LVT_MASKED | LVT_MODE)) == LVT_OUTSIDE;
}

/* The highest vector of a set; -1: it is empty. */
static int highest(const uint32_t *set)
{
	if (is_empty(set))
		return -1;
	for (int i = 8; i-- > 0;) {
		uint32_t word = __atomic_load_n(&set[i], __ATOMIC_SEQ_CST);

		if (word)
			return i * 32 + 31 - __builtin_clz(word);
	}
	return -1;
}

static void add(uint32_t *set, uint8_t vector)
{
	__atomic_fetch_or(&set[vector / 32], 1u << vector % 32, __ATOMIC_SEQ_CST);
}

static void take_out(uint32_t *set, uint8_t vector)
{
	__atomic_fetch_and(&set[vector / 32], ~(1u << vector % 32), __ATOMIC_SEQ_CST);
}

static bool is_in(const uint32_t *set, uint8_t vector)
{
	return __atomic_load_n(&set[vector / 32], __ATOMIC_RELAXED) >> vector % 32 & 1;
}

static bool is_on(const struct lapic *a)
{
	return (a->base & BASE_ENABLED) && (a->spurious & SPURIOUS_ON);
}

bool lapic_post(struct lapic *a, uint8_t vector, bool level)
{
	if (!is_on(a) || vector < FIRST_VECTOR)
		return false;
	if (level)
		add(a->level, vector);
	else
		take_out(a->level, vector);
	add(a->waiting, vector);
	return true;
}

static uint32_t class_of(int vector)
{
	return vector < 0 ? 0 : (uint32_t)vector >> 4;
}

int lapic_next(const struct lapic *a)
{
	int vector = is_on(a) ? highest(a->waiting) : -1;

	return class_of(vector) > class_of(highest(a->served)) ? vector : -1;
}

void lapic_serve(struct lapic *a, uint8_t vector)
{
	take_out(a->waiting, vector);
	add(a->served, vector);
}

static uint32_t priority(const struct lapic *a)
{
	uint32_t served = class_of(highest(a->served));

	return a->tpr >> 4 >= served ? a->tpr : served << 4;
}

/* Nanoseconds of the timer's tick: 2, 4, ... 128, 1. */
static uint64_t tick(const struct lapic *a)
{
	return UINT64_C(1) << (((a->divide & 3) | (a->divide >> 1 & 4)) + 1) % 8;
}

static uint32_t timer_mode(const struct lapic *a)
{
	return a->lvt[0] >> TIMER_MODE_AT & 3;
}

static uint32_t count_now(const struct lapic *a, uint64_t now)
{
	if (timer_mode(a) == TIMER_DEADLINE || a->deadline <= now)
		return 0;
	return (uint32_t)((a->deadline - now) * NS_PER_MS / a->khz / tick(a));
}

/* How long the timer runs, or 0. */
static uint64_t timer_length(const struct lapic *a)
{
	return a->count ? a->count * tick(a) * a->khz / NS_PER_MS + 1 : 0;
}

/* 0: it runs once. Interrupts may not come so often that nothing else is done. */
static uint64_t timer_period(const struct lapic *a)
{
	uint64_t length = timer_length(a), least = (uint64_t)a->khz * PERIOD_LEAST_US / US_PER_MS;

	if (timer_mode(a) != TIMER_PERIODIC || !length)
		return 0;
	return length > least ? length : least;
}

static void start_timer(struct lapic *a, uint64_t now)
{
	uint64_t length = timer_length(a);

	if (timer_mode(a) > TIMER_PERIODIC)
		return;
	a->deadline = length ? now + length : 0;
	a->period = timer_period(a);
}

/* A timer that runs goes on in its new mode, but not to or from one that counts otherwise. */
static void change_timer_mode(struct lapic *a, uint32_t before)
{
	if (timer_mode(a) > TIMER_PERIODIC || before > TIMER_PERIODIC)
		a->deadline = 0;
	a->period = a->deadline ? timer_period(a) : 0;
}

void lapic_set_deadline(struct lapic *a, uint64_t deadline)
{
	if (timer_mode(a) == TIMER_DEADLINE)
		a->deadline = deadline;
}

uint64_t lapic_deadline(const struct lapic *a)
{
	return timer_mode(a) == TIMER_DEADLINE ? a->deadline : 0;
}

void lapic_expire(struct lapic *a, uint64_t now)
{
	if (!a->deadline || now < a->deadline)
		return;
	/* Of periods that were missed one interrupt is left. */
	a->deadline = a->period ? now + a->period - (now - a->deadline) % a->period : 0;
	if (!(a->lvt[0] & LVT_MASKED))
		lapic_post(a, (uint8_t)a->lvt[0], false);
}

static uint32_t logical_id_x2(const struct lapic *a)
{
	return a->id >> 4 << 16 | 1u << (a->id & 15);
}

/* The registers which are tables: the three sets of vectors, and the local sources. */
static bool read_table(const struct lapic *a, uint32_t reg, uint64_t *ret_value)
{
	if (reg >= SERVED && reg < ERRORS) {
		const uint32_t *set = reg < LEVEL     ? a->served
				      : reg < WAITING ? a->level
						      : a->waiting;

		*ret_value = __atomic_load_n(&set[reg % 8], __ATOMIC_RELAXED);
		return true;
	}
	if (reg < LVT || reg >= LVT_END)
		return false;
	*ret_value = a->lvt[reg - LVT];
	return true;
}

bool lapic_read(const struct lapic *a, uint32_t reg, uint64_t now, uint64_t *ret_value)
{
	bool x2 = lapic_is_x2(a);
	uint64_t value;

	if (read_table(a, reg, ret_value))
		return true;
	switch (reg) {
	case ID:
		value = x2 ? a->id : a->id << 24;
		break;
	case VERSION:
		value = VERSION_VALUE;
		break;
	case TASK_PRIORITY:
		value = a->tpr;
		break;
	case PRIORITY:
		value = priority(a);
		break;
	case LOGICAL:
		value = x2 ? logical_id_x2(a) : a->ldr;
		break;
	case FORMAT:
		value = a->dfr;
		break;
	case SPURIOUS:
		value = a->spurious;
		break;
	case ERRORS:
		value = a->errors;
		break;
	case ICR:
		value = x2 ? a->icr : (uint32_t)a->icr;
		break;
	case ICR_HIGH:
		value = a->icr_high;
		break;
	case COUNT:
		value = a->count;
		break;
	case COUNT_NOW:
		value = count_now(a, now);
		break;
	case DIVIDE:
		value = a->divide;
		break;
	default:
		return false;
	}
	*ret_value = value;
	return !(x2 && (reg == FORMAT || reg == ICR_HIGH));
}

static enum lapic_effect end(struct lapic *a, uint8_t *ret_vector)
{
	int vector = highest(a->served);

	if (vector < 0)
		return LAPIC_NOTHING;
	*ret_vector = (uint8_t)vector;
	take_out(a->served, *ret_vector);
	return is_in(a->level, *ret_vector) ? LAPIC_ENDED : LAPIC_NOTHING;
}

static enum lapic_effect command(struct lapic *a, uint64_t icr)
{
	a->icr = icr & (UINT64_C(0xFFFFFFFF00000000) | ICR_MASK);
	if ((icr >> 8 & 7) == LAPIC_FIXED && (icr & 0xFF) < FIRST_VECTOR) {
		a->errors |= ERROR_SENT_VECTOR;
		return LAPIC_NOTHING;
	}
	return LAPIC_SEND;
}

static void write_spurious(struct lapic *a, uint32_t value)
{
	a->spurious = value & SPURIOUS_MASK;
	for (unsigned i = 0; !(value & SPURIOUS_ON) && i < ARRAY_LEN(a->lvt); i++)
		a->lvt[i] |= LVT_MASKED;
}

static void write_lvt(struct lapic *a, unsigned i, uint32_t value)
{
	uint32_t mode = timer_mode(a);

	a->lvt[i] = value & (i == 0 ? LVT_MASK | TIMER_MODE : LVT_MASK);
	if (!(a->spurious & SPURIOUS_ON))
		a->lvt[i] |= LVT_MASKED;
	if (i == 0 && timer_mode(a) != mode)
		change_timer_mode(a, mode);
}

/* Registers of xAPIC mode alone. */
static enum lapic_effect write_x1(struct lapic *a, uint32_t reg, uint32_t value)
{
	switch (reg) {
	case LOGICAL:
		a->ldr = value & 0xFF000000u;
		return LAPIC_NOTHING;
	case FORMAT:
		a->dfr = value | 0x0FFFFFFFu;
		return LAPIC_NOTHING;
	case ICR_HIGH:
		a->icr_high = value;
		return LAPIC_NOTHING;
	default:
		return LAPIC_REFUSED;
	}
}

enum lapic_effect lapic_write(struct lapic *a, uint32_t reg, uint64_t value, uint64_t now,
			      uint8_t *ret_vector)
{
	bool x2 = lapic_is_x2(a);
	uint32_t low = (uint32_t)value;

	if (reg != ICR && value >> 32)
		return LAPIC_REFUSED;
	if (reg >= LVT && reg < LVT_END) {
		write_lvt(a, reg - LVT, low);
		return LAPIC_NOTHING;
	}
	switch (reg) {
	case TASK_PRIORITY:
		a->tpr = low & 0xFF;
		return LAPIC_NOTHING;
	case END:
		return end(a, ret_vector);
	case SPURIOUS:
		write_spurious(a, low);
		return LAPIC_NOTHING;
	case ERRORS:
		a->errors = 0;
		return LAPIC_NOTHING;
	case ICR:
		return command(a, x2 ? value : (uint64_t)(a->icr_high >> 24) << 32 | low);
	case COUNT:
		a->count = low;
		start_timer(a, now);
		return LAPIC_NOTHING;
	case DIVIDE:
		a->divide = low & DIVIDE_MASK;
		return LAPIC_NOTHING;
	case SELF:
		return x2 ? command(a, (uint64_t)LAPIC_SELF << 18 | (low & 0xFF)) : LAPIC_REFUSED;
	default:
		return x2 ? LAPIC_REFUSED : write_x1(a, reg, low);
	}
}

void lapic_get_page(const struct lapic *a, uint64_t now, uint32_t *ret_page)
{
	bool x2 = lapic_is_x2(a);

	memset(ret_page, 0, LAPIC_PAGE_WORDS * sizeof(ret_page[0]));
	for (uint32_t reg = 0; reg < LAPIC_MSR_COUNT; reg++) {
		uint64_t value;

		if (lapic_read(a, reg, now, &value))
			ret_page[reg * LAPIC_WORDS_BETWEEN] = (uint32_t)value;
	}
	ret_page[ID * LAPIC_WORDS_BETWEEN] = a->id << 24;
	ret_page[FORMAT * LAPIC_WORDS_BETWEEN] = a->dfr;
	ret_page[ICR_HIGH * LAPIC_WORDS_BETWEEN] = x2 ? (uint32_t)(a->icr >> 32) : a->icr_high;
}

static void set_sets(struct lapic *a, const uint32_t *page)
{
	uint32_t *const sets[] = {a->served, a->level, a->waiting};

	for (unsigned set = 0; set < ARRAY_LEN(sets); set++) {
		for (unsigned i = 0; i < 8; i++) {
			uint32_t word = page[(SERVED + set * 8 + i) * LAPIC_WORDS_BETWEEN];

			if (i == 0)
				word &= UINT32_MAX << FIRST_VECTOR;
			__atomic_store_n(&sets[set][i], word, __ATOMIC_SEQ_CST);
		}
	}
}

/* Of a timer that has nothing left it is not known whether its interrupt was sent: it is. */
static void set_timer(struct lapic *a, uint32_t left, uint64_t now)
{
	if (timer_mode(a) > TIMER_PERIODIC)
		return;
	a->period = timer_period(a);
	a->deadline = 0;
	if (left || (a->count && !a->period))
		a->deadline = now + left * tick(a) * a->khz / NS_PER_MS + 1;
	else if (a->count)
		a->deadline = now + a->period;
}

bool lapic_set_page(struct lapic *a, const uint32_t *page, uint64_t now)
{
	uint32_t mode = timer_mode(a);

	if (page[ID * LAPIC_WORDS_BETWEEN] >> 24 != (a->id & UINT8_MAX))
		return false;
	a->tpr = page[TASK_PRIORITY * LAPIC_WORDS_BETWEEN] & UINT8_MAX;
	a->ldr = page[LOGICAL * LAPIC_WORDS_BETWEEN] & 0xFF000000u;
	a->dfr = page[FORMAT * LAPIC_WORDS_BETWEEN] | 0x0FFFFFFFu;
	a->spurious = page[SPURIOUS * LAPIC_WORDS_BETWEEN] & SPURIOUS_MASK;
	a->errors = page[ERRORS * LAPIC_WORDS_BETWEEN] & UINT8_MAX;
	a->icr_high = page[ICR_HIGH * LAPIC_WORDS_BETWEEN];
	a->icr = (lapic_is_x2(a) ? (uint64_t)a->icr_high << 32 : 0) |
		 (page[ICR * LAPIC_WORDS_BETWEEN] & ICR_MASK);
	a->count = page[COUNT * LAPIC_WORDS_BETWEEN];
	a->divide = page[DIVIDE * LAPIC_WORDS_BETWEEN] & DIVIDE_MASK;
	for (unsigned i = 0; i < ARRAY_LEN(a->lvt); i++)
		a->lvt[i] = page[(LVT + i) * LAPIC_WORDS_BETWEEN] &
			    (i == 0 ? LVT_MASK | TIMER_MODE : LVT_MASK);
	set_sets(a, page);
	if (timer_mode(a) != mode)
		a->deadline = a->period = 0;
	set_timer(a, page[COUNT_NOW * LAPIC_WORDS_BETWEEN], now);
	return true;
}

struct lapic_message lapic_message_of_msi(uint64_t address, uint32_t data)
{
	return (struct lapic_message){
		.to = (uint32_t)(address >> 12 & 0xFF) | (uint32_t)(address >> 40 << 8),
		.vector = (uint8_t)data,
		.mode = data >> 8 & 7,
		.logical = address & MSI_LOGICAL,
		.level = data & ICR_LEVEL,
		.assert = true,
	};
}

struct lapic_message lapic_message_of_icr(uint64_t icr)
{
	return (struct lapic_message){
		.to = (uint32_t)(icr >> 32),
		.vector = (uint8_t)icr,
		.mode = icr >> 8 & 7,
		.logical = icr & ICR_LOGICAL,
		.level = false, /* commands are edges but for the INIT that is taken back */
		.assert = !(icr & ICR_LEVEL) || (icr & ICR_ASSERT),
	};
}

enum lapic_shorthand lapic_shorthand(uint64_t icr)
{
	return (enum lapic_shorthand)(icr >> 18 & 3);
}

static bool is_for_x1(const struct lapic *a, const struct lapic_message *m)
{
	uint32_t mine = a->ldr >> 24;

	if (m->to == BROADCAST)
		return true;
	if (!m->logical)
		return m->to == a->id;
	if (a->dfr >> 28 == FORMAT_FLAT)
		return m->to & mine;
	return m->to >> 4 == mine >> 4 && (m->to & mine & 15);
}

bool lapic_is_for(const struct lapic *a, const struct lapic_message *m)
{
	uint32_t mine;

	if (!(a->base & BASE_ENABLED))
		return false;
	if (!lapic_is_x2(a))
		return is_for_x1(a, m);
	if (m->to == UINT32_MAX || (!m->logical && m->to == BROADCAST))
		return true;
	if (!m->logical)
		return m->to == a->id;
	mine = logical_id_x2(a);
	return m->to >> 16 == mine >> 16 && (m->to & mine & 0xFFFF);
}
