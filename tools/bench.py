#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs benchmarks; ./bench calls it. Writes build/bench/NAME.json and prints a table.

Exit code 1 when a bound does not hold or a benchmark gave no figure, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
import tempfile
import traceback
from pathlib import Path

from checks import builds, process
from checks.process import ROOT, Ended

sys.path.insert(0, str(ROOT))
from benchmarks import common  # noqa: E402

RESULTS = builds.BUILD / "bench"
_BUILD_LIMIT_S = 600.0
_ORDER = ("boot", "footprint", "disk", "net", "kick", "flood", "hv", "host", "migrate", "failover")  # of ./bench all


def _names() -> dict[str, str]:
    """Name of each benchmark -> first line of its description."""
    found = {}
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in tree.body):
            found[path.stem] = (ast.get_docstring(tree) or "").split("\n")[0]
    return found


def _build() -> None:
    def run(argv: list[str], log: str, env: dict[str, str] | None = None) -> Ended:
        return process.run(argv, RESULTS / f"{log}.log", _BUILD_LIMIT_S, env)

    builds.make_release(run)


def _load_warning() -> None:
    busy = float(Path("/proc/loadavg").read_text(encoding="ascii").split()[0])
    if busy > 0.5:
        print(f"bench: the machine is busy (load {busy}); figures will be worse than they are", file=sys.stderr)


def _run(name: str, rounds: int | None) -> bool:
    """Run one benchmark; whether it gave figures and all its bounds hold."""
    module = importlib.import_module(f"benchmarks.{name}")
    with tempfile.TemporaryDirectory(prefix="oya-bench.") as tmp:
        context = common.Context(
            builds.RELEASE.folder, Path(tmp), rounds, lambda text: print(f"bench: {name}: {text}", file=sys.stderr)
        )
        try:
            figures = module.run(context)
        except common.Skipped as reason:
            print(f"{name}: skipped: {reason}", flush=True)
            return True
    result = RESULTS / f"{name}.json"
    common.write(result, name, figures)
    print(f"{name}: {common.machine()}\n{common.table(figures)}\n-> {result.relative_to(ROOT)}", flush=True)
    for figure in figures:
        for side, failures in figure.values["failed"].items():
            if failures:
                print(f"{figure.values['id']}: {len(failures)} failed runs of {side}, the first: {failures[0]}")
    return bool(figures) and all(figure.holds is not False for figure in figures)


def main(argv: list[str]) -> int:
    """Run what the command line asks for."""
    names = _names()
    parser = argparse.ArgumentParser(prog="./bench", description="Runs benchmarks, each against a peer in the same run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a benchmark (--list names them), or all")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and stop")
    parser.add_argument("--rounds", type=int, help="how many runs of each side")
    args = parser.parse_args(argv)
    if "all" in args.names:
        args.names = [name for name in _ORDER if name in names] + [name for name in names if name not in _ORDER]
    unknown = [name for name in args.names if name not in names]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; ./bench --list names them")
    if args.list:
        for name, about in names.items():
            print(f"{name:14} {about}")
        return 0
    if not args.names:
        parser.error("name a benchmark; ./bench --list names them")
    try:
        _build()
    except builds.BuildError as error:
        print(f"{process.tail(error.ended.log)}\nbench: {error}", file=sys.stderr)
        return 1
    _load_warning()
    good = True
    for name in args.names:
        try:
            good = _run(name, args.rounds) and good
        except Exception:
            traceback.print_exc()
            print(f"bench: {name} broke; no figures", file=sys.stderr)
            good = False
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
