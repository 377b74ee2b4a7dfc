# SPDX-License-Identifier: GPL-2.0-or-later
"""Start of the process to the guest's init and to its first instruction, against QEMU.

Both run a stock Debian kernel with the same small initrd and command line, one processor and the same RAM, in the same
emulated host: once the bzImage as distributed, once what is packed in it. The peer is the fastest of microvm, q35 and pc.
"""

from __future__ import annotations

import dataclasses
import functools

from benchmarks import places
from benchmarks.common import Context, Figure, Side, best_of

MARK = "OYA-INIT"
APPEND = "console=ttyS0 quiet rdinit=/job"
JOB = f"#!/bin/busybox sh\n/bin/busybox mount -t devtmpfs dev /dev; echo {MARK} >/dev/console; while :; do /bin/busybox sleep 1; done\n"


@dataclasses.dataclass(frozen=True)
class Case:
    """A figure: which kernel, up to where, how often."""

    id: str
    elf: bool  # what is packed in the bzImage, not the bzImage
    verb: list[str]  # of hostside.py
    limit_s: float
    key: str
    rounds: int
    bound: str
    aim: str


CASES = (
    Case("boot.start_to_init", False, ["boot", MARK], 90, "start_ms", 3, "ratio <= 0.7", "ratio <= 0.5"),
    Case("boot.start_to_init_elf", True, ["boot", MARK], 90, "start_ms", 3, "ratio <= 0.85", "ratio <= 0.6"),
    Case("boot.first_instruction", False, ["first"], 60, "first_ms", 8, "ratio <= 0.3", "ratio <= 0.1"),
    Case("boot.first_instruction_elf", True, ["first"], 60, "first_ms", 8, "ratio <= 0.3", "ratio <= 0.1"),
)


def _figure(ctx: Context, case: Case, at: places.Place) -> Figure:
    files = at.files(JOB)
    kernel = files.elf if case.elf else files.kernel

    def side(name: str, command: list[str]) -> Side:
        return Side(name, command, lambda: at.measure(case.limit_s, *case.verb, case.limit_s, *command))

    ours = side("oya", places.ours_boot(at, kernel, files.initrd, APPEND))
    peers = [
        side(f"QEMU {machine}", places.qemu_boot(machine, kernel, files.initrd, APPEND)) for machine in places.MACHINES
    ]
    runs = best_of(ours, peers, ctx.rounds(case.rounds), case.key, on_run=ctx.say)
    return runs.figure(case.id, "ms", key=case.key, bound=case.bound, aim=case.aim)


def run(ctx: Context) -> list[Figure]:
    """boot.start_to_init and boot.start_to_init_elf, boot.first_instruction and boot.first_instruction_elf (ms)."""
    return [places.in_host(ctx, functools.partial(_figure, ctx, case)) for case in CASES]
