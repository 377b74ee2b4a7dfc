/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APICs, which are the parent's but for one thing: INIT and SIPI that it sends to other
 * processors do not go out; cpu.h tells what becomes of them.
 *
 * In xAPIC mode the registers' page cannot be written by the parent, and each write comes here; in
 * x2APIC mode the interrupt command register alone does.
 */
#ifndef OYA_HYPERVISOR_APIC_H
#define OYA_HYPERVISOR_APIC_H

#include <stdbool.h>
#include <stdint.h>

#define APIC_PAGE 0xFEE00000u

/* Of the processor that asks. */
uint32_t apic_id(void);

/* For us: INIT, INIT and SIPI, an NMI to a processor. */
void apic_init(uint32_t apic);
void apic_start(uint32_t apic, uint8_t page);
void apic_nmi(uint32_t apic);

/* An interrupt of the parent's. */
void apic_interrupt(uint32_t apic, uint8_t vector);

/* On the processor itself, what INIT does: it has no interrupts of its own any more, and those that
 * waited are lost. They come to us, and are ended one by one (from the assembler). */
void apic_quiet(void);
void apic_end_interrupt(void);

/* Whether the parent may have this value of MSR_APIC_BASE: the page stays where it is. */
bool apic_base_allowed(uint64_t value);

/* A write of the parent's: to a register of the page, or of 64 bits by MSR. */
void apic_write(uint32_t offset, uint32_t value);
void apic_write_icr(uint64_t value);

#endif
