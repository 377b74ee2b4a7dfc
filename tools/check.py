#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs test suites; ./check calls it. The last line is `N passed, N failed, N skipped`.

Exit code 1 when a test failed, when nothing passed in a suite, or when a test was skipped that
tests/allowed-skips does not name; 2 for a wrong command line; 130 when interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import signal
import sys
from typing import IO

from checks import process
from checks.process import ROOT, Stopped
from checks.result import allowed_skips
from checks.session import CHECK, Options, Session, Suite
from checks.suites import FULL, LANDING, SUITES

_FUZZ_SLACK_S = 300  # builds, and the replay of corpora


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./check",
        description="Runs the suites that guard every landing, or those named. `full` runs everything and, "
        "when it was stopped, goes on where it stopped as long as the tree is the same.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a suite (--list names them), or `full`")
    parser.add_argument("--list", action="store_true", help="name the suites and stop")
    parser.add_argument("--seconds", type=int, default=0, help="run each fuzzer that long, on a corpus that grows; blind guests that long in all")
    parser.add_argument("--jobs", type=int, default=Options.jobs, help="how many tests side by side")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in SUITES and name != "full"]
    if unknown:
        parser.error(f"no such suite: {', '.join(unknown)}; ./check --list names them")
    return args


def _list() -> None:
    for suite in SUITES.values():
        guard = "every landing" if suite.name in LANDING else "full" if suite.name in FULL else "when asked"
        print(f"{suite.name:10} {suite.budget_s:5} s  {guard:14} {suite.about}")


def _chosen(args: argparse.Namespace) -> list[Suite]:
    names = FULL if "full" in args.names else args.names or LANDING
    suites = [SUITES[name] for name in dict.fromkeys(names)]
    if args.seconds:
        # Fuzzers run `jobs` at a time; the harnesses are counted generously.
        harnesses = len(list((ROOT / "fuzz").glob("fuzz_*.c")))
        budget = _FUZZ_SLACK_S + args.seconds * -(-harnesses // args.jobs) * 2
        budgets = {"fuzz": budget, "blind": _FUZZ_SLACK_S + args.seconds * 4}
        suites = [dataclasses.replace(s, budget_s=budgets.get(s.name, s.budget_s)) for s in suites]
    return suites


def _only_one() -> IO[str]:
    """The lock of the tree's builds and logs, held until the program ends."""
    CHECK.mkdir(parents=True, exist_ok=True)
    lock = open(CHECK / "lock", "w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another check runs in this tree; waiting for its end", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def main(argv: list[str]) -> int:
    """Run what the command line asks for."""
    args = _parse(argv)
    if args.list:
        _list()
        return 0
    try:
        allowed = allowed_skips(ROOT / "tests" / "allowed-skips")
    except (OSError, ValueError) as error:
        print(f"check: the list of allowed skips cannot be read: {error}", file=sys.stderr)
        return 2
    with _only_one():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: process.stop_all())
        session = Session(Options(args.seconds, "full" in args.names, args.jobs), allowed)
        try:
            for suite in _chosen(args):
                session.run_suite(suite)
        except Stopped:
            session.complaints.append("interrupted")
            session.close()
            return 130
        return session.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
