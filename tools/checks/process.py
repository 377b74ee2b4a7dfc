# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands with a log, a time limit and a process group of their own.

Invariants
1. When `run` returns or raises, no process of the command's group is left.
2. The group is signalled only while its leader is unreaped, so its number is not another's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent.parent
_POLL_S = 0.02
_COMMAND_MAX = 400  # characters of a command line in its log
_stopping = threading.Event()


class Stopped(Exception):
    """The whole check is being ended (Ctrl-C, SIGTERM)."""


@dataclasses.dataclass
class Ended:
    """How a command ended. `late`: it ran over its time and was killed."""

    code: int
    seconds: float
    late: bool
    log: Path

    @property
    def good(self) -> bool:
        """Whether it ended by itself with code 0."""
        return self.code == 0 and not self.late

    def why(self) -> str:
        """A sentence on a bad end."""
        if self.late:
            return f"killed: over its time after {self.seconds:.0f} s"
        if self.code < 0:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(-self.code).name}"
        return f"exit code {self.code}"


def tail(log: Path, lines: int = 60) -> str:
    """The last lines of a text file; empty when it is absent."""
    with contextlib.suppress(FileNotFoundError):
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    return ""


def stop_all() -> None:
    """Make each `run` kill its command and raise Stopped."""
    _stopping.set()


def _pump(pipe: IO[bytes], log: IO[bytes], lock: threading.Lock, on_line: Callable[[str], None] | None) -> None:
    for raw in pipe:
        with lock:
            log.write(raw)
            log.flush()
        if on_line:
            on_line(raw.decode(errors="replace").rstrip("\n"))


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _ended_unreaped(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def run(
    argv: list[str],
    log: Path,
    limit_s: float,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    on_wait: Callable[[float], None] | None = None,
) -> Ended:
    """Run to the end in the root folder, output appended to `log`.

    `on_line` gets each line of standard output as it comes, `on_wait` the seconds so far.
    """
    if _stopping.is_set():
        raise Stopped
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    late = False
    lock = threading.Lock()
    with open(log, "ab") as file:
        file.write(f"$ {shlex.join(argv)[:_COMMAND_MAX]}\n".encode())
        file.flush()
        child = subprocess.Popen(
            argv,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        pumps = [
            threading.Thread(target=_pump, args=(child.stdout, file, lock, on_line), daemon=True),
            threading.Thread(target=_pump, args=(child.stderr, file, lock, None), daemon=True),
        ]
        for pump in pumps:
            pump.start()
        try:
            while not _ended_unreaped(child.pid):
                seconds = time.monotonic() - start
                if seconds > limit_s or _stopping.is_set():
                    late = True
                    break
                if on_wait:
                    on_wait(seconds)
                time.sleep(_POLL_S)
        finally:
            _kill_group(child.pid)
            child.wait()
            for pump in pumps:
                pump.join(timeout=5)
            for pipe in (child.stdout, child.stderr):
                if pipe and not any(pump.is_alive() for pump in pumps):
                    pipe.close()
        if late:
            file.write(b"killed by the check: over its time\n")
    if _stopping.is_set():
        raise Stopped
    return Ended(child.returncode, time.monotonic() - start, late, log)
