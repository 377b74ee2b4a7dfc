# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM that is made of a saved state goes on before its memory has been read."""

import contextlib
import ctypes
import json
import os
import shutil
import socket

from harness import Failed, check, one_sentence, test, wait_for
from state_tests import began, off, refused, restore, resumed, save, saved, verify

MEMORY_MIB = 192
TRIES = 10
_USERFAULTFD = 323  # its number


def _permitted():
    """Whether the kernel lets us have what it takes; else memory is read at once."""
    fd = ctypes.CDLL(None, use_errno=True).syscall(_USERFAULTFD, os.O_CLOEXEC)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def filled(place, both=False, **config):
    """The state of a guest that has filled 128 MiB."""
    vm = began(place, "recall" + " both=1" * both, memory_mib=MEMORY_MIB, cpus=1 + both, **config)
    vm.expect("WRITTEN 0\n", 20)
    path = save(place, vm)
    check(verify(path).returncode == 0, verify(path).stderr)
    return path


def amid(place, path, resume=True, **changes):
    """A VM that goes on, with its memory on the way still."""
    for _ in range(TRIES):
        vm = restore(place, path, **changes)
        if resume:
            vm.result("resume")
        told = vm.result("status")
        if told["restoring"]:
            check(0 <= told["restoring"]["done_bytes"] <= told["restoring"]["total_bytes"], told)
            return vm
        if not _permitted():
            return vm
        off(vm)
    raise Failed(f"all memory was there at once, {TRIES} times")


def all_there(vm):
    wait_for(lambda: vm.result("status")["restoring"] is None, "memory is being read without end", 20)


def ends(vm):
    """Whether it does, soon or before all of its memory has been read."""
    try:
        wait_for(lambda: vm.process.poll() is not None, "it has no end", 1)
        return True
    except Failed:
        all_there(vm)
        return False


def right(vm, number=0):
    """The guest finds all of its memory as it was."""
    vm.type("k")
    vm.expect(f"RIGHT {number}\n", 20)
    vm.expect(f"WRITTEN {number + 1}\n", 20)


@test("a_restored_vm_that_goes_on_at_once_finds_its_memory_right")
def goes_on(place):
    vm = amid(place, filled(place))
    right(vm)
    all_there(vm)
    right(vm, 1)
    vm.type("q")
    vm.passed()


@test("two_processors_of_a_restored_vm_find_their_memory_right")
def two(place):
    vm = amid(place, filled(place, both=True))
    right(vm)
    vm.type("q")
    vm.passed()


@test("a_restored_vm_that_waits_has_its_memory_read")
def waits(place):
    vm = amid(place, filled(place), resume=False)
    all_there(vm)
    check(vm.result("status")["state"] == "paused", vm.result("status"))
    vm.result("resume")
    right(vm)
    off(vm)


@test("pages_of_four_kib_are_read_lazily_too")
def small_pages(place):
    vm = amid(place, filled(place, memory_pages="4k"))
    right(vm)
    off(vm)


@test("a_restored_vm_that_is_saved_at_once_has_lost_nothing")
def saved_again(place):
    path = filled(place)
    for n in range(3):
        vm = amid(place, path)
        path = place.path(f"again{n}")
        with open(path, "wb") as file:
            vm.result("save", fd=file.fileno())
        status = saved(vm)
        check(status["state"] == "saved" and status["restoring"] is None, status)
        off(vm)
    vm = resumed(place, path)
    right(vm)
    off(vm)


@test("a_restored_vm_is_reset_before_its_memory_has_been_read")
def reset(place):
    path = filled(place)
    for resume in (True, False):
        vm = amid(place, path, resume)
        vm.result("reset")
        vm.expect("WRITTEN 0\n", 20)
        status = vm.result("status")
        check(status["restoring"] is None and status["resets"] == 1, status)
        right(vm)
        off(vm)


@test("a_restored_vm_is_stopped_before_its_memory_has_been_read")
def stopped(place):
    path = filled(place)
    for resume in (True, False):
        off(amid(place, path, resume))


@test("a_vm_whose_memory_is_being_read_is_not_migrated")
def migrated(place):
    vm = amid(place, filled(place))
    here, there = socket.socketpair()
    with here, there:
        answer = vm.ask("migrate", here.fileno())
    if not answer["ok"]:
        check("memory is still being read" in answer["error"], answer)
    else:
        check(vm.result("status")["restoring"] is None, "it is migrated")
    right(vm)
    off(vm)


def lost(place, vm, word):
    """The VM has ended by itself, and says why twice."""
    check(vm.wait(20) == 1, "exit status")
    one_sentence(vm.errors())
    check(word in vm.errors() and "cannot be used" in vm.errors(), vm.errors())
    with open(place.path("end"), encoding="utf-8") as file:
        end = json.load(file)
    check(end["result"] == "failed" and word in end["reason"], end)
    check(not os.path.exists(vm.control), "its socket was left behind")


@test("a_vm_whose_memory_was_damaged_ends_before_it_is_used")
def damaged(place):
    path = filled(place)
    size = os.path.getsize(path)
    for part in (0.2, 0.5, 0.9):
        with open(path, "r+b") as file:
            file.seek(int(size * part))
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0x10]))
        vm = restore(place, path, end=place.path("end"))
        with contextlib.suppress(Failed, OSError):  # it may be quicker
            vm.result("resume")
            vm.type("k")
        lost(place, vm, "it was damaged")
        check("RIGHT" not in vm.output(), "the guest has found it right")
        with open(path, "r+b") as file:
            file.seek(int(size * part))
            file.write(byte)
    vm = resumed(place, path)
    right(vm)
    off(vm)


@test("a_vm_whose_state_is_cut_off_while_it_is_read_ends")
def cut(place):
    path = filled(place)
    shutil.copy(path, place.path("copy"))
    for n in range(TRIES):
        place.write("end", b"")
        vm = amid(place, path, end=place.path("end"))
        os.truncate(path, os.path.getsize(path) * 3 // 4)
        if ends(vm):
            lost(place, vm, "it was cut off")
            return
        right(vm)
        off(vm)
        if not _permitted():
            return
        shutil.copy(place.path("copy"), path)
    raise Failed(f"it was never cut off in time, of {TRIES} tries")


@test("a_state_without_its_end_is_refused_before_the_vm_goes_on")
def no_end(place):
    path = filled(place)
    os.truncate(path, os.path.getsize(path) - 8)
    refused(place, path, "before its end")
