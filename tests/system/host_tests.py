# SPDX-License-Identifier: GPL-2.0-or-later
"""oyad with real workers: VMs that it makes, starts, loses sight of and finds again."""

import contextlib
import json
import os
import shutil
import signal
import socket

import exposition
from daemon import DESCRIPTION, Connection, Daemon, worker_of
from harness import Failed, Paths, check, marked, test, wait_for


def host_test(name):
    return test(name, suite="host")


@host_test("a_vm_is_made_started_shown_stopped_and_deleted")
def _(place):
    d = Daemon(place)
    made = d.make("web", notes="the first")
    check(made["state"] == "off" and made["settings"]["notes"] == "the first", str(made))
    folder = os.path.join(d.state, "vms", "web")
    with open(os.path.join(folder, "vm.json"), encoding="utf-8") as f:
        check(json.load(f) == made["settings"], "the file is not what was told")
    d.done("POST", "/v1/vms/web/start")
    vm = d.vm("web")
    check(vm["state"] == "running" and vm["status"]["state"] == "running", str(vm))
    check(d.good("GET", "/v1/vms")["vms"][0]["state"] == "running", "the list says otherwise")
    told = d.good("GET", "/v1/vms/web/statistics")
    check("processors" in told and told["worker"]["resident_bytes"] > 0, str(told))
    d.refused("DELETE", "/v1/vms/web", None, 409, "switch it off first")
    d.refused("POST", "/v1/vms/web/start", None, 409, "it is running")
    d.good("POST", "/v1/vms/web/pause", status=204)
    d.wait_state("web", "paused")
    d.refused("POST", "/v1/vms/web/pause", None, 409, "cannot pause")
    d.good("POST", "/v1/vms/web/resume", status=204)
    d.wait_state("web", "running")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    check(d.vm("web")["problem"] == "", str(d.vm("web")))
    d.good("DELETE", "/v1/vms/web?disks=delete", status=204)
    check(not os.path.exists(folder), "its folder is still there")
    d.refused("GET", "/v1/vms/web", None, 404, "there is no VM 'web'")
    d.end()


@host_test("what_cannot_be_is_refused_and_leaves_nothing")
def _(place):
    d = Daemon(place)
    boot = {"firmware": "bios"}
    for body, status, sentence in (
        ({"boot": boot}, 400, "no string 'name'"),
        ({"name": "../x", "boot": boot}, 400, "is no name of a VM"),
        ({"name": "a", "boot": boot, "cpu": 1}, 400, "has no setting 'cpu'"),
        ({"name": "a", "boot": boot, "cpus": 65}, 400, "'cpus' is 65"),
        ({"name": "a"}, 400, "'boot' names no kernel"),
        ({"name": "a", "boot": boot, "disks": [{"file": "../b"}]}, 400, "no file of a disk"),
        ({"name": "a", "boot": boot, "disks": [{"file": "b", "lun": 64}]}, 400, "'lun' is 64"),
    ):
        d.refused("POST", "/v1/vms", body, status, sentence)
    check(os.listdir(os.path.join(d.state, "vms")) == [], "something is left")
    check(d.good("GET", "/v1/vms")["vms"] == [], "a VM is left")
    d.make("a")
    d.refused("POST", "/v1/vms", {"name": "a", "boot": boot}, 409, "there is a VM 'a' already")
    d.end()


@host_test("settings_are_changed_by_who_knows_the_newest")
def _(place):
    d = Daemon(place)
    d.make("web")
    status, headers, _ = d.ask("GET", "/v1/vms/web")
    etag = headers["ETag"]
    status, headers, vm = d.ask("PATCH", "/v1/vms/web", {"cpus": 2}, {"If-Match": etag})
    check(status == 200 and vm["settings"]["cpus"] == 2, f"{status} {vm}")
    status, _, answer = d.ask("PATCH", "/v1/vms/web", {"cpus": 3}, {"If-Match": etag})
    check(status == 412, f"{status} {answer}")
    d.refused("PATCH", "/v1/vms/web", {"cpus": 99}, 400, "'cpus' is 99")
    check(d.vm("web")["settings"]["cpus"] == 2, "a change that was refused was made")
    d.done("POST", "/v1/vms/web/start")
    d.refused("PATCH", "/v1/vms/web", {"cpus": 1}, 409, "switch it off first")
    d.good("PATCH", "/v1/vms/web", {"notes": "while it runs"}, 200)
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.end()


@host_test("vms_outlive_the_daemon_and_are_found_again")
def _(place):
    d = Daemon(place)
    for name in ("one", "two"):
        d.make(name)
        d.done("POST", f"/v1/vms/{name}/start")
    pids = [worker_of(place, d, name) for name in ("one", "two")]
    d.kill()
    check(all(pid in marked(place.mark) for pid in pids), "a worker went with the daemon")
    d.start()
    for name, pid in zip(("one", "two"), pids):
        d.wait_state(name, "running")
        check(worker_of(place, d, name) == pid, "it is another worker")
        d.refused("POST", f"/v1/vms/{name}/start", None, 409, "it is running")
    d.end()
    check(all(pid in marked(place.mark) for pid in pids), "a worker went with the daemon's end")
    d.start()
    for name in ("one", "two"):
        d.wait_state(name, "running")
        d.done("POST", f"/v1/vms/{name}/stop", {"off": True})
    d.end()


@host_test("a_worker_that_is_killed_is_started_again_as_often_as_the_policy_says")
def _(place):
    d = Daemon(place)
    d.make("web", crash={"most": 2, "within": 600})
    d.done("POST", "/v1/vms/web/start")
    for _ in range(2):
        pid = worker_of(place, d, "web")
        os.kill(pid, signal.SIGKILL)
        wait_for(
            lambda: d.vm("web")["state"] == "running" and worker_of(place, d, "web") not in (None, pid),
            "it is not started again",
            10,
        )
    os.kill(worker_of(place, d, "web"), signal.SIGKILL)
    d.wait_state("web", "off")
    check("killed" in d.vm("web")["problem"], str(d.vm("web")))
    d.end()


@host_test("a_worker_that_ends_while_the_daemon_is_away_is_told_afterwards")
def _(place):
    d = Daemon(place)
    d.make("left", crash={"action": "leave"})
    d.make("again")
    for name in ("left", "again"):
        d.done("POST", f"/v1/vms/{name}/start")
    pids = [worker_of(place, d, name) for name in ("left", "again")]
    d.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(pid in marked(place.mark) for pid in pids), "they live")
    d.start()
    d.wait_state("left", "off")  # its lock may outlive it by a moment
    check("killed" in d.vm("left")["problem"], str(d.vm("left")))
    d.wait_state("again", "running")
    d.done("POST", "/v1/vms/again/stop", {"off": True})
    d.end()


@host_test("a_vm_that_cannot_start_says_why")
def _(place):
    d = Daemon(place)
    d.make("web", disks=[{"file": "absent.raw"}])
    job = d.job("POST", "/v1/vms/web/start")
    check(job["state"] == "failed" and "absent.raw" in job["problem"], str(job))
    vm = d.vm("web")
    check(vm["state"] == "off" and "absent.raw" in vm["problem"], str(vm))
    d.end()


@host_test("console_of_a_vm_is_a_stream_of_bytes")
def _(place):
    d = Daemon(place)
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    d.make("talks", "halted")
    d.done("POST", "/v1/vms/talks/start")
    s.connect(d.api)
    s.sendall(
        b"GET /v1/vms/talks/console HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        b"Upgrade: oya-console\r\n\r\n"
    )
    seen = b""
    while b"\r\n\r\n" not in seen or not seen.partition(b"\r\n\r\n")[2].strip():
        more = s.recv(4096)
        check(more, f"it ends: {seen!r}")
        seen += more
    check(seen.startswith(b"HTTP/1.1 101"), f"{seen!r}")
    d.done("POST", "/v1/vms/talks/stop", {"off": True})
    while s.recv(4096):
        pass
    s.close()
    d.end()


def _listen(d, last=None):
    """Numbers, types and data of the events from now on, or behind `last`; each is as described."""
    c = Connection(d.api)
    c.request("GET", "/v1/events", headers={"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})})
    stream = c.getresponse()
    check(stream.status == 200 and stream.headers["Content-Type"] == "text/event-stream", str(stream.headers))

    def events():
        fields = {}
        with contextlib.closing(c), stream:
            for line in stream:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif "event" in fields:
                    data = json.loads(fields["data"])
                    DESCRIPTION.check_event(fields["event"], data)
                    yield fields["id"], fields["event"], data
                    fields = {}

    return events()


def _until(events, condition):
    """The first event of which condition(type, data) is true, and those before it."""
    seen = []
    for event in events:
        seen.append(event)
        if condition(*event[1:]):
            return seen
    raise Failed(f"the events end: {seen}")


@host_test("events_tell_what_happens_and_go_on_where_they_broke")
def _(place):
    d = Daemon(place)
    d.make("web")
    events = _listen(d)
    d.done("POST", "/v1/vms/web/start")
    first = next(events)
    seen = [first, *_until(events, lambda kind, data: kind == "vm" and data["state"] == "running")]
    check("job" in [kind for _, kind, _ in seen], f"no job: {seen}")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.good("DELETE", "/v1/vms/web", status=204)
    seen += _until(events, lambda kind, data: kind == "vm-removed")
    events.close()
    again = _until(_listen(d, first[0]), lambda kind, data: kind == "vm-removed")
    check(again == seen[1:], f"{again} is not {seen[1:]}")
    gap = next(_listen(d, "1"))
    check(gap[1] == "gap" and gap[2]["next"] > int(seen[-1][0]), f"no gap: {gap}")
    d.end()


@host_test("requests_that_come_again_with_their_key_are_done_once")
def _(place):
    d = Daemon(place)
    body = {"name": "web", "memory_mib": 64, "boot": {"kernel": Paths.guest, "append": "test=halted"}}
    key = {"Idempotency-Key": "made-by-a-client"}
    first = d.ask("POST", "/v1/vms", body, key)
    again = d.ask("POST", "/v1/vms", body, key)
    check(first[0] == again[0] == 201 and first[2] == again[2], f"{again} is not {first}")
    check(again[1]["Location"] == "/v1/vms/web" and again[1]["ETag"] == first[1]["ETag"], str(again[1]))
    d.refused("POST", "/v1/vms", body, 409, "there is a VM 'web' already")
    status, _, answer = d.ask("POST", "/v1/vms", {**body, "name": "other"}, key)
    check(status == 422 and "another request" in answer["detail"], f"{status} {answer}")
    jobs = [d.ask("POST", "/v1/vms/web/start", None, {"Idempotency-Key": "2"}) for _ in range(2)]
    check([job[0] for job in jobs] == [202, 202] and jobs[0][2] == jobs[1][2], str(jobs))
    d.wait_state("web", "running")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.end()


@host_test("the_description_is_served_as_it_is_in_the_tree")
def _(place):
    d = Daemon(place)
    check(d.good("GET", "/v1/openapi.json", status=200) == DESCRIPTION.root, "it is another one")
    check(d.good("GET", "/v1/host")["vms"] == 0, "VMs from nowhere")
    d.end()


def _metrics(d):
    """A function that gives the value of a metric with these labels, or None."""
    _, headers, content = d.fetch("GET", "/metrics", headers={"Accept": "text/plain;version=0.0.4;q=0.9,*/*;q=0.1"})
    check(headers["Content-Type"] == "text/plain; version=0.0.4", str(headers))
    metrics = exposition.parse(content.decode())
    return lambda name, **labels: metrics[f"oya_{name}"].get(frozenset(labels.items()))


@host_test("metrics_tell_of_the_host_and_its_vms")
def _(place):
    d = Daemon(place)
    d.make("idle", cpus=3)
    d.make("web")
    d.done("POST", "/v1/vms/web/start")
    value = _metrics(d)
    check(value("vms", state="running") == 1 and value("vms", state="off") == 1, "other counts")
    check(value("vm_state", vm="web", state="running") == 1, "web does not run")
    check(value("vm_state", vm="idle", state="running") == 0, "idle runs")
    check(value("vm_info", vm="web", uuid=d.vm("web")["uuid"]) == 1, "another identity")
    check(value("vm_cpus", vm="idle") == 3 and value("vm_cpus", vm="web") == 1, "other processors")
    check(value("vm_memory_bytes", vm="web") == 64 << 20, "another memory")
    check(value("vm_resets_total", vm="web") == 0 and value("vm_resets_total", vm="idle") is None, "resets")
    check(value("vm_uptime_seconds", vm="web") < 60 and value("vm_uptime_seconds", vm="idle") is None, "uptime")
    check(value("jobs_started_total") == 1 and value("jobs_running") == 0, "jobs")
    check(value("http_connections") >= 1 and value("http_event_streams") == 0, "connections")
    d.good("POST", "/v1/vms/web/reset", status=204)
    wait_for(lambda: _metrics(d)("vm_resets_total", vm="web") == 1, "the reset is not counted")
    pid = worker_of(place, d, "web")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: worker_of(place, d, "web") not in (None, pid), "it is not started again", 10)
    d.wait_state("web", "running")
    check(_metrics(d)("vm_crash_restarts_total", vm="web") == 1, "the restart is not counted")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    check(_metrics(d)("vm_uptime_seconds", vm="web") is None, "it is up while it is off")
    d.end()


@host_test("uptime_of_a_vm_that_is_found_again_counts_from_its_start")
def _(place):
    d = Daemon(place)
    d.make("web")
    d.done("POST", "/v1/vms/web/start")
    end = os.path.join(d.run, "vm", d.vm("web")["uuid"], "end")
    d.end()
    began = os.stat(end).st_mtime - 3600
    os.utime(end, (began, began))
    d.start()
    d.wait_state("web", "running")
    check(3600 <= _metrics(d)("vm_uptime_seconds", vm="web") < 3660, "it counts from elsewhere")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.end()


@host_test("images_are_made_with_a_vm_or_not_at_all")
def _(place):
    d = Daemon(place)
    disk = {"file": "disk0.raw", "size_mib": 3}
    made = d.make("web", disks=[disk])
    folder = os.path.join(d.state, "vms", "web")
    check(os.path.getsize(os.path.join(folder, "disk0.raw")) == 3 << 20, "another size")
    check(made["settings"]["disks"] == [{"file": "disk0.raw"}], str(made))
    d.done("POST", "/v1/vms/web/start")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.good("DELETE", "/v1/vms/web", status=204)
    check(os.listdir(folder) == ["disk0.raw"], f"disks are not kept: {os.listdir(folder)}")
    boot = {"kernel": "/boot"}
    for bad, sentence in (
        ({"file": "/etc/x", "size_mib": 3}, "in the VM's folder"),
        ({"file": "x", "size_mib": 0}, "'size_mib' is 0"),
        ({"file": "x", "size_mib": "3"}, "wrong type"),
    ):
        d.refused("POST", "/v1/vms", {"name": "b", "boot": boot, "disks": [bad]}, 400, sentence)
    disks = [{"file": "new.raw", "size_mib": 1}, disk]
    d.refused("POST", "/v1/vms", {"name": "web", "boot": boot, "disks": disks}, 409, "disk0.raw")
    check(os.listdir(folder) == ["disk0.raw"], f"something is left: {os.listdir(folder)}")
    d.make("web", disks=[{"file": "disk0.raw"}])
    d.end()


@host_test("oya_speaks_to_the_daemon")
def _(place):
    d = Daemon(place)

    def oya(*arguments, status=0):
        got, output, errors = place.run(*arguments, env={"OYA_SOCKET": d.api})
        check(got == status, f"oya {arguments}: {got} {output!r} {errors!r}")
        return output if status == 0 else errors

    kernel = ("--kernel", Paths.guest, "--append", "test=halted", "--memory", "64M")
    oya("vm", "create", "web", *kernel, "--disk", "1M", "--net", "none", "--start")
    check("running" in oya("vm", "list"), oya("vm", "list"))
    check(json.loads(oya("vm", "show", "web", "-o", "json"))["state"] == "running", "not running")
    check("there is no VM 'none'" in oya("vm", "start", "none", status=1), "no sentence")
    oya("vm", "set", "web", "notes=ours")
    check("switch it off first" in oya("vm", "set", "web", "cpus=2", status=1), "no sentence")
    check("POST /v1/vms/web/pause" in oya("vm", "pause", "web", "--dry-run"), "no call is shown")
    oya("vm", "stop", "web", "--off")
    oya("vm", "delete", "web", "--disks", "delete")
    check(json.loads(oya("vm", "list", "-o", "json")) == [], "a VM is left")
    check("start" in oya("job", "list"), oya("job", "list"))
    d.end()
    check("oyad" in oya("vm", "list", status=1), "nothing tells that oyad is away")


@host_test("leftovers_go_and_two_vms_of_one_identity_do_not_share_a_worker")
def _(place):
    d = Daemon(place)
    d.make("web")
    vms = os.path.join(d.state, "vms")
    uuid = d.vm("web")["uuid"]
    boot = {"firmware": "bios"}
    d.refused("POST", "/v1/vms", {"name": "b", "uuid": uuid, "boot": boot}, 409, "has the UUID")
    d.end()
    shutil.copytree(os.path.join(vms, "web"), os.path.join(vms, "copy"))
    os.mkdir(os.path.join(vms, ".new-x"))
    d.start()
    check(len(d.good("GET", "/v1/vms")["vms"]) == 1, "both are there")
    check("is left out" in d.errors(), d.errors())
    check(not os.path.exists(os.path.join(vms, ".new-x")), "what was not answered is still there")
    d.end()


def _power_cycle(d):
    """The host's end and start, as a daemon sees it: nothing is left below its run folder."""
    d.end()
    shutil.rmtree(d.run)
    d.start()


@host_test("the_end_of_the_host_stops_each_vm_as_it_says_and_its_start_brings_them_back")
def _(place):
    d = Daemon(place)
    d.make("asked", "shutdown")
    d.make("silent", stop={"timeout": 3})
    d.make("cut", stop={"action": "off"})
    d.make("never", stop={"action": "off"}, start={"action": "never"})
    d.make("idle")
    d.make("later", start={"action": "always", "delay": 3600})
    _power_cycle(d)
    check(d.vm("later")["state"] == "waiting", str(d.vm("later")))
    for name in ("asked", "silent", "cut", "never"):
        d.done("POST", f"/v1/vms/{name}/start")
    job = d.good("POST", "/v1/host/stop-vms", None, 202)
    check(d.good("POST", "/v1/host/stop-vms", None, 202)["id"] == job["id"], "another job")
    for name in ("cut", "never", "asked", "later"):
        d.wait_state(name, "off")
    check(d.vm("silent")["state"] == "running", "its guest has no time")
    d.refused("POST", "/v1/vms/idle/start", None, 409, "the host ends")
    job = wait_for(lambda: d.ended(job["id"]), "the job does not end")
    check(job["state"] == "done" and job["progress"] == 100, str(job))
    check("has not shut down within 3 s" in d.errors(), d.errors())
    check(d.errors().count("has not shut down") == 1, "more than one was switched off late")
    _power_cycle(d)
    for name in ("asked", "silent", "cut"):
        d.wait_state(name, "running")
    check([d.vm(name)["state"] for name in ("never", "idle")] == ["off"] * 2, "they run")
    for name in ("asked", "silent", "cut"):
        d.done("POST", f"/v1/vms/{name}/stop", {"off": True})
    _power_cycle(d)
    left = [vm["name"] for vm in d.good("GET", "/v1/vms")["vms"] if vm["state"] != "off"]
    check(left == ["later"], f"these run again: {left}")
    d.end()


@host_test("a_daemon_that_ends_while_vms_are_stopped_leaves_them_and_begins_anew")
def _(place):
    d = Daemon(place)
    d.make("silent", stop={"timeout": 60})
    d.done("POST", "/v1/vms/silent/start")
    d.good("POST", "/v1/host/stop-vms", None, 202)
    d.end()
    d.start()
    d.wait_state("silent", "running")
    d.good("PATCH", "/v1/vms/silent", {"stop": {"action": "off"}}, 200)
    d.done("POST", "/v1/host/stop-vms")
    check(d.vm("silent")["state"] == "off", "it runs")
    d.done("POST", "/v1/host/stop-vms")
    d.end()
