/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded into oyad: the process is killed before the nth call that changes a folder or flushes,
 * counted over all threads from when the file OYA_DIE_FILE is there, whose text is n; or, with the
 * text "fail n", that call fails with EIO and removes the file.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether the call is to fail. */
static bool count(void)
{
	static unsigned calls;
	const char *path = getenv("OYA_DIE_FILE");
	char text[16] = "";
	bool fails;
	int fd;

	/* Its workers have it too, and go on. */
	if (!path || strcmp(program_invocation_short_name, "oyad") != 0)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		__atomic_store_n(&calls, 0, __ATOMIC_SEQ_CST);
		return false;
	}
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	fails = strncmp(text, "fail ", 5) == 0;
	if (__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) !=
	    strtoul(text + (fails ? 5 : 0), NULL, 10))
		return false;
	if (!fails)
		kill(getpid(), SIGKILL);
	syscall(SYS_unlink, path); /* not by the names below */
	errno = EIO;
	return true;
}

#define CALL(name, arguments, ...)                              \
	int name arguments                                      \
	{                                                       \
		int(*real) arguments = dlsym(RTLD_NEXT, #name); \
                                                                \
		return count() ? -1 : real(__VA_ARGS__);        \
	}

CALL(fsync, (int fd), fd)
CALL(fdatasync, (int fd), fd)
CALL(ftruncate, (int fd, off_t length), fd, length)
CALL(mkdir, (const char *path, mode_t mode), path, mode)
CALL(rename, (const char *from, const char *to), from, to)
CALL(renameat2, (int a, const char *from, int b, const char *to, unsigned flags), a, from, b, to,
     flags)
CALL(unlink, (const char *path), path)
CALL(unlinkat, (int at, const char *path, int flags), at, path, flags)
CALL(rmdir, (const char *path), path)
CALL(remove, (const char *path), path)
