# SPDX-License-Identifier: GPL-2.0-or-later
"""The suites, and which of them guard a landing."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from . import builds, coverage, style, tree
from .builds import CLANG_FUZZ, CLANG_MSAN, CLANG_SAN, CLANG_TSAN, GCC_SAN, RELEASE, SANITIZER_ENV, SANITIZER_PREFIX, Build
from .process import ROOT, Ended, tail
from .result import FAILED, PASSED, SKIPPED
from .session import CHECK, LOGS, Part, Suite, Task

_PROGRAM_LIMIT_S = 180.0  # of one test program
_FUZZ_RUNS = 20000
_FUZZ_SECONDS = 10
_FUZZ_SEED = 1
_FUZZ_MEMORY_MIB = 2048
# What links nothing but our own code, so that the memory sanitizer sees all of it.
_MSAN = ["chipset", "guest", "hv", "ic", "netvsp", "pc", "rndis", "scsi", "storvsp", "vmbus"]
_HYPERVISOR_TESTS = "test_hypervisor"  # how the files of tests/lab begin that are about the hypervisor
_NOT_OF_VMS = ("test_lab", "test_migrate")  # those of the lab itself, and of what the hypervisor cannot do yet
_BLIND_SECONDS = 40  # of the suite, over four guests


def _programs(part: Part, build: Build, suite: str, prefix: str) -> list[Task]:
    """One task for each program of a meson suite, built here."""
    tests = builds.tests_of(build, suite, part.run)
    made = _make(part, build, tests)

    def task(name: str, binary: str) -> Task:
        full = f"{prefix}{name}"

        def run(part: Part) -> None:
            if not made and not builds.up_to_date(build, binary):
                part.report(f"{full}/(it builds)", FAILED)
                return
            argv = [*SANITIZER_PREFIX, str(build.binary(binary))]
            part.tap(full, argv, full.replace("/", "-"), _PROGRAM_LIMIT_S, SANITIZER_ENV)

        return Task(full, run)

    return [task(name, binary) for name, binary in tests.items()]


def _make(part: Part, build: Build, tests: dict[str, str]) -> bool:
    """Build programs; when some cannot be built, the compiler's words are a failed test."""
    made = builds.make(build, part.run, list(tests.values()))
    if not made.good:
        lines = made.log.read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line for line in lines if re.search(r"error:|undefined reference|FAILED:", line)]
        part.report(f"all of build/{build.name} builds", FAILED, made.seconds, "\n".join(told[-40:]))
    return made.good


def _unit(part: Part) -> list[Task]:
    return [*_programs(part, GCC_SAN, "unit", "gcc/"), *_programs(part, CLANG_SAN, "unit", "clang/")]


def _sim(part: Part) -> list[Task]:
    return _programs(part, CLANG_TSAN, "sim", "tsan/")


def _tools(part: Part) -> list[Task]:
    """Python tests of our own tools: unittest's lines are turned into results."""

    def task(path: str) -> Task:
        name = Path(path).stem.removesuffix("_test")
        line_of = re.compile(r"^(?:test_)?(\w+) \(.*\)(?:\s*\n?.*)? \.\.\. (ok|FAIL|ERROR|skipped '(.*)')$")

        def run(part: Part) -> None:
            end = part.run([sys.executable, "-m", "unittest", "-v", path], log=name, limit_s=120, fresh=True)
            seen = 0
            for line in tail(end.log, 100000).splitlines():
                match = line_of.match(line)
                if not match:
                    continue
                seen += 1
                outcome = {"ok": PASSED, "FAIL": FAILED, "ERROR": FAILED}.get(match[2], SKIPPED)
                part.report(f"{name}/{match[1]}", outcome, text=match[3] or "")
            if not end.good or not seen:
                part.report(f"{name}/(all of it)", FAILED, end.seconds, f"{tail(end.log)}\n{end.why()}")

        return Task(name, run)

    return [task(path) for path in tree.matching("_test.py") if path.startswith("tests/tools/")]


_figures: list[str] = []  # of the fuzzers, for the end of the suite


def _fuzz(part: Part) -> list[Task]:
    """Each harness with libFuzzer, and its corpus once more through gcc's build."""
    _figures.clear()
    tests = builds.tests_of(CLANG_FUZZ, "fuzz", part.run)
    replays = builds.tests_of(GCC_SAN, "fuzz", part.run)
    msan = {n: b for n, b in builds.tests_of(CLANG_MSAN, "fuzz", part.run).items() if n in _MSAN}
    made = _make(part, CLANG_FUZZ, tests)
    replay_made = _make(part, GCC_SAN, replays)
    msan_made = _make(part, CLANG_MSAN, msan)
    return [
        *(_fuzz_task(name, binary, made) for name, binary in tests.items()),
        *(_replay_task(name, GCC_SAN, binary, replay_made) for name, binary in replays.items()),
        *(_replay_task(name, CLANG_MSAN, binary, msan_made) for name, binary in msan.items()),
    ]


def _replay_task(name: str, build: Build, binary: str, made: bool) -> Task:
    title = f"{name} replays its corpus " + ("with gcc" if build is GCC_SAN else "under the memory sanitizer")

    def run(part: Part) -> None:
        if not made and not builds.up_to_date(build, binary):
            part.report(f"{title} (it builds)", FAILED)
            return
        argv = [*SANITIZER_PREFIX, str(build.binary(binary)), f"fuzz/corpus/{name}"]
        part.ended(title, part.run(argv, log=title, limit_s=_PROGRAM_LIMIT_S, env=SANITIZER_ENV))

    return Task(title, run)


def _fuzz_task(name: str, binary: str, made: bool) -> Task:
    corpus = f"fuzz/corpus/{name}"

    def run(part: Part) -> None:
        seconds = part.options.fuzz_seconds
        title = f"{name} survives " + (f"{seconds} s" if seconds else f"{_FUZZ_RUNS} runs (seed {_FUZZ_SEED})")
        if not made and not builds.up_to_date(CLANG_FUZZ, binary):
            part.report(f"{title} (it builds)", FAILED)
            return
        # A short run starts from the seeds alone; a long one goes on from what others found.
        found = builds.BUILD / ("fuzz-corpus" if seconds else "check/fuzz") / name
        if not seconds:
            shutil.rmtree(found, ignore_errors=True)
        found.mkdir(parents=True, exist_ok=True)
        argv = [
            *SANITIZER_PREFIX, str(CLANG_FUZZ.binary(binary)), str(found), corpus, "-print_final_stats=1",
            "-timeout=20", f"-rss_limit_mb={_FUZZ_MEMORY_MIB}", f"-artifact_prefix={CHECK}/fuzz-{name}-",
            f"-max_total_time={seconds or _FUZZ_SECONDS}",
        ]  # fmt: skip
        argv += [] if seconds else [f"-runs={_FUZZ_RUNS}", f"-seed={_FUZZ_SEED}"]
        dictionary = ROOT / "fuzz" / f"{name}.dict"
        argv += [f"-dict={dictionary}"] if dictionary.exists() else []
        end = part.run(argv, log=f"fuzz-{name}", limit_s=(seconds or _FUZZ_SECONDS) + 120, env=SANITIZER_ENV, fresh=True)
        part.ended(title, end)
        _figures.append(_fuzz_figures(name, end))

    return Task(f"{name} with libFuzzer", run)


def _fuzz_figures(name: str, end: Ended) -> str:
    text = tail(end.log, 100000)
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    states = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)
    coverage, features, inputs = states[-1] if states else ("?", "?", "?")
    return (
        f"   fuzz {name}: {runs[1] if runs else '?'} executions in {end.seconds:.0f} s, "
        f"{coverage} edges, {features} features, {inputs} inputs kept"
    )


def _whole_vms(name: str) -> Callable[[Part], list[Task]]:
    """Whole VMs on this machine's KVM, by the release build: the tests of tests/system of one suite."""

    def tasks(part: Part) -> list[Task]:
        builds.make_release(part.run)
        argv = [sys.executable, "tests/system/run.py", "--build", str(RELEASE.folder), "--suite", name]
        return [Task(name, lambda part: part.tap(name, argv, name, part.left_s()))]

    return tasks


def _blind(part: Part) -> list[Task]:
    """The blind guest at the release worker, then at the sanitized one without its sandbox, with new seeds each time."""
    builds.make_release(part.run)
    made = builds.make(CLANG_SAN, part.run, ["worker/oya-worker", "cli/oya"])
    seconds = (part.options.fuzz_seconds or _BLIND_SECONDS) // 4 or 1
    seed = int(time.time()) % 1000000
    guest = str(RELEASE.binary("tests/system/oya-test-guest"))

    def task(build: Build, env: dict[str, str], number: int) -> Task:
        environment = {**env, "OYA_BLIND_SECONDS": str(seconds), "OYA_BLIND_SEED": str(seed + number)}
        argv = [*SANITIZER_PREFIX, sys.executable, "tests/system/run.py", "--build", str(build.folder), "--guest", guest]
        name = f"blind/{build.name}"

        def run(part: Part) -> None:
            if build is CLANG_SAN and not made.good:
                part.report(f"{name} (it builds)", FAILED)
                return
            part.tap(name, [*argv, "blind"], build.name, part.left_s(), environment)

        return Task(name, run)

    return [task(RELEASE, {}, 0), task(CLANG_SAN, {**SANITIZER_ENV, "OYA_BLIND_NO_SANDBOX": "1"}, 2)]


def _lab_task(name: str, prefix: str, arguments: list[str], env: dict[str, str] | None = None) -> Task:
    argv = [sys.executable, "-m", "lab.runner", "--build", str(RELEASE.folder), "--json", f"{LOGS}/{prefix}/{name}.json"]
    return Task(name, lambda part: part.tap(prefix, [*argv, *arguments], name, part.left_s(), env))


def _lab_quick(part: Part) -> list[Task]:
    builds.make_release(part.run)
    return [_lab_task("quick", "lab-quick", ["--quick"])]


def _lab_files(of_hypervisor: bool) -> list[Path]:
    files = [Path(path) for path in tree.matching(".py") if Path(path).parent == Path("tests/lab")]
    return [path for path in files if path.name.startswith(_HYPERVISOR_TESTS) == of_hypervisor]


def _lab(part: Part) -> list[Task]:
    """A task for each file, so that a resumed run need not begin anew."""
    builds.make_release(part.run)
    return [_lab_task(path.stem, "lab", [path.name]) for path in _lab_files(False)]


def _hv(part: Part) -> list[Task]:
    """The hypervisor's own tests; then those of the lab again, with VMs that are its children."""
    builds.make_release(part.run)
    again = [path for path in _lab_files(False) if path.stem not in _NOT_OF_VMS]
    return [
        *(_lab_task(path.stem, "hv", [path.name]) for path in _lab_files(True)),
        *(_lab_task(f"{path.stem}_on_it", "hv", [path.name], {"OYA_LAB_HYPERVISOR": "1"}) for path in again),
    ]


SUITES = {
    suite.name: suite
    for suite in (
        Suite("style", 180, "layout, includes, lone headers, linters", style.tasks, parallel=True),
        Suite("tools", 60, "Python tests of check, bench and set-up", _tools, parallel=True),
        Suite("unit", 800, "tests/unit by gcc and clang, address and undefined sanitizers", _unit, parallel=True),
        Suite("sim", 90, "tests/sim under the thread sanitizer", _sim, parallel=True),
        Suite("fuzz", 420, "corpora and short runs of all fuzzers", _fuzz, parallel=True, closing=lambda: _figures),
        Suite("system", 300, "tests/system on this machine's /dev/kvm", _whole_vms("system")),
        Suite("host", 450, "the host service with real workers, on this machine's /dev/kvm", _whole_vms("host")),
        Suite("migrate", 900, "migration cut off at every message, many times, of VMs in all states", _whole_vms("migrate")),
        Suite("cluster", 1200, "hosts of a cluster in namespaces, with the real engine", _whole_vms("cluster")),
        Suite("blind", 300, "the blind guest at a real worker, also with sanitizers (--seconds N: that long)", _blind),
        Suite("coverage", 600, "line coverage of devices/", coverage.tasks, closing=coverage.figures),
        Suite("lab-quick", 700, "the short tests on emulated hosts", _lab_quick),
        Suite("lab", 7200, "all tests on emulated hosts, with Linux's KVM", _lab),
        Suite("hv", 9000, "the hypervisor on emulated hosts, and the lab's tests of VMs on it", _hv),
    )
}
LANDING = ["style", "tools", "unit", "sim", "fuzz", "system", "host", "lab-quick"]
FULL = ["style", "tools", "unit", "sim", "fuzz", "system", "host", "migrate", "cluster", "lab", "hv"]
