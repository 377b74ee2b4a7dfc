# SPDX-License-Identifier: GPL-2.0-or-later
"""The host service on this machine's /dev/kvm: what it adds to a start, a VM's whole life, and 384 VMs at once.

Guests are the tiny one of the system tests, which QEMU does not load: of libvirt's a guest is its firmware, without a disk. The peer of
a life is libvirt with QEMU, when its `virsh` and a daemon that answers are there; of a start the worker alone. 384 VMs have the smallest memory that a VM can have.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import Context, Figure, RunFailed, Runs, Samples, Side, Skipped, compare

VMS = 384
LIVES = 100
LIMIT_S = 60.0
RATE_HZ = 50
REQUESTS = 500
_MIB = 32


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str):
        super().__init__("localhost", timeout=LIMIT_S)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class _Service:
    """An oyad with folders of its own."""

    def __init__(self, ctx: Context, name: str):
        self.folder = ctx.tmp / name
        self.folder.mkdir()
        self.run, self.state = self.folder / "run", self.folder / "state"
        self.api = str(self.run / "api")
        self.oya = str(ctx.binary("cli/oya"))
        self.env = {**os.environ, "OYA_SOCKET": self.api}
        self.command = [str(ctx.binary("host/oyad")), "--state", str(self.state), "--run", str(self.run)]
        self.command += ["--worker", str(ctx.binary("worker/oya-worker"))]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """The seconds until it answers."""
        began = time.monotonic()
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while True:
            with contextlib.suppress(OSError):
                self.ask("GET", "/v1/host")
                return time.monotonic() - began
            if self.process.poll() is not None or time.monotonic() - began > LIMIT_S:
                raise RunFailed(f"oyad does not answer: {(self.folder / 'log').read_text()[-400:]}")
            time.sleep(0.001)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer's JSON; RunFailed when it is a refusal."""
        connection = _Connection(self.api)
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status >= 400:
            raise RunFailed(f"{method} {path}: {answer.status} {content.decode(errors='replace')}")
        return json.loads(content) if content else None

    def vms(self) -> list[dict[str, Any]]:
        return self.ask("GET", "/v1/vms?limit=1000")["vms"]

    def wait(self, state: str, count: int) -> None:
        end = time.monotonic() + LIMIT_S
        while sum(vm["state"] == state for vm in self.vms()) != count:
            if time.monotonic() > end:
                raise RunFailed(f"not all VMs are {state}: {[vm for vm in self.vms() if vm['state'] != state][:2]}")
            time.sleep(0.005)

    def cli(self, *words: str) -> None:
        done = subprocess.run([self.oya, *words], env=self.env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        if done.returncode:
            raise RunFailed(f"oya {' '.join(words)}: {done.stderr}")

    def pss_mib(self) -> float:
        assert self.process
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text(encoding="ascii")
        return int(text.split("Pss:")[1].split()[0]) / 1024

    def end(self) -> None:
        """With all its VMs."""
        if not self.process:
            return
        with contextlib.suppress(RunFailed, OSError):
            for vm in self.vms():
                if vm["state"] != "off":
                    self.ask("POST", f"/v1/vms/{vm['name']}/stop", {"off": True})
            self.wait("off", len(self.vms()))
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def _service(ctx: Context, name: str) -> Iterator[_Service]:
    service = _Service(ctx, name)
    try:
        service.start()
        yield service
    finally:
        service.end()


def _boot(ctx: Context, test: str) -> dict[str, str]:
    return {"kernel": str(ctx.binary("tests/system/oya-test-guest")), "append": f"test={test}"}


# ---- a start ----


def _until_end(path: Path, began: float) -> float:
    """Milliseconds until a worker has written how it ended; the guest switches itself off at once."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            if text := path.read_text(encoding="ascii"):
                if '"off"' not in text:
                    raise RunFailed(text)
                return (time.monotonic() - began) * 1000
        if time.monotonic() - began > LIMIT_S:
            raise RunFailed("the guest did not end")
        time.sleep(0.0002)


def _start_overhead(ctx: Context) -> Figure:
    with _service(ctx, "start") as service:
        uuid = service.ask("POST", "/v1/vms", {"name": "web", "memory_mib": _MIB, "boot": _boot(ctx, "hello")})["uuid"]
        kept = service.folder / "kept"
        config = ctx.tmp / "alone.json"
        alone = {"version": 1, "memory_mib": _MIB, "boot": _boot(ctx, "hello"), "end": str(ctx.tmp / "end")}
        config.write_text(json.dumps({**alone, "control": str(ctx.tmp / "control"), "controllers": 1}))
        worker = [str(ctx.binary("worker/oya-worker")), "--config", str(config)]

        def by_service() -> float:
            # The service removes the file when it has read it: a second name keeps it.
            end, began = service.run / "vm" / uuid / "end", time.monotonic()
            kept.unlink(missing_ok=True)
            child = subprocess.Popen(
                [service.oya, "vm", "start", "web", "--no-wait"], env=service.env, stdout=subprocess.DEVNULL
            )
            try:
                while not kept.exists():
                    with contextlib.suppress(FileNotFoundError):
                        os.link(end, kept)
                    time.sleep(0.0002)
                    if time.monotonic() - began > LIMIT_S:
                        raise RunFailed("no worker came up")
                return _until_end(kept, began)
            finally:
                child.wait()
                service.wait("off", 1)

        def by_itself() -> float:
            (ctx.tmp / "end").unlink(missing_ok=True)
            began = time.monotonic()
            child = subprocess.Popen(worker, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                return _until_end(ctx.tmp / "end", began)
            finally:
                child.wait()

        command = [service.oya, "vm", "start", "web"]
        runs = compare(Side("oya", command, by_service), Side("worker alone", worker, by_itself), ctx.rounds(21), on_run=ctx.say)
    assert runs.peer
    more = [a[""] - b[""] for a, b in zip(runs.ours.good, runs.peer.good)]
    samples = Samples(runs.ours.side, [{"": value} for value in more], runs.ours.failed)
    return Runs(samples, runs.peer).figure("host.start_overhead_ms", "ms", bound="ours <= 20", aim="ours <= 5")


# ---- whole lives ----

_DOMAIN = """<domain type='kvm'><name>{name}</name><memory unit='MiB'>{mib}</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><serial type='null'/></devices></domain>
"""


def _virsh(*words: str) -> None:
    done = subprocess.run(["virsh", "-q", *words], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise RunFailed(f"virsh {' '.join(words)}: {done.stderr}")


def _has_libvirt() -> bool:
    try:
        _virsh("list")
    except (OSError, RunFailed, subprocess.TimeoutExpired):
        return False
    return True


def _lives(ctx: Context) -> Figure:
    with _service(ctx, "lives") as service:

        def by_oya() -> float:
            began = time.monotonic()
            for number in range(LIVES):
                name, boot = f"vm{number}", _boot(ctx, "halted")
                words = ["--net", "none", "--memory", f"{_MIB}M", "--kernel", boot["kernel"], "--append", boot["append"]]
                service.cli("vm", "create", name, *words)
                service.cli("vm", "start", name)
                service.cli("vm", "stop", name, "--off")
                service.cli("vm", "delete", name)
            return time.monotonic() - began

        def by_virsh() -> float:
            domain, began = ctx.tmp / "domain.xml", time.monotonic()
            for number in range(LIVES):
                name = f"oya-bench-{number}"
                domain.write_text(_DOMAIN.format(name=name, mib=_MIB))
                _virsh("define", str(domain))
                _virsh("start", name)
                _virsh("destroy", name)
                _virsh("undefine", name)
            return time.monotonic() - began

        ours = Side("oya", [service.oya, "vm", "create|start|stop|delete"], by_oya)
        peer = Side("libvirt", ["virsh", "define|start|destroy|undefine"], by_virsh) if _has_libvirt() else None
        runs = compare(ours, peer, ctx.rounds(2), warm_up=0, on_run=ctx.say)
    return runs.figure("host.lifecycle_100_s", "s", bound="ratio <= 0.5" if peer else None, aim="ratio <= 0.2")


# ---- many VMs ----


def _list_p99_ms(service: _Service) -> float:
    """Of requests that come every 20 ms, whether or not those before have been answered."""
    taken, begin = [], time.monotonic()
    for number in range(REQUESTS):
        due = begin + number / RATE_HZ
        time.sleep(max(0.0, due - time.monotonic()))
        service.vms()
        taken.append((time.monotonic() - due) * 1000)
    return statistics.quantiles(taken, n=100)[98]


def _many(ctx: Context) -> list[Figure]:
    def one(key: str, values: list[float]) -> Runs:
        return Runs(Samples(Side("oya", ["oyad"], lambda: 0.0), [{"": value} for value in values]))

    with _service(ctx, "many") as service:
        for number in range(VMS):
            body = {"name": f"vm{number}", "memory_mib": _MIB, "boot": _boot(ctx, "halted")}
            service.ask("POST", "/v1/vms", body)
            service.ask("POST", f"/v1/vms/vm{number}/start")
        service.wait("running", VMS)
        ctx.say(f"{VMS} VMs run")
        lists, adopts, sizes = [], [], []
        for number in range(ctx.rounds(3)):
            lists.append(_list_p99_ms(service))
            service.kill()
            began = time.monotonic()
            service.start()
            service.wait("running", VMS)
            adopts.append(time.monotonic() - began)
            sizes.append(service.pss_mib())
            ctx.say(f"{VMS} VMs: run {number + 1}")
    return [
        one("list", lists).figure("host.list_384_p99_ms", "ms", bound="ours <= 100", aim="ours <= 20"),
        one("adopt", adopts).figure("host.adopt_384_s", "s", bound="ours <= 2", aim="ours <= 0.5"),
        one("size", sizes).figure("host.oyad_384_mib", "MiB", bound="ours <= 64", aim="ours <= 24"),
    ]


def run(ctx: Context) -> list[Figure]:
    """host.start_overhead_ms, host.lifecycle_100_s, host.list_384_p99_ms, host.adopt_384_s, host.oyad_384_mib."""
    if not Path("/dev/kvm").exists():
        raise Skipped("this machine has no /dev/kvm")
    return [_start_overhead(ctx), _lives(ctx), *_many(ctx)]
