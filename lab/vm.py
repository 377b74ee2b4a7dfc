"""VMs of ours within an emulated host: `vm = start(host, build, script="dmesg"); vm.finish()`.

A VM has the stock kernel of a guest image and either the tiny initrd, whose script runs at once,
or the guest's own initrd and root disk with systemd, where the script is a job disk. Its console
is the output of `oya run` in the host.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

from .hosts import Host
from .images import guest_image, guest_initrd, initrd_with_job, job_disk
from .local import LocalHost
from .process import LabError, run

ROOT_APPEND = "root=LABEL=oya-root ro console=ttyS0 quiet"
TINY_APPEND = "console=ttyS0 quiet"
# Guest memory in large pages: fewer nested page faults, which an emulated processor mishandles when they meet the delivery
# of an interrupt, and a faster boot.
HUGE_PAGES = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
_CONTROL = """import json, os, socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])
request = (sys.argv[2] + "\\n").encode()
if len(sys.argv) > 3:
    modes = {"ro": os.O_RDONLY, "rw": os.O_RDWR}
    socket.send_fds(s, [request], [os.open(sys.argv[4], modes[sys.argv[3]])])
else:
    s.sendall(request)
text = b""
while not text.endswith(b"\\n"):
    more = s.recv(65536)
    if not more: break
    text += more
sys.stdout.write(text.decode())
"""


@dataclasses.dataclass(frozen=True)
class Done:
    """A VM that ended: exit code of `oya run`, the console's text, what it wrote to its log."""

    rc: int
    console: str
    log: str


Place = Host | LocalHost


class Vm:
    """A running VM. `directory` is its folder in the host, with the control socket `control`."""

    def __init__(self, host: Place, directory: str, command: str, attached: str = "") -> None:
        self.host = host
        self.directory = directory
        self._attached = attached
        self._process = host.spawn(f"cd {directory}; exec {command} </dev/null 2>log")

    def console(self) -> str:
        """What the guest has written to its console."""
        return self._process.output()

    def log(self) -> str:
        """What the worker has logged."""
        return self.host.run(f"cat {self.directory}/log").out

    def wait_for(self, text: str, timeout: float = 120.0) -> str:
        """The console once it contains `text`; LabError when the VM ends or time passes before."""
        try:
            return self._process.wait_for(text, timeout)
        except LabError as e:
            raise LabError(f"{e} The worker's log: {self.log()}") from None

    def running(self) -> bool:
        """Whether `oya run` still runs."""
        return self._process.running()

    def control(self, verb: str, file: str = "", mode: str = "rw", **arguments: Any) -> Any:
        """The result of one verb of the control socket; LabError when it is refused.

        `file`: a file of the host whose descriptor, opened "rw" or "ro", goes along.
        """
        request = json.dumps({"verb": verb, **arguments})
        along = f"{mode} {shlex.quote(file)}" if file else ""
        answer = json.loads(
            self.host.run(
                f"python3 {self.host.home}/control.py {self.directory}/control {shlex.quote(request)} {along}"
            ).out
        )
        if not answer["ok"]:
            raise LabError(answer["error"])
        return answer.get("result")

    def finish(self, timeout: float = 180.0) -> Done:
        """Wait for the end of the VM."""
        rc = self._process.wait(timeout)
        return Done(rc, self.console(), self.log())

    def end(self) -> None:
        """Switch it off when it still runs, and unplug its disk from the host."""
        if self.running():
            self._process.stop()
        if self._attached:
            self.host.detach(self._attached)
            self._attached = ""


def install(host: Place, build: Path) -> None:
    """Put our programs of the build folder into the host, once."""
    if host.run(f"test -e {host.home}/control.py", check=False).rc == 0:
        return
    host.run(f"mkdir -p {host.home}/vms")
    if not isinstance(host, LocalHost):
        host.run(f"echo advise >{HUGE_PAGES}", check=False)
    for name in ("cli/oya", "worker/oya-worker"):
        host.put(build / name, f"{host.home}/{Path(name).name}")
    host.run(f"cat >{host.home}/control.py", stdin=_CONTROL)


def kernel(host: Place, suite: str) -> tuple[str, str]:
    """Paths in the host of the stock kernel and initrd of a guest, from its disk, mounted there."""
    image = guest_image(suite)
    if isinstance(host, LocalHost):
        return str(image.kernel), str(image.initrd)
    folder = f"{host.home}/{suite}"
    if host.run(f"mountpoint -q {folder}", check=False).rc:
        device = host.attach(image.disk, f"guest-{suite}")
        host.run(f"mkdir -p {folder} && mount -o ro {device} {folder}")
    found = host.run(f"ls {folder}/boot/vmlinuz-* {folder}/boot/initrd.img-*").out.split()
    return next(p for p in found if "vmlinuz" in p), next(p for p in found if "initrd" in p)


def start(
    host: Place,
    build: Path,
    tmp: Path,
    name: str = "vm",
    suite: str = "bookworm",
    script: str = "true",
    root: bool = False,
    keep: bool = False,
    cpus: int = 1,
    memory: str = "512M",
    append: str = "",
    options: str = "",
) -> Vm:
    """Start a VM whose guest runs `script` and powers off (with `keep` and `root` it stays up).

    root: the guest's own root disk (/dev/sda or sdb) and systemd; else the tiny initrd. `append`
    is added to the kernel's command line, `options` to that of `oya run`.
    """
    install(host, build)
    vmlinuz, initrd = kernel(host, suite)
    directory = f"{host.home}/vms/{name}"
    host.run(f"rm -rf {directory} && mkdir -p {directory}")
    attached = ""
    command = [f"{host.home}/oya run --name {name} --control control --cpus {cpus} --memory {memory} --kernel {vmlinuz}"]
    if root:
        disk = tmp / f"{name}.raw"
        run(["cp", "--sparse=always", str(guest_image(suite).disk), str(disk)], timeout=120)
        host.put(job_disk(tmp / f"{name}.job", script, keep), f"{directory}/job.raw")
        attached = f"{name}-root"
        device = host.attach(disk, attached, read_only=False)
        command.append(f"--initrd {initrd} --disk {device} --disk job.raw --append {shlex.quote(ROOT_APPEND)}")
    else:
        initrd_with_job(guest_initrd(suite), script, tmp / f"{name}.initrd")
        host.put(tmp / f"{name}.initrd", f"{directory}/initrd")
        command.append(f"--initrd initrd --append {shlex.quote(TINY_APPEND)}")
    if append:
        command.append(f"--append {shlex.quote(append)}")
    return Vm(host, directory, " ".join([*command, options]), attached)


def boot(host: Place, build: Path, name: str, options: str, cpus: int = 1, memory: str = "512M") -> Vm:
    """Start a VM that boots by firmware from the disks and drives of `options`, paths in the host."""
    install(host, build)
    directory = f"{host.home}/vms/{name}"
    host.run(f"rm -rf {directory} && mkdir -p {directory}")
    command = f"{host.home}/oya run --name {name} --control control --cpus {cpus} --memory {memory} --firmware bios"
    return Vm(host, directory, f"{command} {options}")
