/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/rehearsal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/engine.h"
#include "host/store.h"
#include "lib/process.h"
#include "lib/xml.h"

#define SIMULATE "/usr/sbin/crm_simulate"
#define PATIENCE_S 60u

static const char *const names[REHEARSAL_COPIES] = {
	[REHEARSAL_NOW] = "now.xml",
	[REHEARSAL_THEN] = "then.xml",
	[REHEARSAL_AFTER] = "after.xml",
	[REHEARSAL_ROOMY] = "roomy.xml",
};

static int make_folder(struct rehearsal *r, const char *run, struct failure *f)
{
	int code;

	if (snprintf(r->folder, sizeof(r->folder), "%s/rehearsal", run) >= PATH_MAX - 32)
		return fail(f, -ENAMETOOLONG, "the path of %s is too long", run);
	code = store_remove_folder(r->folder, f); /* a daemon may have died over it */
	if (code == 0)
		code = store_make_folder(r->folder, f);
	if (code < 0)
		return code;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		snprintf(r->path[i], PATH_MAX, "%.*s/%s", PATH_MAX - 32, r->folder, names[i]);
	snprintf(r->said, PATH_MAX, "%.*s/said.xml", PATH_MAX - 32, r->folder);
	return 0;
}

static int take_configuration(struct rehearsal *r, struct failure *f)
{
	const char *const command[] = {SIMULATE,
				       "--live-check",
				       "--save-input",
				       r->path[REHEARSAL_NOW],
				       "--output-to=/dev/null",
				       NULL};

	return engine_tool(command, PATIENCE_S, NULL, f);
}

int rehearsal_new(const char *run, struct rehearsal **ret_rehearsal, struct failure *f)
{
	struct rehearsal *r = calloc(1, sizeof(*r));
	int code;

	if (!r)
		return fail(f, -ENOMEM, "cannot ask the cluster's simulator: out of memory");
	code = make_folder(r, run, f);
	if (code == 0)
		code = take_configuration(r, f);
	if (code == 0)
		code = rehearsal_look(r, REHEARSAL_NOW, f);
	if (code < 0) {
		rehearsal_free(r);
		return code;
	}
	*ret_rehearsal = r;
	return 0;
}

void rehearsal_free(struct rehearsal *r)
{
	struct failure ignored;

	if (r && r->path[0][0])
		(void)store_remove_folder(r->folder, &ignored);
	free(r);
}

int rehearsal_copy(struct rehearsal *r, enum rehearsal_copy from, enum rehearsal_copy to,
		   struct failure *f)
{
	char *text;
	size_t len;
	int code = store_read(r->path[from], XML_BYTES_MAX, &text, &len, f);

	if (code < 0)
		return code;
	code = store_write(r->folder, names[to], text, len, f);
	free(text);
	return code;
}

int rehearsal_change(struct rehearsal *r, enum rehearsal_copy which, const char *const *command,
		     struct failure *f)
{
	char file[PATH_MAX + 16];
	const char *with[PROCESS_ARGUMENTS_MAX] = {"/usr/bin/env", file};
	unsigned n = 2;

	snprintf(file, sizeof(file), "CIB_file=%s", r->path[which]);
	for (; *command && n < ARRAY_LEN(with) - 1; command++)
		with[n++] = *command;
	return engine_tool(with, PATIENCE_S, NULL, f);
}

int rehearsal_change_engine(struct rehearsal *r, const char *const *command, struct failure *f)
{
	struct scene_play before, after;
	int code = rehearsal_copy(r, REHEARSAL_NOW, REHEARSAL_THEN, f);

	if (code == 0)
		code = rehearsal_change(r, REHEARSAL_THEN, command, f);
	if (code == 0)
		code = rehearsal_play(r, REHEARSAL_NOW, NULL, &before, f);
	if (code == 0)
		code = rehearsal_play(r, REHEARSAL_THEN, NULL, &after, f);
	if (code == 0)
		code = scene_keep(&r->scene, &before, &after, f);
	return code < 0 ? code : engine_tool(command, PATIENCE_S, NULL, f);
}

int rehearsal_look(struct rehearsal *r, enum rehearsal_copy which, struct failure *f)
{
	char *text;
	size_t len;
	int code = store_read(r->path[which], XML_BYTES_MAX, &text, &len, f);

	if (code < 0)
		return code;
	code = scene_decode(text, len, &r->scene, f);
	free(text);
	return code;
}

int rehearsal_find(struct rehearsal *r, enum rehearsal_copy which, const char *found,
		   struct failure *f)
{
	const char *const command[] = {
		SIMULATE, "--xml-file",   r->path[which],           "--op-inject",
		found,    "--save-input", r->path[REHEARSAL_AFTER], "--output-to=/dev/null",
		NULL};
	int code = engine_tool(command, PATIENCE_S, NULL, f);

	return code < 0 ? code : rehearsal_copy(r, REHEARSAL_AFTER, which, f);
}

int rehearsal_settle(struct rehearsal *r, enum rehearsal_copy which, struct failure *f)
{
	const char *const command[] = {SIMULATE,
				       "--simulate",
				       "--xml-file",
				       r->path[which],
				       "--save-output",
				       r->path[REHEARSAL_AFTER],
				       "--output-to=/dev/null",
				       NULL};

	return engine_tool(command, PATIENCE_S, NULL, f);
}

static int simulate(struct rehearsal *r, enum rehearsal_copy which, const char *lost,
		    struct failure *f)
{
	const char *command[] = {SIMULATE, "--run",      "--output-as=xml", "--output-to",
				 r->said,  "--xml-file", r->path[which],    "--node-fail",
				 lost,     NULL};

	if (!lost)
		command[7] = NULL;
	return engine_tool(command, PATIENCE_S, NULL, f);
}

int rehearsal_play(struct rehearsal *r, enum rehearsal_copy which, const char *lost,
		   struct scene_play *ret_play, struct failure *f)
{
	char *text;
	size_t len;
	int code = simulate(r, which, lost, f);

	if (code == 0)
		code = store_read(r->said, XML_BYTES_MAX, &text, &len, f);
	if (code < 0)
		return code;
	code = scene_decode_play(&r->scene, text, len, ret_play, f);
	free(text);
	return code;
}

/* In which only rules keep VMs from a host. */
static int make_roomy(struct rehearsal *r, enum rehearsal_copy which, struct failure *f)
{
	static const char *const command[] = {
		"/usr/sbin/crm_attribute", "--type",   "crm_config", "--name",
		"placement-strategy",      "--update", "default",    NULL};
	int code = rehearsal_copy(r, which, REHEARSAL_ROOMY, f);

	return code < 0 ? code : rehearsal_change(r, REHEARSAL_ROOMY, command, f);
}

static int lose(struct rehearsal *r, enum rehearsal_copy which, const char *lost,
		const struct scene_play *base, struct scene_loss *ret_loss, struct failure *f)
{
	struct scene_play play, roomy;
	int code = rehearsal_play(r, which, lost, &play, f);

	if (code < 0)
		return code;
	scene_leave(&r->scene, &play, lost);
	*ret_loss = scene_judge_loss(&r->scene, base, &play, NULL);
	if (ret_loss->vm < 0)
		return 0;
	code = make_roomy(r, which, f);
	if (code == 0)
		code = rehearsal_play(r, REHEARSAL_ROOMY, lost, &roomy, f);
	if (code == 0)
		*ret_loss = scene_judge_loss(&r->scene, base, &play, &roomy);
	return code;
}

int rehearsal_survive(struct rehearsal *r, enum rehearsal_copy which,
		      struct scene_survival *ret_survival, struct failure *f)
{
	static const char *const votes[] = {"/usr/sbin/corosync-quorumtool", "-s", NULL};
	struct scene_survival *v = ret_survival;
	struct failure ignored;
	char *text;
	int code;

	memset(v, 0, sizeof(*v));
	code = rehearsal_play(r, which, NULL, &v->base, f);
	for (unsigned i = 0; code == 0 && i < r->scene.hosts; i++) {
		if (v->base.online[i])
			code = lose(r, which, r->scene.host[i].name, &v->base, &v->loss[i], f);
	}
	if (code == 0 && engine_tool(votes, PATIENCE_S, &text, &ignored) == 0) {
		v->quorate = scene_judge_votes(text);
		free(text);
	}
	return code;
}
