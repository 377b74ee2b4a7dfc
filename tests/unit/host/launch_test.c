/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Workers as units, against a systemd that is a thread of this test. */
#include "host/launch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"

#define MANAGER "org.freedesktop.systemd1.Manager"
#define UNIT "oya-vm-6ba7b810-9dad-11d1-80b4-00c04fd430c8.service"
#define WORKER "/usr/libexec/oya/oya-worker"
#define PATIENCE_US UINT64_C(10000000)

int __wrap_sd_booted(void);

int __wrap_sd_booted(void)
{
	return 1;
}

/* What it answers: so many times that the unit is there still, then by `error` or by a job that
 * ends with `result`. */
static struct {
	char folder[32], path[64];
	int fd;
	pthread_t thread;
	unsigned exists, asked;
	const char *error, *result;
	bool subscribed;
	char properties[4096]; /* "NAME=VALUE\n" each */
} fake;

/* ---- the other side ---- */

static void note(const char *text)
{
	size_t len = strlen(fake.properties);

	snprintf(fake.properties + len, sizeof(fake.properties) - len, "%s", text);
}

/* The next value, which may be a container, as text. */
static void note_value(sd_bus_message *m)
{
	const char *contents, *text;
	char type, number[32];
	uint8_t byte;
	uint64_t n;
	int flag;

	sd_bus_message_peek_type(m, &type, &contents);
	if (type == 's') {
		sd_bus_message_read_basic(m, type, &text);
		note(text);
	} else if (type == 't') {
		sd_bus_message_read_basic(m, type, &n);
		snprintf(number, sizeof(number), "%llu", (unsigned long long)n);
		note(number);
	} else if (type == 'y') {
		sd_bus_message_read_basic(m, type, &byte);
		snprintf(number, sizeof(number), "%c", byte);
		note(number);
	} else if (type == 'b') {
		sd_bus_message_read_basic(m, type, &flag);
		note(flag ? "yes" : "no");
	} else if (sd_bus_message_enter_container(m, type, contents) > 0) {
		while (sd_bus_message_at_end(m, 0) == 0) {
			note_value(m);
			if ((type == 'a' || type == 'r') && strcmp(contents, "y") != 0)
				note(" ");
		}
		sd_bus_message_exit_container(m);
	}
}

static void note_properties(sd_bus_message *m)
{
	const char *name;

	fake.properties[0] = '\0';
	sd_bus_message_enter_container(m, 'a', "(sv)");
	while (sd_bus_message_enter_container(m, 'r', "sv") > 0) {
		sd_bus_message_read(m, "s", &name);
		note(name);
		note("=");
		note_value(m);
		note("\n");
		sd_bus_message_exit_container(m);
	}
	sd_bus_message_exit_container(m);
}

static void tell_job(sd_bus *bus)
{
	static const char *const units[] = {"other.service", UNIT};

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		sd_bus_message *m = NULL;

		sd_bus_message_new_signal(bus, &m, "/org/freedesktop/systemd1", MANAGER,
					  "JobRemoved");
		sd_bus_message_set_sender(m, "org.freedesktop.systemd1");
		sd_bus_message_append(m, "uoss", 7, "/job/7", units[i], i ? fake.result : "failed");
		sd_bus_send(bus, m, NULL);
		sd_bus_message_unref(m);
	}
}

static void start_unit(sd_bus_message *m)
{
	const char *name, *mode;

	sd_bus_message_read(m, "ss", &name, &mode);
	if (strcmp(name, UNIT) != 0 || strcmp(mode, "fail") != 0)
		abort();
	note_properties(m);
	if (fake.asked++ < fake.exists) {
		sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.UnitExists", "there");
	} else if (fake.error) {
		sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.Odd", "%s", fake.error);
	} else {
		sd_bus_reply_method_return(m, "o", "/job/7");
		tell_job(sd_bus_message_get_bus(m));
	}
}

static int on_message(sd_bus_message *m, void *ctx, sd_bus_error *error)
{
	(void)ctx;
	(void)error;
	if (sd_bus_message_is_method_call(m, MANAGER, "StartTransientUnit"))
		start_unit(m);
	else if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus", "Hello"))
		sd_bus_reply_method_return(m, "s", ":1.1");
	else if (sd_bus_message_is_method_call(m, NULL, NULL))
		sd_bus_reply_method_return(m, NULL);
	if (sd_bus_message_is_method_call(m, MANAGER, "Subscribe"))
		fake.subscribed = true;
	return 1;
}

static void *serve(void *ctx)
{
	sd_id128_t id = {.bytes = {1}};
	sd_bus *bus = NULL;
	int fd = accept4(fake.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)ctx;
	if (fd < 0 || sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fd, fd) < 0 ||
	    sd_bus_set_server(bus, 1, id) < 0 || sd_bus_start(bus) < 0 ||
	    sd_bus_add_filter(bus, NULL, on_message, NULL) < 0)
		abort();
	for (;;) {
		int r = sd_bus_process(bus, NULL);

		if (r < 0)
			break;
		if (r == 0 && sd_bus_wait(bus, UINT64_MAX) < 0)
			break;
	}
	sd_bus_unref(bus);
	return NULL;
}

static int set_up(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char where[96];

	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.result = "done";
	strcpy(fake.folder, "/tmp/oya-launch.XXXXXX");
	if (!mkdtemp(fake.folder))
		return -1;
	snprintf(fake.path, sizeof(fake.path), "%s/bus", fake.folder);
	strcpy(address.sun_path, fake.path);
	snprintf(where, sizeof(where), "unix:path=%s", fake.path);
	setenv("DBUS_SYSTEM_BUS_ADDRESS", where, 1);
	fake.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(fake.fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fake.fd, 1) < 0)
		return -1;
	return pthread_create(&fake.thread, NULL, serve, NULL);
}

/* After the launcher has let go of the bus. */
static int tear_down(void **state)
{
	(void)state;
	pthread_join(fake.thread, NULL);
	close(fake.fd);
	unlink(fake.path);
	return rmdir(fake.folder);
}

/* ---- this side ---- */

struct told {
	char why[FAIL_TEXT_MAX];
	unsigned times;
};

static void on_failed(void *ctx, const char *sentence)
{
	struct told *t = ctx;

	snprintf(t->why, sizeof(t->why), "%s", sentence);
	t->times++;
}

/* Starts it, and lets the loop run until it is told that it failed, or was asked `asks` times and
 * told no more. */
static void launch(unsigned asks, struct told *ret_told)
{
	struct launcher launcher;
	struct launch *launched;
	struct failure f;
	sd_event *event;
	const struct launch_wish wish = {
		.uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
		.name = "web",
		.folder = "/srv/vms/web",
		.run = "/run/oya/vm/x",
		.cpu_percent = 150,
		.cpu_weight = 200,
		.failed = on_failed,
		.ctx = ret_told,
	};

	*ret_told = (struct told){0};
	assert_int_equal(sd_event_new(&event), 0);
	assert_int_equal(launcher_init(&launcher, event, WORKER), 0);
	assert_int_equal(launch_start(&launcher, &wish, &launched, &f), 0);
	while (!ret_told->times && __atomic_load_n(&fake.asked, __ATOMIC_SEQ_CST) < asks)
		assert_true(sd_event_run(event, PATIENCE_US) > 0);
	while (!ret_told->times && sd_event_run(event, 300000) > 0)
		;
	launch_free(launched);
	launcher_done(&launcher);
	sd_event_unref(event);
}

static void a_unit_has_its_slice_limits_and_order(void **state)
{
	static const char *const lines[] = {
		"Description=Oya VM web\n",
		"Slice=oya.slice\n",
		"Type=exec\n",
		"KillMode=mixed\n",
		"OOMPolicy=continue\n",
		"CollectMode=inactive-or-failed\n",
		"CPUWeight=200\n",
		"CPUQuotaPerSecUSec=1500000\n",
		"LimitNOFILE=2048\n",
		"Before=oya-vms.service \n",
		"After=network.target remote-fs.target \n",
		"RequiresMountsFor=/srv/vms/web \n",
		"LogExtraFields=OYA_VM=web OYA_VM_UUID=6ba7b810-9dad-11d1-80b4-00c04fd430c8 \n",
		"ExecStart=" WORKER " " WORKER " --config /run/oya/vm/x/worker.json  no  \n",
	};
	struct told told;

	(void)state;
	launch(1, &told);
	assert_int_equal(told.times, 0);
	assert_true(fake.subscribed);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		if (!strstr(fake.properties, lines[i]))
			fail_msg("no %s in:\n%s", lines[i], fake.properties);
	}
}

static void a_unit_that_is_still_there_is_waited_for(void **state)
{
	struct told told;

	(void)state;
	fake.exists = 3;
	launch(4, &told);
	assert_int_equal(told.times, 0);
	assert_int_equal(fake.asked, 4);
}

static void a_refusal_is_told(void **state)
{
	struct told told;

	(void)state;
	fake.error = "no such slice";
	launch(2, &told);
	assert_int_equal(told.times, 1);
	assert_string_equal(told.why, "no such slice");
}

static void a_job_that_fails_is_told_once(void **state)
{
	struct told told;

	(void)state;
	fake.result = "failed";
	launch(2, &told);
	assert_int_equal(told.times, 1);
	assert_string_equal(told.why, "systemd says 'failed'; 'journalctl -u " UNIT "' tells why");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_unit_has_its_slice_limits_and_order),
		TEST(a_unit_that_is_still_there_is_waited_for),
		TEST(a_refusal_is_told),
		TEST(a_job_that_fails_is_told_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
