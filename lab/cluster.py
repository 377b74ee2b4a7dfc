"""A failover cluster of the hosts of `live.py`: what the demo shows and tests/lab/test_cluster.py tests.

All three are members; the VM may run on the first two, which reach its disks, the third keeps the folder and is the
client. What fences is the power board of the run (`board.py`), by an agent of the engine's.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import board as power
from .board import Board
from .hosts import Host
from .live import ADDRESS, FOLDER, NAME, Live, Seen, each
from .process import LabError

CLUSTER = "lab"
_AGENT = """#!/bin/bash
# Cuts the power of an emulated host, by the board of the run: the engine's words are on standard input.
action=reboot plug=
while IFS='=' read -r name value; do
	case $name in
	action) action=$value ;;
	plug) plug=$value ;;
	esac
done
ask() {
	exec 3<>/dev/tcp/BOARD/PORT || return 1
	echo "$1 $plug" >&3
	read -r answer <&3
}
case $action in
metadata)
	cat <<-'END'
		<?xml version="1.0"?>
		<resource-agent name="fence_lab" shortdesc="Power of emulated hosts">
		<longdesc>Power of emulated hosts.</longdesc>
		<parameters>
		<parameter name="action" required="1"><content type="string" default="reboot"/></parameter>
		<parameter name="plug" required="1"><content type="string"/></parameter>
		</parameters>
		<actions>
		<action name="on"/><action name="off"/><action name="reboot"/><action name="status"/>
		<action name="list"/><action name="monitor"/><action name="metadata"/>
		</actions>
		</resource-agent>
	END
	;;
off | reboot) ask off && [ "$answer" = done ] ;;
status) ask status && case $answer in on) ;; off) exit 2 ;; *) exit 1 ;; esac ;;
on | list | monitor) ;;
*) exit 1 ;;
esac
"""
_FENCING = """<primitive id="power" class="stonith" type="fence_lab"><instance_attributes id="power-a">
<nvpair id="power-list" name="pcmk_host_list" value="HOSTS"/><nvpair id="power-check" name="pcmk_host_check" value="static-list"/>
</instance_attributes><operations><op id="power-monitor" name="monitor" interval="0"/></operations></primitive>"""


@dataclasses.dataclass(frozen=True)
class Failover:
    """What became of a VM whose host has died: times in seconds since then."""

    cut: float  # the board had switched the host off
    answers: float  # the client had the page again
    where: str

    def __str__(self) -> str:
        return f"the host was switched off after {self.cut:.1f} s, the client had the page from {self.where} after {self.answers:.1f} s"


class Cluster:
    """The cluster of the hosts of a `Live` whose VM runs."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.hosts = live.hosts

    # ---- set up ----

    def install(self, deb: Path, cluster_deb: Path) -> None:
        """What each host needs: the packages, and the agent of the board. The first two have `oya` already."""
        self.live.install_one(self.live.keeper, deb)
        agent = self.live.tmp / "fence_lab"
        agent.write_text(_AGENT.replace("BOARD", power.ADDRESS).replace("PORT", str(power.PORT)), encoding="utf-8")
        each(self.hosts, lambda host: self._install(host, cluster_deb, agent))

    def _install(self, host: Host, package: Path, agent: Path) -> None:
        host.put(package, "/root/oya-cluster.deb")
        host.put(agent, "/usr/sbin/fence_lab")
        host.run("chmod 755 /usr/sbin/fence_lab; dpkg -i /root/oya-cluster.deb", timeout=300)

    def form(self) -> None:
        """`oya cluster create` on the first, `oya cluster join` on each of the others."""
        first = self.hosts[0]
        told = first.run(f"oya cluster create {CLUSTER} --link {first.address}", timeout=300).out
        for host in self.hosts[1:]:
            token = told.split("oya cluster join ")[1].split()[0]
            host.run(f"oya cluster join {token} --link {host.address}", timeout=300)
            told = first.run("oya cluster token").out
        self.wait_online(self.hosts)

    def fence(self) -> None:
        """The engine is told of the board."""
        xml = _FENCING.replace("HOSTS", " ".join(host.name for host in self.hosts))
        self.hosts[0].run("cibadmin --create --scope resources --xml-pipe", stdin=xml)
        self.until("the fencing of the cluster", lambda: "Started" in self.told("power"))

    def take(self) -> None:
        """The VM, where it runs, becomes the cluster's."""
        pair = ",".join(host.name for host in self.live.pair)
        self.hosts[self.place()].run(f"oya vm cluster {NAME} --possible {pair}", timeout=120)
        self.until(f"{NAME} in the cluster", lambda: "Started" in self.told(f"vm-{NAME}"))

    # ---- seen ----

    def told(self, resource: str) -> str:
        """The engine's line of a resource, or nothing."""
        lines = self.hosts[-1].run("crm_mon -1r", check=False).out.splitlines()
        return next((line for line in lines if f" {resource}\t" in line), "")

    def told_nodes(self) -> str:
        """The engine's line of the hosts."""
        lines = self.hosts[-1].run("crm_mon -1", check=False).out.splitlines()
        return next((line.strip(" *") for line in lines if "Online:" in line), "")

    def wait_online(self, hosts: Sequence[Host], seconds: float = 240.0) -> None:
        """Until the engine has all of them."""
        names = {host.name for host in hosts}
        self.until(f"{names} online", lambda: names <= self._online(), seconds)

    def _online(self) -> set[str]:
        return set(self.told_nodes().partition("[")[2].partition("]")[0].split())

    def place(self) -> int:
        """On which of the two hosts it runs, of those that live."""
        for index, host in enumerate(self.live.pair):
            if host.alive() and f"{NAME} running" in [f"{vm['name']} {vm['state']}" for vm in json.loads(host.run("oya vm list -o json").out)]:
                return index
        raise LabError(f"{NAME} runs on no host: {self.hosts[-1].run('crm_mon -1rf', check=False).out}")

    def until(self, what: str, is_so: Callable[[], bool], seconds: float = 180.0) -> None:
        """Wait until it is so; LabError when it has not become so."""
        end = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > end:
                raise LabError(f"{what} has not come within {seconds:.0f} s: {self.hosts[-1].run('crm_mon -1rf', check=False).out}")
            time.sleep(1)

    # ---- moved, and lost ----

    def move(self, options: str = "") -> tuple[str, Seen]:
        """`oya vm migrate` to the other of the two, under a client; what the command says, and what the client saw."""
        source = self.place()
        target = self.live.pair[1 - source]
        client = self.live.client()
        told = self.live.pair[source].run(f"oya vm migrate {NAME} {target.name} {options}", timeout=600).out.strip()
        seen = self.live.seen(client)
        if self.place() != 1 - source:
            raise LabError(f"{told}\n{NAME} is not on {target.name}; {seen}")
        return told.splitlines()[-1], seen

    def lose_host(self, board: Board, seconds: float = 600.0) -> Failover:
        """The power of the host where it runs fails; until the client has the page again."""
        source = self.place()
        lost, other = self.live.pair[source], self.live.pair[1 - source]
        before = len(board.cut)
        began = time.monotonic()
        lost.kill_host()
        cut = 0.0
        while self.live.keeper.run(f"curl -s -m 2 http://{ADDRESS}/", check=False).rc:
            if not cut and len(board.cut) > before:
                cut = time.monotonic() - began
            if time.monotonic() > began + seconds:
                raise LabError(f"{NAME} does not answer {seconds:.0f} s after {lost.name} died: {self.hosts[-1].run('crm_mon -1rf', check=False).out}")
        answers = time.monotonic() - began
        if board.cut[before:] != [lost.name] or self.place() != 1 - source:
            raise LabError(f"{NAME} answers, and the board has cut {board.cut[before:]}")
        return Failover(cut, answers, other.name)

    def comes_back(self) -> None:
        """The host that was lost starts again, and is a member; the VM stays where it is."""
        lost = next(host for host in self.live.pair if not host.alive())
        lost.power_on()
        lost.run(f"mountpoint -q {FOLDER} || mount {FOLDER}", check=False, timeout=90)
        self.wait_online(self.hosts)
