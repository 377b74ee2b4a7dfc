# SPDX-License-Identifier: GPL-2.0-or-later
"""What `oya vm cluster` has the engine do with a VM: groups that stay apart, times for going back, probes of guests,
changes in one step, and a live move that fails."""

import os
import sys
import time
import xml.etree.ElementTree as ET

from harness import Paths, check, wait_for
from nodes import Cluster
from resource_tests import cluster_test
from vms import ClusterVm, Watch, start_hosts

PORT = 8099  # of the service that stands for one in a guest
SERVICE = """
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204 if self.path == "/health" else 503)
        self.end_headers()
http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Page).serve_forever()
"""


def start_own(cluster, *names, on=1):
    """Hosts, with VMs that are one host's own and run there; the VMs."""
    vms = [ClusterVm(cluster, name=name, live=True) for name in names]
    for vm in vms:
        cluster[on].own_vm(vm.name, vm.folder)
    start_hosts(cluster)
    for vm in vms:
        vm.wait_on(cluster[on])
    return vms


def place(node, vm, *options):
    """`oya vm cluster`; what it prints."""
    return node.run(Paths.oya, "vm", "cluster", vm.name, *options, seconds=60)


def joined(cluster, node, vm, *options):
    """The same, until the engine has it where it runs."""
    place(node, vm, *options)
    wait_for(lambda: cluster.where(f"vm-{vm.name}"), f"the engine does not have it: {cluster.told()}", 30)


def set_at(node, vm):
    """What the API shows as set."""
    return node.oyad.good("GET", f"/v1/vms/{vm.name}/cluster")


def refused(node, vm, body, sentence):
    status, _, answer = node.oyad.ask("POST", f"/v1/vms/{vm.name}/cluster", body)
    check(status == 409 and sentence in answer["detail"], f"{body}: {status} {answer}")


def clock(minutes):
    """The time of the day so many minutes after 0:00."""
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"


def minute():
    """Of the day, now."""
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min


def epoch(node):
    """Grows by one with each change of the engine's configuration."""
    return int(ET.fromstring(node.run("cibadmin", "--query")).get("epoch"))


@cluster_test("vms_of_a_group_are_never_on_one_host_and_one_too_many_is_refused")
def _(place_):
    with Cluster(place_, 3, start=False) as c:
        a, b, d, e = start_own(c, "a", "b", "d", "e")
        with Watch(a, b, d, e):
            joined(c, c[1], a, "--anti-affinity", "db", "--possible", "n1,n2")
            joined(c, c[1], b, "--anti-affinity", "db", "--possible", "n1,n2")
            wait_for(lambda: len({*a.workers(), *b.workers()}) == 2, f"they are not apart: {c.told()}", 60)
            joined(c, c[1], d, "--anti-affinity", "db")
            d.wait_on(c[3], seconds=60)
            at = {vm: vm.wait_on(c[1], c[2]) for vm in (a, b)}
            shown = set_at(at[a], a)
            check(shown["anti_affinity"] == "db" and set(shown["apart_from"]) == {"b", "d"}, f"{shown}")
            refused(c[1], e, {"anti_affinity": "db"}, "this one, and the cluster has 3 hosts: one of them would run nowhere")
            check(not c[1].oyad.vm("e")["clustered"], "a mark is left")
            joined(c, c[1], e, "--prefer-apart", "db")
            check(set_at(c[1], e)["prefer_apart"] == "db", f"{set_at(c[1], e)}")
        stays, lost = (a, b) if at[b] is c[2] else (b, a)
        with Watch(a, b, d):
            c[2].kill()
            wait_for(lambda: "n2" in [name for _, name in c.fenced()], f"it is not fenced: {c.told()}", 40)
            time.sleep(5)  # in which it is not to be started beside another
            check(lost.workers() == [] and stays.workers() == ["n1"], f"{lost.name} runs beside another: {c.told()}")
            c[2].start()
            c.wait_online(*c.nodes)
            lost.wait_on(c[2], seconds=60)
            # It leaves the group; the last one takes that along.
            place(c[2], lost, "--priority", "high")
            check("anti_affinity" not in set_at(c[2], lost), f"{set_at(c[2], lost)}")
            place(c[3], d, "--priority", "high")
            xml = c[1].run("cibadmin", "--query", "--xpath", "//rsc_colocation[@id='apart-db']")
            check(xml.count("<resource_ref") == 1, xml)
        place(c[1], stays, "--remove")
        check('"apart-db"' not in c[1].run("cibadmin", "--query", "--scope", "constraints"), "an empty group is left")


@cluster_test("a_vm_goes_back_within_its_time_of_the_day_alone_and_what_others_set_is_shown")
def _(place_):
    with Cluster(place_, 2, start=False) as c:
        c.properties = {"cluster-recheck-interval": "10s"}
        (vm,) = start_own(c, "web")
        with Watch(vm):
            window = f"{clock(minute() + 300)}-{clock(minute() + 340)}"
            joined(c, c[1], vm, "--preferred", "n2", "--failback", window)
            time.sleep(15)  # the engine looks meanwhile
            check(vm.workers() == ["n1"], f"it went at once: {c.told()}")
            check(set_at(c[1], vm)["failback"] == window, f"{set_at(c[1], vm)}")
            # What Pacemaker's own tools have changed is told, and not taken back.
            c[1].run("crm_resource", "--resource", "vm-web", "--meta", "--set-parameter", "priority", "--parameter-value", "15")
            c[1].run("crm_resource", "--resource", "vm-web", "--meta", "--set-parameter", "is-managed", "--parameter-value", "true")
            c[1].run("crm_resource", "--ban", "--resource", "vm-web", "--node", "n2")
            told = set_at(c[1], vm)["others"]
            check({"priority is 15", "is-managed is true", "cli-ban-vm-web-on-n2: -INFINITY on n2"} == set(told), f"{told}")
            check("is-managed is true" in place(c[1], vm), place(c[1], vm))
            c[1].run("crm_resource", "--clear", "--resource", "vm-web")
            begins = minute() + 1
            place(c[1], vm, "--preferred", "n2", "--failback", f"{clock(begins)}-{clock(begins + 60)}")
            check(set_at(c[1], vm)["others"] == ["is-managed is true"], f"{set_at(c[1], vm)}")
            vm.wait_on(c[2], seconds=120)
            check((minute() - begins) % 1440 < 720, "it went before its time")
            check(c.failures("vm-web", "n1") == 0, c.told())


@cluster_test("a_change_of_places_is_one_step_of_the_engine")
def _(place_):
    with Cluster(place_, 3, start=False) as c:
        (vm,) = start_own(c, "web")
        with Watch(vm):
            joined(c, c[1], vm, "--preferred", "n1,n2", "--possible", "n1,n2", "--failback", "immediate")
            worker = vm.worker_pid()
            for options in (
                ("--preferred", "n1", "--possible", "n1,n3", "--failback", "immediate"),
                ("--preferred", "n1", "--failback", "22:30-05:10", "--probe", "tcp://127.0.0.1:1"),
                ("--possible", "n1"),
                (),
            ):
                before = epoch(c[1])
                place(c[1], vm, *options) if options else place(c[1], vm, "--priority", "low")
                check(epoch(c[1]) == before + 1, f"{options}: {before} became {epoch(c[1])}")
            shown = set_at(c[1], vm)
            check(shown["preferred"] == shown["possible"] == [] and shown["priority"] == "low" and "probe" not in shown, f"{shown}")
            time.sleep(3)
            check(vm.worker_pid() == worker and c.where("vm-web") == ["n1"], f"it has moved: {c.told()}")
            place(c[1], vm, "--preferred", "n3", "--failback", "immediate")
            vm.wait_on(c[3])


@cluster_test("a_guest_that_does_not_answer_its_probe_any_more_is_a_vm_that_failed")
def _(place_):
    with Cluster(place_, 1, start=False) as c:
        (vm,) = start_own(c, "web")
        url = f"http://{c.address()}:{PORT}/health"
        joined(c, c[1], vm, "--probe", url, "--probe-interval", "1s", "--probe-failures", "2", "--restart", "9/15m")
        check(set_at(c[1], vm)["probe"] == {"url": url, "interval": 1, "failures": 2}, f"{set_at(c[1], vm)}")
        note = c[1].path(f"/run/oya/vm/{vm.uuid}/probe")
        worker = vm.worker_pid()
        time.sleep(6)  # nobody has ever answered: it may be booting
        check(vm.worker_pid() == worker and c.failures("vm-web", "n1") == 0, c.told())
        command = ["nsenter", f"--net=/proc/{c.switch.pid}/ns/net", sys.executable, "-c", SERVICE, c.address(), str(PORT)]
        with open(place_.path("service.log"), "ab") as log:
            service = place_.spawn(command, stdout=log, stderr=log)
        wait_for(lambda: os.path.exists(note), f"it is not probed: {c.told()}", 40)
        time.sleep(4)
        check(vm.worker_pid() == worker and c.failures("vm-web", "n1") == 0, c.told())
        service.kill()
        service.wait()
        wait_for(lambda: vm.workers() and vm.worker_pid() != worker, f"it is not started again: {c.told()}", 60)
        check(c.failures("vm-web", "n1") == 1 and f"does not answer {url} (2 times)" in c.told(), c.told())
        worker = vm.worker_pid()
        time.sleep(6)  # the new one has not answered yet
        check(vm.worker_pid() == worker and c.failures("vm-web", "n1") == 1, c.told())


@cluster_test("a_live_move_that_fails_leaves_the_vm_where_it_runs_and_is_tried_again")
def _(place_):
    with Cluster(place_, 2, start=False) as c:
        (vm,) = start_own(c, "web")
        with Watch(vm):
            joined(c, c[1], vm)
            worker, stranger = vm.worker_pid(), c[2].path("/var/lib/oya/vms/web")
            os.makedirs(stranger)  # in its way, so that it cannot come
            job = c[1].oyad.job("POST", "/v1/vms/web/migrate", {"node": "n2"})
            check(job["state"] == "failed" and "runs on where it was" in job["problem"], f"{job}")
            check("migrate_to" in c.told(), c.told())
            time.sleep(5)
            check(vm.worker_pid() == worker and vm.workers() == ["n1"], f"it was stopped: {c.told()}")
            check(c.fenced() == [], f"{c.fenced()}")
            os.rmdir(stranger)
            c[1].run("crm_resource", "--resource", "vm-web", "--ban", "--node", "n1")
            vm.wait_on(c[2], seconds=150)
            jobs = [job["state"] for job in c[1].oyad.good("GET", "/v1/jobs")["jobs"] if job["what"] == "migrate"]
            check(jobs and jobs[-1] == "done", f"it did not move live: {jobs}")


@cluster_test("a_host_that_leaves_stops_a_vm_that_cannot_move_live_and_it_starts_on_another")
def _(place_):
    with Cluster(place_, 3, start=False) as c:
        (vm,) = start_own(c, "web")
        vm.live = False  # to the watch: never two workers
        with Watch(vm):
            joined(c, c[1], vm)
            strangers = [node.path("/var/lib/oya/vms/web") for node in (c[2], c[3])]
            for path in strangers:
                os.makedirs(path)
            worker = vm.worker_pid()
            c[1].sh("kill -TERM $(pidof pacemakerd)")
            wait_for(lambda: "migrate_to" in c.told(), f"the move does not fail: {c.told()}", 40)
            time.sleep(8)
            check(vm.worker_pid() == worker and vm.workers() == ["n1"], f"it was stopped at once: {c.told()}")
            for path in strangers:
                os.rmdir(path)
            vm.wait_on(c[2], c[3], seconds=150)
            check("it is stopped, and starts on another" in c[1].oyad.errors(), c[1].oyad.errors()[-600:])
            check(c.fenced() == [], f"{c.fenced()}")
