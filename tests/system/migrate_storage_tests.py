# SPDX-License-Identifier: GPL-2.0-or-later
"""Two oyads that have no folder in common move a VM with its disks: whole ones; then, on toys, what is refused, what is undone,
and what becomes of one whose answer was lost."""

import contextlib
import http.client
import json
import os
import signal
import struct
import time

from daemon import worker_of
from harness import Failed, check, wait_for
from leases import FREE, HELD, read_lease
from migrate_host_tests import end, failed, move_test, moving, not_come, offer, only_one, pair, whole

DISKS = [{"file": "disk.raw", "size_mib": 4}, {"file": "more.raw", "size_mib": 1}]
WITH = {"storage": True}


def count(d):
    with open(os.path.join(d.folder(), "disk.raw"), "rb") as f:
        return struct.unpack("<Q", f.read(8))[0]


def counts_on(d):
    before = count(d)
    wait_for(lambda: count(d) > before, f"the guest does not go on: {d.vm('web')} {d.errors()[-600:]}", 15)


def in_mind(path):
    """Whether it is a note of a VM that was undone, kept until its source asks or offers it anew (docs/format/moves.md)."""
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f).get("state") == "undone"
    except (OSError, ValueError):
        return False


def gone(d, may_keep=lambda path: False):
    """Nothing of the VM is left on that host."""
    left = lambda: [path for path in d.left() if not may_keep(path)]  # noqa: E731
    wait_for(lambda: d.names() == [] and not left(), f"something is left: {d.names()} {left()}", 90)
    check(not os.path.lexists(d.folder()), "its folder is left")


def owner(d):
    return read_lease(os.path.join(d.folder(), "lease"))[::2]


# ---- VMs ----


@move_test("a_whole_vm_takes_its_disks_along_and_back_and_they_are_not_left_behind")
def _(place):
    a, b = whole(place, "disk-count", disks=DISKS)
    with open(os.path.join(a.folder(), "more.raw"), "r+b") as f:
        f.seek(700_000)
        f.write(b"kept")
    for here, there, more in ((a, b, {}), (b, a, {"quick": True}), (a, b, {"connections": 2})):
        wait_for(lambda d=here: count(d) > 0, "the guest does not count")
        told = count(here)
        job = here.job("POST", "/v1/vms/web/migrate", there.way(**WITH, **more))
        check(job["state"] == "done", f"{job} {there.errors()[-600:]}")
        check(job["details"]["disk_sent_bytes"] >= job["details"]["disk_bytes"] > 0, f"{job}")
        gone(here)
        check(count(there) >= told, "a count is lost")
        counts_on(there)
        with open(os.path.join(there.folder(), "more.raw"), "rb") as f:
            f.seek(700_000)
            check(f.read(4) == b"kept", "what nobody has written meanwhile is lost")
        check(sorted(os.listdir(there.folder())) == ["disk.raw", "lease", "more.raw", "running", "vm.json"], f"{os.listdir(there.folder())}")
    end(a, b)


@move_test("a_whole_vm_that_is_cancelled_with_its_disks_at_any_moment_is_on_one_host")
def _(place):
    a, b = whole(place, "disk-count", disks=DISKS)
    here, there = a, b
    for n in range(12):
        job = here.good("POST", "/v1/vms/web/migrate", there.way(**WITH, bandwidth=8 << 20), 202)
        time.sleep(n * 0.07)
        here.ask("DELETE", f"/v1/jobs/{job['id']}")
        ended = wait_for(lambda job=job: here.ended(job["id"]), "the job has no end", 30)
        if ended["state"] == "done":
            here, there = there, here
        gone(there, in_mind)
        counts_on(here)
    end(a, b)


@move_test("a_whole_vm_with_its_disks_survives_the_death_of_either_daemon_on_its_way")
def _(place):
    a, b = whole(place, "disk-count", disks=DISKS)
    for delay, source_dies in ((0, True), (1, True), (0.5, False)):
        here, there = (a, b) if a.names() else (b, a)
        mortal = here if source_dies else there
        moving(here, there, **WITH, bandwidth=1 << 18)
        mortal.kill()
        time.sleep(delay)
        mortal.start()
        wait_for(lambda: only_one(a, b), "it is not on one host alone", 60)
        counts_on(a if a.names() else b)
    end(a, b)


# ---- toys ----


@move_test("disks_that_cannot_come_along_are_told_of_before_anything_is_done")
def _(place):
    outside = place.sparse("outside.raw", 1 << 20)
    a, b = pair(place, "manual", disks=[{"file": "disk.raw", "size_mib": 1}, {"file": outside}])

    def refused(sentence, **more):
        failed(a, a.good("POST", "/v1/vms/web/migrate", b.way(**WITH, **more), 202), sentence)
        check(a.vm("web")["state"] == "running", f"{a.vm('web')}")
        not_come(b)

    refused(f"the image {outside} is not in its folder")
    a.refused("POST", "/v1/vms/web/migrate", b.way(**WITH, postcopy=True), 400, "exclude each other")
    a.done("POST", "/v1/vms/web/stop", {"off": True})
    a.good("PATCH", "/v1/vms/web", {"disks": [{"file": "disk.raw"}]})
    a.done("POST", "/v1/vms/web/start")
    stray = os.path.join(a.folder(), "notes.txt")
    with open(stray, "w", encoding="utf-8"):
        pass
    refused("notes.txt is no disk of its settings")
    os.unlink(stray)
    os.mkdir(b.folder())
    refused("there is something at")
    check(os.path.isdir(b.folder()), "it was removed")
    os.rmdir(b.folder())
    body = offer(a, storage={"epoch": 1})
    huge = {**body, "disks": [{"bytes": 1 << 20, "data": 1 << 60}]}
    status, _, answer = b.ask("POST", "/v1/incoming", huge)
    check(status == 409 and "MiB are free" in answer["detail"], f"{status} {answer}")
    for change, sentence in (({"storage": {}}, "epoch"), ({"storage": {"epoch": 1, "x": 1}}, "'x'"), ({"disks": [{"bytes": 1, "data": -1}]}, "'data'")):
        b.refused("POST", "/v1/incoming", {**body, **change}, 400, sentence)
    climbing = {**body["settings"], "disks": [{"file": outside}]}
    status, _, answer = b.ask("POST", "/v1/incoming", {**body, "settings": climbing})
    check(status >= 400 and "does not come along" in answer["detail"], f"{status} {answer}")
    not_come(b)
    check(not os.path.lexists(b.folder()), "a folder is left")
    end(a, b)


@move_test("a_vm_that_has_not_come_with_its_disks_runs_on_once_the_other_host_says_so")
def _(place):
    a, b = pair(place, "manual", disks=DISKS)
    identity, me = a.vm("web")["uuid"], a.good("GET", "/v1/host")["uuid"]
    for how in ("it waits", "its worker was killed", "its daemon was dead", "its daemon came back"):
        job = moving(a, b, **WITH)
        check(sorted(os.listdir(b.folder())) == ["disk.raw", "lease", "more.raw", "vm.json"], f"{os.listdir(b.folder())}")
        check(os.stat(os.path.join(b.folder(), "disk.raw")).st_size == 4 << 20, "the image has another size")
        worker = worker_of(place, b, "web")
        if how == "its worker was killed":
            a.toy(identity, "deafen")
            os.kill(worker, signal.SIGKILL)
            wait_for(lambda: b.names() == [], "it is not taken back", 20)
        elif how != "it waits":
            b.kill()
        a.toy(identity, "lose_the_word")
        if how == "its daemon was dead":
            time.sleep(0.7)
            check(a.vm("web")["state"] != "off" and not a.ended(job["id"]), f"{a.vm('web')}")
            a.refused("DELETE", f"/v1/jobs/{job['id']}", None, 409, "cannot be cancelled")
        if how.startswith("its daemon"):
            b.start()
        failed(a, job, "does not run there")
        check(a.vm("web")["state"] == "running" and str(owner(a)[1]) == me, f"{a.vm('web')} {owner(a)}")
        gone(b)
    end(a, b)


@move_test("a_vm_that_has_come_with_its_disks_leaves_the_source_once_the_other_host_says_so")
def _(place):
    a, b = pair(place, "manual", disks=DISKS)
    for dead in (False, True):
        here, there = (a, b) if a.names() else (b, a)
        identity = here.vm("web")["uuid"]
        job = moving(here, there, **WITH)
        if dead:
            here.toy(identity, "mute")
        here.toy(identity, "switch_deaf")
        there.wait_state("web", "running")
        if dead:  # with the token
            here.kill()
            here.toy(identity, "phase", "asks")
            here.start()
            time.sleep(0.7)
            check(here.names() == ["web"], "it has gone without a word of the other host")
            job = here.good("POST", "/v1/vms/web/migrate", there.way(**WITH), 202)
        else:
            here.toy(identity, "phase", "asks")
        wait_for(lambda job=job: here.ended(job["id"]), "the job has no end", 20)
        gone(here)
        check(there.vm("web")["state"] == "running", f"{there.vm('web')}")
    end(a, b)


@move_test("a_source_whose_worker_was_killed_behind_its_word_is_in_doubt_until_the_other_host_tells")
def _(place):
    a, b = pair(place, "manual", disks=DISKS)
    for come in (False, True):
        identity = a.vm("web")["uuid"]
        job = moving(a, b, **WITH)
        way = b.way(**WITH)
        worker = worker_of(place, a, "web")
        a.toy(identity, "switch_deaf" if come else "lose_the_word")
        if come:
            b.wait_state("web", "running")
        b.kill()
        os.kill(worker, signal.SIGKILL)
        failed(a, job, "only that host knows")
        for daemon_dies in (False, True):
            if daemon_dies:
                a.kill()
                a.start()
            wait_for(lambda: a.vm("web")["state"] == "off", f"{a.vm('web')}")
            failed(a, a.good("POST", "/v1/vms/web/start", None, 202), "holds")
        b.start()
        job = a.good("POST", "/v1/vms/web/migrate", way, 202)
        if come:
            wait_for(lambda job=job: a.ended(job["id"]), "the job has no end", 20)
            gone(a)
            check(b.vm("web")["state"] == "running", f"{b.vm('web')}")
        else:
            failed(a, job, "did not come there")
            gone(b)
            check(owner(a)[0] in (FREE, HELD), f"{owner(a)}")
            if a.vm("web")["state"] == "off":
                a.done("POST", "/v1/vms/web/start")
            a.wait_state("web", "running")
    end(a, b)


def _sweep(place, of_source):
    """One of the daemons dies at each of its steps in turn: the VM is on one host, with its disks."""
    a, b = pair(place, disks=DISKS)
    step, spared = 0, False
    while not spared:
        step += 1
        check(step < 90, "it has no end")
        here, there = (a, b) if a.names() else (b, a)
        mortal = here if of_source else there
        way = there.way(**WITH)
        mortal.strike(step)
        with contextlib.suppress(OSError, http.client.HTTPException):
            job = here.good("POST", "/v1/vms/web/migrate", way, 202)
            wait_for(lambda: mortal.process.poll() is not None or here.ended(job["id"]), "no end", 20)
        spared = mortal.spared(0.2)
        if "web" in there.names() and there.vm("web")["state"] == "incoming" and of_source:
            there.ask("DELETE", "/v1/incoming/web")
        try:
            wait_for(lambda: only_one(a, b), f"it is on {a.names()} and {b.names()}", 20)
            having, other = (a, b) if a.names() else (b, a)
            wait_for(lambda: not os.path.lexists(other.folder()), f"its folder is left: {other.left()}", 20)
            check({"disk.raw", "more.raw", "lease", "vm.json"} <= set(os.listdir(having.folder())), f"{os.listdir(having.folder())}")
        except Failed as e:
            raise Failed(f"killed at step {step}: {e} {a.errors()[-600:]} {b.errors()[-600:]}") from None
    check(step > 8, f"only {step} steps were met")
    print(f"# {step - 1} deaths")
    end(a, b)


@move_test("a_source_that_is_killed_at_any_step_leaves_one_vm_with_its_disks")
def _(place):
    _sweep(place, of_source=True)


@move_test("a_destination_that_is_killed_at_any_step_leaves_one_vm_with_its_disks")
def _(place):
    _sweep(place, of_source=False)
