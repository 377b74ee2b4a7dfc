"""Runs the lab tests: `python3 -m lab.runner [--quick] [NAME...]`, TAP on stdout.

A test is a function `test_*(lab)` in tests/lab/*.py; `lab` is a `Session`. Its name, without
`test_`, is a sentence. NAME selects by substring. Exit code 1 when a test failed.

With OYA_LAB_HYPERVISOR=1 the hosts are parents of our hypervisor, and VMs are its children.

A test whose host ended by an assertion of the emulator's own (docs/design/lab.md) is run once more, and the report
tells.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from . import images, parent, vm
from .hosts import Host, Hosts, hosts
from .process import LabError, say

PROJECT = Path(__file__).resolve().parent.parent
DEFAULT_TIMEOUT_S = 600.0
ON_HYPERVISOR = os.environ.get("OYA_LAB_HYPERVISOR") == "1"
_SHARED_MIB = 7168 if ON_HYPERVISOR else 3072  # the hypervisor pins all memory of a guest
TRIES = 2  # where the emulator broke
_Test = Callable[["Session"], None]


class Skip(Exception):
    """Raised by `Session.skip`."""


class TooSlow(BaseException):
    """A test that ran over its time. A BaseException, so that no test swallows it."""


def quick(test: _Test) -> _Test:
    """Mark a test for the short check (`--quick`)."""
    test.quick = True  # type: ignore[attr-defined]
    return test


def timeout(seconds: float) -> Callable[[_Test], _Test]:
    """Give a test another time limit than ten minutes."""

    def mark(test: _Test) -> _Test:
        test.timeout = seconds  # type: ignore[attr-defined]
        return test

    return mark


class Session:
    """What a test gets. `build`: the folder with our binaries; `tmp`: a folder for this test."""

    def __init__(self, build: Path) -> None:
        self.build = build
        self.tmp = Path(tempfile.gettempdir())
        self.used_host = False
        self.emulator_broke = False  # in this test
        self.vms: list[vm.Vm] = []
        self._shared: Host | None = None
        self._stack = contextlib.ExitStack()

    @property
    def host(self) -> Host:
        """The bookworm host (2 CPUs) that tests share; a new one if the last test broke it."""
        if self._shared and not self.used_host and not _healthy(self._shared):
            say("the shared host does not answer; starting another")
            self.drop_host()
        if not self._shared:
            self._shared = self._stack.enter_context(self.hosts(memory_mib=_SHARED_MIB))[0]
        self.used_host = True
        return self._shared

    @contextlib.contextmanager
    def hosts(self, n: int = 1, **options: Any) -> Iterator[Hosts]:
        """Hosts of this test alone; the arguments of `lab.hosts`. Where the tests run on our hypervisor, it is below each."""
        beneath = ON_HYPERVISOR and options.get("nested", True) and not options.get("hypervisor")
        if beneath:
            options["hypervisor"] = self.binary("hypervisor/oya-hv")
        with hosts(n, **options) as made:
            if beneath:
                with tempfile.TemporaryDirectory(prefix="oya-driver.") as tmp:
                    for host in made:
                        parent.load_driver(host, Path(tmp))
            try:
                yield made
            except BaseException:
                self.emulator_broke |= any(host.broke() for host in made)
                raise

    def vm(self, script: str = "true", host: Host | None = None, **options: Any) -> vm.Vm:
        """A VM of ours in `host` (the shared one by default); arguments of `lab.vm.start`. It ends with the test."""
        self.binary("worker/oya-worker")
        made = vm.start(host or self.host, self.build, self.tmp, script=script, **options)
        self.vms.append(made)
        return made

    def boot(self, options: str, name: str = "vm", host: Host | None = None, **sizes: Any) -> vm.Vm:
        """A VM of ours that boots by firmware; arguments of `lab.vm.boot`. It ends with the test."""
        self.binary("worker/oya-worker")
        made = vm.boot(host or self.host, self.build, name, options, **sizes)
        self.vms.append(made)
        return made

    def guest(self, suite: str = "bookworm") -> images.GuestImage:
        """Kernel, initrd and disk of a stock guest."""
        return images.guest_image(suite)

    def guest_initrd(self, suite: str = "bookworm") -> Path:
        """The tiny initrd for that kernel."""
        return images.guest_initrd(suite)

    def binary(self, name: str) -> Path:
        """A program of ours below `build`; the test is skipped when it has not been built."""
        found = self.build / name
        if not found.exists():
            self.skip(f"{name} is not in {self.build}")
        return found

    def skip(self, reason: str) -> NoReturn:
        """End the test as skipped."""
        raise Skip(reason)

    def drop_host(self, failure: BaseException | None = None) -> None:
        """End the shared host, with its logs kept when it is for a failure; the next use starts a new one."""
        self._shared = None
        stack, self._stack = self._stack, contextlib.ExitStack()
        if failure:
            stack.__exit__(type(failure), failure, failure.__traceback__)
        else:
            stack.close()


def _healthy(host: Host) -> bool:
    with contextlib.suppress(LabError):
        return host.alive() and host.run("true", timeout=20, check=False).rc == 0
    return False


@dataclasses.dataclass
class Outcome:
    """One line of the report; `result` is "ok", "failed" or "skipped"; `text` of the last failure."""

    name: str
    file: str
    result: str
    seconds: float
    text: str = ""
    tries: int = 1


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def expire(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlow(f"over its limit of {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def discover(folder: Path) -> list[tuple[str, str, _Test]]:
    """(name, file, function) of each test, by file and then in order of definition."""
    found = []
    for path in sorted(folder.glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"lab_tests_{path.stem}", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        for name, value in vars(module).items():
            if name.startswith("test_") and callable(value):
                found.append((name.removeprefix("test_"), path.name, value))
    return found


def run_one(session: Session, name: str, file: str, test: _Test) -> Outcome:
    """Run one test, again where it was the emulator that broke: docs/design/lab.md, The emulator."""
    outcome = _try(session, name, file, test)
    tries, failure = 1, ""
    while outcome.result == "failed" and tries < TRIES and session.emulator_broke:
        failure = outcome.text
        say(f"{name}: the emulator of its host broke: once more")
        outcome, tries = _try(session, name, file, test), tries + 1
    return dataclasses.replace(outcome, tries=tries, text=outcome.text or failure)


def _try(session: Session, name: str, file: str, test: _Test) -> Outcome:
    """Run one test once; its failure becomes an outcome, never an exception."""
    start = time.monotonic()
    session.used_host = session.emulator_broke = False
    result, text = "ok", ""
    failure: BaseException | None = None
    with tempfile.TemporaryDirectory(prefix="oya-test.") as tmp:
        session.tmp = Path(tmp)
        try:
            with _time_limit(getattr(test, "timeout", DEFAULT_TIMEOUT_S)):
                test(session)
        except Skip as reason:
            result, text = "skipped", str(reason)
        except (Exception, TooSlow) as error:
            result, text, failure = "failed", traceback.format_exc(), error
        for made in session.vms:
            with contextlib.suppress(LabError):
                made.end()
        session.vms.clear()
    if failure and session.used_host:
        session.drop_host(failure)
    return Outcome(name, file, result, round(time.monotonic() - start, 2), text)


def report(number: int, outcome: Outcome) -> None:
    """One TAP line, and the reason of a failure as comments."""
    word = "not ok" if outcome.result == "failed" else "ok"
    line = f"{word} {number} - {outcome.name} ({outcome.seconds:.1f} s)"
    if outcome.tries > 1:
        line += f", try {outcome.tries}"
    if outcome.result == "skipped":
        line += f" # SKIP {outcome.text}"
    print(line, flush=True)
    if outcome.result == "failed" or outcome.tries > 1:
        for text in outcome.text.rstrip().splitlines():
            print(f"# {text}", flush=True)


def main(argv: list[str]) -> int:
    """Run the selected tests; 0 when none failed."""
    parser = argparse.ArgumentParser(prog="python3 -m lab.runner", description="Runs the lab tests.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="run tests whose name or file contains NAME")
    parser.add_argument("--quick", action="store_true", help="only those of the short check")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--build", type=Path, default=Path(os.environ.get("OYA_BUILD") or PROJECT / "build"))
    parser.add_argument("--json", type=Path, help="result file (default: BUILD/lab/results.json)")
    args = parser.parse_args(argv)

    tests = [
        (name, file, test)
        for name, file, test in discover(PROJECT / "tests" / "lab")
        if (not args.names or any(part.removeprefix("test_") in f"{file} {name}" for part in args.names))
        and (not args.quick or getattr(test, "quick", False))
    ]
    if args.list:
        print("\n".join(f"{file}: {name}" for name, file, _ in tests))
        return 0

    session = Session(args.build.resolve())
    outcomes: list[Outcome] = []
    start = time.monotonic()
    print(f"TAP version 13\n1..{len(tests)}", flush=True)
    try:
        for name, file, test in tests:
            outcomes.append(run_one(session, name, file, test))
            report(len(outcomes), outcomes[-1])
    except KeyboardInterrupt:
        print("Bail out! interrupted", flush=True)
        return 130
    finally:
        session.drop_host()
        _write(args.json or args.build / "lab" / "results.json", outcomes, time.monotonic() - start)
    counts = {word: sum(o.result == word for o in outcomes) for word in ("ok", "failed", "skipped")}
    again = sum(o.tries > 1 for o in outcomes)
    print(f"# {counts['ok']} passed, {counts['failed']} failed, {counts['skipped']} skipped; {again} tried again", flush=True)
    return 1 if counts["failed"] or not tests else 0


def _write(path: Path, outcomes: list[Outcome], seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "tests": [dataclasses.asdict(outcome) for outcome in outcomes],
    }
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
