/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket's requests: the input is lines, each answered by a VM that never runs (the
 * worker's own parts without a hypervisor, so that pause, resume, reset and NMI are refused by its
 * state). Checked: each line gets an object that can be written as JSON.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/lib/stillvm.h"
#include "worker/control.h"
#include "worker/control_verbs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void one_line(struct vm *vm, const char *line, size_t len)
{
	enum control_turn turn = CONTROL_STAYS;
	struct descriptors none = {0};
	json_t *answer = control_answer(vm, line, len, &none, &turn);
	char *text;

	must(json_is_object(answer) && json_is_boolean(json_object_get(answer, "ok")));
	must(turn == CONTROL_STAYS || json_is_true(json_object_get(answer, "ok")));
	text = json_dumps(answer, JSON_COMPACT);
	must(text && !strchr(text, '\n'));
	free(text);
	json_decref(answer);
}

/* The bytes of a crash are what a guest can put into an answer: devices/hv lets through these. */
static void put_crash(struct vm *vm, const uint8_t *data, size_t size)
{
	size_t n = size < sizeof(vm->crash) - 1 ? size : sizeof(vm->crash) - 1;

	for (size_t i = 0; i < n; i++)
		vm->crash[i] = data[i] >= ' ' && data[i] <= '~' ? (char)data[i] : '\n';
	vm->crash[n] = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct stillvm *s; /* answers leave nothing behind but its wishes */
	const uint8_t *end;

	if (!s)
		s = stillvm_new();
	s->vm.want_stop = s->vm.want_reset = false;
	put_crash(&s->vm, data, size);
	while ((end = memchr(data, '\n', size))) {
		one_line(&s->vm, (const char *)data, (size_t)(end - data));
		size -= (size_t)(end - data) + 1;
		data = end + 1;
	}
	one_line(&s->vm, (const char *)data, size);
	must(s->vm.state == VM_BUILT && !s->vm.want_reset && !s->ended);
	return 0;
}
