# SPDX-License-Identifier: GPL-2.0-or-later
"""benchmarks/common.py: the order of runs, the figures, what becomes of failures."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from benchmarks.common import RunFailed, Side, best_of, compare, holds, table, write  # noqa: E402


def _side(name, values, order=None):
    left = iter(values)

    def measure():
        if order is not None:
            order.append(name)
        value = next(left)
        if isinstance(value, Exception):
            raise value
        return value

    return Side(name, [name, "--option", "two words"], measure)


class Bench(unittest.TestCase):
    def test_runs_are_interleaved_a_b_b_a(self):
        order = []
        compare(_side("A", [1] * 4, order), _side("B", [1] * 4, order), 4, warm_up=0)
        self.assertEqual("".join(order), "ABBAABBA")

    def test_warm_up_runs_do_not_count(self):
        runs = compare(_side("A", [99, 1, 2]), None, 2, warm_up=1)
        self.assertEqual(runs.ours.of(""), [1, 2])

    def test_figure_is_the_ratio_of_medians_with_raw_samples(self):
        runs = compare(_side("oya", [1, 5, 3]), _side("qemu", [10, 10, 100]), 3, warm_up=0)
        values = runs.figure("start", "ms", bound="ratio <= 0.3", aim="ratio <= 0.2").values
        self.assertEqual((values["ours"], values["peer"], values["ratio"]), (3, 10, 0.3))
        self.assertEqual((values["min"], values["median"], values["max"], values["runs"]), (1, 3, 5, 3))
        self.assertEqual(values["samples"], {"ours": [1, 5, 3], "peer": [10, 10, 100]})
        self.assertEqual(values["commands"]["peer"], "qemu --option 'two words'")
        self.assertIs(values["holds"], True)

    def test_one_run_can_give_several_figures(self):
        runs = compare(_side("A", [{"ms": 1, "mib": 5}, {"ms": 3, "mib": 5}]), None, 2, warm_up=0)
        self.assertEqual(runs.figure("a", "ms", key="ms").values["ours"], 2)
        self.assertEqual(runs.figure("b", "MiB", key="mib").values["ours"], 5)

    def test_failed_runs_are_kept_apart(self):
        runs = compare(_side("A", [1, RunFailed("no console"), RunFailed("nor again"), 3]), None, 3, warm_up=0)
        values = runs.figure("a", "ms").values
        self.assertEqual((values["runs"], values["failed"]["ours"]), (2, ["no console", "nor again"]))

    def test_a_failed_run_is_repeated_once_and_told(self):
        runs = compare(_side("A", [RunFailed("flaky"), 2, 3]), None, 2, warm_up=0)
        values = runs.figure("a", "ms").values
        self.assertEqual((values["samples"]["ours"], values["failed"]["ours"]), ([2, 3], ["flaky"]))

    def test_the_best_peer_of_one_run_each_is_compared_with(self):
        for more, name, peer in ((False, "quick", 5), (True, "slow", 9)):
            sides = [_side("slow", [{"k": 9}] * 2), _side("quick", [{"k": 5}] * 2)]
            runs = best_of(_side("A", [{"k": 0}, {"k": 1}]), sides, 1, "k", more_is_better=more)
            values = runs.figure("a", "ms", key="k").values
            self.assertEqual((values["peer_name"], values["peer"], values["ours"]), (name, peer, 1))

    def test_peers_that_do_not_come_up_are_told_and_left_out(self):
        gone = [RunFailed("gone")] * 2
        runs = best_of(_side("A", [1, 2]), [_side("B", gone), _side("C", [{"": 4}, 4])], 1, "")
        values = runs.figure("a", "ms").values
        self.assertEqual((values["peer_name"], values["failed"]["peer"]), ("C", ["gone", "gone"]))
        runs = best_of(_side("A", [1, 2]), [_side("B", gone)], 1, "")
        values = runs.figure("a", "ms", bound="ratio <= 1").values
        self.assertEqual((values["ours"], values["peer"], values["holds"]), (2, None, False))
        self.assertEqual(values["failed"]["peer"], ["gone", "gone"])

    def test_without_a_valid_peer_a_bound_on_the_ratio_does_not_hold(self):
        for peer in (None, _side("B", [RunFailed("gone")] * 2)):
            values = compare(_side("A", [1]), peer, 1, warm_up=0).figure("a", "ms", bound="ratio <= 9").values
            self.assertIsNone(values["ratio"])
            self.assertIs(values["holds"], False)

    def test_without_our_runs_no_bound_holds(self):
        values = compare(_side("A", [RunFailed("x")] * 2), _side("B", [1]), 1, warm_up=0).figure("a", "s", bound="ours <= 9")
        self.assertIs(values.holds, False)

    def test_bounds_name_their_operand(self):
        self.assertIs(holds("ours <= 3.0", 3, None), True)
        self.assertIs(holds("ours < 3.0", 3, None), False)
        self.assertIs(holds("ratio >= 1.5", 1, 1.4), False)
        self.assertIsNone(holds(None, 1, 1))
        for wrong in ("<= 3", "peer <= 3", "ratio <= x", "ratio=1"):
            with self.assertRaises(ValueError):
                holds(wrong, 1, 1)

    def test_result_file_has_the_agreed_keys(self):
        figure = compare(_side("A", [1.5]), None, 1, warm_up=0).figure("boot", "ms", bound="ours <= 2")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bench" / "boot.json"
            write(path, "boot", [figure])
            data = json.loads(path.read_text())
        self.assertEqual(list(data), ["name", "date", "machine", "figures"])
        agreed = "id unit ours peer peer_name ratio bound aim holds runs min median max".split()
        self.assertEqual(list(data["figures"][0])[: len(agreed)], agreed)

    def test_table_tells_of_a_bound_that_does_not_hold(self):
        figure = compare(_side("A", [12345.6]), None, 1, warm_up=0).figure("boot", "ms", bound="ours <= 2")
        self.assertRegex(table([figure]).splitlines()[1], r"boot +ms +12346 .* ours <= 2 +NO")


if __name__ == "__main__":
    unittest.main()
