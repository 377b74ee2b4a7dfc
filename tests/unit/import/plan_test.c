/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What plan prints of real files, and the plan's own rules. */
#include "tests/unit/import/room.h"

#define HEAD                                                                                     \
	"<?xml version='1.0'?><Envelope xmlns='http://schemas.dmtf.org/ovf/envelope/1' "         \
	"xmlns:ovf='http://schemas.dmtf.org/ovf/envelope/1' xmlns:rasd='r'><References>"         \
	"<File ovf:id='f1' ovf:href='%s'/></References><DiskSection><Disk ovf:diskId='d1' "      \
	"ovf:fileRef='f1'/></DiskSection><VirtualSystem ovf:id='web 1'><VirtualHardwareSection>" \
	"<Item><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2"                  \
	"</rasd:VirtualQuantity></Item><Item><rasd:AllocationUnits>byte * 2^20"                  \
	"</rasd:AllocationUnits><rasd:ResourceType>4</rasd:ResourceType>"                        \
	"<rasd:VirtualQuantity>1024</rasd:VirtualQuantity></Item><Item>"                         \
	"<rasd:HostResource>ovf:/disk/d1</rasd:HostResource><rasd:ResourceType>17"               \
	"</rasd:ResourceType></Item></VirtualHardwareSection></VirtualSystem></Envelope>"

static void write_ovf(const struct room *r, const char *name, const char *href)
{
	char text[4096];
	int len = snprintf(text, sizeof(text), HEAD, href);

	room_write(r, name, text, (size_t)len);
}

static json_t *plan(struct room *r, const char *file)
{
	struct call c = {.verb = call_plan, .file = file};

	room_run(r, &c);
	return room_json(r);
}

static const json_t *disk(const json_t *o, size_t i)
{
	return json_array_get(json_object_get(o, "disks"), i);
}

static json_int_t number(const json_t *o, const char *name)
{
	assert_true(json_is_integer(json_object_get(o, name)));
	return json_integer_value(json_object_get(o, name));
}

static const char *text(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

static void each_format_is_known_by_its_bytes(void **state)
{
	static const char *const words[] = {"raw", "qcow2", "vmdk", "vhdx", "vpc"};
	struct room *r = *state;

	for (size_t i = 0; i < 5; i++) {
		json_t *o;

		room_sh(r, "qemu-img create -f %s %s my-vm.img 16M", words[i],
			i == 4 ? "-o force_size=on" : "");
		o = plan(r, "my-vm.img");
		assert_string_equal(text(o, "name"), "my-vm");
		assert_string_equal(text(disk(o, 0), "format"), words[i]);
		assert_int_equal(number(disk(o, 0), "bytes"), 16 << 20);
		assert_int_equal(number(disk(o, 0), "length"), 0);
		assert_int_equal(sentence_count(o, "refusals"), 0);
		assert_true(text(disk(o, 0), "source")[0] == '/');
		json_decref(o);
	}
}

static void a_format_that_is_said_is_not_found_out(void **state)
{
	struct room *r = *state;
	struct call c = {.verb = call_plan, .file = "a.img", .format = FORMAT_RAW};
	json_t *o;

	room_sh(r, "qemu-img create -f qcow2 -b /etc/passwd -F raw a.img 16M");
	room_run(r, &c);
	o = room_json(r);
	assert_string_equal(text(disk(o, 0), "format"), "raw");
	assert_int_equal(sentence_count(o, "refusals"), 0);
	json_decref(o);
	c.format = FORMAT_VHDX;
	room_run(r, &c);
	o = room_json(r);
	assert_true(has_sentence(o, "refusals", "is no VHDX image"));
	json_decref(o);
}

static void images_that_need_others_are_refused(void **state)
{
	static const struct {
		const char *command, *words;
	} images[] = {
		{"qemu-img create -f qcow2 -b /etc/passwd -F raw a.img 1M", "has a backing file"},
		{"qemu-img create -f qcow2 -o data_file=d.raw a.img 1M", "data in another file"},
		{"printf 'LUKS\\272\\276' >a.img; truncate -s 1M a.img", "is encrypted"},
		{"qemu-img create -f vmdk b.vmdk 1M; qemu-img create -f vmdk -b b.vmdk -F vmdk "
		 "a.img",
		 "is a snapshot"},
		{"qemu-img create -f vdi a.img 1M", "not taken"},
		{"head -c 9999 /dev/urandom | gzip >a.img", "is compressed"},
	};
	struct room *r = *state;

	for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
		struct call c = {.verb = call_plan, .file = "a.img"};

		room_sh(r, "rm -f a.img; %s", images[i].command);
		room_run(r, &c);
		if (r->status == 0) {
			json_t *o = room_json(r);

			assert_true(has_sentence(o, "refusals", images[i].words));
			json_decref(o);
		} else if (!strstr(r->err, images[i].words)) {
			fail_msg("%s", r->err);
		}
	}
}

static void a_vmdk_of_files_elsewhere_is_refused(void **state)
{
	struct room *r = *state;
	json_t *o;

	room_sh(r, "mkdir d && qemu-img create -f vmdk -o subformat=monolithicFlat d/a.vmdk 1M");
	o = plan(r, "d/a.vmdk");
	assert_int_equal(sentence_count(o, "refusals"), 0);
	assert_int_equal(number(disk(o, 0), "bytes"), 1 << 20);
	json_decref(o);
	room_sh(r, "sed -i s,a-flat.vmdk,../a-flat.vmdk, d/a.vmdk");
	o = plan(r, "d/a.vmdk");
	assert_true(has_sentence(o, "refusals", "outside of its own folder"));
	json_decref(o);
	room_sh(r, "sed -i s,../a-flat.vmdk,a-flat.vmdk, d/a.vmdk && mv d/a-flat.vmdk . && "
		   "ln -s ../a-flat.vmdk d");
	o = plan(r, "d/a.vmdk");
	assert_int_equal(sentence_count(o, "refusals"), 1);
	json_decref(o);
	room_sh(r, "rm d/a-flat.vmdk");
	o = plan(r, "d/a.vmdk");
	assert_true(has_sentence(o, "refusals", "No such file"));
	json_decref(o);
}

static void an_ova_round_trips(void **state)
{
	struct room *r = *state;
	struct call c = {.verb = call_convert, .file = "a.ova", .destination = "out.raw"};
	json_t *o;

	write_ovf(r, "a.ovf", "a-disk1.vmdk");
	room_sh(r,
		"head -c 3000000 /dev/urandom >a.raw && truncate -s 16M a.raw && qemu-img convert -f raw "
		"-O vmdk -o subformat=streamOptimized a.raw a-disk1.vmdk && "
		"tar --format=ustar -cf a.ova a.ovf a-disk1.vmdk");
	o = plan(r, "a.ova");
	assert_string_equal(text(o, "name"), "web-1");
	assert_int_equal(number(o, "cpus"), 2);
	assert_int_equal(number(o, "memory_mib"), 1024);
	assert_int_equal(sentence_count(o, "refusals"), 0);
	assert_int_equal(json_array_size(json_object_get(o, "disks")), 1);
	assert_string_equal(text(disk(o, 0), "format"), "vmdk");
	assert_int_equal(number(disk(o, 0), "bytes"), 16 << 20);
	assert_non_null(strstr(text(disk(o, 0), "source"), "/a.ova"));
	c.format = FORMAT_VMDK;
	c.offset = (uint64_t)number(disk(o, 0), "offset");
	c.length = (uint64_t)number(disk(o, 0), "length");
	json_decref(o);
	room_run(r, &c);
	assert_int_equal(r->status, 0);
	room_sh(r, "cmp a.raw out.raw");
}

static void an_ovf_takes_files_of_its_folder_only(void **state)
{
	static const struct {
		const char *href, *words; /* NULL: it is taken */
	} files[] = {
		{"a.raw", NULL},
		{"sub/a%20b.raw", NULL},
		{"../secret.raw", "not in its own folder"},
		{"%2e%2e/secret.raw", "not in its own folder"},
		{"/etc/passwd", "not in its own folder"},
		{"http://example.org/a.raw", "not in its own folder"},
		{"link.raw", "not in the description's own folder"},
		{"gone.raw", "cannot be found"},
		{"sub", "is no file"},
	};
	struct room *r = *state;

	room_sh(r, "truncate -s 1M secret.raw && mkdir -p d/sub && truncate -s 1M d/a.raw "
		   "'d/sub/a b.raw' && ln -s ../secret.raw d/link.raw");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		json_t *o;

		write_ovf(r, "d/a.ovf", files[i].href);
		o = plan(r, "d/a.ovf");
		if (files[i].words && !has_sentence(o, "refusals", files[i].words))
			fail_msg("%s: %s", files[i].href, r->out);
		assert_int_equal(json_array_size(json_object_get(o, "disks")), !files[i].words);
		assert_int_equal(sentence_count(o, "refusals"), files[i].words != NULL);
		json_decref(o);
	}
}

static void a_bomb_of_entities_is_refused(void **state)
{
	static const char bomb[] = "<?xml version='1.0'?><!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'>"
				   "<!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
				   "<domain><name>&b;</name></domain>",
			  outside[] = "<?xml version='1.0'?><!DOCTYPE d [<!ENTITY a SYSTEM "
				      "'file:///etc/passwd'>]><domain><name>&a;</name></domain>";
	struct room *r = *state;
	struct call c = {.verb = call_plan, .file = "a.xml"};

	room_write(r, "a.xml", bomb, sizeof(bomb) - 1);
	room_run(r, &c);
	assert_int_equal(r->status, 1);
	assert_non_null(strstr(r->err, "document type"));
	room_write(r, "a.xml", outside, sizeof(outside) - 1);
	room_run(r, &c);
	assert_int_equal(r->status, 1);
	assert_string_equal(r->out, "");
	assert_non_null(strstr(r->err, "document type"));
}

static void a_domain_of_libvirt_is_taken(void **state)
{
	struct room *r = *state;
	char xml[2048];
	json_t *o;
	int len = snprintf(
		xml, sizeof(xml),
		"<!--\nWARNING: made by a program\n-->\n\n<domain type='kvm'><name>db</name><memory unit='KiB'>"
		"2097152</memory><vcpu>3</vcpu><description>of the shop</description>"
		"<devices><disk type='file' device='disk'><driver type='qcow2'/>"
		"<source file='%s/a.qcow2'/><target dev='vda' bus='virtio'/></disk>"
		"<disk type='file' device='disk'><source file='b.raw'/>"
		"<target dev='sda' bus='scsi'/></disk><interface type='bridge'>"
		"<mac address='52:54:00:AB:cd:01'/></interface></devices></domain>",
		r->folder);

	room_write(r, "a.xml", xml, (size_t)len);
	room_sh(r, "qemu-img create -f qcow2 a.qcow2 8M && truncate -s 4M b.raw");
	o = plan(r, "a.xml");
	assert_string_equal(text(o, "name"), "db");
	assert_string_equal(text(o, "notes"), "of the shop");
	assert_int_equal(number(o, "cpus"), 3);
	assert_int_equal(number(o, "memory_mib"), 2048);
	assert_int_equal(sentence_count(o, "refusals"), 0);
	assert_true(has_sentence(o, "warnings", "'vda' is on the bus 'virtio'"));
	assert_int_equal(number(disk(o, 0), "bytes"), 8 << 20);
	assert_int_equal(number(disk(o, 1), "bytes"), 4 << 20);
	assert_string_equal(text(disk(o, 1), "format"), "raw");
	assert_string_equal(text(json_array_get(json_object_get(o, "nics"), 0), "mac"),
			    "52:54:00:ab:cd:01");
	json_decref(o);
	room_sh(r, "rm b.raw");
	o = plan(r, "a.xml");
	assert_true(has_sentence(o, "refusals", "b.raw' of a disk cannot be found"));
	json_decref(o);
}

/* It would name any file of the host. */
static void a_domain_under_another_name_is_refused(void **state)
{
	static const char xml[] = "<domain><name>x</name><devices><disk type='file' device='disk'>"
				  "<source file='/etc/passwd'/></disk></devices></domain>";
	static const char *const names[] = {"shop.ova", "shop.ovf", "shop.qcow2", "xml"};
	struct room *r = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct call c = {.verb = call_plan, .file = names[i]};

		room_write(r, names[i], xml, sizeof(xml) - 1);
		room_run(r, &c);
		assert_int_equal(r->status, 1);
		assert_string_equal(r->out, "");
		assert_non_null(strstr(r->err, "let its name end in .xml"));
	}
}

static void names_become_those_of_a_vm(void **state)
{
	static const char *const names[][2] = {
		{"web", "web"},
		{"a b", "a-b"},
		{"-.x", "x"},
		{"", "imported"},
		{"***", "imported"},
		{"\xc3\xa4"
		 "b\xc3\xb6"
		 "c",
		 "b-c"},
		{"win (1)", "win--1"},
		{"..", "imported"},
	};
	struct plan *p = calloc(1, sizeof(*p));
	char longest[200];

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		plan_set_name(p, names[i][0]);
		assert_string_equal(p->name, names[i][1]);
	}
	memset(longest, 'a', sizeof(longest));
	longest[199] = '\0';
	plan_set_name(p, longest);
	assert_int_equal(strlen(p->name), PLAN_NAME_MAX);
	free(p);
}

static void only_addresses_of_one_nic_are_taken(void **state)
{
	static const char *const bad[] = {"01:00:00:00:00:01", "00:00:00:00:00:00",
					  "52:54:00:00:00",    "52-54-00-00-00-01",
					  "52:54:00:00:00:0g", "52:54:00:00:00:01 "};
	struct plan *p = calloc(1, sizeof(*p));

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		plan_add_nic(p, bad[i]);
		assert_string_equal(p->nics[i].mac, "");
		assert_true(among(&p->warnings, bad[i]));
	}
	p->nic_count = 0;
	for (unsigned i = 0; i < PLAN_NICS_MAX + 3; i++)
		plan_add_nic(p, "52:54:00:00:00:01");
	assert_int_equal(p->nic_count, PLAN_NICS_MAX);
	assert_true(among(&p->warnings, "more than 64 NICs"));
	free(p);
}

static void a_plan_of_any_bytes_becomes_a_plan(void **state)
{
	struct plan *p = malloc(sizeof(*p));
	json_t *o;

	(void)state;
	assert_non_null(p);
	for (unsigned round = 0; round < 4; round++) {
		for (size_t i = 0; i < sizeof(*p); i++)
			((uint8_t *)p)[i] =
				(uint8_t)(round == 0 ? 0xff : (i * 2654435761u) >> (8 * round));
		plan_check(p);
		assert_true(p->disk_count <= PLAN_DISKS_MAX && p->nic_count <= PLAN_NICS_MAX);
		for (unsigned i = 0; i < p->disk_count; i++)
			text_clean(p->disks[i].source);
		o = plan_json(p);
		assert_non_null(o);
		json_decref(o);
	}
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, room_setup, room_teardown)
		T(each_format_is_known_by_its_bytes),
		T(a_format_that_is_said_is_not_found_out),
		T(images_that_need_others_are_refused),
		T(a_vmdk_of_files_elsewhere_is_refused),
		T(an_ova_round_trips),
		T(an_ovf_takes_files_of_its_folder_only),
		T(a_bomb_of_entities_is_refused),
		T(a_domain_of_libvirt_is_taken),
		T(a_domain_under_another_name_is_refused),
		cmocka_unit_test(names_become_those_of_a_vm),
		cmocka_unit_test(only_addresses_of_one_nic_are_taken),
		cmocka_unit_test(a_plan_of_any_bytes_becomes_a_plan),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
