/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile host at a client of its API: the input is the head of an answer; what oya-tls says of
 * it; and the name of a host.
 *
 * Checked: a head that is taken ends with an empty line within the bytes, is not taken of less of
 * them, and its values are texts within their bounds; words become the good connection, a
 * fingerprint or a sentence; a name that is taken has parts that can be written as it again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/harness.h"
#include "lib/ask.h"
#include "lib/peer.h"

static void check_head(const char *bytes, size_t size)
{
	struct ask_head head = {.status = 7}, less = {.status = 7};
	ssize_t n = ask_decode_head(bytes, size, &head);

	must(n == -EBADMSG || (n >= 0 && (size_t)n <= size));
	if (n <= 0) {
		must(head.status == 7);
		return;
	}
	must(n >= 4 && memcmp(bytes + n - 4, "\r\n\r\n", 4) == 0);
	must(head.status >= 100 && head.status <= 999 && head.length >= -1);
	must(memchr(head.etag, 0, sizeof(head.etag)) && memchr(head.type, 0, sizeof(head.type)));
	must(n > (ssize_t)ASK_HEAD_MAX || ask_decode_head(bytes, (size_t)n - 1, &less) == 0);
	must(less.status == 7);
	fuzz_tell(&head.status, sizeof(head.status));
	fuzz_tell(&head.length, sizeof(head.length));
}

static void check_peer(const char *text)
{
	char fingerprint[PEER_FINGERPRINT_LEN + 1];
	struct peer peer, again;
	struct failure f = {""};

	if (peer_decode_name(text, &peer, &f) == 0) {
		must(peer_decode_name(peer.name, &again, &f) == 0);
		must(strcmp(again.name, peer.name) == 0 &&
		     strcmp(again.address, peer.address) == 0);
		must(strcmp(again.port, peer.port) == 0);
		must(peer_decode_words(&peer, text, &f) == (strcmp(text, "good") ? -EIO : 0) ||
		     strncmp(text, "changed ", 8) == 0);
	} else {
		must(f.text[0]);
	}
	if (peer_decode_fingerprint(text, fingerprint) || peer_decode_new(text, fingerprint))
		must(strlen(fingerprint) == PEER_FINGERPRINT_LEN &&
		     strspn(fingerprint, "0123456789abcdef") == PEER_FINGERPRINT_LEN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	check_head(text, size);
	check_peer(text);
	free(text);
	return 0;
}
