# SPDX-License-Identifier: GPL-2.0-or-later
"""The folder of a VM goes to another place of its host with its disks, while it runs or is off; what fails on the way."""

import contextlib
import os
import signal
import struct
import subprocess
import time

from crash_tests import STEPS_MAX, Mortal
from daemon import Daemon, worker_of
from harness import Failed, Skipped, check, test, wait_for
from leases import FREE, HELD, read_lease

MIB = 1 << 20


def place_test(name):
    return test(name, suite="host")


def _folder(d, name="web"):
    return os.path.join(d.state, "vms", name)


def _count(path):
    with open(path, "rb") as f:
        return struct.unpack("<Q", f.read(8))[0]


def _moved(d, folder, name="web"):
    d.done("POST", f"/v1/vms/{name}/move-storage", {"folder": folder})


def _other(place, name="other"):
    path = place.path(name)
    os.mkdir(path)
    return path


def _counting(d, name="web", size=4, **settings):
    """A VM whose guest counts on its first disk, and notices when that is not what it has written."""
    disks = [{"file": "disk.raw", "size_mib": size}, {"file": "more.raw", "size_mib": 1}]
    d.make(name, "disk-count", disks=disks, **settings)
    d.done("POST", f"/v1/vms/{name}/start")
    wait_for(lambda: _count(os.path.join(_folder(d, name), "disk.raw")) > 0, "the guest does not count")


def _goes_on(d, name="web"):
    """The image that the settings name is the one that the guest writes."""
    path = os.path.join(_folder(d, name), "disk.raw")
    before = _count(path)
    wait_for(lambda: _count(path) > before, f"the guest does not go on: {d.vm(name)} {d.errors()[-600:]}", 15)
    check(d.vm(name)["state"] == "running", f"{d.vm(name)}")


def _whole(d, name="web", new=None, old=None):
    """Nothing is left of a move: the folder is one of the two, and the other is gone."""
    left = [n for n in os.listdir(os.path.join(d.state, "vms")) if n.startswith(".")]
    check(not left, f"something is left: {left}")
    here = os.path.realpath(_folder(d, name))
    check(not [n for n in os.listdir(here) if n.startswith(".")], f"{os.listdir(here)}")
    if new and here != new:
        check(not os.path.exists(new), "the new folder is left")
    if old and old not in (here, _folder(d, name)):
        check(not os.path.exists(old), "the old folder is left")
    return here


def _off(d, name="web"):
    d.done("POST", f"/v1/vms/{name}/stop", {"off": True})


@place_test("the_disks_of_a_vm_move_there_and_back_while_its_guest_writes_them")
def _(place):
    d = Daemon(place)
    _counting(d)
    other, more = _other(place), _other(place, "more")
    sparse = os.path.join(_folder(d), "notes.txt")
    with open(sparse, "w", encoding="utf-8") as f:
        f.write("kept")
    worker = worker_of(place, d, "web")
    for to, folder in ((other, None), (more, None), (os.path.join(d.state, "vms"), _folder(d))):
        old = os.path.realpath(_folder(d))
        lease = read_lease(os.path.join(old, "lease"))
        _moved(d, to)
        new = folder or os.path.join(to, "web")
        check(_whole(d, new=new, old=old) == new, f"it is in {os.path.realpath(_folder(d))}")
        check(worker_of(place, d, "web") == worker, "it is another worker")
        _goes_on(d)
        check(sorted(os.listdir(new)) == ["disk.raw", "lease", "more.raw", "notes.txt", "running", "vm.json"], f"{os.listdir(new)}")
        now = read_lease(os.path.join(new, "lease"))
        check(now == (HELD, lease[1] + 1, lease[2]), f"{lease} became {now}")
        _lets_go(worker)
    _off(d)
    check(read_lease(os.path.join(_folder(d), "lease"))[0] == FREE, "its lease is held")
    check(not os.listdir(other) and not os.listdir(more), "something is left")
    d.end()


def _lets_go(worker):
    """It has no file of the old folder open."""
    old = []
    for fd in os.listdir(f"/proc/{worker}/fd"):
        with contextlib.suppress(OSError):
            old.append(os.readlink(f"/proc/{worker}/fd/{fd}"))
    old = [name for name in old if "(deleted)" in name and name.split()[0].endswith((".raw", "/lease"))]
    check(not old, f"{old} are open")


@place_test("a_vm_without_disks_moves_with_its_lease_by_the_command")
def _(place):
    d = Daemon(place)
    other = _other(place)
    d.make("web")
    d.done("POST", "/v1/vms/web/start")
    status, output, errors = place.run("vm", "move-storage", "web", "other", "--socket", d.api)
    check(status == 0 and output == f"The folder of the VM 'web' is in {other} now.\n", f"{status} {output} {errors}")
    check(_whole(d) == os.path.join(other, "web"), "it is not there")
    _lets_go(worker_of(place, d, "web"))
    status, output, errors = place.run("vm", "move-storage", "web", "/none", "--socket", d.api)
    check(status == 1 and "there is no folder /none" in errors, f"{status} {output} {errors}")
    d.done("POST", "/v1/vms/web/save")
    d.done("POST", "/v1/vms/web/start")
    _off(d)
    d.end()


@place_test("a_vm_that_is_off_paused_or_saved_moves_and_is_so_still")
def _(place):
    d = Daemon(place)
    other = _other(place)
    _counting(d)
    for state, become, back in (
        ("paused", lambda: d.good("POST", "/v1/vms/web/pause"), lambda: d.good("POST", "/v1/vms/web/resume")),
        ("saved", lambda: d.done("POST", "/v1/vms/web/save"), lambda: d.done("POST", "/v1/vms/web/start")),
        ("off", lambda: _off(d), lambda: d.done("POST", "/v1/vms/web/start")),
    ):
        become()
        d.wait_state("web", state)
        _moved(d, other)
        check(d.vm("web")["state"] == state and _whole(d) == os.path.join(other, "web"), f"{d.vm('web')}")
        back()
        d.wait_state("web", "running")
        _goes_on(d)
        _moved(d, os.path.join(d.state, "vms"))
        _goes_on(d)
    _off(d)
    d.end()


@place_test("holes_stay_holes_and_every_byte_is_the_same")
def _(place):
    d = Daemon(place)
    other = _other(place)
    d.make("web", disks=[{"file": "disk.raw", "size_mib": 256}])
    path = os.path.join(_folder(d), "disk.raw")
    pieces = {0: b"begin", 4095: b"x" * 3, 10 * MIB: os.urandom(300000), 100 * MIB + 512: b"y", 256 * MIB - 7: b"the end"}
    with open(path, "r+b") as f:
        for at, data in pieces.items():
            f.seek(at)
            f.write(data)
        f.seek(50 * MIB)
        f.write(bytes(4 * MIB))  # zeros that take space
    for how in ("off", "running"):
        if how == "running":
            d.done("POST", "/v1/vms/web/start")
        before = os.stat(path).st_blocks * 512
        _moved(d, other if how == "off" else os.path.join(d.state, "vms"))
        st = os.stat(path)
        check(st.st_size == 256 * MIB, f"{st.st_size} bytes")
        check(st.st_blocks * 512 <= min(before, 2 * MIB), f"{st.st_blocks * 512} bytes on the disk, {before} before")
        with open(path, "rb") as f:
            for at, data in pieces.items():
                f.seek(at)
                check(f.read(len(data)) == data, f"other bytes at {at}")
            f.seek(50 * MIB)
            check(f.read(4 * MIB) == bytes(4 * MIB), "no zeros")
    _off(d)
    d.end()


@place_test("what_cannot_be_moved_is_refused_with_the_reason_and_stays")
def _(place):
    d = Daemon(place)
    other = _other(place)
    d.make("web", disks=[{"file": "disk.raw", "size_mib": 1}])
    for body, sentence in (
        ({}, "'folder'"),
        ({"folder": "other"}, "no absolute path"),
        ({"folder": other, "more": 1}, "'more'"),
    ):
        d.refused("POST", "/v1/vms/web/move-storage", body, 400, sentence)

    def fails(folder, sentence):
        job = d.job("POST", "/v1/vms/web/move-storage", {"folder": folder})
        check(job["state"] == "failed" and sentence in job["problem"], f"{job}")
        check(_whole(d) == _folder(d), "it has moved")

    fails(place.path("none"), "there is no folder")
    fails(os.path.join(d.state, "vms"), "already")
    fails(_folder(d), "within its folder")
    os.mkdir(os.path.join(other, "web"))
    fails(other, "there is something at")
    check(os.listdir(other) == ["web"], "somebody's folder is gone")
    os.rmdir(os.path.join(other, "web"))
    os.symlink("/dev/null", os.path.join(_folder(d), "link.raw"))
    fails(other, "not a regular file")
    os.unlink(os.path.join(_folder(d), "link.raw"))
    d.good("PATCH", "/v1/vms/web", {"disks": [{"file": os.path.join(_folder(d), "disk.raw")}]})
    fails(other, "by its path, which moves")
    d.good("PATCH", "/v1/vms/web", {"disks": [{"file": "disk.raw"}]})
    check(os.listdir(other) == [], f"{os.listdir(other)}")
    _moved(d, other)
    d.end()


@contextlib.contextmanager
def _small(place, mib):
    """A file system of so many MiB."""
    image, path = place.sparse("small.img", mib * MIB), _other(place, "small")
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, path], capture_output=True).returncode:
        raise Skipped("a file system cannot be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@place_test("a_file_system_that_is_full_ends_the_move_and_the_guest_does_not_notice")
def _(place):
    d = Daemon(place)
    _counting(d, size=64)
    with open(os.path.join(_folder(d), "disk.raw"), "r+b") as f:
        f.seek(MIB)
        f.write(os.urandom(40 * MIB))
    with _small(place, 16) as small:
        for _ in range(2):
            job = d.job("POST", "/v1/vms/web/move-storage", {"folder": small})
            check(job["state"] == "failed" and "No space left" in job["problem"], f"{job}")
            check(_whole(d) == _folder(d), "it has moved")
            check([n for n in os.listdir(small) if n != "lost+found"] == [], f"{os.listdir(small)}")
            _goes_on(d)
        _off(d)
        job = d.job("POST", "/v1/vms/web/move-storage", {"folder": small})
        check(job["state"] == "failed" and "No space left" in job["problem"], f"{job}")
        check(_whole(d) == _folder(d), "it has moved")
    check(read_lease(os.path.join(_folder(d), "lease"))[0] == FREE, "its lease is held")
    d.end()


@place_test("a_move_is_cancelled_by_its_job_at_any_moment")
def _(place):
    d = Daemon(place)
    other = _other(place)
    _counting(d, size=64)
    with open(os.path.join(_folder(d), "disk.raw"), "r+b") as f:
        f.seek(MIB)
        f.write(os.urandom(48 * MIB))
    for n in range(8):
        job = d.good("POST", "/v1/vms/web/move-storage", {"folder": other}, 202)
        d.refused("PATCH", "/v1/vms/web", {"notes": "x"}, 409, "being changed")
        time.sleep(n * 0.03)
        d.ask("DELETE", f"/v1/jobs/{job['id']}")
        ended = wait_for(lambda job=job: d.ended(job["id"]), "the job has no end", 30)
        here = _whole(d, new=os.path.join(other, "web"), old=_folder(d) if os.path.islink(_folder(d)) else None)
        check((here != _folder(d)) == (ended["state"] == "done"), f"{here}: {ended}")
        _goes_on(d)
        if ended["state"] == "done":
            _moved(d, os.path.join(d.state, "vms"))
    _off(d)
    d.end()


@place_test("a_worker_that_is_killed_on_its_way_leaves_one_whole_folder")
def _(place):
    d = Daemon(place)
    other = _other(place)
    _counting(d, size=32, crash={"action": "leave"})
    with open(os.path.join(_folder(d), "disk.raw"), "r+b") as f:
        f.seek(MIB)
        f.write(os.urandom(24 * MIB))
    for n in range(8):
        job = d.good("POST", "/v1/vms/web/move-storage", {"folder": other if not os.path.islink(_folder(d)) else os.path.join(d.state, "vms")}, 202)
        time.sleep(n * 0.04)
        told = _count(os.path.join(_folder(d), "disk.raw"))
        with contextlib.suppress(TypeError, ProcessLookupError):
            os.kill(worker_of(place, d, "web"), signal.SIGKILL)
        wait_for(lambda job=job: d.ended(job["id"]), "the job has no end", 30)
        d.wait_state("web", "off")
        _whole(d, new=os.path.join(other, "web"))
        check(_count(os.path.join(_folder(d), "disk.raw")) >= told, "a count is lost")
        d.done("POST", "/v1/vms/web/start")
        _goes_on(d)
    _off(d)
    d.end()


HALF = 13  # of the steps of a move


def _swept(place, running, first, last=STEPS_MAX):
    """The daemon killed at steps of a move, or up to its end: one folder, in which each count is that was written before."""
    d = Mortal(place)
    other = _other(place)
    for steps in range(first, last + 1):
        check(steps < STEPS_MAX, "it has no end")
        name = f"vm{steps}"
        _counting(d, name, size=2)
        if not running:
            _off(d, name)
        told = _count(os.path.join(_folder(d, name), "disk.raw"))

        def ended(d, job):
            check(wait_for(lambda: d.ended(job["id"]), "the job does not end")["state"] == "done", "it failed")

        died, acknowledged = d.dies_at(steps, "POST", f"/v1/vms/{name}/move-storage", {"folder": other}, ended)
        check(died or acknowledged, "it lives, and has acknowledged nothing")
        try:
            d.wait_state(name, "running" if running else "off")
            new = os.path.join(other, name)
            wait_for(lambda name=name: _is_settled(d, name), f"it is not settled: {os.listdir(os.path.join(d.state, 'vms'))}", 15)
            here = _whole(d, name, new=new)
            check(here == new or not acknowledged, "what was acknowledged is undone")
            check(_count(os.path.join(here, "disk.raw")) >= told, "a count is lost")
            if not running:
                wait_for(lambda here=here: read_lease(os.path.join(here, "lease"))[0] == FREE, "its lease is held")
            if not running and steps % 4 == 0:
                d.done("POST", f"/v1/vms/{name}/start")
            if running or steps % 4 == 0:
                _goes_on(d, name)
        except Failed as e:
            raise Failed(f"killed at step {steps}: {e}") from None
        if d.vm(name)["state"] != "off":
            _off(d, name)
        d.good("DELETE", f"/v1/vms/{name}?disks=delete", status=204)
        check(not os.listdir(other), f"{os.listdir(other)}")
        if not died:
            break
    check(steps > HALF - 1, f"only {steps} steps were met")
    print(f"# up to step {steps}")
    d.end()


def _is_settled(d, name):
    vms = os.listdir(os.path.join(d.state, "vms"))
    return not [n for n in vms if n.startswith(".")] and not os.path.exists(os.path.join(_folder(d, name), ".new-place"))


@place_test("a_vm_that_runs_is_in_one_place_when_the_daemon_is_killed_as_it_begins_to_move")
def _(place):
    _swept(place, True, 1, HALF)


@place_test("a_vm_that_runs_is_in_one_place_when_the_daemon_is_killed_as_it_ends_its_move")
def _(place):
    _swept(place, True, HALF + 1)


@place_test("a_vm_that_is_off_is_in_one_place_when_the_daemon_is_killed_as_it_begins_to_move")
def _(place):
    _swept(place, False, 1, HALF)


@place_test("a_vm_that_is_off_is_in_one_place_when_the_daemon_is_killed_as_it_ends_its_move")
def _(place):
    _swept(place, False, HALF + 1)


@place_test("a_vm_is_in_one_place_whichever_step_the_disk_fails_as_it_moves")
def _(place):
    d = Mortal(place)
    other = _other(place)
    _counting(d, size=2)
    for step in range(1, STEPS_MAX):
        at_home = not os.path.islink(_folder(d))
        d._strike(f"fail {step}")
        job = d.job("POST", "/v1/vms/web/move-storage", {"folder": other if at_home else os.path.join(d.state, "vms")})
        failed = not os.path.exists(d.die)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(d.die)
        check(failed or job["state"] == "done", f"{job}")
        check((at_home == (not os.path.islink(_folder(d)))) == (job["state"] == "failed"), f"step {step}: {job}")
        _goes_on(d)
        if job.get("log"):  # what could not be removed is so at the next start
            d.kill()
            d.start()
            d.wait_state("web", "running")
            wait_for(lambda: _is_settled(d, "web"), "it is not settled", 15)
        _whole(d, new=os.path.join(other, "web"))
        _goes_on(d)
        if not failed:
            break
    check(step > 8, f"only {step} steps were met")
    _off(d)
    d.end()
