# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of the process beside guest RAM (PSS), with one processor and with four, against QEMU.

A running guest with a disk, a read-only disk and a tap, when it has come up. One VM is measured at a time, so that
no pages of libraries are shared with another; the peer is the smallest of microvm, q35 and pc.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from benchmarks import places
from benchmarks.common import Context, Figure, Side, best_of


def _side(make: Callable[[], places.Session]) -> Side:
    session = make()

    def measure() -> dict[str, float]:
        try:
            session.begin()
            return {"pss_mib": session.pss_mib()}
        finally:
            session.end()

    return session.side(measure)


def _figure(ctx: Context, id: str, cpus: int, at: places.Place) -> Figure:
    files = at.files("")
    names = at.ram_disks(2)
    ours = _side(lambda: places.ours_session(at, files, names[0], 10, cpus))
    peers = [
        _side(lambda: places.qemu_session(at, files, machine, {"threads": names[1]}, 11 + n, cpus))
        for n, machine in enumerate(places.MACHINES)
    ]
    runs = best_of(ours, peers, ctx.rounds(2), "pss_mib", on_run=ctx.say)
    return runs.figure(id, "MiB", key="pss_mib", bound="ours <= 8.0", aim="ours <= 4.0")


def run(ctx: Context) -> list[Figure]:
    """footprint.pss_mib and footprint.pss_mib_4cpus (MiB)."""
    cases = (("footprint.pss_mib", 1), ("footprint.pss_mib_4cpus", 4))
    return [places.in_host(ctx, functools.partial(_figure, ctx, id, cpus)) for id, cpus in cases]
