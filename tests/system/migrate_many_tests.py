# SPDX-License-Identifier: GPL-2.0-or-later
"""Migration of VMs in all their states, and many times; what cannot work is refused with the reason."""

import json
import os
import random
import socket
import time

from harness import check, connected, test, wait_for
from migrate_tests import Move, goes_on
from state_tests import began, last, off

MOVES = 200
CANCELS = 40


def many_test(name):
    return test(name, suite="migrate")


def costs(vm):
    """Descriptors and KiB of its worker."""
    pid = vm.process.pid
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        kib = next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))
    return len(os.listdir(f"/proc/{pid}/fd")), kib


@many_test("two_hundred_migrations_in_a_row_leave_nothing_behind")
def row(place):
    vm = began(place, "count", cpus=2, memory_mib=32)
    vm.expect("COUNT")
    early = None
    for n in range(MOVES):
        old, vm = vm, Move(place, vm).begin().done()
        old.end()
        if n == 10:
            early = costs(vm)
    vm.expect(r"COUNT \d+\n")
    late = costs(vm)
    check(late[0] <= early[0] + 2, f"descriptors: {early[0]}, then {late[0]}")  # clients of the control socket come and go
    check(late[1] < early[1] + 2048, f"KiB: {early[1]}, then {late[1]}")
    vm.type("k")
    vm.passed()


def _told(vm):
    """The lines of one who watches, and asks for the end; none when the worker has ended."""
    with connected(vm.control) or socket.socket() as s:
        try:
            s.sendall(b'{"verb": "watch"}\n{"verb": "migrate-cancel"}\n')
            for line in s.makefile("r", encoding="utf-8"):
                yield (json.loads(line).get("result") or {}).get("migrate") or {}
        except OSError:  # it has ended meanwhile
            pass


def _cancelled(vm):
    """Asks for it, unless the VM has gone; then it stays here, or it has gone."""
    for told in _told(vm):
        if told.get("phase") == "failed":
            return
        # Cut off amid the last word, and without a lease: we know that it runs there.
        if told.get("phase") == "waits" and told["error"]:
            vm.result("stop")
            break
    wait_for(lambda: vm.process.poll() is not None, "it neither goes nor stays")


@many_test("a_migration_may_be_cancelled_at_any_moment")
def cancelled(place):
    vm = began(place, "count", cpus=2)
    vm.expect("COUNT")
    chance, gone = random.Random(1), 0
    for _ in range(CANCELS):
        move = Move(place, vm).begin(bandwidth=8 << 20)
        time.sleep(chance.random() * 0.15)
        _cancelled(vm)
        if vm.process.poll() is None:
            check(vm.result("status")["state"] == "running", "it does not run")
            check(move.target.wait() == 1, "the other side goes on")
        else:
            gone += 1
            vm = move.target
        goes_on(vm)
    print(f"# {gone} of {CANCELS} had gone before")
    vm.type("k")
    vm.passed()


@many_test("four_processors_go")
def four(place):
    vm = began(place, "count", cpus=4)
    vm.expect("COUNT")
    for _ in range(5):
        vm = Move(place, vm).begin().done()
        vm.expect(r"COUNT \d+\n")
    vm.type("k")
    vm.passed()


@many_test("a_paused_vm_goes_and_stays_paused")
def paused(place):
    vm = began(place, "count", cpus=2)
    vm.expect("COUNT")
    vm.result("pause")
    vm = Move(place, vm).begin().done()
    check(vm.result("status")["state"] == "paused", "it is not paused")
    vm.result("resume")
    vm.expect(r"COUNT \d+\n")
    off(vm)


@many_test("a_vm_goes_amid_its_firmware")
def firmware(place):
    disk = {"path": place.sparse("disk.raw", 1 << 20)}
    vm = began(place, "", boot={"firmware": "bios"}, disks=[disk])
    output = ""
    for wait_s in (0.02, 0.1, 0.3, 0.5, 1.0):
        time.sleep(wait_s)
        old, vm = vm, Move(place, vm).begin().done()
        output += old.output()
    wait_for(lambda: "o bootable device" in output + vm.output(), f"the firmware does not come to its end: {output}", 30)
    off(vm)


@many_test("a_disk_that_was_added_while_it_ran_goes_along")
def added(place):
    vm = began(place, "count", cpus=2, controllers=1)
    vm.expect("COUNT")
    path = place.sparse("more.raw", 1 << 20)
    with open(path, "r+b") as file:
        at = vm.result("disk-add", fd=file.fileno(), path=path)
    disks = [{"path": path, "controller": at["controller"], "lun": at["lun"]}]
    vm = Move(place, vm, disks=disks).begin().done()
    check([d["path"] for d in vm.result("statistics")["disks"]] == [path], "it has another disk")
    goes_on(vm)
    # And what was taken out of it before is not there.
    vm.result("disk-remove", **at)
    vm = Move(place, vm).begin().done()
    goes_on(vm)
    off(vm)


@many_test("devices_neither_come_nor_go_meanwhile")
def still(place):
    vm = began(place, "count", cpus=2, controllers=1)
    vm.expect("COUNT")
    move = Move(place, vm).begin(bandwidth=1 << 20, downtime_us=0)
    for verb in ("disk-add", "disk-remove", "nic-add", "save"):
        answer = vm.ask(verb, lun=0)
        check(not answer["ok"] and "it is being migrated" in answer["error"], answer)
    answer = vm.ask("migrate")
    check(not answer["ok"], answer)
    vm.result("migrate-cancel")
    check("cancelled" in move.failed() or "ended" in move.failed(), move.failed())
    off(vm)


@many_test("a_guest_that_resets_ends_its_migration_and_not_itself")
def reset(place):
    vm = began(place, "count", cpus=2)
    vm.expect("COUNT")
    move = Move(place, vm).begin(bandwidth=1 << 20, downtime_us=0)
    vm.result("reset")
    move.failed()
    wait_for(lambda: vm.result("status")["resets"] == 1, "it was not reset")
    wait_for(lambda: vm.result("status")["state"] == "running", "it does not run")
    check(move.target.wait() == 1, "the other side goes on")
    off(vm)


@many_test("a_vm_that_is_stopped_ends_on_both_sides")
def stopped(place):
    vm = began(place, "count", cpus=2)
    vm.expect("COUNT")
    move = Move(place, vm).begin(bandwidth=1 << 20, downtime_us=0)
    off(vm)
    check(move.target.wait() == 1, "the other side goes on")


@many_test("what_does_not_fit_is_refused_with_the_reason")
def refused(place):
    vm = began(place, "count", cpus=2, disks=[{"path": place.sparse("disk.raw", 1 << 20)}])
    vm.expect("COUNT")
    for word, changes in (
        ("memory", {"memory_mib": 128}),
        ("processors", {"cpus": 1}),
        ("CPUID", {"enlightenments": {"stimer": True}}),
        ("the VM has none", {"disks": []}),
    ):
        move = Move(place, vm, **changes).begin()
        check(word in move.failed(), f"{word} is not in: {move.failed()}")
        check("the other host says" in move.failed(), move.failed())
        check(move.target.wait() == 1, "the other side goes on")
        check(vm.result("status")["state"] == "running", "it does not run")
        goes_on(vm)
    before = last(vm, "COUNT")
    check(before is not None, "it does not count")
    vm.type("k")
    vm.passed()


@many_test("a_vm_that_is_coming_can_be_stopped_whatever_the_other_side_does")
def coming(place):
    vm = began(place, "count", cpus=2)
    vm.expect("COUNT")
    for bandwidth in (64 << 10, 1 << 20, 8 << 20):
        move = Move(place, vm).begin(bandwidth=bandwidth, downtime_us=0)
        time.sleep(0.05)
        move.target.result("stop")
        check(move.target.wait() in (0, 1), "exit status")
        check("ended" in move.failed() or "other host" in move.failed(), move.failed())
        goes_on(vm)
    off(vm)


@many_test("a_vm_that_cannot_keep_its_promise_stays_and_goes_on_at_its_full_speed")
def vain(place):
    vm = began(place, "count", cpus=2)
    vm.expect(r"COUNT \d+\n")
    move = Move(place, vm).begin(downtime_us=1)
    told = move.failed(90)
    check("would stand still for" in told and "allow more" in told, told)
    check(move.status()["migrate"]["slowed"] == 0, "it was slowed down by what does not help")
    goes_on(vm)
    off(vm)
