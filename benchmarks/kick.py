# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kick through an ioeventfd and each kind of exit cost on this machine's own /dev/kvm.

Ours is a worker with the tiny guest of the system tests, which runs tight loops; the peer is tests/system/kvm_floor.c, a monitor that does
nothing else: the least that this KVM allows. QEMU cannot be the peer, since it has no such guest interface. It is skipped
on a machine without /dev/kvm.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from benchmarks.common import Context, Figure, RunFailed, Side, Skipped, compare

LIMIT_S = 60


def _side(name: str, command: list[str]) -> Side:
    def measure() -> dict[str, float]:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise RunFailed(f"not done after {LIMIT_S} s") from None
        found = re.findall(r"COST (\w+) (\d+) (\d+)", done.stdout)
        if done.returncode or not found:
            raise RunFailed(f"{done.stdout[-200:]} {done.stderr[-200:]}")
        return {what: int(units) / 10 / int(loops) for what, loops, units in found}

    return Side(name, command, measure)


def run(ctx: Context) -> list[Figure]:
    """kick.ioeventfd_us, kick.exit_us (a port), kick.msr_us, kick.hypercall_us."""
    if not Path("/dev/kvm").exists():
        raise Skipped("this machine has no /dev/kvm")
    floor = ctx.tmp / "kvm_floor"
    source = Path(__file__).parent.parent / "tests" / "system" / "kvm_floor.c"
    subprocess.run(["cc", "-O2", "-pthread", "-o", str(floor), str(source)], check=True)
    config = ctx.tmp / "kick.json"
    boot = {"kernel": str(ctx.binary("tests/system/oya-test-guest")), "append": "test=cost"}
    config.write_text(json.dumps({"version": 1, "memory_mib": 64, "boot": boot, "console": {"type": "stdio"}}))
    ours = _side("oya", [str(ctx.binary("worker/oya-worker")), "--config", str(config)])
    runs = compare(ours, _side("bare KVM loop", [str(floor)]), ctx.rounds(7), on_run=ctx.say)
    return [
        runs.figure("kick.ioeventfd_us", "us", key="kick"),
        runs.figure("kick.exit_us", "us", key="port"),
        runs.figure("kick.msr_us", "us", key="msr"),
        runs.figure("kick.hypercall_us", "us", key="hypercall"),
    ]
