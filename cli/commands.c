/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of nouns and verbs. tests/tools/docs_test.py reads it too. */
#include "base/util.h"
#include "cli/command.h"
#include "cli/verbs.h"

const struct noun command_nouns[] = {
	{"vm", "virtual machines of this host: made, started, changed, removed"},
	{"disk", "disks and DVD drives of a VM, also while it runs"},
	{"nic", "NICs of a VM, also while it runs"},
	{"image", "images of this host, of which new disks are made"},
	{"switch", "virtual switches, which connect VMs with each other and the network"},
	{"console", "the serial console of a VM on this terminal"},
	{"job", "long work of the host service"},
	{"host", "this host"},
	{"cluster", "the cluster of this host: several hosts that stand in for each other"},
	{"token", "tokens, by which programs and other hosts may use the API"},
	{"events", "what happens on this host, as it happens"},
	{"top", "VMs of this host live, with what they use"},
	{"doctor", "what of this host stands in the way of its VMs"},
};
const size_t command_noun_count = ARRAY_LEN(command_nouns);

static const struct command_option create_options[] = {
	{"cpus", "N", NULL, "virtual processors, 1 to 64; default 1", 0},
	{"memory", "SIZE", NULL, "such as 512M or 4G; default 1G", 0},
	{"image", "IMAGE", NULL,
	 "its first disk is made of this image: a name of 'oya\n"
	 "image list', or a file of any format of 'oya vm import',\nnamed with a slash",
	 0},
	{"size", "SIZE", NULL, "that disk becomes this large, such as 20G", 0},
	{"disk", "FILE|SIZE[,OPTION...]", "@run",
	 "an image or a block device; or a new, empty disk of a size\n"
	 "such as 20G. May be given more than once; options are\nthose of 'oya run'",
	 0},
	{"dvd", "FILE|empty[,OPTION...]", "@run",
	 "a DVD-ROM drive, with an ISO image or nothing in it", 0},
	{"net", "switch=NAME|user|tap=IF|none[,OPTION...]", "@run",
	 "a NIC: on a switch, with user-mode networking, or on a\n"
	 "tap interface; options are those of 'oya run', such as\nforward=tcp:2222:22, and of a "
	 "switch vlan=N. May be\ngiven more than once; without it there is one on the\nswitch "
	 "'default', with none there is no NIC",
	 0},
	{"firmware", "bios", "bios", "boot from the disks and drives, in their order; the default",
	 0},
	{"kernel", "FILE", "@run", "boot this Linux kernel instead", 0},
	{"initrd", "FILE", "@run", "its initial RAM disk", 0},
	{"append", "TEXT", NULL, "its command line; may be given more than once", 0},
	{"notes", "TEXT", NULL, "what people are to know of it", 0},
	{"tag", "TEXT", NULL, "a tag; may be given more than once", 0},
	{"start", NULL, NULL, "start it too", 0},
	{0},
};

static const struct command_option stop_options[] = {
	{"off", NULL, NULL, "switch it off at once; the guest is not asked", 0},
	{"reason", "TEXT", NULL, "what some guests show or log", 0},
	{0},
};

static const struct command_option migrate_options[] = {
	{"bandwidth", "SIZE", NULL, "in a second at most, such as 100M; default: no limit", 0},
	{"downtime", "MS", NULL,
	 "milliseconds for which the guest may stand still, 1 to\n10000; default 20, or as much more as it takes",
	 0},
	{"quick", NULL, NULL, "the guest stands still on its way: surer, and longer", 0},
	{"connections", "N", NULL, "so many at once, 1 to 8, where both hosts can; default 1", 0},
	{"compress", "WHEN", "auto never",
	 "auto: its memory, while that makes the move shorter; never,\nthe default", 0},
	{"postcopy", NULL, NULL,
	 "a guest that writes too fast goes before all of its memory\n"
	 "has; default: as migration.postcopy of the VM says",
	 0},
	{"with-storage", NULL, NULL,
	 "the disks of its folder go along, to a host that has none\n"
	 "of it; they are removed here when it runs there",
	 0},
	{0},
};

#define ROOM_HELP "also when the cluster would not survive the loss of a\nhost any more then"

static const struct command_option cluster_options[] = {
	{"preferred", "HOST[,HOST...]", NULL, "hosts where it is to run, the first most", 0},
	{"possible", "HOST[,HOST...]", NULL, "hosts where it may run; default: all", 0},
	{"priority", "WHICH", "low normal high",
	 "who starts first when there is not room for all;\ndefault normal", 0},
	{"restart", "N/TIME", NULL,
	 "how often within that time it is started again on one\n"
	 "host before another one gets it, such as 2/30m; default\n1/15m",
	 0},
	{"failback", "WHEN", "off immediate",
	 "whether it goes back to a host that is preferred, once\n"
	 "that is there again: off, the default; immediate; or at a\n"
	 "time of the day, such as 22:00-05:30",
	 0},
	{"anti-affinity", "GROUP", NULL, "no host runs two VMs of the group", 0},
	{"prefer-apart", "GROUP", NULL, "the same as far as there are hosts enough", 0},
	{"probe", "URL", NULL,
	 "what its guest answers as long as it is well:\n"
	 "tcp://ADDRESS:PORT or http://ADDRESS:PORT/PATH",
	 0},
	{"probe-interval", "TIME", NULL, "how often it is asked; default 30s", 0},
	{"probe-failures", "N", NULL,
	 "after so many without an answer the VM has failed;\ndefault 3", 0},
	{"quick", NULL, NULL,
	 "it moves by being stopped as its settings say, saved for\none; default: live", 0},
	{"needs", "TAG[,TAG...]", NULL, "it runs only on hosts that have all of these", 0},
	{"force", NULL, NULL, ROOM_HELP, 0},
	{"remove", NULL, NULL, "stop it, and take it out of the cluster", 0},
	{0},
};

static const struct command_option test_options[] = {
	{"power", NULL, NULL, "by the fencing that cuts its power: it boots", 0},
	{NULL, NULL, NULL, NULL, 0}};

static const struct command_option log_options[] = {
	{"since", "TIME", NULL, "no longer ago than that: 30m, 12h, 7d; default: all", 0},
	{"follow", NULL, NULL, "go on with what comes", 0},
	{0},
};

static const struct command_option delete_options[] = {
	{"disks", "WHAT", "keep delete",
	 "keep: its settings go, the files in its folder stay, the\n"
	 "default; delete: the folder goes with all that is in it",
	 0},
	{0},
};

static const struct command_option import_options[] = {
	{"name", "NAME", NULL, "of the VM; default: the one in the file", 0},
	{0},
};

static const struct command_option disk_options[] = {
	{"copy", NULL, NULL,
	 "a copy of the file or of an image of 'oya image list' is\n"
	 "made in the VM's folder, and converted where it must be",
	 0},
	{"name", "FILE", NULL, "of a new disk: its image's name in the VM's folder", 0},
	{"dvd", NULL, NULL, "a DVD-ROM drive, with an ISO image, or 'empty'", 0},
	{0},
};

static const struct command_option switch_options[] = {
	{"kind", "KIND", "nat internal private external",
	 "nat: the host's network by translation, with DHCP; the\n"
	 "default. external: a NIC of the host. internal: the host\nand VMs. private: VMs alone",
	 0},
	{"nic", "INTERFACE", NULL, "of an external switch, which this makes it", 0},
	{"no-host", NULL, NULL, "external: the host gives the NIC away", 0},
	{"address", "ADDRESS/BITS", NULL, "the host's, such as 10.1.0.1/24; nat and internal", 0},
	{"dhcp", "FIRST-LAST|off", NULL, "nat: the addresses that are given out", 0},
	{"mtu", "N", NULL, "the longest packet", 0},
	{"wait", "SECONDS", NULL,
	 "external: how long the network may take to answer\nbefore the NIC is given back; "
	 "default 30",
	 0},
	{"confirm", NULL, NULL, "external: 'oya switch confirm' must come too in this time", 0},
	{0},
};

static const struct command_option events_options[] = {
	{"after", "NUMBER", NULL, "also those since this one, as far as they are kept", 0},
	{0},
};

static const struct command_option token_options[] = {
	{"role", "ROLE", "reader operator administrator",
	 "reader: it sees, the default; operator: starts and stops VMs\n"
	 "too, and has their consoles; administrator: everything",
	 0},
	{"vm", "NAME", NULL, "for this VM alone, which it alone sees; may be given more\nthan once",
	 0},
	{"days", "N", NULL, "how long it holds, 1 to 3650; default 90", 0},
	{0},
};

static const struct command_option trust_options[] = {
	{"fingerprint", "SHA256", NULL, "it has to be this one, and nobody is asked", 0},
	{0},
};

static const struct command_option link_options[] = {
	{"link", "ADDRESS", NULL,
	 "an address of this host for the cluster's own traffic; given\n"
	 "twice there are two links, of which one may fail",
	 0},
	{0},
};

static const struct command_option force_options[] = {
	{"force", NULL, NULL, "also when it holds VMs, or when others cannot be asked", 0},
	{0},
};

static const struct command_option room_options[] = {
	{"force", NULL, NULL, ROOM_HELP, 0},
	{0},
};

static const struct command_option drain_options[] = {
	{"force", NULL, NULL, "VMs that can run on no other host are stopped", 0},
	{"cancel", NULL, NULL, "as 'oya host resume': what has moved stays where it is", 0},
	{0},
};

static const struct command_option resume_options[] = {
	{"failback", "WHEN", "immediate off",
	 "immediate: the VMs that were drained come back at once;\n"
	 "off: each as its own settings say, the default",
	 0},
	{0},
};

static const struct command_option top_options[] = {
	{"delay", "SECONDS", NULL, "between two looks, 0.1 to 3600; default 1", 0},
	{"once", NULL, NULL, "two looks and one table, as where there is no terminal", 0},
	{0},
};

#define TOP_TEXT "Keys: s sorts by another column, q ends."

#define DOCTOR_TEXT                                                                          \
	"Each check is ok, a note (worth to know), or wrong, with what to do. Exit status\n" \
	"0 when nothing is wrong, 1 when something is. Root sees more than others."

#define MIGRATE_TEXT                                                                               \
	"HOST is ADDRESS[:PORT] as this host reaches it. Its fingerprint and an administrator's\n" \
	"token for it are those of hosts.json, and are handed to the host service for this move."

#define STORAGE_TEXT                                                                              \
	"FOLDER is there already, of this host, mostly of another file system: the VM's folder\n" \
	"becomes FOLDER/NAME, and moves back with /var/lib/oya/vms."

#define CLUSTER_TEXT                                                                              \
	"The VM has to run on this host, and goes on. Its folder has to be on storage that all\n" \
	"hosts of the cluster reach under one path; its name in /var/lib/oya/vms is a link to\n"  \
	"that. What is not given is as by default, also of a VM that is there already. Of such\n" \
	"a VM, without options, it is printed what the cluster's engine has set, whoever did."

#define JOIN_TEXT                                                                                   \
	"TOKEN is what 'oya cluster create' or 'token' has printed on a host of the cluster. All\n" \
	"that stands in the way is told at once; a join that fails leaves both hosts as they were."

#define FENCING_TEXT                                                                              \
	"A DEVICE is a disk by a name that all hosts know it by, such as\n"                       \
	"/dev/disk/by-id/wwn-0x600..., or iscsi://HOST/TARGET/LUN. Each host of the cluster is\n" \
	"let in at it, and nobody else may write to it then. VMs that run from it go on."

#define TEST_FENCING_TEXT                                                                         \
	"Asked of another host than HOST, which runs nothing of the cluster. It is cut off its\n" \
	"disks, has to fail to write, and is let in again; with --power it boots."

#define WITNESS_TEXT                                                                               \
	"KIND is 'disk PATH', a block device, 'share PATH', a file on a share, or 'none'. All\n"   \
	"hosts reach it under that path. It is made where nothing but zeros is, and votes while\n" \
	"the number of hosts is even."

#define SET_TEXT                                                                                 \
	"A KEY is a setting's name, with a dot before the names within it; an empty VALUE\n"     \
	"takes the setting back to its default. Numbers, texts and JSON are told apart by the\n" \
	"setting:\n"                                                                             \
	"  cpus=4 memory=8G notes='our web server' tags=web,public start.action=always\n"        \
	"  limits.cpu_percent=200 crash.action=leave stop.timeout=300 boot.append=\n"            \
	"  disks='[{\"file\": \"/srv/web.raw\"}]' nics='[{\"type\": \"user\"}]'"

#define DISK_TEXT                                                                                   \
	"DISK is FILE|SIZE[,OPTION...], as in 'oya vm create'. A guest that runs has it at once:\n" \
	"  oya disk add web /srv/data.raw\n"                                                        \
	"  oya disk add web 20G,cache=writeback --name data.raw"

#define NIC_TEXT                                                                                     \
	"NIC is as --net of 'oya vm create'. A guest that runs has it at once, but for one of the\n" \
	"type user, which needs a VM that is off:\n"                                                 \
	"  oya nic add web switch=lan,vlan=20"

#define IMPORT_TEXT                                                                                   \
	"FILE is an OVA or OVF, a domain of libvirt's as XML, or an image: raw, qcow2, VMDK, VHDX\n"  \
	"or VHD. Disks are converted into the VM's folder, and looked into: what could not boot is\n" \
	"refused with the reason. The old files stay as they are. NICs are on the switch default."

#define CONSOLE_TEXT                                                                         \
	"All keys go to the guest but Ctrl-], which begins a command: s asks the guest to\n" \
	"shut down, r resets, n sends an NMI, o switches off, q leaves the console,\n"       \
	"? lists these, Ctrl-] sends itself."

#define PROCESSOR_TEXT                                                                         \
	"Without FILE that of this host (or --host). With FILEs, each printed so on a host,\n" \
	"what all of them have: a baseline for VMs that are to move between these hosts:\n"    \
	"oya vm set NAME processor=\"$(oya host processor a.json b.json)\""

#define DRAIN_TEXT                                                                                   \
	"Its VMs that are the cluster's go to other hosts, live or as each one's settings say. It\n" \
	"stays drained, over its own restarts too, until 'oya host resume'. --dry-run prints who\n"  \
	"would go where. A VM that can go nowhere has all refused. The engine does the moves: if\n"  \
	"this command or its host ends they go on, and 'oya host drain' follows them again."

#define STOP_VMS_TEXT                                                                       \
	"Each guest is asked to shut down, and its VM switched off after the time of its\n" \
	"settings ('stop'). A VM that runs is noted as such, so that 'start' does as it\n"  \
	"says when the host starts again. oya-vms.service does this at the host's end."

/* clang-format off */
const struct command command_table[] = {
	{"vm", "list", "", COMMAND_OUTPUT | COMMAND_WATCH, NULL, vm_list,
	 "list the VMs of this host with their state", NULL},
	{"vm", "show", "NAME", COMMAND_OUTPUT, NULL, vm_show,
	 "show a VM: its settings, its state, what its guest tells", NULL},
	{"vm", "create", "NAME", COMMAND_OUTPUT | COMMAND_JOB, create_options, vm_create,
	 "make a VM", NULL},
	{"vm", "import", "FILE", COMMAND_OUTPUT | COMMAND_JOB, import_options, vm_import,
	 "take over a VM or an image of another system", IMPORT_TEXT},
	{"vm", "start", "NAME", COMMAND_OUTPUT | COMMAND_JOB, NULL, vm_start,
	 "start a VM, and wait until it runs", NULL},
	{"vm", "stop", "NAME", COMMAND_OUTPUT | COMMAND_JOB, stop_options, vm_stop,
	 "ask the guest to shut down, and wait until the VM is off", NULL},
	{"vm", "save", "NAME", COMMAND_OUTPUT | COMMAND_JOB, NULL, vm_save,
	 "save the state of a VM, which goes on from it at its next start", NULL},
	{"vm", "migrate", "NAME HOST", COMMAND_OUTPUT | COMMAND_JOB, migrate_options, vm_migrate,
	 "move a VM that runs to another host; it runs on meanwhile", MIGRATE_TEXT},
	{"vm", "move-storage", "NAME FOLDER", COMMAND_OUTPUT | COMMAND_JOB, NULL, vm_move_storage,
	 "move the folder of a VM with its disks into another folder; it runs on", STORAGE_TEXT},
	{"vm", "cluster", "NAME", COMMAND_OUTPUT, cluster_options, vm_cluster,
	 "make a VM a resource of the cluster, which starts it again elsewhere", CLUSTER_TEXT},
	{"vm", "discard", "NAME", 0, NULL, vm_discard,
	 "throw the saved state of a VM away", NULL},
	{"vm", "pause", "NAME", 0, NULL, vm_pause,
	 "stop the processors of a VM; its memory stays", NULL},
	{"vm", "resume", "NAME", 0, NULL, vm_resume,
	 "let a VM that is paused go on", NULL},
	{"vm", "reset", "NAME", 0, NULL, vm_reset,
	 "begin anew at once, as by the button of a PC", NULL},
	{"vm", "reboot", "NAME", 0, NULL, vm_reboot,
	 "ask the guest to restart itself", NULL},
	{"vm", "nmi", "NAME", 0, NULL, vm_nmi,
	 "send a non-maskable interrupt to every processor", NULL},
	{"vm", "set", "NAME KEY=VALUE...", COMMAND_OUTPUT | COMMAND_IF_MATCH, NULL, vm_set,
	 "change settings of a VM", SET_TEXT},
	{"vm", "delete", "NAME", COMMAND_IF_MATCH, delete_options, vm_delete,
	 "remove a VM that is off", NULL},
	{"vm", "stat", "NAME", COMMAND_OUTPUT, NULL, vm_stat,
	 "show counters of a VM's processors, disks, NICs and channels", NULL},
	{"disk", "list", "NAME", COMMAND_OUTPUT, NULL, disk_list,
	 "list the disks and drives of a VM with their places", NULL},
	{"disk", "add", "NAME DISK", COMMAND_OUTPUT | COMMAND_JOB, disk_options, disk_add,
	 "give a VM a disk: an image or device, or a new one of a size", DISK_TEXT},
	{"disk", "remove", "NAME PLACE", 0, NULL, disk_remove,
	 "take a disk from a VM; its image is kept", NULL},
	{"disk", "resize", "NAME PLACE SIZE", COMMAND_OUTPUT, NULL, disk_resize,
	 "make a disk of a VM that is off larger", NULL},
	{"nic", "list", "NAME", COMMAND_OUTPUT, NULL, nic_list,
	 "list the NICs of a VM with their addresses", NULL},
	{"nic", "add", "NAME NIC", COMMAND_OUTPUT, NULL, nic_add,
	 "give a VM a NIC, such as switch=default", NIC_TEXT},
	{"nic", "remove", "NAME MAC", 0, NULL, nic_remove,
	 "take a NIC from a VM", NULL},
	{"image", "list", "", COMMAND_OUTPUT, NULL, image_list,
	 "list the images of this host", NULL},
	{"image", "import", "NAME FILE", COMMAND_OUTPUT | COMMAND_JOB, NULL, image_import,
	 "make an image of a file: raw, qcow2, VMDK, VHDX or VHD", NULL},
	{"image", "delete", "NAME", 0, NULL, image_delete,
	 "remove an image; VMs that were made of it stay", NULL},
	{"switch", "list", "", COMMAND_OUTPUT | COMMAND_WATCH, NULL, switch_list,
	 "list the virtual switches of this host", NULL},
	{"switch", "show", "SWITCH", COMMAND_OUTPUT, NULL, switch_show,
	 "show a switch and the VMs that are on it", NULL},
	{"switch", "create", "NAME", COMMAND_OUTPUT | COMMAND_JOB, switch_options, switch_create,
	 "make a switch; an external one is tried first", NULL},
	{"switch", "delete", "SWITCH", 0, NULL, switch_delete,
	 "remove a switch that no VM is on; a NIC is given back to the host", NULL},
	{"switch", "confirm", "SWITCH", 0, NULL, switch_confirm,
	 "tell that the host is reached by a switch that is on trial", NULL},
	{"console", NULL, "NAME", 0, NULL, console_open,
	 "carry the serial console of a VM to this terminal", CONSOLE_TEXT},
	{"job", "list", "", COMMAND_OUTPUT | COMMAND_WATCH, NULL, job_list,
	 "list jobs that run, and the last ones that ended", NULL},
	{"job", "show", "JOB", COMMAND_OUTPUT, NULL, job_show,
	 "show a job by its number", NULL},
	{"job", "wait", "JOB", COMMAND_OUTPUT, NULL, job_wait,
	 "wait for the end of a job; fails as the job does", NULL},
	{"job", "cancel", "JOB", 0, NULL, job_cancel,
	 "end a job early, where that is possible; it undoes what it did", NULL},
	{"host", "show", "", COMMAND_OUTPUT, NULL, host_show,
	 "show this host", NULL},
	{"host", "processor", "[FILE...]", COMMAND_OUTPUT, NULL, host_processor,
	 "print what the processor offers a guest, or what several do", PROCESSOR_TEXT},
	{"host", "trust", "ADDRESS[:PORT]", 0, trust_options, host_trust,
	 "keep the fingerprint of another host's certificate", NULL},
	{"host", "drain", "HOST", COMMAND_OUTPUT | COMMAND_JOB, drain_options, host_drain,
	 "have all VMs of the cluster leave a host, before it is serviced", DRAIN_TEXT},
	{"host", "resume", "HOST", COMMAND_OUTPUT | COMMAND_JOB, resume_options, host_resume,
	 "let a host that was drained run VMs again", NULL},
	{"token", "list", "", COMMAND_OUTPUT, NULL, token_list,
	 "list the tokens of this host", NULL},
	{"token", "create", "NAME", COMMAND_OUTPUT, token_options, token_create,
	 "make a token, and print it: it is not shown again", NULL},
	{"token", "delete", "TOKEN", 0, NULL, token_delete,
	 "take a token back by its name; what is open by it ends", NULL},

	{"cluster", "create", "NAME", COMMAND_OUTPUT | COMMAND_JOB, link_options, cluster_create,
	 "make a cluster of this host, and print a token for the next one", NULL},
	{"cluster", "join", "TOKEN", COMMAND_OUTPUT | COMMAND_JOB, link_options, cluster_join,
	 "make this host a member of a cluster, and wait until it is online", JOIN_TEXT},
	{"cluster", "token", "", COMMAND_OUTPUT, NULL, cluster_token,
	 "print a token for one more host", NULL},
	{"cluster", "status", "", COMMAND_OUTPUT, NULL, cluster_status,
	 "show hosts, quorum, fencing, links, what runs where, and what is wrong", NULL},
	{"cluster", "log", "", COMMAND_OUTPUT, log_options, cluster_log,
	 "print what has happened in the cluster, and why", NULL},
	{"cluster", "start", "VM", 0, room_options, cluster_start,
	 "start a VM of the cluster where there is room, unless it breaks the reserve", NULL},
	{"cluster", "stop", "VM", 0, NULL, cluster_stop,
	 "stop a VM of the cluster, as its settings say", NULL},
	{"cluster", "balance", "", COMMAND_OUTPUT | COMMAND_JOB, NULL, cluster_balance,
	 "move VMs so that all hosts have memory free; --dry-run shows what and why", NULL},
	{"cluster", "fencing", "", COMMAND_OUTPUT, NULL, cluster_fencing,
	 "show how a silent host is cut off, and whose storage that covers", NULL},
	{"cluster", "add-fencing", "DEVICE...", COMMAND_OUTPUT | COMMAND_JOB, NULL,
	 cluster_add_fencing, "cut hosts off these disks by SCSI-3 persistent reservations",
	 FENCING_TEXT},
	{"cluster", "remove-fencing", "NAME", COMMAND_OUTPUT | COMMAND_JOB, NULL,
	 cluster_remove_fencing, "end that; the disks are cleared of keys", NULL},
	{"cluster", "test-fencing", "HOST", COMMAND_OUTPUT | COMMAND_JOB, test_options,
	 cluster_test_fencing, "see that another host, which is drained, is cut off",
	 TEST_FENCING_TEXT},
	{"cluster", "witness", "KIND...", COMMAND_OUTPUT | COMMAND_JOB, NULL, cluster_witness,
	 "let a disk or a file vote when the hosts part evenly", WITNESS_TEXT},
	{"cluster", "leave", "", COMMAND_OUTPUT | COMMAND_JOB, force_options, cluster_leave,
	 "take this host out of its cluster", NULL},
	{"cluster", "remove", "HOST", COMMAND_OUTPUT | COMMAND_JOB, force_options, cluster_remove,
	 "take a host out that is dead", NULL},
	{"cluster", "destroy", "", COMMAND_OUTPUT | COMMAND_JOB, force_options, cluster_destroy,
	 "end the cluster on all hosts; VMs and their disks stay", NULL},
	{"host", "stop-vms", "", COMMAND_OUTPUT | COMMAND_JOB, NULL, host_stop_vms,
	 "stop all VMs as each one's settings say", STOP_VMS_TEXT},
	{"events", NULL, "", COMMAND_OUTPUT, events_options, events_follow,
	 "print what happens on this host, a line for each event", NULL},
	{"top", NULL, "", 0, top_options, top_show,
	 "show the VMs of this host and what they use, until q", TOP_TEXT},
	{"doctor", NULL, "", COMMAND_OUTPUT, NULL, doctor_look,
	 "look for what of this host stands in the way of its VMs", DOCTOR_TEXT},
};
/* clang-format on */
const size_t command_count = ARRAY_LEN(command_table);
