# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/check.py: reading TAP, killing what is late, the rules of style, allowed skips."""

import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import includes  # noqa: E402
from checks import process, style  # noqa: E402
from checks.result import FAILED, PASSED, SKIPPED, allowed_skips, tap_plan, tap_result  # noqa: E402


class Tap(unittest.TestCase):
    def _read(self, line, before=""):
        one = tap_result(line, before)
        return one and (one.name, one.outcome, one.text)

    def test_lines_of_tests_are_read(self):
        self.assertEqual(self._read("ok 1 - ring_is_empty"), ("ring_is_empty", PASSED, ""))
        self.assertEqual(self._read("not ok 12 - ring_is_full"), ("ring_is_full", FAILED, ""))
        self.assertEqual(self._read("ok 3 - boots (12.5 s)"), ("boots", PASSED, ""))
        self.assertEqual(self._read("ok 3 - boots (0.1 s) # SKIP no KVM"), ("boots", SKIPPED, "no KVM"))

    def test_skip_of_cmocka_takes_the_line_before_as_reason(self):
        self.assertEqual(self._read("not ok 3 # SKIP needs_root", "not root"), ("needs_root", SKIPPED, "not root"))

    def test_other_lines_are_no_results(self):
        for line in ("# not ok - tests", "okay", "1..3", "", "# ok 1 - x", "notok 1", "TAP version 13"):
            self.assertIsNone(self._read(line), line)

    def test_plan_is_read_with_the_reason_of_an_empty_one(self):
        self.assertEqual(tap_plan("1..17"), (17, ""))
        self.assertEqual(tap_plan("1..0 # SKIP no /dev/kvm"), (0, "no /dev/kvm"))
        self.assertIsNone(tap_plan("ok 1 - 1..3"))


class Skips(unittest.TestCase):
    def _read(self, text):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(text)
            file.flush()
            return allowed_skips(Path(file.name))

    def test_names_with_spaces_are_read(self):
        self.assertEqual(self._read("# head\n\na b c \t # why # so\nx # y\n"), {"a b c": "why # so", "x": "y"})

    def test_line_without_a_reason_is_refused(self):
        for text in ("name\n", "name #\n", "name#reason\n"):
            with self.assertRaises(ValueError):
                self._read(text)

    def test_list_of_the_tree_is_well_formed(self):
        self.assertTrue(allowed_skips(ROOT / "tests" / "allowed-skips"))


class Processes(unittest.TestCase):
    def _run(self, script, limit_s, **options):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            ended = process.run(["bash", "-c", script], log, limit_s, **options)
            return ended, log.read_text()

    def test_output_of_both_streams_is_logged_and_stdout_is_given(self):
        lines = []
        ended, log = self._run("echo out; echo err >&2; exit 3", 20, on_line=lines.append)
        self.assertEqual((ended.code, ended.good, lines), (3, False, ["out"]))
        self.assertIn("err", log)
        self.assertEqual(ended.why(), "exit code 3")

    def test_late_command_is_killed_with_its_children(self):
        mark = f"3{time.time_ns() % 10**7}"  # seconds that no other sleep has
        start = time.monotonic()
        ended, _ = self._run(f"sleep {mark} & sleep {mark}; true", 0.5)
        self.assertTrue(ended.late)
        self.assertLess(time.monotonic() - start, 10)
        self.assertFalse(_alive(mark))

    def test_children_that_outlive_the_command_are_killed(self):
        mark = f"3{time.time_ns() % 10**7}"
        ended, _ = self._run(f"sleep {mark} & disown; true", 20)
        self.assertTrue(ended.good)
        self.assertFalse(_alive(mark))


def _alive(mark):
    """Whether a process has `mark` as an argument; zombies have none."""
    time.sleep(0.1)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


class Style(unittest.TestCase):
    def _include(self, name, line):
        return includes.breaches(name, line, exists=lambda header: True)

    def test_includes_the_right_way_pass(self):
        for name, header in (
            ("base/a.c", '"abi/x.h"'), ("devices/a/b.c", '"base/x.h"'), ("disk/a.c", '"lib/x.h"'),
            ("worker/a.c", '"devices/x.h"'), ("worker/a.c", "<linux/kvm.h>"), ("tests/unit/a.c", '"worker/x.h"'),
            ("tests/system/a.c", "<linux/kvm.h>"), ("cli/a.c", '"lib/x.h"'), ("devices/a.c", "<sys/uio.h>"),
        ):  # fmt: skip
            self.assertEqual(self._include(name, f"#include {header}"), [], (name, header))

    def test_includes_the_wrong_way_are_found(self):
        for name, header in (
            ("abi/a.h", '"base/x.h"'), ("base/a.c", '"lib/x.h"'), ("devices/a.c", '"lib/x.h"'),
            ("devices/a.c", '"disk/x.h"'), ("lib/a.c", '"disk/x.h"'), ("lib/a.c", '"devices/x.h"'),
            ("cli/a.c", '"worker/x.h"'), ("worker/a.c", '"cli/x.h"'), ("host/a.c", '"worker/x.h"'),
            ("hypervisor/a.c", '"lib/x.h"'), ("disk/a.c", '"devices/x.h"'), ("lib/a.c", "<linux/kvm.h>"),
            ("tests/unit/a.c", "<linux/kvm.h>"), ("devices/a.c", "<unistd.h>"), ("base/a.c", "<pthread.h>"),
            ("worker/a.c", '"x.h"'), ("nowhere/a.c", '"base/x.h"'),
        ):  # fmt: skip
            self.assertEqual(len(self._include(name, f"#  include {header}")), 1, (name, header))

    def test_functions_are_measured_with_their_signature(self):
        body = ["static int f(void)", "{", *["\tg();"] * 57, "}"]
        self.assertEqual(style.long_functions("a.c", "\n".join(body)), [])
        body.insert(3, "\tg();")
        self.assertEqual(style.long_functions("a.c", "\n".join(body)), ["a.c:1: 61 lines: static int f(void)"])

    def test_tables_and_structs_are_no_functions(self):
        text = "\n".join(["static const int a[] = {", *["\t1,"] * 100, "};", "struct s {", *["\tint a;"] * 100, "};"])
        self.assertEqual(style.long_functions("a.c", text), [])


if __name__ == "__main__":
    unittest.main()
