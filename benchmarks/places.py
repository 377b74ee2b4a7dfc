# SPDX-License-Identifier: GPL-2.0-or-later
"""Where benchmarks with a whole guest run: an emulated host with our worker, QEMU, and the same stock kernel for both.

A guest is the stock Debian kernel with the tiny initrd, one processor unless told otherwise, and a job that takes
commands from its console; fio and iperf3 come from the stock root disk, which both get read-only. Both sides have the
same disks in the same cache mode and a tap each. QEMU has its memory as it likes it best (anonymous, in huge pages),
its own queues, an I/O thread, no vhost.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import lab
from benchmarks.common import Context, RunFailed, Side
from lab import cpio, vm
from lab.initrd import load_order
from lab.process import run as run_here

Measured = TypeVar("Measured")

RAM_MIB = 256
DISK_MIB = 128
BOOT_LIMIT_S = 240
ANSWER_LIMIT_S = 30
HOSTS = 3  # emulated hosts stop now and then: docs/design/lab.md
READY = "OYA-READY"
MACHINES = ("microvm", "q35", "pc")
_MACHINE_OPTIONS = {"microvm": "microvm,pit=off,pic=off,isa-serial=on", "q35": "q35", "pc": "pc"}
_MODULES = ("crc32c_generic", "ext4")
_APPEND = "console=ttyS0 quiet"

# The job of the guest: finds the stock root disk by its size, then does what it is told. `r` and `w` are fio, `i` iperf3.
_JOB = f"""
[ -e /sys/block/vda ] || while read -r m; do insmod $m 2>/dev/null; done </modules.virtio
while read -r m; do insmod $m 2>/dev/null; done </modules.ext4
for n in 1 2 3 4 5 6 7 8 9 10; do
 for d in /sys/block/[sv]d?; do
  name=${{d##*/}}
  if [ "$(cat $d/size)" = {DISK_MIB * 2048} ]; then
   serial=$(cat $d/serial 2>/dev/null); ln -sf /dev/$name /tmp/${{serial:-main}}
  elif ! mountpoint -q /mnt; then mount -o ro -t ext4 /dev/$name /mnt 2>/dev/null; fi
 done
 mountpoint -q /mnt && break; sleep 0.5
done
mount -o bind /dev /mnt/dev; mount -t proc proc /mnt/proc; mount -t sysfs sys /mnt/sys; mount -t tmpfs tmp /mnt/tmp
address=$(sed -n 's/.*oya.address=\\([^ ]*\\).*/\\1/p' /proc/cmdline)
ip addr add $address.2/24 dev eth0; ip link set eth0 up
stty -echo
fio() {{ chroot /mnt fio --name=x --filename=$(readlink /tmp/$3) --direct=1 --rw=$1 --bs=4k --iodepth=$2 --ioengine=libaio \\
 --time_based --runtime=$4 --randrepeat=0 --norandommap --output-format=terse | cut -d';' -f3,8,49; }}
iperf() {{ chroot /mnt iperf3 -c $address.1 -t $1 $2 >/dev/null && echo OYA-SENT; }}
echo {READY}
while read -r line; do eval "$line" 2>&1; echo OYA-END; done
"""


@dataclasses.dataclass(frozen=True)
class Files:
    """Paths in the emulated host."""

    kernel: str  # the bzImage as distributed
    elf: str  # what is packed in it
    initrd: str
    session: str  # the initrd whose job takes commands


class Place:
    """An emulated host with all that both sides need."""

    def __init__(self, ctx: Context, host: lab.Host) -> None:
        self.host = host
        self.tmp = ctx.tmp
        self.root_disk = ""
        self.boot = self._boot_id()
        vm.install(host, ctx.build)
        host.put(Path(__file__).with_name("hostside.py"), f"{host.home}/hostside.py")

    def measure(self, limit_s: float, *words: object) -> dict[str, Any]:
        """One verb of hostside.py; RunFailed when it gave no figure, LabError when the host has stopped or begun anew."""
        try:
            return self._measured(limit_s, *words)
        except RunFailed as error:
            if self._boot_id() != self.boot:
                raise lab.LabError(f"the emulated host has begun anew by itself during {words[0]}: {error}") from None
            raise

    def _boot_id(self) -> str:
        """Another one after each start of the host."""
        return self.host.run("cat /proc/sys/kernel/random/boot_id", timeout=ANSWER_LIMIT_S).out.strip()

    def _measured(self, limit_s: float, *words: object) -> dict[str, Any]:
        """As `measure`, for a host that stays up."""
        command = shlex.join(["python3", f"{self.host.home}/hostside.py", *(str(word) for word in words)])
        try:
            done = self.host.run(command, timeout=limit_s + 30, check=False)
        except lab.LabError as error:
            raise RunFailed(f"{words[0]}: {error}") from None
        try:
            got: dict[str, Any] = json.loads(done.out.splitlines()[-1])
        except (IndexError, ValueError):
            raise RunFailed(f"{words[0]}: {done.out[-200:]} {done.err[-400:]}") from None
        if "error" in got:
            raise RunFailed(str(got["error"]))
        return got

    def files(self, boot_job: str) -> Files:
        """Kernel and initrds, put into the host; `boot_job` is the text of /job in the plain initrd."""
        home = self.host.home
        kernel, _ = vm.kernel(self.host, "bookworm")
        self.root_disk = "/dev/disk/by-id/virtio-guest-bookworm"
        self.host.run(f"cp {kernel} {home}/vmlinuz")
        lab.initrd_with_job(lab.guest_initrd(), boot_job, self.tmp / "initrd")
        self.host.put(self.tmp / "initrd", f"{home}/initrd")
        session = lab.initrd_with_job(lab.guest_initrd(), _JOB, self.tmp / "session")
        with open(session, "ab") as file:
            file.write(_file_system())
        self.host.put(session, f"{home}/session")
        self.host.run(_UNPACK.format(home=home))
        self.host.run(f"cat {home}/vmlinuz {home}/vmlinux {home}/initrd {home}/session >/dev/null")
        return Files(f"{home}/vmlinuz", f"{home}/vmlinux", f"{home}/initrd", f"{home}/session")

    def ram_disks(self, count: int) -> list[str]:
        """Names of block devices of the host that keep their data in its RAM."""
        names = [f"nullb{n}" for n in range(count)]
        self.host.run("modprobe null_blk nr_devices=0; mountpoint -q /sys/kernel/config || mount -t configfs c /sys/kernel/config")
        for name in names:
            settings = f"echo {DISK_MIB} >size; echo 1 >memory_backed; echo 0 >irqmode; echo 2 >queue_mode; echo 1 >power"
            self.host.run(f"mkdir /sys/kernel/config/nullb/{name} && cd /sys/kernel/config/nullb/{name} && {settings}")
            self.host.run(f"dd if=/dev/zero of=/dev/{name} bs=1M count={DISK_MIB} oflag=direct status=none")
        return names

    def tap(self, number: int) -> str:
        """A tap with the host's address 192.0.NUMBER.1."""
        name = f"bench{number}"
        self.host.run(f"ip tuntap add {name} mode tap; ip addr add 192.0.{number}.1/24 dev {name}; ip link set {name} up")
        return name


# A bzImage's payload: where it is stands in its header, the length of what comes out follows it.
_UNPACK = """cd {home} && python3 - <<'END'
import struct, subprocess
image = open("vmlinuz", "rb").read()
at = (image[0x1f1] + 1) * 512 + struct.unpack_from("<I", image, 0x248)[0]
packed = image[at:at + struct.unpack_from("<I", image, 0x24c)[0] - 4]
tools = {{b"\\x02\\x21": "lz4", b"\\x1f\\x8b": "gzip", b"\\xfd7": "xz", b"\\x28\\xb5": "zstd"}}
with open("vmlinux", "wb") as out:
    subprocess.run([tools[packed[:2]], "-dc"], input=packed, stdout=out, check=True)
END"""


def _file_system() -> bytes:
    """A cpio archive with ext4 and what it needs, out of the stock guest's disk."""
    disk = lab.guest_image().disk
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        done = run_here(["debugfs", "-R", f"rdump /usr/lib/modules {top}", str(disk)], timeout=120)
        dep = next(top.glob("modules/*/modules.dep"), None)
        if dep is None:
            raise lab.LabError(f"no kernel modules in {disk}: {done.stderr.decode(errors='replace').strip()}")
        paths = load_order(dep.read_text(encoding="ascii"), _MODULES)
        entries = [cpio.Entry(f"lib/modules/{Path(path).name}", (dep.parent / path).read_bytes()) for path in paths]
    listing = "".join(f"/{entry.name}\n" for entry in entries)
    return cpio.archive([*entries, cpio.Entry("modules.ext4", listing.encode())])


def in_host(ctx: Context, measure: Callable[[Place], Measured]) -> Measured:
    """What `measure` makes of an emulated host; anew in another one when that stops."""
    for left in reversed(range(HOSTS)):
        try:
            with lab.hosts(memory_mib=3072) as hosts:
                return measure(Place(ctx, hosts[0]))
        except lab.LabError as error:
            if not left:
                raise
            ctx.say(f"once more in another host: {error}")
    raise AssertionError("not reached")


def ours_boot(at: Place, kernel: str, initrd: str, append: str) -> list[str]:
    """The command line of a worker of ours with its console on standard output and no devices."""
    config = {
        "version": 1,
        "memory_mib": RAM_MIB,
        "boot": {"kernel": kernel, "initrd": initrd, "append": append},
        "console": {"type": "stdio"},
    }
    path = f"{at.host.home}/boot-{Path(kernel).name}.json"
    at.host.run(f"cat >{path}", stdin=json.dumps(config))
    return [f"{at.host.home}/oya-worker", "--config", path]


def qemu(machine: str, cpus: int = 1) -> list[str]:
    """What every command line of the peer begins with."""
    base = f"qemu-system-x86_64 -M {_MACHINE_OPTIONS[machine]} -accel kvm -cpu host -smp {cpus} -m {RAM_MIB}"
    return [*base.split(), *"-nodefaults -no-user-config -display none".split()]


def qemu_boot(machine: str, kernel: str, initrd: str, append: str) -> list[str]:
    """The peer of `ours_boot`."""
    return [*qemu(machine), *"-serial stdio -kernel".split(), kernel, "-initrd", initrd, "-append", append]


@dataclasses.dataclass
class Session:
    """A VM whose guest takes commands; `begin` starts it, `load` gives a command and measures."""

    at: Place
    name: str
    command: list[str]
    tap: str = ""
    network: str = ""  # the first three parts of its addresses
    disks: dict[str, str] = dataclasses.field(default_factory=dict)  # as the guest calls it -> of the host
    pid: int = 0

    @property
    def socket(self) -> str:
        """Its console."""
        return f"/run/bench-{self.name}.console"

    @property
    def log(self) -> str:
        """What it says."""
        return f"/run/bench-{self.name}.log"

    def begin(self) -> None:
        """Start it; once more when the first guest does not come up. RunFailed after that."""
        words = ["start", self.socket, self.log, READY, BOOT_LIMIT_S, *self.command]
        try:
            self.pid = self.at.measure(BOOT_LIMIT_S, *words)["pid"]
        except RunFailed:
            self.at.host.run(f"rm -f {self.socket}")
            self.pid = self.at.measure(BOOT_LIMIT_S, *words)["pid"]

    def load(self, what: str, window_s: float, command: str) -> dict[str, Any]:
        """A command with a window of measurement in its midst: see hostside.load."""
        limit = window_s * 4 + 60
        try:
            return self.at.measure(limit, "load", self.socket, self.pid, what, window_s, limit, command)
        except RunFailed as error:
            raise RunFailed(f"{error}; {self._state()}") from None

    def _state(self) -> str:
        """Of a process whose run failed: whether it lives, and what it and its guest said last."""
        alive = "it runs" if self.at.host.run(f"kill -0 {self.pid}", check=False).rc == 0 else "it has ended"
        return f"{alive}, and said last: {self.at.host.run(f'tail -c 500 {self.log}', check=False).out.strip()}"

    def pss_mib(self) -> float:
        """Memory of its process beside the guest's RAM."""
        return float(self.at.measure(30, "pss", self.pid, RAM_MIB)["pss_mib"])

    def end(self) -> None:
        """Switch it off."""
        if self.pid:
            self.at.host.run(f"kill -9 {self.pid}; rm -f {self.socket}", check=False)
            self.pid = 0

    def side(self, measure: Any) -> Side:
        """For `compare`."""
        return Side(self.name, self.command, measure)


def ours_session(at: Place, files: Files, disk: str, number: int, cpus: int = 1) -> Session:
    """A worker of ours with one RAM disk of the host, the stock root disk and a tap."""
    name, tap = "oya", at.tap(number)
    session = Session(at, name, [], tap, f"192.0.{number}", {"main": disk})
    config = {
        "version": 1,
        "name": name,
        "memory_mib": RAM_MIB,
        "cpus": cpus,
        "boot": {"kernel": files.kernel, "initrd": files.session, "append": f"{_APPEND} oya.address=192.0.{number}"},
        "disks": [{"path": f"/dev/{disk}"}, {"path": at.root_disk, "read_only": True}],
        "nics": [{"type": "tap", "ifname": tap}],
        "console": {"type": "socket", "path": session.socket},
        "control": f"/run/bench-{name}.control",
    }
    path = f"{at.host.home}/{name}-{number}.json"
    at.host.run(f"cat >{path}", stdin=json.dumps(config))
    session.command = [f"{at.host.home}/oya-worker", "--config", path]
    return session


def qemu_session(
    at: Place, files: Files, machine: str, disks: dict[str, str], number: int, cpus: int = 1
) -> Session:
    """The peer: `disks` has the kinds of asynchronous I/O ("io_uring", "threads") and a RAM disk of the host for each."""
    tap, bus = at.tap(number), "device" if machine == "microvm" else "pci"
    session = Session(at, f"QEMU {machine}".replace(" ", "-"), [], tap, f"192.0.{number}", disks)
    words = [*qemu(machine, cpus), "-object", "iothread,id=io"]
    for aio, disk in disks.items():
        words += ["-drive", f"if=none,id={aio},file=/dev/{disk},format=raw,cache=none,aio={aio}"]
        words += ["-device", f"virtio-blk-{bus},drive={aio},iothread=io,serial={aio}"]
    words += ["-drive", f"if=none,id=root,file={at.root_disk},format=raw,cache=none,read-only=on,file.locking=off"]
    words += ["-device", f"virtio-blk-{bus},drive=root,iothread=io"]
    words += ["-netdev", f"tap,id=net,ifname={tap},script=no,downscript=no,vhost=off"]
    words += ["-device", f"virtio-net-{bus},netdev=net"]
    words += ["-chardev", f"socket,id=console,path={session.socket},server=on,wait=off", "-serial", "chardev:console"]
    words += ["-kernel", files.kernel, "-initrd", files.session, "-append", f"{_APPEND} oya.address=192.0.{number}"]
    session.command = words
    return session


def up(session: Session, say: Callable[[str], None]) -> bool:
    """Start a peer's VM, which ends with its host; whether it came up."""
    try:
        session.begin()
    except RunFailed as error:
        say(f"{session.name} is left out: {error}")
        return False
    return True
