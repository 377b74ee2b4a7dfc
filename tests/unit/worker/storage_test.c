/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks and media that come and go by the verbs of the control socket, on real files and a real
 * ring, with a VM that does not run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/stillvm.h"
#include "worker/control.h"
#include "worker/control_verbs.h"

#define IMAGE_BYTES (1 << 20)

static unsigned failures, answers;
static bool failure_hangs;
static char failure_text[256];

static void on_failed(void *ctx, const char *sentence, bool hangs)
{
	(void)ctx;
	failures++;
	failure_hangs = hangs;
	snprintf(failure_text, sizeof(failure_text), "%s", sentence);
}

static void on_answered(void *ctx)
{
	(void)ctx;
	answers++;
}

static int set_up(void **state)
{
	struct stillvm *s = stillvm_new();
	struct failure f;

	failures = answers = 0;
	s->config.scsi_queues = 1;
	s->config.controllers = 2;
	assert_int_equal(
		storage_init(&s->vm.storage, &s->config, s->vm.machine.bus, NULL, s->vm.loop, &f),
		0);
	s->vm.storage.failed = on_failed;
	s->vm.storage.answered = on_answered;
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct stillvm *s = *state;

	storage_drain(&s->vm.storage);
	storage_done(&s->vm.storage);
	stillvm_free(s);
	return 0;
}

/* A file that has no name any more. */
static int image(off_t bytes, int flags)
{
	char path[] = "/tmp/storage_test.XXXXXX", link[64];
	int fd = mkstemp(path), again;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, bytes), 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	again = open(link, flags | O_CLOEXEC);
	assert_true(again >= 0);
	close(fd);
	unlink(path);
	return again;
}

static json_t *ask(struct stillvm *s, const char *line, int fd)
{
	enum control_turn turn;
	struct descriptors given = {.count = fd >= 0, .fd = {fd}};
	json_t *answer = control_answer(&s->vm, line, strlen(line), &given, &turn);

	descriptors_close(&given);
	return answer;
}

static void assert_done(struct stillvm *s, const char *line, int fd, const char *result)
{
	json_t *answer = ask(s, line, fd), *expected = json_loads(result, 0, NULL);
	char *text = json_dumps(answer, 0);

	if (!json_equal(answer, expected))
		print_error("%s\n", text);
	assert_true(json_equal(answer, expected));
	free(text);
	json_decref(answer);
	json_decref(expected);
}

static void assert_error(struct stillvm *s, const char *line, int fd, const char *sentence)
{
	json_t *answer = ask(s, line, fd);

	assert_string_equal(json_string_value(json_object_get(answer, "error")), sentence);
	json_decref(answer);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void disks_are_added_listed_and_removed(void **state)
{
	struct stillvm *s = *state;
	int fd = image(IMAGE_BYTES, O_RDWR);
	json_t *list, *disk;

	assert_done(s, "{\"verb\":\"disk-add\",\"path\":\"hot\"}", fd,
		    "{\"ok\":true,\"result\":{\"controller\":0,\"lun\":0}}");
	assert_done(s, "{\"verb\":\"disk-add\",\"controller\":1,\"lun\":9}",
		    image(IMAGE_BYTES, O_RDWR),
		    "{\"ok\":true,\"result\":{\"controller\":1,\"lun\":9}}");
	assert_done(s, "{\"verb\":\"disk-add\",\"read_only\":true}", image(IMAGE_BYTES, O_RDONLY),
		    "{\"ok\":true,\"result\":{\"controller\":0,\"lun\":1}}");
	list = storage_statistics(&s->vm.storage);
	assert_int_equal(json_array_size(list), 3);
	disk = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(disk, "path")), "hot");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 2), "lun")), 9);
	json_decref(list);
	assert_true(is_open(fd));
	assert_done(s, "{\"verb\":\"disk-remove\",\"lun\":0}", -1,
		    "{\"ok\":true,\"result\":{\"done\":true}}");
	assert_false(is_open(fd));
	assert_error(s, "{\"verb\":\"disk-remove\",\"lun\":0}", -1,
		     "there is no disk at LUN 0 of controller 0");
}

static void what_cannot_be_added_is_told_and_closed(void **state)
{
	struct stillvm *s = *state;
	int fd = image(IMAGE_BYTES, O_RDONLY), used = image(IMAGE_BYTES, O_RDWR), same;

	assert_error(s, "{\"verb\":\"disk-add\"}", -1,
		     "no descriptor of an image came with the request");
	assert_error(s, "{\"verb\":\"disk-add\",\"path\":\"x\"}", fd,
		     "the disk x cannot be written; make it writable or attach it read-only");
	assert_false(is_open(fd));
	assert_error(s, "{\"verb\":\"disk-add\",\"path\":\"x\"}", image(1000, O_RDWR),
		     "the disk x is empty or its size is no multiple of 512 bytes; is it a raw "
		     "image, and whole?");
	assert_error(s, "{\"verb\":\"disk-add\",\"controller\":2}", image(IMAGE_BYTES, O_RDWR),
		     "the VM has no disk controller 2; start it with 3 of them ('controllers')");
	assert_error(s, "{\"verb\":\"disk-add\",\"colour\":2}", image(IMAGE_BYTES, O_RDWR),
		     "cannot use the VM's configuration: a disk has no setting 'colour'");
	assert_error(s, "{\"verb\":\"disk-add\",\"serial\":\"\xc3\xa4\"}",
		     image(IMAGE_BYTES, O_RDWR),
		     "cannot attach the disk (no name): its serial number must be of printable "
		     "ASCII characters");
	same = dup(used);
	assert_done(s, "{\"verb\":\"disk-add\",\"lun\":5}", used,
		    "{\"ok\":true,\"result\":{\"controller\":0,\"lun\":5}}");
	assert_error(s, "{\"verb\":\"disk-add\",\"lun\":5}", same, "there is a disk at LUN 5");
	assert_error(s, "{\"verb\":\"disk-remove\",\"lun\":-1}", -1,
		     "a disk is named by the numbers 'controller' and 'lun'");
	assert_error(s, "{\"verb\":\"disk-remove\"}", -1,
		     "a disk is named by the numbers 'controller' and 'lun'");
}

static void media_change(void **state)
{
	struct stillvm *s = *state;
	int fd = image(IMAGE_BYTES, O_RDONLY);
	json_t *list;

	assert_done(s, "{\"verb\":\"disk-add\",\"type\":\"dvd\"}", -1,
		    "{\"ok\":true,\"result\":{\"controller\":0,\"lun\":0}}");
	assert_error(s, "{\"verb\":\"medium-eject\",\"lun\":0}", -1,
		     "there is no medium in the drive");
	assert_error(s, "{\"verb\":\"medium-insert\",\"lun\":0}", -1,
		     "no descriptor of a medium came with the request");
	assert_error(s, "{\"verb\":\"medium-insert\",\"lun\":0,\"path\":\"m\"}",
		     image(2048 * 3 + 512, O_RDONLY),
		     "the disk m is empty or its size is no multiple of 2048 bytes; is it an ISO "
		     "image, and whole?");
	assert_done(s, "{\"verb\":\"medium-insert\",\"lun\":0,\"path\":\"m\"}", fd,
		    "{\"ok\":true}");
	assert_error(s, "{\"verb\":\"medium-insert\",\"lun\":0}", image(IMAGE_BYTES, O_RDONLY),
		     "there is a medium in the drive; eject it first");
	list = storage_statistics(&s->vm.storage);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "path")),
			    "m");
	json_decref(list);
	assert_done(s, "{\"verb\":\"medium-eject\",\"lun\":0}", -1,
		    "{\"ok\":true,\"result\":{\"done\":true}}");
	assert_false(is_open(fd));
	assert_done(s, "{\"verb\":\"disk-add\"}", image(IMAGE_BYTES, O_RDWR),
		    "{\"ok\":true,\"result\":{\"controller\":0,\"lun\":1}}");
	assert_error(s, "{\"verb\":\"medium-eject\",\"lun\":1}", -1,
		     "LUN 1 of controller 0 is no DVD drive");
	assert_error(s, "{\"verb\":\"medium-insert\",\"lun\":1}", image(IMAGE_BYTES, O_RDONLY),
		     "LUN 1 of controller 0 is no DVD drive");
}

/* --- the socket ------------------------------------------------------------------------- */

struct turns {
	struct stillvm *s;
	unsigned left;
};

static void count_down(void *owner)
{
	struct turns *t = owner;

	if (!t->left--)
		loop_stop(t->s->vm.loop);
	loop_wake(t->s->vm.loop);
}

static void send_with(int to, const char *line, const int *fds, unsigned count)
{
	char control[CMSG_SPACE(4 * sizeof(int))] = {0};
	struct iovec iov = {(char *)(uintptr_t)line, strlen(line)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(head), fds, count * sizeof(int));
	assert_int_equal(sendmsg(to, &msg, MSG_NOSIGNAL), strlen(line));
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += is_open(fd);
	return count;
}

static void descriptors_come_with_requests_and_none_is_lost(void **state)
{
	struct stillvm *s = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fds[3] = {image(IMAGE_BYTES, O_RDWR), image(IMAGE_BYTES, O_RDWR),
		      image(IMAGE_BYTES, O_RDWR)};
	struct turns turns = {.s = s, .left = 5};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned before = open_descriptors();
	struct control *control;
	char text[1024] = "";
	struct failure f;

	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/storage_test.%d", (int)getpid());
	assert_int_equal(control_new(address.sun_path, &s->vm, &control, &f), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	send_with(fd, "{\"verb\":\"disk-add\"}\n{\"verb\":\"disk-add\"}\n", fds, 1);
	send_with(fd, "{\"verb\":\"guest\"}\n", fds, 3);     /* more than one: all are closed */
	send_with(fd, "{\"verb\":\"guest\"}\n", fds + 1, 1); /* nobody takes it */
	assert_int_equal(loop_run(s->vm.loop, count_down, &turns), 0);
	assert_true(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(text,
			    "{\"ok\":true,\"result\":{\"controller\":0,\"lun\":0}}\n"
			    "{\"ok\":false,\"error\":\"no descriptor of an image came with the "
			    "request\"}\n"
			    "{\"ok\":true,\"result\":{}}\n{\"ok\":true,\"result\":{}}\n");
	control_free(control);
	assert_done(s, "{\"verb\":\"disk-remove\",\"lun\":0}", -1,
		    "{\"ok\":true,\"result\":{\"done\":true}}");
	assert_int_equal(open_descriptors(), before);
	close(fd);
	for (unsigned i = 0; i < 3; i++)
		close(fds[i]);
}

/* --- a disk that hangs: its request is at the kernel, and nobody takes the answer --- */

static void on_read(struct block_request *req, int result)
{
	*(int *)req->owner = result;
}

/* What the loop does before it waits, `seconds` later each time. */
static void look_again(struct stillvm *s, unsigned times, unsigned seconds)
{
	static uint64_t later_ns;

	for (unsigned i = 0; i < times; i++) {
		storage_watch(&s->vm.storage);
		later_ns += seconds * UINT64_C(1000000000);
		timerq_run(loop_timers(s->vm.loop), loop_now_ns() + later_ns);
	}
	storage_watch(&s->vm.storage);
}

static void disk_that_hangs_is_told_once_and_its_answer_too(void **state)
{
	struct stillvm *s = *state;
	static uint8_t sector[4096] __attribute__((aligned(4096)));
	struct iovec iov = {sector, sizeof(sector)};
	int result = 1;
	struct block_request read = {.op = BLOCK_READ,
				     .len = sizeof(sector),
				     .iov = &iov,
				     .iov_count = 1,
				     .done = on_read,
				     .owner = &result};
	const struct blockdev *dev;

	s->config.disk_timeout_s = 60;
	assert_done(s, "{\"verb\":\"disk-add\",\"path\":\"slow\"}", image(IMAGE_BYTES, O_RDWR),
		    "{\"ok\":true,\"result\":{\"controller\":0,\"lun\":0}}");
	look_again(s, 20, 20); /* nothing is under way: it may be silent */
	assert_int_equal(failures, 0);
	dev = raw_blockdev(s->vm.storage.controller[0]->place[0].image);
	assert_int_equal(block_submit(dev, &read), 0);
	block_kick(dev);
	look_again(s, 4, 15);
	assert_int_equal(failures, 0);
	look_again(s, 20, 15);
	assert_int_equal(failures, 1);
	assert_true(failure_hangs);
	assert_string_equal(failure_text, "the disk slow has not answered for 60 s");
	assert_int_equal(answers, 0);
	storage_retry(&s->vm.storage); /* somebody resumes it all the same: the time runs anew */
	look_again(s, 20, 15);
	assert_int_equal(failures, 2);
	storage_drain(&s->vm.storage);
	assert_int_equal(result, 0);
	storage_watch(&s->vm.storage);
	storage_watch(&s->vm.storage);
	assert_int_equal(answers, 1);
}

static void disk_that_may_report_errors_may_hang(void **state)
{
	struct stillvm *s = *state;
	int result = 1;
	struct block_request flush = {.op = BLOCK_FLUSH, .done = on_read, .owner = &result};
	const struct blockdev *dev;

	s->config.disk_timeout_s = 60;
	assert_done(s, "{\"verb\":\"disk-add\",\"on_error\":\"report\"}",
		    image(IMAGE_BYTES, O_RDWR),
		    "{\"ok\":true,\"result\":{\"controller\":0,\"lun\":0}}");
	dev = raw_blockdev(s->vm.storage.controller[0]->place[0].image);
	assert_int_equal(block_submit(dev, &flush), 0);
	block_kick(dev);
	look_again(s, 20, 15);
	assert_int_equal(failures, 0);
	storage_drain(&s->vm.storage);
	assert_int_equal(result, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(disks_are_added_listed_and_removed),
		TEST(what_cannot_be_added_is_told_and_closed),
		TEST(media_change),
		TEST(descriptors_come_with_requests_and_none_is_lost),
		TEST(disk_that_hangs_is_told_once_and_its_answer_too),
		TEST(disk_that_may_report_errors_may_hang),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
