# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts that are drained and resumed by oya's commands: VMs leave live and come back, whoever dies meanwhile."""

import json
import os

from harness import Paths, check, test, wait_for
from nodes import Cluster
from vms import ClusterVm, Watch, start


def drain_test(name):
    return test(name, suite="cluster")


def oya(node, *arguments, seconds=240):
    """What the command says on a host, its notes too; it has to succeed."""
    return node.run("sh", "-c", '"$@" 2>&1', "sh", Paths.oya, *arguments, seconds=seconds)


def refused(node, *arguments):
    """What the command says, which has to fail."""
    return node.run("sh", "-c", '! "$@" 2>&1', "sh", Paths.oya, *arguments, seconds=240)


def has(text, *sentences):
    for sentence in sentences:
        check(sentence in text, f"{sentence!r} is not in {text!r}")


def ended(node, job):
    """The job of a host as it is in the end."""
    return wait_for(lambda: node.oyad.ended(job), f"job {job} has no end", 120)


def state(cluster, name):
    """A host, as the cluster has it."""
    shown = cluster[3 if len(cluster.nodes) > 2 else 1].oyad.good("GET", "/v1/cluster")
    return next(member for member in shown["members"] if member["name"] == name)


def keep_off(cluster, vm, *names):
    """The VM may not run on these hosts."""
    rules = "".join(f'<rsc_location id="off-{vm.name}-{n}" rsc="vm-{vm.name}" node="{n}" score="-INFINITY"/>' for n in names)
    cluster[1].run("cibadmin", "--modify", "--allow-create", "--xml-text", f"<constraints>{rules}</constraints>")


@drain_test("vms_leave_a_host_that_is_drained_as_the_plan_says_and_come_back_by_their_policy")
def _(place):
    with Cluster(place, 3, start=False) as c:
        c.properties = {"migration-limit": "2"}
        web, db = ClusterVm(c, prefer="n1", live=True), ClusterVm(c, "db", prefer="n1", stop="save")
        start(c, web, db)
        for vm in (web, db):
            vm.wait_on(c[1])
        c[1].oyad.make("own", "halted")
        plan = oya(c[2], "host", "drain", "n1", "--dry-run")
        has(plan, "live", "saved, and goes on there", "Not the cluster's, and stay: own (off)", "POST /v1/cluster/members/n1/drain")
        check(not state(c, "n1")["standby"], "a dry run has changed something")
        told = json.JSONDecoder().raw_decode(oya(c[2], "host", "drain", "n1", "--dry-run", "-o", "json"))[0]
        check({vm["name"]: vm["way"] for vm in told["vms"]} == {"web": "live", "db": "saved"}, f"{told}")
        with Watch(web, db):
            counts = web.count(), db.count()
            said = oya(c[2], "host", "drain", "n1")
            has(said, "the VM 'own' is not the cluster's and stays on n1: it is off", "of 2 VMs have moved", "The host is drained")
            for vm in (web, db):
                vm.wait_on(c[2], c[3])
            check(web.count() > counts[0] and db.count() > counts[1], "a guest does not go on")
            moved = [job for job in c[1].oyad.good("GET", "/v1/jobs")["jobs"] if job["what"] == "migrate"]
            check([(job["vm"], job["state"]) for job in moved] == [("web", "done")], f"{moved}")
            has(c[1].oyad.errors(), "the VM 'db' is saved")
            check([vm["name"] for vm in c[1].oyad.good("GET", "/v1/vms")["vms"]] == ["own"], "they are listed where they were")
            has(oya(c[3], "cluster", "status"), "drained")
            has(oya(c[1], "host", "drain", "n1"), "The cluster runs no VM there")
            has(oya(c[2], "host", "resume", "n1"), "takes VMs again")
            for vm in (web, db):
                vm.wait_on(c[1])
            check(not state(c, "n1")["standby"], "it is still drained")
        has(refused(c[2], "host", "resume", "n1"), "the host 'n1' is not drained")
        has(refused(c[2], "host", "drain", "n9"), "has no host 'n9'")


@drain_test("vms_that_were_drained_stay_where_they_are_or_come_back_when_that_is_asked")
def _(place):
    with Cluster(place, 2, start=False) as c:
        vm = ClusterVm(c, live=True)
        start(c, vm)
        home = vm.wait_on(*c.nodes)
        away = c[3 - home.number]
        with Watch(vm):
            oya(away, "host", "drain", home.name)
            vm.wait_on(away)
            oya(away, "host", "resume", home.name)
            vm.wait_on(away)
            oya(home, "host", "drain", away.name)
            vm.wait_on(home)
            has(oya(home, "host", "resume", away.name, "--failback", "immediate"), f"'web' runs on {away.name}: 1 of 1 VMs are back")
            vm.wait_on(away)
        check("oya-return" not in c[1].run("cibadmin", "--query"), "it is still drawn")
        check(c.fenced() == [], f"fenced: {c.fenced()}")


@drain_test("a_vm_that_can_go_nowhere_is_told_before_anything_changes_and_a_forced_drain_outlives_the_host")
def _(place):
    with Cluster(place, 3, start=False) as c:
        vm = ClusterVm(c, prefer="n1", live=True)
        start(c, vm)
        vm.wait_on(c[1])
        keep_off(c, vm, "n2", "n3")
        has(oya(c[2], "host", "drain", "n1", "--dry-run"), "can go NOWHERE")
        with Watch(vm):
            has(refused(c[2], "host", "drain", "n1"), "the VM 'web' can run on no other host now", "--force")
            check(not state(c, "n1")["standby"], "it is drained")
            vm.wait_on(c[1])
            oya(c[2], "host", "drain", "n1", "--force")
            check(vm.workers() == [] and state(c, "n1")["standby"], f"it runs on {vm.workers()}")
            c[1].kill()
            wait_for(lambda: [name for _, name in c.fenced()] == ["n1"], f"not fenced: {c.told()}", 60)
            c[1].start()
            c.wait_online(*c.nodes)
            check(vm.workers() == [] and state(c, "n1")["standby"], "a restart has ended it")
            oya(c[2], "host", "resume", "n1")
            vm.wait_on(c[1])


@drain_test("a_drain_that_is_cancelled_ends_the_standby")
def _(place):
    with Cluster(place, 2, start=False) as c:
        vm = ClusterVm(c, live=True)
        start(c, vm)
        home = vm.wait_on(*c.nodes)
        with Watch(vm):
            way = f"/v1/cluster/members/{home.name}/drain"
            job = home.oyad.good("POST", way, None, 202)
            home.oyad.refused("POST", way, None, 409, f"job {job['id']}")
            home.oyad.good("DELETE", f"/v1/jobs/{job['id']}", None, 204)
            told = ended(home, job["id"])
            check(told["state"] == "failed" and "was cancelled" in told["problem"], f"{told}")
            check(not state(c, home.name)["standby"], "it is still drained")
            vm.wait_on(*c.nodes)


@drain_test("a_move_that_fails_is_told_with_its_reason")
def _(place):
    with Cluster(place, 2, start=False) as c:
        vm = ClusterVm(c, prefer="n1", live=True)
        start(c, vm)
        vm.wait_on(c[1])
        with Watch(vm):
            strange = c[2].path("/var/lib/oya/vms/web")
            os.mkdir(strange)  # in the way of it
            said = refused(c[1], "host", "drain", "n1")
            has(said, "the VM 'web' could not go live from n1: ", "runs nowhere", "'oya host resume n1'")
            os.rmdir(strange)
            oya(c[1], "host", "resume", "n1")
            vm.wait_on(c[1])


@drain_test("a_drain_goes_on_when_the_coordinator_dies_amid_it")
def _(place):
    with Cluster(place, 3, start=False) as c:
        c.properties = {"migration-limit": "1"}
        vms = [ClusterVm(c, f"vm{number}", live=True) for number in range(3)]
        start(c, *vms)
        coordinator = c.node(c.coordinator())
        home, other = [node for node in c.nodes if node is not coordinator]
        for vm in vms:
            keep = f'<rsc_location id="at-{vm.name}" rsc="vm-{vm.name}" node="{home.name}" score="500"/>'
            home.run("cibadmin", "--modify", "--allow-create", "--xml-text", f"<constraints>{keep}</constraints>")
        for vm in vms:
            vm.wait_on(home)
        with Watch(*vms):
            before = [vm.count() for vm in vms]
            job = other.oyad.good("POST", f"/v1/cluster/members/{home.name}/drain", None, 202)["id"]
            wait_for(lambda: other.oyad.good("GET", f"/v1/jobs/{job}").get("log"), "nothing moves", 60)
            coordinator.kill()
            for vm in vms:
                vm.wait_on(other, seconds=120)
            check(all(vm.count() > count for vm, count in zip(vms, before)), "a guest does not go on")
            told = ended(other, job)
            check(told["state"] == "done", f"{told}")
            check([name for _, name in c.fenced()] == [coordinator.name], f"fenced: {c.fenced()}")
            status = other.oyad.good("GET", "/v1/cluster")
            check(any(m["name"] == home.name and m["standby"] for m in status["members"]), f"{status}")
