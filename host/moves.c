/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/moves.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "host/store.h"
#include "host/vm.h"
#include "lib/fields.h"
#include "lib/log.h"

#define FOLDER "moves"
#define BYTES_MAX 4096u
#define VERSION 1

static const char *const states[] = {[MOVE_NONE] = "none",
				     [MOVE_INCOMING] = "incoming",
				     [MOVE_LEAVING] = "leaving",
				     [MOVE_GONE] = "gone",
				     [MOVE_UNDONE] = "undone"};

static int path_of(const char *state, const char *name, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/%s", state, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* ---- the file ---- */

static int decode(json_t *root, struct move *m, struct failure *f)
{
	static const struct field fields[] = {
		{"version", JSON_INTEGER}, {"state", JSON_STRING}, {"name", JSON_STRING},
		{"host", JSON_STRING},     {"linked", JSON_TRUE},  {"was_gone", JSON_TRUE},
		{"storage", JSON_TRUE},
	};
	const char *name = json_string_value(json_object_get(root, "name"));
	const char *host = json_string_value(json_object_get(root, "host"));
	unsigned state = MOVE_NONE;
	uint64_t version = 0;
	int r = fields_check_of("the move", root, "the file", fields, ARRAY_LEN(fields), f);

	if (r == 0)
		r = field_number(root, "version", VERSION, VERSION, &version, f);
	if (r == 0)
		r = field_word(root, "state", "the move", states, ARRAY_LEN(states), &state, f);
	if (r < 0)
		return r;
	if (!version || state == MOVE_NONE || !name || !vm_name_allowed(name) || !host ||
	    strlen(host) > MOVES_HOST_MAX)
		return fail(f, -EINVAL, "it is not whole");
	m->state = (enum move_state)state;
	snprintf(m->name, sizeof(m->name), "%s", name);
	snprintf(m->host, sizeof(m->host), "%s", host);
	field_bool(root, "linked", &m->linked);
	field_bool(root, "was_gone", &m->was_gone);
	field_bool(root, "storage", &m->storage);
	return 0;
}

int move_decode(const char *text, size_t len, struct move *ret_move, struct failure *f)
{
	struct move m = {.state = MOVE_NONE};
	json_error_t error;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	int r = root ? decode(root, &m, f)
		     : fail(f, -EINVAL, "line %d is not JSON: %s", error.line, error.text);

	json_decref(root);
	if (r == 0)
		*ret_move = m;
	return r;
}

int move_read(const char *state, const char *uuid, struct move *ret_move, struct failure *f)
{
	char path[PATH_MAX], *text;
	struct failure why;
	size_t len;
	int r = 0;

	if (snprintf(path, sizeof(path), "%s/" FOLDER "/%s", state, uuid) >= (int)sizeof(path))
		return fail(f, -ENAMETOOLONG, "the path of %s is too long", state);
	r = store_read(path, BYTES_MAX, &text, &len, f);
	if (r == -ENOENT) {
		*ret_move = (struct move){.state = MOVE_NONE};
		return 0;
	}
	if (r < 0)
		return r;
	r = move_decode(text, len, ret_move, &why);
	free(text);
	return r < 0 ? fail(f, r, "cannot use %s: %s", path, why.text) : 0;
}

int move_write(const char *state, const char *uuid, const struct move *m, struct failure *f)
{
	/* Older ones know nothing of the last. */
	json_t *root =
		json_pack("{s:i, s:s, s:s, s:s, s:b, s:b, s:o*}", "version", VERSION, "state",
			  states[m->state], "name", m->name, "host", m->host, "linked", m->linked,
			  "was_gone", m->was_gone, "storage", m->storage ? json_true() : NULL);
	char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
	char folder[PATH_MAX];
	int r;

	json_decref(root);
	if (!text)
		return fail(f, -ENOMEM, "cannot note the move of the VM '%s': out of memory",
			    m->name);
	r = path_of(state, FOLDER, folder);
	if (r < 0)
		fail(f, r, "the path of %s is too long", state);
	else
		r = store_make_folder(folder, f);
	if (r >= 0)
		r = store_write(folder, uuid, text, strlen(text), f);
	free(text);
	return r;
}

int move_drop(const char *state, const char *uuid, struct failure *f)
{
	char folder[PATH_MAX];

	if (path_of(state, FOLDER, folder) < 0)
		return fail(f, -ENAMETOOLONG, "the path of %s is too long", state);
	return access(folder, F_OK) < 0 ? 0 : store_remove(folder, uuid, f);
}

/* ---- the folder ---- */

static int vms_of(const char *state, const struct move *m, char vms[PATH_MAX],
		  char folder[PATH_MAX], struct failure *f)
{
	if (path_of(state, "vms", vms) < 0 || path_of(vms, m->name, folder) < 0)
		return fail(f, -ENAMETOOLONG, "the path of %s is too long", state);
	return 0;
}

int move_undo(const char *state, const char *uuid, const struct move *m, struct failure *f)
{
	char vms[PATH_MAX], folder[PATH_MAX];
	struct move gone = *m;
	int r = vms_of(state, m, vms, folder, f);

	if (r == 0 && m->linked)
		r = store_remove(vms, m->name, f);
	if (r < 0)
		return r;
	if (m->storage) {
		gone.state = MOVE_UNDONE;
		return move_write(state, uuid, &gone, f);
	}
	gone.state = MOVE_GONE;
	gone.linked = gone.was_gone = false;
	return m->was_gone ? move_write(state, uuid, &gone, f) : move_drop(state, uuid, f);
}

int move_let_go(const char *state, const char *uuid, const struct move *m, struct failure *f)
{
	char vms[PATH_MAX], folder[PATH_MAX];
	struct stat st;
	int r = vms_of(state, m, vms, folder, f);

	if (r < 0)
		return r;
	if (lstat(folder, &st) < 0)
		return errno == ENOENT
			       ? move_drop(state, uuid, f)
			       : fail(f, -errno, "cannot look at %s: %s", folder, strerror(errno));
	if (!S_ISLNK(st.st_mode))
		return 0;
	r = store_remove(vms, m->name, f);
	return r < 0 ? r : move_drop(state, uuid, f);
}

int move_confess(const char *state, const char *uuid, bool forget, struct failure *f)
{
	struct move m;
	int r = move_read(state, uuid, &m, f);

	if (r < 0 || m.state != MOVE_UNDONE)
		return r;
	r = forget ? move_drop(state, uuid, f) : 0;
	return r < 0 ? r : 1;
}

/* ---- all ---- */

void moves_each(const char *state, void (*each)(void *ctx, const char *uuid, const struct move *m),
		void *ctx)
{
	char folder[PATH_MAX];
	struct dirent *entry;
	struct failure f;
	struct move m;
	struct guid g;
	DIR *list;

	if (path_of(state, FOLDER, folder) < 0 || !(list = opendir(folder)))
		return;
	while ((entry = readdir(list))) {
		if (guid_parse(entry->d_name, &g) < 0)
			continue;
		if (move_read(state, entry->d_name, &m, &f) < 0)
			log_line(LOG_LEVEL_ERROR, "%s", f.text);
		else if (m.state != MOVE_NONE)
			each(ctx, entry->d_name, &m);
	}
	closedir(list);
}
