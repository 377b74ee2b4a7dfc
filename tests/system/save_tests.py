# SPDX-License-Identifier: GPL-2.0-or-later
"""oyad saves VMs and lets them go on; whoever dies amid it, a VM runs or is saved, and never both."""

import os
import signal
import time

from daemon import Daemon, worker_of
from harness import check, test, wait_for


def save_test(name):
    return test(name, suite="host")


def folder(d):
    return os.path.join(d.state, "vms", "web")


def state_file(d):
    return os.path.join(folder(d), "saved.state")


def running(place, guest_test="halted", **settings):
    d = Daemon(place)
    d.make("web", guest_test, **settings)
    d.done("POST", "/v1/vms/web/start")
    return d


def nothing_unfinished(d):
    wait_for(lambda: not [n for n in os.listdir(folder(d)) if n.startswith(".new-")], "an unfinished file is left")


@save_test("a_vm_is_saved_and_goes_on_from_there")
def _(place):
    d = running(place, disks=[{"file": "disk.raw", "size_mib": 1}])
    for _ in range(3):
        before = worker_of(place, d, "web")
        d.done("POST", "/v1/vms/web/save")
        check(d.vm("web")["state"] == "saved" and os.path.exists(state_file(d)), str(d.vm("web")))
        check(os.stat(state_file(d)).st_mode & 0o777 == 0o600, "others may read it")
        d.refused("POST", "/v1/vms/web/save", None, 409, "it is saved")
        d.refused("POST", "/v1/vms/web/pause", None, 409, "it is saved")
        d.refused("PATCH", "/v1/vms/web", {"cpus": 2}, 409, "saved")
        d.refused("DELETE", "/v1/vms/web", None, 409, "throw its state away")
        d.done("POST", "/v1/vms/web/start")
        vm = d.vm("web")
        check(vm["state"] == "running" and not os.path.exists(state_file(d)), str(vm))
        check(worker_of(place, d, "web") != before, "it is the same worker")
        nothing_unfinished(d)
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    check(d.vm("web")["state"] == "off", str(d.vm("web")))
    d.end()


@save_test("a_saved_state_is_thrown_away_when_that_is_wanted")
def _(place):
    d = running(place)
    d.refused("DELETE", "/v1/vms/web/state", None, 409, "it is running")
    d.done("POST", "/v1/vms/web/save")
    d.good("DELETE", "/v1/vms/web/state", status=204)
    check(d.vm("web")["state"] == "off" and not os.path.exists(state_file(d)), str(d.vm("web")))
    d.done("POST", "/v1/vms/web/start")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.end()


@save_test("a_saved_vm_is_one_for_the_next_daemon_too")
def _(place):
    d = running(place)
    d.done("POST", "/v1/vms/web/save")
    d.kill()
    d.start()
    check(d.vm("web")["state"] == "saved", str(d.vm("web")))
    d.done("POST", "/v1/vms/web/start")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.end()


@save_test("a_state_that_cannot_be_used_is_kept_and_told_of")
def _(place):
    d = running(place)
    d.done("POST", "/v1/vms/web/save")
    with open(state_file(d), "r+b") as f:
        whole = f.read()
        f.seek(len(whole) // 2)
        f.write(b"not what it was")
    job = d.job("POST", "/v1/vms/web/start")
    check(job["state"] == "failed" and "cannot be used" in job["problem"], str(job))
    vm = d.vm("web")
    check(vm["state"] == "saved" and "cannot be used" in vm["problem"], str(vm))
    with open(state_file(d), "wb") as f:
        f.write(whole)
    d.done("POST", "/v1/vms/web/start")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.end()


@save_test("a_daemon_that_dies_at_any_moment_of_saving_leaves_one_vm")
def _(place):
    d = running(place)
    saved = 0
    for n in range(12):
        worker = worker_of(place, d, "web")
        d.good("POST", "/v1/vms/web/save", status=202)
        time.sleep(n * 0.004)
        d.kill()
        d.start()
        wait_for(lambda: d.vm("web")["state"] in ("running", "saved"), "it is neither running nor saved", 10)
        state = d.vm("web")["state"]
        check(os.path.exists(state_file(d)) == (state == "saved"), f"{state}, and the file is not so")
        if state == "saved":
            saved += 1
            d.done("POST", "/v1/vms/web/start")
        else:
            check(worker_of(place, d, "web") == worker, "it is another worker")
        check(d.vm("web")["state"] == "running", str(d.vm("web")))
    check(saved, "no moment was late enough")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.end()


@save_test("a_worker_that_dies_amid_saving_is_a_crash")
def _(place):
    d = running(place, crash={"action": "leave"})
    worker = worker_of(place, d, "web")
    os.kill(worker, signal.SIGSTOP)
    job = d.good("POST", "/v1/vms/web/save", status=202)
    os.kill(worker, signal.SIGKILL)
    ended = wait_for(lambda: d.ended(job["id"]), "the job has no end", 10)
    check(ended["state"] == "failed", str(ended))
    d.wait_state("web", "off")
    check(not os.path.exists(state_file(d)), "there is a state")
    nothing_unfinished(d)
    d.end()


@save_test("saving_is_cancelled_by_its_job_at_any_moment")
def _(place):
    d = running(place)
    for n in range(40):
        job = d.good("POST", "/v1/vms/web/save", status=202)
        time.sleep(n * 0.001)
        status, _, _ = d.ask("DELETE", f"/v1/jobs/{job['id']}")
        check(status in (202, 204, 409), str(status))
        ended = wait_for(lambda job=job: d.ended(job["id"]), "the job has no end", 10)
        if ended["state"] == "done":
            check(d.vm("web")["state"] == "saved", d.vm("web")["state"])
            d.done("POST", "/v1/vms/web/start")
        else:
            d.wait_state("web", "running")
        check(not os.path.exists(state_file(d)), "a VM that runs has a state")
        nothing_unfinished(d)
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.end()


@save_test("a_host_that_ends_saves_the_vms_that_want_it")
def _(place):
    d = running(place, stop={"action": "save"})
    d.make("other", "halted", stop={"action": "off"})
    d.done("POST", "/v1/vms/other/start")
    d.done("POST", "/v1/host/stop-vms")
    check(d.vm("web")["state"] == "saved" and d.vm("other")["state"] == "off", "they are not so")
    check(os.path.exists(os.path.join(folder(d), "running")), "it would not run at the host's next start")
    d.end()


@save_test("a_vm_that_cannot_be_saved_runs_on_and_says_why")
def _(place):
    d = running(place)
    os.mkdir(os.path.join(folder(d), ".new-saved.state"))
    job = d.job("POST", "/v1/vms/web/save")
    check(job["state"] == "failed" and "cannot make the file" in job["problem"], str(job))
    check(d.vm("web")["state"] == "running", str(d.vm("web")))
    os.rmdir(os.path.join(folder(d), ".new-saved.state"))
    with open(place.path("kept"), "wb") as f:
        f.write(b"not a state")
    os.symlink(place.path("kept"), os.path.join(folder(d), ".new-saved.state"))
    d.done("POST", "/v1/vms/web/save")
    with open(place.path("kept"), "rb") as f:
        check(f.read() == b"not a state", "a link was followed")
    d.good("DELETE", "/v1/vms/web/state", status=204)
    d.end()
