# SPDX-License-Identifier: GPL-2.0-or-later
"""4 KiB random reads and writes on a RAM disk of the host, against QEMU's virtio-blk.

fio in the guest with direct I/O, the host's page cache left out on both sides. Requests are counted at the host's
disk (null_blk with its data in memory) in a window amid the load, with the processor time of the process, guest included,
and its returns to user space. The peer is the best of microvm, q35 and pc with io_uring and with threads.
"""

from __future__ import annotations

from benchmarks import places
from benchmarks.common import Context, Figure, RunFailed, Side, best_of

WINDOW_S = 3.0
FIO_S = 5
ENOUGH = 30  # requests in a window, below which it tells nothing

Rates = dict[str, float]


def _side(session: places.Session, disk: str, rw: str, depth: int) -> Side:
    def measure() -> Rates:
        got = session.load(f"disk:{session.disks[disk]}", WINDOW_S, f"fio {rw} {depth} {disk} {FIO_S}")
        if got["work"] < ENOUGH:
            raise RunFailed(f"{got['work']} requests in {WINDOW_S} s: {got['text'][-200:]}")
        return {
            "iops": got["work"] / got["seconds"],
            "cpu_us": got["cpu_s"] * 1e6 / got["work"],
            "exits": got["user_exits"] / got["work"],
            "vm_exits": got["vm_exits"] / got["work"],
        }

    return Side(f"{session.name} {disk}".removesuffix(" main"), session.command, measure)


def _figures(ctx: Context, ours: places.Session, peers: list[places.Session]) -> list[Figure]:
    figures = []
    for rw, depth in (("randread", 1), ("randread", 32), ("randwrite", 1), ("randwrite", 32)):
        sides = [_side(peer, disk, rw, depth) for peer in peers for disk in peer.disks]
        runs = best_of(
            _side(ours, "main", rw, depth), sides, ctx.rounds(3), "iops", more_is_better=True, on_run=ctx.say
        )
        at_depth = f"disk.{rw}_qd{depth}"
        figures.append(runs.figure(f"{at_depth}_iops", "1/s", key="iops", bound="ratio >= 1.0", aim="ratio >= 1.5"))
        bounds = {"bound": "ours <= 0.2", "aim": "ours <= 0.05"} if depth == 32 else {}
        if (rw, depth) == ("randread", 32):
            figures.append(
                runs.figure("disk.cpu_per_io_us", "us", key="cpu_us", bound="ratio <= 1.0", aim="ratio <= 0.67")
            )
            figures.append(runs.figure("disk.exits_per_io_qd32", "", key="exits", **bounds))
        else:
            figures.append(runs.figure(f"{at_depth}_cpu_per_io_us", "us", key="cpu_us"))
            figures.append(runs.figure(f"{at_depth}_exits_per_io", "", key="exits", **bounds))
        figures.append(runs.figure(f"{at_depth}_vm_exits_per_io", "", key="vm_exits"))
    return figures


def run(ctx: Context) -> list[Figure]:
    """disk.* : requests per second, processor time and exits per request."""

    def measure(at: places.Place) -> list[Figure]:
        files = at.files("")
        names = at.ram_disks(1 + 2 * len(places.MACHINES))
        ours = places.ours_session(at, files, names[0], 10)
        peers = [
            places.qemu_session(
                at, files, machine, {"io_uring": names[1 + 2 * n], "threads": names[2 + 2 * n]}, 11 + n
            )
            for n, machine in enumerate(places.MACHINES)
        ]
        ours.begin()
        return _figures(ctx, ours, [peer for peer in peers if places.up(peer, ctx.say)])

    return places.in_host(ctx, measure)
