# SPDX-License-Identifier: GPL-2.0-or-later
"""Start of the process to the guest's init, and its memory beside guest RAM, against QEMU.

Both run a stock Debian kernel (the bzImage as distributed) with the same small initrd and command line, one processor and
512 MiB, in the same emulated host. The peer is the fastest of QEMU's pc, q35 and microvm, each with KVM.
"""

from __future__ import annotations

import json
import shlex
import statistics
from pathlib import Path

import lab
from benchmarks.common import Context, Figure, RunFailed, Runs, Side, compare
from lab import vm

MARK = "OYA-INIT"
APPEND = "console=ttyS0 quiet rdinit=/job"
JOB = f"#!/bin/busybox sh\n/bin/busybox mount -t devtmpfs dev /dev; echo {MARK} >/dev/console; while :; do /bin/busybox sleep 1; done\n"
LIMIT_S = 90

# Runs a command, waits for the mark in its output, and tells the seconds until then and the memory of the process and
# its children beside mappings named after guest RAM (PSS, in MiB).
MEASURE = f"""import glob, json, os, re, select, signal, subprocess, sys, time
start = time.monotonic()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
text = b""
while {MARK!r}.encode() not in text and time.monotonic() - start < {LIMIT_S}:
    if select.select([child.stdout], [], [], 1)[0]:
        more = os.read(child.stdout.fileno(), 65536)
        if not more: break
        text += more
seconds = time.monotonic() - start
def programs():
    for path in glob.glob("/proc/[0-9]*/comm"):
        if open(path).read().strip() in ("oya-worker", "qemu-system-x86"):
            yield path.split("/")[2]
pss = 0
for pid in programs():
    guest = False
    for line in open(f"/proc/{{pid}}/smaps"):
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line): guest = "memfd:" in line
        elif line.startswith("Pss:") and not guest: pss += int(line.split()[1])
for pid in programs(): os.kill(int(pid), signal.SIGKILL)
child.wait()
ok = {MARK!r}.encode() in text
print(json.dumps({{"ok": ok, "start_ms": seconds * 1000, "pss_mib": pss / 1024, "text": "" if ok else text[-500:].decode(errors="replace")}}))
"""

QEMU = (
    "qemu-system-x86_64 -M {machine},memory-backend=ram -accel kvm -cpu host -m 512 -nodefaults -no-user-config -display none "
    "-object memory-backend-memfd,id=ram,size=512M,share=on -serial stdio"
)
MACHINES = ("pc", "q35", "microvm,pit=off,pic=off,isa-serial=on")


def _side(host: lab.Host, name: str, command: str) -> Side:
    def measure() -> dict[str, float]:
        done = host.run(f"python3 /root/measure.py {command}", timeout=LIMIT_S + 60, check=False)
        try:
            got = json.loads(done.out.splitlines()[-1])
        except (IndexError, ValueError):
            raise RunFailed(done.err[-300:]) from None
        if not got.pop("ok"):
            raise RunFailed(got["text"])
        got.pop("text")
        return got

    return Side(name, shlex.split(command), measure)


def run(ctx: Context) -> list[Figure]:
    """boot.start_to_init (ms) and footprint.pss_mib."""
    initrd = lab.initrd_with_job(lab.guest_initrd(), JOB, ctx.tmp / "initrd")
    with lab.hosts(memory_mib=3072) as hs:
        host = hs[0]
        vm.install(host, Path(ctx.build))
        kernel, _ = vm.kernel(host, "bookworm")
        host.run(f"cp {kernel} /root/vmlinuz")
        host.put(initrd, "/root/initrd")
        host.run("cat >/root/measure.py", stdin=MEASURE)
        tail = f"--append '{APPEND}' --kernel /root/vmlinuz --initrd /root/initrd"
        ours = _side(host, "oya", f"{host.home}/oya run --memory 512M {tail}")
        found: list[Runs] = []
        for machine in MACHINES:
            command = f"{QEMU.format(machine=machine)} {tail.replace('--', '-')}"
            peer = _side(host, f"QEMU {machine.split(',')[0]}", command)
            found.append(compare(ours, peer, ctx.rounds(3), on_run=ctx.say))
    best = min(found, key=lambda runs: statistics.median(runs.peer.of("start_ms") or [1e9]) if runs.peer else 1e9)
    return [
        best.figure("boot.start_to_init", "ms", key="start_ms", bound="ratio <= 0.7", aim="ratio <= 0.5"),
        best.figure("footprint.pss_mib", "MiB", key="pss_mib", bound="ours <= 8.0", aim="ours <= 4.0"),
    ]
