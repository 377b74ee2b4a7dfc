/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Headers in memory, made by hand: what no tool makes. */
#include "tests/unit/import/room.h"

#include <errno.h>

#include "base/bytes.h"

#define REGIONS (192u << 10)
#define VHDX_BYTES (512u << 10)

static uint8_t bytes[VHDX_BYTES];
static struct inspection found;

static int look(enum format format, size_t len, struct failure *f)
{
	struct source s = source_of_memory(bytes, len);

	return format_inspect(&s, format, "it", &found, f);
}

static void expect(enum format format, size_t len, const char *words)
{
	struct failure f = {""};
	int r = look(format, len, &f);

	if (!words) {
		assert_int_equal(r, 0);
	} else {
		assert_true(r < 0);
		if (!strstr(f.text, words))
			fail_msg("%s: %s", words, f.text);
	}
}

static void make_qcow2(void)
{
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, "QFI\xfb\0\0\0\3", 8);
}

static void qcow2_that_needs_more_is_refused(void **state)
{
	(void)state;
	make_qcow2();
	expect(FORMAT_QCOW2, 4096, NULL);
	assert_false(found.snapshots);
	be32_store(bytes + 60, 1);
	expect(FORMAT_QCOW2, 4096, NULL);
	assert_true(found.snapshots);
	be64_store(bytes + 8, 512);
	expect(FORMAT_QCOW2, 4096, "backing file");
	make_qcow2();
	be32_store(bytes + 32, 1);
	expect(FORMAT_QCOW2, 4096, "encrypted");
	make_qcow2();
	be64_store(bytes + 72, 4);
	expect(FORMAT_QCOW2, 4096, "data in another file");
	be64_store(bytes + 72, 2);
	expect(FORMAT_QCOW2, 4096, "damaged");
	be32_store(bytes + 4, 1);
	expect(FORMAT_QCOW2, 4096, "version 1");
	expect(FORMAT_QCOW2, 40, "no qcow2 image");
}

static void vmdk_text(const char *text, const char *words)
{
	memset(bytes, 0, 4096);
	strcpy((char *)bytes, "# Disk DescriptorFile\n");
	strcat((char *)bytes, text);
	expect(FORMAT_VMDK, strlen((char *)bytes), words);
}

static void vmdk_that_leads_elsewhere_is_refused(void **state)
{
	(void)state;
	vmdk_text("CID=1\nparentCID=ffffffff\ncreateType=\"twoGb\"\nRW 100 SPARSE \"a b.vmdk\"\n"
		  "RW 5 ZERO\r\n  RDONLY 3 FLAT \"c\" 0\n",
		  NULL);
	assert_int_equal(found.extent_count, 2);
	assert_string_equal(found.extents[0].name, "a b.vmdk");
	assert_true(found.extents[0].sparse);
	assert_string_equal(found.extents[1].name, "c");
	assert_false(found.extents[1].sparse);
	vmdk_text("parentCID = 12345678\n", "is a snapshot");
	vmdk_text("encryption.keySafe = \"x\"\n", "encrypted");
	vmdk_text("RW 100 FLAT \"/etc/passwd\" 0\n", "outside of its own folder");
	vmdk_text("RW 100 FLAT \"a/b\" 0\n", "outside of its own folder");
	vmdk_text("RW 100 FLAT \"nbd:host\" 0\n", "outside of its own folder");
	vmdk_text("RW 100 FLAT \"..\" 0\n", "outside of its own folder");
	vmdk_text("RW 100 FLAT \"\" 0\n", "outside of its own folder");
	vmdk_text("RW 100 VMFSRDM \"a\"\n", "a device of the old host");
	vmdk_text("RW 100 FLAT a 0\n", "makes no sense");
	vmdk_text("RW\n", "makes no sense");
	vmdk_text("RW 100\n", "makes no sense");
}

static void make_sparse_vmdk(void)
{
	memset(bytes, 0, 4096);
	memcpy(bytes, "KDMV", 4);
	le64_store(bytes + 12, 100);
	le64_store(bytes + 28, 1);
	le64_store(bytes + 36, 1);
}

static void vmdk_that_is_sparse_has_its_text_within(void **state)
{
	(void)state;
	make_sparse_vmdk();
	strcpy((char *)bytes + 512, "# Disk DescriptorFile\nRW 100 SPARSE \"/itself.vmdk\"\n");
	expect(FORMAT_VMDK, 4096, NULL);
	assert_int_equal(found.extent_count, 0);
	strcpy((char *)bytes + 512, "parentCID=00000001\n");
	expect(FORMAT_VMDK, 4096, "is a snapshot");
	expect(FORMAT_VMDK, 600, "cut off");
	le64_store(bytes + 36, UINT64_MAX / 512);
	expect(FORMAT_VMDK, 4096, "descriptor of more than");
	le64_store(bytes + 28, UINT64_MAX);
	expect(FORMAT_VMDK, 4096, "nowhere");
	make_sparse_vmdk();
	le64_store(bytes + 12, 0);
	expect(FORMAT_VMDK, 4096, "names other files");
}

static const uint8_t metadata_guid[16] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
					  0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
static const uint8_t parameters_guid[16] = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
					    0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};

static void vhdx_with_a_parent_is_refused(void **state)
{
	uint8_t *regions = bytes + REGIONS, *metadata = bytes + (320u << 10);

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, "vhdxfile", 8);
	memcpy(regions, "regi", 4);
	le32_store(regions + 8, 1);
	memcpy(regions + 16, metadata_guid, 16);
	le64_store(regions + 32, 320u << 10);
	memcpy(metadata, "metadata", 8);
	le16_store(metadata + 10, 1);
	memcpy(metadata + 32, parameters_guid, 16);
	le32_store(metadata + 48, 65536);
	expect(FORMAT_VHDX, VHDX_BYTES, NULL);
	metadata[65536 + 4] = 2;
	expect(FORMAT_VHDX, VHDX_BYTES, "is a checkpoint");
	le32_store(metadata + 48, UINT32_MAX);
	expect(FORMAT_VHDX, VHDX_BYTES, "damaged");
	le64_store(regions + 32, UINT64_MAX - 10);
	expect(FORMAT_VHDX, VHDX_BYTES, "damaged");
	le32_store(regions + 8, UINT32_MAX);
	expect(FORMAT_VHDX, VHDX_BYTES, "damaged");
	expect(FORMAT_VHDX, 8, "damaged");
}

static void vhd_that_is_a_difference_is_refused(void **state)
{
	(void)state;
	memset(bytes, 0, 4096);
	memcpy(bytes + 3584, "conectix", 8);
	be32_store(bytes + 3584 + 60, 2);
	expect(FORMAT_VPC, 4096, NULL);
	be32_store(bytes + 3584 + 60, 4);
	expect(FORMAT_VPC, 4096, "is a checkpoint");
	memcpy(bytes, "conectix", 8);
	be32_store(bytes + 60, 3);
	expect(FORMAT_VPC, 4096, NULL);
	expect(FORMAT_VPC, 100, "no VHD image");
	expect(FORMAT_VPC, 0, "no VHD image");
}

static void what_is_known_and_not_taken_is_refused(void **state)
{
	static const struct {
		const char *begin;
		size_t len;
		const char *words;
	} files[] = {{"\x1f\x8b\x08", 3, "compressed"}, {"PK\3\4", 4, "compressed"},
		     {"LUKS\xba\xbe", 6, "encrypted"},  {"QED\0", 4, "not taken"},
		     {"COWD", 4, "not taken"},          {"WithoutFreeSpace", 16, "not taken"}};
	enum format format;

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct source s = source_of_memory(bytes, 4096);
		struct failure f = {""};

		memset(bytes, 0, 4096);
		memcpy(bytes, files[i].begin, files[i].len);
		assert_int_equal(format_of(&s, "it", &format, &f), -EINVAL);
		assert_non_null(strstr(f.text, files[i].words));
	}
}

static void a_source_reads_nothing_outside_of_it(void **state)
{
	struct source s = source_of_memory(bytes, 100);
	uint8_t b[8];

	(void)state;
	assert_int_equal(source_read(&s, 92, b, 8), 0);
	assert_int_equal(source_read(&s, 93, b, 8), -ERANGE);
	assert_int_equal(source_read(&s, UINT64_MAX, b, 8), -ERANGE);
	assert_int_equal(source_read(&s, 100, b, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qcow2_that_needs_more_is_refused),
		cmocka_unit_test(vmdk_that_leads_elsewhere_is_refused),
		cmocka_unit_test(vmdk_that_is_sparse_has_its_text_within),
		cmocka_unit_test(vhdx_with_a_parent_is_refused),
		cmocka_unit_test(vhd_that_is_a_difference_is_refused),
		cmocka_unit_test(what_is_known_and_not_taken_is_refused),
		cmocka_unit_test(a_source_reads_nothing_outside_of_it),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
