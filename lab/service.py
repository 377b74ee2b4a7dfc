"""The host service as its package brings it, and a VM of it that serves a page: what the demo shows and tests/lab/test_service.py tests.

A stock Debian with its own boot loader becomes an image of the host, a VM is made of it with no more than a name and the image, and is
used over the switch that is there by itself.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from . import images
from .hosts import Host
from .process import LabError, run, say

_PROJECT = Path(__file__).resolve().parent.parent
PAGE = "This page came from a VM that booted by itself."
_SSH = "ssh -i /root/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=20"
_SEED = """users:
  - name: ada
    sudo: ALL=(ALL) NOPASSWD:ALL
    ssh_authorized_keys: [KEY]
bootcmd:
  - [sh, -c, "mkdir -p /srv/www; echo 'PAGE' >/srv/www/index.html"]
  - [systemd-run, --no-block, --unit=web, python3, -m, http.server, -d, /srv/www, "80"]
"""


def packages(build: Path) -> list[Path]:
    """The packages, `oya` first; made when there are none of this build."""
    parts = [build / name for name in ("host/oyad", "cli/oya", "worker/oya-worker", "import/oya-import")]
    built = max(path.stat().st_mtime for path in [*parts, *(_PROJECT / "debian").rglob("*"), *(_PROJECT / "packaging").rglob("*")])
    folder = _PROJECT / "build" / "packages"
    found = list(folder.glob("oya_*_amd64.deb"))
    if not found or found[0].stat().st_mtime < built:
        say("making the packages")
        done = run([str(_PROJECT / "package"), "-j2"], timeout=900)
        if done.returncode:
            raise LabError(f"package: {(done.stdout + done.stderr).decode(errors='replace')[-800:]}")
        found = list(folder.glob("oya_*_amd64.deb"))
    return found + sorted(folder.glob("oya-hypervisor_*.deb")) + sorted(folder.glob("oya-parent-dkms_*.deb"))


def cluster_package(build: Path) -> Path:
    """The package `oya-cluster` of the same build."""
    return next(packages(build)[0].parent.glob("oya-cluster_*.deb"))


class Service:
    """The host service on a host, and its VM `web`."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.address = ""

    def install(self, deb: Path) -> str:
        """Install the package, as `oya.deb` there; what it says of itself."""
        self.host.put(deb, "/root/oya.deb")
        self.host.run("dpkg -i /root/oya.deb", timeout=300)
        return self.host.run("systemctl is-active oyad.service; dpkg-query -W oya").out.strip().replace("\n", ", ")

    def import_image(self, suite: str = "bookworm") -> str:
        """The bootable Debian of the lab becomes the image `debian`; the list of images."""
        device = self.host.attach(images.golden_image(suite).disk, "golden")
        self.host.run(f"oya image import debian {device}", timeout=600)
        self.host.detach("golden")
        return self.host.run("oya image list").out.strip().splitlines()[-1]

    def make(self, tmp: Path) -> str:
        """The VM `web` of that image, with a seed that makes it serve a page; as its settings tell."""
        self.host.run("ssh-keygen -q -t ed25519 -N '' -f /root/key <<<y >/dev/null")
        key = self.host.run("cat /root/key.pub").out.strip()
        seed = images.seed(tmp / "seed.iso", _SEED.replace("KEY", key).replace("PAGE", PAGE), "web")
        self.host.put(seed, "/root/seed.iso")
        self.host.run("oya vm create web --image debian --memory 768M --dvd /root/seed.iso", timeout=600)
        settings = json.loads(self.host.run("oya vm show web -o json").out)["settings"]
        return f"{settings['disks'][0]['file']}, NIC on the switch {settings['nics'][0]['switch']}"

    def start(self, seconds: float = 1200.0) -> str:
        """Start it, and wait until its guest has told its address; LabError when it does not."""
        self.host.run("oya vm start web", timeout=300)
        end = time.monotonic() + seconds
        while not self.address:
            if time.monotonic() > end:
                shown = self.host.run("oya vm show web", check=False).out
                raise LabError(f"the guest of web has told no address within {seconds:.0f} s: {shown}")
            time.sleep(3)
            self.address = self._vm().get("address") or ""
        return self.host.run("oya vm list").out.strip().splitlines()[-1]

    def page(self) -> str:
        """What its web server answers to the host, as soon as it does."""
        command = f"curl -s --retry 150 --retry-connrefused --retry-delay 4 --retry-max-time 600 http://{self.address}/"
        return self.host.run(command, timeout=700).out.strip()

    def guest(self, command: str) -> str:
        """What a command in the guest prints."""
        return self.host.run(f"{_SSH} ada@{self.address} {json.dumps(command)}", timeout=200).out.strip()

    def add_disk(self) -> str:
        """A disk is added while it runs; it as the guest sees it."""
        before = set(self.guest("ls /sys/block").split())
        self.host.run("oya disk add web 1G --name data.raw")
        for _ in range(30):
            new = set(self.guest("ls /sys/block").split()) - before
            if new:
                name = new.pop()
                return f"{name}, {int(self.guest(f'cat /sys/block/{name}/size')) >> 11} MiB"
            time.sleep(1)
        raise LabError("the guest of web sees no new disk.")

    def upgrade(self) -> tuple[int, int, bool]:
        """Install the package anew, under pings of the VM: how many were sent, how many answered, and whether oyad is a new one."""
        before = self.host.run("systemctl show -P MainPID oyad").out
        self.host.run(f"(ping -i 0.2 -w 600 {self.address} >/root/ping 2>&1 & echo $! >/root/ping.pid); sleep 2")
        self.host.run("dpkg -i /root/oya.deb", timeout=300)
        self.host.run("oya vm list; sleep 2; kill -INT $(cat /root/ping.pid); sleep 1")
        found = re.search(r"(\d+) packets transmitted, (\d+) received", self.host.run("cat /root/ping").out)
        if not found:
            raise LabError(f"ping told nothing: {self.host.run('tail -n 3 /root/ping').out}")
        return int(found[1]), int(found[2]), self.host.run("systemctl show -P MainPID oyad").out not in (before, "0\n")

    def save(self, seconds: float = 10.0) -> str:
        """Save it, and let it go on after some seconds: what counts in it over a connection misses no number, and its clock is right."""
        boot = self.guest("cat /proc/sys/kernel/random/boot_id")
        count = "for i in $(seq 1 100000); do echo $i; sleep 0.2; done"
        self.host.run(f"({_SSH} ada@{self.address} '{count}' >/root/count 2>&1 & echo $! >/root/count.pid)")
        self._wait_for_count(5)
        self.host.run("oya vm save web", timeout=600)
        state = str(self._vm()["state"])
        size = self.host.run("du -m /var/lib/oya/vms/web/saved.state | cut -f1; oya state verify /var/lib/oya/vms/web/saved.state >/dev/null").out.strip()
        before = self.host.run(f"tail -n1 /root/count; sleep {seconds}").out.strip()
        self.host.run("oya vm start web", timeout=300)
        self._wait_for_count(int(before) + 10)
        numbers = [int(n) for n in self.host.run("kill $(cat /root/count.pid); grep -E '^[0-9]+$' /root/count").out.split()]
        if numbers != list(range(1, len(numbers) + 1)):
            raise LabError(f"the count in the guest of web has a gap: {numbers[-30:]}")
        if self.guest("cat /proc/sys/kernel/random/boot_id") != boot:
            raise LabError("the guest of web has booted anew.")
        apart = abs(float(self.guest("date +%s.%N")) - float(self.host.run("date +%s.%N").out))
        if apart > 30:
            raise LabError(f"the clock of web is {apart:.0f} s apart from the host's.")
        return f"{state}, {size} MiB; a connection counted on from {before} to {numbers[-1]}"

    def _wait_for_count(self, number: int) -> None:
        for _ in range(120):
            told = self.host.run("tail -n1 /root/count", check=False).out.strip()
            if told.isdigit() and int(told) >= number:
                return
            time.sleep(1)
        raise LabError(f"what counts in the guest of web does not go on: {told!r}")

    def stop(self) -> str:
        """Its guest shuts down; its state then."""
        self.host.run("oya vm stop web", timeout=400)
        return str(self._vm()["state"])

    def purge(self) -> str:
        """Remove the VM and the package; what is left running of it."""
        self.host.run("oya vm delete web --disks delete; oya image delete debian; dpkg -P oya", timeout=300)
        return self.host.run("pgrep -l 'oya|dnsmasq'", check=False).out.strip()

    def _vm(self) -> dict:
        return json.loads(self.host.run("oya vm list -o json").out)[0]
