# SPDX-License-Identifier: GPL-2.0-or-later
"""Migration over several connections, and of VMs that run before their memory is there (post-copy).

A guest writes all of its memory over and over, faster than the link is, and looks whether it is as it was.
"""

import os
import signal
import socket
import time

from harness import Failed, check, test, wait_for
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


def late(place, vm, links=2, **wish):
    """Its migration, once it runs there and its memory is on its way."""
    move = Move(place, vm).begin(links=links, bandwidth=LINK, postcopy=True, **wish)
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
