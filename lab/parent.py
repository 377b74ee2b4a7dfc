"""Hosts that are the parent partition of our hypervisor: its driver, built for them, and loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

from .hosts import Host
from .process import LabError, run

PROJECT = Path(__file__).resolve().parent.parent
_DRIVER = "/root/oya_kvm.ko"
# Prints what the kernel of a host complains of.
CALM = "dmesg --level=emerg,alert,crit,err,warn | grep -E 'BUG|WARN|Oops|Stale|unchecked|MCE|hung|stall' || true"


def build_driver(release: str, tmp: Path) -> Path:
    """The driver for a kernel, built in `tmp`. LabError without headers."""
    headers = Path(f"/usr/src/linux-headers-{release}")
    if not headers.exists():
        raise LabError(f"{headers} is missing: install linux-headers-{release}, or rebuild the images (lab prune --all)")
    folder = tmp / "parent"
    shutil.copytree(PROJECT / "parent", folder, dirs_exist_ok=True)
    made = run(["make", "-s", "-C", str(headers), f"M={folder}", f"OYA_ROOT={PROJECT}"], timeout=120)
    if made.returncode:
        raise LabError(f"the driver for {release}: {(made.stdout + made.stderr).decode(errors='replace')}")
    return folder / "oya_kvm.ko"


def put_driver(host: Host, tmp: Path) -> str:
    """Build the driver for the kernel of the host, in `tmp`; its path in the host. LabError without headers."""
    host.put(build_driver(host.run("uname -r").out.strip(), tmp), _DRIVER)
    return _DRIVER


def load_driver(host: Host, tmp: Path, options: str = "") -> None:
    """Have `/dev/oya` and debugfs there; with the driver's option `kvm=1` `/dev/kvm` too."""
    host.run(f"insmod {put_driver(host, tmp)} {options}")
    host.run("mountpoint -q /sys/kernel/debug || mount -t debugfs d /sys/kernel/debug")


def numbers(host: Host) -> dict[str, int]:
    """What the hypervisor has left, and the parent; `pinned`: pages of workers that are mapped for children."""
    text = host.run(
        "sync; echo 3 >/proc/sys/vm/drop_caches; echo 1 >/proc/sys/vm/stat_refresh; cat /sys/kernel/debug/oya/info; grep nr_foll_pin /proc/vmstat; grep MemFree /proc/meminfo"
    ).out
    words = dict(line.split()[:2] for line in text.splitlines())
    return {
        "pages_left": int(words["pages_left"]),
        "partitions": int(words["partitions"]),
        "pinned": int(words["nr_foll_pin_acquired"]) - int(words["nr_foll_pin_released"]),
        "free_kib": int(words["MemFree:"]),
    }


def nothing_left(before: dict[str, int], after: dict[str, int]) -> None:
    """AssertionError when a child has left something behind."""
    for name in ("pages_left", "partitions", "pinned"):
        assert after[name] == before[name], (before, after)
    # The parent's own free memory goes up and down by some 30 MiB.
    assert after["free_kib"] > before["free_kib"] - (100 << 10), (before, after)


def install(host: Host, build: Path, tmp: Path) -> None:
    """Put what `meson install` of a build folder installs into the host."""
    folder = tmp / "installed"
    argv = ["meson", "install", "-C", str(build), "--no-rebuild", "--quiet", "--destdir", str(folder)]
    done = run(argv, timeout=120)
    if done.returncode:
        raise LabError(f"meson install: {(done.stdout + done.stderr).decode(errors='replace')[-600:]}")
    host.put(folder, "/root/installed")
    host.run("cp -a /root/installed/. / && rm -r /root/installed")
