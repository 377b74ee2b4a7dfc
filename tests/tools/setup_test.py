# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/setup, with dpkg, apt and id replaced by scripts that record what they are asked."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

SETUP = Path(__file__).resolve().parent.parent.parent / "tools" / "setup"


class SetUp(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = Path(self._folder.name)
        for name in ("setup", "packages"):
            (self.folder / name).write_bytes((SETUP.parent / name).read_bytes())
        (self.folder / "setup").chmod(0o755)
        (self.folder / "bin").mkdir()
        self._fake("dpkg-query", "cat $HERE/installed")
        self._fake("id", "echo ${FAKE_UID-0}")
        self._fake("apt-get", 'echo "$@" >>$HERE/asked; test ! -e $HERE/broken || { echo no network; exit 100; }')
        self._fake("apt-cache", 'grep -qx "$2" $HERE/offered && echo "  Candidate: 1.0" || echo "  Candidate: (none)"')
        self._write("packages", "alpha # first\n# note\nbeta|gamma|delta  # one of\n")

    def _write(self, name, text):
        (self.folder / name).write_text(text)

    def _fake(self, name, body):
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/bash\nHERE={self.folder}\n{body}\n")
        path.chmod(0o755)

    def _run(self, installed, offered="", uid="0"):
        self._write("installed", "".join(f"ii \t{name}\n" for name in installed.split()) + "rc \talpha\n")
        self._write("offered", "".join(f"{name}\n" for name in offered.split()))
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        ended = subprocess.run(
            [self.folder / "setup"], env={**os.environ, "PATH": path, "FAKE_UID": uid}, capture_output=True, text=True
        )
        asked = self.folder / "asked"
        return ended, asked.read_text().splitlines() if asked.exists() else []

    def test_nothing_is_asked_or_said_when_nothing_is_missing(self):
        ended, asked = self._run("alpha gamma", uid="1000")
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr, asked), (0, "", "", []))

    def test_first_alternative_that_apt_offers_is_installed(self):
        ended, asked = self._run("", "alpha gamma delta")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertTrue(asked[0].endswith("update"))
        self.assertTrue(asked[1].endswith("--no-install-recommends alpha gamma"), asked)

    def test_only_what_is_missing_is_installed(self):
        ended, asked = self._run("delta", "alpha beta")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertTrue(asked[1].endswith(" alpha"), asked)

    def test_without_root_it_names_what_is_missing(self):
        ended, asked = self._run("alpha", "beta", uid="1000")
        self.assertEqual((ended.returncode, asked), (1, []))
        self.assertIn("missing: beta|gamma|delta; run tools/setup as root", ended.stderr)

    def test_failure_of_apt_is_told_with_its_words(self):
        self._write("broken", "")
        ended, _ = self._run("", "alpha beta")
        self.assertEqual(ended.returncode, 1)
        self.assertIn("no network", ended.stderr)
        self.assertIn("apt-get update failed", ended.stderr)

    def test_package_that_apt_does_not_offer_is_told(self):
        ended, asked = self._run("alpha", "")
        self.assertEqual((ended.returncode, len(asked)), (1, 1))
        self.assertIn("apt offers no beta|gamma|delta", ended.stderr)


if __name__ == "__main__":
    unittest.main()
