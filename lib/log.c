/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#define LOG_LINE_MAX 1024
#define LOG_FIELDS_MAX 256

static const char *log_program = "oya";
static enum log_level log_max = LOG_LEVEL_INFO;
static bool log_journal;

/* The variable is inherited by whole desktop sessions: it counts only while it names the file that
 * standard error is. */
static bool stderr_is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return text && sscanf(text, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_init(const char *program, enum log_level max)
{
	log_program = program;
	log_max = max;
	log_journal = stderr_is_journal();
}

/* Control characters come from guests and files: they become question marks. */
static void make_printable(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
	}
}

/* A terminal that is raw, since it is a VM's console too, does not return the carriage. */
static const char *line_end(void)
{
	struct termios t;

	return tcgetattr(STDERR_FILENO, &t) == 0 && !(t.c_oflag & OPOST) ? "\r\n" : "\n";
}

/* By the journal's own protocol, a datagram of lines. False: it does not take it. */
static bool send_with_fields(enum log_level level, const char *fields, const char *text)
{
	const struct sockaddr_un journal = {.sun_family = AF_UNIX,
					    .sun_path = "/run/systemd/journal/socket"};
	char message[LOG_LINE_MAX + LOG_FIELDS_MAX + 128];
	int len = snprintf(message, sizeof(message),
			   "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nMESSAGE=%s\n%s\n", (int)level,
			   log_program, text, fields);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool sent = false;

	if (fd < 0)
		return false;
	if (len > 0 && (size_t)len < sizeof(message))
		sent = sendto(fd, message, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL,
			      (const struct sockaddr *)&journal, sizeof(journal)) == len;
	close(fd);
	return sent;
}

/* `fields` may be NULL. */
__attribute__((format(printf, 3, 0))) static void
write_line(enum log_level level, const char *fields, const char *format, va_list args)
{
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX + 64];
	int len;

	if (level > log_max)
		return;
	vsnprintf(text, sizeof(text), format, args);
	make_printable(text);
	if (log_journal && fields && send_with_fields(level, fields, text))
		return;
	if (log_journal)
		len = snprintf(line, sizeof(line), "<%d>%s\n", (int)level, text);
	else
		len = snprintf(line, sizeof(line), "%s: %s%s", log_program, text, line_end());
	/* One write, so that lines of several threads do not mix; nothing is to be done when
	 * standard error is gone. */
	if (len > 0 && write(STDERR_FILENO, line, (size_t)len) < 0)
		return;
}

void log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(level, NULL, format, args);
	va_end(args);
}

void log_line_of(enum log_level level, const char *fields, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(level, fields, format, args);
	va_end(args);
}

bool log_limit_pass(struct log_limit *l, uint64_t now_ns, unsigned *ret_suppressed)
{
	*ret_suppressed = 0;
	if (now_ns - l->begun_ns >= l->period_ns) {
		*ret_suppressed = l->suppressed;
		l->begun_ns = now_ns;
		l->passed = l->suppressed = 0;
	}
	if (l->passed >= l->burst) {
		l->suppressed++;
		return false;
	}
	l->passed++;
	return true;
}
