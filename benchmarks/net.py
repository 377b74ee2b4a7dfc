# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP between host and guest through a tap, both ways, against QEMU's virtio-net without vhost.

iperf3 with one stream. The goodput is what the receiving iperf3 tells; processor time is that of the process, guest
included, in a window amid the transfer, per 10^9 bytes. The peer is the best of microvm, q35 and pc.
"""

from __future__ import annotations

import json

from benchmarks import places
from benchmarks.common import Context, Figure, RunFailed, Side, best_of

WINDOW_S = 3.0
IPERF_S = 5


def _side(session: places.Session, reverse: bool) -> Side:
    host = session.at.host

    def measure() -> dict[str, float]:
        server = host.spawn(f"iperf3 -s -1 -J -B {session.network}.1")
        try:
            got = session.load(f"tap:{session.tap}", WINDOW_S, f"iperf {IPERF_S} {'-R' if reverse else ''}")
            if "OYA-SENT" not in got["text"]:
                raise RunFailed(f"iperf3 in the guest: {got['text'][-300:]}")
            server.wait(15)
            report = json.loads(server.output())["end"]["sum_sent" if reverse else "sum_received"]
        except (ValueError, KeyError) as error:
            raise RunFailed(f"iperf3 on the host: {error!r}") from None
        finally:
            if server.running():
                server.stop()
        rate = report["bits_per_second"]
        return {"gbps": rate / 1e9, "cpu_s": got["cpu_s"] / (rate / 8 * got["seconds"] / 1e9)}

    return session.side(measure)


def _figures(ctx: Context, ours: places.Session, peers: list[places.Session]) -> list[Figure]:
    figures = []
    for id, cpu_id, reverse in (
        ("net.tcp_tx_gbps", "net.cpu_per_gb_s", False),
        ("net.tcp_rx_gbps", "net.cpu_per_gb_rx_s", True),
    ):
        runs = best_of(
            _side(ours, reverse), [_side(peer, reverse) for peer in peers], ctx.rounds(7), "gbps",
            more_is_better=True, on_run=ctx.say,
        )  # fmt: skip
        figures.append(runs.figure(id, "Gbit/s", key="gbps", bound="ratio >= 1.0", aim="ratio >= 1.5"))
        figures.append(runs.figure(cpu_id, "s", key="cpu_s", bound="ratio <= 1.0", aim="ratio <= 0.67"))
    return figures


def run(ctx: Context) -> list[Figure]:
    """net.tcp_rx_gbps (the guest receives), net.tcp_tx_gbps, net.cpu_per_gb_s (the guest sends) and ..._rx."""

    def measure(at: places.Place) -> list[Figure]:
        files = at.files("")
        names = at.ram_disks(1 + len(places.MACHINES))
        ours = places.ours_session(at, files, names[0], 10)
        peers = [
            places.qemu_session(at, files, machine, {"threads": names[1 + n]}, 11 + n)
            for n, machine in enumerate(places.MACHINES)
        ]
        ours.begin()
        return _figures(ctx, ours, [peer for peer in peers if places.up(peer, ctx.say)])

    return places.in_host(ctx, measure)
