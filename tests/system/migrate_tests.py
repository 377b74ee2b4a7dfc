# SPDX-License-Identifier: GPL-2.0-or-later
"""Live migration between two workers: a VM goes on in another process as if nothing had been."""

import contextlib
import mmap
import os
import re
import socket

from harness import check, test, wait_for
from state_tests import began, last, off

PAGE = 4096


class Move:
    """A VM on its way: the worker that it leaves, the one that it comes to, and the link between."""

    def __init__(self, place, vm, **changes):
        self.source = vm
        self.target = place.vm("", worker={**place.config, **changes, "incoming": True})
        check(self.target.result("status")["state"] == "incoming", "it does not wait")

    def begin(self, *ends, links=1, **wish):
        """Connects the two, by so many pairs of sockets of their own or by those given."""
        with contextlib.ExitStack() as stack:
            pairs = ends or [socket.socketpair() for _ in range(links)]
            for pair in pairs:
                for end in pair:
                    stack.enter_context(end)
            storage = {"storage": True} if wish.get("storage") else {}
            self.target.result("incoming", fd=[theirs.fileno() for _, theirs in pairs], **storage)
            self.source.result("migrate", fd=[ours.fileno() for ours, _ in pairs], **wish)
        return self

    def status(self):
        return self.source.result("status")

    def failed(self, seconds=20):
        """Waits until the source tells why it was given up; the sentence."""

        def look():
            told = self.status()["migrate"]
            return told["error"] if told["phase"] == "failed" else None

        return wait_for(look, "the migration does not fail", seconds)

    def done(self, seconds=30):
        """The source has ended; the target."""
        check(self.source.wait(seconds) == 0, self.source.errors())
        state = self.target.result("status")["state"]
        check(state in ("running", "paused"), f"it is {state}")
        return self.target


def goes_on(vm):
    before = last(vm, "COUNT")
    wait_for(lambda: last(vm, "COUNT") != before, "the guest does not go on")


def ram(vm):
    """The memory of a VM, which stays when its worker has ended."""
    pid = vm.process.pid
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        if os.readlink(path).startswith("/memfd:"):
            with open(path, "rb") as file:
                return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    raise AssertionError("it has no memory")


def differences(a, b):
    """Numbers of the pages of two memories that are not the same."""
    check(len(a) == len(b), "they are of different sizes")
    return [at // PAGE for at in range(0, len(a), PAGE) if a[at : at + PAGE] != b[at : at + PAGE]]


@test("a_vm_goes_to_another_worker_and_on_again_and_again")
def again(place):
    vm = began(place, "count", cpus=2)
    vm.expect(r"COUNT \d+\n")
    for _ in range(10):
        vm = Move(place, vm).begin().done()
        vm.expect(r"COUNT \d+\n")
    vm.type("k")
    vm.passed()


@test("a_vm_that_is_migrated_has_lost_nothing_of_its_disk")
def disk(place):
    vm = began(place, "disk-load", disks=[{"path": place.disk(sectors=2048)}])
    vm.expect("ROUND 0")
    for _ in range(5):
        vm = Move(place, vm).begin().done()
        vm.expect(r"ROUND \d+\n", 30)
    off(vm)


@test("both_sides_have_the_same_memory_whatever_devices_have_written_meanwhile")
def same(place):
    vm = began(place, "disk-count", disks=[{"path": place.sparse("disk.raw", 1 << 20)}])
    vm.expect("COUNT")
    before = ram(vm)
    # So slow that a page takes longer than is allowed, which is more than a guest that is slowed down costs: there are
    # rounds for as long as disk and bus write.
    move = Move(place, vm).begin(downtime_us=8000, bandwidth=384 << 10, compress=False)
    wait_for(lambda: move.status()["migrate"]["round"] >= 4, "there are no rounds", 30)
    vm.result("pause")
    target = move.done(60)
    check(target.result("status")["state"] == "paused", "it is not paused")
    check(differences(before, ram(target)) == [], f"pages {differences(before, ram(target))[:20]}")
    target.result("resume")
    target.expect(r"COUNT \d+\n", 30)
    off(target)


@test("a_vm_that_goes_quickly_stands_still_on_its_way_and_loses_nothing")
def quick(place):
    vm = began(place, "disk-count", disks=[{"path": place.sparse("disk.raw", 1 << 20)}])
    vm.expect("COUNT")
    for _ in range(3):
        vm = Move(place, vm).begin(quick=True).done()
        vm.expect(r"COUNT \d+\n")
    off(vm)


@test("a_quick_migration_that_fails_lets_the_vm_go_on")
def quick_failed(place):
    vm = began(place, "count", cpus=2)
    vm.expect("COUNT")
    move = Move(place, vm, memory_mib=128).begin(quick=True)
    check("memory" in move.failed(), move.failed())
    goes_on(vm)
    off(vm)
