/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verb, and checks that ask the running system. */
#include "cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/command.h"
#include "cli/format.h"
#include "cli/role.h"
#include "cli/role_files.h"
#include "cli/verbs.h"

#define SPACE_MIN (UINT64_C(1) << 30)
#define SPACE_MIN_PERCENT 5
#define ERROR_MAX_US 1000000

/* ---- findings ---- */

void doctor_note(struct doctor *d, const char *check, enum doctor_verdict verdict,
		 const char *remedy, const char *format, ...)
{
	struct doctor_finding *f = &d->finding[d->count];
	va_list args;

	if (d->count == DOCTOR_FINDINGS_MAX)
		return;
	d->count++;
	*f = (struct doctor_finding){.check = check, .verdict = verdict};
	va_start(args, format);
	vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
	snprintf(f->remedy, sizeof(f->remedy), "%s", remedy ? remedy : "");
}

bool doctor_is_wrong(const struct doctor *d)
{
	for (unsigned i = 0; i < d->count; i++) {
		if (d->finding[i].verdict == DOCTOR_WRONG)
			return true;
	}
	return false;
}

const char *doctor_word(enum doctor_verdict verdict)
{
	static const char *const words[] = {"ok", "note", "wrong"};

	return words[verdict];
}

/* ---- judged ---- */

bool doctor_forward_drops(const char *text)
{
	return strstr(text, "-P FORWARD DROP") || strstr(text, "policy drop");
}

void doctor_clock(struct doctor *d, int state, int status, long error_us)
{
	if (state == TIME_ERROR || (status & STA_UNSYNC))
		doctor_note(d, "clock", DOCTOR_WRONG,
			    "'timedatectl set-ntp true', or install systemd-timesyncd or chrony",
			    "nobody keeps the host's clock right, and VMs take their time from it");
	else if (error_us > ERROR_MAX_US)
		doctor_note(d, "clock", DOCTOR_WRONG, "look after the host's time service",
			    "it may be wrong by %ld s", error_us / 1000000);
	else
		doctor_note(d, "clock", DOCTOR_OK, NULL, "it is kept right");
}

void doctor_service(struct doctor *d, const char *version, const char *why)
{
	if (!version)
		doctor_note(d, "service", DOCTOR_WRONG, NULL, "%s", why);
	else if (strcmp(version, OYA_VERSION) != 0)
		doctor_note(d, "service", DOCTOR_WRONG,
			    "'systemctl restart oyad': VMs that run go on",
			    "oyad is version %.32s, this command " OYA_VERSION, version);
	else
		doctor_note(d, "service", DOCTOR_OK, NULL, "oyad answers, version %.32s", version);
}

void doctor_space(struct doctor *d, const char *folder, uint64_t free_bytes, uint64_t all_bytes)
{
	bool scarce = free_bytes < SPACE_MIN || free_bytes < all_bytes / 100 * SPACE_MIN_PERCENT;
	char text[FORMAT_SIZE_MAX];

	format_bytes(free_bytes, text);
	doctor_note(d, "space", scarce ? DOCTOR_WRONG : DOCTOR_OK,
		    scarce ? "make room: a VM whose disk finds none is paused" : NULL,
		    "%s are free in %s", text, folder);
}

/* ---- asked ---- */

static void ask_clock(struct doctor *d)
{
	struct timex t = {0};
	int state = adjtimex(&t);

	if (state >= 0)
		doctor_clock(d, state, t.status, t.esterror);
}

/* nft first: iptables may load modules to tell that it has no rules. */
static void ask_forward(struct doctor *d)
{
	static const char *const asks[][8] = {
		{"nft", "list", "chain", "ip", "filter", "FORWARD", NULL},
		{"iptables", "-w", "-S", "FORWARD", NULL},
	};
	char text[16384];

	for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
		struct role_output output = {text, sizeof(text), false};

		if (!role_command_exists(asks[i][0]) || role_command(asks[i], &output) != 0)
			continue;
		if (doctor_forward_drops(text))
			doctor_note(
				d, "forwarding", DOCTOR_WRONG,
				"let VMs' bridges through, such as 'iptables -I FORWARD -i "
				"oya+ -j ACCEPT' and the same with -o; of Docker's: in the "
				"chain DOCKER-USER",
				"the host's rules drop what is forwarded (policy of the chain "
				"FORWARD, as Docker sets it): VMs of NAT switches reach nothing");
		else
			doctor_note(d, "forwarding", DOCTOR_OK, NULL,
				    "the chain FORWARD lets through");
		return;
	}
	if (geteuid() == 0)
		doctor_note(d, "forwarding", DOCTOR_OK, NULL,
			    "no rules of iptables stand in the way");
	else
		doctor_note(d, "forwarding", DOCTOR_NOTE, "ask as root",
			    "only root may see the host's rules");
}

static void ask_role(struct doctor *d)
{
	struct role_host host;
	struct role_installed installed;
	struct failure f;

	role_host_read(&host);
	role_installed_read(&installed);
	if (installed.entry && installed.state == ROLE_FAILED)
		doctor_note(d, "role", DOCTOR_WRONG, "'oya role install' has it tried again",
			    "the hypervisor is installed, and its last boot did not come up");
	else if (installed.entry && host.secure_boot)
		doctor_note(d, "role", DOCTOR_WRONG, "switch Secure Boot off in the firmware",
			    "the hypervisor is installed and not signed, and Secure Boot is on");
	else if (host.is_parent && !installed.driver_loaded)
		doctor_note(d, "role", DOCTOR_WRONG,
			    "'oya role settle'; 'journalctl -u oya-role' tells why it was not",
			    "this system is the hypervisor's parent without its driver");
	else if (installed.entry || host.is_parent)
		doctor_note(d, "role", DOCTOR_OK, NULL, "%s",
			    host.is_parent ? "this system is the hypervisor's parent"
					   : "the hypervisor is installed, and does not run");
	else if (role_host_check(&host, &f) < 0)
		doctor_note(d, "role", DOCTOR_NOTE, NULL, "%.400s", f.text);
	else
		doctor_note(d, "role", DOCTOR_OK, NULL, "this host could have it; it has not");
}

static void ask_service(struct doctor *d, struct command_call *c)
{
	const struct api_request request = {.method = "GET", .target = "/v1/host"};
	struct api_answer answer = {0};
	struct failure f = {""};
	const char *version = NULL;

	if (api_call(&c->api, &request, &answer, &f) == 0)
		version = json_string_value(json_object_get(answer.body, "version"));
	if (!c->api.dry)
		doctor_service(d, version, *f.text ? f.text : "what answers is not oyad");
	json_decref(answer.body);
}

/* ---- the verb ---- */

static void print(struct command_call *c, const struct doctor *d)
{
	for (unsigned i = 0; i < d->count; i++) {
		const struct doctor_finding *f = &d->finding[i];

		fprintf(c->out, "%-5s  %-13s ", doctor_word(f->verdict), f->check);
		format_put(c->out, f->text);
		fputc('\n', c->out);
		if (!*f->remedy || f->verdict == DOCTOR_OK)
			continue;
		fprintf(c->out, "%-5s  %-13s -> ", "", "");
		format_put(c->out, f->remedy);
		fputc('\n', c->out);
	}
}

static void print_json(struct command_call *c, const struct doctor *d)
{
	json_t *list = json_array(), *all;

	for (unsigned i = 0; i < d->count; i++) {
		const struct doctor_finding *f = &d->finding[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "check", f->check,
						      "verdict", doctor_word(f->verdict), "finding",
						      f->text, "remedy", f->remedy));
	}
	all = json_pack("{s:b, s:o}", "good", !doctor_is_wrong(d), "checks", list);
	command_print_json(c, all, false);
	json_decref(all);
}

void doctor_look(struct command_call *c)
{
	struct doctor *d = calloc(1, sizeof(*d));

	if (!d) {
		command_fail(c, &(struct failure){"out of memory"});
		return;
	}
	d->root = "";
	ask_service(d, c);
	if (!c->api.dry) {
		doctor_files(d);
		ask_forward(d);
		ask_clock(d);
		ask_role(d);
		if (c->json)
			print_json(c, d);
		else
			print(c, d);
	}
	if (doctor_is_wrong(d))
		c->status = EXIT_FAILURE;
	free(d);
}
