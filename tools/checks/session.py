# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of the check: what it prints, its logs, time budgets, the state for a resumed run.

Threads: tasks of a suite may run side by side; everything printed or stored goes through `lock`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from . import process, result, tree
from .builds import BUILD, BuildError
from .process import Ended, Stopped
from .result import FAILED, PASSED, SKIPPED, Result

CHECK = BUILD / "check"
LOGS = CHECK / "logs"
STATE = CHECK / "state.json"
REPORT = CHECK / "report.txt"
_QUIET_S = 20.0  # after that long without a line, what runs is told
_WORDS = {PASSED: "ok", FAILED: "FAILED", SKIPPED: "skipped"}


@dataclasses.dataclass(frozen=True)
class Task:
    """A part of a suite that runs, and is resumed, as a whole. `run` reports its results."""

    name: str
    run: Callable[["Part"], None]


@dataclasses.dataclass(frozen=True)
class Suite:
    """`tasks` may build first; `parallel` ones run one a processor."""

    name: str
    budget_s: int
    about: str
    tasks: Callable[["Part"], list[Task]]
    parallel: bool = False
    closing: Callable[[], list[str]] = list  # lines to print at its end


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    fuzz_seconds: int = 0  # per fuzzer; 0: the short run
    resume: bool = False
    jobs: int = os.cpu_count() or 1


class Part:
    """What a task gets: it runs commands within the suite's budget and reports results."""

    def __init__(self, session: "Session", suite: Suite, deadline: float, task: str = "") -> None:
        self.session = session
        self.suite = suite
        self.options = session.options
        self.results: list[Result] = []
        self._deadline = deadline
        self._task = task

    def of_task(self, name: str) -> "Part":
        """The same for one task."""
        return Part(self.session, self.suite, self._deadline, name)

    def left_s(self) -> float:
        """What is left of the suite's budget."""
        return max(0.0, self._deadline - time.monotonic())

    def run(
        self,
        argv: list[str],
        log: str,
        limit_s: float = 1e9,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
        fresh: bool = False,
    ) -> Ended:
        """Run a command; `log` is a name below build/check/logs, `fresh` empties it first."""
        path = LOGS / self.suite.name / (re.sub(r"[^\w.+-]+", "-", log) + ".log")
        if fresh:
            path.unlink(missing_ok=True)
        what = self._task or log

        def on_wait(seconds: float) -> None:
            self.session.progress(f"{self.suite.name}: {what}… {seconds:.0f} s")

        return process.run(argv, path, min(limit_s, self.left_s()), env, on_line, on_wait)

    def report(self, name: str, outcome: str, seconds: float = 0.0, text: str = "") -> None:
        """A test has ended."""
        one = Result(name, outcome, round(seconds, 2), text)
        self.results.append(one)
        self.session.show(self.suite, one)

    def ended(self, name: str, end: Ended) -> None:
        """A test that is one command has ended."""
        if end.good:
            self.report(name, PASSED, end.seconds)
        else:
            self.report(name, FAILED, end.seconds, f"{process.tail(end.log)}\n{end.why()}")

    def tap(self, prefix: str, argv: list[str], log: str, limit_s: float, env: Mapping[str, str] | None = None) -> None:
        """Run a program that writes TAP; each of its tests is reported as it ends."""
        seen: list[Result] = []
        planned, no_tests = 1, ""
        before, last = "", time.monotonic()

        def on_line(line: str) -> None:
            nonlocal before, last, planned, no_tests
            one = result.tap_result(line, before)
            before = line.lstrip("# ")
            planned, no_tests = result.tap_plan(line) or (planned, no_tests)
            if not one:
                return
            now = time.monotonic()
            one.seconds, last = now - last, now
            seen.append(one)
            # The output of a failed test comes behind its line: once the program has ended.
            self.report(f"{prefix}/{one.name}", one.outcome, one.seconds, one.text)

        end = self.run(argv, log, limit_s, env, on_line, fresh=True)
        failed = any(one.outcome == FAILED for one in seen)
        short = len(seen) < planned
        if end.good and planned == 0 and no_tests:
            self.report(f"{prefix}/(all of it)", SKIPPED, text=no_tests)
        elif short or (not end.good and not failed):
            told = f", {len(seen)} of {planned} tests told" if short else ""
            self.report(f"{prefix}/(the program ends well)", FAILED, end.seconds, end.why() + told)
            failed = True
        if failed:
            self.session.quote(f"the end of {end.log.relative_to(process.ROOT)}", process.tail(end.log))


class Session:
    """All suites of one call of ./check."""

    def __init__(self, options: Options, allowed: dict[str, str]) -> None:
        self.options = options
        self.allowed = allowed
        self.results: dict[str, list[Result]] = {}
        self.complaints: list[str] = []
        self.lock = threading.RLock()
        self._lines: list[str] = []
        self._last = time.monotonic()
        self._digest = tree.digest()
        self._done: dict[str, dict[str, list[dict]]] = {}
        if options.resume:
            self._load()

    def say(self, line: str) -> None:
        """Print a line, which goes into the report too."""
        with self.lock:
            self._lines.append(line)
            self._last = time.monotonic()
            print(line, flush=True)

    def progress(self, line: str) -> None:
        """Print a line that does not belong into the report, if nothing was printed lately."""
        with self.lock:
            if time.monotonic() - self._last >= _QUIET_S:
                self._last = time.monotonic()
                print(f"  … {line}", flush=True)

    def quote(self, title: str, text: str) -> None:
        """Print the output of something that failed."""
        with self.lock:
            self.say(f"    --- {title}")
            for line in text.splitlines()[-60:]:
                self.say(f"    | {line}")

    def show(self, suite: Suite, one: Result) -> None:
        """Print and count a result."""
        with self.lock:
            self.results.setdefault(suite.name, []).append(one)
            line = f"{_WORDS[one.outcome]:8}{one.seconds:7.1f} s  {suite.name}: {one.name}"
            if one.outcome == SKIPPED:
                line += f"  # {one.text or 'no reason given'}"
                if one.name not in self.allowed:
                    self.complaints.append(f"the skip of {one.name} is not in tests/allowed-skips")
            self.say(line)
            if one.outcome == FAILED and one.text:
                self.quote("its output", one.text)

    def run_suite(self, suite: Suite) -> None:
        """Run one suite within its budget."""
        start = time.monotonic()
        self.say(f"== {suite.name}: {suite.about} (at most {suite.budget_s} s)")
        shutil.rmtree(LOGS / suite.name, ignore_errors=True)
        part = Part(self, suite, start + suite.budget_s)
        try:
            tasks = suite.tasks(part)
        except BuildError as error:
            part.report(str(error), FAILED, error.ended.seconds, process.tail(error.ended.log))
            tasks = []
        with ThreadPoolExecutor(max_workers=self.options.jobs if suite.parallel else 1) as pool:
            for future in [pool.submit(self._run_task, part, task) for task in tasks]:
                future.result()
        for line in suite.closing():
            self.say(line)
        counts = self.counts([suite.name])
        if not counts[PASSED]:
            self.complaints.append(f"nothing has passed in the suite {suite.name}")
        self.say(f"== {suite.name}: {_sentence(counts)}, {time.monotonic() - start:.0f} s")

    def _run_task(self, suite_part: Part, task: Task) -> None:
        suite = suite_part.suite
        kept = self._done.get(suite.name, {}).get(task.name)
        if kept is not None:
            for one in kept:
                self.show(suite, Result(**one))
            return
        part = suite_part.of_task(task.name)
        if part.left_s() <= 0:
            part.report(task.name, FAILED, 0, f"not run: the suite's budget of {suite.budget_s} s is used up")
            return
        try:
            task.run(part)
        except Stopped:
            raise
        except BuildError as error:
            part.report(f"{task.name}: {error}", FAILED, error.ended.seconds, process.tail(error.ended.log))
        except Exception:  # a bug of the check itself is a failed test, not the end of the run
            part.report(f"{task.name} (the check itself)", FAILED, text=traceback.format_exc())
        if not any(one.outcome == FAILED for one in part.results):
            with self.lock:
                kept_tasks = self._done.setdefault(suite.name, {})
                kept_tasks[task.name] = [dataclasses.asdict(one) for one in part.results]
                self._save()

    def _load(self) -> None:
        try:
            state = json.loads(STATE.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return
        if state.get("tree") == self._digest:
            self._done = state["done"]
            self.say(f"the tree is as at the last run ({self._digest}): what passed then is not run again")

    def _save(self) -> None:
        if self.options.resume:
            STATE.parent.mkdir(parents=True, exist_ok=True)
            STATE.write_text(json.dumps({"tree": self._digest, "done": self._done}), encoding="utf-8")

    def counts(self, suites: list[str] | None = None) -> dict[str, int]:
        """How many results of each outcome."""
        chosen = [one for name, all_of in self.results.items() if suites is None or name in suites for one in all_of]
        return {outcome: sum(one.outcome == outcome for one in chosen) for outcome in (PASSED, FAILED, SKIPPED)}

    def close(self) -> int:
        """Print what is wrong and the last line, write the report; the exit code."""
        counts = self.counts()
        for name, all_of in self.results.items():
            for one in all_of:
                if one.outcome == FAILED:
                    self.say(f"failed: {name}: {one.name}")
        for line in self.complaints:
            self.say(f"wrong: {line}")
        self.say(_sentence(counts))
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        head = f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}, tree {self._digest}\n"
        REPORT.write_text(head + "\n".join(self._lines) + "\n", encoding="utf-8")
        bad = bool(counts[FAILED] or self.complaints or not counts[PASSED])
        if self.options.resume and not bad:
            STATE.unlink(missing_ok=True)  # the next full run is a whole one
        return 1 if bad else 0


def _sentence(counts: dict[str, int]) -> str:
    return f"{counts[PASSED]} passed, {counts[FAILED]} failed, {counts[SKIPPED]} skipped"

