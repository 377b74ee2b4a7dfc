"""Child processes on a leash, directories of runs, progress lines.

Invariants
1. A child dies with this Python process, even when that is killed by SIGKILL: it is started
   by one thread that lives as long as the process, and asks the kernel for SIGKILL at the
   death of that thread (PR_SET_PDEATHSIG follows the thread that forked, not the process).
2. A run directory names the process that owns it by pid and start time; directories of dead
   owners are swept by the next run.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_requests: queue.SimpleQueue[tuple[Future[Any], list[str], dict[str, Any]]] = queue.SimpleQueue()
_spawner_lock = threading.Lock()
_spawner_pid = 0


class LabError(Exception):
    """What was being done, to what, why it failed, and what to do: one sentence or two."""


class Progress:
    """`lab: host1 booting… 9 s` on stderr, at most one line every `every_s` seconds."""

    def __init__(self, what: str, every_s: float = 5.0) -> None:
        self.what = what
        self._every_s = every_s
        self._start = time.monotonic()
        self._next = self._start + every_s

    def seconds(self) -> float:
        """Seconds since this was made."""
        return time.monotonic() - self._start

    def tick(self) -> None:
        """Print a line if one is due."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._every_s
            say(f"{self.what}… {now - self._start:.0f} s")

    def done(self, text: str = "done") -> None:
        """Print the last line."""
        say(f"{self.what}: {text} after {self.seconds():.1f} s")


def say(text: str) -> None:
    """One line for the person who waits, on stderr."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def _serve() -> None:
    while True:
        future, argv, options = _requests.get()
        try:
            future.set_result(subprocess.Popen(argv, **options))
        except BaseException as error:  # the caller's thread raises it again
            future.set_exception(error)


def spawn(argv: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """`subprocess.Popen(argv, **options)`, but the child cannot outlive this process."""
    global _spawner_pid
    parent = os.getpid()
    with _spawner_lock:
        if _spawner_pid != parent:
            threading.Thread(target=_serve, name="lab-spawner", daemon=True).start()
            _spawner_pid = parent

    def leash() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(127)

    future: Future[subprocess.Popen[bytes]] = Future()
    _requests.put((future, argv, {"preexec_fn": leash, **options}))
    return future.result()


def run(argv: list[str], timeout: float = 60.0, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run to the end with captured output; subprocess.TimeoutExpired when too slow."""
    child = spawn(
        argv,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        out, err = child.communicate(stdin, timeout=timeout)
    except BaseException:
        stop(child)
        raise
    return subprocess.CompletedProcess(argv, child.returncode, out, err)


def run_logged(argv: list[str], log: Path, what: str, timeout: float = 1800.0) -> None:
    """Run with output to `log` and progress lines; LabError with the log's last 40 lines."""
    progress = Progress(what, every_s=10.0)
    with open(log, "ab") as file:
        child = spawn(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    try:
        while child.poll() is None:
            if progress.seconds() > timeout:
                break
            progress.tick()
            time.sleep(0.1)
    finally:
        late = child.poll() is None
        stop(child)
    if late or child.returncode:
        why = f"took more than {timeout:.0f} s" if late else f"{argv[0]} exited with {child.returncode}"
        raise LabError(f"{tail(log)}\n{what} failed: {why}; the lines above end its log.")


def tail(log: Path, lines: int = 40) -> str:
    """The last lines of a text file; empty when it is absent."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def stop(child: subprocess.Popen[bytes]) -> None:
    """Kill a child and reap it."""
    if child.poll() is None:
        child.kill()
    child.wait()


def _start_time(pid: int) -> str | None:
    """Field 22 of /proc/PID/stat (clock ticks since boot), None without such a process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


def run_dir() -> Path:
    """A new private directory for one run, removed at exit; those of dead runs are swept."""
    top = Path(tempfile.gettempdir())
    for old in top.glob("oya-lab.*.*.*"):
        _, pid, started, _ = old.name.split(".", 3)
        if pid.isdigit() and _start_time(int(pid)) != started:
            shutil.rmtree(old, ignore_errors=True)
    pid = os.getpid()
    path = Path(tempfile.mkdtemp(prefix=f"oya-lab.{pid}.{_start_time(pid)}.", dir=top))
    atexit.register(_remove_own, path, pid)
    return path


def _remove_own(path: Path, pid: int) -> None:
    if os.getpid() == pid:
        shutil.rmtree(path, ignore_errors=True)
