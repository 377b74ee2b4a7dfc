# SPDX-License-Identifier: GPL-2.0-or-later
"""How soon VMs of a host that dies run elsewhere, beside dummy resources of the same engine.

Each run is a cluster of three hosts in namespaces on this machine (tests/cluster), with two links, token 1000, and
a fence agent that is instant, all alike on both sides; 30 VMs of ours with real workers, or 30 ocf:pacemaker:Dummy.
They are all on one host, which is killed: first one that is not the coordinator, then one that is.

What is started is dated by the file that it makes in its host: `end` of a worker, the state of a dummy.
"""

from __future__ import annotations

import dataclasses
import os
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

    def __init__(self, cluster: Any, name: str) -> None:
        super().__init__(cluster, name, guest_test="halted")
        self.stamp = f"/run/oya/vm/{self.uuid}/end"


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


def _run(kind: type) -> dict[str, float]:
    place = harness.Place()
    try:
        with nodes.Cluster(place, 3, links=2, oyad=kind is Halted, start=False) as cluster:
            resources = [kind(cluster, f"r{number}") for number in range(COUNT)]
            rule = f'<rule id="at-rule" score="100"><expression id="at-e" attribute="{HOME}" operation="eq" value="1"/></rule>'
            location = f'<rsc_location id="at" rsc-pattern="vm-.*">{rule}</rsc_location>'
            cluster.configuration = "".join(r.xml() for r in resources) + "<!-- constraints -->" + location
            vms.start_hosts(cluster)
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
    if rounds >= ROUNDS:
        alone = Samples(Side("oya", engine, _memberships))
        alone.once(keep=True)
        figures.append(Runs(alone).figure("failover.false_memberships", "", "count", "ours <= 0", "ours <= 0"))
    return figures
