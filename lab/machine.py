"""One emulated host as a QEMU process: command line, memory snapshot, hot-plug.

A snapshot is a directory: `ram` (the guest's memory as a sparse file), `state` (the devices),
`disk.qcow2`. It is used read-only: a restored machine maps `ram` privately and writes to an
overlay of the disk, so that a start copies nothing and its cost does not grow with memory.

Invariants
1. Machines that share a snapshot have the same command line but for paths, port and `share`.
2. Disks of the caller are plugged in after the start, so no snapshot depends on them.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import time
from pathlib import Path

from . import board, cache, emulator, grub
from .images import HostImage
from .process import LabError, Progress, run, spawn, stop, tail
from .qmp import Qmp

READY_MARK = b"OYA-HOST-READY"
_APPEND = (
    "root=/dev/vda rw quiet loglevel=3 console=ttyS0 net.ifnames=0 mitigations=off audit=0 apparmor=0 "
    "nowatchdog tsc=reliable random.trust_cpu=on systemd.show_status=0 rootflags=noatime"
)


@dataclasses.dataclass(frozen=True)
class Hardware:
    """What an emulated machine has that others have not, and what its boot loader says."""

    machine: str = "pc"  # or "q35"
    model: str = ""  # of the processor, where it is not the lab's
    features: str = ""  # of the processor, as "-pdpe1gb"
    options: tuple[str, ...] = ()  # of QEMU
    append: str = ""  # to the kernel's command line
    words: str = "serial"  # the hypervisor's


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a snapshot depends on, beside the image and QEMU itself; `index` counts from 1."""

    image: HostImage
    cpus: int
    memory_mib: int
    index: int
    accel: str
    hypervisor: Path | None = None  # boots first, by GRUB
    uefi: bool = False
    hardware: Hardware = Hardware()

    @property
    def name(self) -> str:
        """host1, host2, ..."""
        return f"host{self.index}"

    def key(self) -> str:
        """The cache key of this shape's snapshot."""
        values = [self.image.base.parent.name, self.cpus, self.memory_mib, self.index, self.accel]
        return cache.digest([values, emulator.version(self.accel), _devices(self), _APPEND])

    def cache_name(self) -> str:
        """The cache name: one snapshot per name is kept."""
        return f"{self.image.suite}-c{self.cpus}-m{self.memory_mib}-{self.name}"


@functools.cache
def accel(nested: bool = True) -> str:
    """ "kvm" when this machine's KVM carries a whole guest (and, if `nested`, KVM inside it), or "tcg".

    $OYA_LAB_ACCEL overrides. A /dev/kvm without svm or vmx in the CPU's flags is a software one,
    too slow for a whole system.
    """
    forced = os.environ.get("OYA_LAB_ACCEL")
    if forced in ("kvm", "tcg"):
        return forced
    flags = set(re.findall(r"\b(svm|vmx)\b", Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")))
    if not flags or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    parameter = Path("/sys/module/kvm_amd" if "svm" in flags else "/sys/module/kvm_intel") / "parameters/nested"
    if nested and (not parameter.exists() or parameter.read_text(encoding="ascii").strip() not in ("1", "Y")):
        return "tcg"
    return "kvm"


# With XSAVE nested guests warn of an XSAVE consistency problem at each boot: it looks as if QEMU 7.2
# (10.0 was not tried with it) lets them execute XSETBV without the exit that KVM asks for. So no XSAVE.
_EMULATED = "EPYC-Rome,+svm,+npt,-xsave"


def _devices(shape: Shape) -> list[str]:
    processor = shape.hardware.model or ("host" if shape.accel == "kvm" else _EMULATED)
    if shape.hardware.features:
        processor += f",{shape.hardware.features}"
    machine = f"{shape.hardware.machine},usb=off,memory-backend=ram"
    argv = ["-nodefaults", "-no-user-config", "-display", "none", "-machine", machine]
    argv += ["-accel", "kvm" if shape.accel == "kvm" else "tcg,thread=multi", "-cpu", processor]
    argv += ["-smp", str(shape.cpus), "-m", str(shape.memory_mib)]
    argv += ["-device", "virtio-blk-pci,drive=root,serial=root"]
    for net, kind in (("out", 1), ("lab", 2)):
        mac = f"52:54:00:6f:{kind:02x}:{shape.index:02x}"
        argv += ["-device", f"virtio-net-pci,netdev={net},mac={mac},romfile="]
    return argv + ["-device", "virtio-rng-pci", "-device", "vmgenid,guid=auto", *shape.hardware.options]


class Machine:
    """A running QEMU; files are `<directory>/<name>.*`."""

    def __init__(self, shape: Shape, directory: Path, disk: Path, switch: Path, ram: Path | None, restore: Path | None):
        """Start QEMU. `ram`: keep memory in this file (to save it); `restore`: start from this snapshot."""
        self.shape = shape
        self.name = shape.name
        self.serial_log = directory / f"{self.name}.serial.log"
        self._log = directory / f"{self.name}.qemu.log"
        control = directory / f"{self.name}.qmp"
        control.unlink(missing_ok=True)
        memory = "memory-backend-ram,id=ram"
        if ram or restore:
            path, share = (restore / "ram", "off") if restore else (ram, "on")
            memory = f"memory-backend-file,id=ram,mem-path={path},share={share}"
        argv = [*emulator.command(shape.accel), "-name", self.name]
        argv += ["-object", f"{memory},size={shape.memory_mib}M", *_devices(shape)]
        argv += self._boot(shape, directory)
        root = "qcow2,node-name=root,discard=unmap,cache.no-flush=on"
        argv += ["-blockdev", f"{root},file.driver=file,file.filename={disk}"]
        ways = f"hostfwd=tcp:127.0.0.1:0-10.0.2.15:22,{board.forward(directory / 'board')}"
        argv += ["-netdev", f"user,id=out,restrict=on,{ways}"]
        argv += ["-netdev", f"stream,id=lab,server=off,addr.type=unix,addr.path={switch}"]
        argv += ["-chardev", f"file,id=tty,path={self.serial_log},append=on", "-serial", "chardev:tty"]
        argv += ["-qmp", f"unix:{control},server=on,wait=off"]
        if restore:
            argv += ["-incoming", "defer"]
        self._serial_start = self.serial_log.stat().st_size if self.serial_log.exists() else 0
        with open(self._log, "ab") as log:
            self.process = spawn(argv, stdin=log, stdout=log, stderr=log)
        try:
            self.qmp = Qmp(control, self.alive)
            if restore:
                self._ignore_shared()
                self.qmp.call("migrate-incoming", uri=f"exec:cat {restore / 'state'}")
            self.ssh_port = self._forwarded_port()
        except LabError as error:
            self.kill()
            raise LabError(f"{tail(self._log, 10)}\n{self.name}: {error}") from error

    def _boot(self, shape: Shape, directory: Path) -> list[str]:
        machine_id = f"systemd.machine_id=6f79616c6162{shape.index:020x}"
        append = f"{_APPEND} {machine_id} oya.host={shape.index} {shape.hardware.append}".rstrip()
        image = shape.image
        firmware = ["-drive", f"if=pflash,format=raw,readonly=on,file={grub.uefi()}"] if shape.uefi else []
        if image.boots_itself:
            return firmware
        if not shape.hypervisor:
            return ["-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", append]
        disc = grub.disc(
            directory / f"{self.name}.iso", shape.hypervisor, image.kernel, image.initrd, append, shape.hardware.words
        )
        argv = ["-drive", f"if=none,id=disc,media=cdrom,readonly=on,file={disc}", "-device", "ide-cd,drive=disc"]
        return [*argv, *firmware, "-boot", "d"]

    def alive(self) -> bool:
        """Whether QEMU runs."""
        return self.process.poll() is None

    def broke(self) -> bool:
        """Whether QEMU ended by a fault of its own, which it found itself."""
        return not self.alive() and "Assertion `" in tail(self._log, 3)

    def forget_ready(self) -> None:
        """The next `wait_ready` waits for a boot that begins after this."""
        self._serial_start = self.serial_log.stat().st_size

    def wait_ready(self, timeout: float = 300.0) -> None:
        """Wait for a cold boot to end; LabError with the serial log's end when it does not."""
        progress = Progress(f"{self.name} booting")
        while True:
            with open(self.serial_log, "rb") as file:
                file.seek(self._serial_start)
                if READY_MARK in file.read():
                    return
            if not self.alive() or progress.seconds() > timeout:
                why = "did not come up in time" if self.alive() else "its QEMU ended"
                self.kill()
                raise LabError(f"{tail(self.serial_log)}\n{tail(self._log, 10)}\n{self.name}: {why}.")
            progress.tick()
            time.sleep(0.05)

    def resume(self, timeout: float = 60.0) -> None:
        """Wait until the snapshot is loaded, then let the machine run (it was saved while stopped)."""
        progress = Progress(f"{self.name} restoring")
        while (status := self.qmp.call("query-migrate").get("status")) != "completed":
            if status == "failed" or not self.alive() or progress.seconds() > timeout:
                raise LabError(f"{tail(self._log, 10)}\n{self.name}: loading its snapshot ended as {status!r}.")
            progress.tick()
            time.sleep(0.01)
        self.qmp.call("cont")

    def save(self, state: Path, timeout: float = 120.0) -> None:
        """Stop the machine, write the device state, end QEMU; memory is in the `ram` file already."""
        self._ignore_shared()
        self.qmp.call("stop")
        self.qmp.call("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.qmp.call("migrate", uri=f"exec:cat >{state}")
        progress = Progress(f"{self.name} being saved")
        while (status := self.qmp.call("query-migrate").get("status")) != "completed":
            if status == "failed" or progress.seconds() > timeout:
                raise LabError(f"{self.name}: saving its state ended as {status!r}.")
            progress.tick()
            time.sleep(0.02)
        self.qmp.call("quit")
        self.process.wait(timeout=60)

    def plug(self, path: Path, name: str, read_only: bool, shared: bool) -> None:
        """Plug a raw disk in; the host sees /dev/disk/by-id/virtio-NAME (at most 20 characters)."""
        direct = shared and _takes_direct(path)
        file = {"driver": "file", "filename": str(path), "locking": "off", "cache": {"direct": direct}}
        cached = {"direct": direct}
        node = {"driver": "raw", "node-name": name, "file": file, "read-only": read_only, "cache": cached}
        self.qmp.call("blockdev-add", **node)
        device = {"driver": "virtio-blk-pci", "id": f"disk-{name}", "drive": name, "serial": name}
        self.qmp.call("device_add", **device, **{"share-rw": shared})

    def unplug(self, name: str, timeout: float = 30.0) -> None:
        """Take a disk out; LabError when the host does not let go of it."""
        self.qmp.call("device_del", id=f"disk-{name}")
        end = time.monotonic() + timeout
        while True:
            try:
                self.qmp.call("blockdev-del", **{"node-name": name})
                return
            except LabError as error:
                if time.monotonic() > end:
                    raise LabError(f"{self.name}: the disk {name} does not come out: {error}") from error
                time.sleep(0.02)

    def kill(self) -> None:
        """Power loss."""
        stop(self.process)

    def _ignore_shared(self) -> None:
        capability = {"capability": "x-ignore-shared", "state": True}
        self.qmp.call("migrate-set-capabilities", capabilities=[capability])

    def _forwarded_port(self) -> int:
        found = re.search(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", self.qmp.monitor("info usernet"))
        if not found:
            raise LabError("QEMU shows no forwarded ssh port.")
        return int(found[1])


def _takes_direct(path: Path) -> bool:
    """Whether the file system under `path` allows O_DIRECT."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
        return True
    except OSError:
        return False


def new_overlay(backing: Path, disk: Path) -> None:
    """Create a qcow2 that reads through to `backing` (qcow2)."""
    result = run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(backing), str(disk)])
    if result.returncode:
        raise LabError(f"overlay {disk} of {backing}: {result.stderr.decode(errors='replace').strip()}")
