#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""System tests: whole VMs with a tiny guest on this machine's /dev/kvm, or /dev/oya. TAP on standard output.

usage: run.py [--build DIR] [--guest FILE] [--suite NAME] [--list] [NAME...]
NAME picks the tests whose name contains it.
"""

import argparse
import importlib
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CLUSTER = os.path.join(os.path.dirname(HERE), "cluster")
sys.path[:0] = [HERE, CLUSTER]
sys.dont_write_bytecode = True

import harness  # noqa: E402
import blind_tests  # noqa: E402,F401

# The files NAME_tests.py of each suite: those of the worker need nothing of the tree but it and themselves.
FILES = {
    "system": ["blind", "guest", "lazy", "life", "migrate", "processor", "sentence", "state", "storage", "terminal"],
    "host": ["access", "crash", "host", "image", "lease", "migrate_host", "migrate_storage", "migrate_streams", "network", "place", "save", "unit"],
    "migrate": ["migrate_apart", "migrate_compress", "migrate_fault", "migrate_late", "migrate_many"],
    "cluster": sorted(name[:-9] for name in os.listdir(CLUSTER) if name.endswith("_tests.py")),
}
LIMIT_S = int((20 + 4 * blind_tests.SECONDS) * harness.SLOWNESS)
LIMITS_S = {"migrate": 300, "cluster": 240, "host": int(120 * harness.SLOWNESS)}  # of a test; the others have LIMIT_S


def why_not(suite):
    """The reason for which none of the suite's tests can run here, or None."""
    try:
        os.close(os.open(harness.DEVICE, os.O_RDWR))
    except OSError as e:
        return f"{harness.DEVICE} cannot be opened: {e.strerror}"
    needed = [harness.Paths.oya, harness.Paths.worker, harness.Paths.guest]
    if suite in ("host", "cluster"):
        needed.append(harness.Paths.oyad)
    for path in needed:
        if not os.access(path, os.X_OK):
            return f"{path} is not built"
    return None


def on_alarm(_signal, _frame):
    raise harness.Failed("took too long")


def run_one(function, limit_s):
    """What TAP says of the test: whether it is fine, the directive, the reason."""
    place = harness.Place()
    signal.alarm(limit_s)
    try:
        function(place)
        place.nothing_left()
        return True, "", ""
    except harness.Skipped as e:
        return True, f" # SKIP {e}", ""
    except harness.Failed as e:
        return False, "", f"{e}\n{place.told()}"
    except Exception as e:  # a test that broke is a failed test
        return False, "", f"{type(e).__name__}: {e}\n{place.told()}"
    finally:
        signal.alarm(0)
        place.clean()


def main():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(root, "build", "release"))
    parser.add_argument("--guest", help="the tiny guest, where the build has none")
    parser.add_argument("--suite", default="system", choices=FILES, help="system: the worker; host: the daemon; cluster: hosts of one")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    for name in FILES[options.suite]:
        importlib.import_module(f"{name}_tests")
    build = os.path.abspath(options.build)
    harness.Paths.oya = os.path.join(build, "cli", "oya")
    harness.Paths.oyad = os.path.join(build, "host", "oyad")
    harness.Paths.worker = os.path.join(build, "worker", "oya-worker")
    harness.Paths.importer = os.path.join(build, "import", "oya-import")
    harness.Paths.connector = os.path.join(build, "cli", "oya-tls")
    harness.Paths.alert = os.path.join(build, "cluster", "alert", "oya-alert")
    harness.Paths.resource = os.path.join(build, "cluster", "resource", "oya-resource")
    harness.Paths.fence = os.path.join(build, "cluster", "fence", "oya-fence-reservation")
    harness.Paths.witness = os.path.join(build, "cluster", "witness", "oya-witness")
    harness.Paths.die_at = os.path.join(build, "tests", "system", "libdie-at.so")
    harness.Paths.guest = os.path.abspath(
        options.guest or os.path.join(build, "tests", "system", "oya-test-guest")
    )
    chosen = [
        t
        for t in harness.tests
        if t[2] == options.suite
        and (not options.names or any(n in t[0] for n in options.names))
    ]
    if options.list:
        print("\n".join(name for name, *_ in chosen))
        return 0
    reason = why_not(options.suite)
    if reason:
        print(f"1..0 # SKIP {reason}")
        return 0
    signal.signal(signal.SIGALRM, on_alarm)
    print(f"1..{len(chosen)}", flush=True)
    failures = 0
    for number, (name, function, _) in enumerate(chosen, 1):
        begun = time.monotonic()
        fine, directive, reason = run_one(function, LIMITS_S.get(options.suite, LIMIT_S))
        seconds = time.monotonic() - begun
        failures += not fine
        print(f"{'ok' if fine else 'not ok'} {number} - {name} ({seconds:.1f} s){directive}")
        if reason:
            print("\n".join("# " + line for line in reason.splitlines()))
        sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
