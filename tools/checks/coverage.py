# SPDX-License-Identifier: GPL-2.0-or-later
"""Line coverage of devices/ by the unit tests, the simulation and the corpora of the fuzzers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from . import builds
from .builds import COVERAGE
from .process import ROOT
from .result import FAILED, PASSED
from .session import Part, Task

_GOAL = 85.0  # per cent of the lines
_LIMIT_S = 180.0
_FOLDER = "devices/"

_figures: list[str] = []


def figures() -> list[str]:
    """The lines of the table, for the end of the suite."""
    return _figures


def _count(folder: Path) -> dict[str, dict[int, int]]:
    """File below devices/ -> line -> how often it ran, summed over all programs."""
    lines: dict[str, dict[int, int]] = {}
    for data in folder.rglob("*.gcda"):
        told = subprocess.run(
            ["gcov", "--json-format", "--stdout", data.name],
            cwd=data.parent, capture_output=True, text=True, check=False,
        )  # fmt: skip
        for text in told.stdout.splitlines():
            record = json.loads(text)
            for one in record["files"]:
                path = (folder / one["file"]).resolve()
                if not path.is_relative_to(ROOT / _FOLDER):
                    continue
                counts = lines.setdefault(str(path.relative_to(ROOT)), {})
                for line in one["lines"]:
                    counts[line["line_number"]] = counts.get(line["line_number"], 0) + line["count"]
    return lines


def _report(part: Part) -> None:
    lines = _count(COVERAGE.folder)
    covered = {path: sum(n > 0 for n in counts.values()) for path, counts in lines.items()}
    for path in sorted(lines):
        missing = [str(number) for number, n in sorted(lines[path].items()) if not n]
        tail = f", not: {' '.join(missing[:12])}{' …' if len(missing) > 12 else ''}" if missing else ""
        _figures.append(f"   {path}: {covered[path]} of {len(lines[path])} lines{tail}")
    total = sum(len(counts) for counts in lines.values())
    share = 100 * sum(covered.values()) / total if total else 0.0
    _figures.append(f"   devices/: {sum(covered.values())} of {total} lines, {share:.1f} %")
    part.report(f"at least {_GOAL:.0f} % of the lines of devices/ run", PASSED if share >= _GOAL else FAILED)


def tasks(part: Part) -> list[Task]:
    """One task: build, run everything, count."""

    def run(part: Part) -> None:
        _figures.clear()
        programs: dict[str, list[str]] = {}
        for suite in ("unit", "sim", "fuzz"):
            for name, binary in builds.tests_of(COVERAGE, suite, part.run).items():
                if suite != "unit" or name.startswith(_FOLDER):
                    programs[binary] = [f"fuzz/corpus/{name}"] if suite == "fuzz" else []
        if not builds.make(COVERAGE, part.run, list(programs)).good:
            part.report("all of build/coverage builds", FAILED)
            return
        for data in COVERAGE.folder.rglob("*.gcda"):
            data.unlink()
        for binary, arguments in programs.items():
            ended = part.run([str(COVERAGE.binary(binary)), *arguments], log=Path(binary).name, limit_s=_LIMIT_S)
            if not ended.good:
                part.ended(Path(binary).name, ended)
        _report(part)

    return [Task("coverage", run)]
