/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A role is a list of steps. What makes it take effect, the menu of the boot loader, comes last
 * when it is installed and first when it is removed; so a step that fails, or a loss of power,
 * leaves a system that starts as before, and the verb can be given again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/role.h"
#include "cli/role_files.h"

/* Of this version and of those before; that of the package oya-parent-dkms is left to it. */
#define FORGET_DRIVERS                                                  \
	"for d in /usr/src/" ROLE_MODULE "-*; do "                      \
	"if [ -d \"$d\" ] && [ ! -e \"$d/" ROLE_PACKAGED "\" ]; then "  \
	"dkms remove -m " ROLE_MODULE " -v \"${d#/usr/src/" ROLE_MODULE \
	"-}\" --all >/dev/null 2>&1; "                                  \
	"rm -rf \"$d\"; fi; done"
#define MODULE_AND_VERSION "-m", ROLE_MODULE, "-v", OYA_VERSION

struct step {
	const char *text; /* for people */
	/* One of the three. */
	const char *command[8];
	struct {
		const char *from, *to; /* `from`: in the folder of parts, the current one */
		unsigned mode;
	} copy;
	const char *forget;
	bool own_driver; /* left out where the driver's source is of a package */
};

static const struct step install_steps[] = {
	{"make the folder " ROLE_FOLDER, .command = {"mkdir", "-p", ROLE_FOLDER}},
	{"copy the hypervisor to " ROLE_HYPERVISOR, .copy = {"oya-hv", ROLE_HYPERVISOR, 0644}},
	{"note its version", .copy = {"role/version", ROLE_VERSION, 0644}},
	{"take away earlier copies of the driver", .command = {"sh", "-c", FORGET_DRIVERS}},
	{"make the folder " ROLE_SOURCE, .own_driver = true,
	 .command = {"mkdir", "-p", ROLE_SOURCE}},
	{"copy the driver's source there", .own_driver = true,
	 .command = {"cp", "-r", "driver/.", ROLE_SOURCE}},
	{"build and install the driver for this kernel (DKMS)",
	 .command = {"dkms", "install", MODULE_AND_VERSION}},
	{"have " ROLE_UNIT " run at each start",
	 .copy = {"role/oya-role.service", ROLE_UNIT, 0644}},
	{"switch it on", .command = {"ln", "-sfn", ROLE_UNIT, ROLE_WANTED}},
	{"forget how earlier boots ended",
	 .command = {"grub-editenv", ROLE_GRUB_ENVIRONMENT, "unset", ROLE_VARIABLE}},
	{"add the boot entry, " ROLE_GRUB_SCRIPT, .copy = {"role/42_oya", ROLE_GRUB_SCRIPT, 0755}},
	{"write GRUB's menu", .command = {"update-grub"}},
};

static const struct step remove_steps[] = {
	{"remove the boot entry, " ROLE_GRUB_SCRIPT, .forget = ROLE_GRUB_SCRIPT},
	{"write GRUB's menu", .command = {"update-grub"}},
	{"forget how boots ended",
	 .command = {"grub-editenv", ROLE_GRUB_ENVIRONMENT, "unset", ROLE_VARIABLE}},
	{"switch off oya-role.service", .forget = ROLE_WANTED},
	{"remove " ROLE_UNIT, .forget = ROLE_UNIT},
	{"remove the driver (DKMS) and its source", .command = {"sh", "-c", FORGET_DRIVERS}},
	{"remove the hypervisor, " ROLE_FOLDER, .command = {"rm", "-rf", ROLE_FOLDER}},
};

/* The last line, which tells why a program gave up. */
static const char *last_line(char *text)
{
	const char *start;

	for (size_t len = strlen(text); len && text[len - 1] == '\n'; len--)
		text[len - 1] = '\0';
	start = strrchr(text, '\n');
	return start ? start + 1 : text;
}

static int do_step(const struct step *s, struct failure *f)
{
	char said[8192] = "";
	const char *why;
	struct role_output output = {said, sizeof(said), true};
	int r = 0;

	if (s->command[0]) {
		r = role_command(s->command, &output);
		why = last_line(said);
		if (r != 0)
			return fail(f, r < 0 ? r : -EIO,
				    "cannot %s: %s %s%s%.200s; mend that and give the verb again",
				    s->text, s->command[0],
				    r < 0 ? strerror(-r) : "ended with an error", *why ? ": " : "",
				    why);
		return 0;
	}
	if (s->forget) {
		if (unlink(s->forget) < 0 && errno != ENOENT)
			r = -errno;
	} else {
		r = role_file_copy(s->copy.from, s->copy.to, s->copy.mode);
	}
	return r < 0 ? fail(f, r, "cannot %s: %s", s->text, strerror(-r)) : 0;
}

static int do_steps(const struct step *steps, size_t count, bool dry, struct failure *f)
{
	bool packaged = access(ROLE_SOURCE "/" ROLE_PACKAGED, F_OK) == 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		if (steps[i].own_driver && packaged)
			continue;
		printf("%s%s\n", dry ? "would " : "", steps[i].text);
		fflush(stdout);
		if (!dry)
			r = do_step(&steps[i], f);
	}
	return r;
}

static int need_root(struct failure *f)
{
	return geteuid() == 0
		       ? 0
		       : fail(f, -EPERM,
			      "cannot change the role of this host: only root may; use sudo");
}

int role_install(const char *from, bool dry, struct failure *f)
{
	struct role_host host;
	int r = dry ? 0 : need_root(f);

	if (r < 0)
		return r;
	/* So that it can be told whether the firmware forbids SVM. */
	if (!dry)
		(void)role_command((const char *[]){"modprobe", "-q", "msr", NULL}, NULL);
	role_host_read(&host);
	r = role_host_check(&host, f);
	if (r == 0 && chdir(from) < 0)
		r = fail(
			f, -errno,
			"cannot find the hypervisor's parts in %s: %s; name their folder with --from",
			from, strerror(errno));
	return r < 0 ? r : do_steps(install_steps, ARRAY_LEN(install_steps), dry, f);
}

int role_remove(bool dry, struct failure *f)
{
	int r = dry ? 0 : need_root(f);

	return r < 0 ? r : do_steps(remove_steps, ARRAY_LEN(remove_steps), dry, f);
}

int role_settle(struct failure *f)
{
	static const struct step steps[] = {
		{"load the driver", .command = {"modprobe", "oya_kvm"}},
		{"note that the boot came up",
		 .command = {"grub-editenv", ROLE_GRUB_ENVIRONMENT, "set", ROLE_VARIABLE "=good"}},
	};
	struct role_host host;
	int r = need_root(f);

	if (r < 0)
		return r;
	role_host_read(&host);
	return host.is_parent ? do_steps(steps, ARRAY_LEN(steps), false, f) : 0;
}
