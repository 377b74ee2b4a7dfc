/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Power, reset, clock of the day, serial port with interrupts, NMI. */
#include "abi/machine.h"
#include "tests/system/guest/guest.h"

#define SERIAL_VECTOR 0x24u
#define SERIAL_DATA MACHINE_COM1_PORT
#define SERIAL_INTERRUPTS (MACHINE_COM1_PORT + 1u)
#define SERIAL_FIFO (MACHINE_COM1_PORT + 2u)
#define SERIAL_LINE (MACHINE_COM1_PORT + 3u)
#define SERIAL_MODEM (MACHINE_COM1_PORT + 4u)
#define SERIAL_STATUS (MACHINE_COM1_PORT + 5u)
#define SERIAL_SCRATCH (MACHINE_COM1_PORT + 7u)
#define INTERRUPT_RECEIVED 1u
#define INTERRUPT_SENT 2u
#define STATUS_RECEIVED 1u
#define STATUS_SENT 0x60u
#define MODEM_OUT2 8u
#define MODEM_LOOP 0x10u
#define INPUT_ROOM 1024u

#define RTC_SECONDS 0x00u
#define RTC_STATUS_A 0x0Au
#define RTC_UPDATING 0x80u
#define VECTOR_NMI 2u

static volatile uint8_t input[INPUT_ROOM];
static volatile uint64_t input_head, input_tail;

void power_off(void)
{
	out8(MACHINE_SLEEP_CONTROL_PORT, MACHINE_SLEEP_S5);
	print("FAIL the machine runs on after it was switched off\n");
	for (;;) {
		interrupts_off();
		__asm__ volatile("hlt");
	}
}

static void on_serial(void)
{
	while (in8(SERIAL_STATUS) & STATUS_RECEIVED) {
		uint8_t byte = in8(SERIAL_DATA);

		if (input_head - input_tail < INPUT_ROOM)
			input[input_head++ % INPUT_ROOM] = byte;
	}
}

void console_input_on(void)
{
	trap_handle(SERIAL_VECTOR, on_serial);
	ioapic_route(MACHINE_COM1_GSI, SERIAL_VECTOR, false);
	out8(SERIAL_FIFO, 1);
	out8(SERIAL_MODEM, MODEM_OUT2 | 3);
	out8(SERIAL_INTERRUPTS, INTERRUPT_RECEIVED);
}

bool console_pending(void)
{
	return input_head != input_tail;
}

uint8_t console_read(void)
{
	interrupts_off();
	while (input_head == input_tail)
		interrupt_wait();
	interrupts_on();
	return input[input_tail++ % INPUT_ROOM];
}

/* Says back what is typed, upper case, until a q. */
const char *test_echo(void)
{
	uint8_t byte;

	console_input_on();
	print("READY\n");
	do {
		byte = console_read();
		if (byte >= 'a' && byte <= 'z')
			byte = (uint8_t)(byte - 'a' + 'A');
		out8(SERIAL_DATA, byte);
	} while (byte != 'Q');
	print("\nINPUT %u INTERRUPTS %u\n", input_head, trap_count[SERIAL_VECTOR]);
	REQUIRE(trap_count[SERIAL_VECTOR] > 0, "there was no interrupt");
	return NULL;
}

/* The registers: scratch, loop-back, the interrupt of an empty transmitter, level-triggered. */
const char *test_serial(void)
{
	uint64_t until = reference_time() + UNITS_PER_S;

	out8(SERIAL_SCRATCH, 0x5a);
	REQUIRE(in8(SERIAL_SCRATCH) == 0x5a, "the scratch register forgets");
	REQUIRE((in8(SERIAL_STATUS) & STATUS_SENT) == STATUS_SENT, "the transmitter is not empty");
	out8(SERIAL_MODEM, MODEM_LOOP);
	out8(SERIAL_DATA, 'x');
	REQUIRE(in8(SERIAL_STATUS) & STATUS_RECEIVED, "loop-back brings nothing");
	REQUIRE(in8(SERIAL_DATA) == 'x', "loop-back brings another byte");
	out8(SERIAL_MODEM, MODEM_OUT2);
	trap_handle(SERIAL_VECTOR, NULL);
	ioapic_route(MACHINE_COM1_GSI, SERIAL_VECTOR, false);
	interrupts_on();
	out8(SERIAL_INTERRUPTS, INTERRUPT_SENT);
	while (!trap_count[SERIAL_VECTOR] && reference_time() < until)
		;
	REQUIRE(trap_count[SERIAL_VECTOR] == 1, "no interrupt for an empty transmitter");
	REQUIRE((in8(SERIAL_FIFO) & 0xf) == 2, "the interrupt names another cause");
	REQUIRE((in8(SERIAL_FIFO) & 1) == 1, "the cause is not gone once it was read");
	return NULL;
}

/* Much output at once, to see what a slow reader does to the machine. */
const char *test_flood(void)
{
	for (uint64_t n = 0; n < 4000; n++)
		print("line %u\n", n);
	return NULL;
}

static uint8_t rtc_read(uint8_t index)
{
	out8(MACHINE_RTC_PORT, index);
	return in8(MACHINE_RTC_PORT + 1);
}

static uint64_t rtc_number(uint8_t index)
{
	uint8_t value = rtc_read(index);

	return (uint64_t)(value >> 4) * 10 + (value & 0xf);
}

const char *test_rtc(void)
{
	uint64_t first, until = reference_time() + 2 * UNITS_PER_S;

	while (rtc_read(RTC_STATUS_A) & RTC_UPDATING)
		;
	print("RTC %u-%u-%u %u:%u:%u\n", rtc_number(0x32) * 100 + rtc_number(9), rtc_number(8),
	      rtc_number(7), rtc_number(4), rtc_number(2), rtc_number(RTC_SECONDS));
	first = rtc_number(RTC_SECONDS);
	while (rtc_number(RTC_SECONDS) == first && reference_time() < until)
		;
	REQUIRE(rtc_number(RTC_SECONDS) != first, "the clock stands still");
	return NULL;
}

/* One for each processor; the second one sleeps in its loop. */
const char *test_nmi(void)
{
	bool two = argument("second");
	uint64_t until;

	if (two)
		REQUIRE(smp_start(), "the second processor did not start");
	print("READY\n");
	while (!trap_count[VECTOR_NMI])
		interrupt_wait();
	for (until = reference_time() + UNITS_PER_S / 10; reference_time() < until;)
		;
	print("NMI %u\n", trap_count[VECTOR_NMI]);
	return NULL;
}

/* Each boot waits for a key: r resets, k resets with interrupts lost in flight, q ends. */
const char *test_reset(void)
{
	static uint64_t boots; /* memory is cleared by a reset */
	uint8_t key;

	console_input_on();
	print("BOOT %u\n", ++boots);
	while ((key = console_read()) != 'q') {
		if (key == 'r')
			out8(MACHINE_RESET_PORT, MACHINE_RESET_VALUE);
		if (key == 'r')
			return "the machine runs on after its reset";
	}
	REQUIRE(boots == 1, "memory was not cleared");
	return NULL;
}

bool console_has_input(void)
{
	return input_head != input_tail;
}

/* Counts for the eyes outside, until a key. */
const char *test_ticks(void)
{
	uint64_t next = reference_time();

	console_input_on();
	interrupts_on();
	for (uint64_t n = 0; !console_has_input(); n++) {
		print("TICK %u\n", n);
		next += UNITS_PER_S / 50;
		while (reference_time() < next)
			;
	}
	return NULL;
}

const char *test_triple(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = {0, 0};

	__asm__ volatile("lidt %0\n\tud2" : : "m"(none));
	return "the processor runs on";
}

/* Sleeps for good, as a guest does that hangs. */
const char *test_halted(void)
{
	print("READY\n");
	for (;;) {
		interrupts_off();
		__asm__ volatile("hlt");
	}
}
