# SPDX-License-Identifier: GPL-2.0-or-later
"""Code and documents name the same options, verbs and settings; links in documents lead somewhere."""

import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
OPTIONS_TABLE = r"(?:struct option options|rules)\[\] = \{"


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def inside(text, begin, end, what):
    """The text between two patterns; AssertionError when there is none."""
    found = re.search(f"{begin}(.*?){end}", text, re.DOTALL | re.MULTILINE)
    if not found:
        raise AssertionError(f"the test does not find {what} any more")
    return found[1]


def options_of_help():
    """The options that begin a line of `oya run --help`."""
    text = inside(read("cli/run.c"), r"^static const char help_text\[\] =", r";$", "the help of oya run")
    lines = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text)).split(r"\n")
    return {found[1] for line in lines if (found := re.match(r"  (--[\w-]+)", line))}


def options_of_getopt(name):
    """The long options that a program takes."""
    text = inside(read(name), OPTIONS_TABLE, r"\};", f"the options of {name}")
    return {f"--{word}" for word in re.findall(r'\{"([\w-]+)",', text)}


def options_of_manual(name):
    """The options that begin an item (.TP) of the sections OPTIONS."""
    text = inside(read(name), r"^\.SH OPTIONS$", r"^\.SH ", f"the options of {name}").replace("\\-", "-")
    items = re.findall(r"^\.TP\n(.*)$", text, re.MULTILINE)
    return {found[0] for item in items if (found := re.search(r"--[\w-]+", item))}


class Table:
    """The nouns, verbs and options of cli/commands.c."""

    def __init__(self):
        text = read("cli/commands.c")
        nouns = inside(text, r"command_nouns\[\] = \{", r"^\};", "the nouns of oya")
        self.nouns = re.findall(r'\{"(\w+)",', nouns)
        own = {
            name: {f"--{word}" for word in re.findall(r'\{"([\w-]+)",', body)}
            for name, body in re.findall(
                r"^static const struct command_option (\w+)\[\] = \{(.*?)^\};", text, re.DOTALL | re.MULTILINE
            )
        }
        shared = inside(read("cli/command.c"), r"shared\[\] = \{", r"^\};", "the options that verbs share")
        shared = re.findall(r'\{(\w+),\s*\{"([\w-]+)"', shared)
        rows = inside(text, r"command_table\[\] = \{", r"^\};", "the table of verbs")
        self.verbs = {noun: set() for noun in self.nouns}
        self.options = {noun: set() for noun in self.nouns}
        for noun, verb, flags, options in re.findall(
            r'\{"(\w+)",\s*(NULL|"[\w-]+"),\s*"[^"]*",\s*([\w |]+),\s*(\w+),', rows
        ):
            if verb != "NULL":
                self.verbs[noun].add(verb.strip('"'))
            self.options[noun] |= own.get(options, set())
            self.options[noun] |= {f"--{name}" for flag, name in shared if flag == "0" or flag in flags.split(" | ")}
        self.keys = re.findall(
            r'\{"([\w.]+)", [A-Z]+\}', inside(read("cli/vm_set.c"), r"known\[\] = \{", r"^\};", "the keys of vm set")
        )


def sections(text, level):
    """Title to text of each section of a document in Markdown."""
    parts = re.split(rf"^{'#' * level} (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


class Commands(unittest.TestCase):
    def test_help_of_run_names_the_options_that_it_takes(self):
        self.assertEqual(options_of_help() | {"--help"}, options_of_getopt("cli/run.c"))

    def test_manual_page_of_run_has_the_options_that_it_takes(self):
        self.assertEqual(options_of_manual("man/oya-run.1"), options_of_getopt("cli/run.c"))

    def test_manual_page_of_the_worker_has_the_options_that_it_takes(self):
        self.assertEqual(options_of_manual("man/oya-worker.8"), options_of_getopt("worker/main.c"))

    def test_manual_page_of_the_daemon_has_the_options_that_it_takes(self):
        self.assertEqual(options_of_manual("man/oyad.8"), options_of_getopt("host/main.c"))

    def test_manual_page_of_the_witness_has_the_options_that_it_takes(self):
        self.assertEqual(options_of_manual("man/oya-witness.8"), options_of_getopt("cluster/witness/main.c"))

    def test_manual_page_of_oya_has_its_verbs(self):
        table = inside(read("cli/cli.c"), r"verbs\[\] = \{", r"\};", "the verbs of oya")
        self.assertEqual(self._items("man/oya.1", "VERBS"), set(re.findall(r"&cli_verb_(\w+)", table)))
        self.assertEqual(self._items("man/oya.1", "NOUNS"), set(Table().nouns))

    def test_manual_page_of_each_noun_has_its_verbs_and_options(self):
        table = Table()
        self.assertEqual(sum(map(len, table.verbs.values())), len(re.findall(r"^\t\{\"", self._rows(), re.MULTILINE)) - 4)
        for noun in table.nouns:
            page = f"man/oya-{noun}.1"
            self.assertEqual(options_of_manual(page), table.options[noun], page)
            if table.verbs[noun]:
                self.assertEqual(self._items(page, "VERBS"), table.verbs[noun], page)
            self.assertIn(f"oya-{noun}.1", read("man/meson.build"))

    def test_manual_page_of_vm_has_the_settings(self):
        text = inside(read("man/oya-vm.1"), r"^\.SH SETTINGS$", r"^\.SH ", "the settings of oya-vm.1")
        for key in Table().keys:
            if key not in ("memory_mib", "boot"):  # told of by "memory" and by what is within
                self.assertRegex(text, rf"\.BR?I? .*\b{re.escape(key)}\b", key)

    def test_completion_has_the_options_of_run(self):
        self.assertEqual(self._complete("oya run --"), options_of_getopt("cli/run.c"))

    def test_manual_page_and_completion_of_role_have_the_options_that_it_takes(self):
        taken = options_of_getopt("cli/role.c")
        self.assertEqual(options_of_manual("man/oya-role.8"), taken)
        self.assertEqual(self._complete("oya role --"), taken)
        self.assertEqual(self._complete("oya role "), taken | {"install", "remove", "status"})

    def test_completion_has_the_verbs(self):
        table = inside(read("cli/cli.c"), r"verbs\[\] = \{", r"\};", "the verbs of oya")
        words = {*re.findall(r"&cli_verb_(\w+)", table), *Table().nouns, "help", "--help", "--version"}
        self.assertEqual(self._complete("oya "), words)

    def test_completion_of_a_noun_asks_the_program(self):
        answers = r'oya() { printf "%s\n" "word start" "part key=" "word $1:$2"; }; '
        self.assertEqual(self._complete("oya vm st", before=answers), {"start", "key=", "complete:oya", "vm", "st"})
        self.assertEqual(self._complete("oya job show ", before="oya() { return 1; }; "), set())
        answers = "oya() { echo run; }; "
        self.assertEqual(self._complete("oya vm create x --firmware ", before=answers), {"bios"})

    def test_no_argument_of_an_option_is_completed_as_an_option(self):
        text = inside(read("cli/run.c"), OPTIONS_TABLE, r"\};", "the options of oya run")
        for option in re.findall(r'\{"([\w-]+)", required_argument', text):
            self.assertNotIn("--kernel", self._complete(f"oya run --{option} "), option)

    def test_completion_goes_on_behind_a_comma_and_an_equals_sign(self):
        for line, last, expected in (
            ("oya run --disk a,c", "a,c", {"a,cache=none", "a,cache=writeback", "a,controller="}),
            ("oya run --dvd a,l", "a,l", {"a,lun="}),
            ("oya run --disk a,ro,cache=w", "w", {"writeback"}),
            ("oya run --net user,m", "user,m", {"user,mac=", "user,mtu="}),
            ("oya run --net tap=t,m", "t,m", {"t,mac=", "t,mtu="}),
            ("oya run --console p", "p", {"pty"}),
        ):
            self.assertEqual(self._complete(line, last), expected, line)

    def _items(self, page, section):
        text = inside(read(page) + ".SH\n", rf"^\.SH {section}$", r"^\.SH", f"the {section} of {page}")
        return set(re.findall(r"^\.TP\n\.B ([\w-]+)$", text.replace("\\-", "-"), re.MULTILINE))

    def _rows(self):
        return inside(read("cli/commands.c"), r"command_table\[\] = \{", r"^\};", "the table of verbs")

    def _complete(self, line, last=None, before=""):
        """What bash would offer; `last` is the part of the line that it replaces, `before` a program."""
        if last is None:
            last = line.rpartition(" ")[2]
        script = before + 'compopt() { :; }; . completion/oya; COMP_LINE=$1; COMP_POINT=${#1}; _oya oya "$2"'
        done = subprocess.run(
            ["bash", "-c", script + '; printf "%s\\n" "${COMPREPLY[@]}"', "bash", line, last],
            cwd=ROOT, capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        self.assertEqual(done.stderr, "")
        return set(done.stdout.split())


class Formats(unittest.TestCase):
    def test_document_of_the_hypervisors_calls_has_all_of_them(self):
        header, document = read("abi/oya.h"), read("docs/format/hypercalls.md")
        for kind in ("CALL", "INFO", "EXIT"):
            for name, number in re.findall(rf"OYA_{kind}_(\w+) = (\d+)", header):
                self.assertRegex(document, rf"`{name}` {number}\b")
        version = re.search(r"OYA_INTERFACE_VERSION (\d+)", header)[1]
        self.assertIn(f"version {version}\n", document)

    def test_document_of_the_control_socket_has_its_verbs(self):
        table = inside(
            read("worker/control_verbs.c"), r"^static const struct verb verbs\[\] = \{", r"^\};", "the table of verbs"
        )
        verbs = sections(sections(read("docs/format/control.md"), 2)["Verbs"], 3)
        self.assertEqual({title.strip("`") for title in verbs}, set(re.findall(r'\{"([\w-]+)",', table)))

    def test_document_of_the_control_socket_has_its_limits(self):
        text = read("worker/control.h")
        document = read("docs/format/control.md")
        for name, sentence in (
            ("CONTROL_VERSION", "# The control socket, version {}"),
            ("CONTROL_LINE_MAX", "at most {} bytes"),
            ("CONTROL_CLIENTS_MAX", "At most {} clients"),
        ):
            number = inside(text, rf"^#define {name} ", r"u?$", name)
            self.assertIn(sentence.format(number), document)

    def test_document_of_the_configuration_has_its_settings(self):
        # By object, since settings of two objects may have the same name.
        code = read("worker/config.c") + read("worker/config_layout.c")
        objects = {
            "The configuration": "decode_root",
            "`boot`": "decode_boot",
            "A member of `numa`": "decode_node",
            "A member of `disks`": "decode_disk",
            "A member of `nics`": "decode_nic",
            "`console`": "decode_console",
            "`lease`": "decode_lease",
            "`enlightenments`": "decode_enlightenments",
        }
        documented = sections(read("docs/format/worker-config.md").split("## Example")[0], 3)
        self.assertEqual(set(documented), set(objects))
        self.assertEqual(len(re.findall(r"struct field \w+\[\]", code)), len(objects))
        for title, function in objects.items():
            body = inside(code, rf"^static int {function}\(", r"^\}", function)
            named = "root_keys" if function == "decode_root" else "keys"
            table = code if function == "decode_root" else body
            keys = inside(table, rf"struct field {named}\[\] = \{{", r"\};", f"the keys of {function}")
            self.assertEqual(
                set(re.findall(r"^\| `(\w+)` \|", documented[title], re.MULTILINE)),
                set(re.findall(r'\{"(\w+)", JSON_', keys)),
                title,
            )

    def test_document_of_a_vm_has_its_settings(self):
        keys = inside(read("host/settings.c"), r"^static const struct field fields\[\] = \{", r"^\};", "the settings of a VM")
        first = read("docs/format/vm.md").split("\n\nA client that makes")[0]
        rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", first, re.MULTILINE)
        self.assertEqual({name for row in rows for name in re.findall(r"`(\w+)`", row)}, set(re.findall(r'\{"(\w+)", JSON_', keys)))

    def test_document_of_access_has_its_settings(self):
        code, document = read("host/access.c"), sections(read("docs/format/access.md"), 2)["Rules"]
        parts = {"": document.split("\n### ")[0], **sections(document, 3)}
        for title, function in (("", "of_root"), ("A member of `tokens`", "decode_token"), ("A member of `grants`", "decode_grant")):
            body = inside(code, rf"^static int {function}\(", r"^\}", function)
            keys = inside(body, r"struct field fields\[\] = \{", r"\};", f"the keys of {function}")
            rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", parts[title], re.MULTILINE)
            named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
            self.assertEqual(named, set(re.findall(r'\{"(\w+)", JSON_', keys)), title)

    def test_document_of_the_metrics_has_them(self):
        code = re.findall(r'"(oya_[a-z0-9_]+)",', read("host/metrics.c"))
        self.assertEqual(len(code), len(set(code)))
        self.assertEqual(re.findall(r"^\| `(\w+)` \|", read("docs/format/metrics.md"), re.MULTILINE), self._in_order(code))

    @staticmethod
    def _in_order(names):
        """As they are shown: the host's own first and last, those of each VM and of the cluster between."""
        own = [name for name in names if not name.startswith(("oya_vm", "oya_cluster"))]
        table = [name for name in names if name.startswith("oya_vm_") and name not in ("oya_vm_info", "oya_vm_state")]
        cluster = [name for name in names if name.startswith("oya_cluster")]
        return [own[0], "oya_vms", "oya_vm_info", "oya_vm_state", *table, *cluster, *own[1:]]

    def test_document_of_the_configuration_has_its_limits(self):
        text = read("worker/config.h")
        document = read("docs/format/worker-config.md")
        for name, sentence in (
            ("CONFIG_VERSION", "# The worker's configuration, version {}"),
            ("CONFIG_LUNS_MAX", "| `disks` | array of objects | none | disks and drives, at most {} a controller"),
            ("CONFIG_SCSI_QUEUES_MAX", "| `scsi_queues` | integer | `cpus`, at most 8 | 1 to {}:"),
            ("CONFIG_NICS_MAX", "| `nics` | array of objects | none | at most {} |"),
            ("CONFIG_FORWARDS_MAX", "of type `user`, at most {};"),
            ("CONFIG_CPUS_MAX", "| `cpus` | integer | 1 | 1 to {} |"),
            ("CONFIG_MEMORY_MIN_MIB", "| `memory_mib` | integer | 1024 | {} to "),
        ):
            self.assertIn(sentence.format(inside(text, rf"^#define {name} ", r"u?$", name)), document)

    def test_document_of_the_machine_has_the_code_of_the_hypercall_page(self):
        code = inside(read("devices/hv/pages.c"), r"hypercall_code\[\] = \{", r"\};", "the hypercall page")
        code = re.sub(r"/\*.*?\*/", "", code, flags=re.DOTALL)
        built = [int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2})", code)]
        ports = dict(re.findall(r"MACHINE_HYPERCALL_(KICK|CALL)_PORT (0x\w+?)u", read("abi/machine.h")))
        for name, port in ports.items():
            place = inside(read("devices/hv/pages.c"), rf"#define {name}_PORT_AT ", r"\s", name)
            built[int(place)] = int(port, 16)
        listing = inside(read("docs/format/machine.md"), r"### The hypercall page.*?```\n", r"```", "the listing")
        told = []
        for line in listing.splitlines():
            place, numbers = re.match(r"\s*(\d+)  ((?:[0-9a-f]{2} )+)", line).groups()
            self.assertEqual(int(place), len(told), line)
            told += [int(byte, 16) for byte in numbers.split()]
        self.assertEqual(told, built)


class Packages(unittest.TestCase):
    def test_packages_have_the_version_of_the_build(self):
        version = inside(read("meson.build"), r"^  version: '", r"'", "the version")
        self.assertEqual(re.match(r"oya \((.*?)\)", read("debian/changelog"))[1], version)

    def test_packages_have_all_manual_pages(self):
        pages = set(re.findall(r"'([\w-]+\.8)'", read("man/meson.build")))
        installed = read("debian/oya.install") + read("debian/oya-hypervisor.install") + read("debian/oya-cluster.install")
        self.assertEqual(set(re.findall(r"man8/([\w-]+\.8)", installed)), pages)

    def test_maintainer_scripts_name_the_units_and_never_stop_those_of_vms(self):
        units = {path.name for path in (ROOT / "packaging" / "systemd").glob("*.service")}
        packages = ("oya", "oya-cluster")
        scripts = "".join(read(f"debian/{p}.{name}") for p in packages for name in ("postinst", "prerm", "postrm"))
        self.assertEqual(set(re.findall(r"[\w-]+\.service", scripts)), units)
        for line in scripts.splitlines():
            if re.match(r"\s*deb-systemd-invoke stop|\s*systemctl.* stop", line):
                self.assertNotRegex(line, r"oya-vms|oya-vm-|oya\.slice")


class Import(unittest.TestCase):
    text = read("docs/format/import.md")

    def test_options_and_formats_are_those_of_the_program(self):
        options = set(re.findall(r'\{"(\w+)", required_argument', read("import/main.c")))
        self.assertEqual(set(re.findall(r"\[?--(\w+) ", self.text.partition("```\n\n")[0])), options)
        words = inside(read("import/format.c"), r"words\[\] = \{", r"^\};", "the words of formats")
        table = inside(self.text, r"^\| format \| what \|$", r"^$", "the table of formats")
        self.assertEqual(set(re.findall(r'"(\w+)"', words)) | {"vhd"}, set(re.findall(r"`(\w+)`", table)) - {"plan"})

    def test_members_of_results_are_described(self):
        for name in ("import/plan.c", "import/look.c"):
            calls = " ".join(re.findall(r"json_pack\((.*?)\);", read(name), re.DOTALL))
            members = set(re.findall(r'"(\w+)"', calls))
            self.assertGreaterEqual(members, {"refusals", "warnings"}, name)
            for member in members:
                self.assertIn(f"`{member}`", self.text, f"{name}: {member}")


class Links(unittest.TestCase):
    def test_relative_links_lead_somewhere(self):
        for path in self._documents():
            text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if re.match(r"[a-z]+:|#", target):
                    continue
                there = path.parent / target.partition("#")[0]
                self.assertTrue(there.exists(), f"{path.relative_to(ROOT)} leads to {target}")

    def test_every_folder_of_the_tree_has_a_readme(self):
        named = "abi base lib disk devices worker cli import lab tests fuzz docs".split()
        for folder in named + [f"devices/{p.name}" for p in (ROOT / "devices").iterdir() if p.is_dir()]:
            self.assertTrue((ROOT / folder / "README.md").exists(), folder)

    def _documents(self):
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if listed.returncode == 0:
            paths = [ROOT / name for name in listed.stdout.split("\0") if name]
        else:
            paths = [path for path in ROOT.rglob("*.md") if "build" not in path.relative_to(ROOT).parts]
        return [path for path in paths if path.exists()]


if __name__ == "__main__":
    unittest.main()
