"""Hosts that are the parent partition of our hypervisor: its driver, built for them, and loaded."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from .hosts import Host
from .process import LabError, run

PROJECT = Path(__file__).resolve().parent.parent
# Prints what the kernel of a host complains of.
CALM = "dmesg --level=emerg,alert,crit,err,warn | grep -E 'BUG|WARN|Oops|Stale|unchecked|MCE|hung|stall' || true"


def build_module(source: Path, release: str, tmp: Path) -> Path:
    """The module of a folder of the tree, built in `tmp` for a kernel. LabError without its headers."""
    headers = Path(f"/usr/src/linux-headers-{release}")
    if not headers.exists():
        raise LabError(f"{headers} is missing: install linux-headers-{release}, or rebuild the images (lab prune --all)")
    folder = tmp / source.name
    shutil.copytree(source, folder, dirs_exist_ok=True)
    done = run(["make", "-s", "-C", str(headers), f"M={folder}", f"OYA_ROOT={PROJECT}"], timeout=240)
    if done.returncode:
        raise LabError(f"the module {source.name} for {release}: {(done.stdout + done.stderr).decode(errors='replace')}")
    return next(folder.glob("*.ko"))


def build_driver(release: str, tmp: Path) -> Path:
    """The parent's driver, built in `tmp` for a kernel."""
    return build_module(PROJECT / "parent", release, tmp)


def put_module(host: Host, source: Path, tmp: Path) -> str:
    """Build a module for the kernel of the host, in `tmp`; its path in the host."""
    module = build_module(source, host.run("uname -r").out.strip(), tmp)
    host.put(module, f"/root/{module.name}")
    return f"/root/{module.name}"


def put_driver(host: Host, tmp: Path) -> str:
    """The same with the parent's driver."""
    return put_module(host, PROJECT / "parent", tmp)


def load_driver(host: Host, tmp: Path, options: str = "") -> None:
    """Have `/dev/oya` and debugfs there; with the driver's option `kvm=1` `/dev/kvm` too."""
    host.run(f"insmod {put_driver(host, tmp)} {options}")
    host.run("mountpoint -q /sys/kernel/debug || mount -t debugfs d /sys/kernel/debug")


def keep_driver(host: Host) -> None:
    """Have the driver that was loaded there again after a reboot, before what the host starts by itself."""
    host.run(
        "mkdir -p /lib/modules/$(uname -r)/updates && cp /root/oya*.ko /lib/modules/$(uname -r)/updates/ && depmod && "
        "basename -s .ko /root/oya*.ko >/etc/modules-load.d/oya-lab.conf",
        timeout=120,
    )


def numbers(host: Host) -> dict[str, int]:
    """What the hypervisor has left, and the parent; `pinned`: pages of workers that are mapped for children."""
    text = host.run(
        "sync; echo 3 >/proc/sys/vm/drop_caches; echo 1 >/proc/sys/vm/stat_refresh; cat /sys/kernel/debug/oya/info; grep nr_foll_pin /proc/vmstat; grep -E 'MemFree|MemTotal' /proc/meminfo"
    ).out
    words = dict(line.split()[:2] for line in text.splitlines())
    return {
        "pages_left": int(words["pages_left"]),
        "partitions": int(words["partitions"]),
        "pinned": int(words["nr_foll_pin_acquired"]) - int(words["nr_foll_pin_released"]),
        "free_kib": int(words["MemFree:"]),
        "gib": (int(words["MemTotal:"]) >> 20) + 1,
    }


def nothing_left(before: dict[str, int], after: dict[str, int]) -> None:
    """AssertionError when a child has left something behind."""
    for name in ("partitions", "pinned"):
        assert after[name] == before[name], (before, after)
    # The first chunk of a GiB splits its entry in the parent's own map: a page for a table, once and for good.
    assert 0 <= before["pages_left"] - after["pages_left"] <= before["gib"], (before, after)
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


def memory_range(host: Host) -> tuple[int, int]:
    """Where the hypervisor says that it lies, and its bytes."""
    found = re.search(r"oya-hv: version \S+, (\d+) KiB at (0x[0-9a-f]+)", host.console())
    assert found, host.console()[-2000:]
    return int(found[2], 16), int(found[1]) << 10


def peek(host: Host, at: int, write: bool) -> str:
    """What the parent gets when it reaches for a physical address."""
    script = f"""import mmap, os
f = os.open("/dev/mem", os.O_RDWR | os.O_SYNC)
m = mmap.mmap(f, 4096, offset={at})
{"m[8:16] = b'x' * 8" if write else ""}
print(m[0:4096].strip(bytes(1)).hex() or "zeros")"""
    return host.run("python3 - 2>/dev/null; echo $?", stdin=script).out.strip()


def made(argv: list[str]) -> None:
    """Run a compiler of this machine; AssertionError with its words when it fails."""
    done = run(argv, timeout=120)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
