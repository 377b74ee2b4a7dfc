/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MC146818 clock and its CMOS memory at ports 0x70 and 0x71.
 *
 * Role: owned by the worker. The time is the host's UTC and an offset that the guest makes by
 * setting the clock; nothing ticks here, each read computes the time anew.
 *
 * Limits: 24-hour mode only. The alarm and the periodic rate are held and read back, but no
 * interrupt is ever raised and register C reads 0.
 *
 * Trust: register values come from a hostile guest; the clock that they describe is the guest's
 * own business, no value leads to more than a wrong time for it.
 *
 * Threads: all calls with the lock of the devices held.
 *
 * Spec: Motorola MC146818A; the century at 0x32 is named in the FADT.
 */
#ifndef OYA_DEVICES_CHIPSET_RTC_H
#define OYA_DEVICES_CHIPSET_RTC_H

#include <stdint.h>

#include "base/irq.h"
#include "base/record.h"

struct rtc;

#define RTC_CMOS_BYTES 128u
#define RTC_CENTURY 0x32u

/* clock is kept by reference. 0 and *ret_rtc, or -ENOMEM. */
int rtc_new(const struct clock_ops *clock, void *clock_ctx, struct rtc **ret_rtc);
void rtc_free(struct rtc *r);

/* A byte access to port 0 (index) or 1 (data). */
uint8_t rtc_read(struct rtc *r, unsigned port);
void rtc_write(struct rtc *r, unsigned port, uint8_t value);

/* A byte of CMOS memory for the firmware to find; -EINVAL for an index that the clock uses. */
int rtc_set_cmos(struct rtc *r, unsigned index, uint8_t value);

/* A saved state: the memory, and by how much the guest's clock is ahead of the host's: it goes on
 * by the host's, also over the time that it was saved. Written, or read into a clock that is new; a
 * record that is refused changes nothing. */
void rtc_state(struct rtc *rtc, struct record *r);

/* Seconds by which the guest's clock is ahead of the host's. */
int64_t rtc_offset_s(const struct rtc *r);
void rtc_set_offset_s(struct rtc *r, int64_t offset_s);

#endif
