# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that is compressed on its way: it is the same there, and only what shrinks is compressed."""

import json
import os
from pathlib import Path

from harness import check, test
from migrate_late_tests import MEMORY_MIB, right
from migrate_tests import Move, differences, ram
from state_tests import began, off

LINK = 4 << 20  # bytes a second: so slow that compression pays on a machine that is busy, too
AT, SIZE = 64 << 20, 16 << 20  # what is written into memory from outside, where the guest has nothing


def compress_test(name):
    return test(name, suite="migrate")


def sources():
    """What can be compressed: these tests."""
    return b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))


def counting(place, data):
    """A guest whose memory has these bytes, over and over."""
    vm = began(place, "count", cpus=2, memory_mib=MEMORY_MIB, end=place.path("end"))
    vm.expect("COUNT")
    for fd in os.listdir(f"/proc/{vm.process.pid}/fd"):
        path = f"/proc/{vm.process.pid}/fd/{fd}"
        if os.readlink(path).startswith("/memfd:"):
            with open(path, "r+b", buffering=0) as file:
                for at in range(0, SIZE, len(data)):
                    os.pwrite(file.fileno(), data[: SIZE - at], AT + at)
    return vm


def told(place):
    """By the worker that has ended."""
    with open(place.path("end"), encoding="utf-8") as file:
        return json.load(file)["migrate"]


def moves(place, vm, links=1, **wish):
    """To another worker, where its memory must be the same; it is off then."""
    before = ram(vm)
    vm.result("pause")
    target = Move(place, vm, end=place.path("other end")).begin(links=links, **wish).done(60)
    check(differences(before, ram(target)) == [], f"pages {differences(before, ram(target))[:20]}")
    target.result("resume")
    off(target)
    vm.end()


@compress_test("memory_that_shrinks_is_compressed_for_a_slow_link_and_is_the_same")
def shrinks(place):
    for links in (1, 3):
        moves(place, counting(place, sources()), links, bandwidth=LINK)
        last = told(place)
        check(last["spared_bytes"] > SIZE // 4 and last["sent_bytes"] < SIZE, f"{links}: {last}")


@compress_test("memory_is_compressed_by_a_quick_migration")
def quick(place):
    moves(place, counting(place, sources()), quick=True, bandwidth=LINK)
    check(told(place)["spared_bytes"] > SIZE // 4, f"{told(place)}")


@compress_test("memory_that_does_not_shrink_or_is_not_to_goes_as_it_is")
def as_it_is(place):
    for data, wish in ((os.urandom(1 << 20), {}), (sources(), {"compress": False})):
        moves(place, counting(place, data), bandwidth=2 * LINK, **wish)
        last = told(place)
        check(last["spared_bytes"] < 1 << 20 and last["sent_bytes"] > SIZE, f"{wish}: {last}")


@compress_test("compressed_memory_that_is_written_meanwhile_and_comes_late_is_right")
def late(place):
    vm = began(place, "recall churn=1 repeat=1", memory_mib=MEMORY_MIB, end=place.path("end"))
    vm.expect(r"RIGHT 0\n", 30)
    move = Move(place, vm, end=place.path("other end")).begin(links=2, bandwidth=LINK, postcopy=True)
    target = move.done(120)
    last = told(place)
    check(last["postcopy"] == "chosen" and last["spared_bytes"] > SIZE, f"{last}")
    right(target)
    off(target)
