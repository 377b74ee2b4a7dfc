# SPDX-License-Identifier: GPL-2.0-or-later
"""The blind guest at a real worker: random registers, hypercalls, ports, rings and memory.

It passes when the worker lives and answers on its control socket all the while and the guest comes
to its end, or when the VM stopped with one sentence; never with a sanitizer's report. OYA_BLIND_SECONDS
and OYA_BLIND_SEED make it longer or another; run.py --blind does all of that.
"""

import os
import re
import time

import harness
from harness import Failed, check, test

SECONDS = int(os.environ.get("OYA_BLIND_SECONDS", "3"))
SEED = int(os.environ.get("OYA_BLIND_SEED", "1"))
REPORT = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error|ThreadSanitizer|MemorySanitizer")
LINES_PER_SECOND = 4  # the worker's log about the guest is limited to 20 lines in 10 s, and one of what was left out
LINES_AT_ONCE = 60


def blind(place, seed, seconds, two):
    """One blind guest; says how much it did."""
    append = f"seed={seed} seconds={seconds}" + (" two=1" if two else "")
    arguments = ["--append", append, "--disk", place.disk(), "--cpus", "2" if two else "1"]
    if os.environ.get("OYA_BLIND_NO_SANDBOX"):
        arguments.append("--no-sandbox")
    vm = place.vm("blind", *arguments)
    answers, end = 0, time.monotonic() + seconds * 3 + 30
    while vm.process.poll() is None:
        check(time.monotonic() < end, f"seed {seed}: no end after {seconds} s")
        try:
            answers += vm.ask("statistics")["ok"]
        except (Failed, OSError, ValueError):
            if vm.process.poll() is None and not harness.connected(vm.control):
                time.sleep(0.2)  # it may just be ending
                check(vm.process.poll() is not None, f"seed {seed}: the control socket is dead")
        time.sleep(0.1)
    text, errors = vm.output(), vm.errors()
    check(not REPORT.search(errors), f"seed {seed}: {errors[-3000:]}")
    lines = errors.splitlines()
    check(all(line.startswith("oya") for line in lines), f"seed {seed}: {errors[-500:]!r}")
    check(len(lines) <= LINES_AT_ONCE + LINES_PER_SECOND * seconds, f"seed {seed}: {len(lines)} lines of log")
    stopped = [line for line in lines if re.search(r"the VM .* stopped: ", line)]
    status = vm.process.returncode
    if status == 1 and len(stopped) == 1:
        return f"seed {seed}: {stopped[0]}"
    done = re.search(r"BLIND done (\d+)", text)
    check(status == 0 and done and "PASS blind" in text, f"seed {seed}: status {status}, {text[-300:]!r} {errors[-300:]!r}")
    check(answers, f"seed {seed}: the worker answered nothing")
    return f"seed {seed}: {done.group(1)} steps, {answers} answers of the control socket"


@test("blind_guest_leaves_the_worker_alive")
def blind_one(place):
    print("# " + blind(place, SEED, SECONDS, False))


@test("blind_guest_whose_second_processor_scribbles_leaves_the_worker_alive")
def blind_two(place):
    print("# " + blind(place, SEED + 1, SECONDS, True))
