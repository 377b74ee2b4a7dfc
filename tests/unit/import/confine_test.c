/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a confined process can do, tried from within. */
#include "tests/unit/import/room.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>

#include "base/util.h"

static bool has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

#define must(condition)                                                       \
	do {                                                                  \
		if (!(condition)) {                                           \
			snprintf(f->text, sizeof(f->text), "%s", #condition); \
			return -EINVAL;                                       \
		}                                                             \
	} while (0)

static bool denied(const char *path, int flags)
{
	int fd = open(path, flags, 0600);

	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static bool has_no_socket(int family)
{
	int fd = socket(family, SOCK_STREAM, 0);

	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static int try_files(void *ctx, struct failure *f)
{
	const struct room *r = ctx;
	char good[256], bad[256], new[256], written[256];
	int fd;

	room_path(r, "good", good);
	room_path(r, "bad", bad);
	room_path(r, "new", new);
	room_path(r, "written", written);
	fd = open(good, O_RDONLY);
	must(fd >= 0);
	close(fd);
	must(denied(good, O_WRONLY));
	must(denied(bad, O_RDONLY));
	must(denied("/etc/passwd", O_RDONLY));
	must(denied("/proc/1/status", O_RDONLY));
	must(denied(new, O_WRONLY | O_CREAT));
	must(unlink(good) < 0 && unlink(written) < 0);
	must(symlink("/", new) < 0 && mkdir(new, 0700) < 0 && rename(good, new) < 0);
	must(denied(written, O_RDWR | O_TRUNC));
	fd = open(written, O_RDWR);
	must(fd >= 0);
	close(fd);
	must(chmod(good, 0666) < 0 && chmod("/etc/passwd", 0644) < 0 && truncate(bad, 0) < 0);
	must(setxattr(good, "user.a", "b", 1, 0) < 0 && utimes(good, NULL) < 0);
	must(kill(getppid(), 0) < 0);
	must(execl("/bin/sh", "sh", "-c", "true", NULL) < 0);
	return 0;
}

static void only_its_own_files_are_there(void **state)
{
	struct room *r = *state;
	char good[256], written[256];
	struct confine_rules rules = {
		.read = {good}, .read_count = 1, .write = written, .cpu_s = 10};
	struct failure f = {""};

	if (!has_landlock())
		skip();
	room_path(r, "good", good);
	room_path(r, "written", written);
	room_sh(r, "echo 1 >good && echo 1 >bad && echo 1 >written");
	if (confined_run(&rules, try_files, r, &f) != 0)
		fail_msg("%s", f.text);
}

static int try_writing(void *ctx, struct failure *f)
{
	const struct room *r = ctx;
	char good[256], new[256];

	room_path(r, "good", good);
	room_path(r, "new", new);
	must(denied(good, O_WRONLY) && denied(good, O_RDWR) && denied(new, O_RDWR | O_CREAT));
	must(denied("/dev/null", O_WRONLY));
	must(!denied(good, O_RDONLY));
	return 0;
}

static void what_has_no_destination_writes_nothing(void **state)
{
	struct room *r = *state;
	char good[256];
	struct confine_rules rules = {.read = {good}, .read_count = 1, .cpu_s = 10};
	struct failure f = {""};

	room_path(r, "good", good);
	room_sh(r, "echo 1 >good");
	if (confined_run(&rules, try_writing, r, &f) != 0)
		fail_msg("%s", f.text);
}

static int try_rights(void *ctx, struct failure *f)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}, {0}};
	struct rlimit l;

	(void)ctx;
	must(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	must(syscall(SYS_capget, &header, data) == 0);
	must(!data[0].effective && !data[1].effective && !data[0].permitted && !data[1].permitted);
	for (int i = 0; geteuid() == 0 && i <= CAP_LAST_CAP; i++)
		must(prctl(PR_CAPBSET_READ, i, 0, 0, 0) <= 0);
	must(has_no_socket(AF_INET) && has_no_socket(AF_UNIX));
	must(getrlimit(RLIMIT_CORE, &l) == 0 && l.rlim_max == 0);
	must(getrlimit(RLIMIT_CPU, &l) == 0 && l.rlim_cur == 10);
	must(getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_max <= 512);
	return 0;
}

static void nothing_but_decoding_is_allowed(void **state)
{
	struct confine_rules rules = {.cpu_s = 10};
	struct failure f = {""};

	(void)state;
	if (confined_run(&rules, try_rights, NULL, &f) != 0)
		fail_msg("%s", f.text);
}

/* Never reached. */
static int fail_text(struct failure *f)
{
	f->text[0] = '\0';
	return -EIO;
}

static int spin(void *ctx, struct failure *f)
{
	(void)ctx;
	for (volatile unsigned i = 1; i; i += 2)
		;
	return fail_text(f);
}

static void what_takes_too_long_is_ended(void **state)
{
	struct confine_rules rules = {.cpu_s = 1};
	struct failure f = {""};

	(void)state;
	assert_int_equal(confined_run(&rules, spin, NULL, &f), -ETIME);
	assert_non_null(strstr(f.text, "more processor time"));
}

static int break_down(void *ctx, struct failure *f)
{
	(void)ctx;
	memset(f->text, 0xff, sizeof(f->text)); /* as one that was taken over may */
	raise(SIGKILL);
	return 0;
}

static int say_anything(void *ctx, struct failure *f)
{
	(void)ctx;
	memset(f->text, 0x1b, sizeof(f->text));
	return -EIO;
}

static void what_breaks_is_told(void **state)
{
	struct confine_rules rules = {.cpu_s = 10};
	struct failure f = {""};

	(void)state;
	assert_int_equal(confined_run(&rules, break_down, NULL, &f), -EIO);
	assert_non_null(strstr(f.text, "ended by signal 9"));
	assert_int_equal(confined_run(&rules, say_anything, NULL, &f), -EIO);
	assert_int_equal(strlen(f.text), FAIL_TEXT_MAX - 1);
	assert_int_equal(strspn(f.text, "?"), FAIL_TEXT_MAX - 1);
}

/* A file of another user, as root without rights over others' files would find it. */
static int read_of_others(void *ctx, struct failure *f)
{
	int fd = open(ctx, O_RDONLY);

	must(fd >= 0);
	must(denied(ctx, O_WRONLY));
	close(fd);
	return 0;
}

static void images_of_other_users_can_be_read(void **state)
{
	struct room *r = *state;
	char path[256];
	struct confine_rules rules = {.read = {path}, .read_count = 1, .cpu_s = 10};
	struct failure f = {""};

	if (geteuid() != 0)
		skip();
	room_path(r, "image", path);
	room_sh(r, "echo 1 >image && chown 1234:1234 image && chmod 0600 image");
	if (confined_run(&rules, read_of_others, path, &f) != 0)
		fail_msg("%s", f.text);
}

static int prepare(void **state)
{
	(void)state;
	confined_prepare();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_its_own_files_are_there, room_setup,
						room_teardown),
		cmocka_unit_test_setup_teardown(what_has_no_destination_writes_nothing, room_setup,
						room_teardown),
		cmocka_unit_test(nothing_but_decoding_is_allowed),
		cmocka_unit_test(what_takes_too_long_is_ended),
		cmocka_unit_test(what_breaks_is_told),
		cmocka_unit_test_setup_teardown(images_of_other_users_can_be_read, room_setup,
						room_teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, prepare, NULL);
}
