/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fence_oya_reservation: a fence agent, which the engine starts to cut a host off the cluster's
 * disks, by SCSI-3 persistent reservations. Its options come on standard input or in the command
 * line; it answers by its exit status, and for a failure by one sentence.
 *
 * "off" succeeds only if every device says that the host is cut off. There is no "on": a host is
 * let in by "register", which is for oyad, once a cluster with quorum has taken the host in, and
 * never for the host itself after it was cut off.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/util.h"
#include "cluster/fence/options.h"

enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_OFF = 2, /* status: the host is cut off */
};

static const char metadata[] = {
#include "fence.hex"
	'\0'};

/* What an action does at one device. */
struct deed {
	const struct options *o;
	struct reservation_unit *unit;
	bool session;
	uint64_t own, plug;
	bool seen; /* the key of the plug, at any device so far */
};

static int do_register(struct deed *d, struct failure *f)
{
	return reservation_enter(d->unit, d->own, f);
}

/* That each key is one of a host that is named: with a number that is wrong in the options the key
 * of another would be preempted, or none, and the host would go on writing. */
static int all_are_named(struct deed *d, struct failure *f)
{
	struct reservation_keys keys;
	struct reservation_held held;
	int r = reservation_look(d->unit, &keys, &held, f);

	for (unsigned i = 0; r == 0 && i < keys.count; i++) {
		bool named = false;

		for (unsigned n = 0; n < d->o->nodes; n++)
			named |= keys.key[i] ==
				 reservation_key(&d->o->cluster, d->o->node[n].number);
		if (!named)
			return fail(f, -EINVAL,
				    "%s has the key 0x%016" PRIx64
				    ", which is of no host of the option nodes; see that all are "
				    "there with their numbers",
				    d->unit->name, keys.key[i]);
	}
	return r;
}

static int do_monitor(struct deed *d, struct failure *f)
{
	int r = reservation_check(d->unit, d->own, f);

	return r < 0 ? r : all_are_named(d, f);
}

static int do_off(struct deed *d, struct failure *f)
{
	int r = d->session ? reservation_lend(d->unit, d->own, f) : 0;

	if (r == 0)
		r = reservation_evict(d->unit, d->own, d->plug, f);
	return r < 0 ? r : all_are_named(d, f);
}

static int do_status(struct deed *d, struct failure *f)
{
	struct reservation_keys keys;
	struct reservation_held held;
	int r = reservation_look(d->unit, &keys, &held, f);

	if (r == 0 && (!held.held || reservation_has(&keys, d->plug)))
		d->seen = true; /* without a reservation all can write */
	return r;
}

static int do_join(struct deed *d, struct failure *f)
{
	return reservation_join(d->unit, d->own, f);
}

static int do_clear(struct deed *d, struct failure *f)
{
	int r = d->session ? reservation_lend(d->unit, d->own, f) : 0;

	return r < 0 ? r : reservation_clear(d->unit, d->own, f);
}

/* Whether this host is let in, with the unit's generation, which tells one that was cut off from a
 * unit that has lost its keys. */
static int do_check(struct deed *d, struct failure *f)
{
	struct reservation_keys keys;
	struct reservation_held held;
	int r = reservation_look(d->unit, &keys, &held, f);

	if (r == 0)
		printf("%s %s %" PRIu32 "\n", d->unit->name,
		       reservation_has(&keys, d->own) ? "in" : "out", keys.generation);
	return r;
}

/* Whether the unit takes a write of this host's. */
static int do_try(struct deed *d, struct failure *f)
{
	struct reservation_keys keys;
	struct reservation_held held;
	int r = reservation_look(d->unit, &keys, &held, f);

	if (r == 0 && d->session && reservation_has(&keys, d->own))
		r = reservation_lend(d->unit, d->own, f);
	if (r == 0) {
		r = reservation_try_write(d->unit, f);
		if (r == 0 || r == -EBADE)
			printf("%s %s %" PRIu32 "\n", d->unit->name, r == 0 ? "in" : "out",
			       keys.generation);
	}
	return r == -EBADE ? 0 : r;
}

static const struct action {
	const char *name;
	int (*run)(struct deed *d, struct failure *f);
	bool plug;
	bool each; /* device is told of in a line, also of one that fails: none hides another */
} actions[] = {
	{"off", do_off, true, false},          {"status", do_status, true, false},
	{"monitor", do_monitor, false, false}, {"register", do_register, false, false},
	{"join", do_join, false, false},       {"clear", do_clear, false, false},
	{"check", do_check, false, true},      {"try", do_try, false, true},
};

static int keys_of(const struct options *o, const struct action *a, struct deed *d,
		   struct failure *f)
{
	const char *plug = o->plug[0] ? o->plug : o->nodename;
	struct utsname host;
	unsigned number;
	int r;

	uname(&host);
	r = options_number(o, o->self[0] ? o->self : host.nodename, &number, f);
	if (r < 0)
		return r;
	d->own = reservation_key(&o->cluster, number);
	if (!a->plug)
		return 0;
	if (!*plug)
		return fail(f, -EINVAL, "no host: the option plug has its name");
	r = options_number(o, plug, &number, f);
	if (r < 0)
		return r;
	d->plug = reservation_key(&o->cluster, number);
	if (d->plug == d->own && a->run == do_off)
		return fail(f, -EINVAL, "this host, %s, does not cut itself off", plug);
	return 0;
}

/* At one device after the other, so that of two that cut each other off one ends at the first. */
static int act(const struct options *o, const struct action *a, struct deed *d, struct failure *f)
{
	int r = options_check(o, f);

	if (r == 0)
		r = keys_of(o, a, d, f);
	for (unsigned i = 0; r == 0 && i < o->devices; i++) {
		struct unit *u;
		char initiator[UNIT_NAME_MAX + 32];
		struct utsname host;

		uname(&host);
		snprintf(initiator, sizeof(initiator), "iqn.2026-11.invalid.oya:%s", host.nodename);
		r = unit_open(o->device[i], o->initiator[0] ? o->initiator : initiator,
			      o->timeout_s, &u, f);
		if (r == 0) {
			d->unit = unit_reservation(u);
			d->session = unit_is_session(u);
			r = a->run(d, f);
			unit_close(u);
		}
		if (r < 0 && a->each) {
			printf("%s unknown %s\n", o->device[i], f->text);
			r = 0;
		}
	}
	return r;
}

static int run(const struct options *o, struct failure *f)
{
	struct deed d = {.o = o};
	int r = -EINVAL;

	if (strcmp(o->action, "metadata") == 0) {
		fputs(metadata, stdout);
		return EXIT_DONE;
	}
	if (strcmp(o->action, "list") == 0) {
		for (unsigned i = 0; i < o->nodes; i++)
			printf("%s,%u\n", o->node[i].name, o->node[i].number);
		return EXIT_DONE;
	}
	if (strcmp(o->action, "validate-all") == 0)
		return options_check(o, f) < 0 ? EXIT_FAILED : EXIT_DONE;
	if (strcmp(o->action, "on") == 0) {
		fail(f, r,
		     "a host that was cut off is let in by the cluster alone, when it joins anew");
		return EXIT_FAILED;
	}
	for (unsigned i = 0; i < ARRAY_LEN(actions); i++) {
		if (strcmp(o->action, actions[i].name) != 0)
			continue;
		r = act(o, &actions[i], &d, f);
		if (r == 0 && actions[i].run == do_status)
			return d.seen ? EXIT_DONE : EXIT_OFF;
		return r < 0 ? EXIT_FAILED : EXIT_DONE;
	}
	fail(f, r, "there is no action \"%s\"", o->action);
	return EXIT_FAILED;
}

static int from_input(struct options *o, struct failure *f)
{
	char text[OPTIONS_TEXT_MAX];
	size_t len = fread(text, 1, sizeof(text) - 1, stdin);

	if (len == sizeof(text) - 1)
		return fail(f, -EINVAL, "the options are longer than %zu bytes", len - 1);
	text[len] = '\0';
	return options_read(o, text, f);
}

static int from_words(struct options *o, char **words, struct failure *f)
{
	for (; *words; words++) {
		char *name = *words, *value = strchr(name, '=');

		if (strncmp(name, "--", 2) != 0 || !value)
			return fail(f, -EINVAL, "\"%s\" is not of the form --NAME=VALUE", name);
		*value++ = '\0';
		if (options_set(o, name + 2, value, f) < 0)
			return -EINVAL;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct options o;
	struct failure f = {""};
	int r, status;

	options_init(&o);
	r = argc > 1 ? from_words(&o, argv + 1, &f) : from_input(&o, &f);
	status = r < 0 ? EXIT_FAILED : run(&o, &f);
	if (f.text[0] && status == EXIT_FAILED)
		fprintf(stderr, "fence_oya_reservation: %s\n", f.text);
	return status;
}
