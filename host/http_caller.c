/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who has connected, and whether there is room for one more.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "host/http_impl.h"

#define GROUPS_MAX 256

enum http_role http_role_of(void *owner, const struct http_caller *caller,
			    const char *authorization, struct http_identity *ret_identity)
{
	(void)owner;
	(void)authorization;
	(void)ret_identity;
	if (caller->remote)
		return HTTP_UNKNOWN;
	return caller->uid == 0 || caller->in_group ? HTTP_ADMINISTRATOR : HTTP_STRANGER;
}

const char *http_caller_text(const struct http_caller *caller, char text[HTTP_CALLER_TEXT_MAX])
{
	if (caller->remote)
		snprintf(text, HTTP_CALLER_TEXT_MAX, "%s", caller->address);
	else
		snprintf(text, HTTP_CALLER_TEXT_MAX, "uid %u", caller->uid);
	return text;
}

/* The groups beside the first one, as a copy; NULL in *ret_groups: none. */
static int ask_groups(int fd, gid_t **ret_groups, unsigned *ret_count)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(groups);

	*ret_groups = NULL;
	*ret_count = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0 || !len)
		return 0; /* more than anybody has: they give no access */
	*ret_groups = malloc(len);
	if (!*ret_groups)
		return -ENOMEM;
	memcpy(*ret_groups, groups, len);
	*ret_count = (unsigned)(len / sizeof(gid_t));
	return 0;
}

int http_caller_ask(int fd, gid_t group, struct http_caller *ret_caller, gid_t **ret_groups)
{
	struct http_caller caller = {.remote = false};
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	if (ask_groups(fd, ret_groups, &caller.group_count) < 0)
		return -ENOMEM;
	caller.uid = peer.uid;
	caller.gid = peer.gid;
	caller.pid = peer.pid;
	caller.peer = peer.uid;
	caller.groups = *ret_groups;
	if (group != (gid_t)-1) {
		caller.in_group = peer.gid == group;
		for (unsigned i = 0; i < caller.group_count; i++)
			caller.in_group = caller.in_group || caller.groups[i] == group;
	}
	*ret_caller = caller;
	return 0;
}

int http_caller_ask_remote(int fd, struct http_caller *ret_caller)
{
	struct http_caller caller = {.remote = true, .uid = (uid_t)-1, .gid = (gid_t)-1};
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} peer;
	socklen_t len = sizeof(peer);
	const uint8_t *bytes = peer.v6.sin6_addr.s6_addr;
	uint32_t v4;

	if (getpeername(fd, &peer.any, &len) < 0)
		return -errno;
	if (peer.any.sa_family == AF_INET) {
		caller.peer = peer.v4.sin_addr.s_addr;
		inet_ntop(AF_INET, &peer.v4.sin_addr, caller.address, sizeof(caller.address));
	} else if (peer.any.sa_family != AF_INET6) {
		return -EAFNOSUPPORT;
	} else if (IN6_IS_ADDR_V4MAPPED(&peer.v6.sin6_addr)) {
		memcpy(&v4, bytes + 12, sizeof(v4));
		caller.peer = v4;
		inet_ntop(AF_INET, &v4, caller.address, sizeof(caller.address));
	} else {
		memcpy(&caller.peer, bytes, sizeof(caller.peer));
		inet_ntop(AF_INET6, &peer.v6.sin6_addr, caller.address, sizeof(caller.address));
	}
	*ret_caller = caller;
	return 0;
}

bool http_make_room(struct http *h, bool outsiders_only)
{
	for (struct list *at = h->waiting.next; at != &h->waiting; at = at->next) {
		struct http_connection *c = CONTAINER_OF(at, struct http_connection, waiting);

		if ((c->x && c->x->begun) || (outsiders_only && !c->outsider))
			continue;
		http_cut(c);
		return true;
	}
	return false;
}

const char *http_make_room_for(struct http *h, const struct http_caller *caller, bool outsider)
{
	unsigned of_peer = 0, outsiders = 0, all = 0;
	bool is_root = !caller->remote && caller->uid == 0;

	for (struct list *at = h->connections.next; at != &h->connections; at = at->next) {
		struct http_connection *c = CONTAINER_OF(at, struct http_connection, all);

		if (c->condemned)
			continue;
		all++;
		outsiders += c->outsider;
		of_peer += c->caller.remote == caller->remote && c->caller.peer == caller->peer;
	}
	if (!is_root && of_peer >= h->config.user_connections_max)
		return "it has too many connections";
	if (h->count >= h->config.connections_max + HTTP_CLOSING_MAX)
		return "there are too many connections";
	/* Half is left to those of whom the kernel tells that they may be here. */
	if (outsider && outsiders >= h->config.connections_max / 2 && !http_make_room(h, true))
		return "there are too many connections of strangers, all of them busy";
	if (all >= h->config.connections_max && !http_make_room(h, false))
		return "there are too many connections, all of them busy";
	return NULL;
}
