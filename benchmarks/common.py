# SPDX-License-Identifier: GPL-2.0-or-later
"""What benchmarks share: interleaved runs of two sides, figures, the result file, the table.

A benchmark is a module here with `run(ctx) -> list[Figure]`; `./bench NAME` calls it:

    def run(ctx):
        ours = Side("oya", [str(ctx.binary("worker/oya-worker")), ...], measure_ours)
        peer = Side("qemu", ["qemu-system-x86_64", ...], measure_peer)
        runs = compare(ours, peer, ctx.rounds(10))
        return [runs.figure("start", "ms", key="start_ms", bound="ratio <= 0.7", aim="ratio <= 0.5")]

`measure()` makes one run and returns a number, or several by key; it raises RunFailed for a run
that does not count. Both sides are to have the same kernel, cache mode, queues and so on.
"""

from __future__ import annotations

import dataclasses
import json
import operator
import os
import platform
import re
import shlex
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_OPERATORS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
_CONDITION = re.compile(r"^(ratio|ours) (<=|>=|<|>) (-?\d+(?:\.\d+)?)$")


class RunFailed(Exception):
    """A run that gave no figure; the text tells why and is kept in the result."""


class Skipped(Exception):
    """A benchmark that this machine cannot run; the text tells why."""


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the two that are compared. `command` is recorded; `measure` makes a run."""

    name: str
    command: list[str]
    measure: Callable[[], float | Mapping[str, float]]


@dataclasses.dataclass
class Samples:
    """All runs of one side: each a number by key, and why the others failed."""

    side: Side
    good: list[dict[str, float]] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)

    def once(self, keep: bool) -> None:
        """Make one run, and another one if it fails; `keep` is false for one that only warms up."""
        try:
            value = self.side.measure()
        except RunFailed as error:
            self.failed.append(str(error))
            try:
                value = self.side.measure()
            except RunFailed as again:
                self.failed.append(str(again))
                return
        if keep:
            self.good.append({k: float(v) for k, v in (value if isinstance(value, Mapping) else {"": value}).items()})

    def of(self, key: str) -> list[float]:
        """The numbers of one key, in the order of the runs."""
        return [one[key] for one in self.good if key in one]


@dataclasses.dataclass(frozen=True)
class Figure:
    """One line of the result."""

    values: dict[str, Any]

    @property
    def holds(self) -> bool | None:
        """Whether its bound holds; None when it has none."""
        return self.values["holds"]


@dataclasses.dataclass
class Runs:
    """The runs of a comparison, or of one side alone."""

    ours: Samples
    peer: Samples | None = None

    def figure(self, id: str, unit: str, key: str = "", bound: str | None = None, aim: str | None = None) -> Figure:
        """A figure out of the numbers of `key`."""
        ours = self.ours.of(key)
        peer = self.peer.of(key) if self.peer else []
        our_median = statistics.median(ours) if ours else None
        peer_median = statistics.median(peer) if peer else None
        ratio = our_median / peer_median if our_median is not None and peer_median else None
        return Figure(
            {
                "id": id,
                "unit": unit,
                "ours": our_median,
                "peer": peer_median,
                "peer_name": self.peer.side.name if self.peer else None,
                "ratio": ratio,
                "bound": bound,
                "aim": aim,
                "holds": holds(bound, our_median, ratio),
                "runs": len(ours),
                "min": min(ours, default=None),
                "median": our_median,
                "max": max(ours, default=None),
                "commands": {
                    "ours": shlex.join(self.ours.side.command),
                    "peer": shlex.join(self.peer.side.command) if self.peer else None,
                },
                "failed": {"ours": self.ours.failed, "peer": self.peer.failed if self.peer else []},
                "samples": {"ours": ours, "peer": peer},
            }
        )


def holds(condition: str | None, ours: float | None, ratio: float | None) -> bool | None:
    """Whether `ratio <= 0.7` or `ours <= 3.0` holds; False when its operand is missing."""
    if condition is None:
        return None
    found = _CONDITION.match(condition)
    if not found:
        raise ValueError(f"a bound is `ratio <= N` or `ours <= N`, not {condition!r}")
    value = ratio if found[1] == "ratio" else ours
    return value is not None and _OPERATORS[found[2]](value, float(found[3]))


def compare(
    ours: Side, peer: Side | None, rounds: int, warm_up: int = 1, on_run: Callable[[str], None] = lambda text: None
) -> Runs:
    """`rounds` runs of each side, interleaved A B B A, so that a drift of the machine hits both."""
    runs = Runs(Samples(ours), Samples(peer) if peer else None)
    pair = [runs.ours] + ([runs.peer] if runs.peer else [])
    for number in range(-warm_up, rounds):
        for samples in pair if number % 2 == 0 else reversed(pair):
            samples.once(keep=number >= 0)
            on_run(f"{samples.side.name}: {'warm-up' if number < 0 else f'run {number + 1} of {rounds}'}")
    return runs


def best_of(
    ours: Side,
    peers: list[Side],
    rounds: int,
    key: str,
    more_is_better: bool = False,
    on_run: Callable[[str], None] = lambda text: None,
) -> Runs:
    """A comparison with the peer that is best at `key` in one run of each, which also warms up."""
    trials = [Samples(peer) for peer in peers]
    for trial in trials:
        trial.once(keep=True)
        on_run(f"{trial.side.name}: {trial.of(key) or trial.failed}")
    valid = [trial for trial in trials if trial.of(key)]
    best = (max if more_is_better else min)(valid, key=lambda trial: trial.of(key)[0]) if valid else None
    warm_up = Samples(ours)
    warm_up.once(keep=False)
    runs = compare(ours, best.side if best else None, rounds, warm_up=0, on_run=on_run)
    runs.ours.failed[:0] = warm_up.failed
    if runs.peer is None and trials:
        runs.peer = Samples(trials[0].side)
    if runs.peer:
        runs.peer.failed[:0] = [text for trial in trials for text in trial.failed]
    return runs


@dataclasses.dataclass(frozen=True)
class Context:
    """What a benchmark gets."""

    build: Path  # the release build
    tmp: Path  # removed afterwards
    rounds_wanted: int | None = None
    say: Callable[[str], None] = print

    def rounds(self, usual: int) -> int:
        """How many rounds: what the command line says, else `usual`."""
        return self.rounds_wanted or usual

    def binary(self, name: str) -> Path:
        """A program of the release build."""
        return self.build / name


def machine() -> str:
    """This machine in a line."""
    model, memory_kib = "unknown processor", 0
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemTotal:"):
            memory_kib = int(line.split()[1])
    return f"{model}, {os.cpu_count()} processors, {memory_kib / 1024**2:.1f} GiB, Linux {platform.release()}"


def write(path: Path, name: str, figures: list[Figure]) -> None:
    """Write build/bench/NAME.json, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "name": name,
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": machine(),
        "figures": [figure.values for figure in figures],
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    part.rename(path)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def table(figures: list[Figure]) -> str:
    """The figures as columns of text."""
    head = ["figure", "unit", "ours", "min..max", "peer", "min..max", "runs", "", "ratio", "bound", "aim", "holds"]
    rows = [head]
    for values in (figure.values for figure in figures):
        rows.append(
            [
                values["id"],
                values["unit"],
                _number(values["ours"]),
                f"{_number(values['min'])}..{_number(values['max'])}",
                _number(values["peer"]),
                f"{_number(min(theirs))}..{_number(max(theirs))}" if (theirs := values["samples"]["peer"]) else "-",
                str(values["runs"]),
                values["peer_name"] or "",
                _number(values["ratio"]),
                values["bound"] or "",
                values["aim"] or "",
                {True: "yes", False: "NO", None: ""}[values["holds"]],
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
