/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Listening sockets on the file system. Our header comes first: fail() is a macro of cmocka.h. */
#include "lib/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define UNTOUCHED (-77)

struct fixture {
	char folder[64];
	char path[96];
	struct failure failure;
	struct listener l;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f)
		return -1;
	strcpy(f->folder, "/tmp/oya-listen-XXXXXX");
	if (!mkdtemp(f->folder))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/socket", f->folder);
	f->l.fd = UNTOUCHED;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->l.fd >= 0)
		close(f->l.fd);
	unlink(f->path);
	rmdir(f->folder);
	free(f);
	return 0;
}

/* A connection to the path: 0 or -errno. */
static int reach(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	assert_true(fd >= 0);
	assert_true(strlen(path) < sizeof(address.sun_path));
	strcpy(address.sun_path, path);
	r = connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* The lowest free descriptor: the same before and after when none leaked. */
static int lowest_free_fd(void)
{
	int fd = 0;

	while (fcntl(fd, F_GETFD) >= 0)
		fd++;
	return fd;
}

static void socket_listens_and_is_its_owners_alone(void **state)
{
	struct fixture *f = *state;
	mode_t mask = umask(0);
	struct stat st;

	assert_int_equal(listen_unix(f->path, "control", &f->l, &f->failure), 0);
	assert_int_equal(umask(mask), 0); /* as it was */
	assert_int_equal(reach(f->path), 0);
	assert_int_equal(lstat(f->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(fcntl(f->l.fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(f->l.fd, F_GETFL) & O_NONBLOCK);
}

static void socket_without_a_listener_is_replaced(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(listen_unix(f->path, "control", &f->l, &f->failure), 0);
	close(f->l.fd);
	assert_int_equal(reach(f->path), -ECONNREFUSED);
	assert_int_equal(listen_unix(f->path, "control", &f->l, &f->failure), 0);
	assert_int_equal(reach(f->path), 0);
}

static void socket_in_use_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct listener second = {.fd = UNTOUCHED};
	int before;

	assert_int_equal(listen_unix(f->path, "control", &f->l, &f->failure), 0);
	before = lowest_free_fd();
	assert_int_equal(listen_unix(f->path, "control", &second, &f->failure), -EADDRINUSE);
	assert_int_equal(second.fd, UNTOUCHED);
	assert_int_equal(lowest_free_fd(), before);
	assert_non_null(strstr(f->failure.text, f->path));
	assert_non_null(strstr(f->failure.text, "control"));
	assert_int_equal(reach(f->path), 0);
}

static void other_kinds_of_file_are_left_alone(void **state)
{
	struct fixture *f = *state;
	int file = open(f->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
	struct stat st;

	assert_true(file >= 0);
	assert_int_equal(write(file, "mine", 4), 4);
	close(file);
	assert_int_equal(listen_unix(f->path, "console", &f->l, &f->failure), -EADDRINUSE);
	assert_int_equal(f->l.fd, UNTOUCHED);
	assert_int_equal(lstat(f->path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_size, 4);
}

static void link_to_a_socket_without_a_listener_is_left_alone(void **state)
{
	struct fixture *f = *state;
	char target[112];
	struct stat st;

	snprintf(target, sizeof(target), "%s.old", f->path);
	assert_int_equal(listen_unix(target, "console", &f->l, &f->failure), 0);
	close(f->l.fd);
	f->l.fd = UNTOUCHED;
	assert_int_equal(symlink(target, f->path), 0);
	assert_int_equal(listen_unix(f->path, "console", &f->l, &f->failure), -EADDRINUSE);
	assert_int_equal(lstat(f->path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	unlink(target);
}

static void path_of_the_largest_length_works_and_one_more_is_refused(void **state)
{
	struct fixture *f = *state;
	size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
	size_t len = (size_t)snprintf(path, sizeof(path), "%s/", f->folder);

	memset(path + len, 'n', sizeof(path) - len);
	path[room] = '\0';
	assert_int_equal(listen_unix(path, "control", &f->l, &f->failure), -ENAMETOOLONG);
	assert_non_null(strstr(f->failure.text, "longer than 107 characters"));
	path[room - 1] = '\0';
	assert_int_equal(listen_unix(path, "control", &f->l, &f->failure), 0);
	unlink(path);
}

static void missing_folder_is_told_in_a_sentence(void **state)
{
	struct fixture *f = *state;
	char path[128];
	int before = lowest_free_fd();

	snprintf(path, sizeof(path), "%s/absent/socket", f->folder);
	assert_int_equal(listen_unix(path, "control", &f->l, &f->failure), -ENOENT);
	assert_int_equal(f->l.fd, UNTOUCHED);
	assert_non_null(strstr(f->failure.text, path));
	assert_non_null(strstr(f->failure.text, "No such file"));
	assert_int_equal(lowest_free_fd(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IN_FOLDER(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		IN_FOLDER(socket_listens_and_is_its_owners_alone),
		IN_FOLDER(socket_without_a_listener_is_replaced),
		IN_FOLDER(socket_in_use_is_left_alone),
		IN_FOLDER(other_kinds_of_file_are_left_alone),
		IN_FOLDER(link_to_a_socket_without_a_listener_is_left_alone),
		IN_FOLDER(path_of_the_largest_length_works_and_one_more_is_refused),
		IN_FOLDER(missing_folder_is_told_in_a_sentence),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
