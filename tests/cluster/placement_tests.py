# SPDX-License-Identifier: GPL-2.0-or-later
"""Places of VMs: what is kept for the loss of a host, who is placed first, and balance; with the engine's simulator."""

import json

from harness import Paths, check, test, wait_for
from join_tests import oya, refused
from nodes import Cluster
from vms import ClusterVm, Watch, start_hosts


def place_test(name):
    return test(name, suite="cluster")


def survival(cluster):
    return cluster[1].oyad.good("GET", "/v1/cluster/survival")


def told(cluster):
    """Until the engine counts memory, which it does once all hosts have told theirs."""
    wait_for(lambda: survival(cluster)["survives"] is not None, "hosts do not tell what they have", 60)


def begin(cluster, homes, memory_mib, *options):
    """All hosts with so much for VMs, which run where `homes` says, and are not the cluster's yet."""
    cluster.options = ("--memory", str(memory_mib), *options)
    cluster.configuration = ""
    for vm, number in homes.items():
        cluster[number].own_vm(vm.name, vm.folder)
    start_hosts(cluster)
    for vm, number in homes.items():
        vm.wait_on(cluster[number])
    told(cluster)


def join(cluster, vm, number, *options):
    """It becomes the cluster's, and the engine has found it where it runs."""
    oya(cluster[number], "vm", "cluster", vm.name, *options)
    wait_for(lambda: cluster.where(f"vm-{vm.name}") == [f"n{number}"], f"it is not found: {cluster.told()}", 30)


@place_test("a_vm_that_takes_what_is_kept_for_the_loss_of_a_host_is_refused_unless_it_is_forced")
def _(place):
    with Cluster(place, 3, start=False) as c:
        one, two, three = (ClusterVm(c, name, live=True) for name in ("one", "two", "three"))
        big = ClusterVm(c, "big", live=True, memory_mib=128)
        # There is room for one VM on each.
        begin(c, {one: 1, two: 2, three: 3, big: 3}, 100, "--tag", "ssd")
        check(survival(c)["survives"] is True, f"{survival(c)}")
        with Watch(one, two, three):
            join(c, one, 1, "--needs", "ssd")
            join(c, two, 2)
            check("Survives the loss of any one host: yes" in oya(c[1], "cluster", "status"), "it does not survive")
            refused(c[3], "kept for the loss of a host: VM", "vm", "cluster", "three")
            refused(c[3], "VM big (128 MiB) would fit nowhere", "vm", "cluster", "big", "--force")
            refused(c[1], "VM one (64 MiB) would fit nowhere", "vm", "cluster", "one", "--needs", "gpu", "--force")
            check(not c[3].oyad.vm("three")["clustered"] and not c[3].oyad.vm("big")["clustered"], "a mark is left")
            join(c, three, 3, "--force")
            said = oya(c[2], "cluster", "status")
            check("(64 MiB) fits nowhere when n" in said and "Survives the loss of any one host: NO: because VM" in said, said)
            check(json.loads(oya(c[2], "cluster", "status", "-o", "json"))["survival"]["survives"] is False, "not in JSON")
            # What was not survived before refuses nothing any more.
            oya(c[1], "vm", "cluster", "one", "--priority", "high")
        check(c.fenced() == [], c.told())


@place_test("a_vm_of_the_cluster_is_stopped_and_started_and_what_others_say_of_it_becomes_true_again")
def _(place):
    with Cluster(place, 2, start=False) as c:
        one, two = (ClusterVm(c, name, live=True) for name in ("one", "two"))
        begin(c, {one: 1, two: 2}, 100)
        with Watch(one, two):
            join(c, one, 1)
            join(c, two, 2, "--force")
            oya(c[1], "cluster", "stop", "two")
            wait_for(lambda: two.workers() == [], f"it is not stopped: {c.told()}", 60)
            refused(c[2], "the cluster cannot start the VM 'two': that would take", "cluster", "start", "two")
            refused(c[2], "crm_resource", "cluster", "start", "other")
            oya(c[2], "cluster", "start", "two", "--force")
            two.wait_on(*c.nodes, seconds=60)
            c[1].run("crm_resource", "--resource", "vm-one", "--utilization", "--set-parameter", "memory", "--parameter-value", "1", seconds=60)
            wait_for(lambda: 'name="memory" value="1"' not in c[1].run("cibadmin", "--query", seconds=60), "it stays wrong", 60)
        check(one.workers() == ["n1"] and c.fenced() == [], c.told())


@place_test("the_vm_of_the_lowest_priority_is_the_one_without_a_place_when_a_host_dies")
def _(place):
    with Cluster(place, 3, start=False) as c:
        high, low, normal = (ClusterVm(c, name, live=True) for name in ("high", "low", "normal"))
        begin(c, {high: 1, low: 2, normal: 3}, 100)
        join(c, low, 2, "--priority", "low")
        join(c, normal, 3)
        join(c, high, 1, "--priority", "high", "--force")
        with Watch(high, low, normal):
            reasons = {loss["host"]: loss["reason"] for loss in survival(c)["losses"]}
            check(reasons["n1"] == "VM low (64 MiB) fits nowhere when n1 is lost", f"{reasons}")
            c[1].kill()
            high.wait_on(c[2], c[3], seconds=60)
            normal.wait_on(c[2], c[3], seconds=60)
            wait_for(lambda: low.workers() == [], f"low runs: {c.told()}", 40)
            c[1].start()
            c.wait_online(*c.nodes, seconds=90)
            low.wait_on(*c.nodes, seconds=60)
        check([name for _, name in c.fenced()] == ["n1"], f"fenced: {c.fenced()}")


@place_test("balance_tells_its_moves_and_moves_vms_live_until_none_is_worth_it")
def _(place):
    with Cluster(place, 3, start=False) as c:
        vms = [ClusterVm(c, name, live=True) for name in ("one", "two", "three", "four")]
        begin(c, {vm: 1 for vm in vms}, 300)
        for vm in vms:
            join(c, vm, 1)
        wanted = c[2].oyad.good("GET", "/v1/cluster/balance")["moves"]
        check(len(wanted) == 2 and {m["to"] for m in wanted} == {"n2", "n3"}, f"{wanted}")
        check("n1 has 44 MiB free" in wanted[0]["reason"], f"{wanted}")
        said = oya(c[2], "cluster", "balance", "--dry-run")
        check("44 MiB free" in said and "POST /v1/cluster/balance" in said, said)
        check([len(vm.workers()) for vm in vms] == [1] * 4 and {vm.workers()[0] for vm in vms} == {"n1"}, "one has moved")
        before = {vm: vm.count() for vm in vms}
        with Watch(*vms):
            oya(c[2], "cluster", "balance")
        homes = {vm.name: vm.wait_on(*c.nodes).name for vm in vms}
        check(homes == {**{vm.name: "n1" for vm in vms}, **{m["vm"]: m["to"] for m in wanted}}, f"{homes}, not {wanted}")
        done = [job for job in c[1].oyad.good("GET", "/v1/jobs")["jobs"] if job["what"] == "migrate"]
        check([job["state"] for job in done] == ["done"] * 2, f"they did not move live: {done}")
        check(all(vm.count() > before[vm] for vm in vms), "one has begun anew")
        check("cli-prefer" not in c[1].run("cibadmin", "--query"), "a rule of the move is left")
        check("No move is worth it" in oya(c[3], "cluster", "balance"), "there is another one")
        job = [job for job in c[2].oyad.good("GET", "/v1/jobs")["jobs"] if job["what"] == "balance-cluster"][-1]
        check(job["state"] == "done" and len(job["log"]) == 2, f"{job}")
