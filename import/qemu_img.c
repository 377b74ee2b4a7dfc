/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "import/qemu_img.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "import/confine.h"

#define OUT_MAX (1u << 20)
#define ERRORS_MAX 2048u
#define SECTOR 512u

/* One run of it. */
struct run {
	char *out; /* what it printed; NULL: progress */
	size_t out_len;
	char errors[ERRORS_MAX];
	size_t errors_len;
	void (*progress)(unsigned percent);
	unsigned percent;
	char line[64]; /* of its progress, so far */
	size_t line_len;
};

/* "json:{...}" with every layer's driver named; to be freed. NULL: out of memory, or not UTF-8. */
static char *image_name(const struct image *i)
{
	struct stat st;
	bool device = stat(i->path, &st) == 0 && S_ISBLK(st.st_mode);
	json_t *file = json_pack("{s:s, s:s}", "driver", device ? "host_device" : "file",
				 "filename", i->path),
	       *o;
	char *text, *name = NULL;

	/* A tar file is filled up to its blocks, so this is within it. */
	if (i->length)
		file = json_pack("{s:s, s:I, s:I, s:o}", "driver", "raw", "offset",
				 (json_int_t)i->offset, "size",
				 (json_int_t)align_up(i->length, SECTOR), "file", file);
	o = json_pack("{s:s, s:o}", "driver", format_word(i->format), "file", file);
	if (i->format == FORMAT_QCOW2)
		json_object_set_new(o, "backing", json_null());
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	if (text && asprintf(&name, "json:%s", text) < 0)
		name = NULL;
	free(text);
	json_decref(o);
	return name;
}

_Noreturn static void start(char *const argv[], const int out[2], const int errors[2], pid_t parent)
{
	char *env[] = {(char *)(uintptr_t) "LC_ALL=C", NULL};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(out[1], STDOUT_FILENO) < 0 || dup2(errors[1], STDERR_FILENO) < 0)
		_exit(126);
	sigprocmask(SIG_SETMASK, confined_mask(), NULL);
	confine_memory();
	execve(OYA_QEMU_IMG, argv, env);
	dprintf(STDERR_FILENO, "cannot run " OYA_QEMU_IMG ": %s\n", strerror(errno));
	_exit(127);
}

/* "    (12.34/100%)\r" */
static void take_progress(struct run *r, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const char *open;
		unsigned percent;

		if (bytes[i] != '\r' && bytes[i] != '\n') {
			if (r->line_len < sizeof(r->line) - 1)
				r->line[r->line_len++] = bytes[i];
			continue;
		}
		r->line[r->line_len] = '\0';
		r->line_len = 0;
		open = strchr(r->line, '(');
		percent = open ? (unsigned)strtoul(open + 1, NULL, 10) : 0;
		if (percent > r->percent && percent <= 100) {
			r->percent = percent;
			r->progress(percent);
		}
	}
}

static void take_out(struct run *r, const char *bytes, size_t len)
{
	if (!r->out) {
		take_progress(r, bytes, len);
		return;
	}
	if (len > OUT_MAX - r->out_len)
		len = OUT_MAX - r->out_len;
	memcpy(r->out + r->out_len, bytes, len);
	r->out_len += len;
}

static void take_errors(struct run *r, const char *bytes, size_t len)
{
	if (len > ERRORS_MAX - 1 - r->errors_len)
		len = ERRORS_MAX - 1 - r->errors_len;
	memcpy(r->errors + r->errors_len, bytes, len);
	r->errors_len += len;
}

/* Until both its streams end. */
static void listen_to(struct run *r, int out, int errors)
{
	struct pollfd fds[] = {{.fd = out, .events = POLLIN}, {.fd = errors, .events = POLLIN}};
	char bytes[4096];

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (poll(fds, 2, -1) < 0)
			continue;
		for (unsigned i = 0; i < 2; i++) {
			ssize_t n;

			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			n = read(fds[i].fd, bytes, sizeof(bytes));
			if (n <= 0)
				fds[i].fd = -1;
			else if (i == 0)
				take_out(r, bytes, (size_t)n);
			else
				take_errors(r, bytes, (size_t)n);
		}
	}
}

/* The last line of what it complained of, without its own name. */
static const char *complaint(struct run *r)
{
	char *line = r->errors, *last;

	while (r->errors_len > 0 && r->errors[r->errors_len - 1] == '\n')
		r->errors_len--;
	r->errors[r->errors_len] = '\0';
	last = strrchr(line, '\n');
	line = last ? last + 1 : line;
	return strncmp(line, "qemu-img: ", 10) == 0 ? line + 10 : line;
}

static int told(struct run *r, int status, const char *what, const char *path, struct failure *f)
{
	const char *why = complaint(r);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (strstr(r->errors, "No space left on device") || strstr(r->errors, "quota exceeded"))
		return fail(f, -ENOSPC, "cannot %s %s: no space is left", what, path);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ)
		return fail(f, -EFBIG, "cannot %s %s: files may not be that large here", what,
			    path);
	if (WIFSIGNALED(status))
		return fail(f, -EIO,
			    "cannot %s %s: qemu-img was ended by signal %d; the image is damaged, "
			    "or made to break it",
			    what, path, WTERMSIG(status));
	if (strstr(r->errors, "Failed to get shared") || strstr(r->errors, "Failed to lock"))
		return fail(f, -EBUSY, "cannot %s %s: it is in use; shut the old VM down first",
			    what, path);
	return fail(f, -EIO, "cannot %s %s: %.300s", what, path, *why ? why : "qemu-img failed");
}

static int run(struct run *r, char *const argv[], const char *what, const char *path,
	       struct failure *f)
{
	int out[2] = {-1, -1}, errors[2] = {-1, -1}, status = 0;
	pid_t pid = -1, self = getpid();

	if (pipe2(out, O_CLOEXEC) == 0 && pipe2(errors, O_CLOEXEC) == 0) {
		pid = fork();
		if (pid == 0)
			start(argv, out, errors, self);
	}
	if (out[1] >= 0)
		close(out[1]);
	if (errors[1] >= 0)
		close(errors[1]);
	if (pid > 0) {
		listen_to(r, out[0], errors[0]);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (out[0] >= 0)
		close(out[0]);
	if (errors[0] >= 0)
		close(errors[0]);
	if (pid < 0)
		return fail(f, -EAGAIN, "cannot %s %s: qemu-img cannot be started", what, path);
	return told(r, status, what, path, f);
}

/* What it finds is held against what we have refused already. */
static int decode_info(const struct image *i, const struct run *r, uint64_t *ret_bytes,
		       struct failure *f)
{
	json_t *o = json_loadb(r->out, r->out_len, 0, NULL);
	const char *format = json_string_value(json_object_get(o, "format"));
	json_int_t size = json_integer_value(json_object_get(o, "virtual-size"));
	int code = 0;

	if (!format || strcmp(format, format_word(i->format)) != 0 || size <= 0)
		code = fail(f, -EBADMSG, "qemu-img tells nothing of use about %s", i->path);
	else if (json_object_get(o, "backing-filename") ||
		 json_is_true(json_object_get(o, "encrypted")))
		code = fail(f, -EINVAL, "%s needs another image, or a key: make a whole one of it",
			    i->path);
	else
		*ret_bytes = (uint64_t)size;
	json_decref(o);
	return code;
}

int qemu_img_info(const struct image *i, uint64_t *ret_bytes, struct failure *f)
{
	char *name = image_name(i);
	char *argv[] = {(char *)(uintptr_t) "qemu-img", (char *)(uintptr_t) "info",
			(char *)(uintptr_t) "--output=json", name, NULL};
	struct run r = {.out = malloc(OUT_MAX)};
	int code;

	if (!name || !r.out)
		code = fail(f, -ENOMEM, "cannot look at %s: out of memory", i->path);
	else
		code = run(&r, argv, "look at", i->path, f);
	if (code == 0)
		code = decode_info(i, &r, ret_bytes, f);
	free(r.out);
	free(name);
	return code;
}

/* As a value of an option, where a comma stands for the next one. */
static char *target_name(const char *path)
{
	static const char begin[] = "driver=raw,file.driver=file,file.filename=";
	char *name = malloc(sizeof(begin) + 2 * strlen(path)), *to;

	if (!name)
		return NULL;
	to = stpcpy(name, begin);
	for (; *path; path++) {
		*to++ = *path;
		if (*path == ',')
			*to++ = ',';
	}
	*to = '\0';
	return name;
}

int qemu_img_convert(const struct image *i, const char *destination,
		     void (*progress)(unsigned percent), struct failure *f)
{
	char *name = image_name(i), *target = target_name(destination);
	char *argv[] = {(char *)(uintptr_t) "qemu-img",
			(char *)(uintptr_t) "convert",
			(char *)(uintptr_t) "-p",
			(char *)(uintptr_t) "-n",
			(char *)(uintptr_t) "--target-is-zero",
			(char *)(uintptr_t) "--target-image-opts",
			name,
			target,
			NULL};
	struct run r = {.progress = progress};
	int code;

	if (!name || !target)
		code = fail(f, -ENOMEM, "cannot convert %s: out of memory", i->path);
	else
		code = run(&r, argv, "convert", i->path, f);
	free(target);
	free(name);
	return code;
}
