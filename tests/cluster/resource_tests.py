# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM as a resource of the cluster: started, watched, and failed over once and only once."""

import os
import signal
import time
import uuid

from harness import Paths, check, test, wait_for
from leases import HELD, write_lease
from nodes import Cluster
from vms import ClusterVm, Watch, start, start_hosts


def cluster_test(name):
    return test(name, suite="cluster")


@cluster_test("a_vm_of_a_host_that_is_killed_runs_once_on_another_after_the_host_was_fenced")
def _(place):
    with Cluster(place, 3, links=2, start=False) as c:
        vm = ClusterVm(c, prefer="n2")
        start(c, vm)
        vm.wait_on(c[2])
        with Watch(vm):
            _, epoch, _ = vm.lease()
            before = vm.count()
            c[2].kill()
            where = vm.wait_on(c[1], c[3])
            check([name for _, name in c.fenced()] == ["n2"], f"fenced: {c.fenced()}")
            state, after, owner = vm.lease()
            check((state, after) == (HELD, epoch + 1), f"the lease is {vm.lease()}, was at epoch {epoch}")
            check(str(owner) == where.oyad.good("GET", "/v1/host")["uuid"], f"it is {owner}'s")
            check(vm.count() > before, "the guest did not go on from where it was")
            check("was held by n2" in where.oyad.errors(), f"no reason is told: {where.oyad.errors()[-600:]}")
            # It comes back, lists nothing, and gets its VM by the engine alone.
            c[2].start()
            c.wait_online(*c.nodes)
            vm.wait_on(c[2])
            check(where.oyad.good("GET", "/v1/vms")["vms"] == [], "it is still listed where it was")
            check(len(c.fenced()) == 1, f"fenced: {c.fenced()}")


@cluster_test("a_worker_that_is_killed_is_started_once_more_by_the_engine_alone")
def _(place):
    with Cluster(place, 2, start=False) as c:
        vm = ClusterVm(c, prefer="n1")
        start(c, vm)
        vm.wait_on(c[1])
        with Watch(vm):
            _, epoch, _ = vm.lease()
            os.kill(vm.worker_pid(), signal.SIGKILL)
            wait_for(lambda: vm.workers() == [], "the worker lives")
            vm.wait_on(c[1])
            state, after, _ = vm.lease()
            check((state, after) == (HELD, epoch + 2), f"freed and taken once: {epoch}, then {after}")
            check(c.failures("vm-web", "n1") == 1, c.told())
            shown = c[1].oyad.vm("web")
            check(shown["state"] == "running", f"{shown}")
        # oyad may come and go meanwhile: its VMs are running.
        worker = vm.worker_pid()
        c[1].oyad.kill()
        time.sleep(3 * 2)  # monitors pass
        check(vm.worker_pid() == worker and c.failures("vm-web", "n1") == 1, c.told())
        c[1].oyad.start()
        c[1].oyad.wait_state("web", "running")
        for method, path, body in (
            ("POST", "/v1/vms/web/start", None),
            ("DELETE", "/v1/vms/web", None),
            ("POST", "/v1/vms/web/migrate", {"host": "10.77.0.2:7070", "fingerprint": "0" * 64, "token": "x"}),
        ):
            c[1].oyad.refused(method, path, body, 409, "the cluster decides that")
        check(vm.worker_pid() == worker, "its worker is another one")


@cluster_test("a_vm_that_the_engine_moves_is_stopped_as_its_settings_say_and_started_there")
def _(place):
    with Cluster(place, 2, start=False) as c:
        vm = ClusterVm(c)
        start(c, vm)
        here = vm.wait_on(*c.nodes)
        with Watch(vm):
            for _ in range(2):
                there = c[3 - here.number]
                c[1].run("crm_resource", "--resource", "vm-web", "--move", "--node", there.name)
                vm.wait_on(there)
                check(here.oyad.good("GET", "/v1/vms")["vms"] == [], "it is listed where it was")
                c[1].run("crm_resource", "--resource", "vm-web", "--clear")
                here = there
        check(c.fenced() == [] and c.failures("vm-web", "n1") == 0, c.told())


@cluster_test("a_host_that_stands_still_is_fenced_and_its_vm_runs_on_another")
def _(place):
    with Cluster(place, 3, start=False) as c:
        vm = ClusterVm(c, prefer="n3")
        start(c, vm)
        vm.wait_on(c[3])
        with Watch(vm):
            c[3].freeze()
            vm.wait_on(c[1], c[2])
            check([name for _, name in c.fenced()] == ["n3"] and not c[3].lives(), f"fenced: {c.fenced()}")
            c[3].went()


@cluster_test("a_host_that_cannot_be_fenced_keeps_its_vm_and_the_engine_says_so")
def _(place):
    with Cluster(place, 3, start=False) as c:
        vm = ClusterVm(c, prefer="n1")
        start(c, vm)
        vm.wait_on(c[1])
        switch = os.path.join(c.power, "n1.stuck")
        with open(switch, "w", encoding="ascii"):
            pass
        with Watch(vm):
            c[1].freeze()
            wait_for(lambda: "UNCLEAN" in c.told() and "Failed Fencing" in c.told(), f"no alarm: {c.told()}", 30)
            _, epoch, _ = vm.lease()
            time.sleep(10)  # in which nothing is to happen
            check(vm.workers(thawed=False) == ["n1"], f"workers on {vm.workers(thawed=False)}")
            check(vm.lease()[1] == epoch and c.fenced() == [], f"{vm.lease()} {c.fenced()}")
            os.unlink(switch)
            c[2].run("stonith_admin", "--reboot", "n1", seconds=60)
            vm.wait_on(c[2], c[3])
            c[1].went()


@cluster_test("an_even_split_and_cuts_of_one_way_leave_one_writer_at_most")
def _(place):
    with Cluster(place, 4, start=False) as c:
        vm = ClusterVm(c)
        start(c, vm)
        vm.wait_on(*c.nodes)
        with Watch(vm):
            c.split(c.nodes[:2], c.nodes[2:])
            # Neither half has a quorum: both stop what they have, and neither fences.
            wait_for(lambda: vm.workers() == [], f"it runs without a quorum: {c.told()}", 40)
            check(c.fenced() == [], f"fenced: {c.fenced()}")
            c.heal()
            for deaf in (True, False):
                here = vm.wait_on(*c.nodes, seconds=90)
                others = [node for node in c.nodes if node is not here]
                c.cut([here], others) if deaf else c.cut(others, [here])
                time.sleep(8)  # whatever it comes to, the watch looks
                c.heal()
                c.back_on()
            vm.wait_on(*c.nodes, seconds=90)


@cluster_test("a_lease_of_a_host_that_was_not_fenced_is_not_taken_and_the_engine_says_whose_it_is")
def _(place):
    stranger = uuid.uuid4()
    with Cluster(place, 2, start=False) as c:
        vm = ClusterVm(c, prefer="n1", initially="Stopped")
        start(c, vm)
        path = os.path.join(vm.folder, "lease")
        other = uuid.UUID(c[2].oyad.good("GET", "/v1/host")["uuid"])
        for owner, sentence in ((other, "n2 holds its lease, and it is online"), (stranger, f"the host {stranger} is no member")):
            write_lease(path, uuid.UUID(vm.uuid), HELD, 7, owner)
            c[1].run("crm_resource", "--ban", "--resource", "vm-web", "--node", "n2")
            c[1].run("crm_resource", "--resource", "vm-web", "--meta", "--set-parameter", "target-role", "--parameter-value", "Started")
            wait_for(lambda s=sentence: s in c.told(), f"it is not told: {c.told()}", 30)
            check(vm.lease() == (HELD, 7, owner) and vm.workers() == [], f"{vm.lease()}")
            check(c[1].oyad.good("GET", "/v1/vms")["vms"] == [], "it is listed")
            c[1].run("crm_resource", "--resource", "vm-web", "--meta", "--set-parameter", "target-role", "--parameter-value", "Stopped")
            c[1].run("crm_resource", "--cleanup", "--resource", "vm-web")
        os.unlink(path)  # what the sentence says, once that is sure
        c[1].run("crm_resource", "--resource", "vm-web", "--meta", "--set-parameter", "target-role", "--parameter-value", "Started")
        vm.wait_on(c[1])


@cluster_test("a_vm_that_runs_becomes_the_clusters_without_a_stop_and_is_taken_out_again")
def _(place):
    with Cluster(place, 2, start=False) as c:
        vm = ClusterVm(c, live=True)
        c.configuration = ""
        c[1].own_vm(vm.name, vm.folder)
        start_hosts(c)
        vm.wait_on(c[1])
        worker = vm.worker_pid()
        with Watch(vm):
            c[1].run(Paths.oya, "vm", "cluster", "web", "--preferred", "n2,n1", "--possible", "n1,n2", "--priority", "high", "--restart", "2/30m")
            wait_for(lambda: c.where("vm-web") == ["n1"], f"the engine does not have it: {c.told()}", 20)
            check(vm.worker_pid() == worker and c[1].oyad.vm("web")["clustered"], "it does not go on")
            check("decides where it runs" in c[1].run(Paths.oya, "vm", "show", "web"), "it is not shown")
            c[1].run(Paths.oya, "vm", "cluster", "web", "--failback", "--preferred", "n2")
            vm.wait_on(c[2])
            wait_for(lambda: c[1].oyad.good("GET", "/v1/vms")["vms"] == [], "it is listed where it was", 20)
            c[2].run(Paths.oya, "vm", "cluster", "web", "--remove", seconds=60)
        check(c[2].oyad.vm("web")["state"] == "off" and not c[2].oyad.vm("web")["clustered"], f"{c[2].oyad.vm('web')}")
        check("vm-web" not in c.told() and "vm-web" not in c[1].run("cibadmin", "--query", "--scope", "configuration"), c.told())
        c[2].oyad.done("POST", "/v1/vms/web/start")
        vm.wait_on(c[2])
        c[2].oyad.refused("DELETE", "/v1/vms/web/cluster", None, 409, "is in no cluster")


@cluster_test("a_vm_that_is_saved_as_it_is_stopped_goes_on_where_the_engine_moves_it")
def _(place):
    with Cluster(place, 2, start=False) as c:
        vm = ClusterVm(c, stop="save")
        start(c, vm)
        here = vm.wait_on(*c.nodes)
        with Watch(vm):
            there = c[3 - here.number]
            c[1].run("crm_resource", "--resource", "vm-web", "--move", "--node", there.name)
            vm.wait_on(there)
        check("the VM 'web' is saved" in here.oyad.errors(), f"it was not saved: {here.oyad.errors()[-400:]}")
        check(not os.path.exists(os.path.join(vm.folder, "saved.state")), "its state is not used up")


@cluster_test("what_the_cluster_cannot_take_is_refused_with_the_reason")
def _(place):
    with Cluster(place, 1, engine=False) as c:
        d = c[1].oyad
        d.make("own")
        way = "/v1/vms/own/cluster"
        d.refused("POST", way, {}, 409, "as they run; the VM 'own' is off")
        for body, sentence in (
            ({"preferred": ["a b"]}, "'a b', which is no name of a host"),
            ({"possible": [f"h{n}" for n in range(17)]}, "allowed are 16"),
            ({"priority": "highest"}, "'priority'"),
            ({"restart": {"most": -1}}, "'most'"),
            ({"restart": {"within": 0}}, "'within'"),
            ({"more": 1}, "'more'"),
        ):
            status, _, answer = d.ask("POST", way, body)
            check(status == 400 and sentence in answer["detail"], f"{body}: {status} {answer}")
        d.done("POST", "/v1/vms/own/start")
        d.refused("POST", way, {}, 409, "its folder is this host's alone")
        vm = ClusterVm(c)
        c[1].own_vm(vm.name, vm.folder)
        d.done("POST", "/v1/vms/own/stop", {"off": True})
        d.end()
        c[1].start_oyad()
        d = c[1].oyad
        d.done("POST", "/v1/vms/web/start")
        d.refused("POST", "/v1/vms/web/cluster", {}, 409, "cibadmin failed")  # there is no engine
        check(not d.vm("web")["clustered"] and not os.path.exists(os.path.join(vm.folder, "clustered")), "a mark is left")
        body = {"uuid": vm.uuid, "folder": vm.folder}
        d.refused("POST", "/v1/clustered/web/start", {**body, "uuid": str(uuid.uuid4())}, 409, "has another UUID")
        d.refused("POST", "/v1/clustered/web/start", {**body, "folder": "/nowhere"}, 409, "/nowhere")
        d.refused("POST", "/v1/clustered/web/start", {**body, "folder": "x"}, 400, "'folder'")
        d.good("POST", "/v1/clustered/other/stop", {"uuid": vm.uuid}, 204)
        # An engine that was told of it by its own tools finds it running.
        d.good("POST", "/v1/clustered/web/start", body, 204)
        check(d.vm("web")["clustered"] and d.vm("web")["state"] == "running", f"{d.vm('web')}")
        d.good("POST", "/v1/clustered/web/stop", {"uuid": vm.uuid}, 204)
        check([v["name"] for v in d.good("GET", "/v1/vms")["vms"]] == ["own"], "it is still listed")


@cluster_test("a_vm_that_the_engine_moves_live_runs_on_there_by_the_certificates_of_the_hosts")
def _(place):
    with Cluster(place, 2, start=False) as c:
        vm = ClusterVm(c, live=True)
        start(c, vm)
        here = vm.wait_on(*c.nodes)
        for _ in range(2):
            there = c[3 - here.number]
            worker, before = vm.worker_pid(), vm.count()
            c[1].run("crm_resource", "--resource", "vm-web", "--move", "--node", there.name)
            vm.wait_on(there)
            check(vm.worker_pid() != worker and vm.count() > before, "it is the same worker")
            wait_for(lambda h=here: h.oyad.good("GET", "/v1/vms")["vms"] == [], "it is listed where it was", 20)
            check(there.oyad.vm("web")["clustered"], "nobody there knows whose it is")
            done = [job for job in here.oyad.good("GET", "/v1/jobs")["jobs"] if job["what"] == "migrate"]
            check(done and done[-1]["state"] == "done", f"it did not move live: {done}")
            wait_for(lambda t=there: c.where("vm-web") == [t.name], f"the engine has it elsewhere: {c.told()}", 20)
            c[1].run("crm_resource", "--resource", "vm-web", "--clear")
            here = there
        check(c.fenced() == [], f"fenced: {c.fenced()}")


@cluster_test("a_vm_of_the_cluster_goes_where_its_user_sends_it_live_or_standing_still_and_stays_there")
def _(place):
    with Cluster(place, 2, start=False) as c:
        vm = ClusterVm(c, live=True)
        start(c, vm)
        here = vm.wait_on(*c.nodes)
        with Watch(vm):
            for quick in (False, True):
                there = c[3 - here.number]
                before = vm.count()
                told = here.run(Paths.oya, "vm", "migrate", "web", there.name, *(["--quick"] if quick else []), seconds=60)
                check(f"The VM 'web' runs on {there.name}; it stood still for" in told, told)
                check(vm.wait_on(there) is there and vm.count() > before, "its guest has not gone on")
                jobs = here.oyad.good("GET", "/v1/jobs")["jobs"]
                check([job["state"] for job in jobs if job["what"] == "cluster-move"][-1] == "done", f"{jobs}")
                check("cli-prefer" not in c[1].run("cibadmin", "--query", "--scope", "constraints"), "it is bound there")
                here = there
            other = c[3 - here.number]
            here.oyad.refused("POST", "/v1/vms/web/migrate", {"node": "n9"}, 404, "is no member of this host's cluster")
            # The engine says no where it may not run, and it stays where it is.
            never = f'<rsc_location id="never" rsc="vm-web" node="{other.name}" score="-INFINITY"/>'
            c[1].run("cibadmin", "--create", "--scope", "constraints", "--xml-text", never)
            job = here.oyad.job("POST", "/v1/vms/web/migrate", {"node": other.name})
            check(job["state"] == "failed" and f"has not moved to {other.name}" in job["problem"], f"{job}")
            check(vm.workers() == [here.name], f"workers on {vm.workers()}")
        check(c.fenced() == [], f"fenced: {c.fenced()}")
