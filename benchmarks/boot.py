# SPDX-License-Identifier: GPL-2.0-or-later
"""Start of the process to the guest's init and to its first instruction, against QEMU.

Both run a stock Debian kernel with the same small initrd and command line, one processor and the same RAM, in the same
emulated host: once the bzImage as distributed, once what is packed in it. The peer is the fastest of microvm, q35 and pc.
"""

from __future__ import annotations

from typing import Any

from benchmarks import places
from benchmarks.common import Context, Figure, Side, best_of

MARK = "OYA-INIT"
APPEND = "console=ttyS0 quiet rdinit=/job"
JOB = f"#!/bin/busybox sh\n/bin/busybox mount -t devtmpfs dev /dev; echo {MARK} >/dev/console; while :; do /bin/busybox sleep 1; done\n"
LIMIT_S = 90
FIRST_LIMIT_S = 60


def _side(at: places.Place, name: str, verb: list[object], limit_s: float, command: list[str]) -> Side:
    def measure() -> dict[str, Any]:
        return at.measure(limit_s, *verb, limit_s, *command)

    return Side(name, command, measure)


def run(ctx: Context) -> list[Figure]:
    """boot.start_to_init and boot.start_to_init_elf, boot.first_instruction and boot.first_instruction_elf (ms)."""
    figures = []
    cases = (
        ("boot.start_to_init", ["boot", MARK], LIMIT_S, False, "start_ms", 3, "ratio <= 0.7", "ratio <= 0.5"),
        ("boot.start_to_init_elf", ["boot", MARK], LIMIT_S, True, "start_ms", 3, "ratio <= 0.85", "ratio <= 0.6"),
        ("boot.first_instruction", ["first"], FIRST_LIMIT_S, False, "first_ms", 8, "ratio <= 0.3", "ratio <= 0.1"),
        ("boot.first_instruction_elf", ["first"], FIRST_LIMIT_S, True, "first_ms", 8, "ratio <= 0.3", "ratio <= 0.1"),
    )
    with places.place(ctx) as at:
        files = at.files(JOB)
        for id, verb, limit_s, elf, key, rounds, bound, aim in cases:
            kernel = files.elf if elf else files.kernel
            ours = _side(at, "oya", list(verb), limit_s, places.ours_boot(at, kernel, files.initrd, APPEND))
            peers = [
                _side(at, f"QEMU {machine}", list(verb), limit_s, places.qemu_boot(machine, kernel, files.initrd, APPEND))
                for machine in places.MACHINES
            ]
            runs = best_of(ours, peers, ctx.rounds(rounds), key, on_run=ctx.say)
            figures.append(runs.figure(id, "ms", key=key, bound=bound, aim=aim))
    return figures
