# SPDX-License-Identifier: GPL-2.0-or-later
"""Migration with disks: each side has images and a lease of its own. Nothing of the disk is lost; each side killed and each
direction silent, at every message.

The tests are the daemons of both: a source that stands still asks what became of its VM, and is told what the target's lease
says, once the target runs or has ended.
"""

import os
import time
import uuid

from harness import Failed, check, test, wait_for
from leases import HELD, HERE, OFFERED, THERE, read_lease, write_lease
from migrate_fault_tests import Line, disk_count, fall_silent, has_ended, kill_source, kill_target, state_of
from migrate_tests import Move
from state_tests import UUID, began, last, off

MIB = 1 << 20


class Apart:
    """A VM held by HERE, and a target that waits with an empty image and a lease that is offered to it."""

    def __init__(self, place, number, guest_test="disk-count", size=MIB, **settings):
        self.place = place
        self.disks = [place.sparse(f"disk{number}-{side}", size) for side in range(2)]
        self.leases = [place.path(f"lease{number}-{side}") for side in range(2)]
        write_lease(self.leases[0], uuid.UUID(UUID), HELD, 1, HERE)
        write_lease(self.leases[1], uuid.UUID(UUID), OFFERED, 2, HERE, THERE)
        lease = {"path": self.leases[0], "epoch": 1, "host": str(HERE)}
        disks = [{"path": self.disks[0], **settings}]
        self.source = began(place, guest_test, memory_mib=32, disks=disks, lease=lease)
        self.move = None

    def begin(self, *ends, **wish):
        there = {"path": self.leases[1], "host": str(THERE)}
        disks = [{**self.place.config["disks"][0], "path": self.disks[1]}]
        self.move = Move(self.place, self.source, disks=disks, lease=there)
        self.move.begin(*ends, target=str(THERE), storage=True, **wish)

    def came(self):
        """Whether the target has had the VM, for good: asked for, it comes no more."""
        target = self.move.target
        state, _, owner = read_lease(self.leases[1])
        if (state, owner) == (HELD, THERE):
            return True
        if not has_ended(target):
            try:
                if not target.ask("incoming-cancel")["ok"]:
                    return True
            except (Failed, OSError):
                pass
            wait_for(lambda: has_ended(target), "it does not end", 20)
        state, _, owner = read_lease(self.leases[1])
        return (state, owner) == (HELD, THERE)

    def asks(self):
        """Tells the source what it stands still for; whether it did."""
        try:
            told = self.source.ask("status")["result"]["migrate"]
        except (Failed, OSError, KeyError, TypeError):
            return False
        if not told or told["phase"] != "asks":
            return False
        self.source.ask("migrate-hear", there=self.came())
        return True

    def settled(self):
        """Both have ended or run; their states."""
        asked = [0]

        def look():
            asked[0] += self.asks()
            states = (state_of(self.source), state_of(self.move.target))
            check(states != ("running", "running"), "both run")
            return states if all(s in (None, "running") for s in states) else None

        states = wait_for(look, f"not settled: {state_of(self.source)}, {state_of(self.move.target)}", 30)
        return (*states, asked[0])

    def anew(self):
        """Started where it is now, when both have ended."""
        there = self.came()
        if not there:
            state, _, owner = read_lease(self.leases[0])
            check(state == HELD and owner in (HERE, THERE), f"the lease is {state} of {owner}")
        host, path = (THERE, self.leases[1]) if there else (HERE, self.leases[0])
        epoch = read_lease(path)[1] + 1
        write_lease(path, uuid.UUID(UUID), HELD, epoch, host)
        disks = [{**self.place.config["disks"][0], "path": self.disks[there]}]
        return there, self.place.vm(
            "", worker={**self.place.config, "disks": disks, "lease": {"path": path, "epoch": epoch, "host": str(host)}}
        )


def _one(place, number, at=None, act=None):
    """One migration in which `act` happens at a message: the line, and whether the source asked."""
    apart = Apart(place, number)
    apart.source.expect("COUNT")
    line = Line(at, act and (lambda line, name: act(line, name, apart.source, apart.move.target)))
    try:
        apart.begin(*line.pairs)
    except (Failed, OSError):
        wait_for(lambda: has_ended(apart.source) or has_ended(apart.move.target), "it does not begin")
    source, target = apart.source, apart.move.target
    if at is not None:
        wait_for(lambda: line.happened.is_set() or apart.asks() or has_ended(source), "nothing happens", 20)
        time.sleep(0.02)
    states = apart.settled()
    here, there = (read_lease(path)[::2] for path in apart.leases)
    if states[0]:
        check(here == (HELD, HERE) and there != (HELD, THERE), f"the source runs, and the leases are {here}, {there}")
        vm, side = source, 0
    elif states[1]:
        check(here == there == (HELD, THERE), f"the target runs, and the leases are {here}, {there}")
        vm, side = target, 1
    else:
        check(act in (kill_source, kill_target), f"nobody runs it: {source.told()} {target.told()}")
        side, vm = apart.anew()
    told = max(last(source, "COUNT") or 0, last(target, "COUNT") or 0)
    check(disk_count(apart.disks[side]) >= told, f"{told} were told of, {disk_count(apart.disks[side])} are on the disk")
    before = last(vm, "COUNT")
    wait_for(lambda: last(vm, "COUNT") != before, "the guest does not go on")
    off(vm)
    for one in (source, target, vm):
        one.end()
        if os.path.exists(one.control):  # of one that was killed
            os.unlink(one.control)
    place.vms.clear()
    for path in apart.disks:
        os.unlink(path)
    return line, states[2]


def _at_every_message(place, act):
    whole, _ = _one(place, 0)
    faults = asked = 0
    for way, count in whole.count.items():
        for n in range(count):
            asked += _one(place, 1 + faults, (way, n), act)[1]
            faults += 1
    check(faults > 30, f"only {faults} faults")
    print(f"# {faults} faults, the source asked after {asked}")


def apart_test(name):
    return test(name, suite="migrate")


@apart_test("a_guest_that_writes_all_over_a_disk_that_comes_along_finds_nothing_lost")
def churn(place):
    for number, wish in enumerate(({}, {"quick": True}, {"bandwidth": 8 * MIB}, {"links": 3})):
        apart = Apart(place, number, "disk-churn", 4 * MIB)
        apart.source.expect("ROUND", 60)
        apart.begin(**wish)
        vm = apart.move.done()
        told = apart.source.output()
        vm.expect(r"ROUND \d+\n", 60)
        vm.type("k")
        vm.passed()
        check("FAIL" not in told, told[-300:])
        check(read_lease(apart.leases[0])[::2] == (HELD, THERE), f"{read_lease(apart.leases[0])}")
        place.vms.clear()


@apart_test("a_disk_that_comes_along_past_the_page_cache_is_whole_and_as_sparse_as_it_was")
def sparse(place):
    apart = Apart(place, 0, "disk-count", 512 * MIB)
    with open(apart.disks[0], "r+b") as f:
        f.seek(300 * MIB + 4096)
        f.write(b"far behind")
    apart.source.expect("COUNT")
    apart.begin()
    vm = apart.move.done()
    off(vm)
    with open(apart.disks[1], "rb") as f:
        f.seek(300 * MIB + 4096)
        check(f.read(10) == b"far behind", "what was there before the guest is lost")
    blocks = os.stat(apart.disks[1]).st_blocks
    check(blocks * 512 < 2 * MIB, f"it has {blocks} blocks")


@apart_test("a_target_that_does_not_know_of_disks_or_has_none_of_them_refuses_them")
def refused(place):
    apart = Apart(place, 0)
    apart.source.expect("COUNT")
    there = {"path": apart.leases[1], "host": str(THERE)}
    disks = [{**place.config["disks"][0], "path": apart.disks[1]}]
    move = Move(place, apart.source, disks=disks, lease=there)
    move.target.result = lambda verb, fd=None, **more: type(move.target).result(move.target, verb, fd)
    move.begin(target=str(THERE), storage=True)
    check("here they are the same" in move.failed(), move.failed())
    apart.source.expect(r"COUNT \d+\n")
    check(read_lease(apart.leases[0])[::2] == (HELD, HERE), f"{read_lease(apart.leases[0])}")
    check(disk_count(apart.disks[1]) == 0, "it was written")
    off(apart.source)


@apart_test("the_source_with_its_disks_may_be_killed_at_every_message")
def source_killed(place):
    _at_every_message(place, kill_source)


@apart_test("the_target_of_disks_may_be_killed_at_every_message")
def target_killed(place):
    _at_every_message(place, kill_target)


@apart_test("either_direction_of_a_move_with_disks_may_fall_silent_at_every_message")
def silent(place):
    _at_every_message(place, fall_silent)
