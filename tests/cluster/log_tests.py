# SPDX-License-Identifier: GPL-2.0-or-later
"""The log of the cluster, its alarms and its figures: what happened, to whom, and why."""

import json
import os
import signal
import time

import exposition
from harness import Paths, check, test, wait_for
from nodes import ALERT, Cluster
from vms import ClusterVm, start


def log_test(name):
    return test(name, suite="cluster")


def log(node):
    """The entries, as this host tells them; all of its members answer."""
    return node.oyad.good("GET", "/v1/cluster/log")["entries"]


def told(node, *words):
    """The first entry whose sentence has all of these words, once there is one."""

    def find():
        return next((e for e in log(node) if all(word in e["text"] for word in words)), None)

    return wait_for(find, f"no entry of {node.name} has {words}: {[e['text'] for e in log(node)]}", 30)


def alarms(node):
    """Those of the cluster, by kind."""
    return {alarm["kind"]: alarm["text"] for alarm in node.oyad.good("GET", "/v1/cluster")["alarms"]}


def figure(node, name):
    """A metric's samples, by the values of their labels; none while it is not there. The engine is asked for the next."""
    _, _, content = node.oyad.fetch("GET", "/metrics", headers={"Accept": "text/plain"})
    return {next(iter(dict(key).values()), ""): value for key, value in exposition.parse(content.decode()).get(name, {}).items()}


@log_test("a_failover_is_in_the_log_of_each_host_that_lives_with_its_cause_also_when_the_coordinator_died")
def _(place):
    with Cluster(place, 3, links=2, start=False) as c:
        vm = ClusterVm(c)
        start(c, vm)
        here = vm.wait_on(*c.nodes)
        for node in c.nodes:
            told(node, "web started on " + here.name)
        for _ in range(2):  # the second time a host that has the VM is the coordinator, or has become one
            here = vm.wait_on(*c.nodes)
            coordinator = c.node(c.coordinator())
            if coordinator is not here:
                c[1].run("crm_resource", "--resource", "vm-web", "--move", "--node", coordinator.name)
                there = vm.wait_on(coordinator)
                c[1].run("crm_resource", "--resource", "vm-web", "--clear")
                told(here, f"web started on {there.name}", f"after it was stopped on {here.name}")
                here = there
            others = [node for node in c.nodes if node is not here]
            here.kill()
            there = vm.wait_on(*others)
            entries = []
            for node in others:
                cause = f"after {here.name} had left: no token for 1.0 s; fenced by "
                entry = told(node, f"web started on {there.name}, ", cause)
                told(node, f"{here.name} left: no token for 1.0 s")
                told(node, f"{here.name} was fenced by ")
                check(entry["cause"]["left_us"] <= entry["cause"]["fenced_us"] <= entry["at_us"], f"{entry}")
                times = [e["at_us"] for e in log(node)]
                check(times == sorted(times), f"not in order: {times}")
                entries.append(entry)
            check(entries[0] == entries[1], f"two hosts tell two stories: {entries}")
            missing = there.oyad.good("GET", "/v1/cluster/log")["missing"]
            check(missing == [here.name], f"missing: {missing}")
            said = json.loads(there.run(Paths.oya, "cluster", "log", "--since", "1h", "-o", "json"))
            check(entries[0] in said["entries"], f"the command tells something else: {said}")
            check(figure(there, "oya_cluster_failovers_total")[""] >= 1, "the failover is not counted")
            check(figure(there, "oya_cluster_last_failover_timestamp_seconds"), "its time is not told")
            wait_for(lambda: figure(there, "oya_cluster_hosts").get("offline") == 1, "no host is offline", 20)
            check(figure(there, "oya_cluster_alarms")["host-offline"] == 1, "the alarm is no figure")
            check("host-offline" in alarms(there), f"{alarms(there)}")
            c.back_on()
            told(there, f"{here.name} is there")
        check("host-offline" not in alarms(c[1]), f"{alarms(c[1])}")


@log_test("fencing_that_fails_is_an_alarm_and_in_the_log_and_nothing_starts_elsewhere")
def _(place):
    with Cluster(place, 3, start=False) as c:
        vm = ClusterVm(c, prefer="n1")
        start(c, vm)
        vm.wait_on(c[1])
        for node in c.nodes:
            wait_for(lambda n=node: alarms(n) == {}, f"alarms of nothing: {alarms(node)}", 30)
        switch = os.path.join(c.power, "n1.stuck")
        with open(switch, "w", encoding="ascii"):
            pass
        c[1].freeze()
        told(c[2], "n1 could not be fenced", "starts nowhere else")
        wait_for(lambda: "fencing-failed" in alarms(c[2]), f"no alarm: {alarms(c[2])}", 40)
        status = c[3].run(Paths.oya, "cluster", "status")
        check("n1 could not be fenced" in status and "stonith_admin --confirm n1" in status, status)
        check(vm.workers(thawed=False) == ["n1"], f"workers on {vm.workers(thawed=False)}")
        check(not any("web started on n" in e["text"] and e["host"] != "n1" for e in log(c[3])), f"{log(c[3])}")
        os.unlink(switch)
        c[2].run("stonith_admin", "--reboot", "n1", seconds=60)
        there = vm.wait_on(c[2], c[3])
        c[1].went()
        told(c[2], f"web started on {there.name}", "after n1 had left")
        wait_for(lambda: "fencing-failed" not in alarms(c[2]), f"the alarm stays: {alarms(c[2])}", 30)


@log_test("a_vm_that_ends_by_itself_and_one_that_cannot_start_are_in_the_log_and_its_follower_prints_both")
def _(place):
    with Cluster(place, 2, start=False) as c:
        vm = ClusterVm(c)
        start(c, vm)
        here = vm.wait_on(*c.nodes)
        there = c[3 - here.number]
        follower = there.spawn([Paths.oya, "cluster", "log", "--follow"], "follower")
        with open(place.path(f"{there.name}-follower"), encoding="utf-8") as printed:
            os.kill(vm.worker_pid(), signal.SIGKILL)
            told(there, f"web ended on {here.name}: its worker was killed")
            told(there, f"web started on {here.name}, ", f"after it had ended on {here.name}: its worker was killed")
            vm.wait_on(here)
            os.rename(os.path.join(vm.folder, "vm.json"), os.path.join(vm.folder, "away"))
            os.kill(vm.worker_pid(), signal.SIGKILL)
            told(there, f"web could not be started on {here.name}", "vm.json")
            text = ""

            def all_printed():
                nonlocal text
                text += printed.read()
                return all(word in text for word in ("web ended on", "after it had ended on", "could not be started"))

            wait_for(all_printed, f"the follower prints only: {text}", 30)
            check(len(set(text.splitlines())) == len(text.splitlines()), f"something is printed twice: {text}")
        check(follower.poll() is None, "the follower has ended")
        wait_for(lambda: "resource-stopped" in alarms(there) or "resource-failed" in alarms(there), f"{alarms(there)}", 40)
        # The agent of the engine's alerts waits for an oyad that is away.
        here.oyad.end()
        event = ("kind=node", "node=n9", "desc=lost", f"timestamp_epoch={int(time.time())}")
        variables = [f"CRM_alert_{pair}" for pair in event]
        agent = here.spawn(["setpriv", "--reuid=hacluster", "--clear-groups", "env", *variables, ALERT], "alert")
        here.start_oyad()
        told(here, "n9 left the cluster")
        check(agent.wait(10) == 0, "the agent fails")
