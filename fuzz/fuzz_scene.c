/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the cluster engine's programs say of places. The input begins with a digit: 0: its
 * configuration; 1: what its simulator says, of two hosts and three VMs; 2: votes.
 *
 * Checked: what is refused comes with a sentence; counts and places are within their limits; what
 * is made of them can be read again, and each judgement comes to an end.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/harness.h"
#include "host/capacity.h"
#include "lib/xml.h"

static void on_begin(void *ctx, const char *path, const char **attributes)
{
	(void)ctx;
	(void)path;
	(void)attributes;
}

static void on_end(void *ctx, const char *path, const char *text)
{
	(void)ctx;
	(void)path;
	must(!*text);
}

/* What this host would write to it is XML that can be read. */
static void encode(const struct scene *s)
{
	static const struct xml_calls calls = {.begin = on_begin, .end = on_end};
	const struct scene_vm vm = {.name = "web", .memory_mib = 77};
	struct scene_host host = {.memory_mib = 99, .tag = {"gpu"}, .tags = 1};
	struct failure f;
	char *text;

	snprintf(host.name, sizeof(host.name), "%s", s->hosts ? s->host[0].name : "n1");
	text = capacity_encode(s, &host, &vm, 1);
	must(text != NULL);
	must(!*text || xml_parse(text, strlen(text), &calls, NULL, "it", &f) == 0);
	free(text);
	(void)scene_all_told(s);
}

static void configure(struct scene *s, const char *text, size_t len)
{
	struct failure f = {""};
	int r = scene_decode(text, len, s, &f);

	must(r == 0 || f.text[0]);
	must(s->hosts <= MEMBERS_MAX && s->vms <= SCENE_VMS_MAX);
	for (unsigned i = 0; i < s->hosts; i++)
		must(s->host[i].tags <= SCENE_TAGS_MAX &&
		     s->host[i].memory_mib <= SCENE_NUMBER_MAX);
	if (r == 0)
		encode(s);
	fuzz_tell(&s->vms, sizeof(s->vms));
}

static void judge(const struct scene *s, const struct scene_play *p)
{
	static struct scene_survival none, v;
	struct failure f;
	unsigned full, empty, count;
	int vm[SCENE_CANDIDATES_MAX];
	json_t *told;

	memset(&v, 0, sizeof(v));
	v.base = *p;
	for (unsigned i = 0; i < s->hosts; i++)
		v.loss[i] = scene_judge_loss(s, &none.base, p, i ? p : NULL);
	told = scene_tell(s, &v);
	must(told != NULL);
	json_decref(told);
	(void)scene_admit(s, &none, &v, false, &f);
	if (!scene_ends(s, p, &full, &empty))
		return;
	count = scene_candidates(s, p, full, empty, vm);
	for (unsigned i = 0; i < count; i++) {
		must(vm[i] >= 0 && vm[i] < (int)s->vms && p->at[vm[i]] == (int)full);
		must(scene_judge_move(s, p, p, vm[i]) < 0);
		scene_tell_move(s, p, vm[i], empty, &f);
	}
}

static void play(struct scene *s, const char *text, size_t len)
{
	static struct scene_play p;
	struct failure f = {""};
	int r;

	s->hosts = 2;
	s->vms = 3;
	for (unsigned i = 0; i < s->hosts; i++) {
		snprintf(s->host[i].name, sizeof(s->host[i].name), "n%u", i + 1);
		s->host[i].told = true;
		s->host[i].memory_mib = 100;
	}
	for (unsigned i = 0; i < s->vms; i++)
		s->vm[i] = (struct scene_vm){
			.name = {(char)('a' + i)}, .memory_mib = 10 * (i + 1), .live = true};
	r = scene_decode_play(s, text, len, &p, &f);
	must(r == 0 || f.text[0]);
	for (unsigned i = 0; i < s->vms; i++)
		must(p.at[i] >= SCENE_IDLE && p.at[i] < 2);
	judge(s, &p);
	fuzz_tell(p.at, 3 * sizeof(p.at[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scene *s = calloc(1, sizeof(*s));
	char *text = malloc(size + 1);

	must(s && text);
	memcpy(text, data, size);
	text[size] = '\0';
	if (size && data[0] == '0')
		configure(s, text + 1, size - 1);
	else if (size && data[0] == '1')
		play(s, text + 1, size - 1);
	else if (size)
		(void)scene_judge_votes(text + 1);
	free(text);
	free(s);
	return 0;
}
