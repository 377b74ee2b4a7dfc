/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/doctor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/util.h"
#include "tests/lib/fakeapi.h"
#include "tests/lib/runoya.h"

static char root[32];
static struct doctor d;

/* A file below the root, with its folders. */
static void put(const char *path, const char *text)
{
	char full[512];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *at = strchr(full + strlen(root) + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		(void)mkdir(full, 0700);
		*at = '/';
	}
	file = fopen(full, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(root, "/tmp/oya-doctor.XXXXXX");
	memset(&d, 0, sizeof(d));
	d.root = root;
	return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const struct doctor_finding *find(const char *check)
{
	for (unsigned i = 0; i < d.count; i++) {
		if (strcmp(d.finding[i].check, check) == 0)
			return &d.finding[i];
	}
	fail_msg("there is no check '%s'", check);
	return NULL;
}

static void expect(const char *check, enum doctor_verdict verdict, const char *words)
{
	const struct doctor_finding *f = find(check);

	if (f->verdict != verdict || !strstr(f->text, words))
		fail_msg("%s is %s: %s", check, doctor_word(f->verdict), f->text);
	/* What is wrong has a remedy, but for what tells it itself. */
	if (verdict == DOCTOR_WRONG && strcmp(check, "service") != 0)
		assert_true(f->remedy[0]);
}

static void a_host_with_all_is_good(void **state)
{
	struct utsname name;
	char path[256];

	(void)state;
	uname(&name);
	snprintf(path, sizeof(path), "/lib/modules/%.100s/modules.dep", name.release);
	put(path, "kernel/net/netfilter/nf_tables.ko: kernel/net/nfnetlink.ko\n");
	put("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu de svm nx\nbugs\t\t: x\n");
	put("/proc/meminfo",
	    "MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\nSwapTotal: 1000 kB\nSwapFree: 900 kB\n");
	put("/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n");
	put("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "always [advise] never\n");
	put("/sys/class/iommu/ivhd0/x", "");
	put("/dev/kvm", "");
	put("/run/systemd/system/x", "");
	put("/etc/group", "root:x:0:\noya:x:999:ann\n");
	put("/usr/bin/passt", "");
	put("/usr/sbin/dnsmasq", "");
	put("/usr/share/seabios/bios.bin", "");
	put("/var/lib/oya/vms/x", "");
	doctor_files(&d);
	for (unsigned i = 0; i < d.count; i++) {
		if (strcmp(d.finding[i].check, "space") != 0) /* this machine's own */
			expect(d.finding[i].check, DOCTOR_OK, "");
	}
	expect("device", DOCTOR_OK, "/dev/kvm");
	assert_true(d.count >= 13);
}

static void an_empty_host_is_told_what_it_lacks(void **state)
{
	(void)state;
	doctor_files(&d);
	expect("device", DOCTOR_WRONG, "neither /dev/kvm nor /dev/oya");
	expect("group", DOCTOR_WRONG, "no group oya");
	expect("passt", DOCTOR_WRONG, "NICs of the type user");
	expect("firmware", DOCTOR_WRONG, "cannot boot");
	expect("dnsmasq", DOCTOR_WRONG, "NAT");
	expect("nftables", DOCTOR_WRONG, "none");
	expect("systemd", DOCTOR_NOTE, "does not run");
	expect("iommu", DOCTOR_NOTE, "none is in use");
	assert_string_equal(find("dnsmasq")->remedy, "'apt install dnsmasq-base'");
	assert_true(doctor_is_wrong(&d));
}

static void a_processor_without_virtualisation_is_wrong_unless_the_hypervisor_has_it(void **state)
{
	(void)state;
	/* "svm" as part of another word does not count. */
	put("/proc/cpuinfo", "flags\t\t: fpu svm_lock xsvm hypervisor\n");
	doctor_files(&d);
	expect("processor", DOCTOR_WRONG, "neither SVM nor VMX");
	expect("nesting", DOCTOR_NOTE, "itself a VM");
	put("/dev/kvm", "");
	d.count = 0;
	doctor_files(&d);
	expect("processor", DOCTOR_NOTE, "all the same");
	put("/dev/oya", "");
	d.count = 0;
	doctor_files(&d);
	expect("processor", DOCTOR_OK, "hypervisor");
	expect("device", DOCTOR_OK, "/dev/oya");
}

static void scarce_memory_and_swap_in_use_are_wrong(void **state)
{
	(void)state;
	put("/proc/meminfo", "MemAvailable: 1000 kB\nSwapTotal: 1000 kB\nSwapFree: 400 kB\n");
	put("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "always advise [never]\n");
	doctor_files(&d);
	expect("memory", DOCTOR_WRONG, "1000 KiB");
	expect("swap", DOCTOR_WRONG, "more than half");
	expect("huge pages", DOCTOR_NOTE, "4 KiB");
	put("/proc/meminfo", "MemAvailable: 9000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n");
	d.count = 0;
	doctor_files(&d);
	expect("swap", DOCTOR_NOTE, "there is none");
}

static void bridged_frames_that_pass_rules_are_wrong(void **state)
{
	(void)state;
	put("/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n");
	put("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "1\n");
	put("/proc/sys/net/bridge/bridge-nf-call-arptables", "0\n");
	doctor_files(&d);
	expect("br_netfilter", DOCTOR_WRONG, "(iptables, ip6tables)");
}

static void a_policy_that_drops_is_known(void **state)
{
	(void)state;
	assert_true(doctor_forward_drops("-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n"));
	assert_true(doctor_forward_drops(
		"table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority "
		"filter; policy drop;\n"));
	assert_false(doctor_forward_drops("-P FORWARD ACCEPT\n-A FORWARD -s 10.0.0.0/8 -j DROP\n"));
	assert_false(doctor_forward_drops(""));
}

static void clock_service_and_space_are_judged(void **state)
{
	(void)state;
	doctor_clock(&d, TIME_ERROR, 0, 0);
	expect("clock", DOCTOR_WRONG, "nobody keeps");
	d.count = 0;
	doctor_clock(&d, TIME_OK, STA_PLL | STA_UNSYNC, 0);
	expect("clock", DOCTOR_WRONG, "nobody keeps");
	d.count = 0;
	doctor_clock(&d, TIME_OK, STA_PLL, 3000000);
	expect("clock", DOCTOR_WRONG, "3 s");
	d.count = 0;
	doctor_clock(&d, TIME_OK, STA_PLL, 1000);
	doctor_service(&d, OYA_VERSION, NULL);
	doctor_space(&d, "/srv", UINT64_C(50) << 30, UINT64_C(100) << 30);
	assert_false(doctor_is_wrong(&d));
	doctor_space(&d, "/srv", UINT64_C(4) << 30, UINT64_C(100) << 30);
	assert_true(doctor_is_wrong(&d));
	d.count = 0;
	doctor_service(&d, "0.0.1", NULL);
	expect("service", DOCTOR_WRONG, "version 0.0.1");
	d.count = 0;
	doctor_service(&d, NULL, "nobody listens");
	expect("service", DOCTOR_WRONG, "nobody listens");
}

static void more_findings_than_there_is_room_for_are_left_out(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * DOCTOR_FINDINGS_MAX; i++)
		doctor_note(&d, "x", DOCTOR_OK, NULL, "%u", i);
	assert_int_equal(d.count, DOCTOR_FINDINGS_MAX);
}

static void the_verb_prints_json_with_a_verdict_for_each_check(void **state)
{
	static const struct fakeapi_answer answer = {
		"GET /v1/host ", FAKEAPI_JSON("200 OK", "{\"version\": \"0.0.1\"}"), false};
	struct fakeapi server;
	struct oya_run r;

	(void)state;
	fakeapi_start(&server, &answer, 1);
	r = oya_run("doctor -o json --socket %s", server.path);
	assert_true(fakeapi_stop(&server));
	assert_int_equal(r.status, 1);
	assert_non_null(strstr(r.out, "\"good\": false"));
	assert_non_null(strstr(r.out, "\"check\": \"service\""));
	assert_non_null(strstr(r.out, "\"check\": \"clock\""));
	assert_non_null(strstr(r.out, "\"check\": \"role\""));
	oya_run_done(&r);
	r = oya_run("doctor --socket /nonexistent", "");
	assert_int_equal(r.status, 1);
	assert_non_null(strstr(r.out, "oyad does not run"));
	oya_run_done(&r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_host_with_all_is_good),
		TEST(an_empty_host_is_told_what_it_lacks),
		TEST(a_processor_without_virtualisation_is_wrong_unless_the_hypervisor_has_it),
		TEST(scarce_memory_and_swap_in_use_are_wrong),
		TEST(bridged_frames_that_pass_rules_are_wrong),
		TEST(a_policy_that_drops_is_known),
		TEST(clock_service_and_space_are_judged),
		TEST(more_findings_than_there_is_room_for_are_left_out),
		TEST(the_verb_prints_json_with_a_verdict_for_each_check),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
