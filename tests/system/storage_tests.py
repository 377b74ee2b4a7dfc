# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks and media that come and go while a VM runs in its sandbox, which opens nothing itself."""

import contextlib
import os
import subprocess

from harness import Skipped, check, test, wait_for


def opened(path, flags=os.O_RDWR):
    return os.open(path, flags | os.O_CLOEXEC)


def add(vm, path, flags=os.O_RDWR, **arguments):
    fd = opened(path, flags)
    try:
        return vm.result("disk-add", fd=fd, path=path, **arguments)
    finally:
        os.close(fd)


def listed(vm):
    return [(d["controller"], d["lun"], d["type"], d["path"]) for d in vm.result("statistics")["disks"]]


@test("disks_are_added_and_removed_in_the_midst_of_disk_io")
def come_and_go(place):
    first, second = place.disk(2048), place.sparse("hot", 1 << 20)
    vm = place.vm("disk-load", "--disk", first, "--controllers", "2")
    vm.expect("ROUND 0")
    for n in range(20):
        at = {"controller": n % 2, "lun": 1 + n}
        check(add(vm, second, **at) == at, "another place")
        check(listed(vm)[-1] == (n % 2, 1 + n, "disk", second), f"{listed(vm)}")
        check(vm.result("disk-remove", **at) == {"done": True}, "it stays")
    check(add(vm, second, sector_size=4096, serial="abc") == {"controller": 0, "lun": 1}, "place")
    check(vm.result("statistics")["disks"][0]["errors"] == 0, "errors")
    vm.result("reset")
    wait_for(lambda: vm.output().count("ROUND 0\n") == 2, "no second boot")
    check(len(listed(vm)) == 2, "the added disk did not outlive the reset")
    vm.type("x")
    vm.passed()


@test("disk_of_the_guest_is_taken_away_in_the_midst_of_its_io")
def taken_away(place):
    path = place.disk(2048)
    vm = place.vm("disk-load", "--disk", path)
    vm.expect("ROUND 0")
    vm.result("disk-remove", lun=0)
    wait_for(lambda: not listed(vm), "its requests do not end")
    vm.expect("A READ FAILED")
    add(vm, path, lun=0)  # its lock is free again
    vm.result("stop")
    check(vm.wait() == 0, "exit status")


def mirror(vm, path, size, lun=0):
    """Begins to copy a disk to a new file."""
    with open(path, "xb") as f:
        os.truncate(path, size)
    fd = opened(path)
    try:
        # One that has failed may be ending still.
        wait_for(lambda: vm.ask("mirror-add", fd=fd, lun=lun)["ok"], "it is refused")
    finally:
        os.close(fd)


def phase(vm, *wanted):
    def look():
        now = vm.result("status")["mirror"]
        check(now["phase"] in wanted or now["phase"] not in ("failed", "done"), f"{now}")
        return now if now["phase"] in wanted else None

    return wait_for(look, f"it does not become {wanted}", 15)


def content(path):
    with open(path, "rb") as f:
        return f.read()


@test("disks_are_copied_in_the_midst_of_writes_and_the_copy_takes_their_place")
def mirrored(place):
    first = place.sparse("disk.raw", 8 << 20)
    vm = place.vm("disk-churn", "--disk", first)
    vm.expect("ROUND 4")
    for n in range(4):
        copy = place.path(f"copy{n}")
        mirror(vm, copy, 8 << 20)
        answer = vm.ask("disk-remove", lun=0)
        check("being copied" in answer["error"], f"{answer}")
        phase(vm, "even")
        if n != 1:
            vm.result("mirror-commit")
        if n in (1, 2):
            vm.result("mirror-cancel")
            phase(vm, "failed")
            continue
        vm.result("mirror-switch")
        phase(vm, "done")
        before = content(first)
        rounds = vm.output().count("ROUND")
        wait_for(lambda rounds=rounds: vm.output().count("ROUND") > rounds, "the guest does not go on")
        check(content(first) == before, "the old image is still written")
        first = copy
    vm.type("x")
    vm.passed()


@test("copies_and_images_are_the_same_once_they_are_committed")
def the_same(place):
    first = place.sparse("disk.raw", 8 << 20)
    vm = place.vm("disk-churn", "--disk", first)
    vm.expect("ROUND 4")
    mirror(vm, place.path("copy"), 8 << 20)
    phase(vm, "even")
    vm.result("mirror-commit")
    vm.result("pause")  # what is under way ends
    wait_for(lambda: content(first) == content(place.path("copy")), "they are not the same")
    vm.result("resume")
    vm.expect("ROUND")
    vm.result("stop")
    check(vm.wait() == 0, "exit status")


@test("a_copy_that_is_full_ends_the_copying_before_the_commit_and_pauses_the_vm_behind_it")
def full_copy(place):
    first = place.sparse("disk.raw", 8 << 20)
    small = place.path("small")
    os.mkdir(small)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "oya-test", small], capture_output=True).returncode:
        raise Skipped("a file system cannot be mounted here")
    try:
        vm = place.vm("disk-churn", "--disk", first)
        vm.expect("ROUND 16")
        mirror(vm, os.path.join(small, "copy"), 8 << 20)
        phase(vm, "failed")
        check("No space left" in vm.result("status")["mirror"]["error"], f"{vm.result('status')}")
        vm.expect("ROUND")
        os.unlink(os.path.join(small, "copy"))
        subprocess.run(["mount", "-o", "remount,size=32m", small], check=True)
        mirror(vm, os.path.join(small, "copy"), 8 << 20)
        phase(vm, "even")
        vm.result("mirror-commit")
        fill = os.path.join(small, "fill")
        with open(fill, "wb", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(bytes(4096))
        wait_for(lambda: vm.result("status")["state"] == "paused", "the failure of the copy is not the disk's", 15)
        check("No space left" in vm.result("status")["reason"], f"{vm.result('status')}")
        os.unlink(fill)
        vm.result("resume")
        wait_for(lambda: vm.result("status")["state"] == "running", "it does not go on")
        vm.result("mirror-cancel")
        phase(vm, "failed")
        vm.type("x")
        vm.passed()
    finally:
        subprocess.run(["umount", "-l", small], check=True)


@test("medium_is_changed_in_the_sandbox")
def medium(place):
    first, second = place.sparse("1.iso", 4096), place.sparse("2.iso", 8192)
    vm = place.vm("halted", "--dvd", first + ",lun=3", "--dvd", "empty")
    vm.expect("READY")
    check(listed(vm) == [(0, 0, "dvd", None), (0, 3, "dvd", first)], f"{listed(vm)}")
    fd = opened(second, os.O_RDONLY)
    answer = vm.ask("medium-insert", fd=fd, lun=3)
    check(not answer["ok"] and "eject it first" in answer["error"], f"{answer}")
    check(vm.result("medium-eject", lun=3) == {"done": True}, "it stays")
    vm.result("medium-insert", fd=fd, lun=3, path="second")
    vm.result("medium-insert", fd=fd, lun=0)  # readers share
    os.close(fd)
    check(listed(vm)[1] == (0, 3, "dvd", "second"), f"{listed(vm)}")
    vm.result("stop")
    check(vm.wait() == 0, "exit status")
