/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/move_message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/crc32c.h"

static int lost(struct failure *f, int code)
{
	return fail(f, code ? -code : -ECONNRESET, "the connection to the other host has ended%s%s",
		    code ? ": " : "", code ? strerror(code) : "");
}

int move_send(int fd, enum move_kind kind, uint64_t value, const char *text, struct failure *f)
{
	uint8_t bytes[MOVE_HEAD_BYTES + MOVE_TEXT_MAX] = {0};
	size_t len = text ? strnlen(text, MOVE_TEXT_MAX) : 0, at = 0;

	le32_store(bytes, MOVE_MAGIC);
	le32_store(bytes + 4, kind);
	le64_store(bytes + 8, value);
	le32_store(bytes + 16, (uint32_t)len);
	le32_store(bytes + 20, crc32c(0, bytes, 20));
	if (len)
		memcpy(bytes + MOVE_HEAD_BYTES, text, len);
	len += MOVE_HEAD_BYTES;
	while (at < len) {
		ssize_t n = send(fd, bytes + at, len - at, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return lost(f, errno);
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int receive_all(int fd, void *to, size_t len, struct failure *f)
{
	uint8_t *at = to;

	while (len) {
		ssize_t n = recv(fd, at, len, 0);

		if (n == 0 || (n < 0 && errno != EINTR))
			return lost(f, n < 0 ? errno : 0);
		at += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int move_receive(int fd, struct move_message *ret_message, struct failure *f)
{
	uint8_t head[MOVE_HEAD_BYTES];
	struct move_message m = {0};
	uint32_t len;
	int r = receive_all(fd, head, sizeof(head), f);

	if (r < 0)
		return r;
	m.kind = le32_load(head + 4);
	m.value = le64_load(head + 8);
	len = le32_load(head + 16);
	if (le32_load(head) != MOVE_MAGIC || le32_load(head + 20) != crc32c(0, head, 20) ||
	    !m.kind || m.kind >= MOVE_KINDS || len > MOVE_TEXT_MAX)
		return fail(f, -EBADMSG, "the other host has sent what is no message");
	r = receive_all(fd, m.text, len, f);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < len; i++) { /* it goes to logs and terminals */
		if ((unsigned char)m.text[i] < 0x20 || m.text[i] == 0x7f)
			m.text[i] = '?';
	}
	*ret_message = m;
	return 0;
}
