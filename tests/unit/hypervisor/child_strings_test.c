/* SPDX-License-Identifier: GPL-2.0-or-later */
/* String instructions of a child on ports and devices: registers, memory, faults, what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "hypervisor/child_priv.h"
#include "hypervisor/virt.h"
#include "tests/unit/hypervisor/memory_fake.h"

#define TABLES (4u << 20)
#define LAST_TABLE (TABLES + 3 * 4096)
#define CODE_AT (8u << 20)
#define DATA_AT (9u << 20)
#define DEVICE_AT 0x80000000u /* where no memory is */
#define RIGHTS 3u

/* Linear pages. */
#define CODE 0x0000u
#define DATA 0x1000u
#define DEVICE 0x2000u
#define ABSENT 0x3000u
#define READ_ONLY 0x4000u
#define SPLIT 0x5000u /* two pages that lie apart */
#define RIP (CODE + 0x100)

#define FAULT(vector, code)                                                   \
	(SVM_EVENT_VALID | SVM_EVENT_EXCEPTION | SVM_EVENT_ERROR | (vector) | \
	 (uint64_t)(code) << SVM_EVENT_ERROR_AT)
#define PF 14u
#define GP 13u
#define SS 12u

struct fixture {
	struct partition partition;
	struct svm_vmcb vmcb;
	struct oya_processor shared;
	struct child child;
};

static unsigned saved;

static void save(uint64_t block)
{
	(void)block;
	saved++;
}

static const struct virt fake_virt = {.save = save};
const struct virt *virt = &fake_virt;

static void set_page(uint64_t linear, uint64_t entry)
{
	le64_store(fake_ram + LAST_TABLE + linear / 4096 * 8, entry);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	fake_ram = calloc(1, FAKE_BYTES);
	fake_pool_taken = 0;
	if (!f || !fake_ram || npt_init(&f->partition.npt, fake_take, NULL) < 0)
		return -1;
	for (uint64_t level = 0; level < 3; level++)
		le64_store(fake_ram + TABLES + level * 4096,
			   (TABLES + (level + 1) * 4096) | RIGHTS);
	set_page(CODE, CODE_AT | RIGHTS);
	set_page(DATA, DATA_AT | RIGHTS);
	set_page(DEVICE, DEVICE_AT | RIGHTS);
	set_page(READ_ONLY, DATA_AT | 1);
	set_page(SPLIT, (DATA_AT + 0x2000) | RIGHTS);
	set_page(SPLIT + 4096, (DATA_AT + 0x8000) | RIGHTS);
	saved = 0;
	f->child =
		(struct child){.partition = &f->partition, .vmcb = &f->vmcb, .shared = &f->shared};
	f->vmcb.cr3 = TABLES;
	f->vmcb.efer = EFER_LMA;
	f->vmcb.cr0 = CR0_PE | CR0_PG | CR0_WP;
	f->vmcb.cs.attributes = SVM_SEGMENT_LONG;
	f->vmcb.rip = RIP;
	f->vmcb.interrupt_shadow = 1;
	return npt_map(&f->partition.npt, 0, 0, PAGE_1G, NPT_WRITE);
}

static int tear_down(void **state)
{
	free(fake_ram);
	free(*state);
	return 0;
}

static void put_code(const char *code)
{
	memset(fake_ram + CODE_AT + RIP, 0x90, INSTRUCTION_MAX);
	memcpy(fake_ram + CODE_AT + RIP, code, strlen(code));
}

/* The instruction comes out: true: it goes on by itself. */
static bool come_out(struct fixture *f, const char *code, uint64_t gpa, bool write)
{
	put_code(code);
	f->shared.exit = f->shared.bytes = 0;
	child_decode(&f->child);
	return child_exit_memory_string(&f->child, gpa, write);
}

static void expect_told(const struct fixture *f, unsigned bytes, uint64_t value)
{
	assert_int_equal(f->shared.exit, OYA_EXIT_MEMORY);
	assert_int_equal(f->shared.bytes, bytes);
	assert_int_equal(f->shared.value, value);
}

static void expect_at(const struct fixture *f, uint64_t rcx, uint64_t rsi, uint64_t rdi,
		      uint64_t rip)
{
	assert_int_equal(f->child.registers.rcx, rcx);
	assert_int_equal(f->child.registers.rsi, rsi);
	assert_int_equal(f->child.registers.rdi, rdi);
	assert_int_equal(f->vmcb.rip, rip);
}

/* At the instruction: RSI, RDI and how many are left. */
static void set(struct fixture *f, uint64_t rcx, uint64_t rsi, uint64_t rdi)
{
	f->vmcb.rip = RIP;
	f->child.registers.rcx = rcx;
	f->child.registers.rsi = rsi;
	f->child.registers.rdi = rdi;
}

static void a_repeated_store_comes_out_once_an_element(void **state)
{
	struct fixture *f = *state;

	set(f, 2, 7, DEVICE + 0x10);
	f->vmcb.rax = 0x1122334455667788;
	assert_false(come_out(f, "\xf3\xab", DEVICE_AT + 0x10, true));
	expect_told(f, 4, 0x55667788);
	expect_at(f, 1, 7, DEVICE + 0x14, RIP);
	assert_int_equal(f->vmcb.interrupt_shadow, 0);
	assert_false(come_out(f, "\xf3\xab", DEVICE_AT + 0x14, true));
	expect_told(f, 4, 0x55667788);
	expect_at(f, 0, 7, DEVICE + 0x18, RIP + 2);
	assert_int_equal(f->child.unfinished, CHILD_DONE);
	assert_int_equal(f->vmcb.event, 0);
}

static void strings_go_down_and_count_as_wide_as_addresses_are(void **state)
{
	const uint64_t high = UINT64_C(5) << 32;
	struct fixture *f = *state;

	f->vmcb.rflags = RFLAGS_DF;
	f->vmcb.rax = UINT64_MAX;
	set(f, high | 3, high, high | (DEVICE + 8));
	assert_false(come_out(f, "\x67\xf3\x48\xab", DEVICE_AT + 8, true));
	expect_told(f, 8, UINT64_MAX);
	expect_at(f, 2, high, DEVICE, RIP);
	/* Without a repetition rcx is not looked at. */
	set(f, 0, DATA + 6, DEVICE + 0x20);
	memcpy(fake_ram + DATA_AT + 6, "\x34\x12", 2);
	assert_false(come_out(f, "\x66\xa5", DEVICE_AT + 0x20, true));
	expect_told(f, 2, 0x1234);
	expect_at(f, 0, DATA + 4, DEVICE + 0x1e, RIP + 2);
}

static void a_move_to_a_device_takes_memory_of_two_pages(void **state)
{
	struct fixture *f = *state;

	memcpy(fake_ram + DATA_AT + 0x2ffd, "\1\2\3", 3);
	memcpy(fake_ram + DATA_AT + 0x8000, "\4\5\6\7\x8", 5);
	set(f, 9, SPLIT + 0xffd, DEVICE);
	assert_false(come_out(f, "\xf3\x48\xa5", DEVICE_AT, true));
	expect_told(f, 8, 0x0807060504030201);
	expect_at(f, 8, SPLIT + 0x1005, DEVICE + 8, RIP);
}

static void a_move_from_a_device_ends_when_its_value_comes(void **state)
{
	struct fixture *f = *state;

	set(f, 2, DEVICE + 4, SPLIT + 0xffe);
	assert_false(come_out(f, "\xf3\xa5", DEVICE_AT + 4, false));
	expect_told(f, 4, 0);
	expect_at(f, 2, DEVICE + 4, SPLIT + 0xffe, RIP);
	assert_int_equal(f->child.unfinished, CHILD_STRING);
	assert_int_equal(le16_load(fake_ram + DATA_AT + 0x2ffe), 0);
	child_finish_string(&f->child, UINT64_C(0xffffffff04030201));
	assert_memory_equal(fake_ram + DATA_AT + 0x2ffe, "\1\2", 2);
	assert_memory_equal(fake_ram + DATA_AT + 0x8000, "\3\4\0", 3);
	expect_at(f, 1, DEVICE + 8, SPLIT + 0x1002, RIP);
	/* It was written there, and that is known. */
	assert_int_equal(le64_load(fake_ram + LAST_TABLE + SPLIT / 4096 * 8) & 0x60, 0x60);
	/* The destination goes while the parent finds the next value: it is lost, nothing else. */
	assert_false(come_out(f, "\xf3\xa5", DEVICE_AT + 8, false));
	set_page(SPLIT + 4096, 0);
	child_finish_string(&f->child, 5);
	assert_int_equal(f->vmcb.event, FAULT(PF, 2));
	assert_int_equal(f->vmcb.cr2, SPLIT + 0x1002);
	expect_at(f, 1, DEVICE + 8, SPLIT + 0x1002, RIP);
	/* So does the count. */
	f->vmcb.event = 0;
	f->child.registers.rcx = 0;
	child_finish_string(&f->child, 5);
	expect_at(f, 0, DEVICE + 8, SPLIT + 0x1002, RIP);
}

static void memory_at_the_other_end_faults_before_the_device_is_reached(void **state)
{
	static const struct {
		const char *code;
		uint64_t rsi, rdi, event, cr2;
		bool write;
	} c[] = {
		{"\xf3\xa4", DEVICE, ABSENT + 5, FAULT(PF, 2), ABSENT + 5, false},
		{"\xf3\xa4", DEVICE, READ_ONLY, FAULT(PF, 3), READ_ONLY, false},
		{"\xf3\xa4", ABSENT, DEVICE, FAULT(PF, 0), ABSENT, true},
		{"\xa5", ABSENT - 1, DEVICE, 0, 0, true}, /* a device's last byte before it */
		{"\x48\xa5", SPLIT + 0x1ffc, DEVICE, FAULT(PF, 0), SPLIT + 0x2000, true},
		{"\xa4", UINT64_C(1) << 47, DEVICE, FAULT(GP, 0), 0, true},
		{"\x48\xa5", DEVICE, (UINT64_C(1) << 47) - 4, FAULT(GP, 0), 0, false},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		f->vmcb.event = f->vmcb.cr2 = 0;
		set(f, 3, c[i].rsi, c[i].rdi);
		assert_int_equal(come_out(f, c[i].code, DEVICE_AT, c[i].write), c[i].event != 0);
		assert_int_equal(f->shared.bytes, 0);
		assert_int_equal(f->vmcb.event, c[i].event);
		assert_int_equal(f->vmcb.cr2, c[i].cr2);
		expect_at(f, 3, c[i].rsi, c[i].rdi, RIP);
		assert_int_equal(f->child.unfinished, CHILD_DONE);
	}
}

static void segments_outside_of_long_mode_have_bases_and_limits(void **state)
{
	const uint16_t data = SVM_SEGMENT_PRESENT | SVM_SEGMENT_USER | SVM_SEGMENT_WRITE;
	struct fixture *f = *state;

	f->vmcb.efer = 0;
	f->vmcb.cr0 = CR0_PE;
	f->vmcb.cs = (struct svm_segment){.attributes = SVM_SEGMENT_32, .base = CODE_AT};
	f->vmcb.ds = (struct svm_segment){.attributes = data, .base = DEVICE_AT, .limit = 0xffff};
	f->vmcb.ss = (struct svm_segment){.attributes = data, .base = DATA_AT, .limit = 3};
	f->vmcb.es = (struct svm_segment){.attributes = data, .base = DATA_AT, .limit = 15};
	set(f, 2, 4, 12);
	assert_false(come_out(f, "\xf3\xa5", DEVICE_AT + 4, false));
	child_finish_string(&f->child, 0x04030201);
	assert_memory_equal(fake_ram + DATA_AT + 12, "\1\2\3\4", 4);
	expect_at(f, 1, 8, 16, RIP);
	assert_true(come_out(f, "\xf3\xa5", DEVICE_AT + 8, false));
	assert_int_equal(f->vmcb.event, FAULT(GP, 0));
	/* A source that the prefix names. */
	f->vmcb.es.base = DEVICE_AT;
	set(f, 0, 0, 0);
	memcpy(fake_ram + DATA_AT, "abcd", 4);
	assert_false(come_out(f, "\x36\xa5", DEVICE_AT, true));
	expect_told(f, 4, 0x64636261);
	f->vmcb.rip = RIP;
	assert_true(come_out(f, "\x36\xa5", DEVICE_AT + 4, true));
	assert_int_equal(f->vmcb.event, FAULT(SS, 0));
	/* 16 bits: the upper half of the registers is nobody's. */
	f->vmcb.cs.attributes = 0;
	set(f, 0x10001, 0, 0x10008);
	assert_false(come_out(f, "\xf3\xaa", DEVICE_AT + 8, true));
	expect_at(f, 0x10000, 0, 0x10009, RIP + 2);
}

static void sources_in_fs_are_found_by_its_base(void **state)
{
	struct fixture *f = *state;

	f->vmcb.fs.base = DATA;
	f->vmcb.ds.base = f->vmcb.es.base = 0x123; /* mean nothing in long mode */
	fake_ram[DATA_AT + 3] = 42;
	set(f, 1, 3, DEVICE);
	assert_false(come_out(f, "\x64\xa4", DEVICE_AT, true));
	expect_told(f, 1, 42);
	assert_int_equal(saved, 1);
}

static void what_cannot_be_told_as_one_access_is_refused(void **state)
{
	static const struct {
		const char *code;
		uint64_t rcx, rsi, rdi, gpa;
		bool write;
	} c[] = {
		{"\xf3\xa4", 1, DEVICE, DEVICE + 8, DEVICE_AT + 8, true}, /* device to device */
		{"\xf3\xa4", 1, DEVICE, DEVICE + 8, DEVICE_AT, false},
		{"\xab", 1, 0, DEVICE + 0xffe, DEVICE_AT + 0xffe, true}, /* over the page's end */
		{"\xab", 1, 0, DEVICE - 2, DEVICE_AT, true},
		{"\xab", 1, 0, DEVICE + 8, DEVICE_AT, true}, /* of another instruction */
		{"\xab", 1, 0, DEVICE, DEVICE_AT, false},
		{"\xf3\xab", 0, 0, DEVICE, DEVICE_AT, true},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		set(f, c[i].rcx, c[i].rsi, c[i].rdi);
		assert_false(come_out(f, c[i].code, c[i].gpa, c[i].write));
		assert_int_equal(f->shared.exit, OYA_EXIT_MEMORY);
		assert_int_equal(f->shared.bytes, 0);
		assert_int_equal(f->vmcb.event, 0);
		expect_at(f, c[i].rcx, c[i].rsi, c[i].rdi, RIP);
		assert_int_equal(f->child.unfinished, CHILD_DONE);
	}
}

static bool come_to_port(struct fixture *f, const char *code, uint8_t bytes, bool write)
{
	put_code(code);
	f->shared.bytes = bytes;
	f->shared.write = write;
	return child_exit_port_string(&f->child);
}

static void strings_on_ports_go_a_page_at_a_time(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 0x1000; i++)
		fake_ram[DATA_AT + i] = (uint8_t)(i * 7);
	set(f, 0x300, DATA + 0xf80, 0);
	assert_false(come_to_port(f, "\xf3\x6e", 1, true));
	assert_int_equal(f->shared.exit, OYA_EXIT_PORT_STRING);
	assert_int_equal(f->shared.count, 0x80);
	assert_memory_equal(f->shared.data, fake_ram + DATA_AT + 0xf80, 0x80);
	expect_at(f, 0x280, DATA + 0x1000, 0, RIP);
	/* Its memory is a device. */
	assert_false(come_to_port(f, "\xf3\x6e", 1, true));
	assert_int_equal(f->shared.count, 0);
	expect_at(f, 0x280, DATA + 0x1000, 0, RIP);
	set(f, 2, 9, SPLIT);
	memcpy(f->shared.data, "abcdefgh", 8);
	assert_false(come_to_port(f, "\xf3\x6d", 4, false));
	assert_int_equal(f->shared.count, 2);
	child_finish_string(&f->child, 0);
	assert_memory_equal(fake_ram + DATA_AT + 0x2000, "abcdefgh", 8);
	expect_at(f, 0, 9, SPLIT + 8, RIP + 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_repeated_store_comes_out_once_an_element),
		TEST(strings_go_down_and_count_as_wide_as_addresses_are),
		TEST(a_move_to_a_device_takes_memory_of_two_pages),
		TEST(a_move_from_a_device_ends_when_its_value_comes),
		TEST(memory_at_the_other_end_faults_before_the_device_is_reached),
		TEST(segments_outside_of_long_mode_have_bases_and_limits),
		TEST(sources_in_fs_are_found_by_its_base),
		TEST(what_cannot_be_told_as_one_access_is_refused),
		TEST(strings_on_ports_go_a_page_at_a_time),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
