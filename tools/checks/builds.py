# SPDX-License-Identifier: GPL-2.0-or-later
"""The build folders below build/, each with one compiler and one set of sanitizers."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .process import ROOT, Ended

BUILD = ROOT / "build"
_TEST_PROGRAM = re.compile(r"^(unit|sim|fuzz)-")
_STAMP = "oya-set-up"  # the arguments that a folder was set up with


@dataclasses.dataclass(frozen=True)
class Build:
    """One build folder; `options` go to `meson setup`."""

    name: str
    compiler: str
    options: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where it is."""
        return BUILD / self.name

    def binary(self, path: str) -> Path:
        """A file that it makes."""
        return self.folder / path


RELEASE = Build("release", "gcc")
_SANITIZED = ("-Db_sanitize=address,undefined", "-Db_lundef=false")
GCC_SAN = Build("gcc-san", "gcc", (*_SANITIZED, "-Dfuzz=true"))
CLANG_SAN = Build("clang-san", "clang", _SANITIZED)
CLANG_TSAN = Build("clang-tsan", "clang", ("-Db_sanitize=thread", "-Db_lundef=false"))
CLANG_MSAN = Build(
    "clang-msan", "clang",
    ("-Db_sanitize=memory", "-Db_lundef=false", "-Dfuzz=true", "-Dtests=false", "-Dc_args=-fsanitize-memory-track-origins"),
)  # fmt: skip
COVERAGE = Build("coverage", "gcc", ("-Db_coverage=true", "-Dfuzz=true", "-Dc_args=-O1"))
CLANG_FUZZ = Build(
    "clang-fuzz", "clang", (*_SANITIZED, "-Dfuzz=true", "-Dtests=false", "-Dc_args=-fsanitize=fuzzer-no-link")
)

# Every report ends the program; addresses are not shuffled, since clang 14's run-time libraries
# cannot have all that newer kernels do.
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=0:exitcode=66:second_deadlock_stack=1",
}
SANITIZER_PREFIX = ["setarch", "-R"]

Run = Callable[..., Ended]


class BuildError(Exception):
    """What could not be built; the log tells why."""

    def __init__(self, text: str, ended: Ended) -> None:
        super().__init__(text)
        self.ended = ended


def set_up(build: Build, run: Run) -> None:
    """Configure the folder if it is new or its options have changed."""
    argv = ["meson", "setup", str(build.folder), *build.options]
    stamp = build.folder / _STAMP
    wanted = f"CC={build.compiler} {' '.join(argv)}"
    if (build.folder / "build.ninja").exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    if (build.folder / "meson-private").exists():
        argv.append("--wipe" if stamp.exists() else "--reconfigure")
    ended = run(argv, log=f"build-{build.name}", env={"CC": build.compiler})
    if not ended.good:
        raise BuildError(f"build/{build.name} cannot be set up", ended)
    stamp.write_text(wanted)


def make(build: Build, run: Run, targets: list[str]) -> Ended:
    """Build the targets; goes on after an error so that the rest exists."""
    set_up(build, run)
    return run(["ninja", "-C", str(build.folder), "-k", "0", *targets], log=f"build-{build.name}")


def make_release(run: Run) -> None:
    """Build the programs of build/release, and the guest of the system tests; BuildError if that fails."""
    _refresh(RELEASE, run)
    targets = [
        str(Path(name).relative_to(RELEASE.folder))
        for target in _introspect(RELEASE, "--targets")
        if target["type"] in ("executable", "shared library") and not _TEST_PROGRAM.match(target["name"])
        for name in target["filename"]
    ]
    made = make(RELEASE, run, targets)
    if not made.good:
        raise BuildError("build/release does not build", made)


def up_to_date(build: Build, target: str) -> bool:
    """Whether ninja has nothing to do for the target."""
    asked = subprocess.run(
        ["ninja", "-C", str(build.folder), "-n", target], capture_output=True, text=True, check=False
    )
    return asked.returncode == 0 and "no work to do" in asked.stdout


def tests_of(build: Build, suite: str, run: Run) -> dict[str, str]:
    """Name of each test of a meson suite -> its program, as a path within the folder."""
    _refresh(build, run)
    return {
        test["name"]: str(Path(test["cmd"][0]).relative_to(build.folder))
        for test in _introspect(build, "--tests")
        if any(name.split(":")[-1] == suite for name in test["suite"])
    }


def _refresh(build: Build, run: Run) -> None:
    """Set up, and up to date with the meson.build files."""
    set_up(build, run)
    ended = run(["ninja", "-C", str(build.folder), "build.ninja"], log=f"build-{build.name}")
    if not ended.good:
        raise BuildError(f"build/{build.name} cannot be set up", ended)


def _introspect(build: Build, what: str) -> list[dict[str, Any]]:
    listed = subprocess.run(
        ["meson", "introspect", what, str(build.folder)], capture_output=True, text=True, check=True
    )
    return json.loads(listed.stdout)
