/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "import/confine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "import/plan.h"

static sigset_t ends;   /* signals that end us, and the end of a child */
static sigset_t before; /* the mask that we were started with */

void confined_prepare(void)
{
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGHUP);
	sigaddset(&ends, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ends, &before);
	/* What a confined process leaves behind when it is killed comes to us, to be awaited. */
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	/* Without oyad nobody takes what is made. */
	prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
}

const sigset_t *confined_mask(void)
{
	return &before;
}

_Noreturn static void inside(const struct confine_rules *rules, pid_t parent,
			     int (*step)(void *ctx, struct failure *f), void *ctx,
			     struct failure *f)
{
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(1);
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGPIPE, SIG_DFL); /* whoever reads our progress is gone: then this ends */
	r = confine(rules, f);
	if (r == 0)
		r = step(ctx, f);
	if (r == 0 && (fflush(stdout) != 0 || ferror(stdout)))
		r = fail(f, -EIO, "cannot write to the standard output");
	_exit(r == 0 ? 0 : 1);
}

/* Its status; -ECANCELED when we are told to end, and have ended it. */
static int await(pid_t pid, int *ret_status)
{
	bool told = false;
	int status = 0, number;
	pid_t gone;

	while ((gone = waitpid(pid, &status, WNOHANG)) == 0) {
		number = sigwaitinfo(&ends, NULL);
		if (number < 0 || number == SIGCHLD)
			continue;
		told = true;
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		break;
	}
	/* What it had started is killed with it by the kernel. */
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	*ret_status = status;
	return told ? -ECANCELED : gone < 0 ? -ECHILD : 0;
}

static int told_how_it_ended(int status, struct failure *f)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
		return fail(f, -ETIME,
			    "the import took more processor time than it may: its input is "
			    "damaged, or made to take long");
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ)
		return fail(f, -EFBIG, "the import may not write files that large here");
	if (WIFSIGNALED(status))
		return fail(f, -EIO,
			    "the import's confined process was ended by signal %d: its input is "
			    "damaged, or made to break it",
			    WTERMSIG(status));
	if (f->text[0])
		return -EIO;
	return fail(f, -EIO, "the import's confined process failed without a word");
}

int confined_run(const struct confine_rules *rules, int (*step)(void *ctx, struct failure *f),
		 void *ctx, struct failure *f)
{
	struct failure *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid, self = getpid();
	int status = 0, r;

	if (shared == MAP_FAILED)
		return fail(f, -ENOMEM, "cannot begin the import: out of memory");
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		inside(rules, self, step, ctx, shared);
	if (pid < 0) {
		r = fail(f, -errno, "cannot begin the import: %s", strerror(errno));
	} else {
		r = await(pid, &status);
		memcpy(f, shared, sizeof(*f));
		f->text[FAIL_TEXT_MAX - 1] = '\0';
		text_clean(f->text);
		if (r == -ECANCELED)
			fail(f, r, "the import was told to end");
		else if (r < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
			r = told_how_it_ended(status, f);
	}
	munmap(shared, sizeof(*shared));
	return r;
}
