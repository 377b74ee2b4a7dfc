# SPDX-License-Identifier: GPL-2.0-or-later
"""What a VM keeps of its throughput beside one that floods its host with kicks, exits and interrupts.

Two workers on this machine's own /dev/kvm, each kept to a processor of its own. One runs the tight loops of `kick`; the
other floods (ours) or halts (the peer). It is skipped on a machine without /dev/kvm or with one processor.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import time
from pathlib import Path

from benchmarks.common import Context, Figure, RunFailed, Side, Skipped, compare

LIMIT_S = 60


def _command(ctx: Context, test: str, cpu: int) -> list[str]:
    config = ctx.tmp / f"{test}.json"
    boot = {"kernel": str(ctx.binary("tests/system/oya-test-guest")), "append": f"test={test}"}
    config.write_text(json.dumps({"version": 1, "memory_mib": 64, "boot": boot, "console": {"type": "stdio"}}))
    return ["taskset", "-c", str(cpu), str(ctx.binary("worker/oya-worker")), "--config", str(config)]


def _wait_for(child: subprocess.Popen[bytes], mark: bytes) -> None:
    text, end = b"", time.monotonic() + LIMIT_S
    assert child.stdout
    while mark not in text:
        if not select.select([child.stdout], [], [], max(0, end - time.monotonic()))[0]:
            raise RunFailed(f"no {mark.decode()} within {LIMIT_S} s: {text[-200:]!r}")
        more = os.read(child.stdout.fileno(), 65536)
        if not more:
            raise RunFailed(f"the other VM ended: {text[-200:]!r}")
        text += more


def _rates(command: list[str]) -> dict[str, float]:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise RunFailed(f"not done after {LIMIT_S} s") from None
    found = re.findall(r"COST (\w+) (\d+) (\d+)", done.stdout)
    if done.returncode or not found:
        raise RunFailed(f"{done.stdout[-200:]} {done.stderr[-200:]}")
    return {what: int(loops) / (int(units) / 1e7) for what, loops, units in found}


def _side(name: str, neighbour: list[str], mark: bytes, command: list[str]) -> Side:
    def measure() -> dict[str, float]:
        with subprocess.Popen(
            neighbour, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as child:
            try:
                _wait_for(child, mark)
                return _rates(command)
            finally:
                child.kill()

    return Side(name, [*command, "beside", *neighbour], measure)


def run(ctx: Context) -> list[Figure]:
    """flood.kicks_per_s, flood.exits_per_s, flood.msrs_per_s, flood.hypercalls_per_s of the neighbour."""
    if not Path("/dev/kvm").exists():
        raise Skipped("this machine has no /dev/kvm")
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise Skipped("two VMs need a processor each")
    command = _command(ctx, "cost", cpus[0])
    beside_flood = _side("beside a flood", _command(ctx, "storm", cpus[1]), b"STORMING", command)
    beside_idle = _side("beside an idle VM", _command(ctx, "idle", cpus[1]), b"IDLE", command)
    runs = compare(beside_flood, beside_idle, ctx.rounds(7), on_run=ctx.say)
    return [
        runs.figure(f"flood.{what}s_per_s", "1/s", key=key, bound="ratio >= 0.8")
        for what, key in (("kick", "kick"), ("exit", "port"), ("msr", "msr"), ("hypercall", "hypercall"))
    ]
