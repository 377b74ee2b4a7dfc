/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host that joins, and the one that lets it in:
 *
 *	look -> ask -> note on the disk -> enter -> engine -> online -> list; the note goes
 *	        judge                      judge, list goes round, token used up
 *
 * Up to the note nothing has changed on either side. From there on, until the list is there, what
 * fails is undone: here, and by asking the other host to take this one out again; by a daemon that
 * comes back and finds the note, too.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "host/cluster_impl.h"
#include "host/settings.h"
#include "host/store.h"
#include "host/tls.h"
#include "host/vm.h"
#include "lib/fields.h"
#include "lib/log.h"

#define MEMBERS "/v1/cluster/members"
#define LOOK_US UINT64_C(1000000)
#define LOOKS_MAX 90u /* until the engine has this host online */
#define WORD_MAX 1024u

static int64_t now_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

/* ---- the token's word ---- */

char *cluster_write_token(const struct cluster *c, const char *token)
{
	const struct member *self = members_find_host(&c->members, &c->host->uuid);
	char address[2 * sizeof(self->peer.name) + 1] = "", *word;

	for (size_t i = 0; self && self->peer.name[i]; i++)
		sprintf(address + 2 * i, "%02x", (unsigned char)self->peer.name[i]);
	if (!self || asprintf(&word, CLUSTER_TOKEN_PREFIX "%s.%s.%s", address,
			      self->peer.fingerprint, token) < 0)
		return NULL;
	return word;
}

/* Two digits for each character; false: it is none. */
static bool decode_address(const char *text, size_t len, char *to, size_t room)
{
	unsigned byte;

	if (len % 2 || len / 2 >= room)
		return false;
	for (size_t i = 0; i < len / 2; i++) {
		if (sscanf(text + 2 * i, "%2x", &byte) != 1 || byte < ' ' || byte > '~')
			return false;
		to[i] = (char)byte;
	}
	to[len / 2] = '\0';
	return true;
}

static int decode_word(const char *word, struct peer *ret_peer, struct failure *f)
{
	size_t prefix = strlen(CLUSTER_TOKEN_PREFIX), len = strlen(word);
	const char *address = word + prefix, *dot, *second = NULL;
	char name[PEER_NAME_MAX + 16], digits[PEER_FINGERPRINT_LEN + 1];
	struct peer peer;

	dot = len < WORD_MAX && strncmp(word, CLUSTER_TOKEN_PREFIX, prefix) == 0
		      ? strchr(address, '.')
		      : NULL;
	second = dot ? strchr(dot + 1, '.') : NULL;
	if (!second || second - dot - 1 != PEER_FINGERPRINT_LEN ||
	    !decode_address(address, (size_t)(dot - address), name, sizeof(name)) ||
	    peer_decode_name(name, &peer, f) < 0 || !peer_token_allowed(second + 1))
		return fail(f, -EINVAL,
			    "this is no token of a cluster: 'oya cluster token' on one of its "
			    "hosts prints one");
	memcpy(digits, dot + 1, PEER_FINGERPRINT_LEN);
	digits[PEER_FINGERPRINT_LEN] = '\0';
	if (!peer_decode_fingerprint(digits, peer.fingerprint))
		return fail(f, -EINVAL, "the token has no fingerprint of the host that made it");
	snprintf(peer.token, sizeof(peer.token), "%s", second + 1);
	*ret_peer = peer;
	return 0;
}

/* ---- who this host would be ---- */

/* The address from which packets to another one go. */
static bool find_source(const struct peer *there, char to[INET6_ADDRSTRLEN])
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM,
				 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *list;
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	bool good = false;
	int fd;

	if (getaddrinfo(there->address, there->port, &hints, &list) != 0)
		return false;
	fd = socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0 &&
	    getsockname(fd, (struct sockaddr *)&own, &len) == 0)
		good = getnameinfo((struct sockaddr *)&own, len, to, INET6_ADDRSTRLEN, NULL, 0,
				   NI_NUMERICHOST) == 0;
	if (fd >= 0)
		close(fd);
	freeaddrinfo(list);
	return good;
}

/* Whether packets may come from it: it is one of this host's. */
static bool is_here(const char *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM,
				 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *list;
	bool here;
	int fd;

	if (getaddrinfo(address, "0", &hints, &list) != 0)
		return false;
	fd = socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	here = fd >= 0 && bind(fd, list->ai_addr, list->ai_addrlen) == 0;
	if (fd >= 0)
		close(fd);
	freeaddrinfo(list);
	return here;
}

static int take_links(const struct cluster_wish *w, const struct peer *listen,
		      const struct peer *there, struct member *self, struct failure *f)
{
	struct in6_addr any;
	bool everywhere =
		strcmp(listen->address, "0.0.0.0") == 0 ||
		(inet_pton(AF_INET6, listen->address, &any) == 1 && IN6_IS_ADDR_UNSPECIFIED(&any));

	self->links = w->links ? w->links : 1;
	memcpy(self->link, w->link, sizeof(self->link));
	if (!w->links && !(there && find_source(there, self->link[0])) &&
	    (everywhere || !members_address(listen->address, self->link[0])))
		return fail(f, -EINVAL,
			    "the address of this host's link is not known: tell it by --link");
	for (unsigned i = 0; i < self->links; i++) {
		if (!is_here(self->link[i]))
			return fail(f, -EADDRNOTAVAIL, "%s is no address of this host",
				    self->link[i]);
	}
	snprintf(self->peer.address, sizeof(self->peer.address), "%s",
		 everywhere ? self->link[0] : listen->address);
	return 0;
}

int cluster_take_self(struct cluster *c, const struct cluster_wish *w, const struct peer *there,
		      struct member *ret_self, struct failure *f)
{
	struct member self = {.host = c->host->uuid};
	char where[PEER_NAME_MAX + 16];
	struct utsname name;
	struct peer listen;
	int r = peer_decode_name(c->listen, &listen, f);

	uname(&name);
	if (r == 0)
		r = take_links(w, &listen, there, &self, f);
	if (r < 0)
		return r;
	if (!vm_name_allowed(name.nodename))
		return fail(f, -EINVAL, "the name of this host, '%s', cannot be that of a member",
			    name.nodename);
	snprintf(self.name, sizeof(self.name), "%s", name.nodename);
	snprintf(where, sizeof(where), strchr(self.peer.address, ':') ? "[%.200s]:%s" : "%.200s:%s",
		 self.peer.address, listen.port);
	r = peer_decode_name(where, &self.peer, f);
	snprintf(self.peer.fingerprint, sizeof(self.peer.fingerprint), "%s",
		 tls_server_fingerprint(c->tls));
	if (r == 0)
		*ret_self = self;
	return r;
}

static json_t *names_of_vms(const struct host *h)
{
	json_t *list = json_array();

	for (struct list *at = h->vms.next; at != &h->vms; at = at->next)
		json_array_append_new(list, json_string(CONTAINER_OF(at, struct vm, link)->name));
	return list;
}

/* ---- the host that lets in ---- */

__attribute__((format(printf, 2, 3))) static void object(json_t *reasons, const char *format, ...)
{
	char text[FAIL_TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	json_array_append_new(reasons, json_string(text));
}

static void judge_version(json_t *reasons, const char *what, const char *here, const char *there)
{
	size_t major = strcspn(here, ".");

	if (!there || strncmp(here, there, major + 1) != 0)
		object(reasons,
		       "it has %s %.40s, and here is %.40s: the first number has to be one", what,
		       there ? there : "of no version", here);
}

static const char *fact(const struct cluster_task *t, const char *name)
{
	return json_string_value(json_object_get(t->facts, name));
}

static void judge_vms(json_t *reasons, const json_t *theirs, const json_t *own)
{
	json_t *name, *other;
	size_t i, k;

	json_array_foreach((json_t *)(uintptr_t)theirs, i, name)
	{
		json_array_foreach((json_t *)(uintptr_t)own, k, other)
		{
			if (json_equal(name, other))
				object(reasons,
				       "both hosts have a VM '%.64s': rename or remove one",
				       json_string_value(name));
		}
	}
}

static int judge(struct cluster_task *t)
{
	char corosync[ENGINE_VERSION_MAX + 1], pacemaker[ENGINE_VERSION_MAX + 1];
	json_t *reasons = json_array();
	struct failure why;
	int r = engine_versions(corosync, pacemaker, &t->f);

	if (r < 0) {
		json_decref(reasons);
		return r;
	}
	if (members_add(&t->c->members, &t->self, &t->next, &why) < 0)
		object(reasons, "%s", why.text);
	judge_version(reasons, "Oya", OYA_VERSION, fact(t, "oya"));
	judge_version(reasons, "Corosync", corosync, fact(t, "corosync"));
	judge_version(reasons, "Pacemaker", pacemaker, fact(t, "pacemaker"));
	judge_vms(reasons, json_object_get(t->facts, "vms"), json_object_get(t->facts, "own"));
	json_object_set_new(t->facts, "reasons", reasons);
	return 0;
}

static json_t *tell(struct cluster_task *t, const struct members *m)
{
	return json_pack("{s:o, s:I, s:O}", "cluster", members_to_json(m), "clock_us",
			 (json_int_t)now_us(CLOCK_REALTIME), "reasons",
			 json_object_get(t->facts, "reasons"));
}

static void on_used(void *ctx, const struct gate *g, int code, const char *name, const char *token,
		    const struct failure *f)
{
	struct cluster_task *t = ctx;
	json_t *answer = tell(t, &t->next);

	(void)g;
	(void)name;
	(void)token;
	if (code < 0)
		log_line(LOG_LEVEL_ERROR, "cluster: the token may be used again: %s", f->text);
	json_object_set_new(answer, "authkey", json_string(t->key));
	log_line(LOG_LEVEL_INFO, "the host '%s' has joined the cluster '%s'", t->self.name,
		 t->next.name);
	cluster_end(t, answer);
}

static void on_changed(struct cluster_task *t)
{
	if (t->r == 0)
		t->r = gate_remove_token(t->c->gate, t->token, on_used, t);
	if (t->r < 0)
		cluster_end(t, NULL);
}

static int read_key(struct cluster_task *t)
{
	return engine_read_key(t->key, &t->f);
}

static void on_key(struct cluster_task *t)
{
	if (t->r < 0)
		cluster_end(t, NULL);
	else
		cluster_change(t, on_changed);
}

/* All reasons as one sentence. */
static int put_reasons(const json_t *reasons, struct failure *f)
{
	char text[FAIL_TEXT_MAX] = "";
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)reasons, i, one)
	{
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, "%s%s", i ? "; " : "",
			 json_string_value(one));
	}
	return fail(f, -EBUSY, "%s", text);
}

static void on_judged(struct cluster_task *t)
{
	const json_t *reasons = json_object_get(t->facts, "reasons");

	if (t->r == 0 && t->enter && json_array_size(reasons))
		t->r = put_reasons(reasons, &t->f);
	if (t->r < 0 || !t->enter)
		cluster_end(t, t->r == 0 ? tell(t, &t->c->members) : NULL);
	else
		cluster_in_pool(t, read_key, on_key);
}

int cluster_admit(struct cluster *c, json_t *facts, bool enter, const char *token,
		  cluster_done_fn *done, void *ctx, struct failure *f)
{
	struct cluster_task *t;
	struct member self;
	int r = c->in ? member_of_json(json_object_get(facts, "member"), &self, f)
		      : fail(f, -ENOENT, "this host is in no cluster any more");

	if (r < 0)
		return r;
	t = cluster_begin(c, NULL, f);
	if (!t)
		return -EBUSY;
	t->self = self;
	t->facts = json_copy(facts);
	json_object_set_new(t->facts, "own", names_of_vms(c->host));
	t->enter = enter;
	snprintf(t->token, sizeof(t->token), "%s", token);
	t->done = done;
	t->ctx = ctx;
	cluster_in_pool(t, judge, on_judged);
	return 0;
}

/* ---- the host that joins: undone ---- */

static int drop_note(struct cluster_task *t)
{
	return store_remove(t->c->host->state, CLUSTER_NOTE, &t->f);
}

static void on_undone(struct cluster_task *t)
{
	if (t->r == 0) {
		t->f = t->why;
		t->r = -ECANCELED;
	}
	cluster_end(t, NULL);
}

/* 401: it does not know this host, or not any more. */
static void on_taken_out(struct cluster_task *t)
{
	if (t->r < 0 && t->status != 404 && t->status != 401) {
		cluster_end(t, NULL); /* it is tried again */
		return;
	}
	cluster_in_pool(t, drop_note, on_undone);
}

static void on_uninstalled(struct cluster_task *t)
{
	char target[CLUSTER_TARGET_MAX];
	struct peer peer = t->peer;

	if (t->r < 0 || !peer.address[0]) {
		cluster_end(t, NULL);
		return;
	}
	peer.token[0] = '\0'; /* by the certificate alone: it may be a member's already */
	snprintf(target, sizeof(target), MEMBERS "/%s?force=true", t->self.name);
	cluster_call(t, &peer, "DELETE", target, NULL, on_taken_out);
}

/* By t->f. */
static void undo(struct cluster_task *t)
{
	t->why = t->f;
	cluster_in_pool(t, cluster_uninstall, on_uninstalled);
}

static bool read_note(const struct cluster *c, struct peer *peer, char name[MEMBERS_NAME_MAX + 1])
{
	char path[PATH_MAX], *text;
	const char *api, *fingerprint, *own;
	struct failure f;
	json_t *root;
	size_t len;
	bool good;

	snprintf(path, sizeof(path), "%s/" CLUSTER_NOTE, c->host->state);
	if (store_read(path, CLUSTER_NOTE_MAX, &text, &len, &f) < 0)
		return false;
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	api = json_string_value(json_object_get(root, "api"));
	fingerprint = json_string_value(json_object_get(root, "fingerprint"));
	own = json_string_value(json_object_get(root, "name"));
	good = api && fingerprint && own && vm_name_allowed(own) &&
	       peer_decode_name(api, peer, &f) == 0 &&
	       peer_decode_fingerprint(fingerprint, peer->fingerprint);
	if (good)
		snprintf(name, MEMBERS_NAME_MAX + 1, "%s", own);
	json_decref(root);
	return good;
}

void cluster_undo(struct cluster *c)
{
	char name[MEMBERS_NAME_MAX + 1];
	struct cluster_task *t;
	struct peer peer;
	struct failure f;

	if (!read_note(c, &peer, name))
		return;
	t = cluster_begin(c, NULL, &f);
	if (!t)
		return;
	t->peer = peer;
	memcpy(t->self.name, name, sizeof(name));
	fail(&t->f, -EIO, "the host joins no cluster: the service ended meanwhile");
	undo(t);
}

/* ---- the host that joins ---- */

static int finish(struct cluster_task *t)
{
	int r = cluster_write_list(t->c, &t->next, &t->f);

	return r < 0 ? r : drop_note(t);
}

static void on_finished(struct cluster_task *t)
{
	if (t->r < 0) {
		undo(t);
		return;
	}
	cluster_adopt(t->c, &t->next);
	cluster_end(t, NULL);
}

static void look_again(struct cluster_task *t);

static void on_looked(struct cluster_task *t)
{
	const struct failure why = t->f;

	if (t->r == 0) {
		cluster_in_pool(t, finish, on_finished);
		return;
	}
	job_progress(t->c->host, t->job, 50 + t->tries / 2);
	if (++t->tries < LOOKS_MAX) {
		cluster_later(t, LOOK_US, look_again);
		return;
	}
	fail(&t->f, -ETIMEDOUT,
	     "the other hosts do not answer on the links: let UDP %u%s through between them, for "
	     "firewalls of all hosts (%.100s)",
	     MEMBERS_PORT, t->self.links > 1 ? " and 5406" : "", why.text);
	undo(t);
}

static void look_again(struct cluster_task *t)
{
	cluster_in_pool(t, cluster_look_online, on_looked);
}

static void on_installed(struct cluster_task *t)
{
	if (t->r < 0)
		undo(t);
	else
		look_again(t);
}

/* The list has this host in it, as it has said it is. */
static int take_entry(struct cluster_task *t)
{
	const char *key = json_string_value(json_object_get(t->answer, "authkey"));
	const struct member *self;
	int r = members_of_json(json_object_get(t->answer, "cluster"), &t->next, &t->f);

	if (r < 0)
		return r;
	self = members_find_host(&t->next, &t->self.host);
	if (!key || strlen(key) != ENGINE_KEY_TEXT ||
	    strspn(key, "0123456789abcdef") != ENGINE_KEY_TEXT || !self ||
	    strcmp(self->name, t->self.name) != 0 ||
	    strcmp(self->peer.fingerprint, t->self.peer.fingerprint) != 0)
		return fail(&t->f, -EBADMSG, "the other host's answer is not whole");
	memcpy(t->key, key, ENGINE_KEY_TEXT + 1);
	return 0;
}

static void on_entered(struct cluster_task *t)
{
	if (t->r == 0)
		t->r = take_entry(t);
	explicit_bzero(t->peer.token, sizeof(t->peer.token));
	if (t->r < 0) {
		undo(t);
		return;
	}
	job_progress(t->c->host, t->job, 50);
	cluster_in_pool(t, cluster_install, on_installed);
}

static void on_noted(struct cluster_task *t)
{
	if (t->r < 0)
		cluster_end(t, NULL);
	else
		cluster_call(t, &t->peer, "POST", MEMBERS,
			     json_pack("{s:O, s:b}", "facts", t->facts, "enter", 1), on_entered);
}

static int note(struct cluster_task *t)
{
	json_t *root = json_pack("{s:i, s:s, s:s, s:s}", "version", 1, "api", t->peer.name,
				 "fingerprint", t->peer.fingerprint, "name", t->self.name);
	char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
	int r = text ? store_write(t->c->host->state, CLUSTER_NOTE, text, strlen(text), &t->f)
		     : fail(&t->f, -ENOMEM, "cannot join: out of memory");

	json_decref(root);
	free(text);
	return r;
}

/* The other host's clock was read between our asking and now. */
static void judge_clock(const struct cluster_task *t, json_t *reasons)
{
	int64_t theirs = json_integer_value(json_object_get(t->answer, "clock_us"));
	int64_t now = now_us(CLOCK_REALTIME);
	int64_t ahead = t->asked_us - theirs, behind = theirs - now;
	int64_t off = ahead > behind ? ahead : behind;

	if (theirs <= 0 || off > CLUSTER_CLOCKS_US)
		object(reasons,
		       "the clocks of both hosts differ by %.1f s, 2 s are allowed: let both follow "
		       "one (systemd-timesyncd, chrony)",
		       (double)off / 1e6);
}

static void on_asked(struct cluster_task *t)
{
	json_t *reasons = json_object_get(t->answer, "reasons"), *one;
	size_t i;

	if (t->r == 0 && !json_is_array(reasons))
		t->r = fail(&t->f, -EBADMSG, "the other host does not speak our API");
	if (t->r == 0)
		judge_clock(t, reasons);
	json_array_foreach(reasons, i, one)
	{
		if (json_is_string(one))
			job_log(t->c->host, t->job, json_string_value(one));
	}
	if (t->r == 0 && json_array_size(reasons))
		t->r = put_reasons(reasons, &t->f);
	if (t->r < 0)
		cluster_end(t, NULL);
	else
		cluster_in_pool(t, note, on_noted);
}

static void on_prepared(struct cluster_task *t)
{
	if (t->r < 0) {
		cluster_end(t, NULL);
		return;
	}
	t->asked_us = now_us(CLOCK_REALTIME);
	json_object_set_new(t->facts, "vms", names_of_vms(t->c->host));
	cluster_call(t, &t->peer, "POST", MEMBERS,
		     json_pack("{s:O, s:b}", "facts", t->facts, "enter", 0), on_asked);
}

static int prepare(struct cluster_task *t)
{
	char corosync[ENGINE_VERSION_MAX + 1], pacemaker[ENGINE_VERSION_MAX + 1];
	int r = engine_look(&t->f);

	if (r == 0)
		r = engine_versions(corosync, pacemaker, &t->f);
	if (r < 0)
		return r;
	t->facts = json_pack("{s:o, s:s, s:s, s:s}", "member", member_to_json(&t->self), "oya",
			     OYA_VERSION, "corosync", corosync, "pacemaker", pacemaker);
	return t->facts ? 0 : fail(&t->f, -ENOMEM, "cannot join: out of memory");
}

int cluster_join(struct cluster *c, const struct cluster_wish *w, struct job **ret_job,
		 struct failure *f)
{
	struct cluster_task *t;
	struct member self;
	struct peer peer;
	int r;

	if (c->in)
		return fail(f, -EEXIST,
			    "this host is in the cluster '%s' already; 'oya cluster "
			    "leave' takes it out",
			    c->members.name);
	r = decode_word(w->token, &peer, f);
	if (r == 0)
		r = cluster_take_self(c, w, &peer, &self, f);
	if (r < 0)
		return r;
	t = cluster_begin(c, "join-cluster", f);
	if (!t)
		return -EBUSY;
	t->self = self;
	t->peer = peer;
	explicit_bzero(&peer, sizeof(peer));
	*ret_job = t->job;
	cluster_in_pool(t, prepare, on_prepared);
	return 0;
}
