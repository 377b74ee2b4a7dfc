/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this host was let in at since it booted, and how it is let in: host/fencing.h. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/crm.h"
#include "host/engine.h"
#include "host/fencing_impl.h"
#include "host/rungs.h"
#include "host/store.h"
#include "lib/log.h"

#define AGENT "/usr/sbin/" RUNGS_AGENT
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define TOOL_S 30u
#define AGENT_S 120u /* several disks, each of which may take its time */
#define NOTE_VERSION 1

/* ---- tools ---- */

int fencing_read_rungs(json_t **ret_rungs, struct failure *f)
{
	static const char *const command[] = {"/usr/sbin/cibadmin", "--query", "--scope",
					      "configuration", NULL};
	char *text;
	int r = engine_tool(command, TOOL_S, &text, f);

	if (r < 0)
		return r;
	r = rungs_decode(text, strlen(text), ret_rungs, f);
	free(text);
	return r;
}

static int begin_words(const struct fencing_agent *a, char *word[6])
{
	char uuid[GUID_TEXT_LEN], *devices = rungs_write_devices(a->devices);
	char *nodes = rungs_write_nodes(a->members);
	int r = devices && nodes ? 0 : -ENOMEM;

	guid_format(&a->members->uuid, uuid);
	if (r == 0 && (asprintf(&word[0], "--action=%s", a->action) < 0 ||
		       asprintf(&word[1], "--devices=%s", devices) < 0 ||
		       asprintf(&word[2], "--cluster=%s", uuid) < 0 ||
		       asprintf(&word[3], "--nodes=%s", nodes) < 0 ||
		       asprintf(&word[4], "--self=%s", a->self) < 0 ||
		       (a->plug && asprintf(&word[5], "--plug=%s", a->plug) < 0)))
		r = -ENOMEM;
	free(devices);
	free(nodes);
	return r;
}

int fencing_ask_agent(const struct fencing_agent *a, char **ret_text, struct failure *f)
{
	char *word[6] = {NULL};
	int r = begin_words(a, word);
	const char *const command[] = {AGENT,   word[0], word[1], word[2],
				       word[3], word[4], word[5], NULL};

	r = r < 0 ? fail(f, r, "cannot run " AGENT ": out of memory")
		  : engine_tool(command, AGENT_S, ret_text, f);
	for (size_t i = 0; i < 6; i++)
		free(word[i]);
	return r;
}

bool fencing_next_line(char **text, struct fencing_line *ret_line)
{
	struct fencing_line l = {.why = ""};
	char *line, side[16] = "";
	int used = 0;

	while ((line = strsep(text, "\n"))) {
		if (sscanf(line, "%255s %15s %n", l.device, side, &used) != 2 || !used)
			continue;
		l.why = line + used;
		l.side = strcmp(side, "in") == 0    ? FENCING_IN
			 : strcmp(side, "out") == 0 ? FENCING_OUT
						    : FENCING_UNKNOWN;
		if (l.side != FENCING_UNKNOWN && sscanf(l.why, "%10" SCNu32, &l.generation) != 1)
			continue;
		*ret_line = l;
		return true;
	}
	return false;
}

/* Whether the cluster has let this host in: its engine has it online, with a quorum. */
int fencing_look_online(const char *self, struct failure *f)
{
	static const char *const command[] = {"/usr/sbin/crm_mon", "--one-shot", "--output-as=xml",
					      "--include=none,summary,options,nodes", NULL};
	struct crm_view view = {.online = false};
	char *text;
	int r = engine_tool(command, TOOL_S, &text, f);

	if (r < 0)
		return r;
	r = crm_decode(text, strlen(text), self, &view, f);
	free(text);
	if (r == 0 && !(view.decides && view.online && !view.unclean))
		r = fail(f, -EAGAIN, "the engine does not have the host '%s' online with a quorum",
			 self);
	return r;
}

/* ---- the note ---- */

json_t *fencing_decode_note(const char *text, size_t len, const char *boot)
{
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	json_t *devices = json_object_get(root, "devices"), *generation;
	const char *of = json_string_value(json_object_get(root, "boot")), *name;
	bool good = json_integer_value(json_object_get(root, "version")) == NOTE_VERSION && of &&
		    strcmp(of, boot) == 0 && json_is_object(devices);

	json_object_foreach(devices, name, generation)
	{
		good = good && json_is_integer(generation);
	}
	devices = good ? json_incref(devices) : json_object();
	json_decref(root);
	return devices;
}

static int read_boot(char boot[FENCING_BOOT_MAX], struct failure *f)
{
	FILE *from = fopen(BOOT_ID, "re");
	bool good = from && fgets(boot, FENCING_BOOT_MAX, from);

	if (from)
		fclose(from);
	if (!good)
		return fail(f, -EIO, "cannot read " BOOT_ID);
	boot[strcspn(boot, "\n")] = '\0';
	return 0;
}

int fencing_read_note(const char *run, json_t **ret_note, struct failure *f)
{
	char path[PATH_MAX], boot[FENCING_BOOT_MAX], *text;
	size_t len;
	int r = read_boot(boot, f);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/" FENCING_NOTE, run);
	r = store_read(path, FENCING_NOTE_MAX, &text, &len, f);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret_note = r == 0 ? fencing_decode_note(text, len, boot) : json_object();
	if (r == 0)
		free(text);
	return *ret_note ? 0 : fail(f, -ENOMEM, "cannot read %s: out of memory", path);
}

int fencing_write_note(const char *run, const json_t *note, struct failure *f)
{
	char boot[FENCING_BOOT_MAX], *text = NULL;
	int r = read_boot(boot, f);
	json_t *root;

	if (r < 0)
		return r;
	root = json_pack("{s:i, s:s, s:O}", "version", NOTE_VERSION, "boot", boot, "devices", note);
	text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
	r = text ? store_write(run, FENCING_NOTE, text, strlen(text), f)
		 : fail(f, -ENOMEM, "cannot write " FENCING_NOTE ": out of memory");
	json_decref(root);
	free(text);
	return r;
}

/* ---- let in ---- */

/* What the agent tells of these devices into the note; those that do not answer stay as they are.
 * *ret_gone: one whose key another host has taken, an empty text else. */
int fencing_check(const struct fencing_agent *who, json_t *note, char ret_gone[256],
		  struct failure *f)
{
	struct fencing_agent a = *who;
	struct fencing_line l;
	char *text, *at;
	int r;

	a.action = "check";
	ret_gone[0] = '\0';
	r = fencing_ask_agent(&a, &text, f);
	if (r < 0)
		return r;
	at = text;
	while (fencing_next_line(&at, &l)) {
		const json_t *last = json_object_get(note, l.device);

		if (l.side == FENCING_IN)
			json_object_set_new(note, l.device, json_integer(l.generation));
		else if (l.side == FENCING_UNKNOWN)
			r = fail(f, -EIO, "%s", l.why);
		else if (last && l.generation > (uint64_t)json_integer_value(last))
			snprintf(ret_gone, 256, "%s", l.device);
		else
			json_object_del(note, l.device); /* it has lost its keys with its power */
	}
	free(text);
	return r;
}

int fencing_enter(const struct fencing_agent *who, json_t *note, bool reserve, struct failure *f)
{
	struct fencing_agent a = *who;
	json_t *missing = json_array(), *one;
	char gone[256];
	size_t i;
	int r = missing ? 0 : fail(f, -ENOMEM, "cannot let this host in: out of memory");

	json_array_foreach((json_t *)(uintptr_t)who->devices, i, one)
	{
		if (!json_object_get(note, json_string_value(one)))
			json_array_append(missing, one);
	}
	a.devices = missing;
	a.action = reserve ? "register" : "join";
	if (r == 0 && json_array_size(missing)) {
		r = fencing_look_online(a.self, f);
		if (r == 0)
			r = fencing_ask_agent(&a, NULL, f);
		if (r == 0)
			r = fencing_check(&a, note, gone, f);
		json_array_foreach(missing, i, one)
		{
			if (r == 0 && !json_object_get(note, json_string_value(one)))
				r = fail(f, -EBADE, "another host took its key at %s at once",
					 json_string_value(one));
		}
	}
	json_decref(missing);
	return r;
}

void fencing_drop(json_t *note, const json_t *devices)
{
	const char *name;
	json_t *generation;
	void *next;

	json_object_foreach_safe(note, next, name, generation)
	{
		if (!rungs_has(devices, name))
			json_object_del(note, name);
	}
}

int fencing_bring_in(const char *run, const struct members *m, const char *self,
		     const json_t *devices, bool reserve, struct failure *f)
{
	const struct fencing_agent who = {.members = m, .self = self, .devices = devices};
	struct failure why;
	json_t *note;
	int r = fencing_read_note(run, &note, f), w;

	if (r < 0)
		return r;
	fencing_drop(note, devices);
	r = fencing_enter(&who, note, reserve, f);
	w = fencing_write_note(run, note, &why); /* also of what it has entered up to a failure */
	json_decref(note);
	if (r == 0 && w < 0)
		*f = why;
	return r < 0 ? r : w;
}

/* ---- members that come and go ---- */

static void tell_nodes(const struct members *m)
{
	char *nodes = rungs_write_nodes(m);
	const char *const command[] = {"/usr/sbin/crm_resource",
				       "--resource",
				       RUNGS_RESERVATION,
				       "--set-parameter",
				       "nodes",
				       "--parameter-value",
				       nodes,
				       NULL};
	struct failure f;

	if (nodes && engine_tool(command, TOOL_S, NULL, &f) < 0)
		log_line(LOG_LEVEL_WARNING, "cluster: %s", f.text);
	free(nodes);
}

void fencing_follow(const struct members *old, const struct members *next, const char *self)
{
	struct fencing_agent a = {.members = old, .self = self, .action = "off"};
	struct failure f;
	json_t *rungs;

	if (fencing_read_rungs(&rungs, &f) < 0)
		return; /* there is no engine to be told */
	a.devices = rungs_devices(rungs);
	for (unsigned i = 0; a.devices && i < old->count; i++) {
		a.plug = old->member[i].name;
		if (!members_find(next, a.plug) && fencing_ask_agent(&a, NULL, &f) < 0)
			log_line(LOG_LEVEL_ERROR, "cluster: the host '%s' may keep its key: %s",
				 a.plug, f.text);
	}
	if (a.devices)
		tell_nodes(next);
	json_decref(rungs);
}
