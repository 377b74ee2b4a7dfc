/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real images, made by qemu-img, become raw ones. */
#include "tests/unit/import/room.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define BYTES (24u << 20)
#define HOLED_MAX (8u << 20) /* on the disk, of those */

/* 5 MiB that do not compress, then a hole, then something. */
static void make_raw(const struct room *r)
{
	room_sh(r,
		"head -c 5242880 /dev/urandom >a.raw && truncate -s %u a.raw && "
		"printf tail | dd of=a.raw bs=1 seek=20971520 conv=notrunc",
		BYTES);
}

static uint64_t allocated(const struct room *r, const char *name)
{
	char path[256];
	struct stat st;

	room_path(r, name, path);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void convert(struct room *r, const char *file, enum format format)
{
	struct call c = {call_convert, file, "out.raw", .format = format};

	room_sh(r, "rm -f out.raw");
	room_run(r, &c);
	if (r->status != 0)
		fail_msg("%s: %s", file, r->err);
	assert_non_null(strstr(r->out, "progress 0\n"));
	assert_non_null(strstr(r->out, "progress 100\ndone 25165824\n"));
}

static void each_format_becomes_the_same_bytes_with_holes(void **state)
{
	static const struct {
		const char *options;
		enum format format;
	} images[] = {
		{"qcow2", FORMAT_QCOW2},
		{"qcow2 -c", FORMAT_QCOW2},
		{"vmdk -o subformat=monolithicSparse", FORMAT_VMDK},
		{"vmdk -o subformat=streamOptimized", FORMAT_VMDK},
		{"vmdk -o subformat=twoGbMaxExtentSparse", FORMAT_VMDK},
		{"vmdk -o subformat=monolithicFlat", FORMAT_VMDK},
		{"vhdx", FORMAT_VHDX},
		{"vhdx -o subformat=fixed", FORMAT_VHDX},
		{"vpc -o force_size=on", FORMAT_VPC},
		{"vpc -o subformat=fixed,force_size=on", FORMAT_VPC},
		{"raw", FORMAT_RAW},
	};
	struct room *r = *state;

	make_raw(r);
	for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
		room_sh(r, "rm -f b*.img && qemu-img convert -f raw -O %s a.raw b.img",
			images[i].options);
		convert(r, "b.img", images[i].format);
		room_sh(r, "cmp a.raw out.raw");
		assert_true(allocated(r, "out.raw") < HOLED_MAX);
	}
}

static void the_image_is_its_owners_alone(void **state)
{
	struct room *r = *state;
	char path[256];
	struct stat st;

	make_raw(r);
	convert(r, "a.raw", FORMAT_RAW);
	room_path(r, "out.raw", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void a_piece_of_a_file_is_converted_alone(void **state)
{
	struct room *r = *state;
	struct call c = {call_convert, "tar", "out.raw", .format = FORMAT_VMDK, .offset = 1024};
	struct stat st;
	char path[256];

	make_raw(r);
	room_sh(r, "qemu-img convert -f raw -O vmdk -o subformat=streamOptimized a.raw b.vmdk && "
		   "{ head -c 1024 /dev/urandom; cat b.vmdk; head -c 700 /dev/urandom; } >tar");
	room_path(r, "b.vmdk", path);
	assert_int_equal(stat(path, &st), 0);
	c.length = (uint64_t)st.st_size;
	room_run(r, &c);
	assert_int_equal(r->status, 0);
	room_sh(r, "cmp a.raw out.raw");
}

static void an_image_grows_to_what_is_asked_for(void **state)
{
	struct room *r = *state;
	struct call c = {call_convert, "a.raw", "out.raw", .format = FORMAT_RAW, .grow = 2 * BYTES};

	make_raw(r);
	room_run(r, &c);
	assert_int_equal(r->status, 0);
	assert_non_null(strstr(r->out, "done 50331648\n"));
	room_sh(r,
		"cmp -n %u a.raw out.raw && test $(stat -c %%s out.raw) = %u && "
		"test -z \"$(tail -c %u out.raw | tr -d '\\0' | head -c 1)\"",
		BYTES, 2 * BYTES, BYTES);
}

static void an_image_does_not_shrink(void **state)
{
	struct room *r = *state;
	struct call c = {call_convert, "a.raw", "out.raw", .format = FORMAT_RAW, .grow = 1 << 20};

	make_raw(r);
	room_run(r, &c);
	assert_int_equal(r->status, 1);
	assert_non_null(strstr(r->err, "cannot be made 1048576 bytes short"));
	assert_false(room_has(r, "out.raw"));
}

static void a_raw_image_is_filled_up_to_a_sector(void **state)
{
	struct room *r = *state;
	struct call c = {call_convert, "a.raw", "out.raw", .format = FORMAT_RAW};

	room_sh(r, "head -c 1000 /dev/urandom >a.raw");
	room_run(r, &c);
	assert_int_equal(r->status, 0);
	assert_non_null(strstr(r->out, "done 1024\n"));
	room_sh(r, "cmp -n 1000 a.raw out.raw");
}

static void what_is_there_is_not_written_over(void **state)
{
	struct room *r = *state;
	struct call c = {call_convert, "a.raw", "out.raw", .format = FORMAT_RAW};

	make_raw(r);
	room_write(r, "out.raw", "mine", 4);
	room_run(r, &c);
	assert_int_equal(r->status, 1);
	assert_non_null(strstr(r->err, "File exists"));
	room_sh(r, "test \"$(cat out.raw)\" = mine");
}

static void an_image_with_a_backing_file_is_not_converted(void **state)
{
	struct room *r = *state;
	struct call c = {call_convert, "b.qcow2", "out.raw", .format = FORMAT_QCOW2};

	make_raw(r);
	room_sh(r, "qemu-img create -f qcow2 -b a.raw -F raw b.qcow2");
	room_run(r, &c);
	assert_int_equal(r->status, 1);
	assert_non_null(strstr(r->err, "has a backing file"));
	assert_false(room_has(r, "out.raw"));
}

static void a_damaged_image_leaves_nothing(void **state)
{
	struct room *r = *state;
	struct call c = {call_convert, "b.qcow2", "out.raw", .format = FORMAT_QCOW2};

	make_raw(r);
	room_sh(r, "qemu-img convert -f raw -O qcow2 a.raw b.qcow2 && "
		   "head -c 512 /dev/urandom | dd of=b.qcow2 bs=512 seek=384 conv=notrunc && "
		   "dd if=/dev/urandom of=b.qcow2 bs=65536 seek=1 count=4 conv=notrunc");
	room_run(r, &c);
	assert_int_equal(r->status, 1);
	assert_non_null(strstr(r->err, "oya-import: cannot "));
	assert_false(room_has(r, "out.raw"));
}

static void an_image_in_use_is_told(void **state)
{
	struct room *r = *state;
	struct call c = {call_convert, "a.raw", "out.raw", .format = FORMAT_RAW};

	make_raw(r);
	room_sh(r, "{ qemu-io -f raw -c 'sleep 60000' a.raw & echo $! >pid; }");
	for (unsigned i = 0; i < 100; i++) {
		room_sh(r, "rm -f out.raw");
		room_run(r, &c);
		if (r->status == 1)
			break;
		usleep(50000); /* it has not opened it yet */
	}
	room_sh(r, "kill $(cat pid)");
	assert_int_equal(r->status, 1);
	assert_non_null(strstr(r->err, "a.raw: it is in use; shut the old VM down first"));
	assert_false(room_has(r, "out.raw"));
}

/* In a mount namespace of its own: a file system of 2 MiB over the folder "small". */
static void mount_small(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "small", "tmpfs", 0, "size=2m") < 0)
		_exit(77);
}

static void a_full_disk_is_told(void **state)
{
	struct room *r = *state;
	struct call c = {call_convert, "b.qcow2", "small/out.raw", .format = FORMAT_QCOW2,
			 .before = mount_small};

	make_raw(r);
	room_sh(r, "mkdir small && qemu-img convert -f raw -O qcow2 a.raw b.qcow2");
	room_run(r, &c);
	if (r->status == 77)
		skip();
	assert_int_equal(r->status, 1);
	assert_non_null(strstr(r->err, "cannot write small/out.raw: no space is left"));
	assert_false(room_has(r, "small/out.raw"));
}

static void limit_files(void)
{
	struct rlimit l = {2 << 20, 2 << 20};

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &l);
}

static void a_limit_of_files_is_told(void **state)
{
	struct room *r = *state;
	struct call c = {call_convert, "b.qcow2", "out.raw", .format = FORMAT_QCOW2,
			 .before = limit_files};

	make_raw(r);
	room_sh(r, "qemu-img convert -f raw -O qcow2 a.raw b.qcow2");
	room_run(r, &c);
	assert_int_equal(r->status, 1);
	assert_non_null(strstr(r->err, "does not have files that large"));
	assert_false(room_has(r, "out.raw"));
}

/* Until it says that it converts. */
static bool has_begun(const struct room *r)
{
	char text[256];

	for (unsigned i = 0; i < 20000; i++) {
		if (room_has(r, "out")) {
			room_read(r, "out", text, sizeof(text));
			if (strstr(text, "progress 0\n"))
				return true;
		}
		usleep(1000);
	}
	return false;
}

/* Much to unpack and little to make, begun. */
static pid_t start_long_one(const struct room *r)
{
	struct call c = {call_convert, "b.qcow2", "out.raw", .format = FORMAT_QCOW2};
	pid_t pid;

	/* All that is left over would become our child. */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	room_sh(r, "yes 'a line that is long enough' | head -c 150000000 >a.raw && "
		   "qemu-img convert -c -f raw -O qcow2 a.raw b.qcow2 && rm a.raw");
	pid = room_start(r, &c);
	assert_true(has_begun(r));
	assert_true(room_has(r, "out.raw"));
	return pid;
}

static void a_signal_leaves_nothing_and_nobody(void **state)
{
	struct room *r = *state;
	pid_t pid = start_long_one(r);
	int status;

	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_int_equal(waitpid(-1, &status, 0), -1);
	assert_false(room_has(r, "out.raw"));
	room_read(r, "err", r->err, sizeof(r->err));
	assert_string_equal(r->err, "oya-import: the import was told to end\n");
}

static void a_kill_leaves_nobody(void **state)
{
	struct room *r = *state;
	pid_t pid = start_long_one(r);
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* The confined process and qemu-img, killed by the kernel. */
	while (waitpid(-1, &status, 0) > 0)
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, room_setup, room_teardown)
		T(each_format_becomes_the_same_bytes_with_holes),
		T(the_image_is_its_owners_alone),
		T(a_piece_of_a_file_is_converted_alone),
		T(an_image_grows_to_what_is_asked_for),
		T(an_image_does_not_shrink),
		T(a_raw_image_is_filled_up_to_a_sector),
		T(what_is_there_is_not_written_over),
		T(an_image_with_a_backing_file_is_not_converted),
		T(a_damaged_image_leaves_nothing),
		T(an_image_in_use_is_told),
		T(a_full_disk_is_told),
		T(a_limit_of_files_is_told),
		T(a_signal_leaves_nothing_and_nobody),
		T(a_kill_leaves_nobody),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
