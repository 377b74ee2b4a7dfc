# SPDX-License-Identifier: GPL-2.0-or-later
"""The suite `style`: each rule of the tree is one test."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable

import includes

from . import builds, tree
from .process import ROOT, tail
from .result import FAILED, PASSED, SKIPPED
from .session import Part, Task

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 60
CLANG_FORMAT_MAJOR = 14  # Debian 12's; other versions lay out some lines differently
_HEADER_FLAGS = [
    "-std=gnu17", "-D_GNU_SOURCE", "-I.", "-Wall", "-Wextra", "-Wstrict-prototypes", "-Werror",
    "-fsyntax-only", "-x", "c",
]  # fmt: skip
_SOURCES = (".c", ".h", ".py", ".sh", ".asl", ".js", ".css", ".build")
# Words of unfinished work, put together here so that this file does not hold them.
_UNFINISHED = re.compile("|".join([r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b", r"\bXX" + r"X\b", "not " + "implemented"]))
_CPPCHECK = [
    "cppcheck", "--enable=warning,portability,performance", "--inline-suppr", "--error-exitcode=1", "--quiet",
    "--std=c11", "--library=posix", "--max-ctu-depth=4", "-D_GNU_SOURCE", "-D__x86_64__", "-I.",
    "--template={file}:{line}: {severity}: {message} [{id}]", "--suppressions-list=tools/cppcheck-suppressions",
]  # fmt: skip

Breaches = list[str]


def _rule(name: str, find: Callable[[], Breaches]) -> Task:
    """A test that is a function which lists breaches."""

    def run(part: Part) -> None:
        start = time.monotonic()
        found = find()
        part.report(name, FAILED if found else PASSED, time.monotonic() - start, "\n".join(found))

    return Task(name, run)


def _command(name: str, argv: list[str], files: list[str]) -> Task:
    """A test that is one command on files."""

    def run(part: Part) -> None:
        if files:
            part.ended(name, part.run([*argv, *files], log=name))
        else:
            part.report(name, PASSED)

    return Task(name, run)


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


def _sources() -> list[str]:
    """All that people write by hand and that a rule on lines or words concerns."""
    return sorted({*tree.matching(*_SOURCES), *tree.scripts("bash", "sh", "python3")})


def long_functions(name: str, text: str) -> Breaches:
    """Functions of a C file above the limit: from the line before `{` to `}`, both in column 0."""
    found = []
    start, title = 0, ""
    before = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line == "{":
            start, title = number - 1, before
        elif line == "}" and start:
            length = number - start + 1
            if length > FUNCTION_LINES_MAX:
                found.append(f"{name}:{start}: {length} lines: {title.strip()}")
            start = 0
        before = line
    return found


def _all_long_functions() -> Breaches:
    return [line for name in tree.matching(".c", ".h") for line in long_functions(name, _read(name))]


def _long_files() -> Breaches:
    lengths = ((name, _read(name).count("\n")) for name in _sources())
    return [f"{name}: {length} lines" for name, length in lengths if length > FILE_LINES_MAX]


def _unfinished() -> Breaches:
    return [
        f"{name}:{number}: {line.strip()}"
        for name in _sources()
        for number, line in enumerate(_read(name).splitlines(), 1)
        if _UNFINISHED.search(line)
    ]


def _broken_python() -> Breaches:
    found = []
    for name in sorted({*tree.matching(".py"), *tree.scripts("python3")}):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                compile(_read(name), name, "exec")
            except (SyntaxError, SyntaxWarning, DeprecationWarning) as error:
                found.append(f"{name}: {error}")
    return found


def _forgotten() -> Breaches:
    """Tests and fuzzers that no meson.build lists, fuzzers without seeds."""
    tests, fuzzers = _read("tests/meson.build"), _read("fuzz/meson.build")
    listed = {f"tests/sim/{name}_test.c" for name in _table(tests, "sim_tests")}
    listed |= {f"fuzz/fuzz_{name}.c" for name in _table(fuzzers, "fuzz_links")}
    for folder, names in _table(tests, "unit_tests").items():
        listed |= {f"tests/unit/{folder}/{name}_test.c" for name in re.findall(r"'(\w+)'", names)}
    found = []
    for name in tree.matching(".c"):
        fuzzer = re.match(r"fuzz/fuzz_(\w+)\.c$", name)
        if (fuzzer or re.match(r"tests/(unit|sim)/.*_test\.c$", name)) and name not in listed:
            found.append(f"{name} is not in the meson.build of its folder")
        if fuzzer and not any(other.startswith(f"fuzz/corpus/{fuzzer[1]}/") for other in tree.files()):
            found.append(f"{name} has no seeds in fuzz/corpus/{fuzzer[1]}")
    return found


def _table(text: str, name: str) -> dict[str, str]:
    """Keys and values of a dictionary in a meson.build."""
    inside = re.search(rf"^{name} = {{\n(.*?)^}}$", text, re.MULTILINE | re.DOTALL)
    entries = re.split(r"^\s*'([\w/]+)':", inside[1], flags=re.MULTILINE)[1:] if inside else []
    return dict(zip(entries[::2], entries[1::2]))


def _hosted(name: str) -> bool:
    """Whether a source can be looked at without the kernel's headers, which the driver is built with."""
    return not name.startswith(("parent/", "tests/lab/attacks/"))


def _lone_headers(compiler: str) -> Task:
    name = f"every header compiles alone with {compiler}"

    def run(part: Part) -> None:
        start = time.monotonic()
        found = []
        for header in filter(_hosted, tree.matching(".h")):
            end = part.run([compiler, *_HEADER_FLAGS, "-include", header, "/dev/null"], log=f"{name}-{header}")
            if not end.good:
                found.append((header, tail(end.log, 10)))
        words = [text for _, text in found] + [f"does not compile alone: {header}" for header, _ in found]
        part.report(name, FAILED if found else PASSED, time.monotonic() - start, "\n".join(words))

    return Task(name, run)


def _clang_format() -> Task:
    name = f"clang-format {CLANG_FORMAT_MAJOR} would change nothing"
    for program in (f"clang-format-{CLANG_FORMAT_MAJOR}", "clang-format"):
        if not shutil.which(program):
            continue
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        if re.search(rf"version {CLANG_FORMAT_MAJOR}\.", version):
            return _command(name, [program, "--dry-run", "--Werror"], tree.matching(".c", ".h"))
    reason = f"clang-format {CLANG_FORMAT_MAJOR} is not installed"
    return Task(name, lambda part: part.report(name, SKIPPED, text=reason))


def _cppcheck(part: Part) -> Task:
    cache = builds.BUILD / "check" / "cppcheck"
    cache.mkdir(parents=True, exist_ok=True)
    argv = [*_CPPCHECK, f"-j{part.options.jobs}", f"--cppcheck-build-dir={cache}"]
    return _command("cppcheck finds nothing", argv, list(filter(_hosted, tree.matching(".c"))))


def _shellcheck() -> Task:
    files = sorted({*tree.matching(".sh"), *tree.scripts("bash", "sh")})
    return _command("shellcheck finds nothing", ["shellcheck", "-x", "-P", "SCRIPTDIR"], files)


def tasks(part: Part) -> list[Task]:
    """All rules; the long ones first, since two run at a time."""
    return [
        _cppcheck(part),
        _lone_headers("clang"),
        _lone_headers("gcc"),
        _clang_format(),
        _shellcheck(),
        _rule("includes go one way only", lambda: includes.all_breaches(tree.matching(".c", ".h"))),
        _rule(f"no file has more than {FILE_LINES_MAX} lines", _long_files),
        _rule(f"no function has more than {FUNCTION_LINES_MAX} lines", _all_long_functions),
        _rule("no source tells of unfinished work", _unfinished),
        _rule("every Python file compiles", _broken_python),
        _rule("every test and fuzzer is built and every fuzzer has seeds", _forgotten),
    ]
