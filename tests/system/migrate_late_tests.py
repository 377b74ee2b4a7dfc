# SPDX-License-Identifier: GPL-2.0-or-later
"""Migration over several connections, and of VMs that run before their memory is there (post-copy).

A guest writes all of its memory over and over, faster than the link is, and looks whether it is as it was.
"""

import json
import os
import signal
import socket

from harness import check, test, wait_for
from migrate_many_tests import costs
from migrate_tests import Move, differences, goes_on, ram
from state_tests import began, last, off

MEMORY_MIB = 192
FILLED_MIB = 96  # of what the guest writes, what is not zeros
LINK = 48 << 20  # bytes a second


def late_test(name):
    return test(name, suite="migrate")


def churning(place, both=False, **config):
    """A guest that fills its memory anew without end."""
    vm = began(place, "recall churn=1" + " both=1" * both, memory_mib=MEMORY_MIB, cpus=1 + both, **config)
    vm.expect(r"RIGHT 0\n", 30)
    return vm


def right(vm, rounds=2):
    """The guest finds its memory right so often from now on."""
    first = last(vm, "RIGHT")
    first = -1 if first is None else first
    wait_for(lambda: (last(vm, "RIGHT") or 0) >= first + rounds, f"it does not go on: {vm.told()}", 40)
    check("FAIL" not in vm.output(), vm.output()[-300:])


def late(place, vm, links=2, **changes):
    """Its migration, once it runs there and its memory is on its way."""
    move = Move(place, vm, **changes).begin(links=links, bandwidth=LINK, postcopy=True)
    wait_for(lambda: move.status()["migrate"]["phase"] == "postcopy", "there is no post-copy", 60)
    return move


@late_test("a_guest_that_writes_faster_than_the_link_goes_before_its_memory")
def converges(place):
    vm = churning(place)
    move = late(place, vm)
    told = move.status()["migrate"]
    check(told["postcopy"] == "chosen" and told["channels"] == 2 and told["slowed"] <= 30, told)
    target = move.done(60)
    wait_for(lambda: target.result("status")["restoring"] is None, "memory comes without end", 20)
    right(target)
    off(target)


@late_test("two_processors_find_their_memory_right_that_comes_late_over_three_connections")
def two(place):
    vm = churning(place, both=True)
    target = late(place, vm, links=3).done(60)
    right(target)
    off(target)


@late_test("memory_goes_over_several_connections_and_is_the_same")
def several(place):
    vm = churning(place)
    for links in (2, 4, 8):
        before = ram(vm)
        # So slow that the first round is under way still when the guest is paused; another one follows.
        move = Move(place, vm).begin(links=links, bandwidth=64 << 20)
        wait_for(lambda: move.status()["migrate"]["sent_bytes"] >= 16 << 20, "nothing is sent", 30)
        check(move.status()["migrate"]["channels"] == links, move.status()["migrate"])
        vm.result("pause")
        target = move.done(60)
        check(differences(before, ram(target)) == [], f"pages {differences(before, ram(target))[:20]}")
        target.result("resume")
        vm.end()
        vm = target
    right(vm)
    off(vm)


@late_test("the_bytes_of_post_copy_are_bounded")
def bounded(place):
    vm = churning(place, end=place.path("end"))
    target = late(place, vm, end=place.path("other end")).done(60)
    with open(place.path("end"), encoding="utf-8") as file:
        told = json.load(file)["migrate"]
    rounds = told["round"]
    check(rounds <= 6 and told["pages_left"] == 0 and told["error"] == "", told)
    # A round has what was written at most, and so has post-copy.
    check(told["sent_bytes"] < (rounds + 1) * (FILLED_MIB + 8 << 20), told)
    right(target)
    off(target)


@late_test("many_moves_by_post_copy_leave_nothing_behind")
def many(place):
    vm = churning(place)
    early = None
    for n in range(6):
        old, vm = vm, late(place, vm).done(60)
        old.end()
        right(vm, 1)
        if n == 1:
            early = costs(vm)
    after = costs(vm)
    check(after[0] <= early[0] + 2, f"descriptors: {early[0]}, then {after[0]}")
    off(vm)


@late_test("a_vm_that_runs_before_its_memory_may_be_reset_or_stopped_and_both_sides_end_well")
def ended_early(place):
    for verb in ("reset", "stop"):
        vm = churning(place)
        move = late(place, vm)
        wait_for(lambda: move.target.result("status")["restoring"], "all of it is there")
        move.target.result(verb)
        check(vm.wait(60) == 0 and "no more" not in vm.errors(), vm.errors())
        if verb == "reset":
            move.target.expect(r"RIGHT 0\n", 40)
            check(move.target.result("status")["restoring"] is None, "it waits still")
            off(move.target)
        check(move.target.wait() == 0, move.target.errors())


@late_test("a_vm_that_runs_there_before_its_memory_is_not_called_back_nor_switched_off_here")
def no_way_back(place):
    vm = churning(place)
    move = late(place, vm)
    answer = vm.ask("migrate-cancel")
    check(not answer["ok"] and "runs on the other host already" in answer["error"], answer)
    vm.ask("stop")
    right(move.done(60))
    off(move.target)


@late_test("a_vm_whose_other_half_is_lost_ends_and_says_so")
def lost(place):
    for kill_source in (True, False):
        vm = churning(place)
        move = late(place, vm)
        wait_for(lambda: move.target.result("status")["restoring"], "all of it is there")
        if kill_source:
            vm.process.send_signal(signal.SIGKILL)
            check(move.target.wait(20) == 1, "it goes on without its memory")
            check("has lost memory" in move.target.errors() or "has ended" in move.target.errors(), move.target.errors())
        else:
            move.target.process.send_signal(signal.SIGKILL)
            check(vm.wait(20) == 0, "it does not end")
            check("runs on the other host no more" in vm.errors(), vm.errors())
            os.unlink(move.target.control)
        for one in (vm, move.target):
            one.end()
            if os.path.exists(one.control):
                os.unlink(one.control)


@late_test("what_post_copy_needs_and_has_not_is_told")
def refused(place):
    vm = began(place, "count", cpus=2)
    vm.expect("COUNT")
    here, there = socket.socketpair()
    with here, there:
        answer = vm.ask("migrate", fd=here.fileno(), postcopy=True)
        check(not answer["ok"] and "a connection of its own" in answer["error"], answer)
        answer = vm.ask("migrate", fd=[here.fileno(), there.fileno()], postcopy=True, quick=True)
        check(not answer["ok"] and "one or the other" in answer["error"], answer)
    move = Move(place, vm)
    pairs = [socket.socketpair() for _ in range(3)]
    move.target.result("incoming", fd=[pairs[n][1].fileno() for n in range(2)])
    vm.result("migrate", fd=[pair[0].fileno() for pair in pairs])
    for pair in pairs:
        for end in pair:
            end.close()
    check("connection" in move.failed(), move.failed())
    check(move.target.wait() == 1, "the other side goes on")
    goes_on(vm)
    off(vm)
