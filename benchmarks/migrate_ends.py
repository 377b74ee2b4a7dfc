# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest of ./bench migrate on QEMU and on our worker: how it is started, ordered about, moved, saved and restored.

Both have 1 GiB of RAM in a memfd, which is looked into from outside, one processor and no device that is not needed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import mmap
import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.common import RunFailed

HERE = Path(__file__).parent
RAM_MIB = 1024
LIMIT_S = 60.0
DOWNTIME_US = 20000  # that the user allows
RATE_OF_ALL = 10**11  # bytes/s: no limit, for those that want a number

# Of migrate_guest.S.
ORDERS_AT, SEEN_AT, FILL_AT = 0x300000, 0x301000, 0x400000
PAGE = 4096
_COUNTER, _TSC, _PHASE = 0, 8, 24
_WAITS, _RUNS = 1, 3
_SLACK_PER_S = 100  # of a second: 10 ms

_PROCESS_CLOCK = 2  # of clock_gettime: the processor time of a process


@dataclasses.dataclass(frozen=True)
class Load:
    """What the guest does: pages that it fills, those that it writes to then, in turn, and how many of them a second.

    `text`: they are filled from outside, with what can be compressed.
    """

    fill_pages: int = 0
    set_pages: int = 0
    pages_per_s: int = 0
    text: bool = False


@dataclasses.dataclass(frozen=True)
class Moved:
    """What an end tells of a migration: the downtime that it promised before, and the one that it saw, in microseconds."""

    promised_us: float | None = None
    stopped_us: float | None = None


@dataclasses.dataclass(frozen=True)
class Programs:
    """All that is built: the guest for both, the observer, and our worker."""

    folder: Path
    worker: Path

    @property
    def kernel(self) -> Path:
        """The guest as an ELF file."""
        return self.folder / "guest.elf"

    @property
    def rom(self) -> Path:
        """The guest as a firmware."""
        return self.folder / "rom.bin"

    @property
    def observer(self) -> Path:
        """migrate_observer.c."""
        return self.folder / "observer"


def programs(folder: Path, worker: Path) -> Programs:
    """Build them in `folder`."""

    def run(*words: str | Path) -> None:
        subprocess.run([str(word) for word in words], check=True, cwd=folder)

    made = Programs(folder, worker)
    run("cc", "-c", "-o", "guest.o", HERE / "migrate_guest.S")
    run("ld", "-n", "-Ttext=0x200000", "-o", made.kernel, "guest.o")
    run("objcopy", "-O", "binary", made.kernel, "guest.bin")
    run("cc", "-c", "-Wa,-I,.", "-o", "rom.o", HERE / "migrate_rom.S")
    run("objcopy", "-O", "binary", "-j", ".text", "rom.o", made.rom)
    run("cc", "-O2", "-o", made.observer, HERE / "migrate_observer.c")
    return made


@functools.cache
def _text() -> bytes:
    """Some MiB of C, of the programs that are measured."""
    folders = ("base", "cli", "devices", "disk", "host", "hypervisor", "lib", "worker")
    return b"".join(path.read_bytes() for name in folders for path in sorted((HERE.parent / name).rglob("*.[ch]")))


def wait_for(condition: Callable[[], Any], why: str, limit_s: float = LIMIT_S, every_s: float = 0.005) -> Any:
    """The first true value of `condition`; RunFailed when there is none in time."""
    end = time.monotonic() + limit_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise RunFailed(f"{why} within {limit_s:.0f} s")
        time.sleep(every_s)
    return value


class End:
    """A process that has the guest, and its memory."""

    name: ClassVar[str]
    _memfd: ClassVar[str]
    _thread: ClassVar[str]

    def __init__(self, made: Programs, tmp: Path, *, incoming: bool = False, restore: Path | None = None) -> None:
        self.made = made
        self.socket = tmp / f"{time.monotonic_ns()}.control"
        self.log = self.socket.with_suffix(".log")
        self.began = time.monotonic()
        self.process = self._start(incoming, restore)
        self._view: mmap.mmap | None = None
        self._fd = -1

    @classmethod
    def command(cls, made: Programs, control: Path) -> list[str]:
        """How it is started, with a socket at `control` on which it takes orders."""
        raise NotImplementedError

    def _start(self, incoming: bool, restore: Path | None) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def _spawn(self, command: list[str], pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        with open(self.log, "wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=pass_fds)

    def told(self) -> str:
        """Its last words."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-300:]

    def _alive(self) -> None:
        if self.process.poll() is not None:
            raise RunFailed(f"{self.name} ended with {self.process.returncode}: {self.told()}")

    # ---- the guest's memory ----

    def _find(self) -> str | None:
        self._alive()
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{self.process.pid}/fd"):
                path = f"/proc/{self.process.pid}/fd/{name}"
                with contextlib.suppress(OSError):
                    if os.readlink(path).startswith(f"/memfd:{self._memfd}") and os.stat(path).st_size == RAM_MIB << 20:
                        return path
        return None

    def open_memory(self, every_s: float = 0.005) -> None:
        """Look into it from now on, also when the process has ended."""
        if not self._view:
            path = wait_for(self._find, "no memory of the guest", every_s=every_s)
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            self._view = mmap.mmap(self._fd, 2 * PAGE, offset=ORDERS_AT)

    @property
    def memory(self) -> str:
        """A path for others, while we live."""
        self.open_memory()
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def _word(self, at: int) -> int:
        # By the file: a page that is missing stays so, when whoever has it is to fill it in still.
        self.open_memory()
        return int(struct.unpack("<Q", os.pread(self._fd, 8, SEEN_AT + at))[0])

    def counter(self) -> int:
        """How far the guest is."""
        return self._word(_COUNTER)

    def order(self, load: Load) -> None:
        """Let it begin, and wait until it has filled its memory."""
        wait_for(lambda: self._alive() or self._word(_PHASE) >= _WAITS, "the guest does not come up")
        ticks, began = self._word(_TSC), time.monotonic()
        time.sleep(0.2)
        per_s = (self._word(_TSC) - ticks) / (time.monotonic() - began)
        interval = int(per_s / load.pages_per_s) if load.pages_per_s else 0
        assert self._view
        if load.text:
            self._write_text(load.fill_pages * PAGE)
            load = dataclasses.replace(load, fill_pages=0)
        seed = int.from_bytes(os.urandom(8), "little") | 1
        struct.pack_into("<QQ", self._view, 0, load.fill_pages, seed)
        struct.pack_into("<QQQ", self._view, 24, load.set_pages, interval, int(per_s / _SLACK_PER_S))
        struct.pack_into("<Q", self._view, 16, 1)
        wait_for(lambda: self._alive() or self._word(_PHASE) == _RUNS, "the guest does not fill its memory")

    def _write_text(self, size: int) -> None:
        for at in range(0, size, len(_text())):
            os.pwrite(self._fd, _text()[: size - at], FILL_AT + at)

    def same_memory(self, other: End, first: int) -> bool:
        """Whether both have the same from `first` on; what was never touched stays so."""
        step = 8 << 20
        return all(os.pread(self._fd, step, at) == os.pread(other._fd, step, at) for at in range(first, RAM_MIB << 20, step))

    # ---- processor time ----

    def schedstat(self) -> Path | None:
        """That file of the thread that runs the guest, while there is one."""
        with contextlib.suppress(OSError):
            for path in Path(f"/proc/{self.process.pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    if (path / "comm").read_text(encoding="ascii").strip() == self._thread:
                        return path / "schedstat"
        return None

    def cpu_s(self, ended_s: float = 0.0) -> float:
        """Seconds without those of the thread that runs the guest, which had `ended_s` when it is not there.

        Also of a process that has ended and was not waited for.
        """
        path, guest_s = self.schedstat(), ended_s
        if path:
            with contextlib.suppress(OSError):
                guest_s = int(path.read_text(encoding="ascii").split()[0]) / 1e9
        return time.clock_gettime(~self.process.pid << 3 | _PROCESS_CLOCK) - guest_s

    # ---- what each does in its own way ----

    def move(self, to: End, bytes_per_s: int, limit_s: float) -> Moved:
        """Migrate, and wait until it has; 0: without a limit of the rate."""
        raise NotImplementedError

    def save(self, path: Path) -> None:
        """Write the state, and let the guest stand still."""
        raise NotImplementedError

    def go_on(self) -> None:
        """After it was restored."""

    def end(self) -> None:
        """Whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._view:
            self._view.close()
            os.close(self._fd)
        self.socket.unlink(missing_ok=True)


class _Lines:
    """A connection on which each side sends lines of JSON."""

    def __init__(self, path: Path, alive: Callable[[], None]) -> None:
        def connect() -> socket.socket | None:
            alive()
            link = socket.socket(socket.AF_UNIX)
            try:
                link.connect(str(path))
            except OSError:
                link.close()
                return None
            return link

        self.link: socket.socket = wait_for(connect, "nobody listens", every_s=0.0005)
        self.link.settimeout(LIMIT_S)
        self.reader = self.link.makefile("rb")

    def send(self, message: object, fds: Sequence[int] = ()) -> None:
        """One request, with descriptors or without; OSError when nobody is there any more."""
        socket.send_fds(self.link, [json.dumps(message).encode() + b"\n"], fds)

    def take(self) -> dict[str, Any] | None:
        """The next line; None at the end."""
        try:
            line = self.reader.readline()
        except TimeoutError:
            raise RunFailed("no answer") from None
        except OSError:
            return None
        got: dict[str, Any] | None = json.loads(line) if line else None
        return got

    def close(self) -> None:
        self.reader.close()
        self.link.close()


class Qemu(End):
    """QEMU's lightest machine."""

    name = "QEMU"
    _memfd = "memory-backend-memfd"
    _thread = "CPU 0/KVM"
    downtime_ms = 300  # as it is by default
    late = False  # post-copy, from the second look at what is dirty on

    @classmethod
    def command(cls, made: Programs, control: Path) -> list[str]:
        command = ["qemu-system-x86_64", "-M", "microvm,accel=kvm,memory-backend=ram", "-m", str(RAM_MIB)]
        command += ["-object", f"memory-backend-memfd,id=ram,size={RAM_MIB}M,share=on", "-cpu", "host,-arch-capabilities"]
        command += ["-bios", str(made.rom), "-nodefaults", "-no-user-config", "-display", "none"]
        return [*command, "-name", "guest,debug-threads=on", "-qmp", f"unix:{control},server=on,wait=off"]

    def _start(self, incoming: bool, restore: Path | None) -> subprocess.Popen[bytes]:
        command = self.command(self.made, self.socket)
        if not restore:
            return self._spawn([*command, *(("-incoming", "defer") if incoming else ())])
        with open(restore, "rb") as file:
            return self._spawn([*command, "-incoming", f"fd:{file.fileno()}"], (file.fileno(),))

    def _ask(self, lines: _Lines, verb: str, **arguments: object) -> Any:
        lines.send({"execute": verb, "arguments": arguments})
        while (got := lines.take()) is not None:
            if "error" in got:
                raise RunFailed(f"QEMU: {verb}: {got['error']['desc']}")
            if "return" in got:
                return got["return"]
        raise RunFailed(f"QEMU ends: {self.told()}")

    @contextlib.contextmanager
    def _connected(self) -> Iterator[_Lines]:
        lines = _Lines(self.socket, self._alive)
        try:
            lines.take()
            self._ask(lines, "qmp_capabilities")
            yield lines
        finally:
            lines.close()

    def _prepare(self, lines: _Lines) -> None:
        """What both sides are told first."""

    def _migrate(self, lines: _Lines, uri: str, limit_s: float) -> None:
        self._ask(lines, "migrate", uri=uri)
        began, late = time.monotonic(), self.late
        told: dict[str, Any] = {}
        while told.get("status") != "completed":
            told = self._ask(lines, "query-migrate")
            if late and told.get("ram", {}).get("dirty-sync-count", 0) > 1:
                self._ask(lines, "migrate-start-postcopy")
                late = False
            if told.get("status") in ("failed", "cancelled"):
                raise RunFailed(f"QEMU: {told}")
            if time.monotonic() - began > limit_s:
                raise RunFailed(f"QEMU: not complete after {limit_s:.0f} s and {told['ram']['transferred']} bytes")
            time.sleep(0.02)

    def move(self, to: End, bytes_per_s: int, limit_s: float) -> Moved:
        assert isinstance(to, Qemu)
        with self._connected() as lines, to._connected() as there:
            for each in (lines, there):
                self._prepare(each)
            limits = {"max-bandwidth": bytes_per_s or RATE_OF_ALL, "downtime-limit": self.downtime_ms}
            self._ask(lines, "migrate-set-parameters", **limits)
            if bytes_per_s:
                helps = [{"capability": "postcopy-ram" if self.late else "auto-converge", "state": True}]
                self._ask(lines, "migrate-set-capabilities", capabilities=helps)
            if self.late:
                self._ask(lines, "migrate-set-parameters", **{"max-postcopy-bandwidth": bytes_per_s})
                self._ask(there, "migrate-set-capabilities", capabilities=helps)
            self._ask(there, "migrate-incoming", uri="tcp:127.0.0.1:0")
            port = self._ask(there, "query-migrate")["socket-address"][0]["port"]
            self._migrate(lines, f"tcp:127.0.0.1:{port}", limit_s)
        return Moved()

    def save(self, path: Path) -> None:
        with self._connected() as lines:
            self._ask(lines, "migrate-set-parameters", **{"max-bandwidth": RATE_OF_ALL})
            self._migrate(lines, f"exec:cat >{path}", LIMIT_S)


class QemuZstd(Qemu):
    """With its connection for pages, whose packets it compresses."""

    name = "QEMU, zstd"

    def _prepare(self, lines: _Lines) -> None:
        self._ask(lines, "migrate-set-capabilities", capabilities=[{"capability": "multifd", "state": True}])
        self._ask(lines, "migrate-set-parameters", **{"multifd-channels": 1, "multifd-compression": "zstd"})


class QemuAllowed(Qemu):
    """QEMU that may stop the guest for no longer than we may."""

    name = "QEMU, same limit"
    downtime_ms = DOWNTIME_US // 1000


class QemuLate(Qemu):
    """By post-copy."""

    name = "QEMU, post-copy"
    late = True


class Oya(End):
    """Our worker."""

    name = "oya"
    _memfd = "guest-ram"
    _thread = "vcpu0"
    links = 1  # connections
    late = False  # whether memory may come when the VM runs: post-copy
    compress = True  # whether its pages may be compressed

    @staticmethod
    def _config(made: Programs, control: Path) -> dict[str, Any]:
        config = {"version": 1, "uuid": "6b0f2b1e-3c55-4f7e-9a53-0d3b6f2a7c11", "memory_mib": RAM_MIB}
        return {**config, "boot": {"kernel": str(made.kernel)}, "control": str(control)}

    @classmethod
    def command(cls, made: Programs, control: Path) -> list[str]:
        return [str(made.worker), "--config", json.dumps(cls._config(made, control))]

    def _start(self, incoming: bool, restore: Path | None) -> subprocess.Popen[bytes]:
        config = self._config(self.made, self.socket)
        if incoming:
            config["incoming"] = True
        if restore:
            config["restore"] = str(restore)
        path = self.socket.with_suffix(".json")
        path.write_text(json.dumps(config), encoding="utf-8")
        return self._spawn([str(self.made.worker), "--config", str(path)])

    def _ask(self, lines: _Lines, verb: str, fds: Sequence[int] = (), **arguments: object) -> Any:
        lines.send({"verb": verb, **arguments}, fds)
        got = lines.take()
        if not got or not got["ok"]:
            raise RunFailed(f"{verb}: {got['error'] if got else 'no answer'} {self.told()}")
        return got.get("result")

    @contextlib.contextmanager
    def _connected(self) -> Iterator[_Lines]:
        lines = _Lines(self.socket, self._alive)
        try:
            yield lines
        finally:
            lines.close()

    def _wait(self, lines: _Lines, limit_s: float) -> dict[str, Any]:
        """What the status says of the migration last, before the worker ends."""
        last: dict[str, Any] = {}
        began = time.monotonic()
        lines.send({"verb": "watch"})
        with contextlib.suppress(OSError):
            while (got := lines.take()) is not None:
                last = got["result"]["migrate"] or last
                if last.get("phase") == "failed":
                    raise RunFailed(f"migrate: {last['error']}")
                if time.monotonic() - began > limit_s:
                    raise RunFailed(f"not complete after {limit_s:.0f} s: {last}")
                if "ok" in got:
                    time.sleep(0.02)
                    lines.send({"verb": "status"})
        return last

    @classmethod
    def _links(cls) -> list[tuple[socket.socket, socket.socket]]:
        """TCP connections on the loopback interface: the source's ends and the destination's."""
        links = []
        with socket.create_server(("127.0.0.1", 0)) as server:
            for _ in range(cls.links):
                here = socket.create_connection(server.getsockname())
                links.append((here, server.accept()[0]))
        for link in (end for pair in links for end in pair):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return links

    def move(self, to: End, bytes_per_s: int, limit_s: float) -> Moved:
        assert isinstance(to, Oya)
        links = self._links()
        with self._connected() as lines, to._connected() as other:
            to._ask(other, "incoming", [there.fileno() for _, there in links])
            wish = {"downtime_us": DOWNTIME_US, "bandwidth": bytes_per_s, "postcopy": self.late, "compress": self.compress}
            self._ask(lines, "migrate", [here.fileno() for here, _ in links], **wish)
            for link in (end for pair in links for end in pair):
                link.close()
            told = self._wait(lines, limit_s)
        # It is not waited for yet, so that its processor time can be asked for.
        how = os.WEXITED | os.WNOWAIT | os.WNOHANG
        ended = wait_for(lambda: os.waitid(os.P_PID, self.process.pid, how), "the source does not end", 10)
        if ended.si_status != 0:
            raise RunFailed(f"the source ended with {ended.si_status}: {told} {self.told()}")
        if told.get("phase") not in ("switching", "waits", "postcopy", "done"):
            return Moved()  # it was too quick to be asked
        return Moved(told["promised_us"], told["stopped_us"] or None)

    def save(self, path: Path) -> None:
        with self._connected() as lines, open(path, "wb") as file:
            self._ask(lines, "save", [file.fileno()])
            wait_for(lambda: self._ask(lines, "status")["state"] != "saving", "saving has no end")
            state = self._ask(lines, "status")
            if state["state"] != "saved":
                raise RunFailed(f"save: {state['save']}")

    def go_on(self) -> None:
        with self._connected() as lines:
            self._ask(lines, "resume")


class OyaPlain(Oya):
    """Without compression."""

    name = "oya, not compressed"
    compress = False


class OyaTwo(Oya):
    """Over two connections."""

    name = "oya, 2 connections"
    links = 2


class OyaFour(Oya):
    """Over four connections."""

    name = "oya, 4 connections"
    links = 4


class OyaLate(OyaTwo):
    """By post-copy, when rounds do not help."""

    name = "oya, post-copy"
    late = True
