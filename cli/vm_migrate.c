/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM that moves to another host, or its folder to another place. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/format.h"
#include "cli/hosts.h"
#include "cli/remote.h"
#include "cli/values.h"
#include "cli/verbs.h"

#define ABSENT "'oya vm list' shows those that there are"
#define DOING_MAX 512

/* What lets the host service in there: 0, or -errno and the sentence. */
static int take_host(const struct command_call *c, struct peer *host, struct failure *f)
{
	int r = hosts_find_other(c->operand[1], host, f);

	if (r == 0 && !host->token[0])
		return fail(f, -EPERM,
			    "hosts.json has no token for %s; 'oya token create NAME --role "
			    "administrator' there makes one",
			    host->name);
	if (r == 0 && !c->api.dry)
		r = remote_trust(host, f);
	return r;
}

/* False: told what is wrong. */
static bool take_options(struct command_call *c, json_t *body)
{
	const char *bandwidth = command_value(c, "bandwidth");
	const char *downtime = command_value(c, "downtime");
	const char *connections = command_value(c, "connections");
	json_int_t mib = 0;
	struct failure f;
	int r = 0;

	if (bandwidth)
		r = value_size(bandwidth, &mib, &f);
	if (r == 0 && bandwidth)
		r = json_object_set_new(body, "bandwidth", json_integer(mib << 20));
	if (r == 0 && downtime)
		r = value_set_number(body, "downtime_ms", downtime, &f);
	if (r == 0 && connections)
		r = value_set_number(body, "connections", connections, &f);
	if (r == 0 && command_value(c, "postcopy"))
		r = json_object_set_new(body, "postcopy", json_true());
	if (r == 0 && command_value(c, "quick"))
		r = json_object_set_new(body, "quick", json_true());
	if (r < 0)
		command_refuse(c, "%s", f.text);
	return r == 0;
}

static void put_time(FILE *to, const json_t *us)
{
	fprintf(to, "%.1f ms", (double)json_integer_value(us) / 1000);
}

/* What it was in the end. */
static void tell_end(struct command_call *c, const json_t *job, const char *host)
{
	const json_t *details = json_object_get(job, "details");
	const json_t *stopped = json_object_get(details, "stopped_us");
	const json_t *promised = json_object_get(details, "promised_us");
	const json_t *sent = json_object_get(details, "sent_bytes");
	char text[FORMAT_SIZE_MAX];

	fprintf(c->out, "The VM '%s' runs on %s", c->operand[0], host);
	if (json_is_integer(stopped)) {
		fputs("; it stood still for ", c->out);
		put_time(c->out, stopped);
	}
	if (json_is_integer(stopped) && json_is_integer(promised)) {
		fputs(" (promised: ", c->out);
		put_time(c->out, promised);
		fputc(')', c->out);
	}
	if (json_is_integer(sent)) {
		format_bytes((uint64_t)json_integer_value(sent), text);
		fprintf(c->out, "; %s were sent", text);
	}
	fputs(".\n", c->out);
}

/* Whether the cluster decides where it runs; false too when nothing is known. */
static bool is_clustered(struct command_call *c)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "GET", .target = target, .absent = ABSENT};
	struct api_answer answer;
	bool clustered;

	if (c->api.dry || !command_vm_target(c, "", target) ||
	    !command_ask(c, &request, &answer))
		return false;
	clustered = json_is_true(json_object_get(answer.body, "clustered"));
	json_decref(answer.body);
	return clustered;
}

static void migrate_to(struct command_call *c, json_t *body, const char *host)
{
	char target[API_TARGET_MAX], doing[DOING_MAX];
	const struct api_request request = {.method = "POST",
					    .target = target,
					    .absent = ABSENT,
					    .hidden = "token",
					    .body = body};
	json_t *job = NULL;

	snprintf(doing, sizeof(doing), "moving the VM '%.80s' to %.80s", c->operand[0], host);
	if (body && take_options(c, body) && command_vm_target(c, "migrate", target) &&
	    job_begin_for(c, &request, doing, &job) && !c->json && !c->no_wait)
		tell_end(c, job, host);
	json_decref(job);
	json_decref(body);
}

void vm_migrate(struct command_call *c)
{
	struct peer host;
	struct failure f;

	if (is_clustered(c)) {
		migrate_to(c, json_pack("{s:s}", "node", c->operand[1]), c->operand[1]);
		return;
	}
	if (c->status)
		return;
	if (take_host(c, &host, &f) < 0)
		command_fail(c, &f);
	else
		migrate_to(c,
			   json_pack("{s:s, s:s, s:s}", "host", host.name, "fingerprint",
				     host.fingerprint, "token", host.token),
			   host.name);
	explicit_bzero(&host, sizeof(host));
}

void vm_move_storage(struct command_call *c)
{
	char target[API_TARGET_MAX], doing[DOING_MAX];
	struct api_request request = {.method = "POST", .target = target, .absent = ABSENT};
	json_t *body = json_object();
	struct failure f;

	request.body = body;
	snprintf(doing, sizeof(doing), "moving the folder of the VM '%.80s'", c->operand[0]);
	if (command_set_file(c, body, "folder", c->operand[1], &f) < 0)
		command_refuse(c, "%s", f.text);
	else if (command_vm_target(c, "move-storage", target) && job_begin(c, &request, doing) &&
		 !c->json && !c->no_wait)
		fprintf(c->out, "The folder of the VM '%s' is in %s now.\n", c->operand[0],
			json_string_value(json_object_get(body, "folder")));
	json_decref(body);
}
