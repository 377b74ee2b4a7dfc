/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/peer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/process.h"

/* ---- how it is written ---- */

static bool is_port(const char *text)
{
	size_t len = strspn(text, "0123456789");
	long port = len && len <= 5 && !text[len] ? strtol(text, NULL, 10) : 0;

	return port > 0 && port <= 65535;
}

/* A name or an address, which is handed to the resolver. */
static bool is_address(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:%_",
			    text[i]))
			return false;
	}
	return len && len <= PEER_NAME_MAX && text[0] != '-';
}

int peer_decode_name(const char *where, struct peer *ret_peer, struct failure *f)
{
	bool bracket = where[0] == '[';
	const char *begin = where + bracket, *colon = strrchr(where, ':'), *port = PEER_PORT;
	const char *end = bracket ? strchr(begin, ']') : NULL;
	struct peer e = {.fingerprint = ""};
	size_t len;

	if (!bracket && colon && strchr(where, ':') == colon)
		end = colon;
	len = end ? (size_t)(end - begin) : strlen(begin);
	if (end)
		end += bracket;
	if (end && *end == ':')
		port = end + 1;
	else if (end && *end)
		port = "";
	if ((bracket && !end) || !is_address(begin, len) || !is_port(port))
		return fail(f, -EINVAL,
			    "'%.80s' is no ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT of a host",
			    where);
	memcpy(e.address, begin, len);
	snprintf(e.port, sizeof(e.port), "%s", port);
	snprintf(e.name, sizeof(e.name), strchr(e.address, ':') ? "[%s]:%s" : "%s:%s", e.address,
		 e.port);
	*ret_peer = e;
	return 0;
}

bool peer_decode_fingerprint(const char *text, char ret_text[PEER_FINGERPRINT_LEN + 1])
{
	size_t len = 0;

	if (strncasecmp(text, "sha256", 6) == 0)
		text += 6 + strspn(text + 6, ":= ");
	for (; *text; text++) {
		if (*text == ':' || *text == ' ')
			continue;
		if (len == PEER_FINGERPRINT_LEN || !strchr("0123456789abcdefABCDEF", *text))
			return false;
		ret_text[len++] = *text >= 'A' && *text <= 'F' ? (char)(*text | 0x20) : *text;
	}
	ret_text[len] = '\0';
	return len == PEER_FINGERPRINT_LEN;
}

bool peer_token_allowed(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	}
	return len && len <= PEER_TOKEN_MAX;
}

/* ---- oya-tls ---- */

int peer_start(const char *helper, const struct peer *peer, int plain, int words, pid_t *ret_pid,
	       struct failure *f)
{
	const char *const arguments[] = {peer->address, peer->port, peer->fingerprint, NULL};
	/* Of its own session: a stream that was handed on outlives who began it. */
	const struct process_wish wish = {.program = helper,
					  .arguments = arguments,
					  .in = plain,
					  .out = words,
					  .errors = -1,
					  .session = true};
	int r = process_start(&wish, ret_pid);

	return r < 0 ? fail(f, r, "cannot start %s: %s", helper, strerror(-r)) : 0;
}

void peer_close(int plain, pid_t pid)
{
	close(plain);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* What is behind the word, or NULL when it begins with another. */
static const char *behind(const char *words, const char *word)
{
	size_t len = strlen(word);

	return strncmp(words, word, len) == 0 ? words + len : NULL;
}

int peer_decode_words(const struct peer *peer, const char *words, struct failure *f)
{
	const char *rest;

	if (strcmp(words, "good") == 0)
		return 0;
	if ((rest = behind(words, "changed ")))
		return fail(f, -EPERM,
			    "the certificate of %s is another one: SHA256 %.80s in place of %s; "
			    "somebody may be between you and the host. If it has been made anew, "
			    "compare them and use 'oya host trust %s'",
			    peer->name, rest, peer->fingerprint, peer->name);
	if ((rest = behind(words, "failed ")))
		return fail(f, -EIO, "cannot connect to %s: %s", peer->name, rest);
	return fail(f, -EIO, "cannot connect to %s: oya-tls has ended without a word", peer->name);
}

bool peer_decode_new(const char *words, char ret_text[PEER_FINGERPRINT_LEN + 1])
{
	const char *rest = behind(words, "new ");

	return rest && peer_decode_fingerprint(rest, ret_text);
}
