/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Role, trust, threads: see rtc.h.
 *
 * Invariants:
 *  1. while SET (register B) is on, the time stands in cmos[]; else it is wall clock + offset and
 *     the time bytes of cmos[] mean nothing;
 *  2. the offset stays within +-RTC_OFFSET_MAX_S, so no sum of seconds can overflow.
 */
#include "devices/chipset/rtc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

enum rtc_index {
	RTC_SECONDS = 0x00,
	RTC_MINUTES = 0x02,
	RTC_HOURS = 0x04,
	RTC_WEEKDAY = 0x06,
	RTC_DAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_A = 0x0A,
	RTC_B = 0x0B,
	RTC_C = 0x0C,
	RTC_D = 0x0D,
};

#define A_UPDATING 0x80u
#define A_DEFAULT 0x26u /* 32.768 kHz, 1024 Hz */
#define B_SET 0x80u
#define B_BINARY 0x04u
#define B_24H 0x02u
#define D_VALID 0x80u

#define NS_PER_S UINT64_C(1000000000)
#define S_PER_DAY 86400

/* The chip promises this long between "no update in progress" and a change of the time. A guest
 * never waits longer than that for the bit to clear. */
#define UPDATE_NS UINT64_C(244000)

#define RTC_OFFSET_MAX_S (INT64_C(20000) * 366 * S_PER_DAY)

struct rtc_time {
	unsigned second, minute, hour, weekday, day, month, year;
};

struct rtc {
	const struct clock_ops *clock;
	void *clock_ctx;
	int64_t offset_s;
	bool dirty; /* a time byte was written while SET was on */
	uint8_t index;
	uint8_t cmos[RTC_CMOS_BYTES];
};

static bool is_time(unsigned index)
{
	switch (index) {
	case RTC_SECONDS:
	case RTC_MINUTES:
	case RTC_HOURS:
	case RTC_WEEKDAY:
	case RTC_DAY:
	case RTC_MONTH:
	case RTC_YEAR:
	case RTC_CENTURY:
		return true;
	default:
		return false;
	}
}

/* Days since 1970-01-01 of a date in the Gregorian calendar; month and day may lie outside of
 * their usual range, as a guest may write anything. Years count from March, which puts the leap
 * day last. */
static int64_t days_of_date(int64_t year, int64_t month, int64_t day)
{
	int64_t era, year_of_era, day_of_year;

	month -= 1;
	year += month / 12;
	month = month % 12 + 1;
	if (month <= 2)
		year--;
	era = (year >= 0 ? year : year - 399) / 400;
	year_of_era = year - era * 400;
	day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - 719468;
}

static void date_of_days(int64_t days, struct rtc_time *t)
{
	int64_t era, day_of_era, year_of_era, day_of_year, month;

	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	day_of_era = days - era * 146097;
	year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	month = (5 * day_of_year + 2) / 153;
	t->day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1);
	t->month = (unsigned)(month < 10 ? month + 3 : month - 9);
	/* The registers hold years of four digits. */
	t->year = (unsigned)(((year_of_era + era * 400 + (t->month <= 2)) % 10000 + 10000) % 10000);
}

static uint64_t wall_ns(const struct rtc *r)
{
	return r->clock->wall_ns(r->clock_ctx);
}

static struct rtc_time time_now(const struct rtc *r)
{
	int64_t s = (int64_t)(wall_ns(r) / NS_PER_S) + r->offset_s;
	int64_t day = s / S_PER_DAY;
	int64_t second = s % S_PER_DAY;
	struct rtc_time t;

	if (second < 0) {
		second += S_PER_DAY;
		day--;
	}
	t.hour = (unsigned)(second / 3600);
	t.minute = (unsigned)(second / 60 % 60);
	t.second = (unsigned)(second % 60);
	t.weekday = (unsigned)((day % 7 + 7 + 4) % 7) + 1; /* Sunday is 1, 1970 began on Thursday */
	date_of_days(day, &t);
	return t;
}

static uint8_t encode(const struct rtc *r, unsigned v)
{
	if (r->cmos[RTC_B] & B_BINARY)
		return (uint8_t)v;
	return (uint8_t)(v / 10 << 4 | v % 10);
}

static unsigned decode(const struct rtc *r, unsigned index)
{
	uint8_t v = r->cmos[index];

	if (r->cmos[RTC_B] & B_BINARY)
		return v;
	return (v >> 4) * 10u + (v & 15u);
}

static void store_time(struct rtc *r)
{
	struct rtc_time t = time_now(r);

	r->cmos[RTC_SECONDS] = encode(r, t.second);
	r->cmos[RTC_MINUTES] = encode(r, t.minute);
	r->cmos[RTC_HOURS] = encode(r, t.hour);
	r->cmos[RTC_WEEKDAY] = encode(r, t.weekday);
	r->cmos[RTC_DAY] = encode(r, t.day);
	r->cmos[RTC_MONTH] = encode(r, t.month);
	r->cmos[RTC_YEAR] = encode(r, t.year % 100);
	r->cmos[RTC_CENTURY] = encode(r, t.year / 100);
}

/* Takes the time that stands in cmos[] as the guest's time from now on. */
static void adopt_time(struct rtc *r)
{
	int64_t year = (int64_t)decode(r, RTC_CENTURY) * 100 + decode(r, RTC_YEAR);
	unsigned month = decode(r, RTC_MONTH);
	int64_t s = days_of_date(year, month ? month : 1, decode(r, RTC_DAY)) * S_PER_DAY;

	s += decode(r, RTC_HOURS) * 3600 + decode(r, RTC_MINUTES) * 60 + decode(r, RTC_SECONDS);
	rtc_set_offset_s(r, s - (int64_t)(wall_ns(r) / NS_PER_S));
}

static void write_time(struct rtc *r, unsigned index, uint8_t value)
{
	if (r->cmos[RTC_B] & B_SET) {
		r->cmos[index] = value;
		r->dirty = true;
		return;
	}
	store_time(r);
	r->cmos[index] = value;
	adopt_time(r);
}

static void write_b(struct rtc *r, uint8_t value)
{
	bool was_set = (r->cmos[RTC_B] & B_SET) != 0;

	/* A change of the format does not convert what stands in the registers: the guest writes
	 * the time anew in the new format before it clears SET. */
	r->cmos[RTC_B] = value | B_24H;
	if (!was_set && (value & B_SET)) {
		store_time(r);
		r->dirty = false;
	} else if (was_set && !(value & B_SET) && r->dirty) {
		adopt_time(r);
	}
}

static uint8_t read_a(const struct rtc *r)
{
	uint8_t value = r->cmos[RTC_A];

	if (!(r->cmos[RTC_B] & B_SET) && wall_ns(r) % NS_PER_S >= NS_PER_S - UPDATE_NS)
		value |= A_UPDATING;
	return value;
}

static uint8_t read_data(struct rtc *r)
{
	switch (r->index) {
	case RTC_A:
		return read_a(r);
	case RTC_C:
		return 0;
	case RTC_D:
		return D_VALID;
	default:
		if (is_time(r->index) && !(r->cmos[RTC_B] & B_SET))
			store_time(r);
		return r->cmos[r->index];
	}
}

uint8_t rtc_read(struct rtc *r, unsigned port)
{
	return port & 1 ? read_data(r) : 0xFF;
}

void rtc_write(struct rtc *r, unsigned port, uint8_t value)
{
	if (!(port & 1)) {
		r->index = value & (RTC_CMOS_BYTES - 1); /* bit 7 masks NMIs on a PC */
		return;
	}
	switch (r->index) {
	case RTC_A:
		r->cmos[RTC_A] = value & (uint8_t)~A_UPDATING;
		break;
	case RTC_B:
		write_b(r, value);
		break;
	case RTC_C:
	case RTC_D:
		break; /* read-only */
	default:
		if (is_time(r->index))
			write_time(r, r->index, value);
		else
			r->cmos[r->index] = value;
		break;
	}
}

int rtc_set_cmos(struct rtc *r, unsigned index, uint8_t value)
{
	if (index <= RTC_D || index >= RTC_CMOS_BYTES || index == RTC_CENTURY)
		return -EINVAL;
	r->cmos[index] = value;
	return 0;
}

int64_t rtc_offset_s(const struct rtc *r)
{
	return r->offset_s;
}

void rtc_set_offset_s(struct rtc *r, int64_t offset_s)
{
	if (offset_s > RTC_OFFSET_MAX_S)
		offset_s = RTC_OFFSET_MAX_S;
	if (offset_s < -RTC_OFFSET_MAX_S)
		offset_s = -RTC_OFFSET_MAX_S;
	r->offset_s = offset_s;
}

/* ---- saved state ---- */

/* Bytes of the time may be any: a guest can have written any. */
static void fields(struct rtc *rtc, struct record *r)
{
	uint64_t offset = (uint64_t)rtc->offset_s;

	record_u64(r, "offset_s", &offset);
	record_bool(r, "time_written", &rtc->dirty);
	record_u8(r, "index", &rtc->index);
	record_bytes(r, "cmos", rtc->cmos, sizeof(rtc->cmos));
	rtc->offset_s = (int64_t)offset;
	if (rtc->offset_s > RTC_OFFSET_MAX_S || rtc->offset_s < -RTC_OFFSET_MAX_S)
		record_refuse(r, "the clock is %lld s away from the host's",
			      (long long)rtc->offset_s);
	if (rtc->index >= RTC_CMOS_BYTES)
		record_refuse(r, "the clock has no byte %u", rtc->index);
	if ((rtc->cmos[RTC_A] & A_UPDATING) || !(rtc->cmos[RTC_B] & B_24H))
		record_refuse(r, "the clock's registers A and B are 0x%x and 0x%x",
			      rtc->cmos[RTC_A], rtc->cmos[RTC_B]);
}

void rtc_state(struct rtc *rtc, struct record *r)
{
	struct rtc copy = *rtc;

	fields(&copy, r);
	if (r->reads && record_end(r) == 0)
		*rtc = copy;
}

int rtc_new(const struct clock_ops *clock, void *clock_ctx, struct rtc **ret_rtc)
{
	struct rtc *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->clock = clock;
	r->clock_ctx = clock_ctx;
	r->cmos[RTC_A] = A_DEFAULT;
	r->cmos[RTC_B] = B_24H;
	*ret_rtc = r;
	return 0;
}

void rtc_free(struct rtc *r)
{
	free(r);
}
