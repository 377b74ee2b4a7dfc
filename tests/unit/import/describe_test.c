/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptions of VMs, in memory: OVF, libvirt, and the tar file of an OVA. */
#include "tests/unit/import/room.h"

#include <errno.h>

#include "import/libvirt.h"
#include "import/ovf.h"
#include "lib/xml.h"
#include "tests/lib/failheap.h"

static struct plan plan;
static struct failure failure;

static int ovf(const char *body)
{
	char text[8192];
	int len = snprintf(text, sizeof(text),
			   "<ovf:Envelope xmlns:ovf='o' xmlns:rasd='r' xmlns:vmw='v'>%s"
			   "</ovf:Envelope>",
			   body);

	memset(&plan, 0, sizeof(plan));
	return ovf_decode(text, (size_t)len, &plan, &failure);
}

static int domain(const char *body)
{
	char text[8192];
	int len = snprintf(text, sizeof(text), "<domain>%s</domain>", body);

	memset(&plan, 0, sizeof(plan));
	return libvirt_decode(text, (size_t)len, &plan, &failure);
}

#define SYSTEM(items)                                                                    \
	"<ovf:VirtualSystem ovf:id='v'><ovf:Name>shop</ovf:Name><ovf:AnnotationSection>" \
	"<ovf:Annotation>of\nmine</ovf:Annotation></ovf:AnnotationSection>"              \
	"<ovf:VirtualHardwareSection>" items "</ovf:VirtualHardwareSection></ovf:VirtualSystem>"
#define ITEM(type, rest) \
	"<ovf:Item><rasd:ResourceType>" #type "</rasd:ResourceType>" rest "</ovf:Item>"
#define FILES                                                                               \
	"<ovf:References><ovf:File ovf:id='f1' ovf:href='one.vmdk'/><ovf:File ovf:id='f2' " \
	"ovf:href='two.vmdk'/></ovf:References><ovf:DiskSection><ovf:Disk ovf:diskId='d1' " \
	"ovf:fileRef='f1'/><ovf:Disk ovf:diskId='d2' ovf:fileRef='f2'/></ovf:DiskSection>"

static void ovf_tells_a_whole_vm(void **state)
{
	(void)state;
	assert_int_equal(
		ovf(FILES SYSTEM(
			ITEM(3, "<rasd:VirtualQuantity>200</rasd:VirtualQuantity>") ITEM(
				4, "<rasd:AllocationUnits>GigaBytes</rasd:AllocationUnits>"
				   "<rasd:VirtualQuantity>4</rasd:VirtualQuantity>")
				ITEM(17, "<rasd:HostResource>/disk/d2</rasd:HostResource>") ITEM(
					17, "<rasd:HostResource>ovf:/disk/d1</rasd:HostResource>")
					ITEM(10, "<rasd:Address>00:50:56:01:02:03</rasd:Address>")
						ITEM(10, "") ITEM(15, "") ITEM(23, "")
							ITEM(35, ""))),
		0);
	assert_string_equal(plan.name, "shop");
	assert_string_equal(plan.notes, "of\nmine");
	assert_int_equal(plan.cpus, 64);
	assert_int_equal(plan.memory_mib, 4096);
	assert_int_equal(plan.disk_count, 2);
	assert_string_equal(plan.disks[0].source, "two.vmdk");
	assert_string_equal(plan.disks[1].source, "one.vmdk");
	assert_int_equal(plan.nic_count, 2);
	assert_string_equal(plan.nics[0].mac, "00:50:56:01:02:03");
	assert_string_equal(plan.nics[1].mac, "");
	assert_int_equal(plan.refusals.count, 0);
	assert_true(among(&plan.warnings, "200 processors"));
	assert_true(among(&plan.warnings, "CD and floppy"));
	assert_true(among(&plan.warnings, "USB"));
	assert_true(among(&plan.warnings, "sound"));
}

static void ovf_units_of_memory_are_known(void **state)
{
	static const struct {
		const char *units, *quantity;
		uint64_t mib;
	} all[] = {{"byte * 2^20", "512", 512},
		   {"byte * 2^30", "2", 2048},
		   {"MegaBytes", "512", 512},
		   {"KB", "65536", 64},
		   {"byte", "1073741824", 1024},
		   {"byte * 2^999", "1", 4u << 20},
		   {"byte * 2^20", "99999999999999999999", 4u << 20},
		   {"", "64", 64},
		   {"byte * 2^20", "1", 32}};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char text[1024];

		snprintf(text, sizeof(text),
			 SYSTEM(ITEM(4, "<rasd:AllocationUnits>%s</rasd:AllocationUnits>"
					"<rasd:VirtualQuantity>%s</rasd:VirtualQuantity>")),
			 all[i].units, all[i].quantity);
		assert_int_equal(ovf(text), 0);
		assert_int_equal(plan.memory_mib, all[i].mib);
	}
}

static void ovf_that_cannot_be_taken_is_refused(void **state)
{
	static const struct {
		const char *body, *words;
	} all[] = {
		{SYSTEM("<vmw:Config vmw:key='firmware' vmw:value='efi'/>"), "UEFI only"},
		{SYSTEM("") SYSTEM(""), "2 VMs"},
		{"<ovf:DiskSection><ovf:Disk ovf:diskId='d' ovf:fileRef='f' ovf:parentRef='p'/>"
		 "</ovf:DiskSection>" SYSTEM(""),
		 "differs from another one"},
		{"<ovf:DiskSection><ovf:Disk ovf:diskId='d' ovf:fileRef='f'/></ovf:DiskSection>" SYSTEM(
			 ""),
		 "names no file"},
		{"<ovf:References><ovf:File ovf:id='f' ovf:href='a' ovf:compression='gzip'/>"
		 "</ovf:References><ovf:DiskSection><ovf:Disk ovf:diskId='d' ovf:fileRef='f'/>"
		 "</ovf:DiskSection>" SYSTEM(""),
		 "compressed or cut"},
		{"<ovf:References><ovf:File ovf:id='f' ovf:href='a/..%2Fb'/></ovf:References>"
		 "<ovf:DiskSection><ovf:Disk ovf:diskId='d' ovf:fileRef='f'/></ovf:DiskSection>" SYSTEM(
			 ""),
		 "not in its own folder"},
		{"<ovf:References><ovf:File ovf:id='f' ovf:href='a%00b'/></ovf:References>"
		 "<ovf:DiskSection><ovf:Disk ovf:diskId='d' ovf:fileRef='f'/></ovf:DiskSection>" SYSTEM(
			 ""),
		 "not in its own folder"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_int_equal(ovf(all[i].body), 0);
		if (!among(&plan.refusals, all[i].words))
			fail_msg("%s", all[i].words);
		assert_int_equal(plan.disk_count, 0);
	}
	assert_int_equal(ovf(""), -EINVAL);
	assert_int_equal(ovf("<"), -EINVAL);
}

static void libvirt_that_cannot_be_taken_is_refused(void **state)
{
	static const struct {
		const char *body, *words;
	} all[] = {
		{"<os firmware='efi'/>", "UEFI only"},
		{"<os><loader readonly='yes' type='pflash'>/x</loader></os>", "UEFI only"},
		{"<os><loader>/usr/share/OVMF/OVMF.fd</loader></os>", "UEFI only"},
		{"<os><type arch='aarch64'>hvm</type></os>", "'aarch64'"},
		{"<devices><disk type='network' device='disk'><source protocol='rbd'/>"
		 "<target dev='vda'/></disk></devices>",
		 "of the type 'network'"},
		{"<devices><disk type='file' device='disk'><source file='/a'/><backingStore "
		 "type='file'><source file='/b'/></backingStore></disk></devices>",
		 "backing file"},
		{"<devices><disk type='file'><source file='/a'><encryption/></source></disk>"
		 "</devices>",
		 "encrypted"},
		{"<devices><disk type='file'><driver type='qed'/><source file='/a'/></disk>"
		 "</devices>",
		 "'qed'"},
		{"<devices><disk type='file'/></devices>", "no file"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_int_equal(domain(all[i].body), 0);
		if (!among(&plan.refusals, all[i].words))
			fail_msg("%s", all[i].words);
		assert_int_equal(plan.disk_count, 0);
	}
}

static void libvirt_devices_that_oya_lacks_are_told(void **state)
{
	(void)state;
	assert_int_equal(domain("<memory unit='GiB'>2</memory><devices><sound/><hostdev/><tpm/>"
				"<redirdev/><filesystem/><disk type='file' device='cdrom'/>"
				"<disk type='block' device='disk'><driver type='raw'/><source "
				"dev='/dev/x'/><mirror><source file='/y'/></mirror></disk>"
				"<interface type='user'/></devices>"),
			 0);
	assert_int_equal(plan.memory_mib, 2048);
	assert_int_equal(plan.refusals.count, 0);
	assert_int_equal(plan.disk_count, 1);
	assert_string_equal(plan.disks[0].source, "/dev/x");
	assert_int_equal(plan.nic_count, 1);
	assert_true(among(&plan.warnings, "sound"));
	assert_true(among(&plan.warnings, "TPM"));
	assert_true(among(&plan.warnings, "USB"));
	assert_true(among(&plan.warnings, "CD and floppy"));
}

static void xml_has_limits(void **state)
{
	static const struct xml_calls none = {NULL, NULL};
	char *deep = malloc(200 * 3 + 1);
	char *long_one = calloc(1, XML_BYTES_MAX + 1);

	(void)state;
	assert_non_null(deep);
	assert_non_null(long_one);
	deep[0] = '\0';
	for (unsigned i = 0; i < 200; i++)
		strcpy(deep + 3 * i, "<a>");
	memset(&plan, 0, sizeof(plan));
	assert_int_equal(libvirt_decode(deep, strlen(deep), &plan, &failure), -EINVAL);
	assert_non_null(strstr(failure.text, "too deeply"));
	assert_int_equal(xml_parse(long_one, XML_BYTES_MAX + 1, &none, NULL, "it", &failure),
			 -EFBIG);
	free(long_one);
	free(deep);
}

static uint8_t tar[8192];

static void tar_sum(uint8_t *h)
{
	unsigned sum = 0;

	memset(h + 148, ' ', 8);
	for (unsigned i = 0; i < 512; i++)
		sum += h[i];
	snprintf((char *)h + 148, 8, "%06o", sum);
}

static uint8_t *tar_add(uint8_t *h, char type, const char *name, const char *data, size_t len)
{
	memset(h, 0, 512);
	snprintf((char *)h, 100, "%s", name);
	snprintf((char *)h + 124, 12, "%011o", (unsigned)len);
	memcpy(h + 257,
	       "ustar\0"
	       "00",
	       8);
	h[156] = (uint8_t)type;
	tar_sum(h);
	memcpy(h + 512, data, len);
	return h + 512 + ((len + 511) & ~(size_t)511);
}

static int next(uint64_t *at, struct tar_member *m, size_t len)
{
	struct source s = source_of_memory(tar, len);

	return tar_next(&s, at, m);
}

static void tar_members_are_found(void **state)
{
	struct tar_member m;
	uint64_t at = 0;
	uint8_t *to;
	size_t len;

	(void)state;
	memset(tar, 0, sizeof(tar));
	to = tar_add(tar, '0', "a.ovf", "xyz", 3);
	to = tar_add(to, 'x', "pax", "16 path=new.img\n12 size=600\n", 28);
	to = tar_add(to, '0', "old.img", "", 0);
	to += 1024;
	to = tar_add(to, 'L', "long", "longer.img", 11);
	to = tar_add(to, '5', "folder", "", 0);
	len = (size_t)(to - tar) + 1024;
	assert_int_equal(next(&at, &m, len), 1);
	assert_string_equal(m.name, "a.ovf");
	assert_true(m.regular && m.offset == 512 && m.length == 3);
	assert_int_equal(next(&at, &m, len), 1);
	assert_string_equal(m.name, "new.img");
	assert_true(m.offset == 2560 && m.length == 600);
	assert_int_equal(next(&at, &m, len), 1);
	assert_string_equal(m.name, "longer.img");
	assert_false(m.regular);
	assert_int_equal(next(&at, &m, len), 0);
}

static void tar_that_is_damaged_is_refused(void **state)
{
	struct tar_member m;
	uint64_t at = 0;

	(void)state;
	memset(tar, 0, sizeof(tar));
	tar_add(tar, '0', "a", "xyz", 3);
	assert_int_equal(next(&at, &m, 514), -EBADMSG);
	at = 0;
	tar[0] = 'b';
	assert_int_equal(next(&at, &m, 2048), -EBADMSG);
	at = 0;
	tar[124] = 0x80;
	memset(tar + 125, 0xff, 11);
	tar_sum(tar);
	assert_int_equal(next(&at, &m, 2048), -EBADMSG);
	at = 0;
	tar_add(tar, 'x', "p", "99 path=a\n", 10);
	assert_int_equal(next(&at, &m, 2048), -EBADMSG);
	at = 0;
	tar_add(tar, 'x', "p", "1 \n", 3);
	assert_int_equal(next(&at, &m, 2048), -EBADMSG);
}

static int sweep_step(void *ctx)
{
	int r;

	(void)ctx;
	r = ovf(FILES SYSTEM(""));
	if (r == 0)
		r = domain("<name>a</name>");
	return r;
}

static void descriptions_survive_a_heap_that_fails(void **state)
{
	(void)state;
	assert_true(failheap_sweep(sweep_step, NULL) >= 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ovf_tells_a_whole_vm),
		cmocka_unit_test(ovf_units_of_memory_are_known),
		cmocka_unit_test(ovf_that_cannot_be_taken_is_refused),
		cmocka_unit_test(libvirt_that_cannot_be_taken_is_refused),
		cmocka_unit_test(libvirt_devices_that_oya_lacks_are_told),
		cmocka_unit_test(xml_has_limits),
		cmocka_unit_test(tar_members_are_found),
		cmocka_unit_test(tar_that_is_damaged_is_refused),
		cmocka_unit_test(descriptions_survive_a_heap_that_fails),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
