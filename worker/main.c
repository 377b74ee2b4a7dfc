/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * oya-worker: one virtual machine, from a configuration to its end.
 * Exit status: 0 the guest powered off or was switched off, 1 it failed, 2 wrong use.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/util.h"
#include "lib/log.h"
#include "worker/control.h"
#include "worker/cpuid_baseline.h"
#include "worker/partition.h"
#include "worker/sandbox.h"
#include "worker/vm.h"

#define STACK_SIZE ((size_t)256 << 10) /* bytes, of each thread but the first */

static const char usage[] = "usage: oya-worker --config FILE|- [--debug | --check]\n"
			    "       oya-worker --processor | --sandbox | --version\n";

struct signals {
	int fd;
	struct vm *vm;
	struct loop_source source;
};

/* SIGTERM, SIGINT and SIGHUP switch the VM off. */
static void on_signal(void *owner, uint32_t events)
{
	struct signals *s = owner;
	struct signalfd_siginfo info;

	(void)events;
	if (read(s->fd, &info, sizeof(info)) == sizeof(info))
		vm_request_stop(s->vm, info.ssi_signo == SIGINT ? "interrupted" : "terminated");
}

/* SIGTERM, SIGINT and SIGHUP come through the loop; a vanished reader of the console is no reason
 * to end. Before any thread is made, so that all inherit the mask. */
static int take_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* One line in the file that was opened at the start; an empty one tells that we were killed. */
static void tell_end(int fd, const char *result, const char *why, json_t *migrate)
{
	json_t *text = json_string(why), *end;

	if (!text) /* cut within a character */
		text = json_string("");
	end = json_pack("{s:i, s:s, s:o, s:O?}", "version", 1, "result", result, "reason", text,
			"migrate", migrate);
	if (!end || json_dumpfd(end, fd, JSON_COMPACT) < 0 || write(fd, "\n", 1) != 1)
		log_line(LOG_LEVEL_WARNING, "cannot write how the VM ended: %s", strerror(errno));
	json_decref(end);
}

/* For memory that cannot be had. */
struct loss {
	int end_fd;
	struct vm *vm;
	struct control *control; /* NULL: none, or it has gone */
	pthread_mutex_t lock;    /* of that */
};

/* Whoever waits for the memory must not go on, and so nobody is asked to end. */
static void on_lost(void *owner, const char *sentence)
{
	struct loss *loss = owner;

	log_line(LOG_LEVEL_ERROR, "%s", sentence);
	if (loss->end_fd >= 0)
		tell_end(loss->end_fd, "failed", sentence, NULL);
	console_forget(loss->vm->console);
	pthread_mutex_lock(&loss->lock);
	if (loss->control)
		control_forget(loss->control);
	_exit(EXIT_FAILURE);
}

/* The VM with what asks it to do things from outside: signals and the control socket. */
static int run_vm(struct vm *vm, const struct config *config, int signal_fd, struct loss *loss,
		  struct failure *f)
{
	struct signals signals = {.fd = signal_fd, .vm = vm};
	struct control *control = NULL;
	int r = 0;

	pthread_mutex_lock(&vm->lock);
	if (config->control_path)
		r = control_new(config->control_path, vm, &control, f);
	loss->control = control;
	if (r == 0) {
		r = loop_add(vm->loop, &signals.source, signals.fd, EPOLLIN, on_signal, &signals);
		if (r == 0)
			r = loop_keep(&signals.source);
		if (r < 0)
			fail(f, r, "cannot take signals: %s", strerror(-r));
	}
	pthread_mutex_unlock(&vm->lock);
	if (r == 0 && config->sandbox) {
		int folders[] = {console_socket_folder(vm->console),
				 control ? control_socket_folder(control) : -1};

		r = sandbox_enter(folders, ARRAY_LEN(folders), config->user, f);
	}
	if (r == 0)
		r = vm_run(vm, f);
	pthread_mutex_lock(&loss->lock);
	loss->control = NULL;
	pthread_mutex_unlock(&loss->lock);
	pthread_mutex_lock(&vm->lock); /* its processors may not have ended yet */
	control_free(control);
	pthread_mutex_unlock(&vm->lock);
	return r;
}

static int open_end(const struct config *config, struct failure *f)
{
	int fd = open(config->end_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), r;

	/* Who holds the lock is alive, and nobody else runs this VM meanwhile. */
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && ftruncate(fd, 0) == 0)
		return fd;
	r = -errno;
	if (fd >= 0)
		close(fd);
	if (r == -EWOULDBLOCK)
		return fail(f, r, "the VM '%s' runs already: its worker holds %s", config->name,
			    config->end_path);
	return fail(f, r, "cannot write %s, for how the VM '%s' ends: %s", config->end_path,
		    config->name, strerror(-r));
}

static int run(const struct config *config)
{
	struct failure f = {"unknown"};
	int signal_fd = take_signals(), end_fd = -1, r = 0;
	json_t *migrate = NULL; /* how it went, of a VM that has moved */
	char reason[sizeof(((struct vm *)NULL)->reason)] = "";
	struct loss loss = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct vm *vm;

	if (config->end_path)
		r = end_fd = open_end(config, &f);
	if (r >= 0)
		r = vm_new(config, &vm, &f);
	if (r == 0) {
		loss.end_fd = end_fd;
		loss.vm = vm;
		vm_on_lost(vm, on_lost, &loss);
		r = run_vm(vm, config, signal_fd, &loss, &f);
		memcpy(reason, vm->reason, sizeof(reason));
		if (r == 0 && vm->migration.progress.phase == MIGRATE_DONE)
			migrate = migrate_status(vm);
		vm_free(vm);
	}
	if (signal_fd >= 0)
		close(signal_fd);
	if (r < 0)
		log_line(LOG_LEVEL_ERROR, "%s", f.text);
	if (end_fd >= 0) {
		tell_end(end_fd,
			 r < 0     ? "failed"
			 : migrate ? "moved"
				   : "off",
			 r < 0 ? f.text : reason, migrate);
		close(end_fd);
	}
	json_decref(migrate);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The default of 8 MiB attracts a huge page for each stack where the host gives them to all memory,
 * more than all else that a VM costs beside its RAM. */
static void keep_stacks_small(void)
{
	pthread_attr_t attr;

	if (pthread_attr_init(&attr) != 0)
		return;
	if (pthread_attr_setstacksize(&attr, STACK_SIZE) == 0)
		pthread_setattr_default_np(&attr);
	pthread_attr_destroy(&attr);
}

/* Heaps of threads ask a file of /proc whether they may shrink, for which the sandbox would end the
 * worker. */
static void keep_one_heap(void)
{
	(void)mallopt(M_ARENA_MAX, 1);
}

/* What a guest can have here, for a baseline (docs/format/processor.md). */
static int print_processor(void)
{
	const struct cpuid_wish wish = {.topology = NULL};
	struct kvm_cpuid2 *list = NULL;
	struct processor p;
	struct failure f;
	json_t *object = NULL;
	int fd = -1, r = partition_open_device(NULL, &fd, &f);

	log_init("oya-worker", LOG_LEVEL_INFO);
	if (r == 0)
		r = partition_cpuid(fd, &wish, &list, &f);
	if (r == 0) {
		cpuid_describe(list, &p);
		processor_settle(&p);
		object = processor_encode(&p);
		if (!object || json_dumpf(object, stdout, JSON_COMPACT) < 0 || puts("") < 0)
			r = fail(&f, -EIO, "cannot print the processor");
	}
	if (r < 0)
		log_line(LOG_LEVEL_ERROR, "%s", f.text);
	json_decref(object);
	free(list);
	if (fd >= 0)
		close(fd);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"debug", no_argument, NULL, 'd'},
		{"check", no_argument, NULL, 'k'},        {"processor", no_argument, NULL, 'p'},
		{"sandbox", no_argument, NULL, 's'},      {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},      {0},
	};
	enum log_level level = LOG_LEVEL_INFO;
	const char *path = NULL;
	bool check_only = false;
	struct config *config;
	struct failure f;
	int option, status;

	while ((option = getopt_long(argc, argv, "c:dhkpsV", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			path = optarg;
			break;
		case 'd': /* what the firmware has to say as well */
			level = LOG_LEVEL_DEBUG;
			break;
		case 'k': /* whether the configuration can be used, as far as it says itself */
			check_only = true;
			break;
		case 'p':
			return print_processor();
		case 's':
			sandbox_print(stdout);
			return EXIT_SUCCESS;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("oya-worker " OYA_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (!path || optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	log_init("oya-worker", level);
	keep_stacks_small();
	keep_one_heap();
	if (config_load(path, &config, &f) < 0) {
		log_line(LOG_LEVEL_ERROR, "%s", f.text);
		return EXIT_FAILURE;
	}
	status = check_only ? EXIT_SUCCESS : run(config);
	config_free(config);
	return status;
}
