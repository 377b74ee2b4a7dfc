/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine that a guest finds: its fixed I/O ports, memory windows and interrupt pins.
 *
 * Invariants:
 *  1. guests keep these numbers in memory (ACPI tables, page tables, the hypercall page), so they
 *     are part of every saved state and of live migration: never renumber, only add;
 *  2. windows do not overlap; guest RAM lies in [0, MACHINE_LOW_GAP) and from MACHINE_HIGH_RAM on.
 */
#ifndef OYA_ABI_MACHINE_H
#define OYA_ABI_MACHINE_H

#include <assert.h>
#include <stdint.h>

/* I/O ports. */
#define MACHINE_RTC_PORT 0x70u /* 2 ports: index, data */
#define MACHINE_RTC_PORTS 2u
/* Written by the code of the hypercall page, which lives in guest RAM. Four bytes each: the kick
 * port takes a connection id, the call port one byte that sends the vCPU to the worker. */
#define MACHINE_HYPERCALL_KICK_PORT 0xE0u
#define MACHINE_HYPERCALL_CALL_PORT 0xE4u
#define MACHINE_HYPERCALL_PORT_BYTES 4u
#define MACHINE_COM1_PORT 0x3F8u
#define MACHINE_COM1_PORTS 8u
/* ACPI, reduced hardware: one byte each. */
#define MACHINE_SLEEP_CONTROL_PORT 0x604u
#define MACHINE_SLEEP_STATUS_PORT 0x605u
#define MACHINE_RESET_PORT 0x606u

/* A machine that boots by firmware has these as well. Its ACPI is that of full hardware, whose
 * registers begin at the PM base; the sleep control above is the low byte of PM1 control there. */
#define MACHINE_PIC_FIRST_PORT 0x20u /* 2 ports each: command, data */
#define MACHINE_PIC_SECOND_PORT 0xA0u
#define MACHINE_PIC_PORTS 2u
#define MACHINE_PIC_EDGE_PORT 0x4D0u /* 2 ports: edge or level, for each of the pair */
#define MACHINE_PIC_EDGE_PORTS 2u
#define MACHINE_PIT_PORT 0x40u /* 4 ports: three counters, mode */
#define MACHINE_PIT_PORTS 4u
#define MACHINE_SPEAKER_PORT 0x61u /* gate and output of the third counter */
#define MACHINE_A20_PORT 0x92u
#define MACHINE_IDE_FIRST_PORT 0x1F0u /* 8 ports each, and the control port of each */
#define MACHINE_IDE_SECOND_PORT 0x170u
#define MACHINE_IDE_PORTS 8u
#define MACHINE_IDE_FIRST_CONTROL 0x3F6u
#define MACHINE_IDE_SECOND_CONTROL 0x376u
#define MACHINE_DEBUG_PORT 0x402u
#define MACHINE_FWCFG_SELECT_PORT 0x510u /* two bytes */
#define MACHINE_FWCFG_DATA_PORT 0x511u
#define MACHINE_PM_BASE 0x600u /* event status, event enable (2 bytes each), control (2) */
#define MACHINE_PM_PORTS 16u
#define MACHINE_PM_TIMER 0x8u /* offset */
#define MACHINE_PCI_ADDRESS_PORT 0xCF8u
#define MACHINE_PCI_DATA_PORT 0xCFCu
#define MACHINE_PCI_DATA_PORTS 4u

/* Values that the tables tell the guest to write there. */
#define MACHINE_SLEEP_TYPE_S5 5u
#define MACHINE_SLEEP_ENABLE 0x20u /* bit 5; the type is bits 4:2 */
#define MACHINE_SLEEP_S5 (MACHINE_SLEEP_TYPE_S5 << 2 | MACHINE_SLEEP_ENABLE)
#define MACHINE_RESET_VALUE 0x01u

static_assert(MACHINE_SLEEP_S5 == 0x34, "guests write 0x34 to power off");

/* Interrupt pins of the IOAPIC; pin and global system interrupt are the same number. */
#define MACHINE_COM1_GSI 4u
#define MACHINE_IOAPIC_PINS 24u
/* Of a machine with firmware; lines of the PIC pair have the same numbers, the timer's aside. */
#define MACHINE_PIT_LINE 0u
#define MACHINE_PIT_GSI 2u
#define MACHINE_SCI_GSI 9u
#define MACHINE_IDE_FIRST_GSI 14u
#define MACHINE_IDE_SECOND_GSI 15u

/* Guest physical memory. The tables of the firmware lie below 1 MiB, where guests scan. */
#define MACHINE_ACPI_AREA 0xE0000ull /* RSDP first, on a 16-byte boundary */
#define MACHINE_ACPI_AREA_BYTES 0x10000ull
#define MACHINE_SMBIOS_AREA 0xF0000ull
#define MACHINE_SMBIOS_AREA_BYTES 0x10000ull
/* F000:FFF0 in real mode, where Linux jumps to restart a machine of reduced hardware without EFI:
 * code of ours that writes to the reset port. */
#define MACHINE_RESET_VECTOR 0xFFFF0ull
/* With firmware both of the areas are its own: its image ends at 1 MiB and at 4 GiB. The tables
 * then lie at the end of the RAM below the gap, in as many bytes as MACHINE_ACPI_AREA_BYTES. */
#define MACHINE_ROM_BYTES 0x40000ull
#define MACHINE_ROM (MACHINE_HIGH_RAM - MACHINE_ROM_BYTES)
#define MACHINE_LOW_GAP 0xC0000000ull      /* no RAM from here to 4 GiB */
#define MACHINE_VMBUS_WINDOW 0xE0000000ull /* for frame buffers and the like */
#define MACHINE_VMBUS_WINDOW_BYTES 0x10000000ull
#define MACHINE_IOAPIC_BASE 0xFEC00000ull
#define MACHINE_IOAPIC_BYTES 0x1000ull
#define MACHINE_LAPIC_BASE 0xFEE00000ull
#define MACHINE_LAPIC_BYTES 0x1000ull
#define MACHINE_HIGH_RAM 0x100000000ull

#define MACHINE_CPUS_MAX 64u /* the APIC id of a CPU is its index */

#endif
