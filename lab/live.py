"""A VM that moves between hosts while it serves a page: what the demo shows and tests/lab/test_migrate.py tests.

Three hosts on one network. The third keeps the folder of VMs, which the first two have by NFS (`share.py`), and is the
client. The VM's root disk is a device that both hosts have, its data disk a file in the folder. Packages are installed
as their users do, switches, tokens and trust are made by `oya`.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import vm
from .hosts import Host
from .images import guest_image, job_disk
from .process import LabError, run
from .recipes import FILES
from .share import share
from .ssh import Background, Result

FOLDER = "/srv/vms"
ADDRESS = "10.77.0.100"
PORT = 7443
NAME = "web"
DATA_MIB = 64
# Where processors are emulated, the switch alone takes more than the 20 ms that are allowed by default.
DOWNTIME = "--downtime 3000"
_UNIT = f"[Service]\nExecStart=\nExecStart=/usr/sbin/oyad --listen 0.0.0.0:{PORT}\n"
_NETWORK = f"[Match]\nType=ether\n[Network]\nAddress={ADDRESS}/24\nLinkLocalAddressing=no\n"
_JOB = """mkdir -p /data /run/systemd/network
mount LABEL=data /data
cat >/run/systemd/network/10-live.network <<'END'
NETWORKEND
systemctl restart systemd-networkd
cat >/root/guest.py <<'END'
SERVEREND
systemd-run -q --unit=live python3 /root/guest.py
for n in $(seq 100); do curl -s -m 5 http://127.0.0.1/ && break; sleep 0.2; done
"""
_ASK = """import socket, sys, time
s = socket.create_connection(("ADDRESS", 7001), TIMEOUT)
began = time.time()
s.sendall(COMMAND.encode())
s.shutdown(socket.SHUT_WR)
text = s.makefile("rb").read().decode(errors="replace")
print((began + time.time()) / 2)
sys.stdout.write(text)
"""
_TRUST = """import json, sys
path = "/root/.config/oya/hosts.json"
told = json.load(open(path))
told["hosts"][sys.argv[1]]["token"] = sys.argv[2]
json.dump(told, open(path, "w"))
"""


def each(things: Sequence[Host], do: Callable[[Host], object]) -> None:
    """Do it with all hosts side by side; the first failure is raised."""
    with concurrent.futures.ThreadPoolExecutor(len(things)) as pool:
        list(pool.map(do, things))


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a client saw, all times in ms; see `files/live/client.py`."""

    pages: int
    lost: int
    page_gap: int
    count: int
    breaks: int
    count_gap: int
    problem: str = ""

    def whole(self) -> bool:
        """No request was lost, and no number."""
        return self.pages > 0 and self.count > 0 and not self.lost and not self.breaks

    def __str__(self) -> str:
        text = f"{self.pages} pages, longest gap {self.page_gap} ms; counted to {self.count}, longest gap {self.count_gap} ms"
        return text if self.whole() else f"{text}; LOST {self.lost} pages, {self.breaks} numbers {self.problem}"


@dataclasses.dataclass(frozen=True)
class Moved:
    """A move that has come to its end, as its job tells: times in ms, and what a client saw meanwhile."""

    seconds: float
    stopped: float
    promised: float
    sent_mib: int
    rounds: int
    seen: Seen

    def __str__(self) -> str:
        told = f"{self.seconds:.0f} s, {self.rounds} rounds, {self.sent_mib} MiB, stood still {self.stopped:.0f} ms (promised {self.promised:.0f})"
        return f"{told}; the client: {self.seen}"


class Live:
    """The VM `web`, and the hosts that it moves between."""

    def __init__(self, hosts: Sequence[Host], tmp: Path) -> None:
        self.hosts = list(hosts)
        self.pair, self.keeper = self.hosts[:2], self.hosts[2]
        self.tmp = tmp
        self._clients = 0

    # ---- before ----

    def install(self, deb: Path) -> None:
        """The folder; the package on the two hosts, whose services listen to each other, and who may move VMs to whom."""
        # Emulated NICs leave all work at a packet to the processor.
        each(self.hosts, lambda host: host.run("ip link set eth1 mtu 9000"))
        share(self.keeper, self.pair, FOLDER)
        self.keeper.put(FILES / "live" / "client.py", "/root/client.py")
        each(self.pair, lambda host: self.install_one(host, deb))
        self.trust(self.pair[0], self.pair[1])
        self.trust(self.pair[1], self.pair[0])

    def install_one(self, host: Host, deb: Path) -> None:
        """The package on one host, with a service that listens."""
        host.run(f"echo advise >{vm.HUGE_PAGES}", check=False)
        host.run("mkdir -p /etc/systemd/system/oyad.service.d; cat >/etc/systemd/system/oyad.service.d/listen.conf", stdin=_UNIT)
        host.put(deb, "/root/oya.deb")
        host.run("dpkg -i /root/oya.deb", timeout=300)

    def trust(self, host: Host, other: Host) -> None:
        """`host` knows `other`, and has a token of its administrators."""
        token = other.run(f"oya token create {host.name} --role administrator").out.split()[-1]
        seal = json.loads(other.run("oya host show -o json").out)["certificate"]
        host.run(f"oya host trust {other.name} --fingerprint {seal}")
        host.run(f"python3 - {other.name}:{PORT} {token}; chmod 600 /root/.config/oya/hosts.json", stdin=_TRUST)

    def switch(self, host: Host) -> None:
        """The switch `lan` of the network between the hosts."""
        host.run("oya switch create lan --kind external --nic eth1", timeout=120)

    def make(self) -> None:
        """The VM, on the first host: its folder is in the common one."""
        self._disks()
        first = self.pair[0]
        boot = f"{FOLDER}/boot"
        append = shlex.quote(vm.ROOT_APPEND)
        first.run(
            f"oya vm create {NAME} --cpus 2 --memory 256M --kernel {boot}/vmlinuz --initrd {boot}/initrd --append {append} "
            f"--disk /dev/disk/by-id/virtio-root-of-web --disk {boot}/job.raw --disk {boot}/data.raw --net switch=lan"
        )
        first.run(f"systemctl stop oyad && mv /var/lib/oya/vms/{NAME} {FOLDER}/ && ln -s {FOLDER}/{NAME} /var/lib/oya/vms/ && systemctl start oyad")

    def _disks(self) -> None:
        image = guest_image()
        root, data, job = (self.tmp / name for name in ("root.raw", "data.raw", "job.raw"))
        run(["cp", "--sparse=always", str(image.disk), str(root)], timeout=120)
        for host in self.pair:
            host.attach(root, "root-of-web", read_only=False, shared=True)
        data.touch()
        run(["truncate", f"-s{DATA_MIB}M", str(data)])
        run(["mke2fs", "-q", "-t", "ext4", "-L", "data", str(data)])
        server = (FILES / "live" / "guest.py").read_text(encoding="utf-8")
        job_disk(job, _JOB.replace("NETWORK", _NETWORK).replace("SERVER", server), keep=True)
        for path, name in ((image.kernel, "vmlinuz"), (image.initrd, "initrd"), (job, "job.raw"), (data, "data.raw")):
            self.keeper.put(path, f"{FOLDER}/boot/{name}")

    def start(self, seconds: float = 900.0) -> None:
        """Start it, and wait until its page is there; LabError when it does not come."""
        self.pair[0].run(f"oya vm start {NAME}", timeout=120)
        end = time.monotonic() + seconds
        while self.keeper.run(f"curl -s -m 5 http://{ADDRESS}/", check=False).rc:
            if time.monotonic() > end:
                raise LabError(f"the page of {NAME} has not come within {seconds:.0f} s: {self.where()}")
            time.sleep(1)

    # ---- in the guest ----

    def guest(self, command: str, timeout: float = 120.0) -> str:
        """What a command in the guest prints; LabError when it fails."""
        return self._ask_guest(command, timeout)[1]

    def _ask_guest(self, command: str, timeout: float) -> tuple[float, str]:
        """Also when it was asked, by the keeper's clock: the middle of the time that it took, in seconds."""
        script = _ASK.replace("ADDRESS", ADDRESS).replace("COMMAND", repr(command)).replace("TIMEOUT", str(timeout))
        when, code, text = (self.keeper.run("python3 -", timeout=timeout + 20, stdin=script).out + "\n\n").split("\n", 2)
        if code != "0":
            raise LabError(f"`{command}` in the guest of {NAME} has ended with {code or 'nothing'}: {text}")
        return float(when), text.strip()

    def boot_id(self) -> str:
        """Another one after each boot."""
        return self.guest("cat /proc/sys/kernel/random/boot_id")

    def clock_apart(self, host: Host) -> float:
        """Seconds between the clocks of the guest and of a host, as far as the way lets it tell."""
        when, told = self._ask_guest("date +%s.%N", 60)
        before = time.time()
        keeper = float(self.keeper.run("date +%s.%N").out) - (before + time.time()) / 2
        before = time.time()
        there = float(host.run("date +%s.%N").out) - (before + time.time()) / 2
        return abs(float(told) - when + keeper - there)

    # ---- moves ----

    def where(self) -> list[list[str]]:
        """What each of the two hosts lists: names and states."""
        lists = [json.loads(host.run("oya vm list -o json").out) for host in self.pair]
        return [[f"{machine['name']} {machine['state']}" for machine in machines] for machines in lists]

    def client(self) -> Background:
        """One that asks for the page and has a connection open, until `seen`."""
        client = self.keeper.spawn(f"exec python3 /root/client.py {ADDRESS}")
        client.wait_for("asking")
        time.sleep(2)
        return client

    def seen(self, client: Background) -> Seen:
        """The end of a client, and what it saw."""
        time.sleep(2)
        client.stop(timeout=150)
        return Seen(**json.loads(client.output().strip().splitlines()[-1]))

    def ask(self, source: int, target: int, options: str = "", timeout: float = 300.0) -> Result:
        """`oya vm migrate`, between hosts by their places in `hosts`."""
        return self.hosts[source].run(f"oya vm migrate {NAME} {self.hosts[target].name} {options}", timeout=timeout, check=False)

    def begin(self, source: int, target: int, options: str = "") -> Background:
        """The same, in the background."""
        return self.hosts[source].spawn(f"oya vm migrate {NAME} {self.hosts[target].name} {options}")

    def job(self, source: int) -> dict:
        """The newest job of a move from a host."""
        jobs = json.loads(self.hosts[source].run("oya job list -o json").out)
        moves = [job for job in jobs if job["what"] == "migrate"]
        if not moves:
            raise LabError(f"{self.hosts[source].name} has no job of a move: {jobs}")
        return max(moves, key=lambda job: job["id"])

    def in_rounds(self, source: int, seconds: float = 60.0) -> None:
        """Wait until the newest move from a host is in its midst."""
        end = time.monotonic() + seconds
        while (job := self.job(source))["state"] != "running" or job.get("details", {}).get("sent_bytes", 0) < 1 << 20:
            if time.monotonic() > end:
                raise LabError(f"the move has not begun within {seconds:.0f} s: {job}")
            time.sleep(0.5)

    def move(self, source: int, target: int, options: str = DOWNTIME, meanwhile: Callable[[], object] | None = None, timeout: float = 300.0) -> Moved:
        """Move it under a client. LabError when it is not there then, or a host lists it that should not."""
        client = self.client()
        began = time.monotonic()
        command = self.begin(source, target, options)
        if meanwhile:
            meanwhile()
        code = command.wait(timeout)
        seconds = time.monotonic() - began
        seen = self.seen(client)
        lists = self.where()
        if code or lists[target] != [f"{NAME} running"] or lists[source]:
            raise LabError(f"{command.output()}\n{NAME} has not moved from {source} to {target} ({code}): {lists}; {seen}")
        details = self.job(source)["details"]
        return Moved(
            seconds, details["stopped_us"] / 1000, details["promised_us"] / 1000, details["sent_bytes"] >> 20, details["round"], seen
        )  # fmt: skip

    def save(self, place: int) -> Seen:
        """Save it on the host where it runs and start it from there, under a client. LabError when it is another VM then."""
        host, boot = self.hosts[place], self.boot_id()
        client = self.client()
        host.run(f"oya vm save {NAME}", timeout=300)
        saved = self.where()[place]
        host.run(f"oya vm start {NAME}", timeout=300)
        seen = self.seen(client)
        if saved != [f"{NAME} saved"] or self.boot_id() != boot:
            raise LabError(f"{NAME} was not saved ({saved}), or has booted anew; {seen}")
        return seen
