# SPDX-License-Identifier: GPL-2.0-or-later
"""What exits, interrupts and timers of children cost, in instructions; the parent's boot; the hypervisor's size.

One emulated machine that counts (`-icount shift=0`: an instruction is a nanosecond of its clocks, so the TSC tells exactly
how many there were) boots a Debian kernel with a small initrd: beneath it our hypervisor, or Xen, or nothing and KVM in it.
The same tiny guest (hv_guest.S) runs on the same monitor (tests/system/kvm_monitor.c) on /dev/oya and on /dev/kvm, and in QEMU on KVM;
on Xen, whose first domain has no such device, a program does the loops that it can (hv_loops.c).
"""

from __future__ import annotations

import dataclasses
import functools
import lzma
import os
import re
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import lab
from benchmarks.common import Context, Figure, RunFailed, Runs, Samples, Side, compare
from lab import cpio, emulator, grub
from lab.initrd import load_order
from lab.machine import READY_MARK
from lab.parent import build_driver
from lab.process import run as run_here, run_logged, spawn, stop

HERE = Path(__file__).parent
LIMIT_S = 400
LOOPS = 100
MEMORY_MIB = 2048
PT_LOAD = 1
_MODULES = ("crc32c_generic", "ext4", "kvm_amd")
_CPU = "EPYC-Rome,+svm,+npt,-xsave"
_APPEND = "console=ttyS0 quiet mitigations=off tsc=reliable nowatchdog"
_HOST_APPEND = f"root=/dev/vda rw {_APPEND} loglevel=3 net.ifnames=0 audit=0 apparmor=0 systemd.show_status=0"
_XEN = ("xen-hypervisor-4.17-amd64", "linux-image-amd64")  # Debian's cloud kernel cannot be a first domain
_XEN_WORDS = "dom0=pvh dom0_mem=512M console=com1 com1=115200,8n1"
_QEMU = (
    "qemu-system-x86_64 -M {} -accel kvm -cpu host -m 16 -bios /tmp/guest -debugcon stdio -global isa-debugcon.iobase=0x402 "
    "-device isa-debug-exit,iobase=0x501 -nodefaults -no-user-config -display none"
)
_MACHINES = {"pc": "pc", "q35": "q35", "microvm": "microvm,isa-serial=off"}

_SELF = "echo BEGIN memory; grep 'System RAM' /proc/iomem; cat /proc/uptime\n"
_OYA_JOB = f"""{_SELF}insmod /oya_kvm.ko; mount -t debugfs d /sys/kernel/debug
echo BEGIN parent; echo hypercall $(cat /sys/kernel/debug/oya/call)
echo BEGIN monitor; timeout 60 /monitor /dev/oya /guest
"""
_KVM_JOB = f"""{_SELF}while read -r m; do insmod $m; done </modules.host
mount -o ro -t ext4 /dev/vda /mnt
mount -o bind /dev /mnt/dev; mount -t proc proc /mnt/proc; mount -t sysfs sys /mnt/sys; mount -t tmpfs tmp /mnt/tmp
cp /guest /mnt/tmp
echo BEGIN monitor; timeout 60 /monitor /dev/kvm /guest
""" + "".join(f"echo BEGIN {name}; timeout 60 chroot /mnt {_QEMU.format(m)}\n" for name, m in _MACHINES.items())
_XEN_JOB = "echo BEGIN loops; /loops\n"

Counts = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Programs:
    """What goes into the initrds; `modules` of the guest's kernel, in the order of loading."""

    folder: Path
    driver: Path
    modules: list[cpio.Entry]

    def initrd(self, name: str, job: str) -> Path:
        """The tiny initrd with all of it and a job."""
        entries = [cpio.Entry(f"lib/modules/{entry.name}", entry.data) for entry in self.modules]
        entries.append(cpio.Entry("modules.host", "".join(f"/{entry.name}\n" for entry in entries).encode()))
        for path in (self.folder / "monitor", self.folder / "guest", self.folder / "loops", self.driver):
            entries.append(cpio.Entry(path.name, path.read_bytes(), 0o755))
        out = self.folder / f"initrd.{name}"
        lab.initrd_with_job(lab.guest_initrd(), job, out)
        with open(out, "ab") as file:
            file.write(cpio.archive(entries))
        return out


def _modules() -> tuple[str, list[cpio.Entry]]:
    """The release of the guest's kernel, and its modules for KVM and the host's disk."""
    with tempfile.TemporaryDirectory() as name:
        run_here(["debugfs", "-R", f"rdump /usr/lib/modules {name}", str(lab.guest_image().disk)], timeout=120)
        dep = next(Path(name).glob("modules/*/modules.dep"), None)
        if dep is None:
            raise lab.LabError(f"no kernel modules in {lab.guest_image().disk}")
        entries = []
        for path in load_order(dep.read_text(encoding="ascii"), _MODULES):
            data = (dep.parent / path).read_bytes()
            plain = lzma.decompress(data) if path.endswith(".xz") else data
            entries.append(cpio.Entry(Path(path).name.removesuffix(".xz"), plain))
        return dep.parent.name, entries


def _programs(ctx: Context) -> Programs:
    def cc(*words: str) -> None:
        subprocess.run(["cc", *words], check=True)

    release, modules = _modules()
    cc("-O2", "-static", "-o", str(ctx.tmp / "monitor"), str(HERE.parent / "tests" / "system" / "kvm_monitor.c"))
    cc("-O2", "-static", "-o", str(ctx.tmp / "loops"), str(HERE / "hv_loops.c"))
    cc("-m32", "-c", "-o", str(ctx.tmp / "guest.o"), str(HERE / "hv_guest.S"))
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", str(ctx.tmp / "guest.o"), str(ctx.tmp / "guest")], check=True)
    return Programs(ctx.tmp, build_driver(release, ctx.tmp), modules)


def _machine(boot: Path, log: Path, counts: bool = True, command: tuple[str, ...] = (), cpu: str = _CPU) -> list[str]:
    """A machine that boots a disc, with Debian's disk; its serial port goes to `log`."""
    argv = [*(command or emulator.command("tcg")), *"-nodefaults -no-user-config -display none -no-reboot -M q35".split()]
    argv += ["-m", str(MEMORY_MIB), "-device", "amd-iommu", "-accel", "tcg", "-cpu", cpu]
    argv += ["-icount", "shift=0,sleep=off"] if counts else []
    argv += ["-drive", f"if=virtio,format=qcow2,snapshot=on,file={lab.host_image().base}"]
    argv += ["-drive", f"if=none,id=disc,media=cdrom,readonly=on,file={boot}", "-device", "ide-cd,drive=disc"]
    return [*argv, "-boot", "d", "-serial", f"file:{log}"]


def _parse(text: str) -> Counts:
    """Instructions by test, without those of the loop; those of QEMU's machines have its name before them."""
    counts: Counts = {}
    for part in re.split(r"^BEGIN ", text, flags=re.MULTILINE)[1:]:
        place = part.split("\n", 1)[0].strip()
        found = {name: int(value, 16) for name, value in re.findall(r"^(\w+) ([0-9a-f]{8})\r?$", part, re.MULTILINE)}
        prefix = f"{place} " if place in _MACHINES else ""
        for name, value in found.items():
            once = name in ("ipi", "timer", "timer_late")
            counts[prefix + name] = value if once else (value - found["call"]) / LOOPS
    if found_call := re.search(r"^hypercall (\d+)\r?$", text, re.MULTILINE):
        counts["hypercall"] = int(found_call[1])
    if ranges := re.findall(r"^([0-9a-f]{8,})-([0-9a-f]{8,}) : System RAM", text, re.MULTILINE):
        counts["ram_mib"] = sum(int(end, 16) + 1 - int(start, 16) for start, end in ranges) / 2**20
    if uptime := re.search(r"^(\d+\.\d+) (\d+\.\d+)\r?$", text, re.MULTILINE):
        counts["boot_ms"] = (float(uptime[1]) - float(uptime[2])) * 1000
    return counts


def _run_until(mark: bytes, argv: list[str], log: Path) -> float:
    """Run a machine until its serial port says `mark`; the processor time that took."""
    log.write_bytes(b"")
    child = spawn(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + LIMIT_S
    try:
        while mark not in log.read_bytes():
            if child.poll() is not None or time.monotonic() > end:
                raise RunFailed(f"it did not say {mark.decode()}: {log.read_text(errors='replace')[-400:]}")
            time.sleep(0.05)
        fields = Path(f"/proc/{child.pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    finally:
        stop(child)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _side(name: str, argv: list[str], log: Path, wanted: str) -> Side:
    def measure() -> Counts:
        _run_until(b"OYA-JOB-END", argv, log)
        text = log.read_text(errors="replace")
        counts = _parse(text)
        if wanted not in counts:
            raise RunFailed(text[-400:])
        return counts

    return Side(name, argv, measure)


def _xen(ctx: Context, programs: Programs) -> Side:
    """Xen and a kernel for its first domain, as Debian's packages have them."""
    log, folder = ctx.tmp / "packages.log", ctx.tmp / "xen"
    folder.mkdir()
    script = (
        f"cd {folder} && apt-get download {_XEN[0]} $(apt-cache depends {_XEN[1]} | sed -n 's/.*Depends: \\(linux-image[^ ]*\\)/\\1/p') && "
        "for p in *.deb; do dpkg-deb --fsys-tarfile $p | tar -xf - --wildcards './boot/xen-*.gz' './boot/vmlinuz-*' 2>/dev/null; done; ls boot"
    )
    run_logged(["bash", "-c", script], log, "the packages of Xen")
    hypervisor, kernel = next(folder.glob("boot/xen-*.gz")), next(folder.glob("boot/vmlinuz-*"))
    append = _APPEND.replace("ttyS0", "hvc0")
    disc = grub.disc(ctx.tmp / "xen.iso", hypervisor, kernel, programs.initrd("xen", _XEN_JOB), append, _XEN_WORDS)
    serial = ctx.tmp / "xen.log"
    # In QEMU 10 its first domain halts at once; 7.2 counts the same.
    argv = _machine(disc, serial, command=("qemu-system-x86_64",), cpu=f"{_CPU},-rdtscp")
    return _side("Xen 4.17", argv, serial, "cpuid")


def _pick(samples: Samples, name: str, taken: str, key: str) -> Samples:
    """One number of each run, under another name."""
    side = Side(name, samples.side.command, samples.side.measure)
    return Samples(side, [{key: one[taken]} for one in samples.good if taken in one], samples.failed)


def _boot(ctx: Context, hypervisor: Path) -> Figure:
    image, sides = lab.host_image(), []
    for name, beneath in (("oya", hypervisor), ("bare machine", None)):
        log = ctx.tmp / f"boot-{len(sides)}.log"
        disc = grub.disc(ctx.tmp / f"boot-{len(sides)}.iso", beneath, image.kernel, image.initrd, f"{_HOST_APPEND} oya.host=1")
        argv = _machine(disc, log, counts=False)
        sides.append(Side(name, argv, functools.partial(_run_until, READY_MARK, argv, log)))
    runs = compare(sides[0], sides[1], ctx.rounds(5), warm_up=0, on_run=ctx.say)
    return runs.figure("hv.parent_boot_cpu", "s", bound="ratio <= 1.10", aim="ratio <= 1.03")


def _image_kib(path: Path) -> float:
    """What the boot loader reads into memory of an ELF file of 64 bits."""
    data = path.read_bytes()
    at, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    heads = [struct.unpack_from("<I4xQQQQQ", data, at + i * size) for i in range(count)]
    return sum(head[4] for head in heads if head[0] == PT_LOAD) / 1024


def _lines() -> int:
    """Of all kinds: code, comments, blank lines."""
    paths = [path for path in (HERE.parent / "hypervisor").iterdir() if path.suffix in (".c", ".h", ".S")]
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def _one(name: str, command: list[str], value: float) -> Runs:
    side = Side(name, command, lambda: value)
    return Runs(Samples(side, [{"": value}]))


def _sizes(hypervisor: Path, runs: Runs) -> list[Figure]:
    assert runs.peer
    taken = [bare["ram_mib"] - ours["ram_mib"] for ours, bare in zip(runs.ours.good, runs.peer.good)]
    memory = Runs(Samples(runs.ours.side, [{"": value} for value in taken]))
    lines = _one("oya", ["wc", "-l", "hypervisor/*.[chS]"], _lines())
    image = _one("oya", ["readelf", "-l", str(hypervisor)], _image_kib(hypervisor))
    return [
        lines.figure("hv.lines", "lines", bound="ours <= 8000", aim="ours <= 5000"),
        image.figure("hv.image_kib", "KiB", bound="ours <= 256", aim="ours <= 128"),
        memory.figure("hv.memory_mib", "MiB", bound="ours <= 8", aim="ours <= 4"),
    ]


def _best_qemu(samples: Samples, test: str) -> str:
    """The machine of QEMU that takes the fewest."""
    first = samples.good[0] if samples.good else {}
    return min((key for key in first if key.endswith(f" {test}")), key=first.__getitem__, default=f"pc {test}")


def _exits(ours: Samples, kvm: Samples, xen: Samples) -> list[Figure]:
    def figure(id: str, test: str, peer: Samples, name: str, taken: str = "", **conditions: str) -> Figure:
        runs = Runs(ours, _pick(peer, name, taken or test, test))
        return runs.figure(f"hv.{id}_insns", "insns", key=test, **conditions)

    qemu = _best_qemu(kvm, "port")
    on_kvm, half = "KVM, same monitor", {"bound": "ratio <= 0.5", "aim": "ratio <= 0.3"}
    return [
        figure("hypercall", "hypercall", kvm, "KVM, of a guest", bound="ours <= 200", aim="ours <= 120"),
        figure("hypercall_xen", "hypercall", xen, "Xen 4.17, first domain"),
        figure("cpuid_exit", "cpuid", kvm, on_kvm, bound="ratio <= 0.15", aim="ratio <= 0.05"),
        figure("cpuid_exit_xen", "cpuid", xen, "Xen 4.17, first domain"),
        figure("port_exit", "port", kvm, f"QEMU {qemu.split()[0]} on KVM", qemu, bound="ratio <= 0.8", aim="ratio <= 0.5"),
        figure("port_exit_monitor", "port", kvm, on_kvm),
        figure("timer", "timer", kvm, on_kvm, **half),
        figure("timer_late", "timer_late", kvm, on_kvm),
        figure("ipi", "ipi", kvm, on_kvm, **half),
        figure("ipi_cycle", "ipi_cycle", kvm, on_kvm),
    ]


def run(ctx: Context) -> list[Figure]:
    """hv.*_insns, hv.parent_boot_cpu, hv.parent_kernel_boot_ms, hv.lines, hv.image_kib, hv.memory_mib."""
    programs, hypervisor = _programs(ctx), ctx.binary("hypervisor/oya-hv")

    def side(name: str, beneath: Path | None, job: str, wanted: str) -> Side:
        log = ctx.tmp / f"{wanted}.log"
        disc = grub.disc(ctx.tmp / f"{wanted}.iso", beneath, lab.guest_image().kernel, programs.initrd(wanted, job), _APPEND)
        return _side(name, _machine(disc, log), log, wanted)

    ours = side("oya", hypervisor, _OYA_JOB, "timer_late")
    kvm = side("KVM", None, _KVM_JOB, "pc port")
    runs = compare(ours, kvm, ctx.rounds(2), warm_up=0, on_run=ctx.say)
    assert runs.peer
    xen = compare(_xen(ctx, programs), None, ctx.rounds(2), warm_up=0, on_run=ctx.say).ours
    figures = _exits(runs.ours, runs.peer, xen)
    figures.append(_boot(ctx, hypervisor))
    figures.append(runs.figure("hv.parent_kernel_boot_ms", "ms", key="boot_ms"))
    return figures + _sizes(hypervisor, runs)
