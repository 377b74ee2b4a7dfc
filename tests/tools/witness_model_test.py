# SPDX-License-Identifier: GPL-2.0-or-later
"""The witness's model (cluster/witness/model) holds in all of its states, and each rule is needed for that."""

import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

MODEL = Path(__file__).resolve().parents[2] / "cluster" / "witness" / "model" / "witness.pml"
MEMORY_MIB = 3500
DEPTH = 4_000_000  # of the search; a search that it cut off would not be one of all states


def explore(*settings: str) -> tuple[int, int, bool]:
    """Of the model with these settings: errors, states, and whether the search came to its end."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(MODEL, folder + "/model.pml")
        for command in (
            ["spin", *settings, "-a", "model.pml"],
            ["gcc", "-O1", "-w", "-DSAFETY", "-DNOREDUCE", f"-DMEMLIM={MEMORY_MIB}", "-o", "pan", "pan.c"],
            ["./pan", f"-m{DEPTH}", "-n", "-E"],
        ):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    errors = re.search(r"errors: (\d+)", done.stdout)
    states = re.search(r"(\S+) states, stored", done.stdout)
    if not errors or not states:
        raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    whole = "Search not completed" not in done.stdout and "max search depth too small" not in done.stdout
    return int(errors[1]), int(float(states[1])), whole


class WitnessModel(unittest.TestCase):
    def test_at_most_one_partition_has_the_vote_in_all_states(self):
        for settings in (["-DT=2"], ["-DBOTH_LATE"]):
            with self.subTest(settings):
                errors, states, whole = explore(*settings)
                self.assertEqual((errors, whole), (0, True))
                self.assertGreater(states, 100_000)

    def test_each_rule_is_needed(self):
        for broken in (
            "WITHOUT_READING",
            "WITHOUT_TAKING_BACK",
            "WITHOUT_PAIRS",
            "WITHOUT_PAIRS_OF_TIME",
            "WITH_LOSS",
            "WITH_STALL",
            "E=V",
        ):
            with self.subTest(broken):
                self.assertEqual(explore(f"-D{broken}")[0], 1)


if __name__ == "__main__":
    unittest.main()
