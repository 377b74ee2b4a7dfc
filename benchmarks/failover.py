# SPDX-License-Identifier: GPL-2.0-or-later
"""How soon VMs of a host that dies run elsewhere, beside dummy resources of the same engine.

Each run is a cluster of three hosts in namespaces on this machine (tests/cluster), with two links, token 1000, and
a fence agent that is instant, all alike on both sides; 30 VMs of ours with real workers, or 30 ocf:pacemaker:Dummy.
They are all on one host, which is killed: first one that is not the coordinator, then one that is.

What is started is dated by the file that it makes in its host: `end` of a worker, the state of a dummy.

Then a host is drained that has a VM whose guest counts on its disk, and others that go with it: how long the count
stood still, by a process that looks at the disk on the share. There is no peer: a dummy does not move live.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.common import Context, Figure, RunFailed, Runs, Samples, Side, Skipped, compare, holds

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "system"), str(ROOT / "tests" / "cluster")]

import harness  # noqa: E402
import nodes  # noqa: E402
import vms  # noqa: E402

COUNT = 30
ROUNDS = 20
LIMIT_S = 120.0
LOSS_PERCENT = 5
LOSS_MINUTES = 10
HOME = "home"  # the attribute of the host that has them all
DRAIN_ROUNDS = 20
BESIDE = 4  # VMs that leave beside the one that is watched, two at a time
LOOK_S = 0.0005
OWN_GAP_MS = 5.0  # that the observer may have looked away
PRIORITY = 50


class Dummy:
    """The peer's resource: a file."""

    def __init__(self, cluster: Any, name: str) -> None:
        self.name = name
        self.stamp = f"/run/dummy-{name}.state"

    def xml(self) -> str:
        """Its primitive."""
        identity = f"vm-{self.name}"
        values = vms.nvpairs(identity, {"state": self.stamp})
        ops = f'<op id="{identity}-m" name="monitor" interval="{vms.MONITOR_S}s" timeout="30s"/>'
        return f'<primitive id="{identity}" class="ocf" provider="pacemaker" type="Dummy">{values}<operations>{ops}</operations></primitive>'


class Halted(vms.ClusterVm):
    """Ours: a VM whose guest halts at once."""

    guest_test = "halted"

    def __init__(self, cluster: Any, name: str, *, live: bool = False) -> None:
        super().__init__(cluster, name, guest_test=self.guest_test, live=live)
        self.stamp = f"/run/oya/vm/{self.uuid}/end"


class Counting(Halted):
    """One whose guest counts on its disk."""

    guest_test = "disk-count"


def _paths(ctx: Context) -> None:
    paths = harness.Paths
    paths.oya, paths.oyad = str(ctx.binary("cli/oya")), str(ctx.binary("host/oyad"))
    paths.worker, paths.importer = str(ctx.binary("worker/oya-worker")), str(ctx.binary("import/oya-import"))
    paths.connector, paths.guest = str(ctx.binary("cli/oya-tls")), str(ctx.binary("tests/system/oya-test-guest"))
    paths.resource = str(ctx.binary("cluster/resource/oya-resource"))
    paths.alert = str(ctx.binary("cluster/alert/oya-alert"))


def _started(cluster: Any, resources: list[Any], dead: Any) -> list[float]:
    """When each of them has started on a host that lives, by the clock of this machine; those that have."""
    found = []
    for resource in resources:
        for node in cluster.nodes:
            try:
                found.append(os.stat(node.path(resource.stamp)).st_ctime if node is not dead else None)
            except OSError:
                continue
    return [when for when in found if when is not None]


def _wait(what: str, condition: Any) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end:
            raise RunFailed(f"{what} takes longer than {LIMIT_S:.0f} s")
        time.sleep(0.05)


def _bring_home(cluster: Any, resources: list[Any], node: Any) -> None:
    for other in cluster.nodes:
        node.run("crm_attribute", "--node", other.name, "--name", HOME, "--update", str(int(other is node)))

    def all_there() -> bool:
        return all(os.path.exists(node.path(resource.stamp)) for resource in resources)

    _wait(f"to start all on {node.name}", all_there)
    _wait("the engine's rest", lambda: "S_IDLE" in node.run("crmadmin", "--status", cluster.coordinator(node), fine=False))


def _kill(cluster: Any, resources: list[Any], of_coordinator: bool) -> tuple[float, float]:
    """Seconds from the death of the host that has them all to the first start elsewhere, and from that to the last."""
    coordinator = cluster.coordinator(cluster[1])
    node = next(n for n in cluster.nodes if (n.name == coordinator) == of_coordinator)
    _bring_home(cluster, resources, node)
    died = time.time()
    node.kill()
    _wait("to start all elsewhere", lambda: len(_started(cluster, resources, node)) == len(resources))
    when = sorted(_started(cluster, resources, node))
    fenced = cluster.fenced()[-1]
    if fenced[1] != node.name or fenced[0] > when[0]:
        raise RunFailed(f"started {when[0] - died:.2f} s after the death, but fenced: {fenced}")
    return when[0] - died, when[-1] - when[0]


def _start(cluster: Any, resources: list[Any]) -> None:
    rule = f'<rule id="at-rule" score="100"><expression id="at-e" attribute="{HOME}" operation="eq" value="1"/></rule>'
    location = f'<rsc_location id="at" rsc-pattern="vm-.*">{rule}</rsc_location>'
    cluster.configuration = "".join(r.xml() for r in resources) + "<!-- constraints -->" + location
    vms.start_hosts(cluster)


def _run(kind: type) -> dict[str, float]:
    place = harness.Place()
    try:
        with nodes.Cluster(place, 3, links=2, oyad=kind is Halted, start=False) as cluster:
            resources = [kind(cluster, f"r{number}") for number in range(COUNT)]
            _start(cluster, resources)
            first, spread = _kill(cluster, resources, of_coordinator=False)
            cluster.back_on()
            coordinator, _ = _kill(cluster, resources, of_coordinator=True)
            return {"first": first, "spread": spread, "coordinator": coordinator}
    except (harness.Failed, OSError) as error:
        raise RunFailed(f"{type(error).__name__}: {error}") from None
    finally:
        place.clean()


def _memberships() -> dict[str, float]:
    """How often the membership changes within ten minutes while so much of what arrives is lost."""
    place = harness.Place()
    try:
        with nodes.Cluster(place, 3, links=2, oyad=False) as cluster:
            before = cluster.memberships()
            cluster.lose(LOSS_PERCENT)
            time.sleep(LOSS_MINUTES * 60)
            return {"count": cluster.memberships() - before}
    except (harness.Failed, OSError) as error:
        raise RunFailed(f"{type(error).__name__}: {error}") from None
    finally:
        place.clean()


def _observe(path: str, ends: Any, told: Any) -> None:
    """Sends the longest times in ms in which the count of a disk stood still, and in which nobody looked."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    fd = os.open(path, os.O_RDONLY)
    outage = own = 0.0
    last = looked = changed = 0.0
    count = -1
    while not ends.is_set():
        last, looked = looked, time.monotonic()
        seen = struct.unpack("<Q", os.pread(fd, 8, 0))[0]
        own = max(own, looked - last) if last else own
        if seen != count:
            outage = max(outage, looked - changed) if changed else outage
            count, changed = seen, looked
        time.sleep(LOOK_S)
    told.send((max(outage, looked - changed) * 1000, own * 1000))


def _watched(path: str, act: Any) -> float:
    """The longest time in ms for which the count stood still while act() ran."""
    ends = multiprocessing.Event()
    here, there = multiprocessing.Pipe()
    observer = multiprocessing.Process(target=_observe, args=(path, ends, there), daemon=True)
    observer.start()
    try:
        act()
    finally:
        ends.set()
    outage, own = here.recv()
    observer.join()
    if own > max(OWN_GAP_MS, outage / 10):
        raise RunFailed(f"the observer looked away for {own:.1f} ms, with an outage of {outage:.1f} ms")
    return float(outage)


def _drain() -> dict[str, float]:
    """The outage of a guest whose host is drained; and that of one that is left alone for as long."""
    place = harness.Place()
    try:
        with nodes.Cluster(place, 3, links=2, start=False) as cluster:
            cluster.properties = {"migration-limit": "2"}
            guest = Counting(cluster, "r0", live=True)
            resources = [guest, *(Halted(cluster, f"r{number}", live=True) for number in range(1, BESIDE + 1))]
            _start(cluster, resources)
            _bring_home(cluster, resources, cluster[1])
            guest.wait_on(cluster[1])
            command = (harness.Paths.oya, "host", "drain", "n1")
            began = time.monotonic()
            outage = _watched(guest.disk, lambda: cluster[2].run(*command, seconds=LIMIT_S))
            took = time.monotonic() - began
            guest.wait_on(cluster[2], cluster[3])
            moved = [job["state"] for job in cluster[1].oyad.good("GET", "/v1/jobs")["jobs"] if job["what"] == "migrate"]
            if moved != ["done"] * len(resources):
                raise RunFailed(f"not all went live: {moved}")
            return {"outage": outage, "alone": _watched(guest.disk, lambda: time.sleep(took)), "took": took}
    except (harness.Failed, OSError) as error:
        raise RunFailed(f"{type(error).__name__}: {error}") from None
    finally:
        place.clean()


def _drained(ctx: Context) -> list[Figure]:
    samples = Samples(Side("oya", ["oya", "host", "drain", "n1"], _drain))
    for _ in range(ctx.rounds(DRAIN_ROUNDS)):
        samples.once(keep=True)
        ctx.say(f"oya: drain: {samples.good[-1] if samples.good else samples.failed[-1]}")
    runs = Runs(samples)
    return [
        runs.figure("failover.drain_outage_ms", "ms", "outage", "ours <= 1000", "ours <= 50"),
        runs.figure("failover.drain_alone_ms", "ms", "alone"),
        runs.figure("failover.drain_s", "s", "took"),
    ]


def _worst(runs: Runs, id: str, key: str, bound: str, aim: str) -> Figure:
    """The worst run is what counts."""
    figure = runs.figure(id, "s", key, bound, aim)
    worst = figure.values["max"]
    return dataclasses.replace(figure, values={**figure.values, "ours": worst, "holds": holds(bound, worst, None)})


def run(ctx: Context) -> list[Figure]:
    """The figures."""
    reason = nodes.why_not()
    if reason:
        raise Skipped(reason)
    _paths(ctx)
    engine = ["corosync", "-f", "&&", "pacemakerd", "-f"]
    ours = Side("oya", [*engine, "# ocf:oya:vm", str(ctx.binary("host/oyad"))], lambda: _run(Halted))
    peer = Side("Pacemaker, Dummy", [*engine, "# ocf:pacemaker:Dummy"], lambda: _run(Dummy))
    rounds = ctx.rounds(ROUNDS)
    runs = compare(ours, peer, rounds, warm_up=0, on_run=ctx.say)
    figures = [
        _worst(runs, "failover.first_start_s", "first", "ours <= 3.0", "ours <= 2.6"),
        _worst(runs, "failover.first_start_coordinator_s", "coordinator", "ours <= 5.0", "ours <= 3.0"),
        _worst(runs, "failover.spread_30_s", "spread", "ours <= 1.5", "ours <= 0.5"),
    ]
    figures += _drained(ctx)
    if rounds >= ROUNDS:
        alone = Samples(Side("oya", engine, _memberships))
        alone.once(keep=True)
        figures.append(Runs(alone).figure("failover.false_memberships", "", "count", "ours <= 0", "ours <= 0"))
    return figures
