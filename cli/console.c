/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `oya console`: the serial line of a VM, by the host service, on this terminal. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

struct console {
	struct command_call *c;
	struct terminal terminal;
	struct wire wire;
	bool left;
};

/* A command of the console: what the host service refuses is told, and the console goes on. */
static void ask(struct console *x, const char *what, const json_t *body)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "POST", .target = target, .body = body};
	struct api_answer answer;
	struct failure f;

	if (!command_vm_target(x->c, what, target))
		return;
	if (api_call(&x->c->api, &request, &answer, &f) == 0) {
		json_decref(answer.body);
		return;
	}
	fputs("\r\noya: ", x->c->err);
	format_put(x->c->err, f.text);
	fputs("\r\n", x->c->err);
	fflush(x->c->err);
}

static void shut_down(void *owner)
{
	ask(owner, "stop", NULL);
}

static void reset(void *owner)
{
	ask(owner, "reset", NULL);
}

static void send_nmi(void *owner)
{
	ask(owner, "nmi", NULL);
}

static void switch_off(void *owner)
{
	json_t *body = json_pack("{s:b}", "off", 1);

	ask(owner, "stop", body);
	json_decref(body);
}

static void leave(void *owner)
{
	struct console *x = owner;

	x->left = true;
	terminal_leave(&x->terminal);
}

static const struct terminal_key keys[] = {
	{'s', "shut down", shut_down},   {'r', "reset", reset}, {'n', "NMI", send_nmi},
	{'o', "switch off", switch_off}, {'q', "leave", leave},
};

static void carry(struct console *x)
{
	struct wire *w = &x->wire;
	sigset_t before;
	int stop = terminal_take_signals(&before);

	x->terminal = (struct terminal){
		.guest = w->fd,
		.in = STDIN_FILENO,
		.out = STDOUT_FILENO,
		.err = STDERR_FILENO,
		.stop = stop,
		.early = w->bytes + w->at,
		.early_len = w->len - w->at,
		.keys = keys,
		.key_count = ARRAY_LEN(keys),
		.owner = x,
	};
	terminal_relay(&x->terminal);
	terminal_give_signals(stop, &before);
}

void console_open(struct command_call *c)
{
	struct console *x = calloc(1, sizeof(*x));
	char target[API_TARGET_MAX];
	struct failure f;

	if (!x) {
		fail(&f, -ENOMEM, "out of memory");
		command_fail(c, &f);
		return;
	}
	x->c = c;
	if (!command_vm_target(c, "console", target)) {
		free(x);
		return;
	}
	if (api_upgrade(&c->api, target, "oya-console", &x->wire, &f) < 0) {
		command_fail(c, &f);
	} else if (x->wire.fd >= 0) {
		carry(x);
		wire_close(&x->wire);
		if (!x->left)
			fprintf(c->err,
				"\noya: the console of the VM '%s' has ended; 'oya vm show %s' "
				"tells its state\n",
				c->operand[0], c->operand[0]);
	}
	free(x);
}
