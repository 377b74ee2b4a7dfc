# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks and media that come and go while a VM runs in its sandbox, which opens nothing itself."""

import os

from harness import check, test, wait_for


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
