"""The QEMU of the hosts: this machine's own where it is good, else Debian 13's, unpacked in the cache.

QEMU 7.2, Debian 12's, loses interrupts of hosts and page tables of their guests when it emulates the CPU
(docs/design/lab.md); 10.0 was not seen to. It runs from a folder, by its own loader and libraries: nothing is installed.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from . import cache, recipes
from .process import LabError, Progress, run, run_logged, say

_NAME = "qemu-system-x86_64"
_SUITE = "trixie"
_PACKAGES = ("qemu-system-x86", "seabios", "ipxe-qemu")
_GOOD_MAJOR = 10  # the first version that emulates well enough


@functools.cache
def command(by: str) -> tuple[str, ...]:
    """What begins QEMU's command line; `by`: "kvm" or "tcg". LabError when there is none."""
    if by == "kvm" or _major() >= _GOOD_MAJOR:
        return (_NAME,)
    key = cache.digest([_SUITE, _PACKAGES])
    top = cache.obtain("emulator", _SUITE, key, _unpack) / "tree/usr"
    libraries = top / "lib/x86_64-linux-gnu"
    loader = [str(top / "lib64/ld-linux-x86-64.so.2"), "--library-path", str(libraries), str(top / "bin" / _NAME)]
    firmware = ["-L", str(top / "share/qemu"), "-L", str(top / "share/seabios")]
    return ("env", f"QEMU_MODULE_DIR={libraries / 'qemu'}", *loader, *firmware)


@functools.cache
def version(by: str) -> str:
    """The first line of what it says of itself."""
    try:
        return run([*command(by), "--version"]).stdout.decode(errors="replace").partition("\n")[0]
    except FileNotFoundError:
        raise LabError(f"{_NAME} is not installed: install qemu-system-x86.") from None


def _major() -> int:
    try:
        text = run([_NAME, "--version"]).stdout.decode(errors="replace")
    except FileNotFoundError:
        return 0
    found = re.search(r"version (\d+)\.", text)
    return int(found[1]) if found else 0


def _unpack(out: Path) -> None:
    log, progress = out / "build.log", Progress("the emulator")
    say(f"unpacking the emulator of Debian {_SUITE}; log in {log}")
    argv = ["mmdebstrap", "--variant=extract", "--mode=root", "--format=directory", f"--include={','.join(_PACKAGES)}"]
    argv += ["--aptopt=Acquire::Languages \"none\"", _SUITE, str(out / "tree"), *recipes.mirrors(_SUITE)]
    run_logged(argv, log, "the emulator")
    for name in ("var", "dev", "tmp", "usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/icons"):
        cache.remove(out / "tree" / name)
    progress.done()
