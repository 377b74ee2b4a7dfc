# SPDX-License-Identifier: GPL-2.0-or-later
"""Baselines: what a guest finds in its processor, and where it can go with it."""

import json
import struct
import subprocess

from harness import Paths, check, test
from migrate_tests import Move
from state_tests import began, forge, off, refused, resumed, save

MACHINE = 1  # the type of its record
X2APIC = 1 << 21
AVX512F = 1 << 16
FEATURES = r"FEATURES (\w+) (\w+) (\w+) (\w+)\n"


def host_processor():
    """What this host offers a guest, as its worker describes it."""
    told = subprocess.run([Paths.worker, "--processor"], capture_output=True, text=True, check=True)
    return json.loads(told.stdout)


def without(word, bits):
    """The same, of a poorer host."""
    poorer = host_processor()
    poorer["words"][word] &= ~bits
    return poorer


def seen(vm):
    """Leaf 1 ECX, leaf 7 EBX, leaf 8000_0001 ECX, and bits of a physical address."""
    return [int(number, 16) for number in vm.expect(FEATURES).groups()]


def again(vm):
    vm.type("p")
    return seen(vm)


@test("a_guest_sees_no_feature_beyond_its_baseline")
def masked(place):
    vm = began(place, "features")
    whole = seen(vm)
    off(vm)
    poorer = without("1.ecx", X2APIC)
    poorer["physical_bits"] = 40
    vm = began(place, "features", processor=poorer)
    less = seen(vm)
    check(whole[0] & X2APIC and less[0] == whole[0] & ~X2APIC, f"{whole} {less}")
    check(less[1] == whole[1] and not less[2] & ~whole[2], f"{whole} {less}")
    check(less[3] == 40, f"{less[3]} bits")
    vm.type("k")
    vm.passed()


@test("a_level_of_the_architecture_is_a_baseline")
def level(place):
    vm = began(place, "features", processor="x86-64-v1")
    found = seen(vm)
    # Of what KVM lists: that of an emulated host shows guests features that nobody has offered.
    more = host_processor()["words"]
    check(not found[0] & more["1.ecx"] and not found[2] & more["80000001.ecx"], str(found))
    vm.type("k")
    vm.passed()


@test("a_baseline_that_the_host_lacks_is_refused_by_the_name_of_the_feature")
def lacking(place):
    richer = host_processor()
    richer["words"]["1.ecx"] |= 1 << 26 | 1 << 28
    richer["words"]["d.0.eax"] = 0xE7
    richer["words"]["7.ebx"] |= AVX512F
    for baseline, word in ((richer, "avx512f"), ({**richer, "vendor": "a toy"}, "a toy"), ("x86-64-v9", "x86-64-v9")):
        config = {"memory_mib": 64, "boot": {"kernel": Paths.guest, "append": "test=hello"}, "processor": baseline}
        vm = place.vm("", worker=config)
        check(vm.wait() == 1 and word in vm.errors(), vm.errors())


@test("a_state_keeps_its_processor_where_the_host_has_as_much")
def kept(place):
    poorer = without("1.ecx", X2APIC)
    vm = began(place, "features", cpus=2, processor=poorer)
    before = seen(vm)
    path = save(place, vm)
    # Its host had less; this one has more, and does not show it.
    for there in (poorer, host_processor()):
        place.config["processor"] = there
        vm = resumed(place, path)
        check(again(vm) == before, "its processor has changed")
        off(vm)
    place.config.pop("processor")
    vm = resumed(place, path)
    check(again(vm) == before, "its processor has changed")
    vm.type("k")
    vm.passed()


@test("a_vm_keeps_its_processor_on_its_way_and_back")
def moves(place):
    vm = began(place, "features", processor=without("1.ecx", X2APIC))
    before = seen(vm)
    place.config.pop("processor")
    for _ in range(3):
        vm = Move(place, vm).begin().done()
        check(again(vm) == before, "its processor has changed")
    vm.type("k")
    vm.passed()


@test("a_state_with_a_feature_that_the_host_lacks_is_refused_by_its_name")
def richer(place):
    vm = began(place, "features")
    seen(vm)
    with open(save(place, vm), "rb") as file:
        whole = file.read()

    def more(body):
        """Bit 16 of leaf 1 ECX, which no processor has."""
        words = body.index(b"\x05cpuid") + 6 + 1 + 4
        at = body.index(struct.pack("<II", 1, 0), words) + 16
        return body[: at + 2] + bytes([body[at + 2] | 1]) + body[at + 3 :]

    place.write("richer", forge(whole, MACHINE, more))
    refused(place, place.path("richer"), "CPUID.1.ecx[16]")
