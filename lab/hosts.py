"""Emulated hosts: `with lab.hosts(n=2) as hs: hs[0].run("ping -c1 host2")`.

Each host is a QEMU of its own with a disk, an ssh port on 127.0.0.1, and a second network card
on a switch of the run: 10.77.0.(9+i) with the names host1, host2, ... in every /etc/hosts.

Invariants
1. What a run makes is in its run directory or is a leashed child: both go with this process.
2. A shared disk is one local file that all hosts of the run have open, without a cache between.
3. The first start of a shape boots and keeps a memory snapshot; the next ones begin from it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import cache
from .board import Board
from .images import host_image, server_image
from .machine import Hardware, Machine, Shape, accel, new_overlay
from .process import LabError, run_dir, say, spawn, stop
from .ssh import Background, Result, Shell

SNAPSHOTS_KEPT = 8
MAX_HOSTS = 16
_PROJECT = Path(__file__).resolve().parent.parent


class Host:
    """One emulated host. `name` is host1..., `address` its IPv4 address among the hosts.

    `shared_disk` and `extra_disks` are the device paths there. `start_s` is how long the start
    took, `restored` whether it began from a memory snapshot.
    """

    home = "/opt/oya"  # folder there for our programs and VMs

    def __init__(self, shape: Shape, directory: Path, switch: Path) -> None:
        self.name = shape.name
        self.address = f"10.77.0.{9 + shape.index}"
        self.shared_disk = ""
        self.extra_disks: list[str] = []
        self.restored = False
        self.start_s = 0.0
        self._shape = shape
        self._directory = directory
        self._switch = switch
        self._disk = directory / f"{self.name}.qcow2"
        self._plugged: dict[str, tuple[Path, bool, bool]] = {}
        self._machine: Machine | None = None
        self._shell: Shell | None = None
        self._began = 0.0

    def run(self, command: str, timeout: float = 120.0, check: bool = True, stdin: str | bytes | None = None) -> Result:
        """Run `command` with bash as root. CommandFailed when it fails and `check`, LabError when too slow."""
        return self.shell.run(command, timeout, check, stdin)

    def spawn(self, command: str) -> Background:
        """Start `command` in the background; its output goes to a local log."""
        return self.shell.spawn(command)

    def put(self, local: str | Path, remote: str) -> None:
        """Copy a local file or directory to the path `remote` of the host, with modes and holes.

        5 to 10 MB/s on an emulated CPU: plug large images in with `attach` instead.
        """
        self.shell.put(Path(local), remote)

    def get(self, remote: str, local: str | Path) -> None:
        """Copy a file or directory of the host to the local path `local`."""
        self.shell.get(remote, Path(local))

    def attach(self, path: str | Path, name: str, read_only: bool = True, shared: bool = False) -> str:
        """Plug a raw image in as a disk; its device path on the host. `name`: at most 20 of [a-z0-9-]."""
        self._plugged[name] = (Path(path).resolve(strict=True), read_only, shared)
        self._plug(name)
        device = f"/dev/disk/by-id/virtio-{name}"
        self._settle([device])
        return device

    def detach(self, name: str) -> None:
        """Take out a disk that `attach` plugged in."""
        del self._plugged[name]
        self.machine.unplug(name)

    @property
    def shell(self) -> Shell:
        """The ssh connection; LabError when the host is off."""
        if not self._shell:
            raise LabError(f"{self.name} is off.")
        return self._shell

    @property
    def machine(self) -> Machine:
        """The QEMU beneath; LabError when the host is off."""
        if not self._machine:
            raise LabError(f"{self.name} is off.")
        return self._machine

    def alive(self) -> bool:
        """Whether the host runs."""
        return bool(self._machine and self._machine.alive())

    def broke(self) -> bool:
        """Whether its emulator has ended by an assertion of its own."""
        return bool(self._machine and self._machine.broke())

    def kill_host(self) -> None:
        """Power loss, at once: nothing is synchronised. `power_on` starts it again from its disk."""
        if self._machine:
            self._machine.kill()
            self._machine = None
        if self._shell:
            self._shell.close()
            self._shell = None

    def cut_power(self) -> None:
        """The same for the board, from another thread: what this one has of the host is left as it is."""
        if self._machine:
            self._machine.kill()

    def power_on(self, wait: bool = True) -> None:
        """Boot again after `kill_host` or a power-off, with the disks that it had.

        `wait=False`: for a boot that is not to come up; look at `console`.
        """
        self.kill_host()
        self._launch(None)
        if wait:
            self._finish_start()

    def reboot(self, timeout: float = 300.0) -> None:
        """Have the host's system reboot, and wait until it is back."""
        self._began = time.monotonic()
        self.machine.forget_ready()
        self.run("(sleep 0.5; systemctl reboot) >/dev/null 2>&1 </dev/null &")
        self.comes_back(timeout)

    def comes_back(self, timeout: float = 300.0) -> None:
        """Wait until the host's system is up once more, since the machine's `forget_ready`."""
        self.shell.close()
        self.machine.wait_ready(timeout)
        self._shell = Shell(self.name, self._shape.image, self.machine.ssh_port, self._directory)
        self._shell.connect()
        self.start_s = time.monotonic() - self._began

    def console(self) -> str:
        """What came from the host's serial port, since it was made."""
        return self.machine.serial_log.read_text(encoding="utf-8", errors="replace")

    def logs_to(self, directory: str | Path) -> None:
        """Copy the serial log, QEMU's log, those of spawned commands, and the journal if the host answers."""
        target = Path(directory)
        target.mkdir(parents=True, exist_ok=True)
        for path in self._directory.glob(f"{self.name}.*.log"):
            shutil.copyfile(path, target / path.name)
        if self.alive() and self._shell:
            with contextlib.suppress(LabError):
                result = self.run("journalctl -b --no-pager -o short-monotonic | tail -n 3000", timeout=30, check=False)
                (target / f"{self.name}.journal.log").write_text(result.out)

    def _launch(self, restore: Path | None, ram: Path | None = None) -> None:
        self._began = time.monotonic()
        self.restored = restore is not None
        self._machine = Machine(self._shape, self._directory, self._disk, self._switch, ram, restore)

    def _finish_start(self) -> None:
        machine = self.machine
        if self.restored:
            machine.resume()
        else:
            machine = self._boot()
        for name in self._plugged:
            self._plug(name)
        shell = Shell(self.name, self._shape.image, machine.ssh_port, self._directory)
        self._shell = shell
        shell.connect()
        if self.restored:
            self.run(f"date -s @{time.time():.3f} >/dev/null")
        self._settle([f"/dev/disk/by-id/virtio-{name}" for name in self._plugged])
        self.start_s = time.monotonic() - self._began

    def _boot(self) -> Machine:
        """Wait for a boot from power-off; a second one where the emulator failed (docs/design/lab.md)."""
        try:
            self.machine.wait_ready()
        except LabError:
            if not self.machine.broke():
                raise
            say(f"{self.name}'s emulator failed amid the boot: once more")
            self._launch(None)
            self.machine.wait_ready()
        return self.machine

    def _plug(self, name: str) -> None:
        path, read_only, shared = self._plugged[name]
        self.machine.plug(path, name, read_only, shared)

    def _settle(self, devices: list[str]) -> None:
        if devices:
            tests = " && ".join(f"[ -b {device} ]" for device in devices)
            self.run(f"for n in $(seq 300); do {tests} && exit 0; sleep 0.1; done; ls -l /dev/disk/by-id; exit 1")


class Hosts(Sequence[Host]):
    """The hosts of one run, in order."""

    def __init__(self, members: list[Host], directory: Path) -> None:
        self._members = members
        self.directory = directory
        self.board = Board(directory / "board", {host.name: (host.alive, host.cut_power) for host in members})

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self._members[index]

    def __len__(self) -> int:
        return len(self._members)

    def logs_to(self, directory: str | Path) -> None:
        """The logs of all hosts into one directory."""
        for host in self._members:
            host.logs_to(directory)


@contextlib.contextmanager
def hosts(
    n: int = 1,
    suite: str = "bookworm",
    cpus: int = 2,
    memory_mib: int = 2048,
    shared_disk_mib: int | None = None,
    extra_disks: Sequence[str | Path] = (),
    snapshot: bool = True,
    nested: bool = True,
    logs: str | Path | None = None,
    hypervisor: Path | None = None,
    uefi: bool = False,
    boots_itself: bool = False,
    hardware: Hardware | Sequence[Hardware] = Hardware(),
) -> Iterator[Hosts]:
    """Start `n` hosts (1 to 16); they are gone when the block ends.

    `shared_disk_mib`: a blank raw disk that all have (`Host.shared_disk`). `extra_disks`: raw
    images, read-only (`Host.extra_disks`). `snapshot=False`: boot from power-off. `nested`: the
    hosts need KVM inside. `hypervisor`: this one of ours boots first, by GRUB, from power-off, on
    BIOS or on UEFI, always in an emulated machine. `boots_itself`: one host that starts by GRUB from its own disk, with
    no help of QEMU's. `hardware`: what an emulated machine has beside, or one of them for each host; such a host has no
    snapshot. When the block raises, the logs go to `logs`, or $OYA_LAB_LOGS, or
    build/lab/<run> of the project. LabError when a host does not come up.
    """
    if not 1 <= n <= MAX_HOSTS:
        raise LabError(f"{n} hosts asked for; a run has 1 to {MAX_HOSTS}.")
    if boots_itself and n != 1:
        raise LabError("a host that boots by itself is always the first; ask for one.")
    image = server_image(suite) if boots_itself else host_image(suite)
    directory = run_dir()
    switch = directory / "switch"
    children = [_start_switch(switch)]
    how = "tcg" if hypervisor or boots_itself else accel(nested)
    snapshot = snapshot and not hypervisor and not boots_itself
    each = [hardware] * n if isinstance(hardware, Hardware) else list(hardware)
    shapes = [Shape(image, cpus, memory_mib, index, how, hypervisor, uefi, each[index - 1]) for index in range(1, n + 1)]
    members = [Host(shape, directory, switch) for shape in shapes]
    group = Hosts(members, directory)
    if shared_disk_mib:
        shared = directory / "shared.raw"
        shared.touch()
        os.truncate(shared, shared_disk_mib << 20)
    try:
        for host in members:
            if shared_disk_mib:
                host._plugged["shared"] = (shared, False, True)
                host.shared_disk = "/dev/disk/by-id/virtio-shared"
            for number, path in enumerate(extra_disks):
                host._plugged[f"extra{number}"] = (Path(path).resolve(strict=True), True, False)
                host.extra_disks.append(f"/dev/disk/by-id/virtio-extra{number}")
        saved = [_snapshot(shape) if snapshot and shape.hardware == Hardware() else None for shape in shapes]
        for host, restore in zip(members, saved, strict=True):
            new_overlay(restore / "disk.qcow2" if restore else image.base, host._disk)
            host._launch(restore)
        for host in members:
            host._finish_start()
        yield group
    except BaseException:
        _keep_logs(group, logs)
        raise
    finally:
        for host in members:
            host.kill_host()
        group.board.close()
        for child in children:
            stop(child)
        shutil.rmtree(directory, ignore_errors=True)


def _start_switch(path: Path) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-I", str(Path(__file__).with_name("switch.py")), str(path)]
    child = spawn(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert child.stdout
    if child.stdout.readline() != b"ready\n":
        stop(child)
        raise LabError("the lab's network switch did not start.")
    return child


def _snapshot(shape: Shape) -> Path:
    """The snapshot of a shape; booted and saved when the cache lacks it."""

    def build(out: Path) -> None:
        say(f"{shape.name}: first start of this kind, booting to make a snapshot")
        directory = run_dir()
        host = Host(shape, directory, directory / "switch")
        host._disk = out / "disk.qcow2"
        new_overlay(shape.image.base, host._disk)
        switch = _start_switch(directory / "switch")
        try:
            host._launch(None, ram=out / "ram")
            host._finish_start()
            # The commands of a first session stay in the page cache; the session itself goes.
            host.run("systemctl is-system-running --wait; udevadm settle; tar --version; sync", check=False)
            host.shell.close()
            time.sleep(0.5)
            host.machine.save(out / "state")
        finally:
            host.kill_host()
            stop(switch)
            shutil.rmtree(directory, ignore_errors=True)
        say(f"{shape.name}: snapshot made after {time.monotonic() - host._began:.1f} s")

    path = cache.obtain("snapshot", shape.cache_name(), shape.key(), build)
    cache.prune_to("snapshot", SNAPSHOTS_KEPT)
    return path


def _keep_logs(group: Hosts, logs: str | Path | None) -> None:
    target = Path(logs or os.environ.get("OYA_LAB_LOGS") or _PROJECT / "build" / "lab" / group.directory.name)
    with contextlib.suppress(OSError, LabError):
        group.logs_to(target)
        say(f"logs of the hosts are in {target}")
