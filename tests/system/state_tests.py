# SPDX-License-Identifier: GPL-2.0-or-later
"""Saved states: a VM stops, and another worker lets it go on as if nothing had been."""

import itertools
import json
import lzma
import os
import re
import struct
import subprocess

from harness import Paths, check, connected, one_sentence, test, wait_for

UUID = "6b0f2b1e-3c55-4f7e-9a53-0d3b6f2a7c11"


def began(place, guest_test, **config):
    """A VM of the worker's own, with the configuration that its successor gets too."""
    place.config = {
        "uuid": UUID,
        "memory_mib": 64,
        "boot": {"kernel": Paths.guest, "append": f"test={guest_test}"},
        **config,
    }
    return place.vm(guest_test, worker=place.config)


def saved(vm):
    """What the status says of saving, once it has come to its end."""

    def look():
        status = vm.result("status")
        return status if status["state"] != "saving" else None

    return wait_for(look, "saving has no end", 20)


def save(place, vm, name="state"):
    """Has the VM saved, and ended; the file."""
    path = place.path(name)
    with open(path, "wb") as file:
        vm.result("save", fd=file.fileno())
    status = saved(vm)
    check(status["state"] == "saved", status)
    off(vm)
    return path


def restore(place, path, **changes):
    return place.vm("", worker={**place.config, **changes, "restore": path})


def resumed(place, path):
    vm = restore(place, path)
    status = vm.result("status")
    check(status["state"] == "paused" and status["reason"] == "its state was restored", status)
    vm.result("resume")
    return vm


def off(vm):
    vm.result("stop")
    check(vm.wait() == 0, vm.errors())


def last(vm, word):
    """The last number that the guest has printed behind a word."""
    found = re.findall(rf"{word} (\d+)\n", vm.output())
    return int(found[-1]) if found else None


def verify(path, *options):
    return subprocess.run([Paths.oya, "state", "verify", path, *options], capture_output=True, text=True, check=False)


def refused(place, path, word, **changes):
    """The state cannot be used; the worker ends with a sentence that has the word."""
    vm = restore(place, path, **changes)
    check(vm.wait() == 1, "exit status")
    one_sentence(vm.errors())
    check(word in vm.errors(), vm.errors())


@test("a_saved_vm_goes_on_where_it_was_again_and_again")
def again(place):
    vm = began(place, "count", cpus=2)
    vm.expect(r"COUNT \d+\n")
    for n in range(5):
        path = save(place, vm, f"state{n}")
        count = last(vm, "COUNT")
        check(verify(path).returncode == 0, verify(path).stderr)
        vm = resumed(place, path)
        vm.expect(r"COUNT \d+\n")
        first = int(re.search(r"COUNT (\d+)\n", vm.output()).group(1))
        check(count is None or first > count, f"{count} is followed by {first}")
    vm.type("k")
    vm.passed()


@test("a_saved_vm_has_lost_nothing_of_its_disk")
def disk(place):
    path = place.disk(sectors=2048)
    vm = began(place, "disk-load", disks=[{"path": path}])
    vm.expect("ROUND 0")
    for n in range(3):
        vm = resumed(place, save(place, vm, f"state{n}"))
        vm.expect(r"ROUND \d+\n", 30)
    off(vm)


@test("a_paused_vm_can_be_saved")
def paused(place):
    vm = began(place, "ticks")
    vm.expect("TICK 3")
    vm.result("pause")
    vm = resumed(place, save(place, vm))
    vm.expect(r"TICK \d+\n")
    off(vm)


@test("saving_that_is_cancelled_lets_the_vm_go_on")
def cancelled(place):
    vm = began(place, "count", cpus=2)
    vm.expect("COUNT")
    for _ in range(10):
        with open(place.path("state"), "wb") as file:
            vm.result("save", fd=file.fileno())
        vm.ask("save-cancel")
        wait_for(lambda: vm.result("status")["state"] == "running", "it does not run")
        before = last(vm, "COUNT")
        wait_for(lambda: last(vm, "COUNT") != before, "the guest does not go on")
    vm.type("k")
    vm.passed()


@test("a_vm_that_was_saved_may_go_on_instead")
def instead(place):
    vm = began(place, "count", cpus=2)
    vm.expect("COUNT")
    with open(place.path("state"), "wb") as file:
        vm.result("save", fd=file.fileno())
    status = saved(vm)
    check(status["state"] == "saved" and status["reason"] == "its state was saved", status)
    for verb in ("resume", "pause", "reset", "disk-remove"):
        answer = vm.ask(verb, lun=0)
        check(not answer["ok"] and "it is saved" in answer["error"], answer)
    vm.result("save-cancel")
    status = vm.result("status")
    check(status["state"] == "running" and status["reason"] == "", status)
    before = last(vm, "COUNT")
    wait_for(lambda: last(vm, "COUNT") != before, "the guest does not go on")
    vm.type("k")
    vm.passed()


@test("a_full_file_system_leaves_the_vm_running")
def full(place):
    vm = began(place, "count", cpus=2)
    vm.expect("COUNT")
    with open("/dev/full", "wb", buffering=0) as file:
        vm.result("save", fd=file.fileno())
    status = saved(vm)
    check(status["state"] == "running", status)
    check("No space left" in status["save"]["error"], status)
    before = last(vm, "COUNT")
    wait_for(lambda: last(vm, "COUNT") != before, "the guest does not go on")
    vm.type("k")
    vm.passed()


@test("who_watches_hears_of_a_save_that_failed_before_it_was_seen")
def heard(place):
    vm = began(place, "halted")
    vm.expect("READY")
    with connected(vm.control) as watch, open("/dev/full", "wb", buffering=0) as file:
        watch.sendall(b'{"verb": "watch"}\n')
        lines = watch.makefile("r", encoding="utf-8")
        lines.readline()
        vm.result("save", fd=file.fileno())
        while not (save_of := json.loads(lines.readline())["result"]["save"]) or not save_of["error"]:
            pass
        check("No space left" in save_of["error"], save_of)
    off(vm)


@test("a_save_without_a_file_is_refused")
def no_file(place):
    vm = began(place, "halted")
    vm.expect("READY")
    answer = vm.ask("save")
    check(not answer["ok"] and "without a file" in answer["error"], answer)
    check(vm.result("status")["state"] == "running", "it does not run")
    off(vm)


@test("a_state_of_another_vm_is_refused")
def other(place):
    vm = began(place, "halted", disks=[{"path": place.disk()}])
    vm.expect("READY")
    path = save(place, vm)
    refused(place, path, "memory", memory_mib=128)
    refused(place, path, "processors", cpus=2)
    refused(place, path, "another VM", uuid=UUID.replace("6b", "6c"))
    refused(place, path, "the VM has none", disks=[])
    refused(place, place.path("none"), "No such file")


@test("a_state_that_was_damaged_is_refused_wherever_it_was")
def damaged(place):
    vm = began(place, "halted")
    vm.expect("READY")
    path = save(place, vm)
    with open(path, "rb") as file:
        whole = file.read()
    step = max(len(whole) // 150, 1)
    for at in range(0, len(whole), step):
        place.write("damaged", whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        done = verify(place.path("damaged"))
        check(done.returncode == 1 and done.stderr.count("\n") == 1, f"at {at}: {done}")
        place.write("damaged", whole[:at])
        check(verify(place.path("damaged")).returncode == 1, f"cut at {at}")
    for at in (9, len(whole) // 2, len(whole) - 9):
        place.write("damaged", whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        refused(place, place.path("damaged"), "cannot be used")
    place.write("damaged", whole[: len(whole) // 2])
    refused(place, place.path("damaged"), "before its end")
    check(os.path.getsize(path) == len(whole), "the state itself has changed")


def _crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def forge(whole, kind, change):
    """A stream with the records of a kind changed, and all of its sums right."""
    data = bytearray(whole)
    at, digest = 32, 0
    while at < len(data):
        type_, length = struct.unpack_from("<I", data, at)[0], struct.unpack_from("<Q", data, at + 16)[0]
        body = slice(at + 32, at + 32 + length)
        if type_ == 0:
            struct.pack_into("<I", data, at + 32 + 8, digest)
        elif type_ == kind:
            data[body] = change(bytes(data[body]))
        if type_ in (0, kind):
            struct.pack_into("<I", data, at + 24, _crc32c(data[body]))
            struct.pack_into("<I", data, at + 28, _crc32c(data[at : at + 28]))
        digest = _crc32c(data[at : at + 32], digest)
        at = -(-(at + 32 + length) // 8) * 8
    return bytes(data)


PROCESSOR = 18


@test("a_state_with_registers_that_no_guest_has_is_refused_though_its_sums_are_right")
def forged(place):
    def first_msr(number):
        def change(body):
            at = body.index(b"\x09msr_index") + 10 + 1 + 4
            body = body[:at] + struct.pack("<I", number) + body[at + 4 :]
            at = body.index(b"\x09msr_value") + 10 + 1 + 4
            return body[:at] + struct.pack("<Q", 1) + body[at + 8 :]

        return change

    vm = began(place, "halted")
    vm.expect("READY")
    path = save(place, vm)
    with open(path, "rb") as file:
        whole = file.read()
    check(forge(whole, PROCESSOR, lambda body: body) == whole, "a stream that is not changed is another")
    # The TSC, one of KVM's own, and one that no processor has.
    for number in (0x10, 0x4B564D01, 0x12345):
        place.write("forged", forge(whole, PROCESSOR, first_msr(number)))
        check(verify(place.path("forged")).returncode == 0, "its sums are wrong")
        refused(place, place.path("forged"), f"MSR {number:#x} has no place there")


def _fields(text):
    """Records and the names of their fields, in order; of memory nothing."""
    kept = [line for line in text.splitlines() if not line.startswith("  memory at") and " is whole: " not in line]
    return [re.sub(r", \d+ bytes$", "", line) if line[2] != " " else line.split()[0] for line in kept]


@test("states_have_the_fields_that_their_version_has_always_had")
def golden(place):
    vm = began(place, "disk-count", memory_mib=32, disks=[{"path": place.sparse("disk.raw", 1 << 20)}])
    vm.expect("COUNT")
    with lzma.open(os.path.join(os.path.dirname(__file__), "golden", "state-1.xz")) as file:
        old = verify(place.write("old", file.read()), "--fields")
    check(old.returncode == 0, old.stderr)
    new = verify(save(place, vm), "--fields")
    pairs = itertools.zip_longest(_fields(old.stdout), _fields(new.stdout))
    differ = [pair for pair in pairs if pair[0] != pair[1]]
    check(not differ, f"without a new version they have changed: {differ[:5]}")
