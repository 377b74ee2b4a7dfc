"""Three hosts form a cluster; a VM that serves a page is moved by it, and survives the death of its host, a host that stands still and the loss of one that is not fenced."""

import time

from lab.cluster import Cluster
from lab.live import NAME, Live
from lab.process import say
from lab.runner import Session, timeout
from lab.service import cluster_package, packages


def _set_up(lab: Session, hosts) -> Cluster:
    live = Live(hosts, lab.tmp)
    build = lab.binary("host/oyad").parent.parent
    deb = packages(build)[0]
    live.install(deb)
    for host in live.pair:
        live.switch(host)
    live.make()
    live.start()
    cluster = Cluster(live)
    cluster.install(deb, cluster_package(build))
    cluster.form()
    return cluster


def _is_moved(cluster: Cluster) -> None:
    boot = cluster.live.boot_id()
    for options in ("", "--quick"):
        told, seen = cluster.move(options)
        say(f"{told} The client: {seen}")
        assert seen.whole(), seen
        assert cluster.live.boot_id() == boot


def _a_host_that_stands_still_is_cut_off(cluster: Cluster, hosts) -> None:
    place = cluster.place()
    frozen, other = cluster.live.pair[place], cluster.live.pair[1 - place]
    frozen.machine.qmp.call("stop")
    cluster.until(f"{NAME} on {other.name}", lambda: f"Started {other.name}" in cluster.told(f"vm-{NAME}"), 300)
    assert hosts.board.cut[-1] == frozen.name and not frozen.alive(), hosts.board.cut
    frozen.kill_host()
    cluster.comes_back()


def _without_fencing_nothing_is_restarted(cluster: Cluster, hosts) -> None:
    place = cluster.place()
    lost, other = cluster.live.pair[place], cluster.live.pair[1 - place]
    hosts.board.stuck.add(lost.name)
    cut = list(hosts.board.cut)
    lost.machine.qmp.call("stop")
    cluster.until("the alarm", lambda: "UNCLEAN" in other.run("crm_mon -1rf").out, 120)
    time.sleep(30)
    assert "running" not in other.run("oya vm list").out, other.run("oya vm list").out
    hosts.board.stuck.clear()
    other.run(f"stonith_admin --reboot {lost.name}", timeout=120)
    cluster.until(f"{NAME} on {other.name}", lambda: f"Started {other.name}" in cluster.told(f"vm-{NAME}"), 300)
    assert hosts.board.cut[len(cut) :] == [lost.name], hosts.board.cut
    lost.kill_host()
    cluster.comes_back()


@timeout(3000)
def test_a_vm_of_a_cluster_survives_its_host(lab: Session) -> None:
    with lab.hosts(3) as hosts:
        cluster = _set_up(lab, hosts)
        cluster.fence()
        cluster.take()
        _is_moved(cluster)
        lost = cluster.lose_host(hosts.board)
        say(f"killed: {lost}")
        cluster.comes_back()
        _a_host_that_stands_still_is_cut_off(cluster, hosts)
        _without_fencing_nothing_is_restarted(cluster, hosts)
