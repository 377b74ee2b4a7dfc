/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs against a host service that answers what is written down here. */
#include "cli/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/util.h"
#include "tests/lib/fakeapi.h"
#include "tests/lib/runoya.h"

#define PATIENCE_MS 20000

static struct fakeapi server;

/* Runs it against the answers, all of which it has to ask for. */
static struct oya_run run(const char *words, const struct fakeapi_answer *answers, size_t count)
{
	struct oya_run r;

	fakeapi_start(&server, answers, count);
	r = oya_run(words, server.path);
	if (!fakeapi_stop(&server))
		fail_msg("%s: not all was asked for as expected; %s", words, r.err);
	return r;
}

static void prints(struct oya_run *r, int status, const char *out, const char *err)
{
	assert_string_equal(r->err, err);
	assert_string_equal(r->out, out);
	assert_int_equal(r->status, status);
	oya_run_done(r);
}

/* ---- lists ---- */

static void a_list_is_fetched_page_by_page_and_shows_no_raw_bytes_of_guests(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"GET /v1/vms?limit=1000 ",
		 FAKEAPI_JSON("200 OK",
			      "{\"vms\": [{\"name\": \"db\", \"state\": \"off\", "
			      "\"problem\": \"\", \"cpus\": null, \"memory_mib\": null, "
			      "\"heartbeat\": null, \"address\": null}], \"next\": \"db\"}"),
		 false},
		{"GET /v1/vms?limit=1000&after=db ",
		 FAKEAPI_JSON("200 OK", "{\"vms\": [{\"name\": \"web\", \"state\": \"running\", "
					"\"problem\": \"\", \"cpus\": 4, \"memory_mib\": 8192, "
					"\"heartbeat\": \"ok\", \"address\": "
					"\"10.0.0.5\\u001b[31m\"}], \"next\": null}"),
		 false},
	};
	struct oya_run r = run("vm list --socket %s", answers, ARRAY_LEN(answers));

	(void)state;
	prints(&r, 0,
	       "NAME  STATE    CPUS  MEMORY  HEARTBEAT  ADDRESS\n"
	       "db    off         1   1 GiB  -          -\n"
	       "web   running     4   8 GiB  ok         10.0.0.5\\x1b[31m\n",
	       "");
}

static void a_problem_has_a_column_when_there_is_one(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"GET /v1/vms?limit=1000 ",
		 FAKEAPI_JSON("200 OK",
			      "{\"vms\": [{\"name\": \"db\", \"state\": \"off\", "
			      "\"problem\": \"its worker was killed\"}], \"next\": null}"),
		 false}};
	struct oya_run r = run("vm list --socket %s", answers, 1);

	(void)state;
	assert_non_null(strstr(r.out, "PROBLEM\n"));
	assert_non_null(strstr(r.out, "its worker was killed\n"));
	oya_run_done(&r);
}

static void an_empty_list_says_what_to_do(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"GET /v1/vms?limit=1000 ", FAKEAPI_JSON("200 OK", "{\"vms\": [], \"next\": null}"),
		 false}};
	struct oya_run r = run("vm list --socket %s", answers, 1);

	(void)state;
	prints(&r, 0, "NAME  STATE  CPUS  MEMORY  HEARTBEAT  ADDRESS\n",
	       "There is no VM yet; 'oya vm create --help' tells how to make one.\n");
	r = run("vm list -o json --socket %s", answers, 1);
	prints(&r, 0, "[]\n", "");
}

static void a_list_that_is_watched_is_drawn_with_each_change(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"GET /v1/events ", FAKEAPI_EVENTS("id: 1\nevent: vm\ndata: {}\n\n"), false},
		{"GET /v1/jobs?limit=1000 ",
		 FAKEAPI_JSON("200 OK", "{\"jobs\": [], \"next\": null}"), false},
	};
	struct oya_run r = run("job list --watch -o json --socket %s", answers, ARRAY_LEN(answers));

	(void)state;
	prints(&r, 1, "[]\n",
	       "oya: the host service has ended its stream of events; 'journalctl -u oyad' tells "
	       "why\n");
}

/* ---- jobs ---- */

#define JOB(state, problem)                                                     \
	"{\"id\": 7, \"what\": \"start\", \"vm\": \"web\", \"state\": \"" state \
	"\", \"problem\": \"" problem "\", \"began\": 1, \"ended\": null}"

static const struct fakeapi_answer start = {
	"POST /v1/vms/web/start ", FAKEAPI_JSON("202 Accepted", JOB("running", "")), false};

/* It ends before it asks for anything. */
static void refuses(const char *words, const char *part)
{
	struct oya_run r = oya_run(words, NULL);

	assert_int_equal(r.status, 2);
	assert_non_null(strstr(r.err, part));
	oya_run_done(&r);
}

static void a_job_is_followed_by_its_events(void **state)
{
	const struct fakeapi_answer answers[] = {
		start,
		{"GET /v1/events ",
		 FAKEAPI_EVENTS("id: 4\nevent: job\ndata: {\"id\": 6, \"state\": \"failed\"}\n\n"
				"id: 5\nevent: vm\ndata: {\"id\": 7, \"state\": \"failed\"}\n\n"
				"id: 6\nevent: job\ndata: " JOB("done", "") "\n\n"),
		 true},
		{"GET /v1/jobs/7 ", FAKEAPI_JSON("200 OK", JOB("running", "")), false},
	};
	struct oya_run r = run("vm start web --socket %s", answers, ARRAY_LEN(answers));

	(void)state;
	prints(&r, 0, "The VM 'web' runs; 'oya console web' leads to its console.\n", "");
}

static void a_job_that_ended_before_it_was_followed_is_not_waited_for(void **state)
{
	const struct fakeapi_answer answers[] = {
		start,
		{"GET /v1/events ", FAKEAPI_EVENTS(""), true},
		{"GET /v1/jobs/7 ", FAKEAPI_JSON("200 OK", JOB("done", "")), false},
	};
	struct oya_run r = run("vm start web --socket %s", answers, ARRAY_LEN(answers));

	(void)state;
	prints(&r, 0, "The VM 'web' runs; 'oya console web' leads to its console.\n", "");
}

static void lost_events_make_it_ask_again(void **state)
{
	const struct fakeapi_answer answers[] = {
		start,
		{"GET /v1/events ", FAKEAPI_EVENTS("id: 9\nevent: gap\ndata: {\"next\":10}\n\n"),
		 true},
		{"GET /v1/jobs/7 ", FAKEAPI_JSON("200 OK", JOB("running", "")), false},
		{"GET /v1/jobs/7 ", FAKEAPI_JSON("200 OK", JOB("failed", "no /dev/kvm")), false},
	};
	struct oya_run r = run("vm start web --socket %s", answers, ARRAY_LEN(answers));

	(void)state;
	prints(&r, 1, "", "oya: starting the VM 'web' failed: no /dev/kvm\n");
}

static void a_job_that_is_not_waited_for_is_its_number(void **state)
{
	struct oya_run r = run("vm start web --no-wait --socket %s", &start, 1);

	(void)state;
	prints(&r, 0, "7\n", "");
}

static void waiting_for_a_job_fails_as_the_job_does(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"GET /v1/jobs/7 ", FAKEAPI_JSON("200 OK", JOB("failed", "why")), false}};
	struct oya_run r = run("job wait 7 -o json --socket %s", answers, 1);

	(void)state;
	assert_int_equal(r.status, 1);
	assert_string_equal(r.err, "oya: job 7 failed: why\n");
	assert_non_null(strstr(r.out, "\"state\": \"failed\""));
	oya_run_done(&r);
}

static void a_cluster_that_would_not_survive_says_which_vm_fits_nowhere(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"GET /v1/cluster ",
		 FAKEAPI_JSON("200 OK",
			      "{\"name\": \"lab\", \"quorum\": true, \"quorum_reason\": \"all\"}"),
		 false},
		{"GET /v1/cluster/survival ",
		 FAKEAPI_JSON(
			 "200 OK",
			 "{\"survives\": false, \"reason\": \"VM web fits nowhere\", \"losses\": []}"),
		 false}};
	struct oya_run r = run("cluster status --socket %s", answers, 2);

	(void)state;
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(
		r.out, "Survives the loss of any one host: NO: because VM web fits nowhere\n"));
	oya_run_done(&r);
	r = run("cluster status -o json --socket %s", answers, 2);
	assert_non_null(strstr(r.out, "\"survival\": {"));
	oya_run_done(&r);
}

static void moves_are_shown_with_their_reasons_before_they_are_made(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"GET /v1/cluster/balance ",
		 FAKEAPI_JSON(
			 "200 OK",
			 "{\"moves\": [{\"vm\": \"web\", \"memory_mib\": 2048, \"from\": \"n1\", "
			 "\"to\": \"n2\", \"reason\": \"n1 has less\"}]}"),
		 false},
		{"GET /v1/cluster/balance ", FAKEAPI_JSON("200 OK", "{\"moves\": []}"), false}};
	struct oya_run r = run("cluster balance --dry-run --socket %s", answers, 1);

	(void)state;
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.out, "web"));
	assert_non_null(strstr(r.out, "2 GiB"));
	assert_non_null(strstr(r.out, "n1 has less"));
	assert_non_null(strstr(r.out, "POST /v1/cluster/balance"));
	oya_run_done(&r);
	r = run("cluster balance --socket %s", answers + 1, 1);
	prints(&r, 0, "No move is worth it.\n", "");
}

static void vms_of_the_cluster_are_started_and_stopped_by_it(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"POST /v1/cluster/vms/web/start?force=true ", "HTTP/1.0 204 No Content\r\n\r\n",
		 false},
		{"POST /v1/cluster/vms/web/stop ", "HTTP/1.0 204 No Content\r\n\r\n", false}};
	struct oya_run r = run("cluster start web --force --socket %s", answers, 1);

	(void)state;
	prints(&r, 0, "", "");
	r = run("cluster stop web --socket %s", answers + 1, 1);
	prints(&r, 0, "", "");
}

static void a_place_in_the_cluster_is_asked_for_as_it_is_written(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"POST /v1/vms/web/cluster ", "HTTP/1.0 204 No Content\r\n\r\n", false},
		{"DELETE /v1/vms/web/cluster ", "HTTP/1.0 204 No Content\r\n\r\n", false},
		{"POST /v1/vms/web/cluster?force=true ", "HTTP/1.0 204 No Content\r\n\r\n", false}};
	struct oya_run r = run(
		"vm cluster web --preferred n1,n2 --possible n1,n2,n3 --priority high "
		"--restart 2/30m --failback 22:00-05:30 --anti-affinity db --probe "
		"tcp://10.0.0.5:80 --probe-interval 1m --probe-failures 2 --show-api --socket %s",
		answers, 1);

	(void)state;
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.err, "\"n3\""));
	assert_non_null(strstr(r.err, "\"within\": 1800"));
	assert_non_null(strstr(r.err, "\"failback\": \"22:00-05:30\""));
	assert_non_null(strstr(r.err, "\"anti_affinity\": \"db\""));
	assert_non_null(strstr(r.err, "\"url\": \"tcp://10.0.0.5:80\""));
	assert_non_null(strstr(r.err, "\"interval\": 60"));
	assert_non_null(strstr(r.err, "\"failures\": 2"));
	oya_run_done(&r);
	r = run("vm cluster web --remove --socket %s", answers + 1, 1);
	prints(&r, 0, "", "");
	r = run("vm cluster web --needs ssd,gpu --force --show-api --socket %s", answers + 2, 1);
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.err, "\"gpu\""));
	oya_run_done(&r);
	refuses("vm cluster web --remove --force", "--remove is given alone");
	refuses("vm cluster web --remove --failback off", "--remove is given alone");
	refuses("vm cluster web --restart 1/15", "such as 1/15m");
	refuses("vm cluster web --restart 1/15mm", "such as 1/15m");
	refuses("vm cluster web --preferred n1,,n2", "not names with commas");
	refuses("vm cluster web --possible n1=2", "not names with commas");
	refuses("vm cluster web --probe-interval 30s", "need --probe");
	refuses("vm cluster web --probe tcp://10.0.0.5:80 --probe-interval 30", "such as 30s");
	refuses("vm cluster web --probe tcp://10.0.0.5:80 --probe-failures x", "failures");
}

static void without_options_a_vm_of_the_cluster_shows_what_is_set(void **state)
{
	static const struct fakeapi_answer outside[] = {
		{"GET /v1/vms/web ", FAKEAPI_JSON("200 OK", "{\"clustered\": false}"), false},
		{"POST /v1/vms/web/cluster ", "HTTP/1.0 204 No Content\r\n\r\n", false}};
	static const struct fakeapi_answer inside[] = {
		{"GET /v1/vms/web ", FAKEAPI_JSON("200 OK", "{\"clustered\": true}"), false},
		{"GET /v1/vms/web/cluster ",
		 FAKEAPI_JSON("200 OK",
			      "{\"preferred\": [\"n1\", \"n2\"], \"possible\": [], "
			      "\"priority\": \"high\", \"failback\": \"off\", "
			      "\"restart\": {\"most\": 1, \"within\": 900}, "
			      "\"live\": true, \"others\": [\"target-role is Stopped\"]}"),
		 false}};
	struct oya_run r = run("vm cluster web --socket %s", outside, 2);

	(void)state;
	prints(&r, 0, "", "");
	r = run("vm cluster web --socket %s", inside, 2);
	prints(&r, 0,
	       "Preferred:   n1\n"
	       "             n2\n"
	       "Priority:    high\n"
	       "Restarts:    most=1 within=900\n"
	       "Failback:    off\n"
	       "Moves:       live\n"
	       "Also set:    target-role is Stopped\n",
	       "");
}

static void a_host_is_drained_by_a_plan_that_is_shown_before(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"GET /v1/cluster/members/n1/drain ",
		 FAKEAPI_JSON(
			 "200 OK",
			 "{\"host\": \"n1\", \"online\": true, \"drained\": false, \"vms\": "
			 "[{\"name\": \"web\", \"to\": \"n2\", \"way\": \"live\"}, {\"name\": "
			 "\"db\", \"to\": null, \"way\": \"nowhere\"}], \"stay\": [{\"name\": "
			 "\"own\", \"state\": \"off\"}, {\"name\": \"\\u001b[31m\", \"state\": "
			 "\"running\"}]}"),
		 false},
		{"POST /v1/cluster/members/n1/drain?force=true ",
		 FAKEAPI_JSON("202 Accepted",
			      "{\"id\": 3, \"state\": \"done\", \"problem\": \"\", \"log\": "
			      "[\"'web' runs on n2: 1 of 1 VMs have moved\"]}"),
		 false}};
	static const struct fakeapi_answer back[] = {
		{"DELETE /v1/cluster/members/n1/drain ",
		 FAKEAPI_JSON("202 Accepted", "{\"id\": 4, \"state\": \"running\"}"), false},
		{"DELETE /v1/cluster/members/n1/drain?failback=true ",
		 FAKEAPI_JSON("202 Accepted", "{\"id\": 5, \"state\": \"running\"}"), false}};
	struct oya_run r = run("host drain n1 --dry-run --socket %s", answers, 1);

	(void)state;
	prints(&r, 0,
	       "VM   TO  HOW\n"
	       "web  n2  live\n"
	       "db   -   can go NOWHERE: would be stopped\n"
	       "Not the cluster's, and stay: own (off), \\x1b[31m (running)\n"
	       "POST /v1/cluster/members/n1/drain\n\n",
	       "");
	r = run("host drain n1 --force --socket %s", answers, ARRAY_LEN(answers));
	assert_non_null(strstr(r.out, "The host is drained: "));
	assert_string_equal(r.err, "oya: note: 'web' runs on n2: 1 of 1 VMs have moved\n");
	oya_run_done(&r);
	r = run("host drain n1 --cancel --no-wait --socket %s", back, 1);
	prints(&r, 0, "4\n", "");
	r = run("host resume n1 --failback immediate --no-wait --socket %s", back + 1, 1);
	prints(&r, 0, "5\n", "");
	refuses("host resume n1 --failback soon", "allowed are immediate and off");
}

static void a_witness_is_asked_for_as_it_is_written(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"PUT /v1/cluster/witness ", FAKEAPI_JSON("202 Accepted", JOB("running", "")),
		 false},
		{"DELETE /v1/cluster/witness ", FAKEAPI_JSON("202 Accepted", JOB("running", "")),
		 false}};
	struct oya_run r =
		run("cluster witness disk /dev/sdb --no-wait --show-api --socket %s", answers, 1);

	(void)state;
	assert_non_null(strstr(r.err, "\"kind\": \"disk\""));
	assert_non_null(strstr(r.err, "\"path\": \"/dev/sdb\""));
	oya_run_done(&r);
	r = run("cluster witness none --no-wait --socket %s", answers + 1, 1);
	prints(&r, 0, "7\n", "");
	refuses("cluster witness disk", "'disk PATH'");
	refuses("cluster witness none /dev/sdb", "'disk PATH'");
}

/* What hosts.json has, and what the other host was told in the end. */
static void the_log_of_the_cluster_is_followed_and_no_line_comes_twice(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"GET /v1/cluster/log?since=0 ",
		 FAKEAPI_JSON("200 OK",
			      "{\"entries\": [{\"at_us\": 1250000, \"text\": \"n2 left\"}, "
			      "{\"at_us\": 9000000, \"text\": \"web\\u0007 started\"}], "
			      "\"missing\": [\"n2\"], \"now_us\": 10000000}"),
		 false},
		{"GET /v1/cluster/log?since=8000000 ",
		 FAKEAPI_JSON("200 OK", "{\"entries\": [{\"at_us\": 9000000, \"text\": "
					"\"web\\u0007 started\"}], "
					"\"missing\": [], \"now_us\": 20000000}"),
		 false},
		{"GET /v1/cluster/log?since=18000000 ",
		 FAKEAPI_PROBLEM("404 Not Found", "this host is in no cluster"), false}};
	struct oya_run r = run("cluster log --follow --socket %s", answers, 3);
	const char *first = strstr(r.out, ".250  n2 left\n");

	(void)state;
	assert_non_null(first);
	assert_non_null(strstr(first, ".000  web\\x07 started\n"));
	assert_null(strstr(first + strlen(".250  n2 left"), "n2 left"));
	assert_non_null(strstr(r.err, "n2 does not answer"));
	assert_non_null(strstr(r.err, "in no cluster"));
	oya_run_done(&r);
	refuses("cluster log --since yesterday", "such as 30m");
	refuses("cluster log --since 30mm", "such as 30m");
}

static void a_move_tells_how_long_the_guest_stood_still_and_shows_no_token(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"GET /v1/vms/web ", FAKEAPI_JSON("200 OK", "{\"clustered\": false}"), false},
		{"POST /v1/vms/web/migrate ",
		 FAKEAPI_JSON("202 Accepted",
			      "{\"id\": 7, \"state\": \"done\", \"problem\": \"\", \"details\": "
			      "{\"host\": \"b:7443\", \"phase\": \"done\", \"stopped_us\": 8400, "
			      "\"promised_us\": 9000, \"sent_bytes\": 1048576}}"),
		 false}};
	char home[] = "/tmp/oya-verbs-XXXXXX", path[64];
	struct oya_run r;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(home));
	snprintf(path, sizeof(path), "%s/oya", home);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/oya/hosts.json", home);
	file = fopen(path, "we");
	fputs("{\"version\":1,\"hosts\":{\"b:7443\":{\"token\":\"oya_secret\",\"fingerprint\":"
	      "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}}}",
	      file);
	fclose(file);
	chmod(path, 0600);
	setenv("XDG_CONFIG_HOME", home, 1);
	r = run("vm migrate web b --show-api --socket %s", answers, 2);
	assert_string_equal(r.out, "The VM 'web' runs on b:7443; it stood still for 8.4 ms "
				   "(promised: 9.0 ms); 1 MiB were sent.\n");
	assert_non_null(strstr(r.err, "(not shown)"));
	assert_null(strstr(r.err, "oya_secret"));
	oya_run_done(&r);
	r = run("vm migrate web c --socket %s", answers, 1);
	assert_int_equal(r.status, 1);
	assert_non_null(strstr(r.err, "has no token for c:7443"));
	oya_run_done(&r);
	unsetenv("XDG_CONFIG_HOME");
	unlink(path);
	snprintf(path, sizeof(path), "%s/oya", home);
	rmdir(path);
	rmdir(home);
}

static void a_stop_carries_how(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"POST /v1/vms/web/stop ", FAKEAPI_JSON("202 Accepted", JOB("done", "")), false}};
	struct oya_run r = run("vm stop web --off --reason 'new disks' --socket %s", answers, 1);

	(void)state;
	prints(&r, 0, "The VM 'web' is off.\n", "");
	assert_non_null(strstr(server.seen[0], "\"off\": true"));
	assert_non_null(strstr(server.seen[0], "\"reason\": \"new disks\""));
	r = run("vm stop web --socket %s", answers, 1);
	prints(&r, 0, "The VM 'web' is off.\n", "");
	assert_null(strstr(server.seen[0], "Content-Type"));
}

/* ---- others ---- */

static void what_is_absent_is_told_with_where_to_look(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"POST /v1/vms/w%2Feb/pause ",
		 FAKEAPI_PROBLEM("404 Not Found", "there is no VM 'w/eb\\u001b'"), false}};
	struct oya_run r = run("vm pause w/eb --socket %s", answers, 1);

	(void)state;
	prints(&r, 1, "",
	       "oya: there is no VM 'w/eb\\x1b'; 'oya vm list' shows those that there are\n");
}

static void the_call_is_shown_on_request(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"POST /v1/vms/web/nmi ", "HTTP/1.0 204 No Content\r\n\r\n", false}};
	struct oya_run r = run("vm nmi web --show-api --socket %s", answers, 1);

	(void)state;
	prints(&r, 0, "The VM 'web' got an NMI on every processor.\n", "POST /v1/vms/web/nmi\n\n");
}

static void a_vm_that_is_made_and_cannot_start_is_told_of(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"POST /v1/vms ", FAKEAPI_JSON("201 Created", "{\"name\": \"web\"}"), false},
		{"POST /v1/vms/web/start ", FAKEAPI_PROBLEM("409 Conflict", "no memory"), false},
	};
	struct oya_run r = run("vm create web --start --socket %s", answers, ARRAY_LEN(answers));

	(void)state;
	prints(&r, 1, "",
	       "oya: no memory\n"
	       "oya: the VM 'web' is made, though; 'oya vm start web' tries again\n");
}

static void a_vm_is_shown_with_what_its_guest_tells_made_harmless(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"GET /v1/vms/web ",
		 FAKEAPI_JSON(
			 "200 OK",
			 "{\"name\": \"web\", \"state\": \"running\", \"problem\": \"\", "
			 "\"uuid\": \"u\", \"version\": 3, \"settings\": {\"memory_mib\": 512, "
			 "\"boot\": {\"firmware\": \"bios\"}, \"tags\": [\"a\", \"b\"], "
			 "\"disks\": [{\"file\": \"d.raw\", \"lun\": 1}]}, \"status\": "
			 "{\"vmbus\": \"5.3\", \"crash\": \"\", \"integration\": "
			 "{\"heartbeat\": {\"state\": \"ok\"}}}, \"guest\": "
			 "{\"OS\\nName\": \"De\\u0007bian\"}}"),
		 false}};
	struct oya_run r = run("vm show web --socket %s", answers, 1);

	(void)state;
	prints(&r, 0,
	       "Name:        web\n"
	       "State:       running\n"
	       "UUID:        u\n"
	       "Version:     3\n"
	       "Processors:  1\n"
	       "Memory:      512 MiB\n"
	       "Boots:       firmware=bios\n"
	       "Disks:       file=d.raw lun=1\n"
	       "Tags:        a\n"
	       "             b\n"
	       "VMBus:       5.3\n"
	       "Heartbeat:   ok\n"
	       "The guest tells:\n"
	       "  OS\\x0aName: De\\x07bian\n",
	       "");
}

static void counters_are_tables(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"GET /v1/vms/web/statistics ",
		 FAKEAPI_JSON("200 OK", "{\"processors\": {\"exits\": 9, \"port\": 7, \"mmio\": 4, "
					"\"msr\": 3, \"hypercalls\": 6, \"interruptions\": 2}, "
					"\"disks\": [], \"nics\": [{\"number\": 0, \"type\": "
					"\"user\", \"link\": true}]}"),
		 false}};
	struct oya_run r = run("vm stat web --socket %s", answers, 1);

	(void)state;
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.out, "Processors\nEXITS  PORT  MMIO  MSR  HYPERCALLS"));
	assert_null(strstr(r.out, "Disks"));
	assert_non_null(strstr(r.out, "\nNICs\nNIC  TYPE  LINK"));
	oya_run_done(&r);
}

static void an_event_is_a_line(void **state)
{
	static const struct fakeapi_answer answers[] = {
		{"GET /v1/events ",
		 FAKEAPI_EVENTS("id: 8\nevent: vm\ndata: {\"name\": \"web\", \"state\": \"off\", "
				"\"problem\": \"\"}\n\n"
				"id: 9\nevent: job\ndata: {\"what\": \"stop\", \"vm\": \"web\", "
				"\"state\": \"failed\", \"problem\": \"a\\nb\"}\n\n"),
		 false}};
	struct oya_run r = run("events --after 7 --socket %s", answers, 1);

	(void)state;
	assert_string_equal(r.out, "8  vm web: off\n9  job stop of web: failed: a\\x0ab\n");
	assert_int_equal(r.status, 1);
	oya_run_done(&r);
	r = run("events -o json --socket %s", answers, 1);
	assert_non_null(strstr(r.out, "{\"id\":\"8\",\"event\":\"vm\",\"data\":{\"name\":\"web\","
				      "\"state\":\"off\",\"problem\":\"\"}}\n"));
	oya_run_done(&r);
}

/* ---- the console ---- */

/* The child: `oya console` on the terminal. */
static void console_child(const char *terminal)
{
	static char *words[] = {(char *)(uintptr_t) "console", (char *)(uintptr_t) "web",
				(char *)(uintptr_t) "--socket", server.path, NULL};
	int fd;

	setsid();
	fd = open(terminal, O_RDWR);
	dup2(fd, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	alarm(PATIENCE_MS / 1000);
	_exit(command_main(4, words, stdout, stderr));
}

static void expect(int fd, const char *text)
{
	char seen[4096];
	size_t len = 0;

	while (!memmem(seen, len, text, strlen(text))) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n = poll(&p, 1, PATIENCE_MS) == 1 ? read(fd, seen + len, sizeof(seen) - len)
							  : 0;

		if (n <= 0)
			fail_msg("no '%s' but '%.*s'", text, (int)len, seen);
		len += (size_t)n;
	}
}

static const struct fakeapi_answer consoles[] = {
	{"GET /v1/vms/web/console ",
	 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: oya-console\r\n\r\nlogin: ", true},
	{"POST /v1/vms/web/nmi ", FAKEAPI_PROBLEM("409 Conflict", "it is paused"), false},
};

/* Opens the console, types, and ends it by a key or by a signal. */
static void on_terminal(const char *keys, int signal, int *ret_status)
{
	struct termios before = {0}, after = {0};
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	pid_t child;

	assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_int_equal(tcgetattr(slave, &before), 0);
	fakeapi_start(&server, consoles, ARRAY_LEN(consoles));
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		console_child(ptsname(master));
	expect(master, "login: ");
	assert_int_equal(write(master, "root", 4), 4);
	expect(master, "ROOT");
	assert_int_equal(write(master, "\x1dn", 2), 2);
	expect(master, "oya: it is paused");
	if (signal)
		kill(child, signal);
	else
		assert_int_equal(write(master, keys, strlen(keys)), strlen(keys));
	assert_int_equal(waitpid(child, ret_status, 0), child);
	assert_int_equal(tcgetattr(slave, &after), 0);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_true(fakeapi_stop(&server));
	close(slave);
	close(master);
}

static void the_console_is_carried_and_left_by_a_key(void **state)
{
	int status;

	(void)state;
	on_terminal("\x1dq", 0, &status);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_signal_leaves_the_terminal_as_it_was(void **state)
{
	int status;

	(void)state;
	on_terminal(NULL, SIGTERM, &status);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void the_hosts_vms_are_stopped_by_one_job(void **state)
{
	const struct fakeapi_answer answers[] = {
		{"POST /v1/host/stop-vms ", FAKEAPI_JSON("202 Accepted", JOB("running", "")),
		 false},
		{"GET /v1/events ",
		 FAKEAPI_EVENTS("id: 1\nevent: job\ndata: " JOB("done", "") "\n\n"), true},
		{"GET /v1/jobs/7 ", FAKEAPI_JSON("200 OK", JOB("running", "")), false},
	};
	struct oya_run r = run("host stop-vms --socket %s", answers, ARRAY_LEN(answers));

	(void)state;
	prints(&r, 0, "All VMs of this host are off.\n", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_is_fetched_page_by_page_and_shows_no_raw_bytes_of_guests),
		cmocka_unit_test(a_problem_has_a_column_when_there_is_one),
		cmocka_unit_test(an_empty_list_says_what_to_do),
		cmocka_unit_test(a_list_that_is_watched_is_drawn_with_each_change),
		cmocka_unit_test(a_job_is_followed_by_its_events),
		cmocka_unit_test(a_job_that_ended_before_it_was_followed_is_not_waited_for),
		cmocka_unit_test(lost_events_make_it_ask_again),
		cmocka_unit_test(a_job_that_is_not_waited_for_is_its_number),
		cmocka_unit_test(waiting_for_a_job_fails_as_the_job_does),
		cmocka_unit_test(a_place_in_the_cluster_is_asked_for_as_it_is_written),
		cmocka_unit_test(a_cluster_that_would_not_survive_says_which_vm_fits_nowhere),
		cmocka_unit_test(moves_are_shown_with_their_reasons_before_they_are_made),
		cmocka_unit_test(vms_of_the_cluster_are_started_and_stopped_by_it),
		cmocka_unit_test(without_options_a_vm_of_the_cluster_shows_what_is_set),
		cmocka_unit_test(the_log_of_the_cluster_is_followed_and_no_line_comes_twice),
		cmocka_unit_test(a_host_is_drained_by_a_plan_that_is_shown_before),
		cmocka_unit_test(a_witness_is_asked_for_as_it_is_written),
		cmocka_unit_test(a_move_tells_how_long_the_guest_stood_still_and_shows_no_token),
		cmocka_unit_test(a_stop_carries_how),
		cmocka_unit_test(what_is_absent_is_told_with_where_to_look),
		cmocka_unit_test(the_call_is_shown_on_request),
		cmocka_unit_test(a_vm_that_is_made_and_cannot_start_is_told_of),
		cmocka_unit_test(a_vm_is_shown_with_what_its_guest_tells_made_harmless),
		cmocka_unit_test(counters_are_tables),
		cmocka_unit_test(an_event_is_a_line),
		cmocka_unit_test(the_hosts_vms_are_stopped_by_one_job),
		cmocka_unit_test(the_console_is_carried_and_left_by_a_key),
		cmocka_unit_test(a_signal_leaves_the_terminal_as_it_was),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
