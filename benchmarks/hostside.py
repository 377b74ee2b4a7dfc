# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures within the emulated host: `python3 hostside.py VERB ARGUMENTS`, one line of JSON on stdout.

Copied there by places.py, so it stands alone. What it measures is the same for ours and for a peer: times by the
monotonic clock, memory from smaps, processor time from schedstat of all threads, exits from KVM's own counters and its
trace point for returns to user space.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

TRACING = Path("/sys/kernel/tracing")
ENTRY = TRACING / "events/kvm/kvm_entry"
USER_EXIT = TRACING / "events/kvm/kvm_userspace_exit"
KVM = Path("/sys/kernel/debug/kvm")
_HIST = "hist:keys=common_pid"
_POLL_S = 0.02


def _ended(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _start(argv: list[str], output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )


def pss_mib(pid: int, ram_mib: int) -> float:
    """Memory of a process beside its guest's RAM, which is its only mapping of that size."""
    total, guest = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            low, high = (int(word, 16) for word in line.split()[0].split("-"))
            guest = high - low >= ram_mib << 20
        elif line.startswith("Pss:") and not guest:
            total += int(line.split()[1])
    return total / 1024


def boot(mark: str, limit_s: float, argv: list[str]) -> dict[str, object]:
    """Milliseconds from before the process is made until `mark` is on its console."""
    begin = time.monotonic()
    child = _start(argv, subprocess.PIPE)
    assert child.stdout
    text = b""
    try:
        while mark.encode() not in text and time.monotonic() - begin < limit_s:
            if select.select([child.stdout], [], [], 1)[0]:
                more = os.read(child.stdout.fileno(), 65536)
                if not more:
                    break
                text += more
        passed = time.monotonic() - begin
    finally:
        _ended(child)
    if mark.encode() not in text:
        return {"error": f"no {mark} within {passed:.0f} s: {text[-300:].decode(errors='replace')}"}
    return {"start_ms": passed * 1000}


def first(limit_s: float, argv: list[str]) -> dict[str, object]:
    """Milliseconds from before the process is made until KVM enters its guest for the first time."""
    (TRACING / "tracing_on").write_text("0")
    (TRACING / "trace_clock").write_text("mono")
    (TRACING / "trace").write_text("")
    (ENTRY / "trigger").write_text("traceoff:1")
    (ENTRY / "enable").write_text("1")
    (TRACING / "tracing_on").write_text("1")
    begin = time.monotonic()
    child = _start(argv, subprocess.DEVNULL)
    try:
        while (TRACING / "tracing_on").read_text().strip() == "1" and time.monotonic() - begin < limit_s:
            time.sleep(_POLL_S)
    finally:
        _ended(child)
        text = (TRACING / "trace").read_text()
        (ENTRY / "enable").write_text("0")
        (ENTRY / "trigger").write_text("!traceoff:1")
        (TRACING / "tracing_on").write_text("1")
    found = re.search(r" (\d+\.\d+): kvm_entry", text)
    if not found:
        return {"error": f"no guest was entered within {limit_s:.0f} s"}
    return {"first_ms": (float(found[1]) - begin) * 1000}


def _until(console: socket.socket, mark: str, end: float) -> str | None:
    """What comes up to `mark`, or None when it does not come before `end` of the monotonic clock."""
    text = b""
    while (left := end - time.monotonic()) > 0:
        if not select.select([console], [], [], left)[0]:
            break
        try:
            more = console.recv(65536)
        except OSError:
            break
        if not more:
            break
        text += more
        if mark.encode() in text:
            return text.decode(errors="replace")
    return None


def _connected(path: str, child: subprocess.Popen[bytes] | None, end: float) -> socket.socket | None:
    while time.monotonic() < end:
        console = socket.socket(socket.AF_UNIX)
        try:
            console.connect(path)
        except OSError:
            console.close()
            if child and child.poll() is not None:
                return None
            time.sleep(_POLL_S)
            continue
        return console
    return None


def start(path: str, log: str, mark: str, limit_s: float, argv: list[str]) -> dict[str, object]:
    """Start a VM that stays; its process when `mark` has come from its console, the socket `path`."""
    with open(log, "wb") as file:
        child = _start(argv, file.fileno())
    end = time.monotonic() + limit_s
    console = _connected(path, child, end)
    text = _until(console, mark, end) if console else None
    if text is None:
        _ended(child)
        return {"error": f"no {mark} within {limit_s:.0f} s: {Path(log).read_text(errors='replace')[-300:]}"}
    return {"pid": child.pid}


def _threads(pid: int) -> list[str]:
    return os.listdir(f"/proc/{pid}/task")


def _cpu_s(pid: int) -> float:
    total = 0
    for thread in _threads(pid):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
    return total / 1e9


def _user_exits(pid: int) -> int:
    mine = set(_threads(pid))
    found = re.findall(r"common_pid:\s*(\d+)\s*}\s*hitcount:\s*(\d+)", (USER_EXIT / "hist").read_text())
    return sum(int(count) for thread, count in found if thread in mine)


def _vm_exits(pid: int) -> int:
    return sum(int((folder / "exits").read_text()) for folder in KVM.glob(f"{pid}-*"))


@contextlib.contextmanager
def _counting() -> Iterator[None]:
    (USER_EXIT / "trigger").write_text(_HIST)
    try:
        yield
    finally:
        (USER_EXIT / "trigger").write_text(f"!{_HIST}")


def _disk_ios(disk: str) -> int:
    words = Path(f"/sys/block/{disk}/stat").read_text().split()
    return int(words[0]) + int(words[4])


def _tap_bytes(tap: str) -> int:
    folder = Path(f"/sys/class/net/{tap}/statistics")
    return sum(int((folder / name).read_text()) for name in ("rx_bytes", "tx_bytes"))


def _sample(pid: int, work: int) -> dict[str, float]:
    return {
        "seconds": time.monotonic(),
        "work": work,
        "cpu_s": _cpu_s(pid),
        "user_exits": _user_exits(pid),
        "vm_exits": _vm_exits(pid),
    }


def load(path: str, pid: int, what: str, window_s: float, limit_s: float, command: str) -> dict[str, object]:
    """Give the guest a command and look at a window in its midst.

    `what`: "disk:NAME" counts the requests at that block device of the host, "tap:NAME" the bytes of that tap. The
    window begins once they flow. Differences over the window, and the guest's answer.
    """
    kind, _, name = what.partition(":")
    count, enough = (_disk_ios, 20) if kind == "disk" else (_tap_bytes, 200_000)
    console = _connected(path, None, time.monotonic() + 10)
    if not console:
        return {"error": "its console is not there any more"}
    end = time.monotonic() + limit_s
    with _counting():
        begin = count(name)
        console.sendall(command.encode() + b"\n")
        while count(name) < begin + enough and time.monotonic() < end:
            time.sleep(_POLL_S)
        time.sleep(0.5)
        before = _sample(pid, count(name))
        time.sleep(window_s)
        after = _sample(pid, count(name))
        text = _until(console, "OYA-END", end)
    if text is None:
        return {"error": f"`{command}` did not end within {limit_s:.0f} s"}
    result: dict[str, object] = {key: after[key] - value for key, value in before.items()}
    return result | {"text": text}


def _guest_ram(pid: int, ram_mib: int) -> dict[str, object]:
    return {"pss_mib": pss_mib(pid, ram_mib)}


def main(argv: list[str]) -> None:
    """Do one verb."""
    verb, *rest = argv
    if not (TRACING / "events").exists():
        subprocess.run(["mount", "-t", "tracefs", "tracefs", str(TRACING)], check=True)
    if verb == "boot":
        result = boot(rest[0], float(rest[1]), rest[2:])
    elif verb == "first":
        result = first(float(rest[0]), rest[1:])
    elif verb == "start":
        result = start(rest[0], rest[1], rest[2], float(rest[3]), rest[4:])
    elif verb == "load":
        result = load(rest[0], int(rest[1]), rest[2], float(rest[3]), float(rest[4]), rest[5])
    else:
        result = _guest_ram(int(rest[0]), int(rest[1]))
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
