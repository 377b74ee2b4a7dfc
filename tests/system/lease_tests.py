# SPDX-License-Identifier: GPL-2.0-or-later
"""Leases of VMs: one host runs a VM; oyad takes its lease before a start, and frees it."""

import json
import os
import signal
import uuid

from daemon import Daemon, worker_of
from harness import check, test, wait_for
from leases import FREE, HELD, NOBODY, OFFERED, THERE, read_lease, write_lease


def lease_test(name):
    return test(name, suite="host")


def _path(d, name="web"):
    return os.path.join(d.state, "vms", name, "lease")


def _host(d):
    return uuid.UUID(d.good("GET", "/v1/host")["uuid"])


def _wait_free(d, epoch):
    wait_for(lambda: read_lease(_path(d)) == (FREE, epoch, NOBODY), f"it is not freed: {read_lease(_path(d))}")


def _told(d):
    with open(os.path.join(d.run, "vm", d.vm("web")["uuid"], "worker.json"), encoding="utf-8") as f:
        return json.load(f)["lease"]


@lease_test("a_start_takes_the_lease_and_the_end_frees_it")
def _(place):
    d = Daemon(place)
    d.make("web")
    check(not os.path.exists(_path(d)), "a VM that never ran has a lease")
    for epoch in (1, 3):
        d.done("POST", "/v1/vms/web/start")
        check(read_lease(_path(d)) == (HELD, epoch, _host(d)), str(read_lease(_path(d))))
        check(_told(d) == {"path": _path(d), "epoch": epoch, "host": str(_host(d))}, str(_told(d)))
        d.done("POST", "/v1/vms/web/stop", {"off": True})
        _wait_free(d, epoch + 1)
    # A saved VM is free, and takes it to go on.
    d.done("POST", "/v1/vms/web/start")
    d.done("POST", "/v1/vms/web/save")
    _wait_free(d, 6)
    d.done("POST", "/v1/vms/web/start")
    check(read_lease(_path(d)) == (HELD, 7, _host(d)), str(read_lease(_path(d))))
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.good("DELETE", "/v1/vms/web", status=204)
    check(not os.path.exists(os.path.dirname(_path(d))), "a VM that has gone leaves something")
    d.end()


@lease_test("a_vm_whose_lease_another_host_holds_is_neither_started_nor_deleted")
def _(place):
    d = Daemon(place)
    d.make("web", disks=[{"file": "d.raw", "size_mib": 1}])
    vm = uuid.UUID(d.vm("web")["uuid"])
    for state, owner, target, told in (
        (HELD, THERE, NOBODY, f"the host {THERE} holds its lease since 2025-11-24"),
        (OFFERED, THERE, _host(d), f"the host {THERE} has offered"),
    ):
        write_lease(_path(d), vm, state, 7, owner, target)
        before = sorted(os.listdir(os.path.dirname(_path(d))))
        job = d.job("POST", "/v1/vms/web/start")
        check(job["state"] == "failed" and told in job["problem"], str(job))
        check("remove the file" in job["problem"], str(job))
        check(d.vm("web")["state"] == "off" and told in d.vm("web")["problem"], str(d.vm("web")))
        check(read_lease(_path(d)) == (state, 7, owner), str(read_lease(_path(d))))
        check(sorted(os.listdir(os.path.dirname(_path(d)))) == before, "the folder has changed")
        for query in ("", "?disks=delete"):
            d.refused("DELETE", f"/v1/vms/web{query}", None, 409, "cannot delete the VM")
        check(sorted(os.listdir(os.path.dirname(_path(d)))) == before, "something is deleted")
    # What the sentence says.
    os.unlink(_path(d))
    d.done("POST", "/v1/vms/web/start")
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.end()


@lease_test("an_offer_of_this_host_that_nobody_took_is_taken_back_by_the_next_start")
def _(place):
    d = Daemon(place)
    d.make("web")
    write_lease(_path(d), uuid.UUID(d.vm("web")["uuid"]), OFFERED, 7, _host(d), THERE)
    d.done("POST", "/v1/vms/web/start")
    check(read_lease(_path(d)) == (HELD, 9, _host(d)), str(read_lease(_path(d))))
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.end()


@lease_test("a_lease_that_cannot_be_read_keeps_a_vm_off_and_is_told_of")
def _(place):
    d = Daemon(place)
    d.make("web")
    for content in (b"something else", bytes(1024)):
        with open(_path(d), "wb") as f:
            f.write(content)
        job = d.job("POST", "/v1/vms/web/start")
        check(job["state"] == "failed" and "its lease is" in job["problem"], str(job))
    write_lease(_path(d), THERE, FREE, 2)
    job = d.job("POST", "/v1/vms/web/start")
    check(f"its lease is that of the VM {THERE}" in job["problem"], str(job))
    d.good("DELETE", "/v1/vms/web", status=204)
    d.end()


@lease_test("a_daemon_that_finds_a_worker_leaves_its_lease_until_its_end")
def _(place):
    d = Daemon(place)
    d.make("web", crash={"action": "leave"})
    d.done("POST", "/v1/vms/web/start")
    held = read_lease(_path(d))
    worker = worker_of(place, d, "web")
    d.kill()
    d.start()
    d.wait_state("web", "running")
    check(read_lease(_path(d)) == held, str(read_lease(_path(d))))
    os.kill(worker, signal.SIGKILL)
    d.wait_state("web", "off")
    _wait_free(d, 2)
    # One that ends while nobody looks.
    d.done("POST", "/v1/vms/web/start")
    worker = worker_of(place, d, "web")
    d.kill()
    os.kill(worker, signal.SIGKILL)
    d.start()
    _wait_free(d, 4)
    d.end()


@lease_test("a_worker_that_crashes_is_started_again_by_a_lease_of_a_new_epoch")
def _(place):
    d = Daemon(place)
    d.make("web")
    d.done("POST", "/v1/vms/web/start")
    first = worker_of(place, d, "web")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: worker_of(place, d, "web") not in (None, first), "it is not started again")
    d.wait_state("web", "running")
    check(_told(d)["epoch"] == 3, str(_told(d)))
    check(read_lease(_path(d)) == (HELD, 3, _host(d)), str(read_lease(_path(d))))
    d.done("POST", "/v1/vms/web/stop", {"off": True})
    d.end()


@lease_test("leases_that_were_held_as_the_power_went_are_freed_at_the_next_start")
def _(place):
    d = Daemon(place)
    d.make("web", start={"action": "never"})
    vm, here = uuid.UUID(d.vm("web")["uuid"]), _host(d)
    for owner, after in ((here, (FREE, 8, NOBODY)), (THERE, (HELD, 7, THERE))):
        d.kill()
        write_lease(_path(d), vm, HELD, 7, owner)
        os.rmdir(os.path.join(d.run, "vm"))  # as /run is empty then
        d.start()
        wait_for(lambda a=after: read_lease(_path(d)) == a, f"{read_lease(_path(d))}, not {after}")
    d.end()
