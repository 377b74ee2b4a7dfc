/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a host has seen of its cluster: kept in files, read again, and brought by alerts. */
#include "host/cluster_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/cluster_impl.h"
#include "host/store.h"
#include "tests/lib/failheap.h"

#define ALERT "kind=node\0node=n2\0desc=lost\0timestamp_epoch=1764370000\0"

struct place {
	char folder[32];
	struct host host;
	struct cluster cluster;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	strcpy(p->folder, "/tmp/oya-unit-XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	p->host = (struct host){.state = p->folder, .run = p->folder, .cluster = &p->cluster};
	assert_int_equal(guid_parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8", &p->host.uuid), 0);
	assert_int_equal(sd_event_new(&p->host.event), 0);
	assert_int_equal(pool_new(0, &p->host.pool), 0); /* what is submitted is done at once */
	p->cluster.host = &p->host;
	p->cluster.in = true;
	p->cluster.members.count = 1;
	p->cluster.members.member[0].host = p->host.uuid;
	strcpy(p->cluster.members.member[0].name, "n1");
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	struct failure f;

	pool_free(p->host.pool);
	sd_event_unref(p->host.event);
	assert_int_equal(store_remove_folder(p->folder, &f), 0);
	free(p);
	return 0;
}

static size_t count(const struct place *p, int64_t since_us)
{
	json_t *list = cluster_log_read(p->folder, since_us);
	size_t n = json_array_size(list);

	assert_non_null(list);
	json_decref(list);
	return n;
}

static void put(const struct place *p, const char *text)
{
	char path[64];
	FILE *to;

	snprintf(path, sizeof(path), "%s/" CLUSTER_LOG, p->folder);
	to = fopen(path, "a");
	assert_non_null(to);
	fputs(text, to);
	assert_int_equal(fclose(to), 0);
}

static void what_is_added_is_read_with_this_hosts_name_and_time(void **state)
{
	const struct record r = {.kind = RECORD_STOPPED, .vm = "web"};
	struct place *p = *state;
	struct record back;
	struct failure f;
	json_t *list;

	cluster_log_add(&p->host, &r);
	list = cluster_log_read(p->folder, 0);
	assert_int_equal(json_array_size(list), 1);
	assert_int_equal(record_of_json(json_array_get(list, 0), &back, &f), 0);
	assert_string_equal(back.host, "n1");
	assert_true(back.at_us > INT64_C(1600000000000000));
	assert_int_equal(count(p, back.at_us - 1), 1);
	assert_int_equal(count(p, back.at_us), 0);
	json_decref(list);
	p->cluster.in = false;
	cluster_log_add(&p->host, &r);
	assert_int_equal(count(p, 0), 1);
}

static void words_that_are_no_text_do_not_lose_the_record(void **state)
{
	struct record r = {.kind = RECORD_ENDED, .vm = "web", .why = "\xff"};
	struct place *p = *state;

	cluster_log_add(&p->host, &r);
	assert_int_equal(count(p, 0), 1);
}

static void damaged_lines_are_left_out(void **state)
{
	struct place *p = *state;

	put(p, "{\"at_us\":5,\"kind\":\"left\",\"host\":\"n2\"}\n\xff\n\n[]\n{\"at_us\":6}\n"
	       "{\"at_us\":7,\"kind\":\"back\",\"host\":\"n2\"}\n{\"at_us\":8,\"kind\":\"ba");
	assert_int_equal(count(p, 0), 2);
	assert_int_equal(count(p, 5), 1);
}

static void the_older_half_goes_when_there_is_too_much(void **state)
{
	const struct record r = {.kind = RECORD_STOPPED, .vm = "web", .at_us = 5};
	struct place *p = *state;
	char line[128];
	size_t before;

	snprintf(line, sizeof(line), "%s\n", "{\"at_us\":4,\"kind\":\"left\",\"host\":\"n2\"}");
	for (size_t i = 0; i <= CLUSTER_LOG_BYTES_MAX / 2 / strlen(line); i++)
		put(p, line);
	before = count(p, 0);
	cluster_log_add(&p->host, &r);
	assert_int_equal(count(p, 0), before + 1);
	cluster_log_add(&p->host, &r);
	assert_int_equal(count(p, 0), before + 2);
	for (size_t i = 0; i <= CLUSTER_LOG_BYTES_MAX / 2 / strlen(line); i++)
		put(p, line);
	cluster_log_add(&p->host, &r);
	assert_int_equal(count(p, 0), before + 2); /* what was the newer half */
}

static void alerts_come_by_a_socket(void **state)
{
	struct place *p = *state;
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sd_event_source *source = NULL;
	char much[8192] = "";
	struct failure f;

	assert_true(fd >= 0);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/" CLUSTER_LOG_ALERTS, p->folder);
	for (unsigned i = 0; i < 2; i++) { /* what is left of an older daemon is in nobody's way */
		sd_event_source_disable_unref(source);
		assert_int_equal(cluster_log_listen(&p->host, &source, &f), 0);
	}
	assert_true(sendto(fd, ALERT, sizeof(ALERT) - 1, 0, (struct sockaddr *)&at, sizeof(at)) >
		    0);
	assert_true(sendto(fd, much, sizeof(much), 0, (struct sockaddr *)&at, sizeof(at)) > 0);
	assert_true(sendto(fd, "x", 1, 0, (struct sockaddr *)&at, sizeof(at)) > 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(sd_event_run(p->host.event, 1000000) > 0);
	assert_int_equal(count(p, 0), 1);
	sd_event_source_disable_unref(source);
	close(fd);
}

static int add_and_read(void *ctx)
{
	const struct record r = {.kind = RECORD_ENDED, .vm = "web", .why = "it"};
	struct place *p = ctx;
	json_t *list;

	cluster_log_add(&p->host, &r);
	list = cluster_log_read(p->folder, 0);
	json_decref(list);
	return failheap_failed() ? -ENOMEM : 0;
}

static void without_memory_a_record_is_lost_and_nothing_else(void **state)
{
	failheap_sweep(add_and_read, *state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_added_is_read_with_this_hosts_name_and_time,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(words_that_are_no_text_do_not_lose_the_record,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(damaged_lines_are_left_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_older_half_goes_when_there_is_too_much, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(alerts_come_by_a_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_memory_a_record_is_lost_and_nothing_else,
						set_up, tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
